//! Pins of bytes that lie in a mapped file instead of the cache.
//!
//! A pin counts in a slot, and the slot says what must stay. The slots here hold no block: each
//! holds the mapping, and stays as long as it is counted. There are several for one mapping, and
//! threads take different ones, so that the pins of different threads do not meet in one line.

#![allow(unsafe_code, reason = "anchors are owned by their counts")]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use super::counters::{STRIPES, stripe};
use super::slots::{ANCHOR, Pin, Slot};
use crate::mem::atomic::Ordering;
use crate::vfs::TableMap;

/// One count of a mapping.
#[repr(C, align(64))]
pub(super) struct Anchor {
    /// First, so that slot and anchor have the same address.
    slot: Slot,
    _home: Arc<TableMap>,
}

/// Lends pieces of a mapping for longer than it is borrowed.
pub(crate) struct Anchors {
    map: Arc<TableMap>,
    /// Each is counted once for being here.
    anchors: [NonNull<Slot>; STRIPES],
}

// SAFETY: slots are counted atomically, and the mapping may be used from any thread.
unsafe impl Send for Anchors {}
// SAFETY: as above.
unsafe impl Sync for Anchors {}

impl Anchors {
    /// Nothing is lent yet.
    pub(crate) fn new(map: Arc<TableMap>) -> Self {
        let anchor = |_| {
            let anchor = Anchor { slot: Slot::new(ANCHOR, 1, None), _home: Arc::clone(&map) };
            NonNull::from(Box::leak(Box::new(anchor))).cast::<Slot>()
        };
        Self { anchors: std::array::from_fn(anchor), map }
    }

    /// The mapping.
    #[inline]
    pub(crate) fn map(&self) -> &TableMap {
        &self.map
    }

    /// Lends a range of the mapping; none if it does not lie inside.
    #[inline]
    pub(crate) fn pin(&self, range: Range<usize>) -> Option<Pin> {
        let bytes = self.map.bytes().get(range)?;
        let slot = self.anchors[stripe()];
        // SAFETY: counted by this, so the slot lives.
        unsafe { slot.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the count passes to the pin, and keeps the mapping, in which the bytes lie.
        Some(unsafe { Pin::of_bytes(slot, bytes) })
    }
}

impl Drop for Anchors {
    fn drop(&mut self) {
        for slot in self.anchors {
            // SAFETY: the count of `new` passes to a pin that is dropped at once.
            drop(unsafe { Pin::of_bytes(slot, &[]) });
        }
    }
}
