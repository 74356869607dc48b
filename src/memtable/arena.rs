//! The arena: the bytes of one generation, at the places that the log has them (less 8192).
//!
//! Places are reserved elsewhere; a reserved range belongs to one thread until it stores the mark.
//!
//! * M2: the first four bytes of a record are its mark. They are read and written atomically only,
//!   and are zero until the record is whole.
//! * M3: the eight link bytes of an entry belong to the point index, which uses them atomically,
//!   from the moment the entry is linked.
//! * M4: all other bytes of a record are written once, before its mark, and never again.

#![allow(unsafe_code, reason = "threads write disjoint parts of one region")]

mod bytes;
mod image;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::base::{Error, Result};
use crate::mem::{Pooled, Recycler, Use, prefetch_record};

use super::layout::{self, LINK_BYTES, OP_BYTES, Shape};

/// The largest arena in bytes: places are kept in 32 bits.
const CAPACITY_BYTES_MAX: usize = (u32::MAX as usize) & !7;

/// Zeroed memory of one generation.
#[derive(Debug)]
pub(super) struct Arena {
    region: Pooled,
    capacity: usize,
}

impl Arena {
    /// Maps `capacity` bytes (a multiple of 8).
    ///
    /// # Errors
    /// `Invalid` above 4 GiB, `NoMemory` when the memory cannot be had.
    pub(super) fn new(capacity: usize, memory: &Arc<Recycler>) -> Result<Self> {
        if capacity > CAPACITY_BYTES_MAX || capacity % 8 != 0 {
            return Err(Error::invalid(format!("a memtable cannot have {capacity} bytes")));
        }
        Ok(Self { region: memory.region(Use::Arena, capacity)?, capacity })
    }

    /// The same for one of whose pages few will be written: each is found when it is touched, and all
    /// go at the end.
    ///
    /// # Errors
    /// As for [`Arena::new`].
    pub(super) fn sparse(capacity: usize, memory: &Arc<Recycler>) -> Result<Self> {
        if capacity > CAPACITY_BYTES_MAX || capacity % 8 != 0 {
            return Err(Error::invalid(format!("a memtable cannot have {capacity} bytes")));
        }
        Ok(Self { region: memory.sparse_region(capacity)?, capacity })
    }

    /// Bytes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Up to where pages were brought in.
    #[cfg(all(test, not(loom)))]
    pub(super) fn resident(&self) -> usize {
        self.region.resident()
    }

    /// Says that nothing was written from `place` on, so that it need not be cleared for the next
    /// owner of the memory. For the memtable's end.
    pub(super) fn note_used(&mut self, place: usize) {
        self.region.note_used(place);
    }

    /// Says that what was written up to `place` is cleared.
    pub(super) fn note_cleared(&mut self, place: usize) {
        self.region.note_cleared(place);
    }

    /// Clears what records have written, up to the first that has no mark, and returns where that is.
    pub(super) fn clear_records(&mut self) -> usize {
        let mut place = 0;
        loop {
            let length = self.mark(place) as usize;
            if length == 0 {
                return place;
            }
            let written = self.written_of_record(place, length);
            self.address(place, length);
            // SAFETY: inside the region, as just checked, and nobody else has it.
            unsafe { self.region.as_ptr().add(place).write_bytes(0, written) };
            place += length;
        }
    }

    /// How many bytes of a marked record were written.
    fn written_of_record(&self, place: usize, length: usize) -> usize {
        let first = place + layout::HEADER_BYTES;
        if self.entries(place) != 1 {
            return length;
        }
        let (op, shape) = self.written(first);
        // SAFETY: the record is marked, so its only entry is written for good (M4).
        if unsafe { layout::is_away(op) } {
            layout::HEADER_BYTES + shape.away_end()
        } else {
            length
        }
    }

    /// Touches the pages of `[from, to)`.
    pub(super) fn populate(&self, from: usize, to: usize) {
        self.region.populate(from, to.min(self.capacity));
    }

    /// The address of `place`, with `len` bytes behind it inside the arena; asserted.
    #[inline]
    fn address(&self, place: usize, len: usize) -> *mut u8 {
        assert!(
            place <= self.capacity && len <= self.capacity - place,
            "{len} bytes at {place} are not inside an arena of {}",
            self.capacity
        );
        // SAFETY: inside the region, as just checked.
        unsafe { self.region.as_ptr().add(place) }
    }

    /// The place that `at` points to, which lies inside.
    pub(super) fn place_of(&self, at: *const u8) -> u64 {
        (at.addr() - self.region.as_ptr().addr()) as u64
    }

    /// Begins to bring the memory at `place` into the cache, to be written.
    #[inline]
    pub(super) fn expect(&self, place: usize) {
        prefetch_record(self.region.as_ptr().wrapping_add(place));
    }

