//! Two tables written at once, and the log files that are used again beside readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::{BUFFER, Machine, SYNC, get, put, scan};
use crate::base::{KeyspaceId, Lsn};
use crate::engine::prepare::Form;
use crate::engine::{Background, Db, WriteOptions};
use crate::mem::epoch;
use crate::vfs::sim::{CallKind, PowerLoss};

/// Three sealed generations or more, each with other values of the same keys.
fn with_sealed(machine: &Machine) -> Arc<Db> {
    let db = machine.open().unwrap();
    db.background(Background::Pause, 0).unwrap();
    for round in 0..3 {
        for i in 0..16 {
            put(&db, &format!("key{i:02}"), &format!("{round:0200}"), &BUFFER).unwrap();
        }
    }
    db
}

/// Claims the oldest generation as another worker would.
fn claim_oldest(db: &Db) -> Lsn {
    let (end, _, ()) = db.flushes.claim(|| db.whole_sealed(), || ()).unwrap();
    end
}

fn check(db: &Arc<Db>) {
    for i in 0..16 {
        assert_eq!(get(db, &format!("key{i:02}")), Some(format!("{:0200}", 2)));
    }
    assert_eq!(scan(db).len(), 16);
}

#[test]
fn a_table_that_is_ready_waits_for_the_older_one() {
    let machine = Machine::new();
    let db = with_sealed(&machine);
    let floor = db.floor();
    let oldest = claim_oldest(&db);

    assert!(db.flush_oldest().unwrap(), "the second one is written");
    assert_eq!(db.floor(), floor, "and not installed");
    assert!(!db.flush_oldest().unwrap(), "two are claimed");
    check(&db);
    db.flushes.give_up(oldest);
    assert!(db.flush_oldest().unwrap());

    assert!(db.floor() > oldest, "both are installed, the older first");
    check(&db);
    db.flush().unwrap();
    check(&db);
    db.close().unwrap();
    check(&machine.open().unwrap());
}

#[test]
fn a_crash_between_two_tables_that_are_written_at_once_loses_nothing() {
    let machine = Machine::new();
    let db = with_sealed(&machine);
    put(&db, "synced", "v", &SYNC).unwrap();
    claim_oldest(&db);
    db.flush_oldest().unwrap();
    for other in [machine.process_death(), machine.power_loss(PowerLoss::Independent, 1)] {
        let db = other.open().unwrap();
        assert_eq!(get(&db, "synced"), Some("v".to_owned()));
        db.delete(KeyspaceId::DEFAULT, b"synced", &BUFFER).unwrap();
        check(&db);
    }
}

#[test]
fn a_table_that_was_never_installed_is_removed_at_the_close() {
    let machine = Machine::new();
    let db = with_sealed(&machine);
    claim_oldest(&db);
    db.flush_oldest().unwrap();
    let tables = || machine.fs.files().iter().filter(|(name, _)| name.contains(".sst")).count();
    assert_eq!(tables(), 1);

    db.close().unwrap();

    assert_eq!(tables(), 0);
    check(&machine.open().unwrap());
}

#[test]
fn a_log_that_a_reader_still_holds_is_not_used_again() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    for i in 0..16 {
        put(&db, &format!("key{i:02}"), &format!("{i:0200}"), &BUFFER).unwrap();
    }
    // Holds the generation that is active, with its segment.
    let held = {
        let guard = epoch::pin();
        Arc::clone(&db.state.load(&guard).active)
    };
    let number = held.log_number();
    let mut held = Some(held);
    for i in 0..64 {
        put(&db, &format!("more{i:02}"), &format!("{i:0200}"), &BUFFER).unwrap();
        machine.settle();
        if held.is_some() && db.floor() > held.as_ref().unwrap().base() {
            let capacity = db.options.write_buffer_bytes;
            let taken = db.shelf.take(capacity);
            assert_ne!(taken.map(|used| used.number), Some(number));
            held = None;
        }
    }
    assert!(held.is_none(), "it was flushed");
    assert_eq!(scan(&db).len(), 80);
}

#[test]
fn of_kept_logs_one_of_another_length_goes_first() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let kept = [8192, 4096, 8192].map(|capacity| {
        let (capacity, charge) = db.charge(capacity).unwrap();
        db.build(capacity, Form::Plain, charge).unwrap()
    });
    let [first, other, last] = kept.each_ref().map(|made| made.segment.as_ref().unwrap());

    assert_eq!(db.shelf.keep(first, 8192), None);
    assert_eq!(db.shelf.keep(other, 4096), None);

    assert_eq!(db.shelf.keep(last, 8192), Some(other.number()));
    assert_eq!(db.shelf.keep(other, 4096), Some(first.number()));
}

#[test]
fn a_log_that_is_used_again_has_another_salt() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let make = || {
        let (capacity, charge) = db.charge(8192).unwrap();
        let made = db.build(capacity, Form::Plain, charge).unwrap();
        Arc::clone(made.segment.as_ref().unwrap())
    };
    let first = make();
    let salt = first.salt();
    assert_eq!(db.shelf.keep(&first, 8192), None);
    drop(first);
    machine.settle();

    let second = make();

    assert_eq!(db.shelf.bytes(), 0, "the file was not used again");
    assert_ne!(second.salt(), salt);
}

#[test]
fn crashes_find_no_records_of_the_log_that_was_there_before() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    machine.fs.start_trace();
    for i in 0..400 {
        put(&db, &format!("key{i:03}"), &format!("{i:0200}"), &BUFFER).unwrap();
        machine.settle();
        if i % 7 == 0 {
            let db = machine.process_death().open().unwrap();
            assert_eq!(scan(&db).len(), i + 1);
            let db = machine.power_loss(PowerLoss::Independent, i as u64).open().unwrap();
            let found = scan(&db);
            assert!(found.iter().enumerate().all(|(at, (key, value))| {
                *key == format!("key{at:03}") && *value == format!("{at:0200}")
            }));
        }
    }
    let calls = machine.fs.trace();
    let renamed = calls.iter().filter(|call| call.kind == CallKind::Rename);
    let reused = renamed.filter(|call| call.file.contains(".wal")).count();
    assert!(reused > 5, "{reused} logs were used again");
}

#[test]
fn a_worker_that_met_the_lock_of_a_writer_who_prepares_is_woken_afterwards() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "key", "v", &BUFFER).unwrap();
    let active = {
        let guard = epoch::pin();
        Arc::clone(&db.state.load(&guard).active)
    };
    let met = Arc::new(AtomicU64::new(0));
    machine.fs.watch({
        let (db, met) = (Arc::clone(&db), Arc::clone(&met));
        move |_| {
            if !db.prepare_next().unwrap() {
                met.store(db.env.wakes(), Ordering::Relaxed);
            }
        }
    });

    let no_stall = WriteOptions { no_stall: true, ..BUFFER };
    db.wait_for_next(active.log_number(), &no_stall).unwrap();

    let met = met.load(Ordering::Relaxed);
    assert!(met > 0, "the writer did not prepare");
    assert!(db.env.wakes() > met);
    machine.fs.watch(|_| ());
}
