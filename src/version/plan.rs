//! A point lookup in steps, so that the misses of several tables and keys overlap.
//!
//! A [`Plan`] names the sections that may hold a key, in the order of the search, and has begun to
//! bring into the processor's cache what decides in each. It borrows the levels; making one and
//! [`Plan::glance`] touch only what is in memory. A plan belongs to one thread.

use super::Level;
use super::levels::{Levels, Section};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Lsn, Result};
use crate::mem::epoch::Guard;
use crate::sstable::{Found, Glance, Place, PointReader};

/// Sections that a plan names at once; when there are more, they follow in further rounds.
const STEPS: usize = 6;

/// The first bytes of a key as a number that sorts as they do. Keys of which neither is a
/// beginning of the other, padded with zeros, compare as their heads if those differ.
#[inline]
pub(super) fn head_of(key: &[u8]) -> u128 {
    match key.first_chunk() {
        Some(first) => u128::from_le_bytes(*first).swap_bytes(),
        None => short_head_of(key),
    }
}

fn short_head_of(key: &[u8]) -> u128 {
    let mut padded = [0; 16];
    padded[..key.len()].copy_from_slice(key);
    u128::from_le_bytes(padded).swap_bytes()
}

/// A key whose sections are to be looked through.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'k> {
    pub(super) key: &'k [u8],
    pub(super) head: u128,
    pub(super) below: Lsn,
}

impl<'k> Wanted<'k> {
    pub(super) fn new(key: &'k [u8], below: Lsn) -> Self {
        Self { key, head: head_of(key), below }
    }
}

/// Where to look for a key.
pub(crate) struct Plan<'v, 'k> {
    levels: Option<&'v Levels>,
    wanted: Wanted<'k>,
    /// The sections of this round and the hash of the key in each.
    steps: [Option<(&'v PointReader, u64)>; STEPS],
    count: usize,
    /// The step to look at next.
    at: usize,
    /// What is to be looked through after these steps.
    rest: Rest,
}

/// A place in the order of the search.
#[derive(Clone, Copy, Default)]
struct Rest {
    level: usize,
    index: usize,
    /// A section was met that is not open: the search ends there, unless an earlier one has the
    /// key.
    stuck: bool,
}

impl<'v, 'k> Plan<'v, 'k> {
    /// No plan yet: as for a key in a keyspace without tables.
    #[inline]
    pub(crate) fn idle(key: &'k [u8]) -> Self {
        let rest = Rest { level: LEVEL_COUNT, index: 0, stuck: false };
        let wanted = Wanted { key, head: 0, below: Lsn(0) };
        Self { levels: None, wanted, steps: [None; STEPS], count: 0, at: 0, rest }
    }

    /// Begins the search for a key, in place of what was planned before.
    #[inline(always)]
    pub(super) fn start(&mut self, levels: Option<&'v Levels>, key: &'k [u8], below: Lsn) {
        self.levels = levels;
        self.wanted = Wanted::new(key, below);
        self.rest = Rest::default();
        self.fill();
    }

    /// Names the next sections, until there is no more or no place for one.
    #[inline(always)]
    fn fill(&mut self) {
        (self.count, self.at) = (0, 0);
        let Some(levels) = self.levels else { return };
        while self.count < STEPS && !self.rest.stuck {
            let Some(section) = levels.next_candidate(&self.wanted, &mut self.rest) else { return };
            let Some(reader) = section.open_reader() else {
                self.rest.stuck = true;
                return;
            };
            let hash = reader.hash(self.wanted.key);
            reader.prefetch(hash);
            self.steps[self.count] = Some((reader, hash));
            self.count += 1;
        }
    }

    /// Goes on to the first section of this round that may hold the key, and begins to bring the
    /// slot there into the processor's cache. Returns what [`Self::prefetch`] takes.
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Place> {
        while self.at < self.count {
            let (reader, hash) = self.steps[self.at]?;
            if let Some(place) = reader.place(hash) {
                return Some(place);
            }
            if reader.may_contain(hash) {
                return None;
            }
            self.at += 1;
        }
        None
    }

    /// Begins to bring the entry at `place`, which [`Self::advance`] returned, into the
    /// processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, place: Place) {
        if let Some(Some((reader, _))) = self.steps.get(self.at) {
            reader.prefetch_place(place);
        }
    }

    /// The newest entry, as far as it can be told from what is in memory.
    #[inline(always)]
    pub(crate) fn glance<'g>(&mut self, guard: &'g Guard) -> Glance<'g>
    where
        'v: 'g,
    {
        loop {
            while self.at < self.count {
                let Some((reader, hash)) = self.steps[self.at] else { break };
                match reader.glance(hash, self.wanted.key, self.wanted.below, guard) {
                    Glance::Absent => self.at += 1,
                    other => return other,
                }
            }
            if self.rest.stuck {
                return Glance::Unclear;
            }
            if self.count < STEPS {
                return Glance::Absent;
            }
            self.fill();
        }
    }
}

impl Levels {
    /// The next section that may hold what is wanted, from `rest` on, which moves past it.
    #[inline(always)]
    fn next_candidate(&self, wanted: &Wanted<'_>, rest: &mut Rest) -> Option<&Section> {
        if rest.level == 0 {
            let level0 = self.run(Level(0));
            while let Some(section) = level0.sections().get(rest.index) {
                let index = rest.index;
                rest.index += 1;
                if level0.may_hold(index, wanted) {
                    return Some(section);
                }
            }
            rest.level = 1;
        }
        loop {
            let ahead = self.filled() >> rest.level;
            if ahead == 0 {
                return None;
            }
            let level = rest.level + ahead.trailing_zeros() as usize;
            rest.level = level + 1;
            let section = self.runs().get(level).and_then(|run| run.candidate(wanted));
            if section.is_some() {
                return section;
            }
        }
    }

    /// The newest version of `key` whose number is below `below`, read from the disk if need be;
    /// tombstones are found too.
    pub(crate) fn get(&self, key: &[u8], below: Lsn) -> Result<Option<Found>> {
        let wanted = Wanted::new(key, below);
        let mut rest = Rest::default();
        while let Some(section) = self.next_candidate(&wanted, &mut rest) {
            if let Some(found) = section.reader()?.get(key, below)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
