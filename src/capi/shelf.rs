//! The slots that a thread has freed last, kept for the handles that it makes next.
//!
//! So a thread that opens and closes cursors meets no other one, and takes no lock. Belongs to a
//! record of [`super::hazard`], and only whoever owns that calls anything here.

use crate::mem::atomic::{AtomicU32, Ordering};

/// Room.
const ROOM: u32 = if cfg!(loom) { 2 } else { 32 };
/// Slots that are kept back, so that stale handles meet free slots first.
const QUARANTINE: u32 = if cfg!(loom) { 0 } else { 16 };

/// Freed slots, first in, first out.
pub(super) struct Shelf {
    /// Read and written by the record's owner only, so relaxed; who owns the record next sees what
    /// was written by the record's being given back. This holds for all fields.
    slots: [AtomicU32; ROOM as usize],
    /// Where the oldest one is.
    first: AtomicU32,
    count: AtomicU32,
}

impl Shelf {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| AtomicU32::new(0)),
            first: AtomicU32::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// The oldest slot that is out of quarantine.
    #[inline]
    pub(super) fn take(&self) -> Option<u32> {
        let count = self.count.load(Ordering::Relaxed);
        if count > QUARANTINE { self.shift(count) } else { None }
    }

    /// Keeps a freed slot. Returns another one if there was no room.
    #[inline]
    pub(super) fn put(&self, slot: u32) -> Option<u32> {
        let count = self.count.load(Ordering::Relaxed);
        let other = if count == ROOM { self.shift(count) } else { None };
        let count = count - u32::from(other.is_some());
        let at = self.first.load(Ordering::Relaxed) + count;
        self.slots.get((at % ROOM) as usize)?.store(slot, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        other
    }

    /// Takes the oldest of `count`.
    #[inline]
    fn shift(&self, count: u32) -> Option<u32> {
        let first = self.first.load(Ordering::Relaxed);
        let slot = self.slots.get(first as usize)?.load(Ordering::Relaxed);
        self.first.store((first + 1) % ROOM, Ordering::Relaxed);
        self.count.store(count - 1, Ordering::Relaxed);
        Some(slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_in_the_order_of_freeing_and_late() {
        let shelf = Shelf::new();
        assert_eq!(shelf.take(), None);
        let kept = (100..100 + ROOM).map(|slot| shelf.put(slot)).collect::<Vec<_>>();
        assert_eq!(kept, vec![None; ROOM as usize]);
        assert_eq!(shelf.put(1), Some(100));
        for slot in 101..101 + ROOM - QUARANTINE {
            assert_eq!(shelf.take(), Some(slot));
        }
        assert_eq!(shelf.take(), None);
        assert_eq!(shelf.put(2), None);
        assert_eq!(shelf.take(), Some(101 + ROOM - QUARANTINE));
    }
}
