//! The merging cursor: many sorted sources seen as one, in both directions.
//!
//! The source whose entry comes next is the leader. The others wait in a heap with the beginnings
//! of their keys, so that the runner-up is at hand: while one source leads, the next entry costs
//! one compare of integers, and a source that leads alone is walked straight. Only the leader has
//! been moved past what was shown; every other source stands on its first entry beyond the
//! leader's (in the direction of travel), or has none.
//!
//! A seek goes through all sources in stages, so that they wait for memory, and for the disk,
//! together and not one after the other ([`Cursor::approach`]).
//!
//! Not here: visibility, but that pages are packed of what every reader at a position sees. All
//! versions and tombstones are shown. Two sources may hold an entry of
//! the same number only if they hold the same entry; it is then shown twice.

mod pack;

use std::cmp::Ordering;

use crate::base::cursor::{APPROACH_DISK, APPROACH_STAGES, Rank, Stamp, pass_versions};
use crate::base::{Cursor, Entry, Result};

/// A waiting source: the rank of its entry and its index.
#[derive(Clone, Copy)]
struct Waiting {
    rank: Rank,
    source: usize,
}

/// Many cursors seen as one sorted sequence.
///
/// Past an end it is unpositioned. After an error of any source it is unpositioned too.
pub(crate) struct MergeCursor<C = Box<dyn Cursor>> {
    sources: Vec<C>,
    /// The waiting sources that have an entry; the root is the runner-up.
    heap: Vec<Waiting>,
    leader: Option<usize>,
    /// The rank of the leader's entry where others wait; none if it has gone the short way since: then
    /// its key has a head below the runner-up's.
    rank: Option<Rank>,
    /// Whether the leader may keep its place when it is moved: because it did, or because it did when
    /// it led last. Only then is the short way tried beside others: where they alternate it leads
    /// nowhere.
    keeps: bool,
    /// Whether it has kept its place since it became the leader, as far as the common way saw.
    kept: bool,
    /// The sources that kept their places when they led last, a bit for each of the first 64, which
    /// the others share: a hint.
    keepers: u64,
    forward: bool,
    /// The place where a change of direction begins; kept for its allocation.
    pivot: Vec<u8>,
}

impl<C: Cursor> MergeCursor<C> {
    /// Merges `cursors`, which may be none; unpositioned at first.
    pub(crate) fn new(sources: Vec<C>) -> Self {
        let heap = Vec::with_capacity(sources.len());
        Self {
            sources,
            heap,
            leader: None,
            rank: None,
            keeps: false,
            kept: false,
            keepers: u64::MAX,
            forward: true,
            pivot: Vec::new(),
        }
    }

