//! A cursor over one keyspace of a memtable: a merge of its arrays and the list.
//!
//! The sources are captured when the cursor is made and kept by counts, so freezing goes on beside
//! it, and no epoch guard is held. It shows entries numbered below its bound only; those were all
//! there when it was made, so what it shows never changes.

use std::any::Any;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::cursor::{Rank, STEPS_MAX, Stamp};
use crate::base::{Cursor, Entry, Error, ErrorKind, KeyspaceId, Kind, Result};
use crate::mem::Held;
use crate::memtable::Memtable;

use super::key::SortKey;
use super::source::{Source, Window};

/// No rival: there is one source or none.
const NONE: usize = usize::MAX;

/// See the module.
pub(crate) struct MemCursor {
    /// Keeps the bytes that sort keys point into (M1).
    owner: Arc<dyn Any + Send + Sync>,
    window: Window,
    sources: Vec<Source>,
    /// A heap of the sources that have an entry, by that entry; the root is where the cursor is.
    heap: Vec<(SortKey, usize)>,
    /// The index in the heap of the entry that comes next if it is not the root's source again. It
    /// spares all heap work while one source leads.
    rival: usize,
    forward: bool,
}

impl MemCursor {
    /// An unpositioned cursor. `owner` keeps what the sources' sort keys point into.
    pub(in crate::memtable) fn new(
        owner: Arc<dyn Any + Send + Sync>,
        keyspace: KeyspaceId,
        below: u64,
        sources: Vec<Source>,
    ) -> Self {
        let heap = Vec::with_capacity(sources.len());
        let window = Window { keyspace, below };
        Self { owner, window, sources, heap, rival: NONE, forward: true }
    }

