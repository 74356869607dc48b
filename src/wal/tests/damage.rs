//! Damage sweeps over small logs: every flipped bit, every cut, every zeroed sector, each on the
//! same boot and on another one, against a model that knows the records and says what must come.

use super::*;

/// What must come of a damaged log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    /// All that was written.
    Same,
    /// The records below this position, and no others.
    Cut(Lsn),
    /// Corruption, reported at this file and offset.
    Corrupt(FileNumber, usize),
    /// Corruption that names one of the logs: a head is gone.
    CorruptSomewhere,
}

#[derive(Default, Debug)]
struct Counts {
    same: usize,
    cut: usize,
    corrupt: usize,
}

/// The model: what damage did to the records, and what is left to prove that they were whole.
struct Model<'a> {
    log: &'a TestLog,
    before: Vec<(String, Vec<u8>)>,
    /// The same files; one of them is damaged while it is checked.
    dir: MemDir,
    same_boot: bool,
}

impl Model<'_> {
    fn is_whole(&self, name: &str, damaged: &[u8], from: usize, bytes: usize) -> bool {
        let before = &self.before.iter().find(|(other, _)| other == name).unwrap().1;
        damaged.get(from..from + bytes) == Some(&before[from..from + bytes])
    }

    /// What must come when the file `name` is now `damaged`. Every other file is as it was.
    fn wanted(&self, name: &str, damaged: &[u8]) -> Wanted {
        let in_file = |number: FileNumber| filename::log(number) == name;
        let holds = |written: &Written, bytes: usize| {
            !in_file(written.file) || self.is_whole(name, damaged, written.offset, bytes)
        };
        let segment = self.log.places.iter().position(|(number, _)| in_file(*number)).unwrap();
        // Part 1 is whole in the first copy or in the second; a cut takes the second first.
        let base = self.log.places[segment].1.base;
        let is_named = segment + 1 < self.log.places.len()
            || self.log.written.iter().any(|written| {
                written.header.kind == RecordKind::Seal && written.header.end() == base
            });
        if damaged.len() < 512 && is_named {
            return Wanted::CorruptSomewhere;
        }
        let bad = self.log.written.iter().find(|written| !holds(written, written.covered));
        let (bad, file, offset) = match bad {
            Some(bad) => (bad.header.lsn, bad.file, bad.offset),
            // Nothing is there to be damaged: the log ends where it ended.
            None => return Wanted::Same,
        };
        let later = self.log.written.iter().filter(|written| written.header.lsn > bad);
        let proved_by_record = later.filter(|written| holds(written, 48)).any(|written| {
            let header = &written.header;
            header.synced > bad || (self.same_boot && header.completed > bad)
        });
        let proved_by_head =
            self.log.places[segment + 1..].iter().any(|(_, place)| place.synced > bad);
        if proved_by_record || proved_by_head {
            Wanted::Corrupt(file, offset)
        } else {
            Wanted::Cut(bad)
        }
    }

    fn check(&self, name: &str, damaged: Vec<u8>, counts: &mut Counts, what: &str) {
        let wanted = self.wanted(name, &damaged);
        self.dir.set(name, damaged);
        let boot = if self.same_boot { BOOT } else { OTHER_BOOT };
        let logs: Vec<_> = self.log.places.iter().map(|(number, _)| *number).collect();
        let result = replay_with(&self.dir, &input(&logs, boot));
        match wanted {
            Wanted::Same => {
                let replayed = result.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(replayed.outcome.end, self.log.tail, "{what}");
                assert_eq!(replayed.keys, self.log.keys(), "{what}");
                counts.same += 1;
            }
            Wanted::Cut(at) => {
                let replayed = result.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(replayed.outcome.end, at, "{what}");
                assert!(!replayed.outcome.clean, "{what}");
                let below = self.log.written.iter().filter(|written| written.header.lsn < at);
                let keys: Vec<_> = below.flat_map(|written| written.keys.clone()).collect();
                assert_eq!(replayed.keys, keys, "{what}");
                counts.cut += 1;
            }
            Wanted::Corrupt(file, offset) => {
                assert_eq!(corrupt_at(result), (file.0, offset as u64), "{what}");
                counts.corrupt += 1;
            }
            Wanted::CorruptSomewhere => {
                let (file, _) = corrupt_at(result);
                let known = self.log.places.iter().any(|(number, _)| number.0 == file);
                assert!(known, "{what}: file {file}");
                counts.corrupt += 1;
            }
        }
    }
}

/// Logs of one to three segments, in every state that a crash or a close can leave.
fn fixtures() -> Vec<(&'static str, TestLog)> {
    let mut unsynced = TestLog::with_capacity(true, 640);
    unsynced.put(&["a"]).put(&["b", ""]).skip(16).put(&["c"]);
    let mut half_synced = TestLog::with_capacity(false, 640);
    half_synced.put(&["a"]).put(&["b"]).sync().put(&["c"]).put(&["d"]);
    let mut idle = TestLog::with_capacity(true, 640);
    idle.put(&["a"]).put(&["b"]).mark().put(&["c"]);
    let mut closed = TestLog::with_capacity(true, 640);
    closed.put(&["a"]).skip(8).put(&["b"]).end();
    let mut two = TestLog::with_capacity(true, 512);
    two.put(&["a"]).put(&["b"]).sync().put(&["c"]).seal().put(&["d"]).put(&["e"]);
    let mut two_closed = TestLog::with_capacity(false, 512);
    two_closed.put(&["a"]).seal().put(&["b"]).end();
    let mut reopened = TestLog::with_capacity(true, 512);
    reopened.put(&["a"]).end().reopen().put(&["b"]).put(&["c"]);
    let mut three = TestLog::with_capacity(true, 512);
    three.put(&["a"]).seal().put(&["b"]).put(&["c"]).seal().sync().put(&["d"]).put(&["e"]);
    vec![
        ("unsynced", unsynced),
        ("half synced", half_synced),
        ("idle", idle),
        ("closed", closed),
        ("two segments", two),
        ("two closed", two_closed),
        ("reopened", reopened),
        ("three segments", three),
    ]
}

