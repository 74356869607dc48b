//! Reserved ranges as values: who holds a [`Slot`] may write its bytes, and nobody else.
//!
//! This is where reservation (`tail`) meets the arena, so that the engine needs no unsafe code: a
//! slot is made only by a successful reservation, cannot be copied, and ends with its publication.

#![allow(unsafe_code, reason = "exclusive by reservation, which the compiler cannot see")]

use crate::base::Lsn;
use crate::base::coding::{u32_of, usize_of};
use crate::base::mutant::mutant;
use crate::record::{self, HEADER_BYTES, SEAL_BYTES};

use super::Memtable;
use super::tail::Reserved;

/// The first word of a record in the arena is its done mark.
const MARK_BYTES: usize = 4;

/// The outcome of [`Memtable::reserve`].
pub(crate) enum Reserve<'m> {
    /// The range is the caller's.
    Done(Slot<'m>),
    /// There is no room; the tail as it was seen, for [`Memtable::seal`].
    Full(u64),
    /// Sealed; this is the final position.
    Sealed(Lsn),
}

/// A reserved range for one record. Dropped without publication, nothing later is ever visible.
pub(crate) struct Slot<'m> {
    memtable: &'m Memtable,
    lsn: Lsn,
    place: u64,
    length: usize,
}

impl Slot<'_> {
    /// The record's position.
    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whose it is.
    pub(super) fn memtable(&self) -> &Memtable {
        self.memtable
    }

    /// Its place in the arena.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// Where the header goes, without the length in front of it.
    pub(crate) fn header_mut(&mut self) -> &mut [u8] {
        // SAFETY: the range is reserved for this slot, the borrow of the slot makes the slice the
        // only one, and it leaves the mark out. Nothing is linked in a header.
        unsafe { self.memtable.fill(self.place + MARK_BYTES as u64, HEADER_BYTES - MARK_BYTES) }
    }

    /// Where the entries go. Not to be called after the first of them is linked.
    pub(crate) fn body_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the engine links entries only after it has written them all.
        unsafe { self.memtable.fill(self.place + HEADER_BYTES as u64, self.length - HEADER_BYTES) }
    }

    /// Marks the record as whole. All of it is written, linked and inserted.
    pub(crate) fn publish(self) {
        self.memtable.set_mark(self.place, u32_of(self.length));
    }
}

impl Memtable {
    /// Opens it for reservations from `base`, above 0. Any number of helpers, all with one base.
    pub(crate) fn open_at(&self, base: Lsn) {
        self.set_base(base);
        self.tail.open_at(base);
    }

    /// The position of place 0; 0 before it is opened.
    pub(crate) fn start(&self) -> Lsn {
        self.tail.base()
    }

    /// Reserves `bytes`, a multiple of 8, of which the header is the first part. A record whose value
    /// stays in the log may have all of the arena's places, others only as many as may be `written`.
    #[inline]
    pub(crate) fn reserve(&self, bytes: u64, written: bool) -> Reserve<'_> {
        let capacity = match self.memory_limit {
            Some(limit) if written && !mutant("sparse_arena_is_overfilled") => {
                (limit + self.spared_bytes()).min(self.capacity_bytes())
            }
            _ => self.capacity_bytes(),
        };
        let word = self.tail.word();
        if self.is_full_hint() && self.tail.sealed_at().is_none() {
            return Reserve::Full(word);
        }
        match self.tail.reserve_within(bytes, capacity) {
            Reserved::At(lsn) => Reserve::Done(self.slot(lsn, bytes)),
            Reserved::Full(word) => Reserve::Full(word),
            Reserved::Sealed(end) => Reserve::Sealed(end),
        }
    }

    /// Reserves `bytes`, a multiple of 8, at `at`: only if nothing was reserved from there on, and
    /// they fit.
    pub(crate) fn reserve_at(&self, at: Lsn, bytes: u64) -> Option<Slot<'_>> {
        if self.is_full_hint() || self.tail() != at.0 {
            return None;
        }
        self.tail.reserve_at(at, bytes).then(|| self.slot(at, bytes))
    }

    /// The one slot of a memtable that was born sealed. Its maker calls this once.
    pub(crate) fn take_whole(&self, bytes: u64) -> Slot<'_> {
        assert!(self.tail.take_whole(), "the slot of a whole memtable is taken once");
        self.slot(self.tail.base(), bytes)
    }

    #[inline]
    fn slot(&self, lsn: Lsn, bytes: u64) -> Slot<'_> {
        let Ok(length) = usize_of(bytes) else { unreachable!("a reservation fits the arena") };
        Slot { memtable: self, lsn, place: lsn.0 - self.tail.base().0, length }
    }

    /// Bytes that are reserved, at any time.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.tail.reserved_bytes()
    }

    /// The tail as it is: the next free position, or the sealed word.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.word()
    }

    /// Begins to bring the memory into the cache to which the next record will go, if it is put at
    /// `place`.
    #[inline]
    pub(crate) fn expect_record(&self, place: u64) {
        self.arena.expect(super::at(place));
    }

    /// Seals it behind a seal record if the tail is still `tail`.
    pub(crate) fn seal(&self, tail: u64) {
        self.tail.seal(tail);
    }

    /// The final position, once sealed.
    #[inline]
    pub(crate) fn sealed_at(&self) -> Option<Lsn> {
        self.tail.sealed_at()
    }

    /// The length of the record at `at`, once it is done. None beyond the arena.
    #[inline]
    pub(crate) fn mark_at(&self, at: Lsn) -> Option<u32> {
        let mark = self.mark(at.0.checked_sub(self.tail.base().0)?);
        (mark != 0).then_some(mark)
    }

    /// Stores the seal record `bytes` at `lsn`, as any number of helpers may with equal bytes:
    /// `log` first, with the place and the words, then the arena, the done mark last.
    pub(crate) fn store_seal(
        &self,
        lsn: Lsn,
        bytes: &[u8; SEAL_BYTES],
        log: impl FnOnce(u64, &[u64]),
    ) {
        let words = record::seal_words(bytes);
        let place = lsn.0 - self.tail.base().0;
        log(place, &words);
        self.store_words(place, &words);
    }

    /// The end of the last whole record that begins below `from + bytes_max`, at most `to`.
    pub(crate) fn piece_end(&self, from: u64, to: u64, bytes_max: u64) -> u64 {
        let mut end = from;
        while end < to && end - from < bytes_max {
            let mark = u64::from(self.mark(end));
            if mark == 0 {
                break;
            }
            end += mark;
        }
        end.min(to)
    }
}
