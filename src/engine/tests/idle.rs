//! What a database holds when nobody writes.

use super::machine::{BUFFER, Machine, SYNC, put, scan};
use crate::base::KeyspaceId;
use crate::base::filename::{self, FileName};
use crate::engine::{Background, Db};
use crate::vfs::sim::CallKind;

/// What each file is, and its length.
fn files(machine: &Machine) -> Vec<(FileName, u64)> {
    let named = |path: &str| path.split('/').next_back().and_then(filename::parse);
    machine.fs.files().iter().filter_map(|(path, bytes)| Some((named(path)?, *bytes))).collect()
}

fn bytes_of_logs(machine: &Machine) -> u64 {
    let is_log = |name: &FileName| matches!(name, FileName::Log(_));
    files(machine).iter().filter(|(name, _)| is_log(name)).map(|(_, bytes)| bytes).sum()
}

fn wait_idle(db: &Db) {
    db.background(Background::WaitIdle, u64::MAX).unwrap();
}

/// Two generations of a quarter of the write buffer, with their heads.
const IDLE_BYTES: u64 = 2 * (8192 + 1024);

#[test]
fn unused_log_space_is_given_back_after_a_flush() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    for round in 0..3 {
        for i in 0..30 {
            put(&db, &format!("key{i:02}"), &format!("{round:0200}"), &BUFFER).unwrap();
        }
        db.flush().unwrap();
        machine.settle();
        assert!(bytes_of_logs(&machine) > IDLE_BYTES, "generations are large again");
        wait_idle(&db);
        assert!(bytes_of_logs(&machine) <= IDLE_BYTES);
    }
    put(&db, "synced", "v", &SYNC).unwrap();
    assert_eq!(scan(&db).len(), 31);
}

#[test]
fn memory_kept_for_writers_is_given_back_when_somebody_waited_for_idleness() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    for i in 0..300 {
        put(&db, &format!("key{i:03}"), &format!("{i:0200}"), &BUFFER).unwrap();
    }
    db.flush().unwrap();
    machine.settle();
    assert!(db.env.memory.bytes() > 0, "generations that are gone left some");

    wait_idle(&db);

    assert_eq!(db.env.memory.bytes(), 0);
    assert_eq!(scan(&db).len(), 300);
}

#[test]
fn a_log_with_entries_stays_when_nobody_writes() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    let rotations = db.stat("rotations").unwrap();
    wait_idle(&db);
    wait_idle(&db);
    assert_eq!(db.stat("rotations").unwrap(), rotations);
    assert_eq!(scan(&db).len(), 1);
}

#[test]
fn a_wait_for_idleness_ends_when_replaced_tables_are_removed() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    for round in 0..4 {
        for i in 0..10 {
            put(&db, &format!("key{i:02}"), &format!("{round}"), &BUFFER).unwrap();
        }
        db.flush().unwrap();
    }
    db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
    wait_idle(&db);
    let is_table = |name: &FileName| matches!(name, FileName::Table(_));
    let tables = files(&machine).iter().filter(|(name, _)| is_table(name)).count() as u64;
    assert_eq!(tables, db.stat("tables").unwrap());
}

#[test]
fn the_file_of_a_flushed_log_becomes_a_later_log_and_goes_when_nobody_writes() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let logs = || {
        let named = files(&machine).into_iter();
        let mut numbers: Vec<_> = named
            .filter_map(|(name, _)| match name {
                FileName::Log(number) => Some(number.0),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let mut seen = std::collections::BTreeSet::new();
    machine.fs.start_trace();
    for i in 0..200 {
        put(&db, &format!("key{i:03}"), &format!("{i:0200}"), &BUFFER).unwrap();
        machine.settle();
        seen.extend(logs());
        assert!(logs().len() <= 3, "active, prepared, kept: {:?}", logs());
    }
    let calls = machine.fs.trace();
    let created = calls.iter().filter(|call| call.kind == CallKind::Create);
    let created = created.filter(|call| call.file.contains(".wal")).count();
    assert!(seen.len() >= 10 && created <= 4, "{created} files for {seen:?}");
    let kept = db.shelf.bytes();
    let with = db.health().disk_bytes;
    assert!(kept > 0 && with > kept);
    db.clear_shelf();
    assert_eq!(db.health().disk_bytes, with - kept);

    db.flush().unwrap();
    wait_idle(&db);

    assert!(bytes_of_logs(&machine) <= IDLE_BYTES);
    assert_eq!(scan(&db).len(), 200);
}

#[test]
fn who_waits_for_the_end_of_all_work_finds_next_to_nothing_above_the_last_level() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let mut word = 1_u64;
    let mut fill = |count: u64, first: u64| {
        for i in first..first + count {
            let words = (0..8).map(|_| {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                format!("{word:016x}")
            });
            let value: String = words.collect();
            put(&db, &format!("key{:04}", i * 777 % 2000), &value, &BUFFER).unwrap();
        }
        db.flush().unwrap();
        machine.settle();
    };
    let levels = || -> Vec<u64> {
        let stat = |level| db.stat(&format!("level{level}_bytes")).unwrap();
        (0..7).map(stat).filter(|bytes| *bytes > 0).collect()
    };
    let is_light = |levels: &[u64]| {
        let above: u64 = levels.iter().rev().skip(1).sum();
        above * 10 < levels.iter().sum()
    };
    fill(600, 0);
    let mut filled = 600;
    while is_light(&levels()) {
        fill(20, filled);
        filled += 20;
        assert!(filled < 2000, "{:?} without waiting", levels());
    }

    wait_idle(&db);

    // What is left would rewrite more than ten times its size.
    assert!(is_light(&levels()), "{:?}", levels());
    assert_eq!(scan(&db).len() as u64, filled);
}

#[test]
fn what_iterators_left_goes_when_somebody_waits_for_the_end_of_all_work() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    wait_idle(&db);
    scan(&db);
    assert!(db.spare.take().is_some(), "iterators leave cursors");
    scan(&db);

    wait_idle(&db);

    assert!(db.spare.take().is_none());
}
