//! The memtable: one generation in memory, written by many threads at once, read by all.
//!
//! A generation is an arena (the bytes of its log) under two indexes: a hash table for point reads,
//! and sorted arrays for ranges, which are made after the writes. Who writes where is decided
//! elsewhere, by reservation; for each record its writer calls, in this order:
//!
//! 1. [`Memtable::expect_link`], before the reservation;
//! 2. [`Memtable::fill`], to write header and entries (all but the mark);
//! 3. [`Memtable::link`] for each entry, in any order;
//! 4. [`Memtable::set_mark`].
//!
//! Readers give a position and see exactly the entries numbered below it, all of which must be
//! published (S2). They take no lock and wait for nobody.
//!
//! Places are byte offsets in the arena; place p has the LSN base + p. [`Replayed`] is the same for
//! readers, built in bulk from a log.

mod arena;
mod layout;
mod long;
mod ordered;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod point;
mod read;
mod slot;
mod tail;

#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::coding::{u32_of, usize_of};
use crate::base::{Entry, Kind, Lsn, Result};
use crate::mem::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::mem::{Garbage, Recycler, fork};

use arena::Arena;
use layout::View;
use long::KeptLog;
use ordered::{Keep, OrderedIndex, SPAN_BYTES};
use point::PointIndex;
#[cfg(not(all(test, loom)))]
use tail::Tail;

pub(crate) use layout::Sums;
pub(crate) use long::LONG_BYTES;
pub(crate) use ordered::{MemCursor, Replayed};
pub(crate) use slot::{Reserve, Slot};
#[cfg(all(test, loom))]
pub(crate) use tail::{Reserved, Tail};

/// Bytes of arena for each bucket of the point index: about one small entry each.
const BYTES_PER_BUCKET: usize = 128;
/// The base of a generation that is not installed yet.
const NO_BASE: u64 = u64::MAX;

/// What a point read found in memory. A tombstone is found, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemFound<'a> {
    /// The entry's number, for tests that ask which version was found.
    #[cfg(all(test, not(loom)))]
    pub(crate) number: u64,
    /// What the entry does.
    pub(crate) kind: Kind,
    /// Milliseconds since 1970; 0 is never.
    pub(crate) expiry_ms: u64,
    /// Empty for a delete.
    pub(crate) value: &'a [u8],
    /// Of a value that lies in the log.
    sums: Option<Sums>,
}

impl MemFound<'_> {
    /// Whether the value is what was written. One in memory is; one that lies in the log may come
    /// back with other bytes, if the system could not write its page out and then forgot it.
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.sums.is_none_or(|sums| sums.is_of(self.value))
    }
}

/// An entry and its number, which only tests ask for.
impl<'a> From<(View<'a>, u64)> for MemFound<'a> {
    #[inline]
    #[cfg_attr(not(all(test, not(loom))), allow(unused_variables, reason = "for tests"))]
    fn from((view, number): (View<'a>, u64)) -> Self {
        Self {
            #[cfg(all(test, not(loom)))]
            number,
            kind: view.kind,
            expiry_ms: view.expiry_ms,
            value: view.value,
            sums: view.sums,
        }
    }
}

impl<'a> From<Entry<'a>> for MemFound<'a> {
    fn from(entry: Entry<'a>) -> Self {
        Self {
            #[cfg(all(test, not(loom)))]
            number: entry.number,
            kind: entry.kind,
            expiry_ms: entry.expiry_ms,
            value: entry.value,
            sums: None,
        }
    }
}

/// One generation in memory. See the module.
pub(crate) struct Memtable {
    // Before the arena and the log, because both point into them.
    points: PointIndex,
    ordered: OrderedIndex,
    arena: Arena,
    /// The LSN of place 0, or `NO_BASE`. Stored by whoever installs the generation (all store the
    /// same), `Release`; read by readers and inserters, `Acquire`. It orders nothing else.
    base: AtomicU64,
    /// Set when entries are frozen and have reached their limit; read as a hint, hence `Relaxed`.
    full: AtomicBool,
    entry_limit: usize,
    tail: Tail,
    log: Option<KeptLog>,
    /// Of one that is sparse: so many bytes of the arena may be written.
    memory_limit: Option<u64>,
}

