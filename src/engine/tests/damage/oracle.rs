//! What must come of a damage, worked out from the undamaged files alone.
//!
//! The rules are those of `docs/format.md`, written down a second time and more simply: this reads
//! whole files that are known to be good, so it needs none of the reader's care.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fixture::Fixture;
use crate::base::coding::get_u64;
use crate::base::filename::{self, FileName};
use crate::base::{FileNumber, Lsn};
use crate::record::{self, HEADER_BYTES, Header, RecordKind};

const SEGMENT_HEAD: usize = 8192;
const HEAD_COPY: usize = 4096;
const PLACE_AT: usize = 512;

/// What may come of a damage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expect {
    /// Whether there may be an error, about this file at this offset if they are known.
    pub(super) error: Option<(Option<FileNumber>, Option<u64>)>,
    /// Positions up to which content may be left, and why.
    pub(super) contents: Vec<(Lsn, &'static str)>,
}

/// The end of an undamaged log.
const WHOLE: Lsn = Lsn(u64::MAX);

impl Expect {
    /// Nothing changes, because of `why`.
    fn same(why: &'static str) -> Self {
        Self { error: None, contents: vec![(WHOLE, why)] }
    }

    /// An error, and nothing else.
    fn corrupt(file: Option<FileNumber>, offset: Option<u64>) -> Self {
        Self { error: Some((file, offset)), contents: Vec::new() }
    }
}

/// One record of a log.
pub(super) struct Record {
    /// Where it lies in the file.
    pub(super) at: Range<usize>,
    /// Its header.
    pub(super) header: Header,
}

/// An undamaged log.
pub(super) struct Log {
    pub(super) path: String,
    pub(super) number: FileNumber,
    /// None while it has no place.
    pub(super) base: Option<Lsn>,
    /// What its head says to be durable.
    synced: Lsn,
    same_machine: bool,
    pub(super) records: Vec<Record>,
    bytes: usize,
}

/// One edit of an undamaged manifest: its frame, and the frame that says it was synced.
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) done: Range<usize>,
}

/// All that can be damaged.
pub(super) struct Oracle {
    pub(super) logs: Vec<Log>,
    pub(super) manifest: (String, FileNumber, Vec<Edit>),
    /// Tables that the manifest names; others wait for their removal.
    pub(super) tables: BTreeSet<FileNumber>,
    /// The manifest's `floor` and `synced`.
    floor: Lsn,
    synced: Lsn,
}

