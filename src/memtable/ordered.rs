//! The ordered index of one generation: sorted arrays, a skiplist, and behind them the arena itself.
//!
//! Writers do nothing for it. A background thread turns the records behind the arrays into one more
//! array whenever a span of them is published, and merges arrays. A reader that needs order brings
//! what is behind the arrays into the skiplist, or, where that is much, into an array of its own.
//!
//! Invariants:
//! * M1 (sort keys point into memory that lives): every index belongs to one arena, which its owner
//!   drops last, and which cursors keep alive.
//! * M5: the arrays of a run list have the entries of exactly the records that begin before its
//!   `frozen_to`, less those that freezing dropped.
//! * M6: only published records are sorted: a walk over the arena ends at the first that has no
//!   mark, and whatever a reader may see lies before that.
//! * M7: a reader loads the run list once, and takes the list whose records begin at its
//!   `frozen_to`: so it meets each entry once, whatever is frozen meanwhile.
//! * M8 is in [`list`].

#![allow(unsafe_code, reason = "entries are reached by address")]

mod cursor;
mod key;
mod list;
mod replayed;
mod run;
mod source;
mod walk;

use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{Error, ErrorKind, KeyspaceId, Result};
use crate::mem::epoch::Guard;
use crate::mem::{EpochCell, Garbage, epoch};

use super::arena::Arena;
use super::layout::View;
use key::SortKey;
use run::{Run, RunList};

pub(crate) use cursor::MemCursor;
use list::List;
pub(crate) use replayed::Replayed;
pub(super) use run::Keep;
#[cfg(all(test, not(loom)))]
pub(super) use run::MERGE_WIDTH;
use source::Window;
pub(super) use source::{Source, keyspaces_of};

/// Bytes of arena that a background thread sorts at once: some ten thousand small entries, whose
/// sort keys stay in the second-level cache.
pub(super) const SPAN_BYTES: usize = 2 << 20;
/// So many entries at once are sorted for less than a skiplist takes for them.
const SORT_ENTRIES: usize = 1024;
/// So many are not inserted even while somebody else freezes, who may be far behind: a reader sorts
/// them for himself, in a fifth of the time. Fewer are left to those who follow.
const LIST_ENTRIES: usize = 4096;

/// Arrays over the records of one arena.
pub(super) struct OrderedIndex {
    span_bytes: usize,
    runs: EpochCell<RunList>,
    /// The list of what is behind the arrays, or was behind those before. Replaced by the reader who
    /// finds that it begins too early.
    list: EpochCell<List>,
    /// Held by the one thread that changes `runs`.
    freezing: Mutex<()>,
}

impl OrderedIndex {
    /// An empty index, of which `span_bytes` of arena are sorted at once in the background. What is
    /// replaced goes to `garbage`.
    pub(super) fn new(span_bytes: usize, garbage: &Arc<Garbage>) -> Self {
        Self {
            span_bytes,
            runs: EpochCell::new(Arc::new(RunList::default()), Arc::clone(garbage)),
            list: EpochCell::new(Arc::new(List::new(0)), Arc::clone(garbage)),
            freezing: Mutex::new(()),
        }
    }

    /// Entries that are frozen, dropped ones included.
    pub(super) fn frozen_entries(&self) -> usize {
        self.runs.load(&epoch::pin()).linked()
    }

    /// Entries that are published. Walks over all that is not frozen.
    pub(super) fn entries(&self, arena: &Arena) -> usize {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        runs.linked() + walk::count(arena, runs.frozen_to)
    }

