//! Picking the next job: the most urgent one that can run beside the others.
//!
//! 1. Levels that are due, most urgent first: of level 0 a section that meets no other, to be moved,
//!    or a group of sections; of another level the section whose compaction rewrites the least for its size.
//! 2. Sections that are mostly tombstones which every reader sees.
//! 3. Files of level 0 most of which is dead, because other keyspaces' sections have left.
//! 4. Level 0, though not due, in quiet times and when reads have paid for it, and then the levels
//!    between it and the last, too, if that does not rewrite too much: every section of level 0 and
//!    every level is one more place to look for every read.
//!
//! Every job moves sections down, or removes tombstones for good, or shrinks level 0: without new
//! writes there is a last one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::{Plan, bytes_of};
use super::score::{cost, is_mostly_tombstones};
use super::{Busy, Job, Reason, Score, level0, scores};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{FileNumber, Level, Lsn};
use crate::version::{LevelSizes, Levels, Section, Version};

/// Dead bytes that a file of level 0 may have before it counts as wasted: what is around and
/// between sections is not dead.
const WASTE_BYTES_MIN: u64 = 64 << 10;
/// What is moved to a deeper level has at least this part of a full file: others are merged on the way,
/// so that there are few files in all.
const MOVED_PART: u64 = 4;
/// From level 0 a smaller part is enough, a flush makes about a fifth,
const FLUSHED_PART: u64 = 8;
/// if it has so many bytes: an open file costs the process a descriptor.
const FLUSHED_BYTES_MIN: u64 = 8 << 20;

/// How jobs are picked and cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PickOptions {
    /// How levels are sized.
    pub(crate) sizes: LevelSizes,
    /// Length at which an output table is finished, in bytes.
    pub(crate) target_file_bytes: u64,
    /// Bytes that one job takes from its upper level, about.
    pub(crate) job_bytes_max: u64,
    /// The oldest position at which anybody reads: tombstones below it may be needless.
    pub(crate) oldest: Lsn,
    /// What is worth a job though it is not due; none when nothing is.
    pub(crate) leftover: Option<Leftover>,
}

/// What is taken down though it is not due: level 0, and perhaps the levels below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leftover {
    /// So many sections, or more.
    pub(crate) sections: usize,
    /// If it rewrites at most so many times their bytes.
    pub(crate) rewrites: u64,
    /// Whether the levels between level 0 and the last are taken down as well.
    pub(crate) levels: bool,
}

/// The most urgent job that may run beside those of `busy`; none if nothing is due.
pub(crate) fn pick(version: &Version, busy: &Busy, options: &PickOptions) -> Option<Job> {
    let picker = Picker { version, busy, options, live: version.level0_live() };
    let due = scores(version, busy, options);
    due.iter()
        .find_map(|score| picker.due(score))
        .or_else(|| picker.tombstones())
        .or_else(|| picker.waste())
        .or_else(|| picker.leftover())
}

/// What picking looks at.
pub(super) struct Picker<'a> {
    pub(super) version: &'a Version,
    pub(super) busy: &'a Busy,
    pub(super) options: &'a PickOptions,
    /// Live sections and bytes of each file in level 0.
    pub(super) live: BTreeMap<FileNumber, (usize, u64)>,
}

