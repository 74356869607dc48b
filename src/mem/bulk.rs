//! Arrays that give their memory back.
//!
//! An allocator keeps what is freed in the middle of its heaps, and each thread has a heap of its
//! own: after a fill of 84 MB with its flushes and compactions 28 MB of a process were free memory
//! of three heaps. So arrays that come and go in the background, and may be long, have pages of
//! their own from [`LONG_BYTES`] on; they grow without a copy where the system can move pages.
//! Shorter ones are the allocator's.

#![allow(unsafe_code, reason = "elements are reached by address, whoever owns the memory")]

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::Region;
use crate::base::{Error, Result};

/// Bytes from which on an array has pages of its own.
pub(super) const LONG_BYTES: usize = 128 << 10;
/// Elements that the first push makes room for.
const FIRST_ROOM: usize = 16;

/// An array that grows at its end.
#[derive(Debug)]
pub(crate) struct Bulk<T: Copy> {
    /// The first element: in the region, or of a vector's memory that this owns.
    base: NonNull<T>,
    /// Elements that are there.
    len: usize,
    /// Elements that there is memory for.
    room: usize,
    region: Option<Region>,
}

// SAFETY: it owns its elements, and writes them through an exclusive borrow only.
unsafe impl<T: Copy + Send> Send for Bulk<T> {}
// SAFETY: as above.
unsafe impl<T: Copy + Sync> Sync for Bulk<T> {}

impl<T: Copy> Default for Bulk<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Bulk<T> {
    /// Elements have bytes, and begin at a page.
    const SUITS: () = assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096);

    /// Nothing, without memory.
    pub(crate) fn new() -> Self {
        const { Self::SUITS };
        Self { base: NonNull::dangling(), len: 0, room: 0, region: None }
    }

    /// Nothing, with room for so many elements at least.
    pub(crate) fn with_capacity(room: usize) -> Self {
        let mut bulk = Self::new();
        if room > 0 {
            bulk.set_room(room);
        }
        bulk
    }

    /// Elements that there is memory for.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn capacity(&self) -> usize {
        self.room
    }

    /// Appends one element.
    #[inline]
    pub(crate) fn push(&mut self, element: T) {
        if self.len == self.room {
            self.grow(1);
        }
        // SAFETY: there is room for one more.
        unsafe { self.base.add(self.len).write(element) };
        self.len += 1;
    }

    /// Appends elements.
    #[inline]
    pub(crate) fn extend_from_slice(&mut self, elements: &[T]) {
        if elements.len() > self.room - self.len {
            self.grow(elements.len());
        }
        // SAFETY: there is room for so many more, in memory that this owns, so that the elements do
        // not overlap it.
        unsafe {
            self.base
                .add(self.len)
                .copy_from_nonoverlapping(NonNull::from(elements).cast(), elements.len());
        }
        self.len += elements.len();
    }

    /// Forgets all elements but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Gives back what it does not need.
    pub(crate) fn shrink_to_fit(&mut self) {
        if self.len < self.room {
            self.set_room(self.len);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let least = self.len.saturating_add(more);
        self.set_room(least.max(2 * self.room).max(FIRST_ROOM));
    }

    /// Makes the room `room`, or little more; no less than there are elements.
    fn set_room(&mut self, room: usize) {
        let room = room.max(self.len);
        let bytes = room.saturating_mul(size_of::<T>());
        if bytes >= LONG_BYTES {
            if let Some(region) = &mut self.region {
                if region.resize(bytes).is_ok() {
                    self.base = NonNull::new(region.as_ptr().cast()).unwrap_or(NonNull::dangling());
                    self.room = region.len() / size_of::<T>();
                    return;
                }
            }
        }
        let new = Self::made(room, bytes);
        // SAFETY: the new memory has room for all elements, and is another one.
        unsafe { new.base.copy_from_nonoverlapping(self.base, self.len) };
        let len = self.len;
        *self = new;
        self.len = len;
    }

    /// Memory for `room` elements, which are `bytes` bytes long.
    #[allow(clippy::cast_ptr_alignment, reason = "regions begin at a page")]
    fn made(room: usize, bytes: usize) -> Self {
        if bytes >= LONG_BYTES {
            if let Ok(region) = Region::inherited(bytes) {
                let base = NonNull::new(region.as_ptr().cast()).unwrap_or(NonNull::dangling());
                let room = region.len() / size_of::<T>();
                return Self { base, len: 0, room, region: Some(region) };
            }
        }
        // Without memory for it this ends the process, as for every other vector.
        Self::of(Vec::with_capacity(room))
    }

    /// The elements of a vector, in its memory.
    fn of(memory: Vec<T>) -> Self {
        let mut memory = ManuallyDrop::new(memory);
        let base = NonNull::new(memory.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Self { base, len: memory.len(), room: memory.capacity(), region: None }
    }
}

impl<T: Copy> From<Vec<T>> for Bulk<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::of(elements)
    }
}

impl Bulk<u8> {
    /// So many zeros.
    ///
    /// # Errors
    /// `NoMemory` when there is none.
    pub(crate) fn zeroed(bytes: usize) -> Result<Self> {
        if bytes >= LONG_BYTES {
            let region = Region::inherited(bytes)?;
            let base = NonNull::new(region.as_ptr()).unwrap_or(NonNull::dangling());
            return Ok(Self { base, len: bytes, room: region.len(), region: Some(region) });
        }
        let mut memory = Vec::new();
        memory
            .try_reserve_exact(bytes)
            .map_err(|_| Error::no_memory(format!("no memory for {bytes} bytes")))?;
        memory.resize(bytes, 0);
        Ok(Self::of(memory))
    }
}

impl<T: Copy> Deref for Bulk<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many elements were written there; they are changed through an exclusive borrow
        // only, and live as long as this.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Bulk<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl<T: Copy> Drop for Bulk<T> {
    fn drop(&mut self) {
        if self.region.is_none() {
            // SAFETY: `made` took the memory from a vector of this room, or `new` made none.
            drop(unsafe { Vec::from_raw_parts(self.base.as_ptr(), 0, self.room) });
        }
    }
}
