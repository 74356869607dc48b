//! A job: inputs that belong together, and where the result goes.

use std::fmt;
use std::sync::Arc;

use super::{Busy, PickOptions};
use crate::base::{KeyspaceId, Level};
use crate::version::{Levels, Section};

/// A move or an output table may meet this many target sizes of tables two levels down.
const GRANDPARENT_FILES_MAX: u64 = 10;

/// Why a job was picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Level 0 has many sections.
    Level0,
    /// A level is larger than it should be.
    Size,
    /// Every read looks into it, and enough of them came.
    Reads,
    /// A section is mostly tombstones that nobody needs.
    Tombstones,
    /// A file of level 0 is mostly dead.
    Waste,
    /// Somebody asked for it.
    Manual,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Level0 => "level 0 has many sections",
            Self::Size => "the level is too large",
            Self::Reads => "reads have paid for it",
            Self::Tombstones => "most of it is tombstones",
            Self::Waste => "most of the file is dead",
            Self::Manual => "somebody asked for it",
        })
    }
}

/// One compaction to be run. It holds its inputs: their files stay until it is dropped.
pub(crate) struct Job {
    levels: Arc<Levels>,
    inputs: Vec<(Level, Section)>,
    output: Level,
    smallest: Vec<u8>,
    largest: Vec<u8>,
    is_move: bool,
    reason: Reason,
    file_bytes: u64,
}

/// What [`Job::make`] starts from.
pub(super) struct Plan<'a> {
    pub(super) levels: &'a Arc<Levels>,
    /// The sections to be compacted, not empty: of level 0 closed by K1, else neighbours.
    pub(super) seeds: Vec<Section>,
    pub(super) from: Level,
    pub(super) output: Level,
    pub(super) reason: Reason,
    /// Whether a seed alone may keep its file and only change its level.
    pub(super) may_move: bool,
}

impl Job {
    /// Completes a plan by K2; none if it cannot run beside the jobs of `busy`.
    pub(super) fn make(plan: Plan<'_>, busy: &Busy, options: &PickOptions) -> Option<Self> {
        let Plan { levels, seeds, from, output, reason, may_move } = plan;
        let mut range = Range::of(&seeds)?;
        let mut lower = Vec::new();
        let mut seeds = seeds;
        if from != output {
            lower = levels.overlaps(output, &range.smallest, &range.largest);
            range.extend(&lower);
            if from > Level(0) {
                seeds = widen(levels, (from, output), seeds, lower.len(), &range, busy, options);
                range.extend(&seeds);
            }
        }
        let mut between = (from.0 + 1..output.0).map(Level);
        if between.any(|l| !levels.overlaps(l, &range.smallest, &range.largest).is_empty()) {
            return None;
        }
        let is_move = may_move
            && from != output
            && seeds.len() == 1
            && lower.is_empty()
            && overlap_bytes(levels, Level(output.0 + 1), &range) <= grandparent_limit(options);
        if !is_move && from != output {
            absorb(levels, output, &seeds, &mut lower, &mut range, options);
        }
        let inputs = seeds.into_iter().map(|s| (from, s));
        let inputs = inputs.chain(lower.into_iter().map(|s| (output, s))).collect();
        let Range { smallest, largest } = range;
        let (levels, file_bytes) = (levels.clone(), options.target_file_bytes);
        let job = Self { levels, inputs, output, smallest, largest, is_move, reason, file_bytes };
        (!busy.conflicts(&job)).then_some(job)
    }

    /// Whose tables it merges.
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.levels.keyspace()
    }

    /// The sections that go, with their levels.
    pub(crate) fn inputs(&self) -> &[(Level, Section)] {
        &self.inputs
    }

    /// The level of the result.
    pub(crate) fn output_level(&self) -> Level {
        self.output
    }

    /// The smallest key of its range.
    pub(crate) fn smallest(&self) -> &[u8] {
        &self.smallest
    }

    /// The largest key of its range.
    pub(crate) fn largest(&self) -> &[u8] {
        &self.largest
    }

    /// Whether a table only changes its level, without being read.
    pub(crate) fn is_move(&self) -> bool {
        self.is_move
    }

    /// Why it was picked.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The levels from which it was picked.
    pub(super) fn levels(&self) -> &Arc<Levels> {
        &self.levels
    }

    /// Length at which an output table is finished, in bytes.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes two levels down that one output table may meet.
    pub(super) fn grandparent_bytes_max(&self) -> u64 {
        self.file_bytes.saturating_mul(GRANDPARENT_FILES_MAX)
    }
}

