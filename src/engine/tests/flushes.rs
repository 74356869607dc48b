//! Two tables written at once, and the log files that are used again beside readers.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, SYNC, get, put, scan};
use crate::base::{KeyspaceId, Lsn};
use crate::engine::{Background, Db};
use crate::mem::epoch;
use crate::vfs::sim::PowerLoss;

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
