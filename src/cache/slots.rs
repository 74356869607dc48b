//! Slots and pins: how a reader gets hold of a block without a lock.
//!
//! A *slot* belongs to one block of one table for as long as the table is open, so it never shows
//! another block. It holds the block's address and a count: 0 while the block is not resident,
//! else 1 for being resident plus 1 for each pin.
//!
//! Two ways to read. *Pin*: add one to the count unless it is 0 (acquire); the bytes stay while
//! the pin lives. *Peek*, under an epoch guard: load the address (acquire); the bytes stay while
//! the guard lives, and nothing is written that other readers share.
//! Evictor, under the cache's lock: take the count from 1 to 0 by compare-and-swap, which fails
//! while anybody pins, then take the address away (C3); the bytes are freed when all guards of
//! that time are gone (C4). Filler, under the lock, with the count at 0: store the address
//! (release), then set the count (release).
//!
//! Slots live in chunks. When a table is closed while blocks of it are pinned, their chunk is
//! *orphaned*: it holds the cache, and the last pin frees both block and chunk (C1).

use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::BlockCache;
use super::bytes::{Bytes, Draft, ENTRY_LINES, Header, bytes_at, prefetch_at};
pub(crate) use super::pin::Pin;
use super::pin::set_home;
use crate::base::Result;
use crate::mem::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::mem::epoch::Guard;
use crate::mem::prefetch;

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// Slots in one chunk, which takes a page of memory.
const CHUNK_SLOTS: usize = 248;
/// Bytes of a chunk, and what it is aligned to, so that the address of a slot tells its chunk.
pub(super) const CHUNK_BYTES: usize = 4096;
/// What a chunk costs, allocator overhead included.
pub(super) const CHUNK_CHARGE_BYTES: u64 = size_of::<Chunk>() as u64 + 16;
/// Instead of a place in the ring: the slot is in a [`Solo`].
pub(super) const SOLO: u32 = u32::MAX >> 1;
/// Instead of a place in the ring: the slot is in an anchor.
pub(super) const ANCHOR: u32 = SOLO - 1;
/// CLOCK's reference bit, above a place in the ring.
const TOUCHED: u32 = 1 << 31;

/// One block's place in memory.
#[repr(C)]
pub(super) struct Slot {
    /// The block, which the slot owns, or null. Written under the lock while `refs` is 0 (C3), or
    /// by the last pin; read through pins and under guards (acquire).
    bytes: AtomicPtr<Header>,
    /// Raised from above 0 by readers (acquire) and lowered by pins (release); set from 0 by the
    /// filler (release) and taken from 1 to 0 by the evictor (acquire), both under the lock.
    pub(super) refs: AtomicU32,
    /// Where in the ring, while resident: stored under the lock only, which orders it. And
    /// `TOUCHED`: set by readers, cleared by the hand; relaxed, a hint.
    place: AtomicU32,
}

const _: () = assert!(cfg!(loom) || size_of::<Slot>() == 16);

/// The slots of neighbouring blocks of one table.
#[repr(C)]
#[cfg_attr(not(loom), repr(align(4096)))]
pub(super) struct Chunk {
    /// First, so that slot 0 and the chunk have the same address.
    slots: [Slot; CHUNK_SLOTS],
    /// Slots still pinned, once orphaned. Touched under the lock only, which orders it.
    pub(super) orphans: AtomicU32,
    /// Set once, when orphaned, before the references of its residents are dropped (release);
    /// read by those who drop a last pin (acquire).
    pub(super) home: UnsafeCell<Option<Arc<BlockCache>>>,
}

/// A block that is in no table's slots and dies with its last pin.
#[repr(C)]
pub(super) struct Solo {
    /// First, so that slot and solo have the same address.
    slot: Slot,
    pub(super) home: Arc<BlockCache>,
}

#[allow(unsafe_code, reason = "the bytes are exclusive or shared by the count")]
impl Slot {
    pub(super) fn new(place: u32, refs: u32, bytes: Option<Bytes>) -> Self {
        Self {
            bytes: AtomicPtr::new(bytes.map_or(ptr::null_mut(), |b| b.into_raw().as_ptr())),
            refs: AtomicU32::new(refs),
            place: AtomicU32::new(place),
        }
    }

