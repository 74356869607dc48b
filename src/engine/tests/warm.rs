//! What the cache holds of tables that were just written. With real threads: stepped work brings
//! nothing in.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, get, put};
use crate::base::KeyspaceId;
use crate::engine::{Background, Db};

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
