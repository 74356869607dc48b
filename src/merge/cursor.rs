//! The merging cursor: many sorted sources seen as one, in both directions.
//!
//! The source whose entry comes next is the leader. The others wait in a heap by copies of their
//! keys, so that the runner-up's key is at hand: while one source leads, the next entry costs one
//! compare, and a source that leads alone is walked straight. Only the leader has been moved past
//! what was shown; every other source stands on its first entry beyond the leader's (in the
//! direction of travel), or has none.
//!
//! Not here: visibility. All versions and tombstones are shown. Two sources may hold an entry of
//! the same number only if they hold the same entry; it is then shown twice.

use std::cmp::Ordering;

use crate::base::key::compare;
use crate::base::{Cursor, Entry, Result};

/// One cursor, with a copy of the key and the number at which it stands while it waits in the heap.
struct Source {
    cursor: Box<dyn Cursor>,
    key: Vec<u8>,
    number: u64,
}

impl Source {
    /// Copies the place for the heap; false when the source has no entry.
    fn note(&mut self) -> bool {
        let Some(entry) = self.cursor.entry() else {
            return false;
        };
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        self.number = entry.number;
        true
    }
}

/// Many cursors seen as one sorted sequence.
///
/// Past an end it is unpositioned. After an error of any source it is unpositioned too.
pub(crate) struct MergeCursor {
    sources: Vec<Source>,
    /// Indexes of the waiting sources that have an entry; the root is the runner-up.
    heap: Vec<usize>,
    leader: Option<usize>,
    forward: bool,
    /// The place where a change of direction begins; kept for its allocation.
    pivot: Vec<u8>,
}

impl MergeCursor {
    /// Merges `cursors`, which may be none; unpositioned at first.
    pub(crate) fn new(cursors: Vec<Box<dyn Cursor>>) -> Self {
        let sources: Vec<Source> = cursors
            .into_iter()
            .map(|cursor| Source { cursor, key: Vec::new(), number: 0 })
            .collect();
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
        mut step: impl FnMut(&mut dyn Cursor) -> Result<()>,
    ) -> Result<()> {
        self.unposition();
        for source in &mut self.sources {
            step(source.cursor.as_mut())?;
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

    /// Whether waiting source `a` comes before waiting source `b` in the direction of travel.
    fn precedes(&self, a: usize, b: usize) -> bool {
        let (left, right) = (&self.sources[a], &self.sources[b]);
        match compare((&left.key, left.number), (&right.key, right.number)) {
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
        let Some(entry) = self.sources[leader].cursor.entry() else {
            self.promote();
            return Ok(());
        };
        let waiting = &self.sources[runner];
        let order = compare((entry.key, entry.number), (&waiting.key, waiting.number));
        let leads = if self.forward { order != Ordering::Greater } else { order != Ordering::Less };
        if !leads {
            self.sources[leader].note();
            self.heap[0] = leader;
            self.leader = Some(runner);
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

impl Cursor for MergeCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.reposition(true, |cursor| cursor.seek_first())
    }

    fn seek_last(&mut self) -> Result<()> {
        self.reposition(false, |cursor| cursor.seek_last())
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.reposition(true, |cursor| cursor.seek_ge(key, number))
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.reposition(false, |cursor| cursor.seek_lt(key, number))
    }

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

    fn entry(&self) -> Option<Entry<'_>> {
        self.sources.get(self.leader?)?.cursor.entry()
    }
}
