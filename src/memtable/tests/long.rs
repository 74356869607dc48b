//! The end of memtables whose values stay in a log.

use std::sync::Arc;

use super::super::Memtable;
use super::BASE;
use crate::base::{FileNumber, Lsn, Result};
use crate::mem::{Garbage, Recycler, fork};
use crate::vfs::LogMap;

/// A log that keeps values, into which nobody stores.
struct NoLog;

impl LogMap for NoLog {
    fn store(&self, _offset: u64, _bytes: &[u8]) {}
    fn store_words(&self, _offset: u64, _words: &[u64]) {}
    fn keeps_values(&self) -> bool {
        true
    }
    fn populate(&self, _from: u64, _to: u64) {}
    fn release(&self, _offset: u64) {}
    fn sync(&self, _from: u64, _to: u64) -> Result<()> {
        Ok(())
    }
}

/// A memtable one of whose values is in its log.
fn with_a_long_value() -> Memtable {
    let memory = Recycler::new(1 << 20);
    let mut memtable = Memtable::new(64 << 10, 0, 1, &Arc::new(Garbage::new()), &memory).unwrap();
    memtable.set_log(Arc::new(NoLog), 8192, FileNumber(1));
    memtable.open_at(Lsn(BASE));
    memtable.note_long(10_000);
    memtable
}

#[test]
fn a_forked_child_can_drop_a_memtable_of_long_values() {
    let memtable = with_a_long_value();

    assert!(fork::child_survives(|| drop(memtable)));
}
