//! Readers against those who drop what nobody reads any more: bounded tries with real threads.
//!
//! Each test repeats until a number of rounds is through, so it can miss a bug but never sees one
//! that is not there.

use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::machine::{BUFFER, Machine, get, put};
use crate::base::{KeyspaceId, Lsn};
use crate::engine::ReadOptions;
use crate::engine::snapshot::Snapshots;
use crate::mem::atomic::{AtomicU64, Ordering};

fn machine() -> Machine {
    Machine::threaded(1 << 20, 4096)
}

/// Tells the other thread when this one ends, by a panic, too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_key_that_always_lives_is_found_while_its_old_versions_are_dropped() {
    let machine = machine();
    let db = machine.open().unwrap();
    put(&db, "key", "0", &BUFFER).unwrap();
    let is_over = AtomicBool::new(false);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            while !is_over.load(Ordering::Relaxed) {
                let found = get(&db, "key");
                assert!(found.is_some(), "the key was missed");
            }
        });
        let _over = Over(&is_over);
        start.wait();
        for round in 0..150 {
            put(&db, "key", &format!("{round}"), &BUFFER).unwrap();
            put(&db, "key", &format!("{round}."), &BUFFER).unwrap();
            db.flush().unwrap();
            if round % 10 == 9 {
                db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
            }
        }
    });
}

#[test]
fn a_snapshot_shows_the_same_while_old_versions_are_dropped() {
    let machine = machine();
    let db = machine.open().unwrap();
    put(&db, "key", "0", &BUFFER).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let snapshot = Some(db.snapshot().unwrap());
                let options = ReadOptions { snapshot, ..ReadOptions::default() };
                let read = || db.get(KeyspaceId::DEFAULT, b"key", &options).unwrap();
                let first = read().expect("the snapshot missed the key").to_vec();
                thread::yield_now();
                assert_eq!(read().as_deref(), Some(&*first), "the snapshot changed");
            }
        });
        let _over = Over(&is_over);
        for round in 0..150 {
            put(&db, "key", &format!("{round}"), &BUFFER).unwrap();
            put(&db, "key", &format!("{round}."), &BUFFER).unwrap();
            db.flush().unwrap();
        }
    });
}

#[test]
fn no_dropper_passes_a_position_that_a_snapshot_got() {
    let snapshots = Snapshots::new();
    let visible = AtomicU64::new(64);
    let is_over = AtomicBool::new(false);
    // Some version below it is gone.
    let dropped = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                visible.fetch_add(64, Ordering::SeqCst);
                let (horizon, living) = snapshots.positions(&visible);
                let limit = living.first().copied().unwrap_or(horizon);
                dropped.fetch_max(limit.0, Ordering::SeqCst);
            }
        });
        let _over = Over(&is_over);
        for _ in 0..2_000 {
            let (slot, Lsn(position)) = snapshots.register(&visible, 0);
            for _ in 0..3 {
                let dropped = dropped.load(Ordering::SeqCst);
                assert!(dropped <= position, "{dropped} is above the snapshot at {position}");
                thread::yield_now();
            }
            snapshots.release(slot);
        }
    });
}
