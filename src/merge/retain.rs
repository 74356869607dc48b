//! Which versions of a key somebody can still see: the one rule for every dropper.
//!
//! A reader reads at a snapshot, or at the horizon or later. A position v sees of each key the
//! newest version whose number is *below* v (invariant S2). A version is dropped only if every
//! position that sees it as old as that sees a newer PUT or DELETE of the same key instead: no
//! snapshot lies in (its number, the newer number], and the newer number is below the horizon.
//!
//! A tombstone goes only where nothing older of its key can exist any more: the caller says that
//! nothing lies beneath (`bottom`), and no snapshot separates it from what it hides, so that all
//! of that was or will be dropped in the same pass. Merge operands and the entry directly under
//! one are kept, unless a tombstone that goes hides them. Expiry is no reason.
//!
//! Not here: finding snapshots and horizon. They must have been read in the order of architecture
//! 6 (the horizon first, then the registrations, none of them pending).

use crate::base::key::is_equal;
use crate::base::mutant::mutant;
use crate::base::{Entry, Kind, Lsn};

/// A streaming filter over the versions of ascending keys, each key's newest version first.
pub(crate) struct Retain {
    /// Ascending, none 0: a snapshot of the empty database sees nothing.
    snapshots: Vec<u64>,
    horizon: u64,
    bottom: bool,
    /// The key of the last entry, if there was one.
    key: Option<Vec<u8>>,
    /// Number of the closest newer PUT or DELETE of that key that hides what follows.
    shadow: Option<u64>,
    /// Whether a tombstone of that key was dropped: then nothing older may stay.
    cleared: bool,
}

impl Retain {
    /// A filter for the given positions of readers. `snapshots` is ascending; `horizon` is the
    /// lowest position at which a later reader may read; `bottom` says that for every key fed
    /// nothing older exists outside of what is fed.
    pub(crate) fn new(snapshots: &[Lsn], horizon: Lsn, bottom: bool) -> Self {
        debug_assert!(snapshots.is_sorted(), "snapshots are ascending");
        Self {
            snapshots: snapshots.iter().map(|s| s.0).filter(|&s| s != 0).collect(),
            horizon: horizon.0,
            bottom,
            key: None,
            shadow: None,
            cleared: false,
        }
    }

    /// Whether `entry`, the next in internal order, must stay.
    #[inline]
    pub(crate) fn keep(&mut self, entry: &Entry<'_>) -> bool {
        let bottom = self.bottom;
        self.turn_to(entry.key);
        self.keep_if(entry, |_| bottom)
    }

    /// Like [`Retain::keep`] for an entry whose key was turned to, but asks `bottom` for each key
    /// whose tombstone could go.
    #[inline]
    pub(crate) fn keep_if(
        &mut self,
        entry: &Entry<'_>,
        bottom: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        if self.cleared && entry.kind != Kind::RangeDelete {
            return false;
        }
        match entry.kind {
            Kind::RangeDelete => true,
            Kind::Merge => {
                self.shadow = None;
                true
            }
            Kind::Put | Kind::Delete => {
                let hidden = self.shadow.is_some_and(|newer| self.hides(newer, entry.number));
                self.shadow = Some(entry.number);
                if hidden {
                    return false;
                }
                let goes = entry.kind == Kind::Delete
                    && (mutant("tombstone_dropped_early")
                        || (self.unseparated(entry.number) && bottom(entry.key)));
                self.cleared = goes;
                !goes
            }
        }
    }

    /// The next entry has this key. Returns whether that is another than the one before; then its
    /// versions are forgotten.
    #[inline]
    pub(crate) fn turn_to(&mut self, key: &[u8]) -> bool {
        match &mut self.key {
            Some(last) if is_equal(last, key) => return false,
            Some(last) => {
                last.clear();
                last.extend_from_slice(key);
            }
            none => *none = Some(key.to_vec()),
        }
        self.shadow = None;
        self.cleared = false;
        true
    }

    /// Whether every reader that could see `older` sees `newer` instead.
    fn hides(&self, newer: u64, older: u64) -> bool {
        if mutant("snapshot_off_by_one") {
            let at = self.snapshots.partition_point(|&s| s < newer);
            let separated = at > 0 && self.snapshots[at - 1] >= older;
            return newer <= self.horizon && !separated;
        }
        // The highest snapshot that does not see `newer`: does it see `older`?
        let at = self.snapshots.partition_point(|&s| s <= newer);
        let separated = at > 0 && self.snapshots[at - 1] > older;
        newer < self.horizon && !separated
    }

    /// Whether every snapshot and every later reader sees the tombstone `number`.
    fn unseparated(&self, number: u64) -> bool {
        number < self.horizon && self.snapshots.first().is_none_or(|&oldest| number < oldest)
    }
}
