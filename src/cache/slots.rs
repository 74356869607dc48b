//! Slots and pins: how a reader gets hold of a block without a lock.
//!
//! A *slot* belongs to one block of one table for as long as the table is open, so it never shows
//! another block. It holds the block's bytes and a count: 0 while the block is not resident, else
//! 1 for being resident plus 1 for each pin.
//!
//! Reader: add one to the count unless it is 0 (acquire); the bytes stay while the pin lives.
//! Evictor, under the cache's lock: take the count from 1 to 0 by compare-and-swap, which fails
//! while anybody pins; then the bytes are his (C3). Filler, under the lock, with the count at 0:
//! store the bytes, then set the count (release).
//!
//! Slots live in chunks. When a table is closed while blocks of it are pinned, their chunk is
//! *orphaned*: it holds the cache, and the last pin frees both block and chunk (C1).

use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{BLOCK_OVERHEAD_BYTES, BlockCache, charge_of};

#[cfg(not(loom))]
use std::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence},
};

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence},
};

/// Slots in one chunk (4 KiB of memory).
const CHUNK_SLOTS: usize = 128;
/// What a chunk costs, allocator overhead included.
const CHUNK_CHARGE_BYTES: u64 = size_of::<Chunk>() as u64 + 16;
/// Instead of an index: the slot is in a [`Solo`].
const SOLO: u8 = u8::MAX;

/// One block's place in memory.
#[repr(C)]
pub(super) struct Slot {
    /// Raised from above 0 by readers (acquire) and lowered by pins (release); set from 0 by the
    /// filler (release) and taken from 1 to 0 by the evictor (acquire), both under the lock.
    refs: AtomicU32,
    /// CLOCK's reference bit: set by readers, cleared by the hand. Relaxed, a hint.
    touched: AtomicBool,
    /// Which slot of its chunk this is, or `SOLO`.
    index: u8,
    /// Where in the ring, while resident. Touched under the lock only, which orders it.
    place: AtomicU32,
    /// Written while `refs` is 0 (C3), read through pins.
    bytes: UnsafeCell<Box<[u8]>>,
}

/// The slots of neighbouring blocks of one table.
#[repr(C)]
struct Chunk {
    /// First, so that slot 0 and the chunk have the same address.
    slots: [Slot; CHUNK_SLOTS],
    /// Slots still pinned, once orphaned. Touched under the lock only, which orders it.
    orphans: AtomicU32,
    /// Set once, when orphaned, before the references of its residents are dropped (release);
    /// read by those who drop a last pin (acquire).
    home: UnsafeCell<Option<Arc<BlockCache>>>,
}

/// A block that is in no table's slots and dies with its last pin.
#[repr(C)]
struct Solo {
    /// First, so that slot and solo have the same address.
    slot: Slot,
    home: Arc<BlockCache>,
}

// SAFETY: `bytes` is written only while `refs` is 0 and under the lock, and read only through
// pins, which keep `refs` above 0; all else is atomic.
#[allow(unsafe_code, reason = "shared by pins, see the module's protocol")]
unsafe impl Sync for Slot {}