impl Picker<'_> {
    fn due(&self, score: &Score) -> Option<Job> {
        let levels = self.version.levels(score.keyspace)?;
        if score.level == Level(0) {
            let free = |section: &&Section| !self.busy.holds(section);
            let oldest_first = || levels.sections(Level(0)).iter().rev().filter(free);
            return oldest_first()
                .find_map(|section| self.move_alone(levels, section, Reason::Level0))
                .or_else(|| oldest_first().find_map(|s| self.level0(levels, s, Reason::Level0)));
        }
        let mut sections: Vec<&Section> = levels.sections(score.level).iter().collect();
        sections.retain(|section| !self.busy.holds(section));
        sections.sort_by_cached_key(|section| cost(levels, score.level, section));
        sections.into_iter().find_map(|section| {
            let seeds = vec![section.clone()];
            self.down(levels, score.level, seeds, Reason::Size)
        })
    }

    /// A job that moves a section of level 0, which meets no other, to the base level as it is: what is
    /// written in order is not written again.
    fn move_alone(&self, levels: &Arc<Levels>, section: &Section, reason: Reason) -> Option<Job> {
        let stays = !self.is_movable(section)
            || is_mostly_tombstones(section, self.options)
            || !level0::is_alone(levels, section);
        if stays {
            return None;
        }
        let seeds = vec![section.clone()];
        let output = self.options.sizes.targets(&levels.level_bytes()).base;
        let plan = Plan { levels, seeds, from: Level(0), output, reason, may_move: true };
        Job::make(plan, self.busy, self.options).filter(Job::is_move)
    }

    /// A job that takes the group of a section of level 0 to the base level.
    pub(super) fn level0(
        &self,
        levels: &Arc<Levels>,
        seed: &Section,
        reason: Reason,
    ) -> Option<Job> {
        let seeds = level0::group(levels, seed, self.busy, self.options)?;
        let must_rewrite = matches!(reason, Reason::Waste | Reason::Manual);
        let may_move = !must_rewrite && seeds.iter().all(|seed| self.is_movable(seed));
        let output = self.options.sizes.targets(&levels.level_bytes()).base;
        let plan = Plan { levels, seeds, from: Level(0), output, reason, may_move };
        Job::make(plan, self.busy, self.options)
    }

    /// A job that takes neighbours of a level below 0 to the next level.
    pub(super) fn down(
        &self,
        levels: &Arc<Levels>,
        from: Level,
        seeds: Vec<Section>,
        reason: Reason,
    ) -> Option<Job> {
        let output = Level(from.0 + 1);
        // Moving tombstones to where they could be dropped would only put the work off.
        let sheds = |seed: &Section| {
            is_mostly_tombstones(seed, self.options) && !lies_beneath(levels, output, seed)
        };
        // Smaller ones are merged on the way, so that there are few in all.
        let is_small =
            |seed: &Section| seed.meta().bytes < self.options.target_file_bytes / MOVED_PART;
        let may_move =
            reason != Reason::Manual && !seeds.iter().any(|seed| sheds(seed) || is_small(seed));
        let plan = Plan { levels, seeds, from, output, reason, may_move };
        Job::make(plan, self.busy, self.options)
    }

    /// A job that writes neighbours of a level again, without what nobody needs.
    pub(super) fn again(
        &self,
        levels: &Arc<Levels>,
        level: Level,
        seeds: Vec<Section>,
        reason: Reason,
    ) -> Option<Job> {
        let plan = Plan { levels, seeds, from: level, output: level, reason, may_move: false };
        Job::make(plan, self.busy, self.options)
    }

    /// Whether a file of level 0 may keep its bytes in a deeper level: it holds nothing else, and
    /// it is not so small that the deeper level would fill with small files.
    fn is_movable(&self, section: &Section) -> bool {
        let file_bytes = section.handle().meta().file_bytes;
        let dead = file_bytes.saturating_sub(section.meta().bytes);
        let alone = self.live.get(&section.number()).is_some_and(|&(sections, _)| sections == 1);
        alone
            && dead <= WASTE_BYTES_MIN.max(file_bytes / 4)
            && section.meta().bytes >= self.least_moved()
    }

    /// Bytes of the smallest file that is moved from level 0.
    fn least_moved(&self) -> u64 {
        let full = self.options.target_file_bytes;
        (full / MOVED_PART).min(FLUSHED_BYTES_MIN.max(full / FLUSHED_PART))
    }

    fn tombstones(&self) -> Option<Job> {
        self.version.keyspaces().iter().find_map(|levels| {
            (1..).map(Level).take(LEVEL_COUNT - 1).find_map(|level| {
                let sections = levels.sections(level).iter();
                sections
                    .filter(|section| is_mostly_tombstones(section, self.options))
                    .filter(|section| !self.busy.holds(section))
                    .find_map(|section| self.shed(levels, level, section))
            })
        })
    }

    fn shed(&self, levels: &Arc<Levels>, level: Level, section: &Section) -> Option<Job> {
        let seeds = vec![section.clone()];
        if lies_beneath(levels, level, section) {
            return self.down(levels, level, seeds, Reason::Tombstones);
        }
        self.again(levels, level, seeds, Reason::Tombstones)
    }

    fn waste(&self) -> Option<Job> {
        self.version.keyspaces().iter().find_map(|levels| {
            let oldest_first = levels.sections(Level(0)).iter().rev();
            oldest_first
                .filter(|section| self.is_wasted(section))
                .find_map(|section| self.level0(levels, section, Reason::Waste))
        })
    }

    /// What is left above the last level when nothing is due.
    fn leftover(&self) -> Option<Job> {
        let Leftover { sections: least, rewrites, levels: deep } = self.options.leftover?;
        let level0 = self.version.keyspaces().iter().find_map(|levels| {
            let sections = levels.sections(Level(0));
            let bytes = levels.level_bytes();
            let base = self.options.sizes.targets(&bytes).base;
            let worth = bytes[0].saturating_mul(rewrites);
            if sections.len() < least || worth < bytes[usize::from(base.0)] {
                return None;
            }
            let oldest_first = sections.iter().rev().filter(|section| !self.busy.holds(section));
            oldest_first
                .into_iter()
                .find_map(|section| self.level0(levels, section, Reason::Level0))
        });
        let keyspaces = self.version.keyspaces();
        let deeper = || keyspaces.iter().find_map(|levels| self.between(levels, rewrites));
        level0.or_else(|| if deep { deeper() } else { None })
    }

    /// Neighbours of a level between level 0 and the last, as many as one job may take.
    fn between(&self, levels: &Arc<Levels>, rewrites: u64) -> Option<Job> {
        let bytes = levels.level_bytes();
        (1..LEVEL_COUNT - 1).find_map(|level| {
            let next = bytes[level + 1..].iter().copied().find(|bytes| *bytes > 0)?;
            if bytes[level].saturating_mul(rewrites) < next {
                return None;
            }
            let from = Level(u8::try_from(level).ok()?);
            let mut rest = levels.sections(from);
            while !rest.is_empty() {
                let (seeds, met_bytes) = self.first_of(levels, from, rest);
                if !seeds.is_empty() && bytes_of(seeds).saturating_mul(rewrites) >= met_bytes {
                    return self.down(levels, from, seeds.to_vec(), Reason::Reads);
                }
                rest = &rest[seeds.len().max(1)..];
            }
            None
        })
    }

    /// The first of `sections`, neighbours of a level, that no job reads, as many as one job may take
    /// down, and the bytes that they meet there. None if the very first is read.
    fn first_of<'s>(
        &self,
        levels: &Levels,
        level: Level,
        sections: &'s [Section],
    ) -> (&'s [Section], u64) {
        let Some(first) = sections.first() else { return (sections, 0) };
        let (mut count, mut bytes, mut met_bytes) = (0, 0, 0);
        for section in sections.iter().take_while(|section| !self.busy.holds(section)) {
            let ends = (&first.meta().smallest, &section.meta().largest);
            let met = bytes_of(&levels.overlaps(Level(level.0 + 1), ends.0, ends.1));
            bytes += section.meta().bytes;
            if bytes + met > self.options.job_bytes_max && count > 0 {
                break;
            }
            (count, met_bytes) = (count + 1, met);
        }
        (&sections[..count], met_bytes)
    }

    /// Whether less than a quarter of the file is alive.
    fn is_wasted(&self, section: &Section) -> bool {
        let file_bytes = section.handle().meta().file_bytes;
        let live = self.live.get(&section.number()).map_or(0, |&(_, bytes)| bytes);
        live < file_bytes / 4 && file_bytes.saturating_sub(live) >= WASTE_BYTES_MIN
    }
}

/// Whether a level below `level` has a section that meets this one.
pub(super) fn lies_beneath(levels: &Levels, level: Level, section: &Section) -> bool {
    let meta = section.meta();
    let deeper = (0..).map(Level).take(LEVEL_COUNT).skip(usize::from(level.0) + 1);
    deeper.into_iter().any(|l| !levels.overlaps(l, &meta.smallest, &meta.largest).is_empty())
}
