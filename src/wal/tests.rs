//! Logs as the engine would write them, for the tests of replay, with a note of all that is in
//! them.

mod damage;
mod head;
mod links;
mod page;
mod power;
mod torn;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::{Error, ErrorKind, FileNumber, KeyspaceId, Kind, Lsn, Result, filename};
use crate::batch::{self, Op};
use crate::manifest::testing::{MOUNT_ID, MemDir};
use crate::record::{self, HEADER_BYTES, Header, RecordKind, Successor};
use crate::vfs::sim::{Effect, Fault, Repeat, SimFs};
use crate::vfs::{Dir, Vfs};

const BOOT: u128 = 0x00b0_0700;
const OTHER_BOOT: u128 = 0x00b0_0701;
const EDITS: u64 = 5;
const HEAD: usize = 8192;

/// A record that was written.
#[derive(Clone, Debug)]
struct Written {
    file: FileNumber,
    offset: usize,
    /// Bytes of the file that the record's checksums cover, from `offset` on.
    covered: usize,
    header: Header,
    keys: Vec<String>,
}

/// A log while it is written. Every record claims what is true of it.
struct TestLog {
    dir: MemDir,
    mapped: bool,
    /// Whether further segments are made of files full of durable records that claim all there is.
    reuses: bool,
    capacity: u64,
    segment: Arc<Segment>,
    older: Vec<Arc<Segment>>,
    places: Vec<(FileNumber, Place)>,
    tail: Lsn,
    synced: Lsn,
    written: Vec<Written>,
}

/// What a replay gave: all keys in order, and the outcome.
struct Replayed {
    keys: Vec<String>,
    outcome: ReplayOutcome,
}

fn spec(number: u64, capacity: u64) -> SegmentSpec {
    SegmentSpec {
        number: FileNumber(number),
        salt: 0x5a17_0000 + u32::try_from(number).unwrap(),
        capacity,
        boot_id: BOOT,
        mount_id: MOUNT_ID,
        edit_count: EDITS,
    }
}

fn key_bytes(key: &str) -> Vec<u8> {
    let op = Op {
        kind: Kind::Put,
        keyspace: KeyspaceId(0),
        expiry_ms: 0,
        key: key.as_bytes(),
        value: b"value",
    };
    let mut out = vec![0; batch::entry_bytes(&op)];
    batch::encode_entry(&mut out, &op);
    out
}

impl TestLog {
    /// A first segment, number 10, based at the floor 64.
    fn new(mapped: bool) -> Self {
        Self::with_capacity(mapped, 1024)
    }

    fn with_capacity(mapped: bool, capacity: u64) -> Self {
        let dir = MemDir::default();
        let segment = Segment::prepare(&dir, spec(10, capacity), mapped).unwrap();
        let place = Place { base: FLOOR, predecessor: None, synced: Lsn(0) };
        segment.store_base(&place).unwrap();
        let places = vec![(FileNumber(10), place)];
        let written = Vec::new();
        let older = Vec::new();
        let (tail, synced, reuses) = (FLOOR, Lsn(0), false);
        Self { dir, mapped, reuses, capacity, segment, older, places, tail, synced, written }
    }

    /// The next segment, whose base may be `base`.
    fn next_segment(&self, base: Lsn) -> Arc<Segment> {
        let number = self.segment.number().0 + 1;
        if !self.reuses {
            return Segment::prepare(&self.dir, spec(number, self.capacity), self.mapped).unwrap();
        }
        let old = Segment::prepare(&self.dir, spec(1000 + number, self.capacity), false).unwrap();
        for place in (0..self.capacity - 47).step_by(48) {
            let mark = record::encode_mark(base.plus(place), old.salt());
            old.write_at(place, &mark).unwrap();
        }
        old.sync(0, self.capacity).unwrap();
        let spec = spec(number, self.capacity);
        Segment::reuse(&self.dir, old.number(), spec, self.mapped).unwrap()
    }

    fn base(&self) -> Lsn {
        self.places.last().unwrap().1.base
    }

    /// A BATCH record with one entry for each key.
    fn put(&mut self, keys: &[&str]) -> &mut Self {
        let body: Vec<u8> = keys.iter().flat_map(|key| key_bytes(key)).collect();
        let mut header = self.header(RecordKind::Batch, &body);
        header.entries = u32::try_from(keys.len()).unwrap();
        self.store(header, &body, keys)
    }

