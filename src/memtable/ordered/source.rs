//! The sorted things that a cursor merges: live lists and frozen runs, each with a position.

use std::ops::Bound;
use std::sync::Arc;

use crate::base::{KeyspaceId, Lsn};
use crate::mem::prefetch;

use super::key::SortKey;
use super::list::{List, Place};
use super::run::Run;

/// How many entries ahead of a walk through an array the arena is prefetched: the array says
/// where it will go, and each entry lies somewhere else.
const AHEAD: usize = 6;

/// Which entries a cursor shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) keyspace: KeyspaceId,
    /// Only entries numbered below this.
    pub(super) below: u64,
}

impl Window {
    fn shows(&self, key: &SortKey) -> bool {
        key.number() < self.below
    }
}

/// One source and where in it the cursor stands.
pub(in crate::memtable) enum Source {
    /// A frozen run, an index (`usize::MAX` is before the first key), and whether that index is
    /// already the one of the first key at or after the place of the seek that is under way.
    Run(Arc<Run>, usize, bool),
    /// A live list and a node of it.
    List(Arc<List>, Option<Place>),
}

// SAFETY: a place holds references into its list, which is counted beside it and shared by threads
// anyway, and one to the guard that guards nothing, which has no thread.
#[allow(unsafe_code, reason = "a place names the unprotected guard, whose type is thread-bound")]
unsafe impl Send for Source {}

impl Source {
    /// All of a run.
    pub(super) fn of_run(run: &Arc<Run>) -> Self {
        Self::Run(Arc::clone(run), usize::MAX, false)
    }

    /// All of a list.
    pub(super) fn of_list(list: Arc<List>) -> Self {
        Self::List(list, None)
    }

    /// Whether both are over the same thing.
    pub(super) fn is_over(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Run(own, ..), Self::Run(run, ..)) => Arc::ptr_eq(own, run),
            (Self::List(own, _), Self::List(list, _)) => Arc::ptr_eq(own, list),
            _ => false,
        }
    }

    /// Whether it is over this run.
    pub(super) fn is_over_run(&self, run: &Arc<Run>) -> bool {
        matches!(self, Self::Run(own, ..) if Arc::ptr_eq(own, run))
    }

    /// Moves to the first entry at or after (or just after) a bound and returns it if shown.
    pub(super) fn seek_forward(
        &mut self,
        bound: Bound<&SortKey>,
        window: Window,
    ) -> Option<SortKey> {
        match self {
            Self::Run(run, at, sought) => {
                *at = match (bound, std::mem::take(sought)) {
                    (Bound::Included(_), true) => *at,
                    (Bound::Included(probe), false) => run.lower_bound(probe),
                    (Bound::Excluded(probe), _) => run.upper_bound(probe),
                    (Bound::Unbounded, _) => 0,
                }
            }
            Self::List(list, at) => *at = list.first_from(bound),
        }
        self.settle(window, true)
    }

    /// Begins a seek: see [`crate::base::Cursor::approach`].
    pub(super) fn approach(&mut self, probe: &SortKey, stage: u32) {
        let Self::Run(run, at, sought) = self else { return };
        match stage {
            0 => (*at, *sought) = (run.approach(probe), false),
            1 => {
                (*at, *sought) = (run.lower_bound_in(*at, probe), true);
                // A walk forward asks for the entries behind these.
                for key in run.keys.iter().skip(*at).take(AHEAD) {
                    prefetch_entry(key);
                }
            }
            _ => {}
        }
    }

    /// A seek that was not begun follows.
    pub(super) fn forget_approach(&mut self) {
        if let Self::Run(_, _, sought) = self {
            *sought = false;
        }
    }

    /// Whether the entry before `here`, where the source stands, is of another key; none if that
    /// takes a search.
    pub(super) fn is_newest(&self, here: &SortKey) -> Option<bool> {
        let Self::Run(run, at, _) = self else { return None };
        let before = at.checked_sub(1).and_then(|before| run.keys.get(before));
        Some(before.is_none_or(|before| !before.same_key(here)))
    }

    /// Moves to the last entry before a bound and returns it if shown.
    pub(super) fn seek_backward(
        &mut self,
        bound: Bound<&SortKey>,
        window: Window,
    ) -> Option<SortKey> {
        match self {
            Self::Run(run, at, sought) => {
                let count = match (bound, std::mem::take(sought)) {
                    (Bound::Included(probe), _) => run.upper_bound(probe),
                    (Bound::Excluded(_), true) => *at,
                    (Bound::Excluded(probe), false) => run.lower_bound(probe),
                    (Bound::Unbounded, _) => run.keys.len(),
                };
                *at = count.wrapping_sub(1);
            }
            Self::List(list, at) => *at = list.last_before(bound),
        }
        self.settle(window, false)
    }

    /// Moves one entry on or back and returns the entry there if shown.
    #[inline]
    pub(super) fn step(&mut self, window: Window, forward: bool) -> Option<SortKey> {
        self.move_one(forward);
        self.settle(window, forward)
    }

    #[inline]
    fn move_one(&mut self, forward: bool) {
        match self {
            Self::Run(run, at, _) => {
                let ahead;
                (*at, ahead) = if forward {
                    (at.wrapping_add(1), at.wrapping_add(AHEAD))
                } else {
                    (at.wrapping_sub(1), at.wrapping_sub(AHEAD))
                };
                if let Some(key) = run.keys.get(ahead) {
                    prefetch_entry(key);
                }
            }
            Self::List(_, at) => {
                *at = at.take().and_then(|place| if forward { place.next() } else { place.prev() });
            }
        }
    }

    /// Moves on over entries that are not shown, within the keyspace.
    #[inline]
    fn settle(&mut self, window: Window, forward: bool) -> Option<SortKey> {
        loop {
            let key = *self.key()?;
            if key.keyspace() != window.keyspace {
                return None;
            }
            if window.shows(&key) {
                return Some(key);
            }
            self.move_one(forward);
        }
    }

    fn key(&self) -> Option<&SortKey> {
        match self {
            Self::Run(run, at, _) => run.keys.get(*at),
            Self::List(_, at) => at.as_ref().map(Place::key),
        }
    }

    /// The first keyspace at or after `from` that has an entry numbered below `below`.
    pub(super) fn keyspace_from(&mut self, from: KeyspaceId, below: u64) -> Option<KeyspaceId> {
        let mut keyspace = from;
        loop {
            let probe = SortKey::probe(keyspace, &[], u64::MAX);
            if self.seek_forward(Bound::Included(&probe), Window { keyspace, below }).is_some() {
                return Some(keyspace);
            }
            // Either the source ended, or it stands in a later keyspace.
            keyspace = self.key()?.keyspace();
        }
    }
}

/// Begins to bring a small entry into the cache: its lengths stand before the key, its value behind.
#[inline]
fn prefetch_entry(key: &SortKey) {
    for line in [-16, 48, 112] {
        prefetch(key.address().wrapping_offset(line));
    }
}

/// The keyspaces that have shown entries in any of the sources, ascending.
pub(in crate::memtable) fn keyspaces_of(mut sources: Vec<Source>, below: Lsn) -> Vec<KeyspaceId> {
    let mut keyspaces = Vec::new();
    let mut from = Some(KeyspaceId(0));
    while let Some(start) = from {
        let next = sources.iter_mut().filter_map(|s| s.keyspace_from(start, below.0)).min();
        from = next.and_then(|next| next.0.checked_add(1)).map(KeyspaceId);
        keyspaces.extend(next);
    }
    keyspaces
}
