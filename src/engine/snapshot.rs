//! Snapshots: positions that droppers must respect.
//!
//! Any number may live for any time. A snapshot registers as PENDING, then loads `visible`, then
//! stores it; a dropper loads its horizon, fences, and scans, and waits while one is PENDING. So a
//! snapshot either is seen by the scan, or loads a `visible` at or above the dropper's horizon, and
//! then no version that it needs was dropped (invariant S4).

use std::sync::{Arc, OnceLock};

use super::db::Db;
use crate::base::mutant::{dawdle, mutant};
use crate::base::{Lsn, Result};
use crate::mem::atomic::{AtomicU64, Ordering, fence, spin_loop};

const FREE: u64 = 0;
const PENDING: u64 = u64::MAX;
/// Slots of the first chunk; each following one has twice as many.
const FIRST_CHUNK: usize = if cfg!(loom) { 1 } else { 64 };

/// One slot for each living snapshot.
pub(super) struct Snapshots {
    first: Chunk,
    /// Where the next search starts; a hint, so relaxed.
    hint: AtomicU64,
    /// Living snapshots; relaxed, for statistics and to skip the scan when there are none.
    count: AtomicU64,
}

struct Chunk {
    slots: Box<[Slot]>,
    next: OnceLock<Box<Chunk>>,
}

struct Slot {
    /// `FREE`, `PENDING`, or the position. Taken by compare-and-swap and given back by the owner;
    /// scanned by droppers (see the module header for the pairing).
    position: AtomicU64,
    /// Monotonic ns of creation; written by the owner, read by statistics. Relaxed.
    since_ns: AtomicU64,
}

impl Chunk {
    fn new(slots: usize) -> Self {
        let slots = (0..slots)
            .map(|_| Slot { position: AtomicU64::new(FREE), since_ns: AtomicU64::new(0) })
            .collect();
        Self { slots, next: OnceLock::new() }
    }
}

impl Snapshots {
    /// None alive.
    pub(super) fn new() -> Self {
        Self { first: Chunk::new(FIRST_CHUNK), hint: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    /// Registers a snapshot at what `visible` is after the registration began.
    ///
    /// Returns the slot and the position.
    pub(super) fn register(&self, visible: &AtomicU64, now_ns: u64) -> (usize, Lsn) {
        let early = mutant("snapshot_without_fence").then(|| {
            let position = visible.load(Ordering::Relaxed);
            dawdle();
            position
        });
        let index = self.take_slot();
        let slot = self.slot(index);
        self.count.fetch_add(1, Ordering::Relaxed);
        slot.since_ns.store(now_ns, Ordering::Relaxed);
        // Pairs with the fence of `positions`: PENDING is seen there, or `visible` here is at
        // least the horizon there.
        fence(Ordering::SeqCst);
        let position = early.unwrap_or_else(|| visible.load(Ordering::SeqCst));
        slot.position.store(position, Ordering::Release);
        (index, Lsn(position))
    }

    /// Gives a slot back.
    pub(super) fn release(&self, index: usize) {
        self.slot(index).position.store(FREE, Ordering::Release);
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.hint.store(index as u64, Ordering::Relaxed);
    }

    /// For a dropper: his horizon, and the living positions below it, ascending, without repeats.
    pub(super) fn positions(&self, visible: &AtomicU64) -> (Lsn, Vec<Lsn>) {
        let horizon = visible.load(Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut found = Vec::new();
        let mut chunk = Some(&self.first);
        while let Some(c) = chunk {
            for slot in &c.slots {
                let mut position = slot.position.load(Ordering::Acquire);
                while position == PENDING {
                    // The owner only loads and stores in between: this is short.
                    spin_loop();
                    position = slot.position.load(Ordering::Acquire);
                }
                if position != FREE && position < horizon {
                    found.push(Lsn(position));
                }
            }
            chunk = c.next.get().map(|next| &**next);
        }
        found.sort_unstable();
        found.dedup();
        (Lsn(horizon), found)
    }

    /// Living snapshots, and the creation time of the oldest in monotonic ns.
    pub(super) fn oldest(&self) -> (u64, Option<u64>) {
        let mut oldest: Option<u64> = None;
        let mut chunk = Some(&self.first);
        while let Some(c) = chunk {
            for slot in &c.slots {
                if slot.position.load(Ordering::Relaxed) != FREE {
                    let since = slot.since_ns.load(Ordering::Relaxed);
                    oldest = Some(oldest.map_or(since, |o| o.min(since)));
                }
            }
            chunk = c.next.get().map(|next| &**next);
        }
        (self.count.load(Ordering::Relaxed), oldest)
    }

    fn take_slot(&self) -> usize {
        let hint = usize::try_from(self.hint.load(Ordering::Relaxed)).unwrap_or(0);
        if self.try_slot(hint) {
            self.hint.store(hint as u64 + 1, Ordering::Relaxed);
            return hint;
        }
        let mut base = 0;
        let mut chunk = &self.first;
        loop {
            for i in 0..chunk.slots.len() {
                if self.try_slot(base + i) {
                    self.hint.store((base + i + 1) as u64, Ordering::Relaxed);
                    return base + i;
                }
            }
            base += chunk.slots.len();
            let larger = chunk.slots.len() * 2;
            chunk = chunk.next.get_or_init(|| Box::new(Chunk::new(larger)));
        }
    }

    fn try_slot(&self, index: usize) -> bool {
        let Some(slot) = self.find(index) else { return false };
        slot.position.load(Ordering::Relaxed) == FREE
            && slot
                .position
                .compare_exchange(FREE, PENDING, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
    }

    fn slot(&self, index: usize) -> &Slot {
        match self.find(index) {
            Some(slot) => slot,
            None => unreachable!("a registered slot never goes away"),
        }
    }

    fn find(&self, index: usize) -> Option<&Slot> {
        let mut index = index;
        let mut chunk = &self.first;
        while index >= chunk.slots.len() {
            index -= chunk.slots.len();
            chunk = chunk.next.get()?;
        }
        chunk.slots.get(index)
    }
}

/// One moment of a database, kept readable until it is dropped.
pub(crate) struct Snapshot {
    db: Arc<Db>,
    slot: usize,
    seq: Lsn,
}

impl Snapshot {
    /// Everything numbered below it is seen.
    pub(crate) fn seq(&self) -> Lsn {
        self.seq
    }

    /// Whether it was taken of `db`.
    pub(crate) fn is_of(&self, db: &Db) -> bool {
        std::ptr::eq(&raw const *self.db, db)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.db.snapshots.release(self.slot);
    }
}

impl Db {
    /// Keeps the present moment readable.
    ///
    /// # Errors
    /// `Closed`. Nothing else can fail.
    pub(crate) fn snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>> {
        self.check_open()?;
        let (slot, seq) = self.snapshots.register(&self.visible, self.env.os.monotonic_ns());
        Ok(Arc::new(Snapshot { db: Arc::clone(self), slot, seq }))
    }
}