fn grandparent_limit(options: &PickOptions) -> u64 {
    options.target_file_bytes.saturating_mul(GRANDPARENT_FILES_MAX)
}

/// A range of keys, both ends inclusive.
pub(super) struct Range {
    pub(super) smallest: Vec<u8>,
    pub(super) largest: Vec<u8>,
}

impl Range {
    /// The range of some sections; none of no section.
    pub(super) fn of(sections: &[Section]) -> Option<Self> {
        let smallest = sections.iter().map(|s| &s.meta().smallest).min()?.clone();
        let largest = sections.iter().map(|s| &s.meta().largest).max()?.clone();
        Some(Self { smallest, largest })
    }

    /// Makes the range include some more sections.
    pub(super) fn extend(&mut self, sections: &[Section]) {
        let Some(more) = Self::of(sections) else {
            return;
        };
        if more.smallest < self.smallest {
            self.smallest = more.smallest;
        }
        if more.largest > self.largest {
            self.largest = more.largest;
        }
    }
}

/// Bytes of sections.
pub(super) fn bytes_of(sections: &[Section]) -> u64 {
    sections.iter().map(|section| section.meta().bytes).sum()
}

/// Bytes of a level's sections that meet a range.
fn overlap_bytes(levels: &Levels, level: Level, range: &Range) -> u64 {
    bytes_of(&levels.overlaps(level, &range.smallest, &range.largest))
}

/// More sections of the upper level that can be taken without taking more of the lower: they cost
/// only their own bytes. (`range` includes the lower sections, `lower` of them.)
fn widen(
    levels: &Levels,
    (from, output): (Level, Level),
    seeds: Vec<Section>,
    lower: usize,
    range: &Range,
    busy: &Busy,
    options: &PickOptions,
) -> Vec<Section> {
    if lower == 0 {
        return seeds;
    }
    let wider = levels.overlaps(from, &range.smallest, &range.largest);
    let Some(wide) = Range::of(&wider) else {
        return seeds;
    };
    let fits = bytes_of(&wider) <= options.job_bytes_max
        && wider.iter().all(|section| !busy.holds(section))
        && levels.overlaps(output, &wide.smallest, &wide.largest).len() == lower;
    if fits && wider.len() > seeds.len() { wider } else { seeds }
}

/// Takes small neighbours in the output level into the job, so that many small flushes do not
/// leave many small files. A neighbour is taken if it is no larger than the job so far: an entry
/// is then rewritten only when the table it is in at least doubles. The job does no more than double
/// by it, or fill two files: there may be a whole level of small ones, moved there as they were.
fn absorb(
    levels: &Levels,
    output: Level,
    seeds: &[Section],
    lower: &mut Vec<Section>,
    range: &mut Range,
    options: &PickOptions,
) {
    let sections = levels.sections(output);
    let run = levels.run(output);
    let mut bytes = bytes_of(seeds) + bytes_of(lower);
    let most = 2 * bytes.max(options.target_file_bytes);
    let small = |section: &Section, bytes: u64| {
        let more = section.meta().bytes;
        more <= bytes && more < options.target_file_bytes / 2 && bytes + more <= most
    };
    let mut left = run.first_reaching(&range.smallest);
    while let Some(section) = left.checked_sub(1).and_then(|at| sections.get(at)) {
        if !small(section, bytes) {
            break;
        }
        bytes += section.meta().bytes;
        lower.insert(0, section.clone());
        left -= 1;
    }
    let mut right = run.first_beyond(&range.largest);
    while let Some(section) = sections.get(right).filter(|section| small(section, bytes)) {
        bytes += section.meta().bytes;
        lower.push(section.clone());
        right += 1;
    }
    range.extend(lower);
}
