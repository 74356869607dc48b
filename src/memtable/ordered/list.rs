//! The newest entries in order: a skiplist that readers fill.
//!
//! Writers do nothing for it. Whoever needs order first inserts the records that were published since
//! somebody did so before him, beside any number of others who do the same, and leaves them to those
//! who follow. So what is written beside scans is sorted once, and what nobody scans never.
//!
//! M8: nothing is overwritten or removed in a list: crossbeam-skiplist loses keys for concurrent
//! readers when an insert replaces one. Sort keys are unique, and `get_or_insert`, which keeps what
//! it finds, marks no node. That also makes it sound to use no guard: a node lives as long as its
//! list.

#![allow(unsafe_code, reason = "nodes live as long as their list, without guards")]

use std::ops::Bound;
use std::ptr;

use crossbeam_epoch as crossbeam;
use crossbeam_skiplist::SkipList;
use crossbeam_skiplist::base::Entry as Node;

use crate::mem::atomic::{AtomicUsize, Ordering};
use crate::mem::epoch;

use super::key::SortKey;

/// A node's place in a list, without the list's lifetime; whoever keeps one keeps the list.
pub(in crate::memtable) type Place = Node<'static, 'static, SortKey, ()>;

/// The entries of some records behind the arrays.
pub(in crate::memtable) struct List {
    /// Where the first of them begins.
    from: usize,
    /// The entries of all records that begin in `[from, to)` are there, perhaps some behind. The end
    /// of a record. Raised (`Release`) by whoever has inserted, read (`Acquire`) by whoever reads the
    /// list: he finds all those entries.
    to: AtomicUsize,
    nodes: SkipList<SortKey, ()>,
}

impl List {
    /// An empty list for records that begin at or behind `from`.
    pub(super) fn new(from: usize) -> Self {
        let nodes = SkipList::new(epoch::list_collector());
        Self { from, to: AtomicUsize::new(from), nodes }
    }

    /// Where its first record begins.
    pub(super) fn from(&self) -> usize {
        self.from
    }

    /// Up to where all is there.
    pub(super) fn to(&self) -> usize {
        self.to.load(Ordering::Acquire)
    }

    /// Entries inserted; approximate while others insert.
    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Inserts the entries of the records that begin from `self.to()`, as it was, up to `to`. The
    /// caller owns what they point into (M1). Others may insert the same ones.
    pub(super) fn extend(&self, keys: &[SortKey], to: usize) {
        // SAFETY: no node is ever removed (M8), so nothing is deferred and nothing can be freed
        // under this access. The list keeps one count of its own, so the release frees nothing.
        let unprotected = unsafe { crossbeam::unprotected() };
        for key in keys {
            self.nodes.get_or_insert(*key, (), unprotected).release(unprotected);
        }
        self.to.fetch_max(to, Ordering::Release);
    }

    /// The first entry at or after `bound`.
    pub(super) fn first_from(&self, bound: Bound<&SortKey>) -> Option<Place> {
        self.without_lifetime().lower_bound(bound, Self::unprotected())
    }

    /// The last entry before `bound`.
    pub(super) fn last_before(&self, bound: Bound<&SortKey>) -> Option<Place> {
        self.without_lifetime().upper_bound(bound, Self::unprotected())
    }

    /// The entries numbered below `below`, in order.
    pub(super) fn below(&self, below: u64) -> Vec<SortKey> {
        let keys = self.nodes.iter(Self::unprotected()).map(|node| *node.key());
        keys.filter(|key| key.number() < below).collect()
    }

    fn unprotected() -> &'static crossbeam::Guard {
        // SAFETY: as in `extend`: nodes live as long as their list (M8).
        unsafe { crossbeam::unprotected() }
    }

    /// The nodes with a free lifetime, so that a cursor can keep a place beside the list's count.
    fn without_lifetime(&self) -> &'static SkipList<SortKey, ()> {
        // SAFETY: only `Place`s come out of this, and their keepers keep the list alive: sources, by
        // an `Arc` beside the place.
        unsafe { &*ptr::from_ref::<SkipList<SortKey, ()>>(&self.nodes) }
    }
}
