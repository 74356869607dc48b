//! The merging cursor: many sorted sources seen as one, in both directions.
//!
//! The source whose entry comes next is the leader. The others wait in a heap with the beginnings
//! of their keys, so that the runner-up is at hand: while one source leads, the next entry costs
//! one compare of integers, and a source that leads alone is walked straight. Only the leader has
//! been moved past what was shown; every other source stands on its first entry beyond the
//! leader's (in the direction of travel), or has none.
//!
//! A seek goes through all sources in stages, so that they wait for memory together and not one
//! after the other ([`Cursor::approach`]).
//!
//! Not here: visibility. All versions and tombstones are shown. Two sources may hold an entry of
//! the same number only if they hold the same entry; it is then shown twice.

use std::cmp::Ordering;

use crate::base::cursor::{APPROACH_STAGES, pass_versions};
use crate::base::key::compare;
use crate::base::{Cursor, Entry, Result};

/// One cursor, and the beginning of the key where it stands.
struct Source<C> {
    cursor: C,
    /// See [`head_of`]. Not up to date in a leader that leads alone.
    head: u128,
}

impl<C: Cursor> Source<C> {
    /// Takes down where the source stands; false when it has no entry.
    #[inline]
    fn note(&mut self) -> bool {
        let Some(entry) = self.cursor.entry() else {
            return false;
        };
        self.head = head_of(entry.key);
        true
    }

    /// The key and number here; least of all when there is no entry.
    fn place(&self) -> (&[u8], u64) {
        self.cursor.entry().map_or((&[], u64::MAX), |entry| (entry.key, entry.number))
    }
}

/// The first 16 bytes of a key, zero-padded, as a number: if two differ, the keys order like them.
#[inline]
#[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
fn head_of(key: &[u8]) -> u128 {
    if let Some(head) = key.first_chunk() {
        return u128::from_be_bytes(*head);
    }
    let mut head = [0; 16];
    head[..key.len()].copy_from_slice(key);
    u128::from_be_bytes(head)
}

/// Many cursors seen as one sorted sequence.
///
/// Past an end it is unpositioned. After an error of any source it is unpositioned too.
pub(crate) struct MergeCursor<C = Box<dyn Cursor>> {
    sources: Vec<Source<C>>,
    /// Indexes of the waiting sources that have an entry; the root is the runner-up.
    heap: Vec<usize>,
    leader: Option<usize>,
    forward: bool,
    /// The place where a change of direction begins; kept for its allocation.
    pivot: Vec<u8>,
}

impl<C: Cursor> MergeCursor<C> {
    /// Merges `cursors`, which may be none; unpositioned at first.
    pub(crate) fn new(cursors: Vec<C>) -> Self {
        let sources: Vec<Source<C>> =
            cursors.into_iter().map(|cursor| Source { cursor, head: 0 }).collect();
        let heap = Vec::with_capacity(sources.len());
        Self { sources, heap, leader: None, forward: true, pivot: Vec::new() }
    }

    fn unposition(&mut self) {
        self.leader = None;
        self.heap.clear();
    }

    /// Moves every source by `step`, then finds the leader for the given direction.
    fn reposition(
        &mut self,
        forward: bool,
        mut step: impl FnMut(&mut C) -> Result<()>,
    ) -> Result<()> {
        self.unposition();
        for source in &mut self.sources {
            step(&mut source.cursor)?;
        }
        self.forward = forward;
        self.gather();
        Ok(())
    }

