//! Long values that stay in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::{BUFFER, Machine, PATH, SYNC, get, put, scan};
use crate::base::{Error, ErrorKind, KeyspaceId, Kind, Packed, Result};
use crate::batch::{self, Op};
use crate::engine::generation::Generation;
use crate::engine::{Background, Db, Iter, ReadOptions, SeekHow, WriteOptions};
use crate::mem::epoch;
use crate::vfs::sim::{CallKind, PowerLoss};

/// Bytes of a value that stays in the log.
const LONG: usize = 600;

fn key(i: usize) -> String {
    format!("key{i:03}")
}

/// A long value of its own for each key and round.
fn value(i: usize, round: usize) -> String {
    format!("{round:03}-{i:03}/").repeat(LONG / 8)
}

fn fill(db: &Db, count: usize, round: usize) {
    for i in 0..count {
        put(db, &key(i), &value(i, round), &BUFFER).unwrap();
    }
}

fn check(db: &Arc<Db>, count: usize, round: usize) {
    for i in 0..count {
        assert_eq!(get(db, &key(i)), Some(value(i, round)));
    }
    let expected: Vec<_> = (0..count).map(|i| (key(i), value(i, round))).collect();
    assert_eq!(scan(db), expected);
}

fn active(db: &Db) -> Arc<Generation> {
    let guard = epoch::pin();
    Arc::clone(&db.state.load(&guard).active)
}

/// A database that does nothing in the background.
fn paused(machine: &Machine) -> Arc<Db> {
    let db = machine.open().unwrap();
    db.background(Background::Pause, 0).unwrap();
    db
}

#[test]
fn long_values_are_in_the_log_only_and_are_read_back() {
    let machine = Machine::new();
    let db = paused(&machine);

    fill(&db, 5, 0);
    let spared = active(&db).memtable.spared_bytes();

    assert!(spared > 4 * LONG as u64, "{spared} bytes are in the log only");
    check(&db, 5, 0);
    fill(&db, 40, 1);
    check(&db, 40, 1);
    db.background(Background::Resume, 0).unwrap();
    db.flush().unwrap();
    check(&db, 40, 1);
    db.close().unwrap();
    check(&machine.open().unwrap(), 40, 1);
}

#[test]
fn batches_and_values_without_a_log_are_in_memory() {
    let machine = Machine::new();
    let db = paused(&machine);
    let unlogged =
        WriteOptions { durability: Some(crate::base::options::Durability::None), ..BUFFER };

    put(&db, "a", &value(0, 0), &unlogged).unwrap();

    assert_eq!(active(&db).memtable.spared_bytes(), 0);
    assert_eq!(get(&db, "a"), Some(value(0, 0)));
}

#[test]
fn many_logs_of_long_values_are_recovered() {
    let machine = Machine::new();
    let db = paused(&machine);
    fill(&db, 30, 0);
    put(&db, &key(0), &value(0, 0), &SYNC).unwrap();
    assert!(db.stat("sealed_generations").unwrap() >= 2);

    for other in [machine.process_death(), machine.power_loss(PowerLoss::Independent, 3)] {
        check(&other.open().unwrap(), 30, 0);
    }
}

/// Puts long values until the active generation is made for them. Returns how many.
fn fill_until_sparse(db: &Db) -> usize {
    let mut i = 0;
    while !active(db).memtable.is_sparse() {
        put(db, &key(i), &value(i, 0), &BUFFER).unwrap();
        i += 1;
        assert!(i < 40, "no log became longer");
    }
    i
}

/// A batch that puts `count` values of some 100 bytes under keys of a letter.
fn packed(letter: char, count: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    for i in 0..count {
        let (key, value) = (format!("{letter}{i:03}"), "b".repeat(100));
        let op = Op {
            kind: Kind::Put,
            keyspace: KeyspaceId::DEFAULT,
            expiry_ms: 0,
            key: key.as_bytes(),
            value: value.as_bytes(),
        };
        batch::push_op(&mut packed, &op);
    }
    packed
}

