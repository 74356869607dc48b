//! What a cursor merges: runs, each with a position.

use std::ops::Bound;
use std::sync::Arc;

use crate::base::{KeyspaceId, Lsn};
use crate::mem::prefetch;

use super::key::SortKey;
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

/// A run and where in it the cursor stands.
pub(in crate::memtable) struct Source {
    run: Arc<Run>,
    /// An index; `usize::MAX` is before the first key.
    at: usize,
    /// Whether that is already the index of the first key at or after the place of the seek that is
    /// under way.
    sought: bool,
}

impl Source {
    /// All of a run.
    pub(super) fn of_run(run: &Arc<Run>) -> Self {
        Self { run: Arc::clone(run), at: usize::MAX, sought: false }
    }

    /// Moves to the first entry at or after (or just after) a bound and returns it if shown.
    pub(super) fn seek_forward(
        &mut self,
        bound: Bound<&SortKey>,
        window: Window,
    ) -> Option<SortKey> {
        self.at = match (bound, std::mem::take(&mut self.sought)) {
            (Bound::Included(_), true) => self.at,
            (Bound::Included(probe), false) => self.run.lower_bound(probe),
            (Bound::Excluded(probe), _) => self.run.upper_bound(probe),
            (Bound::Unbounded, _) => 0,
        };
        self.settle(window, true)
    }

    /// Begins a seek: see [`crate::base::Cursor::approach`].
    pub(super) fn approach(&mut self, probe: &SortKey, stage: u32) {
        match stage {
            0 => {
                self.sought = false;
                self.run.prefetch_near(probe);
            }
            1 => {
                (self.at, self.sought) = (self.run.lower_bound(probe), true);
                // A walk forward asks for the entries behind these.
                for key in self.run.keys.iter().skip(self.at).take(AHEAD) {
                    prefetch_entry(key);
                }
            }
            _ => {}
        }
    }

    /// A seek that was not begun follows.
    pub(super) fn forget_approach(&mut self) {
        self.sought = false;
    }

    /// Whether the entry before `here`, where the source stands, is of another key.
    pub(super) fn is_newest(&self, here: &SortKey) -> bool {
        let before = self.at.checked_sub(1).and_then(|before| self.run.keys.get(before));
        before.is_none_or(|before| !before.same_key(here))
    }

    /// Moves to the last entry before a bound and returns it if shown.
    pub(super) fn seek_backward(
        &mut self,
        bound: Bound<&SortKey>,
        window: Window,
    ) -> Option<SortKey> {
        let count = match (bound, std::mem::take(&mut self.sought)) {
            (Bound::Included(probe), _) => self.run.upper_bound(probe),
            (Bound::Excluded(_), true) => self.at,
            (Bound::Excluded(probe), false) => self.run.lower_bound(probe),
            (Bound::Unbounded, _) => self.run.keys.len(),
        };
        self.at = count.wrapping_sub(1);
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
        let ahead;
        (self.at, ahead) = if forward {
            (self.at.wrapping_add(1), self.at.wrapping_add(AHEAD))
        } else {
            (self.at.wrapping_sub(1), self.at.wrapping_sub(AHEAD))
        };
        if let Some(key) = self.run.keys.get(ahead) {
            prefetch_entry(key);
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

    #[inline]
    fn key(&self) -> Option<&SortKey> {
        self.run.keys.get(self.at)
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
