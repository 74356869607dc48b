//! The memtable's calls on bare bytes: filling, marking, and the image that the log gets.

#![allow(unsafe_code, reason = "exclusive by reservation, which the compiler cannot see")]

use crate::base::Result;
use crate::memtable::{Memtable, at};

use super::image;

impl Memtable {
    /// A reserved range, to be written.
    ///
    /// # Safety
    /// The caller reserved the range, and no other slice of it lives. It covers no mark (the first
    /// four bytes of a record), no entry that is linked, nothing of a marked record.
    #[allow(clippy::mut_from_ref, reason = "reservations make ranges exclusive, not the borrow")]
    #[inline]
    pub(crate) unsafe fn fill(&self, place: u64, len: usize) -> &mut [u8] {
        // SAFETY: the caller's promise is the callee's requirement.
        unsafe { self.arena.fill(at(place), len) }
    }

    /// The length in bytes of the record at `place`, once it is whole; else 0. Who sees it sees
    /// the record and its index entries. 0 at and beyond the end of the arena.
    #[inline]
    pub(crate) fn mark(&self, place: u64) -> u32 {
        self.arena.mark(at(place))
    }

    /// Marks the record at `place` as whole.
    #[inline]
    pub(crate) fn set_mark(&self, place: u64, length: u32) {
        self.arena.set_mark(at(place), length);
    }

    /// Stores a whole record without entries, the mark last. Any number of threads may store the
    /// same words.
    pub(crate) fn store_words(&self, place: u64, words: &[u64]) {
        self.arena.store_words(at(place), words);
    }

    /// Appends the records of the places `[from, to)`, which are ends of records and published, as
    /// a log of this `salt` holds them.
    ///
    /// # Errors
    /// `Internal` if they are not.
    pub(crate) fn copy_log_image(
        &self,
        from: u64,
        to: u64,
        salt: u32,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        image::copy(&self.arena, at(from), at(to), salt, out)
    }

    /// Copies bytes to a place that the test reserved.
    #[cfg(all(test, not(loom)))]
    pub(in crate::memtable) fn fill_reserved(&self, place: u64, bytes: &[u8]) {
        // SAFETY: tests reserve like the engine does, and leave marks out.
        unsafe { self.fill(place, bytes.len()) }.copy_from_slice(bytes);
    }
}
