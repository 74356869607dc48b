//! A database that ended cleanly goes on: what was in its log is in memory, and later in tables.

use super::machine::{BUFFER, Machine, PATH, put, scan};
use crate::base::options::{EnvOptions, KeyspaceOptions, OpenOptions};
use crate::engine::Env;
use crate::os::sim::SimOs;
use crate::vfs::sim::{CallKind, SimFs};
use std::sync::Arc;

/// A machine whose budget lets several generations wait for their flush.
fn roomy() -> Machine {
    let options = OpenOptions { write_buffer_bytes: 4096, ..OpenOptions::default() };
    let mut machine = Machine::with(SimFs::new(), options);
    let os = Arc::new(SimOs::new(1, machine.fs.boot_id()));
    let env_options = EnvOptions { memory_budget_bytes: 64 << 20, ..EnvOptions::default() };
    machine.env = Env::create(env_options, Arc::clone(&machine.fs) as _, os).unwrap();
    machine
}

#[test]
fn positions_in_the_manifest_stay_when_the_log_ended_below_them() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    // Names a position that the active log could reach, and that it does not reach.
    db.flush().unwrap();
    put(&db, "b", "2", &BUFFER).unwrap();
    db.close().unwrap();

    let db = machine.open().unwrap();
    let options = KeyspaceOptions { filter_bits_x10: 50, ..KeyspaceOptions::default() };
    db.keyspace_open("default", Some(&options)).unwrap();
    db.flush().unwrap();

    assert_eq!(scan(&db).len(), 2);
}

#[test]
fn several_replayed_logs_are_flushed_one_after_the_other() {
    let machine = roomy();
    let db = machine.open().unwrap();
    for i in 0..200 {
        put(&db, &format!("key{i:03}"), &"v".repeat(100), &BUFFER).unwrap();
    }
    let waiting = db.stat("sealed_generations").unwrap();
    db.close().unwrap();

    let db = machine.open().unwrap();
    assert!(waiting >= 2, "{waiting} logs are too few for this test");
    put(&db, "more", "v", &BUFFER).unwrap();
    db.flush().unwrap();

    assert_eq!(scan(&db).len(), 201);
    assert_eq!(db.stat("sealed_generations").unwrap(), 0);
}

#[test]
fn an_opening_after_a_clean_end_writes_and_syncs_nothing_before_the_first_edit() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    db.flush().unwrap();
    put(&db, "b", "2", &BUFFER).unwrap();
    db.close().unwrap();
    let current = || machine.fs.read_file(format!("{PATH}/CURRENT")).unwrap();
    let before = current();

    machine.fs.start_trace();
    let db = machine.open().unwrap();
    let changed = machine
        .fs
        .trace()
        .into_iter()
        .filter(|call| call.kind.changes() && call.kind != CallKind::Lock);
    assert_eq!(changed.collect::<Vec<_>>(), []);
    assert_eq!(scan(&db).len(), 2);
    assert!(current() == before);

    put(&db, "c", "3", &BUFFER).unwrap();
    db.flush().unwrap();
    assert!(current() != before, "a manifest that was recovered is never appended to");
    db.close().unwrap();
    assert_eq!(scan(&machine.open().unwrap()).len(), 3);
}
