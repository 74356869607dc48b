//! The memory of one decoded block.
//!
//! Blocks of about a page lie in *frames*, cut from huge pages: reads hit them at random, and one
//! TLB miss for each read is what huge pages save. A frame is not a power of two long, so that the
//! first lines of all blocks do not meet in the same sets of the processor's caches. Other blocks
//! keep the box that they were read into. Either way a header says how long the block is, and in
//! a frame the bytes follow it, so that one address is all a slot needs.
//!
//! Any thread may take and give back; the pool's lock is held for a few instructions, or while
//! the system maps or unmaps a region.

#![allow(unsafe_code, reason = "blocks are owned by addresses, and lie in regions")]

use std::collections::BTreeSet;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use parking_lot::Mutex;

use super::BLOCK_OVERHEAD_BYTES;
use crate::mem::{Region, prefetch};

/// What a frame takes: a block of 4 KiB with what is kept in memory for each of 76 entries, its
/// header, and an odd number of lines in all.
const FRAME_BYTES: usize = 69 * 64;
const HEADER_BYTES: usize = 16;
/// Blocks that are at least half a frame long and fit one go there.
const FRAMED_MIN: usize = 2048;
const FRAMED_MAX: usize = FRAME_BYTES - HEADER_BYTES;
/// What frames are cut from: one huge page.
const SLAB_BYTES: usize = 2 << 20;
const SLAB_FRAMES: u32 = 474;

const _: () = assert!(SLAB_FRAMES as usize * FRAME_BYTES <= SLAB_BYTES);
const _: () = assert!(size_of::<Header>() == HEADER_BYTES && FRAME_BYTES % 16 == 0);

/// What a block of `len` bytes costs the budget.
pub(super) fn charge_of(len: usize) -> u64 {
    if is_framed(len) { FRAME_BYTES as u64 + 16 } else { len as u64 + BLOCK_OVERHEAD_BYTES }
}

fn is_framed(len: usize) -> bool {
    (FRAMED_MIN..=FRAMED_MAX).contains(&len)
}

/// Stands in front of every block. Written when the block is made, then never again.
#[repr(C, align(16))]
pub(super) struct Header {
    len: u32,
    /// The frame's number in the pool, or `BOXED`.
    frame: u32,
    /// In a frame: the pool, of which the block owns a count. Else: the boxed bytes.
    from: *mut (),
}

const BOXED: u32 = u32::MAX;

/// A block, owned. What it lies in is given back when this is dropped.
pub(super) struct Bytes(NonNull<Header>);

// SAFETY: the bytes are owned and immutable, and the pool may be used from any thread.
unsafe impl Send for Bytes {}

impl Bytes {
    /// The block as it was read. Copied into a frame if it suits one and there is one to be had.
    pub(super) fn new(block: Box<[u8]>, pool: &Arc<Pool>) -> Self {
        let frame = if is_framed(block.len()) { pool.take() } else { None };
        let Some((frame, at)) = frame else { return Self::boxed(block) };
        let from = Arc::into_raw(Arc::clone(pool)).cast_mut().cast();
        let header = at.cast::<Header>();
        // SAFETY: the pool gave the frame to us alone; it has room for a header and `FRAMED_MAX`
        // bytes behind it, and begins at a multiple of 16.
        unsafe {
            header.write(Header { len: super::u32_of(block.len()), frame, from });
            ptr::copy_nonoverlapping(block.as_ptr(), at.as_ptr().add(HEADER_BYTES), block.len());
        }
        Self(header)
    }

    /// The block in the box that it came in.
    pub(super) fn boxed(block: Box<[u8]>) -> Self {
        let len = super::u32_of(block.len());
        let from = Box::into_raw(block).cast();
        Self(NonNull::from(Box::leak(Box::new(Header { len, frame: BOXED, from }))))
    }

    /// Gives the ownership to an address, from which [`Self::from_raw`] takes it back.
    pub(super) fn into_raw(self) -> NonNull<Header> {
        let header = self.0;
        std::mem::forget(self);
        header
    }

    /// # Safety
    /// `header` is from [`Self::into_raw`] and is given here once.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// What it costs the budget.
    pub(super) fn charge(&self) -> u64 {
        // SAFETY: owned, so alive.
        charge_of(unsafe { self.0.as_ref() }.len as usize)
    }
}