    /// The newest entry of a key numbered below `below`, with its number, or `Err` if a freeze has dropped what a
    /// reader there may see. `base` is the LSN of place 0.
    pub(super) fn get<'a>(
        &self,
        arena: &'a Arena,
        base: u64,
        key: (KeyspaceId, &[u8]),
        below: u64,
    ) -> std::result::Result<Option<(View<'a>, u64)>, Overtaken> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        if !runs.is_exact_at(below) {
            return Err(Overtaken);
        }
        let Some(newest) = below.checked_sub(1) else { return Ok(None) };
        let probe = SortKey::probe(key.0, key.1, newest);
        let newest_first = self
            .behind(arena, base, runs, (place_of(below, base), SORT_ENTRIES), &guard)
            .into_iter()
            .chain(runs.runs.iter().rev().map(Source::of_run));
        // Numbers rise with places, so the first hit wins.
        let window = Window { keyspace: key.0, below };
        let mut hits = newest_first
            .filter_map(|mut source| source.seek_forward(Bound::Included(&probe), window))
            .filter(|key| key.same_key(&probe));
        // SAFETY: it is no probe, and points into the arena (M1).
        Ok(hits.next().map(|key| (unsafe { key.view() }, key.number())))
    }

    /// What a reader at `below` needs, `base` being the LSN of place 0. With `is_last` nothing will be
    /// written any more.
    ///
    /// # Errors
    /// `Busy` if a freeze has dropped what a reader there may see.
    pub(super) fn sources(
        &self,
        arena: &Arena,
        base: u64,
        below: u64,
        is_last: bool,
    ) -> Result<Vec<Source>> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        if !runs.is_exact_at(below) {
            return Err(Error::new(
                ErrorKind::Busy,
                "the position is too old; read at a newer one",
            ));
        }
        let fewest = if is_last { 1 } else { SORT_ENTRIES };
        let behind = self.behind(arena, base, runs, (place_of(below, base), fewest), &guard);
        Ok(runs.runs.iter().map(Source::of_run).chain(behind).collect())
    }

    /// The same, where `sources` is what a reader has got before: what is still of use stays.
    ///
    /// # Errors
    /// As for [`Self::sources`]; `sources` are those of before then.
    pub(super) fn renew(
        &self,
        arena: &Arena,
        base: u64,
        below: u64,
        sources: &mut Vec<Source>,
    ) -> Result<()> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        let kept = runs.runs.len();
        let are_kept = || sources.iter().zip(&runs.runs).all(|(own, run)| own.is_over_run(run));
        if sources.len() < kept || !are_kept() || !runs.is_exact_at(below) {
            *sources = self.sources(arena, base, below, false)?;
            return Ok(());
        }
        let to = place_of(below, base);
        let behind = self.behind(arena, base, runs, (to, SORT_ENTRIES), &guard);
        match (sources.get(kept), behind) {
            (Some(own), Some(behind)) if own.is_over(&behind) => sources.truncate(kept + 1),
            (_, behind) => {
                sources.truncate(kept);
                sources.extend(behind);
            }
        }
        sources.iter_mut().for_each(Source::forget_approach);
        Ok(())
    }

    /// The entries of at least the published records behind `runs` that begin before `to`, in order. So
    /// many as `fewest` at once become an array.
    fn behind(
        &self,
        arena: &Arena,
        base: u64,
        runs: &RunList,
        (to, fewest): (usize, usize),
        guard: &Guard,
    ) -> Option<Source> {
        let from = runs.frozen_to;
        if to <= from || arena.mark(from) == 0 {
            return None;
        }
        let list = self.list_from(from, guard);
        let seen = list.to();
        if seen < to && arena.mark(seen) != 0 {
            let mut keys = Vec::new();
            let end = walk::collect(arena, base, seen, to, &mut keys);
            if keys.len() >= fewest {
                let fresh = keys.len();
                let listed = list.below(base + seen as u64);
                keys.sort_unstable();
                if !listed.is_empty() {
                    keys.extend_from_slice(&listed);
                    // Two sorted parts.
                    keys.sort();
                }
                let run = Arc::new(Run::of_sorted(keys));
                if self.fold(from, end, &run, guard) || fresh >= LIST_ENTRIES {
                    return Some(Source::of_run(&run));
                }
                list.extend(&run.keys, end);
                return Some(Source::of_list(list));
            }
            list.extend(&keys, end);
        }
        Some(Source::of_list(list))
    }

    /// The list of the records behind the place `from`.
    fn list_from(&self, from: usize, guard: &Guard) -> Arc<List> {
        loop {
            let kept = self.list.load_arc(guard);
            if kept.from() == from {
                return kept;
            }
            let new = Arc::new(List::new(from));
            // A reader who comes late leaves the list to those of today.
            if kept.from() > from
                || self.list.compare_exchange(&kept, Arc::clone(&new), guard).is_ok()
            {
                return new;
            }
        }
    }

    /// Adds the array `run` of all records that begin in `[from, to)`. Returns false if it does not
    /// follow the arrays that are there, or somebody else freezes just now.
    fn fold(&self, from: usize, to: usize, run: &Arc<Run>, guard: &Guard) -> bool {
        let Some(_freezing) = self.freezing.try_lock() else { return false };
        let now = self.runs.load(guard);
        if now.frozen_to != from {
            return false;
        }
        self.runs.swap(Arc::new(now.with(Arc::clone(run), to)), guard);
        true
    }

    /// Freezes the next span if it is published, that is, ends at or below the place `published`;
    /// else merges runs if enough of one size are there. Returns whether it did anything.
    pub(super) fn freeze_step(
        &self,
        arena: &Arena,
        base: u64,
        published: usize,
        keep: Keep<'_>,
    ) -> bool {
        let Some(_freezing) = self.freezing.try_lock() else { return false };
        // Not pinned while it works: it holds its own count of the run list.
        let now = self.runs.load_arc(&epoch::pin());
        let to = now.frozen_to.saturating_add(self.span_bytes);
        // Who counts on more than was written finds no mark.
        if to <= published && arena.mark(now.frozen_to) != 0 {
            let mut keys = Vec::new();
            let end = walk::collect(arena, base, now.frozen_to, to, &mut keys);
            keys.sort_unstable();
            let run = Run::freeze(keys, keep);
            self.runs.swap(Arc::new(now.with(Arc::new(run), end)), &epoch::pin());
            return true;
        }
        let Some(merged) = now.merged(keep) else { return false };
        self.runs.swap(Arc::new(merged), &epoch::pin());
        true
    }

    /// Merges all runs into one, if `seeks` that met them have paid for it. Returns whether it did.
    pub(super) fn gather_step(&self, seeks: u64, keep: Keep<'_>) -> bool {
        let Some(_freezing) = self.freezing.try_lock() else { return false };
        let now = self.runs.load_arc(&epoch::pin());
        let Some(gathered) = now.gathered(seeks, keep) else { return false };
        self.runs.swap(Arc::new(gathered), &epoch::pin());
        true
    }
}

/// What tests look at.
#[cfg(all(test, not(loom)))]
impl OrderedIndex {
    /// Bytes that arrays take.
    pub(super) fn memory_bytes(&self) -> usize {
        let guard = epoch::pin();
        self.runs.load(&guard).runs.iter().map(|run| run.memory_bytes()).sum()
    }

    /// The place up to which all is frozen.
    pub(super) fn frozen_to(&self) -> usize {
        self.runs.load(&epoch::pin()).frozen_to
    }

    /// How many entries the list has.
    pub(super) fn listed(&self) -> usize {
        self.list.load(&epoch::pin()).len()
    }

    /// Keeps everybody from freezing.
    pub(super) fn hold_freezing(&self) -> impl Sized + '_ {
        self.freezing.lock()
    }

    /// How many arrays there are.
    pub(super) fn run_count(&self) -> usize {
        self.runs.load(&epoch::pin()).runs.len()
    }
}

/// Where a reader at `below` need not look any more. Beyond the arena nothing has a mark.
fn place_of(below: u64, base: u64) -> usize {
    usize::try_from(below.saturating_sub(base)).unwrap_or(usize::MAX)
}

/// A freeze dropped what only readers between its snapshots and its horizon could see, and this
/// may be one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overtaken;