#[allow(unsafe_code, reason = "the bytes are exclusive or shared by the count")]
impl Slot {
    fn new(index: u8, refs: u32, bytes: Box<[u8]>) -> Self {
        Self {
            refs: AtomicU32::new(refs),
            touched: AtomicBool::new(false),
            index,
            place: AtomicU32::new(0),
            bytes: UnsafeCell::new(bytes),
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

    /// Drops the bytes of a claimed slot; returns what they were charged.
    pub(super) fn empty(&self) -> u64 {
        assert_eq!(self.refs.load(Ordering::Relaxed), 0, "only claimed slots are emptied (C3)");
        // SAFETY: the count is 0 and the caller holds the lock, so nobody else looks at the bytes.
        let bytes = unsafe { self.replace(Box::default()) };
        charge_of(&bytes)
    }

    /// Stores the bytes of an empty slot and counts the resident and one pin. The caller holds
    /// the lock.
    fn fill(&self, bytes: Box<[u8]>) {
        assert_eq!(self.refs.load(Ordering::Relaxed), 0, "only empty slots are filled (C3)");
        // SAFETY: as in `empty`.
        drop(unsafe { self.replace(bytes) });
        self.touched.store(false, Ordering::Relaxed);
        self.refs.store(2, Ordering::Release);
    }

    /// Tells whether a reader came by since the last call, and forgets it.
    pub(super) fn take_touched(&self) -> bool {
        let touched = self.touched.load(Ordering::Relaxed);
        if touched {
            self.touched.store(false, Ordering::Relaxed);
        }
        touched
    }

    /// Sets the reference bit if it is clear, so that a hot block's line is not written each time.
    #[inline]
    fn touch(&self) {
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// The place in the ring of a resident block. The caller holds the lock.
    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed) as usize
    }

    /// # Safety
    /// The caller is the only one who may touch the bytes (C3).
    unsafe fn replace(&self, bytes: Box<[u8]>) -> Box<[u8]> {
        #[cfg(not(loom))]
        // SAFETY: the caller's promise.
        return std::mem::replace(unsafe { &mut *self.bytes.get() }, bytes);
        #[cfg(loom)]
        // SAFETY: the caller's promise, which loom checks.
        return self.bytes.with_mut(|p| std::mem::replace(unsafe { &mut *p }, bytes));
    }

    /// Where the bytes are.
    ///
    /// # Safety
    /// The caller pins the slot.
    #[inline]
    unsafe fn bytes(&self) -> *const [u8] {
        #[cfg(not(loom))]
        // SAFETY: pinned, so nobody writes them (C3).
        return ptr::from_ref::<[u8]>(unsafe { &*self.bytes.get() });
        #[cfg(loom)]
        // SAFETY: as above, which loom checks.
        return self.bytes.with(|p| ptr::from_ref::<[u8]>(unsafe { &*p }));
    }
}

/// A held block. Dropping it lets go; cloning holds it once more. It may outlive its table.
pub(crate) struct Pin {
    slot: NonNull<Slot>,
    bytes: *const [u8],
}

// SAFETY: the bytes are immutable while the pin lives, and counting is atomic.
#[allow(unsafe_code, reason = "the bytes are shared and immutable")]
unsafe impl Send for Pin {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "the bytes are shared and immutable")]
unsafe impl Sync for Pin {}

#[allow(unsafe_code, reason = "the count keeps slot and bytes, which no lifetime shows")]
impl Pin {
    /// # Safety
    /// The caller owns one count of the slot, which passes to the pin. `slot` was made from a
    /// pointer to the whole chunk or solo.
    unsafe fn new(slot: NonNull<Slot>) -> Self {
        // SAFETY: the slot lives while it is counted.
        let bytes = unsafe { slot.as_ref().bytes() };
        Self { slot, bytes }
    }
}

impl Deref for Pin {
    type Target = [u8];

    #[inline]
    #[allow(unsafe_code, reason = "the count keeps the bytes, which no lifetime shows")]
    fn deref(&self) -> &[u8] {
        // SAFETY: this pin keeps the count above 0, so the bytes are neither dropped nor moved.
        unsafe { &*self.bytes }
    }
}

impl Clone for Pin {
    #[allow(unsafe_code, reason = "the count keeps the slot, which no lifetime shows")]
    fn clone(&self) -> Self {
        // SAFETY: counted, so the slot lives. Relaxed: the count is above 0 already, and this
        // thread got the block through it.
        unsafe { self.slot.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot, bytes: self.bytes }
    }
}

impl Drop for Pin {
    #[inline]
    #[allow(unsafe_code, reason = "the count keeps the slot, which no lifetime shows")]
    fn drop(&mut self) {
        // SAFETY: counted until here, so the slot lives.
        if unsafe { self.slot.as_ref() }.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last count.
            unsafe { last_unpin(self.slot) };
        }
    }
}

/// Frees a block that no table holds any more, and its chunk after the last one.
///
/// # Safety
/// The caller took the count of `slot` to 0 by dropping a pin, so the slot is that of a solo or
/// of an orphaned chunk: residents of open tables count themselves.
#[cold]
#[allow(unsafe_code, reason = "orphans are owned by their pins")]
unsafe fn last_unpin(slot: NonNull<Slot>) {
    // SAFETY: nobody frees it before this function does.
    let (index, charge) = unsafe { (slot.as_ref().index, slot.as_ref().empty()) };
    if index == SOLO {
        // SAFETY: made by `solo` from a box; the slot is its first field.
        let solo = unsafe { Box::from_raw(slot.cast::<Solo>().as_ptr()) };
        solo.home.uncharge(charge);
        return;
    }
    // SAFETY: slot `index` of the array that a chunk begins with; the pointer was made from that
    // of the whole chunk.
    let chunk = unsafe { slot.sub(usize::from(index)) }.cast::<Chunk>();
    // SAFETY: the chunk lives until `orphans` is 0, and this slot still counts there. `home` was
    // written before the resident's count was dropped.
    let home = unsafe { clone_home(&chunk.as_ref().home) };
    let Some(home) = home else { return };
    home.uncharge(charge);
    let lock = home.ring.lock();
    // SAFETY: as above.
    let left = unsafe { chunk.as_ref() }.orphans.fetch_sub(1, Ordering::Relaxed) - 1;
    drop(lock);
    if left == 0 {
        home.uncharge(CHUNK_CHARGE_BYTES);
        // SAFETY: made by `slot_made` from a box; no slot of it is counted any more.
        drop(unsafe { Box::from_raw(chunk.as_ptr()) });
    }
}

