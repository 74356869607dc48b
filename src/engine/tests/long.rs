//! Long values that stay in the log.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, PATH, SYNC, get, put, scan};
use crate::base::{ErrorKind, KeyspaceId};
use crate::engine::generation::Generation;
use crate::engine::{Background, Db, ReadOptions, WriteOptions};
use crate::mem::epoch;
use crate::vfs::sim::PowerLoss;

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

#[test]
fn a_generation_of_long_values_has_a_longer_log_and_short_records_fill_it_early() {
    let machine = Machine::new();
    let db = paused(&machine);
    let mut i = 0;
    while !active(&db).memtable.is_sparse() {
        put(&db, &key(i), &value(i, 0), &BUFFER).unwrap();
        i += 1;
        assert!(i < 40, "no log became longer");
    }
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
    assert!(written >= memory && written < memory + 1000, "{written} of {memory} bytes");
    drop(sparse);
    assert_eq!(scan(&db).len(), i + short);
    db.flush().unwrap();
    assert_eq!(scan(&db).len(), i + short);
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
    let path = format!("{PATH}/{}", crate::base::filename::log(active(&db).log_number()));
    let whole = machine.fs.read_file(&path).unwrap();
    let found = whole.windows(LONG).position(|at| at == value(1, 0).as_bytes()).unwrap();
    let mut changed = whole.clone();
    changed[found + LONG / 2] ^= 1;

    machine.fs.write_file(&path, &changed);
    let options = ReadOptions::default();
    let read = db.get(KeyspaceId::DEFAULT, key(1).as_bytes(), &options).map(drop);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&db, &key(2)), Some(value(2, 0)));
    db.background(Background::Resume, 0).unwrap();
    assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::Corrupt);

    machine.fs.write_file(&path, &whole);
    db.flush().unwrap();
    check(&db, 3, 0);
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
