//! The ordered index of one generation: live lists by place, frozen runs behind them.
//!
//! Inserts go to the list that their place belongs to. Readers capture the runs and the lists that
//! are not frozen; a background thread turns complete lists into runs and merges runs.
//!
//! M1 (sort keys point into memory that lives): every index belongs to one arena, which its owner
//! drops last, and which cursors keep alive.

#![allow(unsafe_code, reason = "entries are reached by address; lists are given up once")]

mod cursor;
mod key;
mod lists;
mod replayed;
mod run;
mod source;

use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{Entry, Error, ErrorKind, KeyspaceId, Result};
use crate::mem::{EpochCell, Garbage, Recycler, epoch};

use super::arena::Arena;
use key::SortKey;
use lists::Lists;
use run::{Run, RunList};

pub(crate) use cursor::MemCursor;
pub(super) use lists::SpanRule;
pub(crate) use replayed::Replayed;
pub(super) use run::Keep;
#[cfg(all(test, not(loom)))]
pub(super) use run::MERGE_WIDTH;
pub(super) use source::{Source, keyspaces_of};

/// Lists, and the runs that they became.
pub(super) struct OrderedIndex {
    lists: Lists,
    runs: EpochCell<RunList>,
    garbage: Arc<Garbage>,
    /// Held by the one thread that freezes or merges.
    freezing: Mutex<()>,
}

/// What is known of the entries inserted so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// How many there are; approximate while others insert.
    pub(super) entries: usize,
    /// How many bytes of arena one took lately; 0 if that is not known.
    pub(super) entry_bytes: usize,
}

impl OrderedIndex {
    /// An empty index of an arena of `capacity` bytes. What freezing replaces goes to `garbage`.
    pub(super) fn new(
        capacity: usize,
        rule: SpanRule,
        garbage: &Arc<Garbage>,
        memory: &Recycler,
    ) -> Self {
        Self {
            lists: Lists::new(capacity, rule, memory),
            runs: EpochCell::new(Arc::new(RunList::default()), Arc::clone(garbage)),
            garbage: Arc::clone(garbage),
            freezing: Mutex::new(()),
        }
    }

    /// Whether the list that `place` belongs to is made.
    #[inline]
    pub(super) fn covers(&self, place: usize) -> bool {
        self.lists.covers(place)
    }

    /// Makes a list that `place` belongs to, if there is none; entries like those seen fit it.
    pub(super) fn extend(&self, place: usize, seen: Seen) {
        self.lists.extend(place, seen.entry_bytes);
    }

    /// What is known of the entries, when `place` is about to be written.
    pub(super) fn seen(&self, place: usize) -> Seen {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        let made = self.lists.made();
        let live = |i| self.lists.get(i, &guard).len();
        let total = runs.linked() + (runs.live_from..made).map(live).sum::<usize>();
        let (entries, bytes) = match made.checked_sub(1) {
            None => (0, 0),
            Some(last) if last >= runs.live_from => {
                let end = self.lists.end(last).min(place);
                (live(last), end.saturating_sub(self.lists.start(last)))
            }
            Some(last) => (runs.linked(), self.lists.end(last)),
        };
        Seen { entries: total, entry_bytes: bytes.checked_div(entries).unwrap_or(0) }
    }

    /// Inserts the entry at `place`, which is written, in a record that is not marked, and whose
    /// list is made. `arena` is the one that this index belongs to.
    #[inline]
    pub(super) fn insert(&self, arena: &Arena, place: usize, number: u64) {
        let (op, _) = arena.written(place);
        // SAFETY: `written` checked that the operation lies inside the arena, which outlives the
        // lists (M1); it is not written again (M4).
        let key = unsafe { SortKey::of(op, number) };
        self.lists.insert(place, key);
    }

