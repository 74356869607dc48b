//! The limit of what background work writes.

use std::path::Path;
use std::sync::Arc;

use super::machine::{BUFFER, PATH, put};
use crate::base::options::{EnvOptions, OpenOptions};
use crate::engine::{Db, Env};
use crate::os::sim::SimOs;
use crate::vfs::sim::SimFs;

/// A database whose background work may write a byte a second.
fn open() -> Arc<Db> {
    let fs = SimFs::new();
    let os = Arc::new(SimOs::with_threads(1, fs.boot_id()));
    let options =
        EnvOptions { memory_budget_bytes: 64 << 20, io_bytes_per_sec: 1, ..EnvOptions::default() };
    let env = Env::create(options, fs, os).unwrap();
    let options = OpenOptions { write_buffer_bytes: 8 << 20, ..OpenOptions::default() };
    Db::open(&env, Path::new(PATH), options, None).unwrap()
}

fn fill(db: &Db, from: usize, to: usize) {
    let value = "x".repeat(1000);
    for i in from..to {
        put(db, &format!("key{i:05}"), &format!("{i}{value}"), &BUFFER).unwrap();
    }
}

#[test]
fn a_caller_who_flushes_or_closes_does_not_wait_for_the_limit() {
    let db = open();
    fill(&db, 0, 4000);
    db.flush().unwrap();
    assert!(db.stat("flushes").unwrap() > 0);
    fill(&db, 4000, 8000);
    db.close().unwrap();
}

#[test]
fn small_tables_count_as_well() {
    let db = open();
    fill(&db, 0, 10);
    let before = db.env.throttle.paid_until_ns();
    db.flush().unwrap();
    // A second for each byte.
    assert!(db.env.throttle.paid_until_ns() > before + 100 * 1_000_000_000);
    db.close().unwrap();
}