    /// The operation of the entry at `place`, whose writer says that it is written, with its
    /// lengths. That it lies inside the arena is asserted, whatever the lengths are.
    #[inline]
    pub(super) fn written(&self, place: usize) -> (*const u8, Shape) {
        let op = self.address(place + LINK_BYTES, OP_BYTES);
        // SAFETY: inside the region; any bytes make a shape. The writer is done with them (M4).
        let shape = unsafe { layout::shape(op) };
        self.address(place, shape.entry_bytes());
        (op, shape)
    }

    /// The operation of the entry at `unit`.
    #[inline]
    pub(super) fn operation(&self, unit: u32) -> *const u8 {
        self.address(8 * unit as usize + LINK_BYTES, OP_BYTES)
    }

    /// The link bytes of the entry at `unit` (M3).
    #[inline]
    pub(super) fn link_word(&self, unit: u32) -> &AtomicU64 {
        self.word(8 * unit as usize)
    }

    /// A reserved range, to be written.
    ///
    /// # Safety
    /// The caller reserved the range and nobody else uses it while the slice lives. It covers no
    /// mark (M2), no link bytes of linked entries (M3), nothing of a marked record (M4).
    #[allow(clippy::mut_from_ref, reason = "reservations make ranges exclusive, not the borrow")]
    #[inline]
    pub(super) unsafe fn fill(&self, place: usize, len: usize) -> &mut [u8] {
        // SAFETY: inside the region, initialized (zeroed), exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address(place, len), len) }
    }

    /// Bytes that are written for good.
    ///
    /// # Safety
    /// The range was written before something this thread has acquired (a mark, `visible`), and
    /// covers no mark (M2) and no link bytes (M3).
    #[inline]
    pub(super) unsafe fn bytes(&self, place: usize, len: usize) -> &[u8] {
        // SAFETY: inside the region; not written any more (M4 and the caller's promise).
        unsafe { std::slice::from_raw_parts(self.address(place, len), len) }
    }

    /// The four bytes at `place`, a multiple of 4, as an atomic.
    #[inline]
    fn half(&self, place: usize) -> &AtomicU32 {
        assert!(place % 4 == 0);
        // SAFETY: inside the region and aligned. Marks and the words of `store_words` are used
        // atomically only (M2; `store_words` writes what nobody fills).
        unsafe { AtomicU32::from_ptr(self.address(place, 4).cast()) }
    }

    /// The eight bytes at `place`, a multiple of 8, as an atomic.
    #[inline]
    fn word(&self, place: usize) -> &AtomicU64 {
        assert!(place % 8 == 0);
        // SAFETY: inside the region and aligned. Used for link bytes (M3) and `store_words` only.
        unsafe { AtomicU64::from_ptr(self.address(place, 8).cast()) }
    }

    /// The mark of the record at `place`: its length in bytes, or 0 while it is not whole. At or
    /// beyond the end: 0.
    #[inline]
    pub(super) fn mark(&self, place: usize) -> u32 {
        if place >= self.capacity {
            return 0;
        }
        // Stored by the record's writer with `Release` in `set_mark` or `store_words`, read by
        // whoever advances `visible`: who sees the mark sees the record.
        u32::from_le(self.half(place).load(Ordering::Acquire))
    }

    /// Writes the mark at `place` as it is, so that its page is there. Whoever looked at the page first
    /// would get the system's page of zeros, and the write that follows would have to take that from all
    /// processors: 8 us.
    pub(super) fn touch_mark(&self, place: usize) {
        if place < self.capacity {
            // An addition of nothing would be made a load by the compiler.
            let _ = self.half(place).compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How many entries the marked record at `place` has, by its header. Read at once with its
    /// neighbour: helpers may still be storing the words of a seal, again the same.
    #[inline]
    pub(super) fn entries(&self, place: usize) -> u32 {
        const _: () = assert!(layout::ENTRIES_AT == 12);
        let word = u64::from_le(self.word(place + 8).load(Ordering::Relaxed));
        // Half a word: it fits.
        u32::try_from(word >> 32).unwrap_or(u32::MAX)
    }

    /// Marks the record at `place` as whole.
    #[inline]
    pub(super) fn set_mark(&self, place: usize, length: u32) {
        self.half(place).store(length.to_le(), Ordering::Release);
    }

    /// Stores a whole record of plain words, the mark (the low half of the first) last. Any number
    /// of threads may store the same words.
    pub(super) fn store_words(&self, place: usize, words: &[u64]) {
        for (i, word) in words.iter().enumerate().skip(1) {
            self.word(place + 8 * i).store(word.to_le(), Ordering::Relaxed);
        }
        if let Some(first) = words.first() {
            let bytes = first.to_le_bytes();
            let half = |at: usize| crate::base::coding::get_u32(&bytes, at);
            self.half(place + 4).store(half(4).to_le(), Ordering::Relaxed);
            self.set_mark(place, half(0));
        }
    }
}