#[test]
fn batches_fill_the_memory_of_a_generation_and_not_its_log() {
    let machine = Machine::new();
    let db = paused(&machine);
    let long = fill_until_sparse(&db);
    let sparse = active(&db);
    let memory = sparse.memtable.memory_bytes();
    let fits = sparse.memtable.capacity_bytes() - sparse.memtable.reserved_bytes();
    // Each entry takes 136 bytes.
    let one_and_a_half = usize::try_from(3 * memory / 2 / 136).unwrap();
    assert!(fits > 3 * memory / 2 + 1000, "the log has no room for it");

    // More than all of its memory: into a generation of its own.
    db.write(&packed('b', one_and_a_half), &BUFFER).unwrap();
    assert!(sparse.memtable.written_bytes() <= memory);
    // And by and by.
    db.background(Background::Resume, 0).unwrap();
    let mut seen = vec![sparse];
    for letter in 'c'..='k' {
        db.write(&packed(letter, one_and_a_half / 7), &BUFFER).unwrap();
        seen.push(active(&db));
        machine.settle();
    }
    let unlogged =
        WriteOptions { durability: Some(crate::base::options::Durability::None), ..BUFFER };
    for i in 0..30 {
        put(&db, &key(i), &value(i, 1), &unlogged).unwrap();
        seen.push(active(&db));
    }

    assert!(seen.iter().filter(|g| g.memtable.is_sparse()).count() > 1);
    for generation in &seen {
        let (written, most) =
            (generation.memtable.written_bytes(), generation.memtable.memory_bytes());
        assert!(written <= most, "{written} of {most} bytes");
    }
    drop(seen);
    db.flush().unwrap();
    assert_eq!(scan(&db).len(), long.max(30) + one_and_a_half + 9 * (one_and_a_half / 7));
}

#[test]
fn a_generation_of_long_values_has_a_longer_log_and_short_records_fill_it_early() {
    let machine = Machine::new();
    let db = paused(&machine);
    let i = fill_until_sparse(&db);
    let sparse = active(&db);
    let memory = sparse.memtable.memory_bytes();
    assert!(sparse.memtable.capacity_bytes() >= 2 * memory);

    db.background(Background::Resume, 0).unwrap();
    let mut short = 0;
    while sparse.memtable.sealed_at().is_none() {
        put(&db, &format!("short{short:03}"), &"s".repeat(100), &BUFFER).unwrap();
        machine.settle();
        short += 1;
    }

    let written = sparse.memtable.written_bytes();
    assert!(written <= memory && written + 1000 > memory, "{written} of {memory} bytes");
    drop(sparse);
    assert_eq!(scan(&db).len(), i + short);
    db.flush().unwrap();
    assert_eq!(scan(&db).len(), i + short);
}

#[test]
fn the_arena_of_a_generation_of_long_values_is_not_brought_in_where_short_ones_come_between() {
    let machine = Machine::new();
    let db = paused(&machine);
    fill_until_sparse(&db);
    let sparse = active(&db);
    put(&db, "short", "s", &BUFFER).unwrap();
    // Of the logs the pages are brought in again then.
    assert!(!sparse.segment.as_ref().unwrap().prefers_calls());

    db.populate(&sparse, (0, sparse.memtable.capacity_bytes()), false);

    assert_eq!(sparse.memtable.resident_bytes(), 0);
}

#[test]
fn a_value_that_is_being_written_into_the_log_is_not_taken_for_memory() {
    let machine = Machine::new();
    let db = paused(&machine);
    fill_until_sparse(&db);
    let watched = active(&db);
    let before = watched.memtable.written_bytes();
    let most = Arc::new(AtomicU64::new(0));
    machine.fs.watch({
        let (most, watched) = (Arc::clone(&most), Arc::clone(&watched));
        move |kind| {
            if kind == CallKind::Write {
                most.fetch_max(watched.memtable.written_bytes(), Ordering::Relaxed);
            }
        }
    });

    put(&db, "key", &value(0, 0), &BUFFER).unwrap();

    let most = most.load(Ordering::Relaxed);
    assert!(most > before && most < before + LONG as u64 / 2, "{before} became {most}");
}

#[test]
fn memory_of_a_single_long_value_is_counted_when_it_is_kept() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "long", &"v".repeat(20_000), &BUFFER).unwrap();
    db.flush().unwrap();

    machine.settle();

    let kept = db.env.memory.bytes();
    assert!(kept == 0 || kept >= 20_000, "{kept} bytes");
    assert!(kept > 0, "nothing is kept");
}