    /// Adds a pin unless the count is 0.
    #[inline]
    fn try_pin(&self) -> bool {
        let mut refs = self.refs.load(Ordering::Relaxed);
        while refs != 0 {
            match self.refs.compare_exchange_weak(
                refs,
                refs + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => refs = now,
            }
        }
        false
    }

    /// Takes the block from "resident, not pinned" to "nobody's". The caller holds the lock.
    pub(super) fn claim(&self) -> bool {
        self.refs.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the bytes of a claimed slot. Guards may still look at them (C4).
    pub(super) fn empty(&self) -> Option<Bytes> {
        assert_eq!(self.refs.load(Ordering::Relaxed), 0, "only claimed slots are emptied (C3)");
        let bytes = NonNull::new(self.bytes.swap(ptr::null_mut(), Ordering::AcqRel))?;
        // SAFETY: stored by `new` or `fill`, and taken out just now.
        Some(unsafe { Bytes::from_raw(bytes) })
    }

    /// Stores the bytes of an empty slot and counts the resident and one pin. The caller holds
    /// the lock.
    fn fill(&self, bytes: Bytes) {
        assert_eq!(self.refs.load(Ordering::Relaxed), 0, "only empty slots are filled (C3)");
        let before = self.bytes.swap(bytes.into_raw().as_ptr(), Ordering::Release);
        assert!(before.is_null(), "a claimed slot was emptied (C3)");
        self.refs.store(2, Ordering::Release);
    }

    /// Tells whether a reader came by since the last call, and forgets it.
    pub(super) fn take_touched(&self) -> bool {
        let touched = self.place.load(Ordering::Relaxed) & TOUCHED != 0;
        if touched {
            self.place.fetch_and(!TOUCHED, Ordering::Relaxed);
        }
        touched
    }

    /// Sets the reference bit if it is clear, so that a hot block's line is not written each time.
    #[inline]
    fn touch(&self) {
        if self.place.load(Ordering::Relaxed) & TOUCHED == 0 {
            self.place.fetch_or(TOUCHED, Ordering::Relaxed);
        }
    }

    /// The place in the ring of a resident block. The caller holds the lock.
    pub(super) fn place(&self) -> usize {
        (self.place.load(Ordering::Relaxed) & !TOUCHED) as usize
    }

    /// The block, if there is one: to be looked at under a guard or a pin only.
    #[inline]
    pub(super) fn block(&self) -> Option<NonNull<Header>> {
        NonNull::new(self.bytes.load(Ordering::Acquire))
    }
}

/// A block outside of all slots, which the caller has charged to `home`.
#[allow(unsafe_code, reason = "owned by its pins")]
pub(super) fn solo(bytes: Bytes, home: Arc<BlockCache>) -> Pin {
    let solo = Box::new(Solo { slot: Slot::new(SOLO, 1, Some(bytes)), home });
    let slot = NonNull::from(Box::leak(solo)).cast::<Slot>();
    // SAFETY: the one count passes to the pin.
    unsafe { Pin::new(slot) }
}

/// The slots of one open table (or one section of it).
///
/// Chunks of slots are made by the first fill that needs them, so a table that is never read
/// costs eight bytes for 248 blocks.
pub(crate) struct Slots {
    cache: Arc<BlockCache>,
    /// Set once, under the cache's lock (release); loaded by readers (acquire).
    chunks: Box<[AtomicPtr<Chunk>]>,
}

#[allow(unsafe_code, reason = "chunks are owned through atomic pointers")]
impl Slots {
    /// Slots for `blocks` blocks, all empty.
    pub(crate) fn new(cache: &Arc<BlockCache>, blocks: usize) -> Self {
        let chunks = blocks.div_ceil(CHUNK_SLOTS);
        Self {
            cache: Arc::clone(cache),
            chunks: (0..chunks).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
        }
    }

    /// Pins block `i` if it is resident. Takes no lock. Out of range is none.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<Pin> {
        let chunk = NonNull::new(self.chunks.get(i / CHUNK_SLOTS)?.load(Ordering::Acquire))?;
        let pin = Self::pin(slot_of(chunk, i))?;
        self.cache.hits.add();
        Some(pin)
    }

