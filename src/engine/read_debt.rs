//! What reads pay for: work that is not due, but makes every further read cheaper.
//!
//! Each read looks into the active memtable, into every section of level 0 and into every level above
//! the last. Seeks lose much by that and point reads a little. When they have lost enough, what they
//! lost it on goes down: the active generation is sealed, and level 0 and then the levels above the
//! last are compacted. What is moved is a twentieth of what it is merged with, or more, so the bytes
//! written stay bounded however many reads there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::db::Db;
use crate::base::Result;
use crate::compaction::Leftover;
use crate::mem::atomic::AtomicU64;
use crate::mem::epoch;
use crate::version::Version;

/// What one more place to look costs a seek and the walk behind it, about.
const SEEK_NS: u64 = 500;
/// What a point read pays for one more table to look into. Each loses about a tenth of what a seek
/// loses, but a seek pays for far more than it has lost, and these for less: they are many, and a
/// compaction beside them takes a processor that they may want.
const GET_NS: u64 = 1;
/// Point reads that count as a seek.
const GETS_A_SEEK: u64 = 256;
/// Fewer seeks pay for nothing.
const SEEKS_MIN: u64 = 1024;
/// Bytes that compaction moves for each ns that seeks have lost. More than a thread can move in that
/// time: most often one has nothing else to do, and the seeks to come gain as well.
const BYTES_PER_NS: u64 = 16;
/// What seeks pay for. A small database is written more often than by a full level, but not by much.
pub(super) const PAID: Leftover = Leftover { sections: 1, rewrites: 20, levels: true };
/// Less in the active memtable is looked through as fast as anything.
const ACTIVE_BYTES_MIN: u64 = 256 << 10;
/// Iterators that one thread opens between two wakes of the workers, which look at this then.
pub(super) const WAKE_EVERY: u64 = 1024;

/// Reads that have paid for what was done for them, or that met nothing that could be done. Written
/// and read by workers, relaxed: a hint.
#[derive(Default)]
pub(super) struct PaidAt {
    seeks: AtomicU64,
    gets: AtomicU64,
}

impl Db {
    /// Seeks of iterators so far, about: the first of each, and most of the others.
    pub(super) fn seeks(&self) -> u64 {
        self.counters.iterators.get() + self.counters.reseeks.get()
    }

    /// Whether reads have paid for compacting what is not due.
    pub(super) fn reads_paid(&self, version: &Version) -> bool {
        let stats = version.stats();
        let deeper = stats.iter().skip(1).filter(|level| level.bytes > 0).count();
        let tables = (version.level0_sections_max() + deeper.saturating_sub(1)) as u64;
        let places = tables + u64::from(!self.is_active_small(version, stats[0].bytes));
        if places == 0 {
            self.spend_reads();
            return false;
        }
        let paid = &self.jobs.paid_at;
        let seeks = self.seeks().saturating_sub(paid.seeks.load(Ordering::Relaxed));
        let gets = self.counters.gets.get().saturating_sub(paid.gets.load(Ordering::Relaxed));
        let bytes: u64 = stats.iter().map(|level| level.bytes).sum();
        let lost_ns = seeks.saturating_mul(places * SEEK_NS);
        // Point reads look into the active memtable anyway, but what they pay for is compacted with it.
        let places = tables + u64::from(!self.is_active_small(version, 0));
        let lost_ns = lost_ns.saturating_add(gets.saturating_mul(places * GET_NS));
        let one_job = bytes.min(self.job_bytes_max());
        seeks + gets / GETS_A_SEEK >= SEEKS_MIN && lost_ns.saturating_mul(BYTES_PER_NS) >= one_job
    }

    /// What was paid for is done.
    pub(super) fn spend_reads(&self) {
        self.jobs.paid_at.seeks.store(self.seeks(), Ordering::Relaxed);
        self.jobs.paid_at.gets.store(self.counters.gets.get(), Ordering::Relaxed);
    }

    /// As a worker: seals the active generation if seeks have paid for it, so that it is flushed and
    /// compacted. Waits for nothing.
    pub(super) fn seal_for_scans(&self) -> Result<bool> {
        let version = self.version();
        // While a compaction runs, one more section would only stay behind.
        let is_compacting = !self.compaction.lock().running.is_empty();
        // For point reads alone nothing is sealed.
        let seeks = self.seeks();
        let sought = seeks.saturating_sub(self.jobs.sealed_for.load(Ordering::Relaxed));
        if is_compacting
            || sought < SEEKS_MIN
            || self.poison.check().is_err()
            || self.is_active_small(&version, version.stats()[0].bytes)
            || !self.reads_paid(&version)
        {
            return Ok(false);
        }
        self.prepare_next()?;
        let guard = epoch::pin();
        let active = Arc::clone(&self.state.load(&guard).active);
        let tail = active.memtable.tail();
        // False or unsealed if there is no room for a successor, or somebody writes just now.
        let sealed = self.seal(&active, tail, &guard)? && active.memtable.sealed_at().is_some();
        self.advance(&guard);
        if sealed {
            self.jobs.sealed_for.store(seeks, Ordering::Relaxed);
        }
        Ok(sealed)
    }

    /// Whether the active generation has too little to be merged with the tables, even together with
    /// `others`, bytes that go down with it, or another one waits.
    fn is_active_small(&self, version: &Version, others: u64) -> bool {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        let Some(base) = state.active.memtable.base() else { return true };
        let active = self.visible().0.saturating_sub(base.0);
        let below: u64 = version.stats().iter().skip(1).map(|level| level.bytes).sum();
        let moved = active.saturating_add(others);
        active < ACTIVE_BYTES_MIN
            || !state.sealed.is_empty()
            || moved.saturating_mul(PAID.rewrites) < below
    }
}
