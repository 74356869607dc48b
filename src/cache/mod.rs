//! The block cache: decoded blocks in memory under one byte budget, shared by all open tables.
//!
//! There is no hash table. Every open table owns [`Slots`], one slot a block; a lookup is one
//! load of a slot, and then either an epoch guard keeps the block, or one compare-and-swap pins
//! it. Misses, evictions and closing a table take the one lock here; a hit takes none.
//!
//! Eviction is CLOCK over a ring of resident blocks: a hit sets the block's reference bit if it
//! is clear, the hand clears it and takes the first block whose bit was clear and that nobody
//! pins. Pinned bytes stay charged, also when the table of the block is closed (C2).
//!
//! Not here: reading or decoding blocks. Any thread may call everything.
//!
//! Invariants, argued in [`slots`]:
//! - C1: a chunk of slots is freed when its table is closed and none of its blocks is pinned.
//! - C2: `used` counts every block from the moment it enters until its last pin is gone.
//! - C3: the bytes of a slot are replaced only while its count is 0, under the lock.
//! - C4: evicted bytes are freed when every epoch guard of that time is gone. Until then they are
//!   not charged; that is a batch and what a reader can be late by.

mod anchor;
mod bytes;
mod counters;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod pin;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::Result;
use crate::base::coding::u32_of;
use crate::mem::{Garbage, epoch};

pub(crate) use bytes::Draft;
use bytes::{Bytes, Pool};

pub(crate) use anchor::Anchors;
use counters::Counter;
use slots::Slot;
pub(crate) use slots::{Pin, Slots};

/// What a block costs beyond its bytes: header, ring place and allocator overhead.
const BLOCK_OVERHEAD_BYTES: u64 = 64;
/// Memory is short where tables have more than so many times the memory budget.
const SHORT_TIMES: u64 = 3;
/// Evicted blocks that are retired together.
const EVICTED_BATCH: usize = 32;

/// Decoded blocks of all tables that were opened with it.
pub(crate) struct BlockCache {
    /// Bytes that may be resident. Written by `set_capacity`, read under the lock; no pairing,
    /// because the lock orders everything that depends on it.
    capacity_bytes: AtomicU64,
    /// The capacity that it was made with: the whole memory budget.
    budget_bytes: u64,
    /// Bytes of memory that this process may use, page cache included.
    machine_bytes: u64,
    /// Bytes of the table files whose blocks may come here. Changed and read by anybody, relaxed:
    /// only ways of reading hang on it.
    table_bytes: AtomicU64,
    /// Bytes charged (C2). Changed and read by anybody, relaxed; residents are added under the
    /// lock only, so that two fills cannot use the same room.
    used_bytes: AtomicU64,
    hits: Counter,
    misses: Counter,
    ring: Mutex<Ring>,
    /// What blocks lie in.
    pool: Arc<Pool>,
    /// Evicted blocks that guards may still look at (C4).
    garbage: Arc<Garbage>,
}

/// The resident blocks. A slot is in the ring exactly while its block is resident.
#[derive(Default)]
struct Ring {
    places: Vec<Option<&'static Slot>>,
    vacant: Vec<usize>,
    hand: usize,
    /// Evicted and not yet retired.
    evicted: Vec<Bytes>,
}

impl BlockCache {
    /// A cache for `capacity_bytes` bytes of blocks, overhead included, on a machine with memory
    /// for much more. With 0 nothing is kept.
    #[cfg(any(test, feature = "parts"))]
    pub(crate) fn new(capacity_bytes: u64) -> Arc<Self> {
        Self::within(capacity_bytes, u64::MAX)
    }

