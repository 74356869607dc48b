//! What reads pay for.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, get, put, scan};
use crate::base::KeyspaceId;
use crate::base::options::OpenOptions;
use crate::engine::{Db, ReadOptions};
use crate::vfs::sim::SimFs;

/// A database with room for a thousand entries in memory.
fn open() -> (Machine, Arc<Db>) {
    let options = OpenOptions { write_buffer_bytes: 512 << 10, ..OpenOptions::default() };
    let machine = Machine::with(SimFs::new(), options);
    let db = machine.open().unwrap();
    (machine, db)
}

fn fill(db: &Db, entries: usize, round: usize) {
    for i in 0..entries {
        let value = format!("{round}.{}", "x".repeat(1000));
        put(db, &format!("key{i:04}"), &value, &BUFFER).unwrap();
    }
}

fn open_iterators(db: &Arc<Db>, count: usize) {
    for _ in 0..count {
        db.iter(KeyspaceId::DEFAULT, &ReadOptions::default(), None, None).unwrap();
    }
}

#[test]
fn many_seeks_bring_down_what_each_of_them_must_look_into() {
    let (machine, db) = open();
    fill(&db, 300, 0);
    db.flush().unwrap();
    fill(&db, 300, 1);
    let before = scan(&db);

    open_iterators(&db, 1000);
    machine.settle();
    assert_eq!(db.stat("active_entries").unwrap(), 300, "too few have paid");
    assert_eq!(db.stat("level0_sections").unwrap(), 1);

    open_iterators(&db, 4000);
    machine.settle();
    assert_eq!(db.stat("active_entries").unwrap(), 0);
    assert_eq!(db.stat("level0_sections").unwrap(), 0);
    assert_eq!(scan(&db), before);
}

#[test]
fn very_many_point_reads_bring_down_level_0_though_they_lose_little_by_it() {
    let (machine, db) = open();
    fill(&db, 300, 0);
    db.flush().unwrap();
    fill(&db, 30, 1);
    db.flush().unwrap();
    let read = |count: usize| {
        for i in 0..count {
            assert!(get(&db, &format!("key{:04}", i % 300)).is_some());
        }
        machine.settle();
    };

    read(10_000);
    assert_eq!(db.stat("level0_sections").unwrap(), 2, "too few have paid");
    read(300_000);
    assert_eq!(db.stat("level0_sections").unwrap(), 0);
    fill(&db, 300, 2);
    fill(&db, 60, 3);
    machine.settle();
    let active = db.stat("active_entries").unwrap();
    assert!(active > 270, "enough to be sealed for seeks: {active}");
    read(600_000);
    assert_eq!(db.stat("active_entries").unwrap(), active, "they look there anyway");
}

#[test]
fn a_few_entries_in_memory_stay_there_however_many_seeks_there_are() {
    let (machine, db) = open();
    fill(&db, 300, 0);
    db.flush().unwrap();
    open_iterators(&db, 5000);
    machine.settle();
    assert_eq!(db.stat("level0_sections").unwrap(), 0);

    fill(&db, 30, 1);
    open_iterators(&db, 50_000);
    machine.settle();

    assert_eq!(db.stat("active_entries").unwrap(), 30);
}

#[test]
fn entries_in_memory_go_down_where_they_are_worth_it_together_with_level_0() {
    let (machine, db) = open();
    // Values that cannot be compressed, so that tables are as large as what is in memory.
    let mut random = 1_u64;
    let mut fill = |entries: usize| {
        for i in 0..entries {
            let letter = |_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'0' + (random >> 58) as u8)
            };
            let value: String = (0..1000).map(letter).collect();
            put(&db, &format!("key{i:04}"), &value, &BUFFER).unwrap();
        }
    };
    fill(7000);
    db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
    // The first generation afterwards is a small one.
    fill(325);
    open_iterators(&db, 50_000);
    machine.settle();
    assert!(db.stat("active_entries").unwrap() >= 250, "less than a twentieth stays");
    db.flush().unwrap();
    assert!(db.stat("level0_sections").unwrap() > 0);
    fill(300);
    assert!(db.stat("active_entries").unwrap() >= 250, "alone they would stay again");
    let before = scan(&db);

    open_iterators(&db, 50_000);
    machine.settle();

    let left = db.stat("active_entries").unwrap();
    assert!(left < 250, "{left}");
    assert_eq!(db.stat("level0_sections").unwrap(), 0);
    assert_eq!(scan(&db), before);
}