#[test]
fn the_log_of_a_single_large_record_is_not_kept_for_others() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "large", &"v".repeat(20_000), &BUFFER).unwrap();

    db.flush().unwrap();
    machine.settle();

    assert_eq!(db.shelf.bytes(), 0);
}

#[test]
fn values_in_logs_only_count_as_debt_until_they_are_flushed() {
    let machine = Machine::new();
    let db = paused(&machine);
    // The most is a quarter of the memory of the simulated machine.
    let most = usize::try_from(db.values_max()).unwrap();
    let mut i = 0;
    while db.debt() < 1024 {
        put(&db, &key(i), &value(i, 0), &BUFFER).unwrap();
        i += 1;
        assert!(i * LONG < 3 * most, "{} bytes do not delay", i * LONG);
    }

    let no_stall = WriteOptions { no_stall: true, ..BUFFER };
    let refused = put(&db, "more", "v", &no_stall).unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Busy);
    db.background(Background::Resume, 0).unwrap();
    db.flush().unwrap();
    assert_eq!(db.debt(), 0);
    check(&db, i, 0);
}

#[test]
fn a_value_that_the_system_forgot_is_corrupt_and_gets_into_no_table() {
    let machine = Machine::new();
    let db = paused(&machine);
    fill(&db, 3, 0);
    let log = active(&db).log_number();
    let path = format!("{PATH}/{}", crate::base::filename::log(log));
    let whole = machine.fs.read_file(&path).unwrap();
    let found = whole.windows(LONG).position(|at| at == value(1, 0).as_bytes()).unwrap();
    let mut changed = whole.clone();
    changed[found + LONG / 2] ^= 1;
    let tells_where = |error: &Error| {
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, found as u64));
        assert_eq!(error.file_id(), log.0);
        assert!(path.ends_with(error.message().split(' ').nth(2).unwrap()), "{error}");
    };

    machine.fs.write_file(&path, &changed);
    tells_where(&read(&db, 1).unwrap_err());
    assert_eq!(get(&db, &key(2)), Some(value(2, 0)));
    let keys: Vec<_> = (0..3).map(key).collect();
    let mut read = Vec::new();
    let name = |i: usize| keys[i].as_bytes();
    let take = |i, outcome: Result<Option<&[u8]>>| {
        read.push(outcome.is_ok());
        if let Err(error) = outcome {
            assert_eq!(i, 1);
            tells_where(&error);
        }
        true
    };
    db.multi_get(KeyspaceId::DEFAULT, (3, name), &ReadOptions::default(), take).unwrap();
    assert_eq!(read, [true, false, true]);
    db.background(Background::Resume, 0).unwrap();
    tells_where(&db.flush().unwrap_err());

    machine.fs.write_file(&path, &whole);
    db.flush().unwrap();
    check(&db, 3, 0);
}

fn read(db: &Db, i: usize) -> Result<Option<Vec<u8>>> {
    let found = db.get(KeyspaceId::DEFAULT, key(i).as_bytes(), &ReadOptions::default())?;
    Ok(found.map(|value| value.to_vec()))
}

/// Three values in a log, of which the second comes back with other bytes.
fn with_a_forgotten_value(machine: &Machine) -> (Arc<Db>, u64) {
    let db = paused(machine);
    fill(&db, 3, 0);
    let found = forget(machine, &db, &value(1, 0));
    (db, found)
}

/// Changes a value in the active log, and tells where it is.
fn forget(machine: &Machine, db: &Db, value: &str) -> u64 {
    let path = format!("{PATH}/{}", crate::base::filename::log(active(db).log_number()));
    let mut bytes = machine.fs.read_file(&path).unwrap();
    let found = bytes.windows(LONG).position(|at| at == value.as_bytes()).unwrap();
    bytes[found + LONG / 2] ^= 1;
    machine.fs.write_file(&path, &bytes);
    found as u64
}

/// Moves of an iterator that lead to a value.
type Moves = fn(&mut Iter) -> Result<bool>;