    /// Block `i` if it is resident, without a pin: it stays while the guard lives. Takes no lock
    /// and writes nothing that readers share. Out of range is none. What lies at byte `at` comes
    /// into the processor's cache together with the beginning.
    #[inline]
    pub(crate) fn peek<'g>(&'g self, i: usize, at: usize, _guard: &'g Guard) -> Option<&'g [u8]> {
        let slot = self.slot(i)?;
        let block = slot.block()?;
        prefetch_at(block, at, ENTRY_LINES);
        slot.touch();
        self.cache.hits.add();
        // SAFETY: found under the guard and in slots that are borrowed as long as the bytes, so
        // nobody frees them meanwhile (C4).
        Some(unsafe { &*bytes_at(block) })
    }

    /// Whether block `i` is resident at the moment.
    pub(crate) fn holds(&self, i: usize) -> bool {
        self.slot(i).and_then(Slot::block).is_some()
    }

    /// Begins to bring the slot of block `i` into the processor's cache.
    #[inline]
    pub(crate) fn prefetch_slot(&self, i: usize) {
        if let Some(slot) = self.slot(i) {
            prefetch(slot);
        }
    }

    /// Begins to bring the first line of block `i`, and what lies at byte `at`, into the
    /// processor's cache, if the block is resident.
    #[inline]
    pub(crate) fn prefetch_block(&self, i: usize, at: usize) {
        self.prefetch_parts(i, at, ENTRY_LINES);
    }

    /// The same, but that `lines` lines come from byte `at` on.
    #[inline]
    pub(crate) fn prefetch_parts(&self, i: usize, at: usize, lines: usize) {
        if let Some(block) = self.slot(i).and_then(Slot::block) {
            prefetch(block.as_ptr());
            prefetch_at(block, at, lines);
        }
    }

    /// The slot of block `i`, if its chunk is made.
    #[inline]
    fn slot(&self, i: usize) -> Option<&Slot> {
        let chunk = NonNull::new(self.chunks.get(i / CHUNK_SLOTS)?.load(Ordering::Acquire))?;
        // SAFETY: the chunk lives as long as these slots, which are borrowed.
        Some(unsafe { slot_of(chunk, i).as_ref() })
    }

    /// The cache that they belong to.
    #[cfg(test)]
    pub(super) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// Room for a block; see [`BlockCache::draft`].
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn draft(&self, least: usize, wish: usize) -> Result<Draft> {
        self.cache.draft(least, wish)
    }

