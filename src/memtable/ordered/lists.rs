//! What is still being written, in order: one skiplist for each span of places.
//!
//! A big skiplist misses the cache at every level; one of about 12,000 entries stays in L2. So a
//! generation has a row of lists, and an entry's *place* says which list it belongs to. The length
//! of a span in bytes is fixed when its list is made, from the sizes of the entries seen by then.
//!
//! Invariants:
//! * M5: nothing is overwritten or removed in a list: crossbeam-skiplist loses keys for concurrent
//!   readers when an insert replaces one. Sort keys are unique, and `get_or_insert` marks no node.
//!   That also makes it sound to use no guard at all: a node lives as long as its list.
//! * M6: list `i` is written only while `visible` has not passed the end of span `i`: whoever
//!   inserts at a place has not marked its record. So a list whose span is below `visible` is
//!   complete, may be frozen, and is never reached again by a writer.
//! * M7: lists `[0, live_from)` of the run list are gone (retired through the epoch); the others
//!   are there. A reader pins, loads the run list, and then touches only the others.

#![allow(unsafe_code, reason = "lists are kept by address, without a count per insert")]

use std::mem::ManuallyDrop;
use std::ops::Bound;
use std::ptr;
use std::sync::Arc;

use crossbeam_epoch as crossbeam;
use crossbeam_skiplist::SkipList;
use crossbeam_skiplist::base::Entry as Node;

use crate::mem::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::mem::epoch::{self, Guard};
use crate::mem::{NodeHeap, NodePool, Recycler};
use crate::memtable::layout::{LINK_BYTES, OP_BYTES};

use super::key::SortKey;

/// What one entry costs in a list, in bytes: a node with a tower of two links, on average.
pub(super) const NODE_BYTES: usize = 64;
/// The shortest entry: link and fixed part.
const ENTRY_BYTES_MIN: usize = LINK_BYTES + OP_BYTES;

/// Address space for the nodes of a span of `bytes`: what the shortest entries need, half as much
/// again for the luck of the towers, and a piece for each of some threads.
fn heap_bytes(bytes: usize) -> usize {
    bytes / ENTRY_BYTES_MIN * NODE_BYTES / 2 * 3 + (1 << 20)
}

/// How long spans are made.
#[derive(Clone, Copy, Debug)]
pub(in crate::memtable) struct SpanRule {
    /// Entries that a list should hold.
    pub(in crate::memtable) entries: usize,
    /// Shortest span in bytes.
    pub(in crate::memtable) bytes_min: usize,
    /// Longest span in bytes: entries may become small in the middle of it.
    pub(in crate::memtable) bytes_max: usize,
    /// The first span in bytes, when no sizes have been seen.
    pub(in crate::memtable) bytes_first: usize,
}

impl Default for SpanRule {
    fn default() -> Self {
        Self { entries: 12_000, bytes_min: 256 << 10, bytes_max: 4 << 20, bytes_first: 1 << 20 }
    }
}

/// A node's place in a list, without the list's lifetime; whoever keeps one keeps the list.
pub(in crate::memtable) type Place = Node<'static, 'static, SortKey, ()>;

/// The entries of one span of places.
pub(in crate::memtable) struct List {
    nodes: ManuallyDrop<SkipList<SortKey, ()>>,
    /// Where the nodes lie; dropped after them.
    heap: NodeHeap,
}

impl Drop for List {
    fn drop(&mut self) {
        if self.heap.is_whole() {
            // Keys need no drop, and all nodes go with the heap.
            return;
        }
        let nodes = &mut self.nodes;
        // SAFETY: dropped here only, and not used any more.
        self.heap.scope(|| unsafe { ManuallyDrop::drop(nodes) });
    }
}

impl List {
    fn new(heap: NodeHeap) -> Self {
        Self { nodes: ManuallyDrop::new(SkipList::new(epoch::list_collector())), heap }
    }

    /// Entries inserted; approximate while others insert.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Inserts an entry. The caller owns what the key points into (M1).
    fn insert(&self, key: SortKey) {
        // SAFETY: no node is ever removed (M5), so nothing is deferred and nothing can be freed
        // under this access. The list keeps one count of its own, so the release frees nothing.
        let unprotected = unsafe { crossbeam::unprotected() };
        self.heap.scope(|| self.nodes.get_or_insert(key, (), unprotected).release(unprotected));
    }

    /// The first entry at or after `bound`.
    pub(super) fn first_from(&self, bound: Bound<&SortKey>) -> Option<Place> {
        self.without_lifetime().lower_bound(bound, Self::unprotected())
    }

    /// The last entry before `bound`.
    pub(super) fn last_before(&self, bound: Bound<&SortKey>) -> Option<Place> {
        self.without_lifetime().upper_bound(bound, Self::unprotected())
    }

    /// All entries in order. Complete only once the span is (M6).
    pub(super) fn iter(&self) -> impl Iterator<Item = SortKey> + '_ {
        self.nodes.iter(Self::unprotected()).map(|node| *node.key())
    }

    fn unprotected() -> &'static crossbeam::Guard {
        // SAFETY: as in `insert`: nodes live as long as their list (M5).
        unsafe { crossbeam::unprotected() }
    }

    /// The nodes with a free lifetime, so that a cursor can keep a place beside the list's count.
    fn without_lifetime(&self) -> &'static SkipList<SortKey, ()> {
        // SAFETY: only `Place`s come out of this, and their keepers keep the list alive: cursors
        // by an `Arc` beside the place, lookups by the guard under which they found the list.
        unsafe { &*ptr::from_ref::<SkipList<SortKey, ()>>(&self.nodes) }
    }
}

