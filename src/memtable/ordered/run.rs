//! Freezing: spans of records become sorted arrays, and small arrays become larger ones.
//!
//! An array is searched without pointers, and fewer runs make a seek cheaper. One thread at a time
//! does this for a generation, mostly in the background; readers keep the runs that they captured.
//!
//! A put may be dropped on the way only if a newer put or delete of its key hides it from every
//! reader: from those at a snapshot, and from those at or above the horizon. Readers in between
//! (they loaded `visible` before the horizon was taken) are told by [`Run::is_exact_at`] and go
//! another way. Deletes, merge operands and range deletes are never dropped here.

use std::sync::Arc;

use crate::base::Kind;
use crate::base::mutant::mutant;
use crate::mem::{advise_huge, prefetch};

use super::key::{SortKey, Spot};

/// So many neighbours of one size become one run of the next size.
pub(in crate::memtable) const MERGE_WIDTH: usize = 4;

/// A sorted array over a range of records.
#[derive(Debug)]
pub(in crate::memtable) struct Run {
    /// In internal order.
    pub(super) keys: Vec<SortKey>,
    /// How often this was merged: runs of a rank have about the same size.
    rank: u32,
    /// Entries that were linked in its range, dropped ones included.
    pub(super) linked: usize,
    /// Where every `SAMPLE`th key stands, so that a search begins in memory that stays in the cache.
    samples: Vec<Spot>,
    /// Readers below this position and not at one of `snapshots` may miss dropped entries: one
    /// more than the highest number that made an entry be dropped, 0 if none was.
    horizon: u64,
    /// Ascending.
    snapshots: Vec<u64>,
}

/// Keys between two samples: they take ten neighbouring cache lines, which are fetched at once.
const SAMPLE: usize = 16;

/// What one more run costs a seek and the walk behind it, about.
const SEEK_NS: u64 = 200;
/// What it costs to merge one entry.
const MERGE_NS: u64 = 40;

/// For whom a freeze keeps entries.
#[derive(Clone, Copy, Debug)]
pub(in crate::memtable) struct Keep<'a> {
    /// Positions of registered snapshots, ascending.
    pub(in crate::memtable) snapshots: &'a [u64],
    /// Every other reader that starts from now on reads here or above.
    pub(in crate::memtable) horizon: u64,
}

impl Keep<'_> {
    /// Whether nobody can see the entry `older` because `newer`, the next newer put or delete of
    /// the same key, hides it from all. A reader at v sees `older` if older < v <= newer.
    fn hides(&self, newer: u64, older: u64) -> bool {
        if newer >= self.horizon {
            return false;
        }
        if mutant("freeze_drops_visible") {
            return true;
        }
        let next = self.snapshots.partition_point(|&at| at <= older);
        self.snapshots.get(next).is_none_or(|&at| at > newer)
    }
}

/// Takes entries in internal order and tells which of them somebody may need.
struct Sieve<'a> {
    keep: Keep<'a>,
    /// The entry that came before, kept or not.
    last: Option<SortKey>,
    /// The number of the latest put or delete of the same key as `last`, before `last`.
    hider: Option<u64>,
    /// The horizon of the run to be.
    horizon: u64,
}

impl<'a> Sieve<'a> {
    fn new(keep: Keep<'a>) -> Self {
        Self { keep, last: None, hider: None, horizon: 0 }
    }

    /// Whether the next entry is kept.
    fn keeps(&mut self, key: SortKey) -> bool {
        let last = self.last.replace(key).filter(|last| last.same_key(&key));
        if let Some(last) = last {
            if matches!(last.kind(), Some(Kind::Put | Kind::Delete)) {
                self.hider = Some(last.number());
            }
            let hider = self.hider.filter(|newer| self.keep.hides(*newer, key.number()));
            if let (Some(newer), Some(Kind::Put)) = (hider, key.kind()) {
                self.horizon = self.horizon.max(newer + 1);
                return false;
            }
        } else {
            self.hider = None;
        }
        true
    }