    /// Whether so many bytes of new blocks fit into the cache without evicting others.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.cache.has_room(bytes)
    }

    /// See [`BlockCache::outweighs_page_cache`].
    pub(crate) fn outweighs_page_cache(&self) -> bool {
        self.cache.outweighs_page_cache()
    }

    /// See [`BlockCache::page_cache_share`].
    pub(crate) fn page_cache_share(&self) -> u64 {
        self.cache.page_cache_share()
    }

    /// Counts a block that had to be read.
    pub(crate) fn missed(&self) {
        self.cache.misses.add();
    }

    /// Offers the decoded block `i` to the cache and pins it. When another thread was faster, that
    /// thread's block is returned; when there is no room, the block is only pinned.
    pub(crate) fn fill(&self, i: usize, block: Draft) -> Pin {
        self.cache.misses.add();
        self.offer(i, block)
    }

    /// The same for a block that no reader has asked for: it counts as no miss.
    pub(crate) fn offer(&self, i: usize, block: Draft) -> Pin {
        let cache = &self.cache;
        let block = block.done();
        let charge = block.charge();
        let mut ring = cache.ring.lock();
        let Some(chunk) = self.chunks.get(i / CHUNK_SLOTS) else { return cache.hold(block) };
        let known = NonNull::new(chunk.load(Ordering::Acquire));
        if let Some(pin) = known.and_then(|chunk| Self::pin(slot_of(chunk, i))) {
            return pin;
        }
        let chunk_charge = if known.is_none() { CHUNK_CHARGE_BYTES } else { 0 };
        let has_room = cache.make_room(&mut ring, charge + chunk_charge);
        let evicted = ring.take_evicted();
        let pin = if has_room {
            cache.charge(charge + chunk_charge);
            let slot = slot_of(known.unwrap_or_else(|| make_chunk(chunk)), i);
            // SAFETY: the slot lives as long as these slots, which outlive its time in the ring:
            // see `close`. `'static` ends when the slot leaves the ring.
            let resident: &'static Slot = unsafe { slot.as_ref() };
            let place = ring.enter(resident);
            resident.place.store(super::u32_of(place), Ordering::Relaxed);
            resident.fill(block);
            // SAFETY: the second of the two counts passes to the pin.
            unsafe { Pin::new(slot) }
        } else {
            cache.hold(block)
        };
        drop(ring);
        cache.retire(evicted);
        pin
    }

    /// Holds a block that is not to be found by others; see [`BlockCache::private`].
    pub(crate) fn private(&self, block: Draft) -> Pin {
        self.cache.private(block)
    }

    #[inline]
    fn pin(slot: NonNull<Slot>) -> Option<Pin> {
        // SAFETY: the chunk lives as long as the slots that the caller borrows.
        let here = unsafe { slot.as_ref() };
        if !here.try_pin() {
            return None;
        }
        here.touch();
        // SAFETY: pinned just now.
        Some(unsafe { Pin::new(slot) })
    }

    /// Takes the blocks of a chunk out of the ring and frees it, or leaves it to its pins.
    fn close(&self, chunk: NonNull<Chunk>) {
        let mut ring = self.cache.ring.lock();
        let mut orphans = Vec::new();
        for i in 0..CHUNK_SLOTS {
            let slot = slot_of(chunk, i);
            // SAFETY: the chunk is freed below, or by the last of its orphans.
            let resident = unsafe { slot.as_ref() };
            if resident.refs.load(Ordering::Relaxed) == 0 {
                continue;
            }
            ring.leave(resident.place());
            if resident.claim() {
                // Nobody peeks: these slots are being dropped, so nobody has them borrowed.
                self.cache.uncharge(resident.empty().map_or(0, |bytes| bytes.charge()));
            } else {
                orphans.push(slot);
            }
        }
        if orphans.is_empty() {
            self.cache.uncharge(CHUNK_CHARGE_BYTES);
            // SAFETY: made by `make_chunk` from a box; nobody has these slots any more.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
            return;
        }
        // SAFETY: nobody reads `home` before the counts are dropped below.
        unsafe { set_home(&chunk.as_ref().home, Arc::clone(&self.cache)) };
        // SAFETY: the chunk lives, as above.
        let count = unsafe { &chunk.as_ref().orphans };
        count.store(super::u32_of(orphans.len()), Ordering::Relaxed);
        drop(ring);
        for slot in orphans {
            // SAFETY: the resident's own count passes to a pin that is dropped at once.
            drop(unsafe { Pin::new(slot) });
        }
    }
}

/// Slot `i` of the table, which lies in `chunk`.
#[inline]
#[allow(unsafe_code, reason = "the pointer must stay one to the whole chunk")]
fn slot_of(chunk: NonNull<Chunk>, i: usize) -> NonNull<Slot> {
    // SAFETY: the slots are the first field of the chunk, and the index is below their number.
    unsafe { chunk.cast::<Slot>().add(i % CHUNK_SLOTS) }
}

/// Makes a chunk of empty slots. The caller holds the cache's lock.
fn make_chunk(place: &AtomicPtr<Chunk>) -> NonNull<Chunk> {
    let chunk = Box::new(Chunk {
        slots: std::array::from_fn(|_| Slot::new(0, 0, None)),
        orphans: AtomicU32::new(0),
        home: UnsafeCell::new(None),
    });
    let chunk = NonNull::from(Box::leak(chunk));
    place.store(chunk.as_ptr(), Ordering::Release);
    chunk
}

const _: () = assert!(cfg!(loom) || size_of::<Chunk>() == CHUNK_BYTES);

impl Drop for Slots {
    fn drop(&mut self) {
        for place in &self.chunks {
            if let Some(chunk) = NonNull::new(place.load(Ordering::Acquire)) {
                self.close(chunk);
            }
        }
    }
}

#[cfg(all(test, loom))]
#[path = "models.rs"]
mod models;
