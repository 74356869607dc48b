//! Removing files that nothing names any more.
//!
//! A file is removed only after the manifest edit that no longer names it is durable (invariant
//! T10), and a table only when no reader can open it any more. Failing to remove is no failure: the
//! next open sweeps.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::db::{Db, LogLevel};
use super::generation::Sealed;
use crate::base::filename::{self, FileName};
use crate::base::{FileNumber, Lsn, Result};
use crate::vfs::Dir;
use crate::wal::Segment;

/// How often a wait for the end of all work helps grace periods to end: readers pin for less than
/// a microsecond, and what long ones hold stays.
const REMOVE_ROUNDS: u32 = 64;

impl Db {
    /// Removes a file of ours that nothing names.
    pub(super) fn remove_file(&self, name: &str) {
        if let Err(error) = self.dir.remove(name) {
            self.log(LogLevel::Warn, || format!("an obsolete file stays: {error}"));
        }
    }

    /// As a worker: removes tables that no version holds any more.
    pub(super) fn obsolete_job(&self) -> bool {
        // Whoever waits for the end of all work waits for the files that others are removing.
        let _one = self.jobs.removing.lock();
        if self.tables.has_retired() {
            self.spare.clear();
        }
        let numbers = self.tables.take_unused();
        for number in &numbers {
            self.remove_file(&filename::table(*number));
        }
        if !numbers.is_empty() {
            self.env.rebalance();
        }
        !numbers.is_empty()
    }
}

impl Db {
    /// Keeps the log of what was flushed, durably, for a later generation, or removes it. One that is
    /// not full or smaller than others will be was not made for writers who go on.
    pub(super) fn retire_log(&self, flushed: &Sealed) {
        let wanted = self.generation_bytes();
        let full = match flushed {
            // Elsewhere to write over what is there may take new space, which may be lacking.
            Sealed::Generation(generation) if self.mapped_ok => {
                let is_full = |segment: &&Arc<Segment>| {
                    let capacity = segment.capacity();
                    let is_usual = capacity == wanted || generation.memtable.is_sparse();
                    is_usual && flushed.bytes() > capacity / 2
                };
                generation.segment.as_ref().filter(is_full)
            }
            _ => None,
        };
        let gone = match full {
            Some(segment) => self.shelf.keep(segment, flushed.bytes()),
            None => flushed.log_number(),
        };
        if let Some(number) = gone {
            self.remove_file(&filename::log(number));
        }
    }

    /// Removes the logs that are kept for later generations: nobody writes.
    pub(super) fn clear_shelf(&self) {
        for number in self.shelf.clear() {
            self.remove_file(&filename::log(number));
        }
    }

    /// Removes what nobody can read any more, now: but for readers that are still at it, no
    /// retired table is left when this returns.
    pub(super) fn remove_obsolete(&self) {
        self.clear_shelf();
        // They hold memory of the active generation.
        self.spare.clear();
        for _ in 0..REMOVE_ROUNDS {
            // Versions that were replaced hold their tables until grace periods have passed.
            self.env.garbage.drain();
            self.obsolete_job();
            if !self.tables.has_retired() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// What a directory may keep after recovery.
pub(super) struct Keep {
    /// The manifest that `CURRENT` names.
    pub(super) manifest: FileNumber,
    /// Tables that the manifest names.
    pub(super) tables: BTreeSet<FileNumber>,
    /// Logs that were replayed and stay until they are flushed.
    pub(super) logs: BTreeSet<FileNumber>,
}

/// Removes what an earlier life of the database left. Names that are not ours stay.
pub(super) fn sweep(dir: &dyn Dir, keep: &Keep) -> Result<()> {
    for listed in dir.list()? {
        let stays = match filename::parse(&listed.name) {
            Some(FileName::Log(number)) => keep.logs.contains(&number),
            Some(FileName::Table(number)) => keep.tables.contains(&number),
            Some(FileName::Manifest(number)) => number == keep.manifest,
            Some(FileName::CurrentTemp) => false,
            Some(FileName::Current | FileName::Lock) | None => true,
        };
        if !stays && listed.is_file {
            dir.remove(&listed.name)?;
        }
    }
    Ok(())
}

/// The first position after a crash: above everything that any file of ours may have held.
pub(super) fn above(highest: Lsn) -> Lsn {
    Lsn((highest.0 + 64).next_multiple_of(64))
}