    /// A SKIP record with `body_bytes` bytes that mean nothing.
    fn skip(&mut self, body_bytes: usize) -> &mut Self {
        let body = vec![0; body_bytes];
        let header = Header { payload_crc: 0, ..self.header(RecordKind::Skip, &body) };
        self.store(header, &body, &[])
    }

    /// Syncs everything, the oldest segment first.
    fn sync(&mut self) -> &mut Self {
        for segment in self.older.drain(..) {
            segment.sync(0, self.capacity).unwrap();
        }
        let from = self.synced.0.saturating_sub(self.base().0);
        self.segment.sync(from, self.tail.0 - self.base().0).unwrap();
        self.synced = self.tail;
        self
    }

    fn mark(&mut self) -> &mut Self {
        self.sync();
        let bytes = record::encode_mark(self.tail, self.segment.salt());
        self.store_whole(&bytes)
    }

    fn end(&mut self) -> &mut Self {
        self.sync();
        let bytes = record::encode_end(self.tail, self.segment.salt());
        self.store_whole(&bytes);
        self.sync()
    }

    /// Seals, and installs the next segment, in the order of the engine.
    fn seal(&mut self) -> &mut Self {
        self.seal_without_base();
        let (number, base) = (self.segment.number(), self.tail);
        let before = &self.places[self.places.len() - 2];
        let predecessor = Predecessor { number: before.0, base: before.1.base, end: base };
        let place = Place { base, predecessor: Some(predecessor), synced: Lsn(0) };
        self.segment.store_base(&place).unwrap();
        *self.places.last_mut().unwrap() = (number, place);
        self
    }

    /// Seals; the next segment has no part 2 yet.
    fn seal_without_base(&mut self) -> &mut Self {
        let base = self.tail.plus(record::SEAL_BYTES as u64);
        let next = self.next_segment(base);
        let successor = Successor { number: next.number(), base };
        let bytes = record::encode_seal(self.tail, successor, self.segment.salt());
        self.store_whole(&bytes);
        let place = Place { base: self.tail, predecessor: None, synced: Lsn(0) };
        self.places.push((next.number(), place));
        self.older.push(std::mem::replace(&mut self.segment, next));
        self
    }

    /// Opens again after a clean end: the next log names the one before and its end, durably.
    fn reopen(&mut self) -> &mut Self {
        let segment = self.next_segment(self.tail);
        let before = self.places.last().unwrap();
        let predecessor = Predecessor { number: before.0, base: before.1.base, end: self.tail };
        let place = Place { base: self.tail, predecessor: Some(predecessor), synced: self.tail };
        segment.store_base(&place).unwrap();
        segment.sync(0, 0).unwrap();
        self.places.push((segment.number(), place));
        self.older.push(std::mem::replace(&mut self.segment, segment));
        self
    }

    fn header(&self, kind: RecordKind, body: &[u8]) -> Header {
        Header {
            length: u32::try_from(HEADER_BYTES + body.len()).unwrap(),
            entries: 0,
            lsn: self.tail,
            synced: self.synced,
            completed: self.tail,
            kind,
            flags: 0,
            payload_crc: record::payload_crc(self.segment.salt(), body),
        }
    }

    fn store(&mut self, header: Header, body: &[u8], keys: &[&str]) -> &mut Self {
        let place = self.tail.0 - self.base().0;
        let raw = record::encode_header(&header, self.segment.salt());
        if self.mapped {
            self.segment.store_record(place, &raw, body);
        } else {
            self.segment.write_at(place, &[&raw, body].concat()).unwrap();
        }
        let covered = if header.kind == RecordKind::Skip { 48 } else { 48 + body.len() };
        self.written.push(Written {
            file: self.segment.number(),
            offset: HEAD + usize::try_from(place).unwrap(),
            covered,
            header,
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        });
        self.tail = header.end();
        self
    }

    fn store_whole(&mut self, bytes: &[u8]) -> &mut Self {
        let header = record::decode_header(bytes, self.segment.salt()).unwrap();
        self.store(header, &bytes[HEADER_BYTES..], &[])
    }

    fn keys(&self) -> Vec<String> {
        self.written.iter().flat_map(|record| record.keys.clone()).collect()
    }
}