    /// The run of `keys`, which were kept, from `linked` entries that came out of `sources`.
    fn finish(self, keys: Vec<SortKey>, linked: usize, sources: &[Arc<Run>]) -> Run {
        let horizon = sources.iter().map(|run| run.horizon).fold(self.horizon, u64::max);
        // A snapshot that is registered now was considered by all drops before; checked anyway.
        let is_exact = |at: &u64| sources.iter().all(|run| run.is_exact_at(*at));
        let snapshots = self.keep.snapshots.iter().copied().filter(is_exact).collect();
        Run { linked, horizon, snapshots, ..Run::of_sorted(keys) }
    }
}

impl Run {
    /// The run of the entries of a span, given in order.
    pub(super) fn freeze(mut keys: Vec<SortKey>, keep: Keep<'_>) -> Self {
        let linked = keys.len();
        let mut sieve = Sieve::new(keep);
        keys.retain(|key| sieve.keeps(*key));
        sieve.finish(keys, linked, &[])
    }

    /// One run of several, of rank `rank`.
    fn merge(sources: &[Arc<Run>], rank: u32, keep: Keep<'_>) -> Self {
        let count = sources.iter().map(|run| run.keys.len()).sum();
        let mut keys = Vec::with_capacity(count);
        advise_huge(keys.as_ptr(), count * size_of::<SortKey>());
        let mut sieve = Sieve::new(keep);
        let mut rests: Vec<&[SortKey]> = sources.iter().map(|run| run.keys.as_slice()).collect();
        rests.retain(|rest| !rest.is_empty());
        while let Some(least) = least(&rests) {
            if let Some((first, rest)) = rests[least].split_first() {
                if sieve.keeps(*first) {
                    keys.push(*first);
                }
                rests[least] = rest;
            }
            if rests[least].is_empty() {
                rests.swap_remove(least);
            }
        }
        let linked = sources.iter().map(|run| run.linked).sum();
        Run { rank, ..sieve.finish(keys, linked, sources) }
    }

    /// A run of keys that are sorted already, from which nothing was dropped.
    pub(super) fn of_sorted(mut keys: Vec<SortKey>) -> Self {
        if keys.len() < keys.capacity() / 8 * 7 {
            keys.shrink_to_fit();
        }
        let linked = keys.len();
        let samples = keys.iter().step_by(SAMPLE).map(SortKey::spot).collect();
        Self { keys, rank: 0, linked, samples, horizon: 0, snapshots: Vec::new() }
    }

    /// Whether a reader at this position sees here all that it may see.
    pub(super) fn is_exact_at(&self, position: u64) -> bool {
        position >= self.horizon || self.snapshots.binary_search(&position).is_ok()
    }

    /// Begins a search for `probe`: tells between which samples it ends, for
    /// [`Self::lower_bound_in`], and brings what lies there into the cache.
    pub(super) fn approach(&self, probe: &SortKey) -> usize {
        let block = self.block_of(probe);
        let first = self.keys.as_ptr().wrapping_add(block.saturating_sub(1) * SAMPLE);
        for line in 0..SAMPLE * size_of::<SortKey>() / 64 {
            prefetch(first.cast::<u8>().wrapping_add(line * 64));
        }
        block
    }

    /// The index of the first key at or after `probe`, for which [`Self::approach`] gave `block`.
    pub(super) fn lower_bound_in(&self, block: usize, probe: &SortKey) -> usize {
        self.count_before(block, |key| key < probe)
    }

    /// The index of the first key at or after `probe`.
    pub(super) fn lower_bound(&self, probe: &SortKey) -> usize {
        self.lower_bound_in(self.block_of(probe), probe)
    }

    /// The index of the first key after `probe`.
    pub(super) fn upper_bound(&self, probe: &SortKey) -> usize {
        self.count_before(self.block_of(probe), |key| key <= probe)
    }

