//! Reservation: one word that hands out ranges of positions and ends with the seal.
//!
//! The word is 0 until the memtable is opened at its base, then the next free position, and with
//! its top bit set the final one. A reservation fits only if the seal record still fits behind it,
//! so whoever finds no room can seal, and everybody then knows the same end (invariant S5).
//!
//! Here is only the arithmetic and its word; what lies at the positions is the arena's matter.

use crossbeam_utils::CachePadded;

use crate::base::Lsn;
use crate::mem::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::record::SEAL_BYTES;

const SEALED: u64 = 1 << 63;
const SEAL: u64 = SEAL_BYTES as u64;

/// The outcome of an attempt to reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reserved {
    /// The range begins here and belongs to the caller alone.
    At(Lsn),
    /// There is no room; this is the word, for [`Tail::seal`].
    Full(u64),
    /// Sealed; this is the final position.
    Sealed(Lsn),
}

/// The end of what is reserved in one memtable.
pub(crate) struct Tail {
    /// Where it begins; stored with equal values by every installer before the word (relaxed: the
    /// word's release publishes it), read by everybody after the word or the read state.
    base: AtomicU64,
    /// Moved by compare-and-swap by writers, sealers and installers (release), loaded by all
    /// (acquire). Alone in its lines: every put writes it, and what lies beside it in a memtable is
    /// read by every get.
    word: CachePadded<AtomicU64>,
    capacity: u64,
    /// Born sealed: the whole of it belongs to one writer.
    whole: bool,
    /// Whether that writer has come. Swapped once, by him; read by nobody else.
    taken: AtomicBool,
}

impl Tail {
    /// Not opened. `capacity` in bytes includes the room for the seal.
    pub(crate) fn new(capacity: u64, whole: bool) -> Self {
        let (base, word) = (AtomicU64::new(0), CachePadded::new(AtomicU64::new(0)));
        Self { base, word, capacity, whole, taken: AtomicBool::new(false) }
    }

    /// Opens it at `base`, above 0. Any number of helpers may do so, all with the same base.
    pub(crate) fn open_at(&self, base: Lsn) {
        self.base.store(base.0, Ordering::Relaxed);
        let first = if self.whole { (base.0 + self.capacity) | SEALED } else { base.0 };
        let _ = self.word.compare_exchange(0, first, Ordering::Release, Ordering::Relaxed);
    }

    /// Whether the caller is the first who takes the whole of it.
    pub(crate) fn take_whole(&self) -> bool {
        self.whole && !self.taken.swap(true, Ordering::Relaxed)
    }

    /// Where it begins.
    pub(crate) fn base(&self) -> Lsn {
        Lsn(self.base.load(Ordering::Relaxed))
    }

    /// The word as it is: for [`Tail::seal`], and to compare with a position.
    pub(crate) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Reserves `bytes`, a multiple of 8.
    #[cfg(test)]
    pub(crate) fn reserve(&self, bytes: u64) -> Reserved {
        self.reserve_within(bytes, self.capacity)
    }

    /// Reserves `bytes`, a multiple of 8, as if it had `capacity` bytes, at most as many as it has.
    #[inline]
    pub(crate) fn reserve_within(&self, bytes: u64, capacity: u64) -> Reserved {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & SEALED != 0 {
                return Reserved::Sealed(Lsn(word & !SEALED));
            }
            let end = self.base().0 + capacity;
            if word + bytes + SEAL > end {
                return Reserved::Full(word);
            }
            match self.word.compare_exchange_weak(
                word,
                word + bytes,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Reserved::At(Lsn(word)),
                Err(now) => word = now,
            }
        }
    }

    /// Reserves `bytes`, a multiple of 8, at `at`; false if anything was reserved from there on, or
    /// they do not fit.
    pub(crate) fn reserve_at(&self, at: Lsn, bytes: u64) -> bool {
        let fits = at.0 + bytes + SEAL <= self.base().0 + self.capacity;
        let (now, next) = (at.0, at.0 + bytes);
        fits && self.word.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Seals it if the word is still `word`: the final position is behind the seal record.
    pub(crate) fn seal(&self, word: u64) {
        if word != 0 && word & SEALED == 0 {
            let sealed = (word + SEAL) | SEALED;
            let _ = self.word.compare_exchange(word, sealed, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Bytes that were reserved, the seal included.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        match self.word() & !SEALED {
            0 => 0,
            end => end - self.base().0,
        }
    }

    /// The final position, once sealed.
    pub(crate) fn sealed_at(&self) -> Option<Lsn> {
        let word = self.word.load(Ordering::Acquire);
        (word & SEALED != 0).then_some(Lsn(word & !SEALED))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_seal_always_fits_behind_what_was_reserved() {
        let tail = Tail::new(256, false);
        tail.open_at(Lsn(1000));

        assert_eq!(tail.reserve(192), Reserved::At(Lsn(1000)));
        let Reserved::Full(word) = tail.reserve(8) else { panic!("there is no room for 8 more") };
        tail.seal(word);

        assert_eq!(tail.sealed_at(), Some(Lsn(1256)));
        assert_eq!(tail.reserve(8), Reserved::Sealed(Lsn(1256)));
    }

    #[test]
    fn a_place_is_reserved_only_while_nothing_lies_behind_it() {
        let tail = Tail::new(256, false);
        tail.open_at(Lsn(1000));

        assert!(!tail.reserve_at(Lsn(1048), 48), "it would leave a hole");
        assert!(tail.reserve_at(Lsn(1000), 48));
        assert!(!tail.reserve_at(Lsn(1000), 48), "somebody came first");
        assert_eq!(tail.reserve(96), Reserved::At(Lsn(1048)));
        assert!(!tail.reserve_at(Lsn(1144), 56), "the seal must fit behind it");
        tail.seal(tail.word());
        assert!(!tail.reserve_at(Lsn(1144), 48), "it is sealed");
    }

    #[test]
    fn a_seal_of_an_old_word_does_nothing() {
        let tail = Tail::new(1024, false);
        tail.open_at(Lsn(64));
        let old = tail.word();
        tail.reserve(64);

        tail.seal(old);

        assert_eq!(tail.sealed_at(), None);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two writers and a sealer: ranges do not overlap, all lie below the final position, and
    /// everybody sees the same one.
    #[test]
    fn ranges_and_the_end_are_the_same_for_all() {
        loom::model(|| {
            let tail = Arc::new(Tail::new(64 + 16 + 16, false));
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let tail = Arc::clone(&tail);
                    thread::spawn(move || {
                        tail.open_at(Lsn(64));
                        match tail.reserve(16) {
                            Reserved::At(lsn) => Some(lsn.0),
                            Reserved::Full(_) | Reserved::Sealed(_) => None,
                        }
                    })
                })
                .collect();
            tail.open_at(Lsn(64));
            while tail.sealed_at().is_none() {
                tail.seal(tail.word());
            }
            let end = tail.sealed_at().unwrap().0;
            let mut got: Vec<_> = writers.into_iter().filter_map(|w| w.join().unwrap()).collect();
            got.sort_unstable();
            assert_eq!(end, 64 + 16 * got.len() as u64 + SEAL);
            for (i, lsn) in got.iter().enumerate() {
                assert_eq!(*lsn, 64 + 16 * i as u64);
            }
            assert_eq!(tail.reserve(16), Reserved::Sealed(Lsn(end)));
        });
    }
}