#[test]
fn iterators_show_no_value_that_the_system_forgot() {
    let moves: [Moves; 6] = [
        |iter| iter.next().and_then(|_| iter.next()),
        |iter| iter.prev().and_then(|_| iter.prev()),
        |iter| iter.seek(SeekHow::Ge, b"key001"),
        |iter| iter.seek(SeekHow::Le, b"key001"),
        |iter| iter.seek(SeekHow::First, b"").and_then(|_| iter.next_in_general()),
        |iter| {
            iter.seek(SeekHow::First, b"")?;
            iter.pack(&mut Packed::new(&mut [0; 10_000], 9))
        },
    ];
    let machine = Machine::new();
    let (db, offset) = with_a_forgotten_value(&machine);
    let log = active(&db).log_number().0;

    for (i, moves) in moves.iter().enumerate() {
        let mut iter = db.iter(KeyspaceId::DEFAULT, &ReadOptions::default(), None, None).unwrap();
        let error = moves(&mut iter).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "moves {i}");
        assert_eq!((error.file_id(), error.offset()), (log, offset), "moves {i}");
        // Only a seek helps.
        assert!(!iter.is_positioned() && iter.next().is_err() && iter.prev().is_err());
        assert!(iter.seek(SeekHow::Gt, b"key001").unwrap());
        assert_eq!(iter.value(), value(2, 0).as_bytes());
    }
}

#[test]
fn scans_of_keys_do_not_look_at_values() {
    let machine = Machine::new();
    let (db, _) = with_a_forgotten_value(&machine);
    let options = ReadOptions { keys_only: true, ..ReadOptions::default() };

    let mut iter = db.iter(KeyspaceId::DEFAULT, &options, None, None).unwrap();

    for i in 0..3 {
        assert!(iter.next().unwrap());
        assert_eq!(iter.entry(), (key(i).as_bytes(), &b""[..]));
    }
    assert!(!iter.next().unwrap());
}

#[test]
fn going_back_an_iterator_meets_only_the_newest_of_a_key() {
    let machine = Machine::new();
    let db = paused(&machine);
    put(&db, &key(0), &value(0, 0), &BUFFER).unwrap();
    put(&db, &key(0), &value(0, 1), &BUFFER).unwrap();
    forget(&machine, &db, &value(0, 0));

    assert_eq!(read(&db, 0).unwrap(), Some(value(0, 1).into_bytes()));
    let mut iter = db.iter(KeyspaceId::DEFAULT, &ReadOptions::default(), None, None).unwrap();
    assert!(iter.prev().unwrap());
    assert_eq!(iter.value(), value(0, 1).as_bytes());

    forget(&machine, &db, &value(0, 1));
    assert!(iter.next().is_ok_and(|found| !found));
    assert_eq!(iter.prev().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn keys_with_many_versions_are_compared_too() {
    // More than a walk along a chain takes; their old versions are short.
    let machine = Machine::new();
    let db = paused(&machine);
    put(&db, &key(1), &value(1, 0), &BUFFER).unwrap();
    let snapshot = db.snapshot().unwrap();
    let log = active(&db).log_number();
    for i in 0..20 {
        put(&db, &key(1), &format!("short{i}"), &BUFFER).unwrap();
    }
    let old = ReadOptions { snapshot: Some(snapshot), ..ReadOptions::default() };
    let read = || db.get(KeyspaceId::DEFAULT, key(1).as_bytes(), &old);
    assert_eq!(read().unwrap().as_deref(), Some(value(1, 0).as_bytes()));

    assert_eq!(active(&db).log_number(), log);
    let offset = forget(&machine, &db, &value(1, 0));

    let error = read().map(drop).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, offset));
}

#[test]
fn a_log_is_not_used_again_while_an_iterator_looks_at_its_values() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    fill(&db, 6, 0);
    let mut iter = db.iter(KeyspaceId::DEFAULT, &ReadOptions::default(), None, None).unwrap();
    assert!(iter.next().unwrap());

    // Over many generations, each of which wants a log.
    for round in 1..20 {
        fill(&db, 6, round);
        machine.settle();
    }

    for i in 0..6 {
        assert_eq!(iter.key(), key(i).as_bytes());
        assert_eq!(iter.value(), value(i, 0).as_bytes());
        assert_eq!(iter.next().unwrap(), i < 5);
    }
    drop(iter);
    check(&db, 6, 19);
}