impl Memtable {
    /// An empty memtable of `capacity_bytes` (a multiple of 8, below 4 GiB), not yet installed.
    ///
    /// It is full at about `entry_limit` entries, even if bytes are left (0: four to a bucket).
    /// `hash_seed` is random and secret. What freezing replaces goes to `garbage`;
    /// memory comes from `memory` and returns there at the end.
    ///
    /// # Errors
    /// `Invalid` for such a capacity, `NoMemory` when the memory cannot be had.
    pub(crate) fn new(
        capacity_bytes: u64,
        entry_limit: usize,
        hash_seed: u64,
        garbage: &Arc<Garbage>,
        memory: &Arc<Recycler>,
    ) -> Result<Self> {
        Self::with_spans(capacity_bytes, entry_limit, hash_seed, garbage, memory, SPAN_BYTES)
    }

    /// A memtable that is born sealed: all of its `capacity_bytes`, the seal's room included, are
    /// one writer's ([`Memtable::take_whole`]). With capacity 0 it is empty for ever.
    ///
    /// # Errors
    /// As for [`Memtable::new`].
    pub(crate) fn new_whole(
        capacity_bytes: u64,
        hash_seed: u64,
        garbage: &Arc<Garbage>,
        memory: &Arc<Recycler>,
    ) -> Result<Self> {
        // An arena has at least one word.
        let mut memtable = Self::new(capacity_bytes.max(8), 0, hash_seed, garbage, memory)?;
        memtable.tail = Tail::new(capacity_bytes, true);
        Ok(memtable)
    }

    /// A memtable whose records are expected to be long values, nearly all of which stay in the log: of
    /// its `capacity_bytes` about `memory_bytes` will be written, each page by itself. It is full when
    /// that many were.
    ///
    /// # Errors
    /// As for [`Memtable::new`].
    pub(crate) fn new_sparse(
        capacity_bytes: u64,
        memory_bytes: u64,
        hash_seed: u64,
        garbage: &Arc<Garbage>,
        memory: &Arc<Recycler>,
    ) -> Result<Self> {
        let arena = Arena::sparse(usize_of(capacity_bytes)?, memory)?;
        let buckets = usize_of(memory_bytes)? / BYTES_PER_BUCKET;
        let points = PointIndex::new(buckets, hash_seed, memory)?;
        let mut memtable = Self::over(arena, points, 0, garbage, SPAN_BYTES);
        memtable.memory_limit = Some(memory_bytes);
        Ok(memtable)
    }

    fn with_spans(
        capacity_bytes: u64,
        entry_limit: usize,
        hash_seed: u64,
        garbage: &Arc<Garbage>,
        memory: &Arc<Recycler>,
        span_bytes: usize,
    ) -> Result<Self> {
        let capacity = usize_of(capacity_bytes)?;
        let arena = Arena::new(capacity, memory)?;
        let points = PointIndex::new(capacity / BYTES_PER_BUCKET, hash_seed, memory)?;
        Ok(Self::over(arena, points, entry_limit, garbage, span_bytes))
    }

    fn over(
        arena: Arena,
        points: PointIndex,
        entry_limit: usize,
        garbage: &Arc<Garbage>,
        span_bytes: usize,
    ) -> Self {
        let entry_limit = if entry_limit == 0 { 4 * points.buckets() } else { entry_limit };
        let tail = Tail::new(arena.capacity() as u64, false);
        Self {
            points,
            ordered: OrderedIndex::new(span_bytes, garbage),
            arena,
            base: AtomicU64::new(NO_BASE),
            full: AtomicBool::new(false),
            entry_limit,
            tail,
            log: None,
            memory_limit: None,
        }
    }

    /// Touches the memory of the point index and of the places `[from, to)`, so that writers do
    /// not fault there. For the background thread that prepares.
    pub(crate) fn populate(&self, from: u64, to: u64) {
        if from == 0 {
            self.points.populate();
        }
        self.arena.populate(at(from), at(to));
    }