/// Where the bytes of a block are.
///
/// # Safety
/// The block is alive.
#[inline]
pub(super) unsafe fn bytes_at(header: NonNull<Header>) -> *const [u8] {
    // SAFETY: the caller's promise.
    let Header { len, frame, from } = unsafe { header.as_ptr().read() };
    let start = if frame == BOXED {
        from.cast::<u8>().cast_const()
    } else {
        // SAFETY: the bytes follow the header in the same frame.
        unsafe { header.as_ptr().cast::<u8>().cast_const().add(HEADER_BYTES) }
    };
    ptr::slice_from_raw_parts(start, len as usize)
}

/// Begins to bring what lies at byte `at` of a block into the processor's cache: an entry of about
/// a hundred bytes. Only a guess where the block does not lie in a frame.
#[inline]
pub(super) fn prefetch_entry(block: NonNull<Header>, at: usize) {
    let entry = block.as_ptr().cast::<u8>().wrapping_add(HEADER_BYTES + at);
    for line in 0..3 {
        prefetch(entry.wrapping_add(64 * line));
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: owned, so alive; read before either is freed.
        let Header { len, frame, from } = unsafe { self.0.as_ptr().read() };
        if frame == BOXED {
            let block = ptr::slice_from_raw_parts_mut(from.cast::<u8>(), len as usize);
            // SAFETY: both were made by `boxed` from boxes.
            unsafe {
                drop(Box::from_raw(block));
                drop(Box::from_raw(self.0.as_ptr()));
            }
            return;
        }
        // SAFETY: the count that `new` put there.
        let pool = unsafe { Arc::from_raw(from.cast_const().cast::<Pool>()) };
        pool.give_back(frame);
    }
}

/// Frames. A frame is numbered by its slab and its place there.
#[derive(Default)]
pub(super) struct Pool {
    inner: Mutex<Slabs>,
}

#[derive(Default)]
struct Slabs {
    all: Vec<Slab>,
    /// The numbers of slabs that have a free frame; the lowest is used first, so that the highest
    /// become empty.
    open: BTreeSet<u32>,
    /// How many slabs are wholly free.
    idle: usize,
}

/// A huge page of frames, or the place of one that was given back to the system.
#[derive(Default)]
struct Slab {
    region: Option<Region>,
    free: Vec<u32>,
}

impl Pool {
    /// Slabs that are mapped.
    #[cfg(all(test, not(loom)))]
    pub(super) fn slabs(&self) -> usize {
        self.inner.lock().all.iter().filter(|slab| slab.region.is_some()).count()
    }

    /// A frame for the caller alone, and its number; none if the system has no memory.
    fn take(&self) -> Option<(u32, NonNull<u8>)> {
        let mut inner = self.inner.lock();
        let at = match inner.open.first() {
            Some(at) => *at,
            None => inner.add()?,
        };
        let slab = inner.all.get_mut(at as usize)?;
        let whole = slab.free.len() == SLAB_FRAMES as usize;
        let place = slab.free.pop()?;
        let base = slab.region.as_ref()?.as_ptr();
        if slab.free.is_empty() {
            inner.open.remove(&at);
        }
        inner.idle -= usize::from(whole);
        // SAFETY: frames lie inside the region.
        let frame = unsafe { base.add(place as usize * FRAME_BYTES) };
        Some((at * SLAB_FRAMES + place, NonNull::new(frame)?))
    }

    /// Takes a frame back. A second slab that is wholly free goes back to the system.
    fn give_back(&self, frame: u32) {
        let (at, place) = (frame / SLAB_FRAMES, frame % SLAB_FRAMES);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(slab) = inner.all.get_mut(at as usize) else { return };
        slab.free.push(place);
        inner.open.insert(at);
        if slab.free.len() < SLAB_FRAMES as usize {
            return;
        }
        if inner.idle == 0 {
            inner.idle = 1;
            return;
        }
        inner.open.remove(&at);
        *slab = Slab::default();
    }
}

impl Slabs {
    /// Maps a slab; returns its number.
    #[cold]
    fn add(&mut self) -> Option<u32> {
        let region = Region::inherited(SLAB_BYTES).ok()?;
        let vacant = self.all.iter().position(|slab| slab.region.is_none());
        let at = vacant.unwrap_or(self.all.len());
        let number = u32::try_from(at).ok().filter(|at| *at < BOXED / SLAB_FRAMES - 1)?;
        if vacant.is_none() {
            self.all.push(Slab::default());
        }
        self.all[at] = Slab { region: Some(region), free: (0..SLAB_FRAMES).rev().collect() };
        self.open.insert(number);
        self.idle += 1;
        Some(number)
    }
}