    /// The cursors, to change or to replace them; unpositioned then.
    pub(crate) fn sources(&mut self) -> &mut Vec<C> {
        self.unposition();
        &mut self.sources
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
            step(source)?;
        }
        self.forward = forward;
        self.gather();
        Ok(())
    }

    /// Fills the heap with every source that has an entry and takes the leader off it.
    fn gather(&mut self) {
        self.heap.clear();
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(rank) = source.rank() {
                self.heap.push(Waiting { rank, source: index });
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
        let first = self.heap.swap_remove(0);
        self.lead(first);
        self.sift_down(0);
    }

    /// Makes a source the leader.
    #[inline]
    fn lead(&mut self, source: Waiting) {
        self.leader = Some(source.source);
        self.rank = Some(source.rank);
        self.keeps = self.is_keeper(source.source);
        self.kept = false;
    }

    /// Whether a source kept its place when it led last.
    #[inline]
    fn is_keeper(&self, source: usize) -> bool {
        self.keepers >> (source % 64) & 1 != 0
    }

    /// Makes a source the leader instead of `leader`.
    #[inline]
    fn follow(&mut self, leader: usize, source: Waiting) {
        let bit = 1 << (leader % 64);
        let kept = self.kept || self.rank.is_none();
        self.keepers = if kept { self.keepers | bit } else { self.keepers & !bit };
        self.lead(source);
    }

    /// Takes all sources through the stages of a seek.
    fn approach(&mut self, key: &[u8], number: u64) {
        for stage in 0..APPROACH_STAGES {
            for source in &mut self.sources {
                source.approach(key, number, stage);
            }
        }
        if self.sources.iter().filter(|source| source.is_waiting()).nth(1).is_some() {
            for source in &mut self.sources {
                source.approach(key, number, APPROACH_DISK);
            }
        }
    }

    /// How two sources order by their places.
    #[inline]
    fn order(&self, a: &Waiting, b: &Waiting) -> Ordering {
        if a.rank.head != b.rank.head {
            return if a.rank.head < b.rank.head { Ordering::Less } else { Ordering::Greater };
        }
        self.order_alike(a, b)
    }

    /// [`Self::order`] of keys whose heads are the same.
    #[inline(never)]
    fn order_alike(&self, a: &Waiting, b: &Waiting) -> Ordering {
        let keys = a.rank.order_keys(&b.rank);
        let keys = keys.unwrap_or_else(|| self.key(a.source).cmp(self.key(b.source)));
        keys.then_with(|| b.rank.number.cmp(&a.rank.number))
    }

    /// Whether the leader and a waiting source stand on versions of one key.
    #[inline]
    fn is_at_key_of(&self, leader: usize, waiting: &Waiting) -> bool {
        self.rank.is_some_and(|rank| self.is_one_key(&Waiting { rank, source: leader }, waiting))
    }

    /// Whether two sources stand on versions of one key.
    #[inline]
    fn is_one_key(&self, a: &Waiting, b: &Waiting) -> bool {
        if a.rank.head != b.rank.head {
            return false;
        }
        let keys = a.rank.order_keys(&b.rank);
        keys.map_or_else(|| self.key(a.source) == self.key(b.source), Ordering::is_eq)
    }

    /// The key at which a source stands; least of all when it has no entry.
    fn key(&self, source: usize) -> &[u8] {
        self.sources[source].entry().map_or(&[], |entry| entry.key)
    }

    /// Whether waiting source `a` comes before waiting source `b` in the direction of travel.
    #[inline]
    fn precedes(&self, a: &Waiting, b: &Waiting) -> bool {
        match self.order(a, b) {
            Ordering::Less => self.forward,
            Ordering::Greater => !self.forward,
            Ordering::Equal => a.source < b.source,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut first = 2 * at + 1;
            if first >= self.heap.len() {
                return;
            }
            let right = first + 1;
            if right < self.heap.len() && self.precedes(&self.heap[right], &self.heap[first]) {
                first = right;
            }
            if !self.precedes(&self.heap[first], &self.heap[at]) {
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
        let Some(rank) = self.sources[leader].rank() else {
            self.promote();
            return Ok(());
        };
        let here = Waiting { rank, source: leader };
        let order = self.order(&here, &runner);
        let leads = if self.forward { order != Ordering::Greater } else { order != Ordering::Less };
        if leads {
            self.rank = Some(rank);
            (self.keeps, self.kept) = (true, true);
        } else {
            self.heap[0] = here;
            self.follow(leader, runner);
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

    /// Moves the waiting sources that stand on the leader's key past its versions.
    ///
    /// Returns whether there were any.
    #[inline]
    fn pass_waiting(&mut self, leader: usize) -> Result<bool> {
        let mut any = false;
        while let Some(runner) = self.heap.first() {
            if !self.is_at_key_of(leader, runner) {
                break;
            }
            any = true;
            let source = runner.source;
            self.pass_runner(source)?;
        }
        Ok(any)
    }

    /// Moves the runner-up, which is `source`, to its next key.
    #[inline]
    fn pass_runner(&mut self, source: usize) -> Result<()> {
        self.sources[source].next_key()?;
        match self.sources[source].rank() {
            Some(rank) => self.heap[0].rank = rank,
            None => {
                self.heap.swap_remove(0);
            }
        }
        self.sift_down(0);
        Ok(())
    }

    /// The leader of a walk forward, and the head below which keys are its alone, or `limit`.
    #[inline]
    fn alone(&mut self, limit: u128) -> (Option<&mut C>, u128) {
        let limit = self.heap.first().map_or(limit, |runner| runner.rank.head.min(limit));
        let may_lead = self.forward && (self.keeps || self.heap.is_empty());
        let leader = self.leader.filter(|_| may_lead);
        (leader.and_then(|leader| self.sources.get_mut(leader)), limit)
    }

    /// Changes the direction: every source is brought to the other side of the leader's entry.
    fn turn(&mut self, forward: bool) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        let Some(entry) = self.sources[leader].entry() else {
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

impl<C: Cursor> Default for MergeCursor<C> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<C: Cursor> Cursor for MergeCursor<C> {
    fn seek_first(&mut self) -> Result<()> {
        self.reposition(true, C::seek_first)
    }

    fn seek_last(&mut self) -> Result<()> {
        self.reposition(false, C::seek_last)
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
        let moved = self.sources[leader].next_key();
        self.settle(leader, moved)
    }

    #[inline]
    fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        let (leader, limit) = self.alone(limit);
        let moved = leader.is_some_and(|leader| leader.next_plain(below, limit));
        if moved {
            self.rank = None;
        }
        moved
    }

    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        let Some(leader) = self.leader.filter(|_| self.forward) else {
            return self.next_key();
        };
        match self.pass_waiting(leader) {
            Ok(false) => {}
            // Where one key is in several sources, the next likely is too.
            Ok(true) => {
                let moved = self.sources[leader].next_key();
                return self.settle(leader, moved);
            }
            Err(error) => {
                self.unposition();
                return Err(error);
            }
        }
        // Keys before that of the runner-up are the leader's alone.
        let mut pivot = std::mem::take(&mut self.pivot);
        let mut limit = limit;
        if let Some(runner) = self.heap.first() {
            pivot.clear();
            pivot.extend_from_slice(self.key(runner.source));
            limit = Some(limit.map_or(&*pivot, |limit| limit.min(&pivot)));
        }
        let moved = self.sources[leader].pass_deletes(below, limit);
        self.pivot = pivot;
        self.settle(leader, moved)
    }

    fn is_newest(&self) -> Option<bool> {
        let leader = self.leader.filter(|_| !self.forward)?;
        if self.heap.first().is_some_and(|runner| self.is_at_key_of(leader, runner)) {
            return Some(false);
        }
        self.sources[leader].is_newest()
    }

    #[inline]
    fn stamp(&self) -> Option<Stamp> {
        self.sources.get(self.leader?)?.stamp()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let Some(leader) = self.leader else {
            return Ok(());
        };
        if !self.forward {
            return self.turn(true);
        }
        let moved = self.sources[leader].next();
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
        let moved = self.sources[leader].prev();
        self.settle(leader, moved)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.sources.get(self.leader?)?.entry()
    }

    #[inline]
    fn check_value(&self) -> Result<()> {
        self.leader.map_or(Ok(()), |leader| self.sources[leader].check_value())
    }

    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        self.sources.get(self.leader?)?.pair()
    }
}
