//! How urgent the compaction of each level is.

use super::{Busy, PickOptions};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{KeyspaceId, Level};
use crate::version::{Levels, Load, Section, Version};

/// The urgency at which a level is compacted.
pub(super) const DUE: u64 = 1000;

/// How urgent the compaction of one level of a keyspace is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Score {
    /// Whose level.
    pub(crate) keyspace: KeyspaceId,
    /// Which level.
    pub(crate) level: Level,
    /// Thousandths of what the level may hold: from 1000 on it is due.
    pub(crate) permille: u64,
}

/// The levels that are due, most urgent first. What running jobs read does not count.
pub(crate) fn scores(version: &Version, busy: &Busy, options: &PickOptions) -> Vec<Score> {
    let mut due = Vec::new();
    for levels in version.keyspaces() {
        for level in (0..).map(Level).take(LEVEL_COUNT) {
            let permille = permille(levels, level, busy, options);
            if permille >= DUE {
                due.push(Score { keyspace: levels.keyspace(), level, permille });
            }
        }
    }
    due.sort_by_key(|score| (std::cmp::Reverse(score.permille), score.level, score.keyspace));
    due
}

/// Thousandths of what a level may hold.
fn permille(levels: &Levels, level: Level, busy: &Busy, options: &PickOptions) -> u64 {
    let idle = || levels.sections(level).iter().filter(|section| !busy.holds(section));
    if level == Level(0) {
        return options.sizes.level0_permille(Load::of(idle()));
    }
    let targets = options.sizes.targets(&levels.level_bytes());
    let target = targets.bytes[usize::from(level.0)];
    if target == u64::MAX {
        return 0;
    }
    let bytes: u64 = idle().map(|section| section.meta().bytes).sum();
    // Exactly at its target a level is in shape.
    bytes.saturating_sub(1).saturating_mul(1000) / target.max(1)
}

/// How much a section should be preferred within its level: the bytes that its compaction would
/// rewrite below it, in thousandths of its own, less if it is full of tombstones. Least is best.
pub(super) fn cost(levels: &Levels, level: Level, section: &Section) -> u64 {
    let meta = section.meta();
    let below = levels.overlaps(Level(level.0 + 1), &meta.smallest, &meta.largest);
    let rewritten: u64 = below.iter().map(|s| s.meta().bytes).sum();
    // A section of nothing but tombstones counts as eight of its size: compacting it frees what
    // the tombstones hide, and every reader of the range walks over them until then.
    let bonus = meta.bytes.saturating_mul(7).saturating_mul(meta.tombstones) / meta.entries.max(1);
    rewritten.saturating_mul(1000) / (meta.bytes + bonus).max(1)
}

/// Whether at least half of a section is tombstones and every reader already sees them.
pub(super) fn is_mostly_tombstones(section: &Section, options: &PickOptions) -> bool {
    let meta = section.meta();
    meta.tombstones > 0
        && meta.tombstones.saturating_mul(2) >= meta.entries
        && meta.largest_number < options.oldest.0
}
