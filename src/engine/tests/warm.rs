//! What the cache holds of tables that were just written. With real threads: stepped work brings
//! nothing in.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, get, put};
use crate::base::{KeyspaceId, Level};
use crate::engine::{Background, Db};
use crate::version::Section;

const KEYS: usize = 300;

/// A database whose keys were written twice, flushed and compacted, and that came to rest.
fn settled(budget: u64) -> Arc<Db> {
    let machine = Machine::threaded(budget, 64 << 10);
    let db = machine.open().unwrap();
    for round in 0..2 {
        for i in 0..KEYS {
            put(&db, &format!("key{i:04}"), &value(i, round), &BUFFER).unwrap();
        }
        db.flush().unwrap();
    }
    db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
    db.background(Background::WaitIdle, u64::MAX).unwrap();
    db
}

fn value(i: usize, round: usize) -> String {
    format!("{i}.{round}.{}", "x".repeat(1000))
}

/// Blocks that are read from files while every key is looked up.
fn blocks_read(db: &Db) -> u64 {
    let before = db.stat("cache_misses").unwrap();
    for i in 0..KEYS {
        assert_eq!(get(db, &format!("key{i:04}")), Some(value(i, 1)));
    }
    db.stat("cache_misses").unwrap() - before
}

#[test]
fn what_was_just_written_is_in_memory_when_all_work_is_done() {
    assert_eq!(blocks_read(&settled(64 << 20)), 0);
}

#[test]
fn a_cache_without_room_is_left_to_its_readers() {
    assert!(blocks_read(&settled(2 << 20)) > 0);
}

#[test]
fn what_a_job_has_written_is_in_memory_before_it_is_installed_if_readers_came_meanwhile() {
    let machine = Machine::threaded(64 << 20, 1 << 20);
    let db = machine.open().unwrap();
    let mut word = 1_u64;
    for i in 0..KEYS {
        let words = (0..60).map(|_| {
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            format!("{word:016x}")
        });
        let value: String = words.collect();
        put(&db, &format!("key{i:04}"), &value, &BUFFER).unwrap();
    }
    db.flush().unwrap();
    let levels = db.version();
    let sections: Vec<_> = levels.keyspaces().iter().flat_map(|l| l.sections(Level(0))).collect();
    let sections: Vec<Section> = sections.into_iter().cloned().collect();
    assert!(!sections.is_empty());
    // Workers have done what they do of their own accord, and it is gone again.
    db.background(Background::WaitIdle, u64::MAX).unwrap();
    let (cache, before) = (&db.env.cache, db.reads());
    let capacity = cache.capacity();
    cache.set_capacity(0);
    cache.set_capacity(capacity);
    let cached = || db.stat("cache_bytes").unwrap();
    let cold = cached();

    db.warm_before(&sections, before);
    assert_eq!(cached(), cold, "nobody reads");
    for _ in 0..100 {
        assert_eq!(get(&db, "no such key"), None);
    }
    db.warm_before(&sections, before);
    assert!(cached() > cold + 250_000, "{} of {cold}", cached());
}

#[test]
fn what_readers_of_earlier_files_wait_for_brings_in_the_rest() {
    let machine = Machine::threaded(64 << 20, 8 << 20);
    let db = machine.open().unwrap();
    for i in 0..4000 {
        put(&db, &format!("key{i:04}"), &value(i, 0), &BUFFER).unwrap();
    }
    db.close().unwrap();
    drop(db);
    let db = machine.open().unwrap();
    let cached = || db.stat("cache_bytes").unwrap();

    // One in every group of blocks that come together.
    for i in (0..2600).step_by(26) {
        assert_eq!(get(&db, &format!("key{i:04}")), Some(value(i, 0)));
    }
    let by_readers = cached();
    // The clock of this machine wakes nobody.
    let mut tries = 1_000_000;
    while cached() < by_readers + (1 << 20) && tries > 0 {
        db.env.wake_workers();
        std::thread::yield_now();
        tries -= 1;
    }

    assert!(cached() >= by_readers + (1 << 20), "{} after {by_readers}", cached());
}