    /// The newest entry of a key numbered below `below`, or `Err` if a freeze has dropped what a
    /// reader there may see.
    pub(super) fn get<'a>(
        &self,
        _arena: &'a Arena,
        key: (KeyspaceId, &[u8]),
        below: u64,
    ) -> std::result::Result<Option<Entry<'a>>, Overtaken> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        if !runs.is_exact_at(below) {
            return Err(Overtaken);
        }
        let Some(newest) = below.checked_sub(1) else { return Ok(None) };
        let probe = SortKey::probe(key.0, key.1, newest);
        // Newest first: numbers rise with places, so the first hit wins.
        let in_list = |i| {
            let first = self.lists.get(i, &guard).first_from(Bound::Included(&probe))?;
            first.key().same_key(&probe).then_some(*first.key())
        };
        let in_run = |run: &Arc<Run>| {
            run.keys.get(run.lower_bound(&probe)).copied().filter(|key| key.same_key(&probe))
        };
        let found = (runs.live_from..self.lists.made())
            .rev()
            .find_map(in_list)
            .or_else(|| runs.runs.iter().rev().find_map(in_run));
        // SAFETY: it is no probe, and points into the arena (M1).
        Ok(found.map(|key| unsafe { key.entry() }))
    }

    /// Captures what a reader at `below` needs; lists that start at or behind the place `end` have
    /// nothing for it.
    ///
    /// # Errors
    /// `Busy` if a freeze has dropped what a reader there may see.
    pub(super) fn sources(&self, below: u64, end: u64) -> Result<Vec<Source>> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        if !runs.is_exact_at(below) {
            return Err(Error::new(
                ErrorKind::Busy,
                "the position is too old; read at a newer one",
            ));
        }
        let frozen = runs.runs.iter().map(|run| Source::Run(Arc::clone(run), usize::MAX));
        let live = (runs.live_from..self.lists.made())
            .filter(|&i| (self.lists.start(i) as u64) < end)
            .map(|i| Source::List(self.lists.get_arc(i, &guard), None));
        Ok(frozen.chain(live).collect())
    }

    /// Freezes the oldest list if its span ends at or below the place `complete`, else merges runs
    /// if enough of one size are there. Returns whether it did anything.
    pub(super) fn freeze_step(&self, complete: u64, keep: Keep<'_>) -> bool {
        let Some(_freezing) = self.freezing.try_lock() else { return false };
        // Not pinned while it works: it is the only one that retires runs and lists, and it holds
        // its own count of the run list.
        let now = self.runs.load_arc(&epoch::pin());
        let i = now.live_from;
        if i < self.lists.made() && self.lists.end(i) as u64 <= complete {
            let list = self.lists.get_arc(i, &epoch::pin());
            let run = Run::freeze(list.iter(), list.len(), keep);
            let guard = epoch::pin();
            self.runs.swap(Arc::new(now.with(run)), &guard);
            // SAFETY: the run list published above starts behind this list, and only the holder
            // of `freezing` takes lists, each once (M7).
            let retired = unsafe { self.lists.take(i) };
            self.garbage.retire(Box::new(retired), &guard);
            return true;
        }
        let Some(merged) = now.merged(keep) else { return false };
        self.runs.swap(Arc::new(merged), &epoch::pin());
        true
    }
}

/// What tests look at.
#[cfg(all(test, not(loom)))]
impl OrderedIndex {
    /// Bytes that lists and runs take.
    pub(super) fn memory_bytes(&self) -> usize {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        let frozen: usize = runs.runs.iter().map(|run| run.memory_bytes()).sum();
        let live = |i| self.lists.get(i, &guard).len() * lists::NODE_BYTES;
        frozen + (runs.live_from..self.lists.made()).map(live).sum::<usize>()
    }

    /// How many lists are made, how many of them are frozen, and into how many runs.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        (self.lists.made(), runs.live_from, runs.runs.len())
    }
}

/// A freeze dropped what only readers between its snapshots and its horizon could see, and this
/// may be one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overtaken;

impl Drop for OrderedIndex {
    fn drop(&mut self) {
        let live_from = self.runs.load(&epoch::pin()).live_from;
        for i in live_from..self.lists.made() {
            // SAFETY: nobody else is left, and those below were taken by freezing.
            drop(unsafe { self.lists.take(i) });
        }
    }
}