/// # Safety
/// `home` is not written at the same time.
#[allow(unsafe_code, reason = "written once, before it can be read")]
unsafe fn clone_home(home: &UnsafeCell<Option<Arc<BlockCache>>>) -> Option<Arc<BlockCache>> {
    #[cfg(not(loom))]
    // SAFETY: the caller's promise.
    return unsafe { (*home.get()).clone() };
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    return home.with(|p| unsafe { (*p).clone() });
}

/// # Safety
/// `home` is neither read nor written at the same time.
#[allow(unsafe_code, reason = "written once, before it can be read")]
unsafe fn set_home(home: &UnsafeCell<Option<Arc<BlockCache>>>, cache: Arc<BlockCache>) {
    #[cfg(not(loom))]
    // SAFETY: the caller's promise.
    unsafe {
        *home.get() = Some(cache);
    }
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    home.with_mut(|p| unsafe { *p = Some(cache) });
}

/// A block outside of all slots, which the caller has charged to `home`.
#[allow(unsafe_code, reason = "owned by its pins")]
pub(super) fn solo(bytes: Box<[u8]>, home: Arc<BlockCache>) -> Pin {
    let solo = Box::new(Solo { slot: Slot::new(SOLO, 1, bytes), home });
    let slot = NonNull::from(Box::leak(solo)).cast::<Slot>();
    // SAFETY: the one count passes to the pin.
    unsafe { Pin::new(slot) }
}

/// The slots of one open table (or one section of it).
///
/// Chunks of slots are made by the first fill that needs them, so a table that is never read
/// costs eight bytes for 128 blocks.
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

    /// Where slot `i` lies, for prefetching; none if no block near it was ever resident.
    #[inline]
    pub(crate) fn address(&self, i: usize) -> Option<*const u8> {
        let chunk = NonNull::new(self.chunks.get(i / CHUNK_SLOTS)?.load(Ordering::Acquire))?;
        Some(slot_of(chunk, i).as_ptr().cast_const().cast())
    }

    /// Offers the decoded block `i` to the cache and pins it. When another thread was faster, that
    /// thread's block is returned; when there is no room, the block is only pinned.
    pub(crate) fn fill(&self, i: usize, bytes: Box<[u8]>) -> Pin {
        let cache = &self.cache;
        cache.misses.add();
        let mut ring = cache.ring.lock();
        let Some(chunk) = self.chunks.get(i / CHUNK_SLOTS) else { return cache.hold(bytes) };
        let known = NonNull::new(chunk.load(Ordering::Acquire));
        if let Some(pin) = known.and_then(|chunk| Self::pin(slot_of(chunk, i))) {
            return pin;
        }
        let charge = charge_of(&bytes);
        let chunk_charge = if known.is_none() { CHUNK_CHARGE_BYTES } else { 0 };
        if !cache.make_room(&mut ring, charge + chunk_charge) {
            return cache.hold(bytes);
        }
        cache.charge(charge + chunk_charge);
        let slot = slot_of(known.unwrap_or_else(|| make_chunk(chunk)), i);
        // SAFETY: the slot lives as long as these slots, which outlive its time in the ring: see
        // `close`. `'static` ends when the slot leaves the ring.
        let resident: &'static Slot = unsafe { slot.as_ref() };
        let place = ring.enter(resident);
        resident.place.store(super::u32_of(place), Ordering::Relaxed);
        resident.fill(bytes);
        // SAFETY: the second of the two counts passes to the pin.
        unsafe { Pin::new(slot) }
    }

    /// Holds a block that is not to be found by others; see [`BlockCache::private`].
    pub(crate) fn private(&self, bytes: Box<[u8]>) -> Pin {
        self.cache.private(bytes)
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
                self.cache.uncharge(resident.empty());
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
    let index = |i: usize| u8::try_from(i).unwrap_or(SOLO);
    let chunk = Box::new(Chunk {
        slots: std::array::from_fn(|i| Slot::new(index(i), 0, Box::default())),
        orphans: AtomicU32::new(0),
        home: UnsafeCell::new(None),
    });
    let chunk = NonNull::from(Box::leak(chunk));
    place.store(chunk.as_ptr(), Ordering::Release);
    chunk
}

const _: () = assert!(CHUNK_SLOTS < SOLO as usize && BLOCK_OVERHEAD_BYTES >= 32);

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