/// What a name stands for.
pub(super) fn kind_of(path: &str) -> FileName {
    filename::parse(path.rsplit('/').next().unwrap()).unwrap()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Log {
    fn read(path: &str, number: FileNumber, bytes: &[u8], boot: u128) -> Self {
        let salt = u32_at(bytes, 20);
        let base = (get_u64(bytes, PLACE_AT + 40) != 0).then(|| Lsn(get_u64(bytes, PLACE_AT)));
        let made_in = u128::from_le_bytes(bytes[56..72].try_into().unwrap());
        let mut records = Vec::new();
        let mut at = SEGMENT_HEAD;
        while let Some(header) =
            bytes.get(at..at + HEADER_BYTES).and_then(|raw| record::decode_header(raw, salt))
        {
            let end = at + usize::try_from(header.length).unwrap();
            records.push(Record { at: at..end, header });
            at = end;
        }
        let synced = Lsn(get_u64(bytes, PLACE_AT + 32));
        let (path, bytes) = (path.to_owned(), bytes.len());
        Self { path, number, base, synced, same_machine: made_in == boot, records, bytes }
    }

    /// Just past the last record, as an offset in the file.
    pub(super) fn end(&self) -> usize {
        self.records.last().map_or(SEGMENT_HEAD, |record| record.at.end)
    }
}

/// Whether `after` differs from `before` within a range. What was cut off differs.
fn differs(before: &[u8], after: &[u8], range: &Range<usize>) -> bool {
    let range = range.start..range.end.min(before.len());
    !range.is_empty() && after.get(range.clone()) != before.get(range)
}

impl Oracle {
    /// Reads an undamaged database.
    pub(super) fn new(fixture: &Fixture) -> Self {
        let boot = fixture.fs.boot_id();
        let (mut logs, mut manifest) = (Vec::new(), None);
        for (path, bytes) in &fixture.files {
            match kind_of(path) {
                FileName::Log(number) => logs.push(Log::read(path, number, bytes, boot)),
                FileName::Manifest(number) => {
                    assert!(manifest.is_none());
                    manifest = Some((path.clone(), number, edits(bytes)));
                }
                _ => {}
            }
        }
        logs.sort_by_key(|log| log.base.unwrap_or(Lsn(u64::MAX)));
        let found = super::state_of(fixture);
        let (floor, synced) = (found.floor, found.synced);
        let tables = found.files().into_iter().collect();
        Self { logs, manifest: manifest.unwrap(), tables, floor, synced }
    }

    /// What must come of changing the file at `path` from `before` to `after`; none is removal.
    pub(super) fn expect(&self, path: &str, before: &[u8], after: Option<&[u8]>) -> Expect {
        let is_removed = after.is_none();
        let after = after.unwrap_or_default();
        match kind_of(path) {
            FileName::Lock => Expect::same("LOCK"),
            FileName::CurrentTemp => unreachable!(),
            _ if before == after && !is_removed => Expect::same("no byte changed"),
            FileName::Current => Expect::corrupt(None, None),
            FileName::Table(number) if !self.tables.contains(&number) => {
                Expect::same("a table that nothing names")
            }
            FileName::Table(number) => Expect::corrupt(Some(number), None),
            FileName::Manifest(_) => self.of_manifest(before, after),
            FileName::Log(number) => {
                let log = self.logs.iter().find(|log| log.number == number).unwrap();
                self.of_log(log, before, after)
            }
        }
    }

    fn of_manifest(&self, before: &[u8], after: &[u8]) -> Expect {
        let (_, number, edits) = &self.manifest;
        if differs(before, after, &(0..64)) {
            return Expect::corrupt(Some(*number), Some(0));
        }
        let Some(bad) = edits.iter().position(|edit| differs(before, after, &edit.at)) else {
            return Expect::same("DONE frame");
        };
        let header = |at: &Range<usize>| at.start..at.start + 24;
        let proved = edits[bad..].iter().enumerate().any(|(i, edit)| {
            (i > 0 && !differs(before, after, &header(&edit.at)))
                || !differs(before, after, &edit.done)
        });
        if proved || bad == 0 {
            return Expect::corrupt(Some(*number), Some(edits[bad].at.start as u64));
        }
        Expect { contents: vec![(WHOLE, "proved elsewhere")], ..Expect::corrupt(None, None) }
    }

    fn of_log(&self, log: &Log, before: &[u8], after: &[u8]) -> Expect {
        let Some(base) = log.base.filter(|base| *base >= self.floor) else {
            return Expect::same("a log that is not read");
        };
        let copies = [0..HEAD_COPY, HEAD_COPY..SEGMENT_HEAD];
        let bad_heads = copies.iter().filter(|copy| differs(before, after, copy)).count();
        let is_body = |record: &Record| record.header.kind == RecordKind::Skip;
        let touched = |record: &&Record| {
            let at = &record.at;
            let checked =
                if is_body(record) { at.start..at.start + HEADER_BYTES } else { at.clone() };
            differs(before, after, &checked)
        };
        let bad = log.records.iter().find(touched);
        let is_proved = |bad| self.is_proved(bad, log, |header| !differs(before, after, header));
        let Some(bad) = bad else {
            return match (bad_heads, differs(before, after, &(SEGMENT_HEAD..log.end()))) {
                (2, _) => Self::without_head(base, WHOLE, is_proved(base)),
                (1, _) => Expect::same("one of two heads"),
                (_, true) => Expect::same("body of an unlogged record"),
                _ if before.len() != after.len() => Expect::same("length behind the end"),
                _ => Expect::same("zeros behind the end"),
            };
        };
        let lsn = bad.header.lsn;
        match (bad_heads, is_proved(lsn)) {
            (2, true) => Self::without_head(base, WHOLE, true),
            (2, false) => Self::without_head(base, lsn, is_proved(base)),
            (_, true) => Expect::corrupt(Some(log.number), Some(bad.at.start as u64)),
            (_, false) => Expect { error: None, contents: vec![(lsn, "cut")] },
        }
    }

    /// Both copies of a head were touched: what is left of them may still do, up to `end`.
    fn without_head(base: Lsn, end: Lsn, is_proved: bool) -> Expect {
        let mut expect = Expect::corrupt(None, None);
        expect.contents.push((end, "half heads do"));
        if !is_proved {
            expect.contents.push((base, "cut"));
        }
        expect
    }

    /// Whether anything but the damage says that what lies at `bad` of `log` was durable.
    fn is_proved(&self, bad: Lsn, log: &Log, is_whole: impl Fn(&Range<usize>) -> bool) -> bool {
        if self.synced > bad {
            return true;
        }
        self.logs.iter().any(|other| {
            let is_other = other.number != log.number;
            (is_other && other.base > log.base && other.synced > bad)
                || other.records.iter().any(|record| {
                    let header = record.at.start..record.at.start + HEADER_BYTES;
                    let kind = record.header.kind;
                    let says = record.header.synced > bad
                        || (matches!(kind, RecordKind::Mark | RecordKind::End)
                            && record.header.lsn > bad)
                        || (other.same_machine && record.header.completed > bad);
                    says && (is_other || is_whole(&header))
                })
        })
    }

    /// Where the file at `path` has something that matters; the rest is zeros or is not read.
    pub(super) fn dense(&self, path: &str, bytes: usize) -> Vec<Range<usize>> {
        let number = match kind_of(path) {
            FileName::Log(number) => number,
            FileName::Table(number) if !self.tables.contains(&number) => return Vec::new(),
            _ => return std::iter::once(0..bytes).collect(),
        };
        let log = self.logs.iter().find(|log| log.number == number).unwrap();
        vec![0..80, 500..568, 4096..4176, 4596..4664, 8192..log.end().min(log.bytes)]
    }

    /// Where the bodies of records lie in the file at `path`.
    pub(super) fn bodies(&self, path: &str) -> Vec<Range<usize>> {
        let log = self.logs.iter().find(|log| log.path == path);
        let records = log.into_iter().flat_map(|log| &log.records);
        records.map(|record| record.at.start + HEADER_BYTES..record.at.end).collect()
    }
}

fn edits(bytes: &[u8]) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut at = 64;
    while at < bytes.len() {
        let payload = usize::try_from(u32_at(bytes, at)).unwrap().next_multiple_of(8);
        let done = at + 24 + payload;
        edits.push(Edit { at: at..done, done: done..done + 24 });
        at = done + 24;
    }
    assert_eq!(at, bytes.len());
    edits
}
