//! The ordered index of one generation: sorted arrays, and behind them the arena itself.
//!
//! Writers do nothing for it. A background thread turns the records behind the arrays into one more
//! array whenever a span of them is published, and merges arrays. A reader that needs order sorts
//! what is behind the arrays himself, and leaves what he made to those who follow.
//!
//! Invariants:
//! * M1 (sort keys point into memory that lives): every index belongs to one arena, which its owner
//!   drops last, and which cursors keep alive.
//! * M5: the arrays of a run list have the entries of exactly the records that begin before its
//!   `frozen_to`, less those that freezing dropped.
//! * M6: only published records are sorted: a walk over the arena ends at the first that has no
//!   mark, and whatever a reader may see lies before that.
//! * M7: a reader loads the run list once, and takes from the arena what begins at or behind its
//!   `frozen_to`: so it meets each entry once, whatever is frozen meanwhile.

#![allow(unsafe_code, reason = "entries are reached by address")]

mod cursor;
mod key;
mod replayed;
mod run;
mod source;
mod walk;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{Entry, Error, ErrorKind, KeyspaceId, Result};
use crate::mem::epoch::Guard;
use crate::mem::{EpochCell, Garbage, epoch};

use super::arena::Arena;
use key::SortKey;
use run::{Run, RunList};

pub(crate) use cursor::MemCursor;
pub(crate) use replayed::Replayed;
pub(super) use run::Keep;
#[cfg(all(test, not(loom)))]
pub(super) use run::MERGE_WIDTH;
pub(super) use source::{Source, keyspaces_of};

/// Bytes of arena that a background thread sorts at once: some ten thousand small entries, whose
/// sort keys stay in the second-level cache.
pub(super) const SPAN_BYTES: usize = 2 << 20;
/// So many entries that a reader had to sort become an array for all; fewer are kept for the next
/// reader as they are.
const FOLD_ENTRIES: usize = 512;

/// So many are put into their places one by one.
const FEW: usize = 8;

/// Arrays over the records of one arena.
pub(super) struct OrderedIndex {
    span_bytes: usize,
    runs: EpochCell<RunList>,
    /// What a reader sorted last. Replaced by readers, without order among them: any is right.
    tail: EpochCell<Tail>,
    /// Held by the one thread that changes `runs`.
    freezing: Mutex<()>,
}

/// The sorted entries of some records behind the arrays.
#[derive(Debug, Default)]
struct Tail {
    /// The records that begin in `[from, to)`; both are ends of records.
    from: usize,
    to: usize,
    run: Option<Arc<Run>>,
}

impl OrderedIndex {
    /// An empty index, of which `span_bytes` of arena are sorted at once in the background. What is
    /// replaced goes to `garbage`.
    pub(super) fn new(span_bytes: usize, garbage: &Arc<Garbage>) -> Self {
        Self {
            span_bytes,
            runs: EpochCell::new(Arc::new(RunList::default()), Arc::clone(garbage)),
            tail: EpochCell::new(Arc::new(Tail::default()), Arc::clone(garbage)),
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

    /// The newest entry of a key numbered below `below`, or `Err` if a freeze has dropped what a
    /// reader there may see. `base` is the LSN of place 0.
    pub(super) fn get<'a>(
        &self,
        arena: &'a Arena,
        base: u64,
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
        let tail = self.tail(arena, base, runs, place_of(below, base), &guard);
        // Newest first: numbers rise with places, so the first hit wins.
        let in_run = |run: &Arc<Run>| {
            run.keys.get(run.lower_bound(&probe)).copied().filter(|key| key.same_key(&probe))
        };
        // SAFETY: it is no probe, and points into the arena (M1).
        Ok(tail
            .iter()
            .chain(runs.runs.iter().rev())
            .find_map(in_run)
            .map(|key| unsafe { key.entry() }))
    }

    /// What a reader at `below` needs, `base` being the LSN of place 0.
    ///
    /// # Errors
    /// `Busy` if a freeze has dropped what a reader there may see.
    pub(super) fn sources(&self, arena: &Arena, base: u64, below: u64) -> Result<Vec<Source>> {
        let guard = epoch::pin();
        let runs = self.runs.load(&guard);
        if !runs.is_exact_at(below) {
            return Err(Error::new(
                ErrorKind::Busy,
                "the position is too old; read at a newer one",
            ));
        }
        let tail = self.tail(arena, base, runs, place_of(below, base), &guard);
        Ok(runs.runs.iter().chain(&tail).map(Source::of_run).collect())
    }

    /// The entries of at least the published records behind `runs` that begin before `to`, sorted.
    fn tail(
        &self,
        arena: &Arena,
        base: u64,
        runs: &RunList,
        to: usize,
        guard: &Guard,
    ) -> Option<Arc<Run>> {
        let from = runs.frozen_to;
        if to <= from || arena.mark(from) == 0 {
            return None;
        }
        let kept = Some(self.tail.load(guard)).filter(|kept| kept.from == from);
        if let Some(kept) = kept.filter(|kept| kept.to >= to || arena.mark(kept.to) == 0) {
            return kept.run.clone();
        }
        let mut keys = Vec::new();
        let end;
        if let Some((run, seen)) = kept.and_then(|kept| Some((kept.run.as_ref()?, kept.to))) {
            // Only the newest entries are unknown.
            keys.reserve(run.keys.len() + FEW);
            keys.extend_from_slice(&run.keys);
            end = walk::collect(arena, base, seen, to, &mut keys);
            sort_end(&mut keys, run.keys.len());
        } else {
            end = walk::collect(arena, base, from, to, &mut keys);
            keys.sort_unstable();
            keys.shrink_to_fit();
        }
        let run = Some(Arc::new(Run::of_sorted(keys))).filter(|run| run.linked > 0);
        if !run.as_ref().is_some_and(|run| self.fold(from, end, run, guard)) {
            self.tail.swap(Arc::new(Tail { from, to: end, run: run.clone() }), guard);
        }
        run
    }

    /// Makes what a reader sorted an array for all, if that is worth it and nobody else freezes just
    /// now. Returns whether it did.
    fn fold(&self, from: usize, to: usize, run: &Arc<Run>, guard: &Guard) -> bool {
        if run.linked < FOLD_ENTRIES {
            return false;
        }
        let Some(_freezing) = self.freezing.try_lock() else { return false };
        let now = self.runs.load(guard);
        if now.frozen_to != from {
            return false;
        }
        self.runs.swap(Arc::new(now.folded(Arc::clone(run), to)), guard);
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

    /// How many arrays there are.
    pub(super) fn run_count(&self) -> usize {
        self.runs.load(&epoch::pin()).runs.len()
    }
}

/// Sorts `keys`, of which the first `sorted` are sorted.
fn sort_end(keys: &mut [SortKey], sorted: usize) {
    if keys.len() - sorted > FEW {
        return keys.sort();
    }
    for i in sorted..keys.len() {
        let at = keys[..i].partition_point(|key| key < &keys[i]);
        keys[at..=i].rotate_right(1);
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
