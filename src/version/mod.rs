//! An immutable view of all levels of all keyspaces, and lookup through it.
//!
//! A [`Version`] is made from a manifest state and from another version by an edit; it never
//! changes. It holds its tables' files: a file that the manifest no longer names is reported by
//! [`Tables::take_unused`] only when the last version (or cursor, or job) that holds it is gone.
//!
//! Invariants, checked whenever a version is made, so that a manifest that breaks them is reported
//! as corrupt and never read wrongly:
//!
//! * V1: in level 1 and below, sections of a keyspace are in ascending order of key and share no
//!   user key; all versions of a user key in a level are in one table.
//! * V2: in level 0, two sections of a keyspace whose ranges of numbers overlap share no key (their
//!   ranges of keys do not overlap). Level 0 is searched by descending largest number.
//! * V3: of one key, every version in a level is newer than every version in the levels below, and
//!   every version in an earlier level-0 section is newer than those in a later one. Level 0 has it
//!   by V2. Between levels no range in the manifest can show it; compaction keeps it, because a
//!   job takes with a section everything of its range that is older in level 0, and everything of
//!   its range in the output level.
//!
//! By V3 the first match of a search from above is the newest version.
//!
//! Threads: any, at once; nothing here is locked on the way of a read but the first opening of a
//! table. Not here: which files to compact, and when files are deleted.

mod any_cursor;
mod edit;
#[allow(
    clippy::inline_always,
    reason = "else each step of a point read passes its result by memory"
)]
mod level;
mod level_cursor;
mod levels;
#[allow(
    clippy::inline_always,
    reason = "else each step of a point read passes its result by memory"
)]
mod plan;
mod sizes;
mod tables;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use any_cursor::AnyCursor;
pub(crate) use level::Run;
pub(crate) use level_cursor::LevelCursor;
pub(crate) use levels::{Levels, Load, Section};
pub(crate) use plan::Plan;
pub(crate) use sizes::LevelSizes;
pub(crate) use tables::Tables;

use crate::base::limits::LEVEL_COUNT;
use crate::base::{FileNumber, KeyspaceId, Level, Lsn, Result};
use crate::manifest::{State, VersionEdit};
use crate::sstable::Found;

/// What lies in one level.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct LevelStats {
    /// Table files that have a section here.
    pub(crate) files: u64,
    /// Sections, over all keyspaces meant.
    pub(crate) sections: u64,
    /// Bytes of these sections.
    pub(crate) bytes: u64,
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Deletes among them.
    pub(crate) tombstones: u64,
}

/// The levels of every keyspace at one moment.
#[derive(Clone, Default)]
pub(crate) struct Version {
    /// In ascending order of id.
    keyspaces: Vec<Arc<Levels>>,
}

impl Version {
    /// The version that a recovered manifest describes; tables are opened when first used.
    ///
    /// A state that breaks V1 or V2 is `Corrupt`.
    pub(crate) fn from_state(state: &State, tables: &Tables) -> Result<Arc<Self>> {
        edit::from_state(state, tables)
    }

    /// The version after `edit`. An edit that does not fit this version, or whose result breaks
    /// V1 or V2, is `Corrupt`; sections of keyspaces that it drops are ignored.
    pub(crate) fn apply(&self, edit: &VersionEdit, tables: &Tables) -> Result<Arc<Self>> {
        edit::apply(self, edit, tables)
    }

    /// Whether everything that `edit` removes is here and every keyspace that it adds to lives.
    ///
    /// False for the result of a job whose keyspace was dropped meanwhile; its outputs are then
    /// deleted, not installed.
    pub(crate) fn accepts(&self, edit: &VersionEdit) -> bool {
        let there = |ks, level: Level, file| {
            self.levels(ks).is_some_and(|levels| levels.holds(level, file))
        };
        edit.removed.iter().all(|r| there(r.keyspace, r.level, r.file))
            && edit.added.iter().all(|a| self.levels(a.section.keyspace).is_some())
    }