    /// Bytes of the arena whose pages were brought in.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn resident_bytes(&self) -> usize {
        self.arena.resident()
    }

    /// Bytes of the arena.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.arena.capacity() as u64
    }

    /// Says which LSN place 0 has. Any number of threads may say it; all say the same.
    pub(crate) fn set_base(&self, base: Lsn) {
        let before = self.base.swap(base.0, Ordering::AcqRel);
        debug_assert!(before == NO_BASE || before == base.0, "base {before} becomes {base}");
    }

    /// The LSN of place 0, once the generation is installed.
    pub(crate) fn base(&self) -> Option<Lsn> {
        let base = self.base.load(Ordering::Acquire);
        (base != NO_BASE).then_some(Lsn(base))
    }

    /// Links entry `index` of the record at `record_place` into the point index. The caller has
    /// written the entry, at `entry_place`, with zero link bytes, and will not write it again.
    #[inline]
    pub(crate) fn link(&self, record_place: u64, index: u32, entry_place: u64) {
        let number = u32_of(at(record_place)) + index;
        self.points.link(&self.arena, at(entry_place), number);
    }

    /// Does one step of freezing: turns the next span of records into an array, once all of it is
    /// published, or merges arrays. Returns whether there may be more to do now. For background
    /// threads; the garbage queue is theirs to drain, too.
    ///
    /// `horizon` and `snapshots` (ascending) say what readers need, by the droppers' protocol;
    /// `horizon` is at most `visible`.
    pub(crate) fn freeze_step(&self, visible: Lsn, snapshots: &[Lsn], horizon: Lsn) -> bool {
        let Some(base) = self.base() else { return false };
        let snapshots: Vec<u64> = snapshots.iter().map(|at| at.0).collect();
        let keep = Keep { snapshots: &snapshots, horizon: horizon.0.min(visible.0) };
        let published = at(visible.0.saturating_sub(base.0)).min(self.arena.capacity());
        let did = self.ordered.freeze_step(&self.arena, base.0, published, keep);
        if did && self.ordered.frozen_entries() >= self.entry_limit {
            self.full.store(true, Ordering::Relaxed);
        }
        did
    }

    /// Merges all arrays into one if `seeks`, of which none has paid for such work before, lost
    /// more time to their number than that takes. Returns whether it did. For background threads;
    /// `snapshots` and `horizon` as for [`Memtable::freeze_step`].
    pub(crate) fn gather_step(&self, seeks: u64, snapshots: &[Lsn], horizon: Lsn) -> bool {
        let snapshots: Vec<u64> = snapshots.iter().map(|at| at.0).collect();
        let keep = Keep { snapshots: &snapshots, horizon: horizon.0 };
        self.base().is_some() && self.ordered.gather_step(seeks, keep)
    }

    /// Whether the entries have reached their limit, as of when some were last frozen.
    pub(crate) fn is_full_hint(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Entries that are published. Looks at each record that is not frozen.
    pub(crate) fn entry_count(&self) -> usize {
        self.ordered.entries(&self.arena)
    }
}

impl Drop for Memtable {
    fn drop(&mut self) {
        // Beyond what was reserved nobody has written (S5), so that needs no clearing. Whoever
        // gave it a base without the tail reserves in a way of his own.
        let used = match (self.tail.reserved_bytes(), self.base()) {
            (0, Some(_)) => usize::MAX,
            (bytes, _) => usize_of(bytes).unwrap_or(usize::MAX),
        };
        // Clearing what was not written would touch it, and that is most of it. A child process has no
        // arena, and one that is sparse is not kept.
        let clears = self.spared_bytes() > 0 && !self.is_sparse() && !fork::in_child();
        if clears && self.arena.clear_records() >= used {
            self.arena.note_cleared(used);
        } else {
            self.arena.note_used(used);
        }
    }
}

/// A place as an index.
#[allow(clippy::cast_possible_truncation, reason = "places are below 4 GiB; checked by the arena")]
#[inline]
fn at(place: u64) -> usize {
    place as usize
}