    /// The same for a process that may use `machine_bytes` bytes of memory, page cache included.
    pub(crate) fn within(capacity_bytes: u64, machine_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            capacity_bytes: AtomicU64::new(capacity_bytes),
            budget_bytes: capacity_bytes,
            machine_bytes,
            table_bytes: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            hits: Counter::default(),
            misses: Counter::default(),
            ring: Mutex::new(Ring::default()),
            pool: Arc::default(),
            garbage: Arc::new(Garbage::new()),
        })
    }

    /// Changes the budget in bytes; what is too much and not pinned is evicted before this returns.
    pub(crate) fn set_capacity(&self, capacity_bytes: u64) {
        let mut ring = self.ring.lock();
        self.capacity_bytes.store(capacity_bytes, Ordering::Relaxed);
        self.make_room(&mut ring, 0);
        let evicted = std::mem::take(&mut ring.evicted);
        drop(ring);
        self.retire(evicted);
    }

    /// The budget in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity_bytes.load(Ordering::Relaxed)
    }

    /// Bytes charged now: resident blocks, slot chunks, and blocks that only pins keep (C2).
    pub(crate) fn used(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether so many bytes of new blocks fit without evicting others.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used() + bytes <= self.capacity()
    }

    /// Tells of a table file whose blocks may come here; [`Self::remove_table`] takes it back.
    pub(crate) fn add_table(&self, file_bytes: u64) {
        self.table_bytes.fetch_add(file_bytes, Ordering::Relaxed);
    }

    /// Takes [`Self::add_table`] back.
    pub(crate) fn remove_table(&self, file_bytes: u64) {
        self.table_bytes.fetch_sub(file_bytes, Ordering::Relaxed);
    }

    /// Whether the tables are so much larger than the memory budget that memory does more for their
    /// blocks than for indexes that spare a search in them.
    pub(crate) fn is_short(&self) -> bool {
        self.table_bytes.load(Ordering::Relaxed) / SHORT_TIMES > self.budget_bytes
    }

    /// Whether, besides, what the system's page cache can hold is no more than what is here: then it
    /// would hold the same blocks a second time, and others push them out.
    pub(crate) fn outweighs_page_cache(&self) -> bool {
        self.is_short() && self.machine_bytes / 2 <= self.budget_bytes
    }

    /// Where the cache outweighs the page cache, that has some room all the same: for so many 64ths of
    /// the tables, if these are always the same ones.
    pub(crate) fn page_cache_share(&self) -> u64 {
        // A sixteenth is for others, and each unit needs parts of pages of its neighbours.
        let room = (self.machine_bytes - self.machine_bytes / 16).saturating_sub(self.budget_bytes);
        let room = room - room / 16;
        let tables = self.table_bytes.load(Ordering::Relaxed).max(1);
        (u128::from(room) * 64 / u128::from(tables)).try_into().unwrap_or(u64::MAX)
    }

    /// Lookups that found their block. A statistic: may be a little low with many threads.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// Blocks that had to be read. A statistic, as [`Self::hits`].
    pub(crate) fn misses(&self) -> u64 {
        self.misses.get()
    }

    /// Holds `bytes` outside the ring: charged until the last pin goes, found by nobody.
    ///
    /// For readers that must not push others out, such as compactions.
    pub(crate) fn private(self: &Arc<Self>, block: Draft) -> Pin {
        self.misses.add();
        self.hold(block.done())
    }

    /// Room for a block of `least` bytes, and some more if it does not suit a frame: `wish` in all.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn draft(&self, least: usize, wish: usize) -> Result<Draft> {
        Draft::new(least, wish, &self.pool)
    }

    /// Charges and pins a block outside of all slots.
    fn hold(self: &Arc<Self>, bytes: Bytes) -> Pin {
        self.charge(bytes.charge());
        slots::solo(bytes, Arc::clone(self))
    }

    /// Frees evicted blocks once no guard can look at them any more (C4). The caller holds no
    /// lock: helping the epoch on may run work of others.
    fn retire(&self, evicted: Vec<Bytes>) {
        if !evicted.is_empty() {
            self.garbage.retire(Box::new(evicted), &epoch::pin());
            self.garbage.drain();
        }
    }

    /// Evicts until `more` bytes fit, and tells whether they do.
    ///
    /// 1. The hand passes every place at most twice: once to clear bits, once to take.
    /// 2. A block with a set bit loses the bit and stays.
    /// 3. A pinned block stays: its bytes could not be freed anyway.
    fn make_room(&self, ring: &mut Ring, more: u64) -> bool {
        let capacity = self.capacity();
        let mut steps = 2 * ring.places.len();
        while self.used() + more > capacity {
            if steps == 0 {
                return false;
            }
            steps -= 1;
            let at = ring.hand % ring.places.len();
            ring.hand = at + 1;
            let Some(slot) = ring.places[at] else { continue };
            if slot.take_touched() || !slot.claim() {
                continue;
            }
            ring.leave(at);
            if let Some(bytes) = slot.empty() {
                self.uncharge(bytes.charge());
                ring.evicted.push(bytes);
            }
        }
        true
    }

    fn charge(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn uncharge(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Ring {
    /// Gives a new block a place. One that was just left lies behind the hand, so the new block
    /// is looked at only after a whole round.
    fn enter(&mut self, slot: &'static Slot) -> usize {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[at] = Some(slot);
        at
    }

    /// The evicted blocks, if they are worth a retirement.
    fn take_evicted(&mut self) -> Vec<Bytes> {
        if self.evicted.len() < EVICTED_BATCH {
            return Vec::new();
        }
        std::mem::take(&mut self.evicted)
    }

    /// Empties a place.
    fn leave(&mut self, at: usize) {
        self.places[at] = None;
        self.vacant.push(at);
    }
}