/// The lists of one generation.
pub(super) struct Lists {
    rule: SpanRule,
    capacity: usize,
    heaps: Arc<NodePool>,
    /// List `i`, from `Arc::into_raw`; null until made. Stored once by whoever makes it (`AcqRel`),
    /// read by writers (M6) and readers (M7) with `Acquire`. Not cleared when retired.
    slots: Box<[AtomicPtr<List>]>,
    /// The place at which span `i` ends; 0 until made. Stored once, after the slot; read like it.
    ends: Box<[AtomicUsize]>,
    /// How many lists are made. Raised after slot and end, `Release`; read first, `Acquire`.
    made: AtomicUsize,
}

impl Lists {
    /// No list yet, for an arena of `capacity` bytes.
    pub(super) fn new(capacity: usize, rule: SpanRule, memory: &Recycler) -> Self {
        let slots = capacity / rule.bytes_min.max(1) + 2;
        Self {
            rule,
            capacity,
            heaps: memory.nodes(heap_bytes(rule.bytes_max.min(capacity))),
            slots: (0..slots).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            ends: (0..slots).map(|_| AtomicUsize::new(0)).collect(),
            made: AtomicUsize::new(0),
        }
    }

    /// How many lists are made.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::Acquire)
    }

    /// The place at which span `i` ends. `i` is made.
    pub(super) fn end(&self, i: usize) -> usize {
        self.ends[i].load(Ordering::Acquire)
    }

    /// The place at which span `i` starts. `i` is made or the next to be made.
    pub(super) fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.end(i - 1) }
    }

    /// Whether `place` lies in a span whose list is made.
    #[inline]
    pub(super) fn covers(&self, place: usize) -> bool {
        let made = self.made();
        made > 0 && place < self.end(made - 1)
    }

    /// Makes the next list, if `place` lies beyond those that are made, so that it covers `place`.
    /// `entry_bytes` tells how many bytes an entry took lately, 0 if that is not known.
    pub(super) fn extend(&self, place: usize, entry_bytes: usize) {
        let i = self.made();
        let start = self.start(i);
        if i == self.slots.len() || start >= self.capacity || place < start {
            return;
        }
        let new = Arc::into_raw(Arc::new(List::new(self.heaps.heap()))).cast_mut();
        let slot = &self.slots[i];
        if slot.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            // SAFETY: made above and not published.
            drop(unsafe { Arc::from_raw(new) });
        }
        let bytes = match entry_bytes {
            0 => self.rule.bytes_first,
            bytes => bytes.saturating_mul(self.rule.entries),
        };
        let bytes = bytes.clamp(self.rule.bytes_min, self.rule.bytes_max);
        // A long entry may have led far beyond the last span: this one reaches behind it.
        let from = if place - start < bytes { start } else { place };
        let is_last = i + 1 == self.slots.len();
        let end = if is_last { self.capacity } else { self.capacity.min(from + bytes) };
        // Whoever is first decides; all go on with that.
        let _ = self.ends[i].compare_exchange(0, end, Ordering::AcqRel, Ordering::Acquire);
        self.made.fetch_max(i + 1, Ordering::AcqRel);
    }

    /// Inserts the entry at `place`; its list is made (`covers`).
    #[inline]
    pub(super) fn insert(&self, place: usize, key: SortKey) {
        let mut i = self.made() - 1;
        // Only ends are read on the way; they stay when lists go.
        while place < self.start(i) {
            i -= 1;
        }
        let list = self.slots[i].load(Ordering::Acquire);
        // SAFETY: the list is made, and not frozen while a record in its span is unmarked (M6).
        unsafe { &*list }.insert(key);
    }

    /// List `i`, made and not below the `live_from` of a run list loaded under `guard` (M7).
    pub(super) fn get<'g>(&'g self, i: usize, _guard: &'g Guard) -> &'g List {
        // SAFETY: the caller keeps to M7: the slot's count is given up only after the guard.
        unsafe { &*self.slots[i].load(Ordering::Acquire) }
    }

    /// The same, counted.
    pub(super) fn get_arc(&self, i: usize, guard: &Guard) -> Arc<List> {
        let list = ptr::from_ref(self.get(i, guard));
        // SAFETY: alive under the guard, and made by `Arc::into_raw`.
        unsafe {
            Arc::increment_strong_count(list);
            Arc::from_raw(list)
        }
    }

    /// Gives up the slot's count of list `i`, to be retired.
    ///
    /// # Safety
    /// Called once for each list, when a run list that does not need it was published (M7), and
    /// what is returned is retired through the epoch; or at the end, when nobody else is left.
    pub(super) unsafe fn take(&self, i: usize) -> Arc<List> {
        // SAFETY: the slot owned one count, which nobody takes twice.
        unsafe { Arc::from_raw(self.slots[i].load(Ordering::Acquire)) }
    }
}
