//! Bringing new tables into the block cache.
//!
//! A flush or a compaction replaces what readers had in memory by a table of which nothing is in the
//! cache, though all of it was just written and lies in the system's page cache. Readers would
//! fetch it block by block, each waiting for a read, a checksum and a first touch of memory. So it is
//! fetched for them, many blocks by one call,
//!
//! - by the job that wrote it, before it is installed, when many readers came meanwhile,
//! - by a worker, when they have come so often since then that they would soon have fetched it
//!   themselves, or
//! - by a worker with nothing else to do, when somebody waits for the end of all work or nothing is
//!   written for a while,
//!
//! and as long as there is room: nothing is evicted for it. Of files of earlier runs nobody knows that
//! they are wanted: a worker brings in some of their blocks for each that a reader had to wait for
//! (`sstable/warm.rs`), as readers do themselves with neighbours, but without waiting. A block that cannot be read is left, too: whoever
//! wants it is told why.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::db::Db;
use crate::base::{FileNumber, KeyspaceId};
use crate::manifest::AddedSection;
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::version::Section;

/// Calls that one turn of a worker makes, each for up to 256 KiB.
const TURN_RUNS: u32 = 8;
/// A read is taken to fetch so many bytes of a new table.
const BYTES_PER_READ: u64 = 16 << 10;
/// Misses of the cache after which it is looked whether something is wanted of tables.
const LOOK_MISSES: u64 = 64;
/// Room that is left in the cache; one call brings in half of it at most.
const SPARE_BYTES: u64 = 4 << 20;

/// A section that was written by this process and is not yet in the cache.
struct Fresh {
    file: FileNumber,
    keyspace: KeyspaceId,
    /// Goes on with this block.
    block: usize,
    /// So many reads of the database make it due.
    due_at: u64,
}

/// Sections to be brought in, oldest first.
#[derive(Default)]
pub(super) struct Warming {
    fresh: Mutex<VecDeque<Fresh>>,
    /// Held by the worker that brings blocks in.
    turn: Mutex<()>,
    /// Held by the worker that brings in what readers of older tables want: nobody waits for its end.
    wanted_turn: Mutex<()>,
    /// Misses of the cache when it was last seen that nothing is wanted of tables. Written and read
    /// by workers, relaxed: it spares looks.
    looked_at: AtomicU64,
}

impl Db {
    /// Remembers what an edit has added.
    pub(super) fn expect_readers(&self, added: &[AddedSection]) {
        if self.options.mapped_reads || self.env.os.is_stepped() {
            return;
        }
        let reads = self.reads();
        let fresh = added.iter().map(|added| Fresh {
            file: added.file.number,
            keyspace: added.section.keyspace,
            block: 0,
            due_at: reads + added.section.bytes / BYTES_PER_READ,
        });
        self.warming.fresh.lock().extend(fresh);
    }

    /// Point reads and seeks so far, about.
    pub(super) fn reads(&self) -> u64 {
        self.counters.gets.get() + self.seeks()
    }

    /// Before a job installs `sections`, which it began to write after `reads_before` reads: brings
    /// them in, if readers come often.
    pub(super) fn warm_before(&self, sections: &[Section], reads_before: u64) {
        if self.options.mapped_reads || self.env.os.is_stepped() {
            return;
        }
        let bytes: u64 = sections.iter().map(|section| section.meta().bytes).sum();
        if self.reads().saturating_sub(reads_before) < bytes / BYTES_PER_READ {
            return;
        }
        for section in sections {
            let Ok(table) = section.table() else { return };
            let mut block = 0;
            while self.has_room() && self.is_live() {
                // One thread does everything: writers must not wait for the end of this. A flush is not
                // done inside a flush.
                if self.env.options.threads == 1 && !self.flushes.is_busy() {
                    while self.urgent_job() {}
                }
                self.between_entries();
                let next = table.warm(section.meta().keyspace, block, SPARE_BYTES / 2);
                let Some(next) = next else { break };
                block = next;
            }
        }
    }

    fn has_room(&self) -> bool {
        let cache = &self.env.cache;
        cache.used() + SPARE_BYTES <= cache.capacity()
    }

    /// Whether blocks are being brought in, or would be if nothing else were to be done.
    pub(super) fn is_warming(&self) -> bool {
        self.warming.turn.is_locked() || self.warm_due(true)
    }

    /// Whether a section should be brought in now. `quiet`: nothing else is to be done.
    fn warm_due(&self, quiet: bool) -> bool {
        let fresh = self.warming.fresh.lock();
        let Some(first) = fresh.front() else { return false };
        quiet || self.reads() >= first.due_at
    }

    /// As a worker: brings in some blocks of tables whose readers wait often.
    pub(super) fn warm_wanted_job(&self) -> bool {
        if self.options.mapped_reads || self.env.os.is_stepped() || !self.has_room() {
            return false;
        }
        let misses = self.env.cache.misses();
        let looked_at = &self.warming.looked_at;
        if misses.saturating_sub(looked_at.load(Ordering::Relaxed)) < LOOK_MISSES {
            return false;
        }
        let Some(_one) = self.warming.wanted_turn.try_lock() else { return false };
        let mut runs = 0;
        for table in self.tables.open_tables() {
            while runs < TURN_RUNS && self.has_room() && table.warm_wanted(SPARE_BYTES / 2) {
                runs += 1;
                self.between_entries();
            }
        }
        if runs == 0 {
            looked_at.store(misses, Ordering::Relaxed);
        }
        runs > 0
    }

    /// As a worker: brings in some blocks of the oldest section that is due.
    pub(super) fn warm_job(&self, quiet: bool) -> bool {
        let Some(_one) = self.warming.turn.try_lock() else { return false };
        if !self.warm_due(quiet) {
            return false;
        }
        let Some(mut first) = self.warming.fresh.lock().pop_front() else { return false };
        if self.warm_some(&mut first) {
            self.warming.fresh.lock().push_front(first);
        }
        true
    }

    /// Whether there is more to bring in of this section.
    fn warm_some(&self, fresh: &mut Fresh) -> bool {
        let Some(handle) = self.tables.held(fresh.file) else { return false };
        let Ok(table) = handle.table() else { return false };
        for _ in 0..TURN_RUNS {
            if !self.has_room() {
                self.warming.fresh.lock().clear();
                return false;
            }
            let Some(next) = table.warm(fresh.keyspace, fresh.block, SPARE_BYTES / 2) else {
                // Its index and filter are open now, and take from what the cache may have.
                self.env.rebalance();
                return false;
            };
            fresh.block = next;
        }
        true
    }
}