    /// Whether it is over what `owner` keeps.
    #[inline]
    pub(in crate::memtable) fn is_of<T>(&self, owner: &Arc<T>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.owner), Arc::as_ptr(owner))
    }

    /// Makes it an unpositioned cursor over another window of the same owner, with what `renew` makes
    /// of its sources.
    ///
    /// # Errors
    /// Those of `renew`.
    pub(in crate::memtable) fn renew(
        &mut self,
        keyspace: KeyspaceId,
        below: u64,
        renew: impl FnOnce(&mut Vec<Source>) -> Result<()>,
    ) -> Result<()> {
        self.heap.clear();
        (self.rival, self.forward) = (NONE, true);
        self.window = Window { keyspace, below };
        renew(&mut self.sources)
    }

    /// The value of the entry that the cursor shows, to be used when it has moved on or is gone.
    pub(crate) fn hold_value(&self) -> Option<Held> {
        let value = self.entry()?.value;
        // SAFETY: the value lies in what sort keys point into, which the owner keeps, and does not
        // change (M1, M4).
        Some(unsafe { Held::new(Arc::clone(&self.owner), value) })
    }

    /// [`Cursor::check_value`] for one that lies in the log.
    #[inline(never)]
    fn check_away(&self, key: SortKey) -> Result<()> {
        // SAFETY: as for `entry`.
        let view = unsafe { key.view() };
        if view.is_sound() {
            return Ok(());
        }
        // Only those of memtables lie there.
        let memtable = self.owner.downcast_ref::<Memtable>();
        Err(memtable.map_or_else(
            || Error::new(ErrorKind::Corrupt, "a value is not what was written"),
            |memtable| memtable.value_lost(view.key),
        ))
    }

    /// Positions every source by `seek` and builds the heap.
    fn position(
        &mut self,
        forward: bool,
        mut seek: impl FnMut(&mut Source, Window) -> Option<SortKey>,
    ) {
        self.forward = forward;
        self.heap.clear();
        for (i, source) in self.sources.iter_mut().enumerate() {
            if let Some(key) = seek(source, self.window) {
                self.heap.push((key, i));
            }
        }
        for parent in (0..self.heap.len() / 2).rev() {
            self.sift_down(parent);
        }
        self.find_rival();
    }

    fn seek_forward(&mut self, bound: Bound<&SortKey>) {
        self.position(true, |source, window| source.seek_forward(bound, window));
    }

    fn seek_backward(&mut self, bound: Bound<&SortKey>) {
        self.position(false, |source, window| source.seek_backward(bound, window));
    }

    /// Moves in the direction that the sources stand in.
    #[inline]
    fn advance(&mut self) {
        let Some(&(_, leader)) = self.heap.first() else { return };
        let next = self.sources[leader].step(self.window, self.forward);
        self.replace_root(next);
    }

    /// After the leader has moved to `key`, or to nowhere: finds the next leader.
    #[inline]
    fn replace_root(&mut self, key: Option<SortKey>) {
        match key {
            Some(key) => {
                self.heap[0].0 = key;
                if self.rival == NONE || self.is_before(0, self.rival) {
                    return;
                }
            }
            None => {
                self.heap.swap_remove(0);
            }
        }
        self.sift_down(0);
        self.find_rival();
    }

    #[inline]
    fn is_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.heap[a].0, &self.heap[b].0);
        if self.forward { a < b } else { b < a }
    }

    fn sift_down(&mut self, mut parent: usize) {
        while let Some(child) = self.better_child(parent) {
            if self.is_before(parent, child) {
                return;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
    }

    fn better_child(&self, parent: usize) -> Option<usize> {
        let (left, right) = (2 * parent + 1, 2 * parent + 2);
        if right < self.heap.len() && self.is_before(right, left) {
            return Some(right);
        }
        (left < self.heap.len()).then_some(left)
    }

    fn find_rival(&mut self) {
        self.rival = self.better_child(0).unwrap_or(NONE);
    }

    fn probe(&self, key: &[u8], number: u64) -> SortKey {
        SortKey::probe(self.window.keyspace, key, number)
    }
}

impl Cursor for MemCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.sources.iter_mut().for_each(Source::forget_approach);
        self.seek_ge(&[], u64::MAX)
    }

    fn seek_last(&mut self) -> Result<()> {
        self.sources.iter_mut().for_each(Source::forget_approach);
        match self.window.keyspace.0.checked_add(1) {
            Some(next) => {
                let end = SortKey::probe(KeyspaceId(next), &[], u64::MAX);
                self.seek_backward(Bound::Excluded(&end));
            }
            None => self.seek_backward(Bound::Unbounded),
        }
        Ok(())
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        let probe = self.probe(key, number);
        self.seek_forward(Bound::Included(&probe));
        Ok(())
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        let probe = self.probe(key, number);
        self.seek_backward(Bound::Excluded(&probe));
        Ok(())
    }

    #[inline]
    fn rank(&self) -> Option<Rank> {
        self.heap.first().map(|(key, _)| key.rank())
    }

    #[inline]
    fn stamp(&self) -> Option<Stamp> {
        let (key, _) = self.heap.first()?;
        if let (Some(kind), false) = (key.kind(), key.has_expiry()) {
            return Some(Stamp { number: key.number(), kind, expiry_ms: 0 });
        }
        self.entry().map(|entry| Stamp::of(&entry))
    }

    fn approach(&mut self, key: &[u8], number: u64, stage: u32) {
        let probe = self.probe(key, number);
        for source in &mut self.sources {
            source.approach(&probe, stage);
        }
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        let Some(&(here, _)) = self.heap.first() else { return Ok(()) };
        if self.forward {
            for _ in 0..STEPS_MAX {
                self.advance();
                if self.heap.first().is_none_or(|(key, _)| !key.same_key(&here)) {
                    return Ok(());
                }
            }
        }
        self.seek_forward(Bound::Excluded(&here.oldest()));
        Ok(())
    }

    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        self.next_key()?;
        let is_dead = |key: &SortKey| key.number() < below && key.kind() == Some(Kind::Delete);
        let Some(&(mut dead, leader)) = self.heap.first().filter(|(key, _)| is_dead(key)) else {
            return Ok(());
        };
        // The keys before both the limit and the rival's are those of the leader alone.
        let limit = limit.map(|limit| self.probe(limit, u64::MAX));
        let rival = self.heap.get(self.rival).map(|(key, _)| key.newest());
        let end = limit.into_iter().chain(rival).min();
        if end.is_some_and(|end| dead >= end) {
            return Ok(());
        }
        let stop = loop {
            let next = self.sources[leader].step(self.window, true);
            match next {
                Some(key) if end.is_some_and(|end| key >= end) => break next,
                Some(key) if is_dead(&key) => dead = key,
                Some(key) if key.same_key(&dead) => {}
                _ => break next,
            }
        };
        self.replace_root(stop);
        Ok(())
    }

    fn is_newest(&self) -> Option<bool> {
        let &(here, leader) = self.heap.first().filter(|_| !self.forward)?;
        let rival = self.heap.get(self.rival);
        if rival.is_some_and(|(key, _)| key.same_key(&here)) {
            return Some(false);
        }
        self.sources[leader].is_newest(&here)
    }

    fn next(&mut self) -> Result<()> {
        match self.heap.first() {
            Some(&(here, _)) if !self.forward => self.seek_forward(Bound::Excluded(&here)),
            _ => self.advance(),
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        match self.heap.first() {
            Some(&(here, _)) if self.forward => self.seek_backward(Bound::Excluded(&here)),
            _ => self.advance(),
        }
        Ok(())
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        let (key, _) = self.heap.first()?;
        // SAFETY: sort keys of sources are of entries, and `owner` keeps their bytes for as long
        // as the cursor is borrowed (M1).
        Some(unsafe { key.entry() })
    }

    #[inline]
    fn check_value(&self) -> Result<()> {
        match self.heap.first() {
            // SAFETY: as for `entry`.
            Some(&(key, _)) if unsafe { key.is_away() } => self.check_away(key),
            _ => Ok(()),
        }
    }
}