fn sweep(damage: impl Fn(&Model<'_>, &str, &[u8], &mut Counts, &str)) -> Counts {
    let mut counts = Counts::default();
    for (fixture, log) in fixtures() {
        for same_boot in [true, false] {
            let before = log.dir.files();
            let model = Model { log: &log, dir: MemDir::of(before.clone()), before, same_boot };
            for (name, bytes) in &model.before {
                let what = format!("{fixture}, same boot {same_boot}, {name}");
                damage(&model, name, bytes, &mut counts, &what);
                model.dir.set(name, bytes.clone());
            }
        }
    }
    counts
}

#[test]
fn every_flipped_bit_is_reported_or_redundant_or_the_torn_end() {
    let counts = sweep(|model, name, bytes, counts, what| {
        for at in 0..bytes.len() {
            // Of the reserved zeros of the head one bit in eight bytes, elsewhere all.
            let is_reserved = at < HEAD && !matches!(at % 4096, 0..=72 | 508..=560);
            if is_reserved && at % 8 != 0 {
                continue;
            }
            for bit in if is_reserved { at / 8 % 8..at / 8 % 8 + 1 } else { 0..8 } {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                model.check(name, damaged, counts, &format!("{what}, byte {at} bit {bit}"));
            }
        }
    });

    println!("flipped bits: {counts:?}");
    assert!(counts.same > 10_000 && counts.cut > 1000 && counts.corrupt > 10_000, "{counts:?}");
}

#[test]
fn every_cut_leaves_an_allowed_prefix_or_is_reported() {
    let counts = sweep(|model, name, bytes, counts, what| {
        for cut in 0..bytes.len() {
            model.check(name, bytes[..cut].to_vec(), counts, &format!("{what}, cut at {cut}"));
        }
    });

    println!("cuts: {counts:?}");
    assert!(counts.same > 1000 && counts.cut > 10_000 && counts.corrupt > 10_000, "{counts:?}");
}

#[test]
fn every_zeroed_sector_is_reported_or_redundant_or_the_torn_end() {
    let counts = sweep(|model, name, bytes, counts, what| {
        for begin in (0..bytes.len()).step_by(512) {
            let mut damaged = bytes.to_vec();
            let end = bytes.len().min(begin + 512);
            damaged[begin..end].fill(0);
            model.check(name, damaged, counts, &format!("{what}, sector at {begin}"));
        }
    });

    println!("zeroed sectors: {counts:?}");
    assert!(counts.same > 100 && counts.cut > 5 && counts.corrupt > 5, "{counts:?}");
}

#[test]
fn any_mixture_of_old_and_new_sectors_is_the_torn_end() {
    // Nothing is synced after the heads: power loss keeps any sectors of the two segments.
    let mut log = TestLog::with_capacity(true, 1024);
    log.sync().put(&["a", "b", "c"]).put(&["d", "e", "f", "g"]).seal().put(&["h"]).put(&["i"]);
    let new: Vec<_> = log.dir.files();
    let choices = 1_u32 << 8;
    for choice in 0..choices {
        let dir = MemDir::default();
        for (n, (name, bytes)) in new.iter().enumerate() {
            let mut mixed = bytes.clone();
            // In each file two sectors of records and part 2 in both copies are uncertain.
            let sectors = [HEAD, HEAD + 512, 512, 4096 + 512];
            for (bit, begin) in sectors.into_iter().enumerate() {
                let is_first_head = n == 0 && begin < HEAD;
                if choice & (1 << (n * 4 + bit)) == 0 && !is_first_head {
                    mixed[begin..begin + 512].fill(0);
                }
            }
            dir.set(name, mixed);
        }

        let replayed = replay_elsewhere(&dir).unwrap_or_else(|e| panic!("{choice:b}: {e}"));

        let keys = log.keys();
        assert!(keys.starts_with(&replayed.keys), "{choice:b}: {:?}", replayed.keys);
        if choice == choices - 1 {
            assert_eq!(replayed.keys, keys);
        }
    }
}

#[test]
fn sealed_hostile_bytes_never_panic() {
    // Random headers with right checksums: what a program with the salt could write.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..3000 {
        let mut log = TestLog::new(true);
        for _ in 0..4 {
            let pick = random();
            let small = u32::try_from(random() % 96).unwrap();
            let header = Header {
                length: if pick & 1 == 0 { 48 + small / 8 * 8 } else { u32::MAX - 7 },
                entries: small,
                lsn: if pick & 2 == 0 { log.tail } else { Lsn(random()) },
                synced: Lsn(random() >> (pick % 64)),
                completed: Lsn(random() >> (pick % 64)),
                kind: RecordKind::from_u8(u8::try_from(random() % 7).unwrap()),
                flags: u8::from(pick % 16 == 15),
                payload_crc: record::payload_crc(log.segment.salt(), &[0; 16]),
            };
            let raw = record::encode_header(&header, log.segment.salt());
            let place = log.tail.0 - FLOOR.0;
            log.segment.store_record(place, &raw, &[0; 16]);
            log.tail = log.tail.plus(64);
        }
        let place = Place {
            base: Lsn(random() >> (random() % 64)),
            predecessor: None,
            synced: Lsn(random()),
        };
        if random() & 1 == 0 {
            log.segment.store_base(&place).unwrap();
        }

        let _ = replay_here(&log.dir);
    }
}