    /// The levels of a keyspace, or none if it does not exist.
    pub(crate) fn levels(&self, keyspace: KeyspaceId) -> Option<&Arc<Levels>> {
        let at = self.keyspaces.binary_search_by_key(&keyspace, |levels| levels.keyspace()).ok()?;
        self.keyspaces.get(at)
    }

    /// Every keyspace's levels, in ascending order of id.
    pub(crate) fn keyspaces(&self) -> &[Arc<Levels>] {
        &self.keyspaces
    }

    /// The newest version of `key` whose number is below `below`; tombstones are found too.
    pub(crate) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        below: Lsn,
    ) -> Result<Option<Found>> {
        match self.levels(keyspace) {
            Some(levels) => levels.get(key, below),
            None => Ok(None),
        }
    }

    /// Makes a plan where to look for `key` below `below`; see [`Plan`].
    #[inline]
    pub(crate) fn plan<'v, 'k>(
        &'v self,
        plan: &mut Plan<'v, 'k>,
        keyspace: KeyspaceId,
        key: &'k [u8],
        below: Lsn,
    ) {
        plan.start(self.levels(keyspace).map(|levels| &**levels), key, below);
    }

    /// The cursors of [`Self::add_cursors`] alone.
    #[cfg(test)]
    pub(crate) fn cursors_in(
        &self,
        keyspace: KeyspaceId,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> Result<Vec<AnyCursor>> {
        let mut cursors = Vec::new();
        self.add_cursors(keyspace, lo, hi, &mut cursors)?;
        Ok(cursors)
    }

    /// Adds cursors over a keyspace: one for each section of level 0, newest first, and one for each
    /// deeper level that holds something. Sources that hold no key from `lo` up to but not
    /// including `hi` are left out; the others may show keys outside of these bounds.
    pub(crate) fn add_cursors(
        &self,
        keyspace: KeyspaceId,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
        cursors: &mut Vec<AnyCursor>,
    ) -> Result<()> {
        match self.levels(keyspace) {
            Some(levels) => levels.cursors(lo, hi, cursors),
            None => Ok(()),
        }
    }

    /// Every section with its level.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (Level, &Section)> {
        self.keyspaces.iter().flat_map(|levels| levels.all_sections())
    }

    /// The numbers of all table files that hold a section.
    pub(crate) fn live_files(&self) -> BTreeSet<FileNumber> {
        self.sections().map(|(_, section)| section.number()).collect()
    }

    /// How many live sections, and how many bytes of them, each file of level 0 has.
    pub(crate) fn level0_live(&self) -> BTreeMap<FileNumber, (usize, u64)> {
        let mut live: BTreeMap<FileNumber, (usize, u64)> = BTreeMap::new();
        for levels in &self.keyspaces {
            for section in levels.sections(Level(0)) {
                let (sections, bytes) = live.entry(section.number()).or_default();
                *sections += 1;
                *bytes += section.meta().bytes;
            }
        }
        live
    }

    /// The most sections that one keyspace has in level 0: what a read in it must look through.
    pub(crate) fn level0_sections_max(&self) -> usize {
        self.keyspaces.iter().map(|levels| levels.sections(Level(0)).len()).max().unwrap_or(0)
    }

    /// The largest load of one keyspace's level 0: what writers are held back by.
    pub(crate) fn level0_load_max(&self) -> usize {
        let load = |levels: &Arc<Levels>| Load::of(levels.sections(Level(0)).iter()).sections;
        self.keyspaces.iter().map(load).max().unwrap_or(0)
    }

    /// Estimated bytes that compaction has to move until no level is over its size.
    pub(crate) fn debt_bytes(&self, sizes: &LevelSizes) -> u64 {
        self.keyspaces.iter().map(|levels| sizes.debt_bytes(levels)).sum()
    }

    /// What lies in each level, over all keyspaces.
    pub(crate) fn stats(&self) -> [LevelStats; LEVEL_COUNT] {
        levels::stats(self.keyspaces.iter())
    }
}
