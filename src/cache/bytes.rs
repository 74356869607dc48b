//! The memory of one decoded block.
//!
//! Blocks of about a page lie in *frames*, cut from huge pages: reads hit them at random, and one
//! TLB miss for each read is what huge pages save. A frame is not a power of two long, so that the
//! first lines of all blocks do not meet in the same sets of the processor's caches. Other blocks
//! lie in a box. A block is read and decoded in the place where it stays ([`Draft`]). Either way a header says how long the block is, and in
//! a frame the bytes follow it, so that one address is all a slot needs.
//!
//! Any thread may take and give back; the pool's lock is held for a few instructions, or while
//! the system maps or unmaps a region.

#![allow(unsafe_code, reason = "blocks are owned by addresses, and lie in regions")]

use std::collections::BTreeSet;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use parking_lot::Mutex;

use super::BLOCK_OVERHEAD_BYTES;
use crate::base::{Error, Result};
use crate::mem::{Region, prefetch};

/// What a frame takes: a block of 4 KiB with what is kept in memory for each of 76 entries, its
/// header, and an odd number of lines in all.
const FRAME_BYTES: usize = 69 * 64;
const HEADER_BYTES: usize = 16;
/// Blocks that are at least about half a frame long and fit one go there.
const FRAMED_MIN: usize = 2048;
const FRAMED_MAX: usize = FRAME_BYTES - HEADER_BYTES;
/// What frames are cut from: one huge page.
const SLAB_BYTES: usize = 2 << 20;
const SLAB_FRAMES: u32 = 474;

const _: () = assert!(SLAB_FRAMES as usize * FRAME_BYTES <= SLAB_BYTES);
const _: () = assert!(size_of::<Header>() == HEADER_BYTES && FRAME_BYTES % 16 == 0);

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
    /// A frame, whole; none if there is none to be had.
    fn frame(pool: &Arc<Pool>) -> Option<Self> {
        let (frame, at) = pool.take()?;
        let from = Arc::into_raw(Arc::clone(pool)).cast_mut().cast();
        let header = at.cast::<Header>();
        // SAFETY: the pool gave the frame to us alone; it has room for a header, and begins at a
        // multiple of 16.
        unsafe { header.write(Header { len: super::u32_of(FRAMED_MAX), frame, from }) };
        Some(Self(header))
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
        let Header { len, frame, .. } = unsafe { self.0.as_ref() };
        match *frame {
            BOXED => u64::from(*len) + BLOCK_OVERHEAD_BYTES,
            _ => FRAME_BYTES as u64 + 16,
        }
    }
}

/// A block that is being made, in the memory that it will stay in. Dereferences to its bytes so
/// far: at first all its room, which holds anything.
pub(crate) struct Draft {
    memory: Memory,
    len: usize,
}

enum Memory {
    Frame(Bytes),
    Boxed(Vec<u8>),
}

impl Draft {
    /// Room for `least` bytes: a frame, if they suit one, else `wish` bytes.
    pub(super) fn new(least: usize, wish: usize, pool: &Arc<Pool>) -> Result<Self> {
        let is_framed = (FRAMED_MIN..=FRAMED_MAX).contains(&least);
        let frame = if is_framed { Bytes::frame(pool) } else { None };
        if let Some(frame) = frame {
            return Ok(Self { memory: Memory::Frame(frame), len: FRAMED_MAX });
        }
        let len = wish.max(least);
        let mut room = Vec::new();
        room.try_reserve_exact(len)
            .map_err(|_| Error::no_memory(format!("no memory for a block of {len} bytes")))?;
        room.resize(len, 0);
        Ok(Self { memory: Memory::Boxed(room), len })
    }

    /// A block that is done, for tests.
    #[cfg(any(test, feature = "parts"))]
    pub(super) fn of(block: &[u8], pool: &Arc<Pool>) -> Self {
        let mut draft = Self::new(block.len(), 0, pool).expect("there is memory");
        draft.room()[..block.len()].copy_from_slice(block);
        draft.set_len(block.len());
        draft
    }

    /// All its room.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        match &mut self.memory {
            // SAFETY: the frame is owned, has so many bytes behind its header, and was made of
            // zeros.
            Memory::Frame(bytes) => unsafe {
                let start = bytes.0.as_ptr().cast::<u8>().add(HEADER_BYTES);
                std::slice::from_raw_parts_mut(start, FRAMED_MAX)
            },
            Memory::Boxed(room) => room,
        }
    }

    /// Says how many bytes the block has, at most all its room.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= self.room().len(), "a block of {len} bytes is longer than its room");
        self.len = len;
    }

    /// The block, done.
    pub(super) fn done(self) -> Bytes {
        match self.memory {
            Memory::Frame(bytes) => {
                // SAFETY: owned, so alive and ours to change.
                unsafe { (*bytes.0.as_ptr()).len = super::u32_of(self.len) };
                bytes
            }
            Memory::Boxed(mut room) => {
                room.truncate(self.len);
                Bytes::boxed(room.into_boxed_slice())
            }
        }
    }
}

impl Deref for Draft {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let room = match &self.memory {
            // SAFETY: as for `room`.
            Memory::Frame(bytes) => unsafe { &*bytes_at(bytes.0) },
            Memory::Boxed(room) => room,
        };
        room.get(..self.len).unwrap_or_default()
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

/// Lines of an entry of about a hundred bytes.
pub(super) const ENTRY_LINES: usize = 3;

/// Begins to bring `lines` lines from byte `at` of a block on into the processor's cache. Only a guess
/// where the block does not lie in a frame.
#[inline]
pub(super) fn prefetch_at(block: NonNull<Header>, at: usize, lines: usize) {
    let begin = block.as_ptr().cast::<u8>().wrapping_add(HEADER_BYTES + at);
    for line in 0..lines {
        prefetch(begin.wrapping_add(64 * line));
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