    /// Fills the heap with every source that has an entry and takes the leader off it.
    fn gather(&mut self) {
        self.heap.clear();
        for (index, source) in self.sources.iter_mut().enumerate() {
            if source.note() {
                self.heap.push(index);
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
        self.promote();
    }

    /// Makes the runner-up the leader, or leaves the cursor unpositioned when there is none.
    fn promote(&mut self) {
        if self.heap.is_empty() {
            self.leader = None;
            return;
        }
        self.leader = Some(self.heap.swap_remove(0));
        self.sift_down(0);
    }

    /// Takes all sources through the stages of a seek.
    fn approach(&mut self, key: &[u8], number: u64) {
        for stage in 0..APPROACH_STAGES {
            for source in &mut self.sources {
                source.cursor.approach(key, number, stage);
            }
        }
    }

    /// How the places of two sources order, by internal order. Their heads are up to date.
    #[inline]
    fn order(&self, a: usize, b: usize) -> Ordering {
        let (left, right) = (&self.sources[a], &self.sources[b]);
        match left.head.cmp(&right.head) {
            Ordering::Equal => compare(left.place(), right.place()),
            order => order,
        }
    }

    /// Whether two sources stand on versions of one key. Their heads are up to date.
    #[inline]
    fn share_key(&self, a: usize, b: usize) -> bool {
        let (left, right) = (&self.sources[a], &self.sources[b]);
        left.head == right.head && left.place().0 == right.place().0
    }

    /// Whether waiting source `a` comes before waiting source `b` in the direction of travel.
    #[inline]
    fn precedes(&self, a: usize, b: usize) -> bool {
        match self.order(a, b) {
            Ordering::Less => self.forward,
            Ordering::Greater => !self.forward,
            Ordering::Equal => a < b,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut first = 2 * at + 1;
            if first >= self.heap.len() {
                return;
            }
            let right = first + 1;
            if right < self.heap.len() && self.precedes(self.heap[right], self.heap[first]) {
                first = right;
            }
            if !self.precedes(self.heap[first], self.heap[at]) {
                return;
            }
            self.heap.swap(first, at);
            at = first;
        }
    }

    /// After the leader has moved: keeps it if it still comes first, else changes the leader.
    fn settle(&mut self, leader: usize, moved: Result<()>) -> Result<()> {
        if let Err(error) = moved {
            self.unposition();
            return Err(error);
        }
        let Some(&runner) = self.heap.first() else {
            return Ok(());
        };
        if !self.sources[leader].note() {
            self.promote();
            return Ok(());
        }
        let order = self.order(leader, runner);
        let leads = if self.forward { order != Ordering::Greater } else { order != Ordering::Less };
        if !leads {
            self.heap[0] = leader;
            self.leader = Some(runner);
            self.sift_down(0);
        }
        Ok(())
    }

    /// After a turn forward: from the entry after the pivot to the first of the next key.
    fn pass_pivot(&mut self) -> Result<()> {
        let pivot = std::mem::take(&mut self.pivot);
        let is_version = self.entry().is_some_and(|entry| entry.key == pivot);
        let passed = if is_version { pass_versions(self, &pivot) } else { Ok(()) };
        self.pivot = pivot;
        passed
    }

    /// Moves the waiting sources that stand on the leader's key, whose head is up to date, past
    /// its versions.
    fn pass_waiting(&mut self, leader: usize) -> Result<()> {
        while let Some(&runner) = self.heap.first() {
            if !self.share_key(leader, runner) {
                break;
            }
            self.sources[runner].cursor.next_key()?;
            if !self.sources[runner].note() {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(())
    }

    /// Changes the direction: every source is brought to the other side of the leader's entry.
    fn turn(&mut self, forward: bool) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        let Some(entry) = self.sources[leader].cursor.entry() else {
            self.unposition();
            return Ok(());
        };
        let number = entry.number;
        let mut pivot = std::mem::take(&mut self.pivot);
        pivot.clear();
        pivot.extend_from_slice(entry.key);
        let turned = self.reposition(forward, |cursor| {
            if !forward {
                return cursor.seek_lt(&pivot, number);
            }
            // One number lower comes right after; below number 0 only another key does.
            cursor.seek_ge(&pivot, number.saturating_sub(1))?;
            let still_there = |e: Entry<'_>| number == 0 && e.number == 0 && e.key == pivot;
            if cursor.entry().is_some_and(still_there) { cursor.next() } else { Ok(()) }
        });
        self.pivot = pivot;
        turned
    }
}

impl<C: Cursor> Cursor for MergeCursor<C> {
    fn seek_first(&mut self) -> Result<()> {
        self.reposition(true, |cursor| cursor.seek_first())
    }

    fn seek_last(&mut self) -> Result<()> {
        self.reposition(false, |cursor| cursor.seek_last())
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.approach(key, number);
        self.reposition(true, |cursor| cursor.seek_ge(key, number))
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.approach(key, number);
        self.reposition(false, |cursor| cursor.seek_lt(key, number))
    }

    fn next_key(&mut self) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        if !self.forward {
            self.turn(true)?;
            return self.pass_pivot();
        }
        if let Err(error) = self.pass_waiting(leader) {
            self.unposition();
            return Err(error);
        }
        let moved = self.sources[leader].cursor.next_key();
        self.settle(leader, moved)
    }

    fn is_newest(&self) -> Option<bool> {
        let leader = self.leader.filter(|_| !self.forward)?;
        if self.heap.first().is_some_and(|&runner| self.share_key(leader, runner)) {
            return Some(false);
        }
        self.sources[leader].cursor.is_newest()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        if !self.forward {
            return self.turn(true);
        }
        let moved = self.sources[leader].cursor.next();
        self.settle(leader, moved)
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        if self.forward {
            return self.turn(false);
        }
        let moved = self.sources[leader].cursor.prev();
        self.settle(leader, moved)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.sources.get(self.leader?)?.cursor.entry()
    }
}