/// The floor of all test logs.
const FLOOR: Lsn = Lsn(64);

fn logs_in(dir: &MemDir) -> Vec<FileNumber> {
    let names = dir.files().into_iter();
    let numbers = names.filter_map(|(name, _)| match filename::parse(&name) {
        Some(filename::FileName::Log(number)) => Some(number),
        _ => None,
    });
    numbers.collect()
}

fn input(logs: &[FileNumber], boot_id: u128) -> ReplayInput<'_> {
    ReplayInput {
        floor: FLOOR,
        synced: Lsn(0),
        edit_count: EDITS,
        manifest_number: FileNumber(3),
        boot_id,
        mount_id: MOUNT_ID,
        logs,
    }
}

fn replay_with(dir: &MemDir, input: &ReplayInput<'_>) -> Result<Replayed> {
    let mut keys = Vec::new();
    let mut last = input.floor;
    let outcome = replay(dir, input, &mut |record| {
        assert!(record.lsn >= last, "positions rise");
        last = record.lsn.plus((HEADER_BYTES + record.body.len()) as u64);
        let mut rest = record.body;
        while let Some((op, n)) = batch::decode_entry(rest) {
            keys.push(String::from_utf8(op.key.to_vec()).unwrap());
            rest = &rest[n..];
        }
        Ok(())
    })?;
    assert!(outcome.end >= last && outcome.highest >= outcome.end);
    Ok(Replayed { keys, outcome })
}

/// Replays after the death of the process.
fn replay_here(dir: &MemDir) -> Result<Replayed> {
    replay_with(dir, &input(&logs_in(dir), BOOT))
}

/// Replays on another boot of the machine.
fn replay_elsewhere(dir: &MemDir) -> Result<Replayed> {
    replay_with(dir, &input(&logs_in(dir), OTHER_BOOT))
}

fn refused(result: Result<Replayed>) -> Error {
    match result {
        Err(error) => error,
        Ok(replayed) => panic!("replayed {:?}, {:?}", replayed.keys, replayed.outcome),
    }
}

fn corrupt_at(result: Result<Replayed>) -> (u64, u64) {
    let error = refused(result);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    (error.file_id(), error.offset())
}

fn flip(dir: &MemDir, name: &str, at: usize) {
    let mut bytes = dir.bytes(name);
    bytes[at] ^= 1;
    dir.set(name, bytes);
}

const BOTH_WAYS: [bool; 2] = [true, false];

#[test]
fn what_was_logged_comes_back_over_several_segments() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.put(&["a", "b"]).skip(40).put(&["c"]).seal();
        log.put(&["d"]).seal().put(&["", "e"]).mark();

        for dir in [log.dir.after_process_death(), log.dir.clone()] {
            let replayed = replay_here(&dir).unwrap();

            assert_eq!(replayed.keys, log.keys());
            assert_eq!(replayed.outcome.end, log.tail);
            assert!(!replayed.outcome.clean);
            let places: Vec<_> =
                replayed.outcome.segments.iter().map(|s| (s.number, s.base)).collect();
            let wanted: Vec<_> = log.places.iter().map(|(n, place)| (*n, place.base)).collect();
            assert_eq!(places, wanted);
            assert_eq!(replayed.outcome.obsolete, []);
        }
    }
}

#[test]
fn what_a_file_held_in_an_earlier_use_is_not_replayed_and_proves_nothing() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.reuses = true;
        log.put(&["a"]).seal().put(&["b"]).seal();
        assert!(logs_in(&log.dir).iter().all(|number| number.0 < 1000), "old names are gone");
        let used = log.dir.bytes("000011.wal");
        assert!(used[HEAD + 256..].iter().any(|&byte| byte != 0), "old bytes are there");

        for (cut, wanted) in [(None, ["a", "b"].as_slice()), (Some(HEAD + 20), ["a"].as_slice())] {
            if let Some(at) = cut {
                flip(&log.dir, "000011.wal", at);
            }
            let replayed = replay_elsewhere(&log.dir).unwrap();
            assert_eq!(replayed.keys, wanted);
            assert!(replayed.outcome.cut.is_some());
        }
    }
}