    /// How many samples stand before the spot of `probe`.
    fn block_of(&self, probe: &SortKey) -> usize {
        let spot = probe.spot();
        self.samples.partition_point(|sample| *sample < spot)
    }

    /// How many keys are before: the first `block` samples are, and so are at most the first keys of
    /// those that stand on one spot with the next sample.
    fn count_before(&self, block: usize, is_before: impl Fn(&SortKey) -> bool) -> usize {
        let start = block.saturating_sub(1) * SAMPLE;
        let end = (block * SAMPLE).min(self.keys.len());
        let within = self.keys[start..end].partition_point(&is_before);
        if start + within < end || self.keys.get(end).is_none_or(|key| !is_before(key)) {
            return start + within;
        }
        end + self.keys[end..].partition_point(is_before)
    }

    /// Bytes that the array takes.
    #[cfg(all(test, not(loom)))]
    pub(super) fn memory_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<SortKey>() + self.samples.capacity() * size_of::<Spot>()
    }
}

/// Which of the slices, none of them empty, begins with the least key.
fn least(rests: &[&[SortKey]]) -> Option<usize> {
    (0..rests.len()).min_by(|&a, &b| rests[a].first().cmp(&rests[b].first()))
}

/// What is frozen of a generation. Replaced as a whole.
#[derive(Debug, Default)]
pub(super) struct RunList {
    /// By place, oldest first; together they cover the records that begin before `frozen_to` (M5).
    pub(super) runs: Vec<Arc<Run>>,
    /// The place of the first record that is not frozen (M7).
    pub(super) frozen_to: usize,
}

impl RunList {
    /// Whether a reader at this position sees in all runs what it may see.
    pub(super) fn is_exact_at(&self, position: u64) -> bool {
        self.runs.iter().all(|run| run.is_exact_at(position))
    }

    /// Entries that were linked in the frozen part.
    pub(super) fn linked(&self) -> usize {
        self.runs.iter().map(|run| run.linked).sum()
    }

    /// The same with the run of the records from `frozen_to` up to `to`.
    pub(super) fn with(&self, run: Arc<Run>, to: usize) -> Self {
        let mut runs = self.runs.clone();
        // Not even an empty one is dropped if it knows of something that is gone.
        runs.extend(Some(run).filter(|run| run.linked > 0));
        Self { runs, frozen_to: to }
    }

    /// The same with the oldest neighbours of one rank merged, if there are enough anywhere.
    pub(super) fn merged(&self, keep: Keep<'_>) -> Option<Self> {
        let alike = |group: &[Arc<Run>]| group.windows(2).all(|pair| pair[0].rank == pair[1].rank);
        let first = self.runs.windows(MERGE_WIDTH).position(alike)?;
        let mut runs = self.runs.clone();
        let rank = self.runs[first].rank + 1;
        let merged = Run::merge(&self.runs[first..first + MERGE_WIDTH], rank, keep);
        runs.splice(first..first + MERGE_WIDTH, [Arc::new(merged)]);
        Some(Self { runs, frozen_to: self.frozen_to })
    }

    /// The same with all runs merged, if seeks have paid for it: they met `seeks` times what is
    /// here. None if there is nothing to merge or it would cost more than it has cost them.
    pub(super) fn gathered(&self, seeks: u64, keep: Keep<'_>) -> Option<Self> {
        let needless = self.runs.len().checked_sub(1)? as u64;
        let entries: usize = self.runs.iter().map(|run| run.keys.len()).sum();
        let lost_ns = seeks.saturating_mul(needless).saturating_mul(SEEK_NS);
        if needless == 0 || lost_ns < entries as u64 * MERGE_NS {
            return None;
        }
        // As large as the largest: the ranks of those that follow begin at 0 again.
        let rank = self.runs.iter().map(|run| run.rank).max().unwrap_or(0);
        let runs = vec![Arc::new(Run::merge(&self.runs, rank, keep))];
        Some(Self { runs, frozen_to: self.frozen_to })
    }
}