#[test]
fn a_log_that_cannot_be_used_again_leaves_neither_name() {
    let count = |reuse: &dyn Fn(&SimFs, &dyn Dir) -> u64| {
        let fs = SimFs::new();
        let dir = fs.open_dir(Path::new("/db"), true).unwrap();
        drop(Segment::prepare(&*dir, spec(10, 1024), true).unwrap());
        reuse(&fs, &*dir)
    };
    for mapped in BOTH_WAYS {
        let calls = count(&|fs, dir| {
            let before = fs.calls();
            Segment::reuse(dir, FileNumber(10), spec(11, 1024), mapped).unwrap();
            fs.calls() - before
        });
        assert!(calls >= 4);
        for nth in 0..calls {
            count(&|fs, dir| {
                fs.arm(Fault::fail(fs.calls() + nth, libc::EIO));
                assert!(Segment::reuse(dir, FileNumber(10), spec(11, 1024), mapped).is_err());
                assert_eq!(dir.list().unwrap(), [], "call {nth}");
                0
            });
        }
    }
}

#[test]
fn a_long_record_that_a_call_did_not_write_is_stored_all_the_same() {
    let body: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
    let header: [u8; HEADER_BYTES] = std::array::from_fn(|i| u8::try_from(i).unwrap() + 1);
    // Neither call fails, the first, the second, both; and how much the one that fails has done.
    for failing in 0..4_u64 {
        for done in [Effect::Nothing, Effect::Bytes(5000), Effect::Everything] {
            let fs = SimFs::new();
            let dir = fs.open_dir(Path::new("/db"), true).unwrap();
            let segment = Segment::prepare(&*dir, spec(10, 200_000), true).unwrap();
            assert!(!segment.prefers_calls());
            let at = fs.calls() + u64::from(failing == 2);
            let mut fault = Fault::fail(at, libc::EIO).with_effect(done);
            if failing == 3 {
                fault = fault.repeated(Repeat::SameKind);
            }
            if failing > 0 {
                fs.arm(fault);
            }

            segment.store_record(64, &header, &body);

            let file = fs.read_file("/db/000010.wal").unwrap();
            let record = &file[HEAD + 64..HEAD + 64 + HEADER_BYTES + body.len()];
            assert!(record == [&header[..], &body[..]].concat(), "{failing} {done:?}");
            assert!(segment.prefers_calls());
            segment.store_record(0, &header, &[7; 8]);
            assert!(!segment.prefers_calls());
        }
    }
}

#[test]
fn a_log_that_was_closed_ends_cleanly() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.put(&["a"]).seal().put(&["b"]).end();

        let replayed = replay_elsewhere(&log.dir.after_power_loss()).unwrap();

        assert!(replayed.outcome.clean);
        assert_eq!(replayed.outcome.cut, None);
        assert_eq!(replayed.outcome.highest, log.tail);
        assert_eq!(replayed.keys, ["a", "b"]);
    }
}

#[test]
fn a_log_goes_on_behind_a_clean_end() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.put(&["a"]).end().reopen().put(&["b"]);

        let replayed = replay_here(&log.dir).unwrap();
        assert_eq!(replayed.keys, ["a", "b"]);
        assert!(!replayed.outcome.clean);

        log.end();
        assert!(replay_elsewhere(&log.dir.after_power_loss()).unwrap().outcome.clean);
    }
}

#[test]
fn no_log_at_all_ends_at_the_floor() {
    let replayed = replay_here(&MemDir::default()).unwrap();

    assert_eq!((replayed.outcome.end, replayed.outcome.highest), (FLOOR, FLOOR));
    assert!(replayed.outcome.clean && replayed.outcome.cut.is_none());
}

#[test]
fn an_error_of_the_receiver_ends_the_replay() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]);
    let mut given = 0;

    let logs = logs_in(&log.dir);
    let result = replay(&log.dir, &input(&logs, BOOT), &mut |_| {
        given += 1;
        Err(Error::invalid("enough"))
    });

    assert_eq!(result.unwrap_err().message(), "enough");
    assert_eq!(given, 1);
}

#[test]
fn records_longer_than_the_window_come_back() {
    let mut log = TestLog::with_capacity(true, 4 << 20);
    let long = "k".repeat(60_000);
    let keys = vec![long.as_str(); 40];
    log.put(&["a"]).put(&keys).put(&["b"]).mark();

    let replayed = replay_here(&log.dir).unwrap();

    assert_eq!(replayed.keys, log.keys());
}
