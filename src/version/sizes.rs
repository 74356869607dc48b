//! How large levels should be: dynamic sizes, so that the last level holds nearly everything.
//!
//! The largest level is taken as it is, and each level above it should hold a tenth of the one
//! below. Level 0 is compacted into the *base level*, the highest level that has a size this way;
//! a small keyspace uses only level 0 and the last. Space amplification is then about 1.1.

use super::{Levels, Load};
use crate::base::Level;
use crate::base::limits::LEVEL_COUNT;

/// How levels are sized.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LevelSizes {
    /// Bytes that every level may hold; the base level holds about this. Default: 256 MiB.
    pub(crate) base_bytes: u64,
    /// How much larger each level is than the one above, at least 2. Default: 10.
    pub(crate) multiplier: u64,
    /// Sections of a keyspace in level 0, as [`Load`] counts them, that start a compaction, if they
    /// have `level0_bytes` together or are [`FULL`] times as many. Default: 4.
    pub(crate) level0_sections: usize,
    /// Fewer bytes in level 0 are not worth a compaction for their number alone. Default: 0.
    pub(crate) level0_bytes: u64,
}

/// So many times `level0_sections` sections of level 0 are compacted however small they are.
const FULL: usize = 4;

/// While the largest level has at most so many times `base_bytes`, level 0 goes there without a level
/// between: up to here, one that holds `base_bytes` costs as much rewriting as it spares, and each
/// reader looks into it.
const LAST_ALONE: u64 = 2;

impl Default for LevelSizes {
    fn default() -> Self {
        Self { base_bytes: 256 << 20, multiplier: 10, level0_sections: 4, level0_bytes: 0 }
    }
}

/// What the sizes mean for a keyspace as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Targets {
    /// Where level 0 goes; the levels between hold nothing.
    pub(crate) base: Level,
    /// Size in bytes above which a level is compacted. The last level never is, and levels above
    /// the base have none: both are `u64::MAX`.
    pub(crate) bytes: [u64; LEVEL_COUNT],
}

impl LevelSizes {
    /// The targets for a keyspace with so many bytes in each level.
    pub(crate) fn targets(&self, level_bytes: &[u64; LEVEL_COUNT]) -> Targets {
        const LAST: usize = LEVEL_COUNT - 1;
        let mut bytes = [u64::MAX; LEVEL_COUNT];
        let first_used = (1..LAST).find(|&level| level_bytes[level] > 0).unwrap_or(LAST);
        let largest = level_bytes.iter().skip(1).copied().max().unwrap_or(0);
        // The base level's size if every level above the last held its part of the largest.
        let mut base = first_used;
        let mut base_bytes = (first_used..LAST).fold(largest, |size, _| size / self.multiplier);
        while base > 1 && base_bytes > LAST_ALONE * self.base_bytes {
            base -= 1;
            base_bytes /= self.multiplier;
        }
        // No level gets less than the base: level 0 brings about that much at once.
        let mut size = base_bytes.max(1);
        for target in &mut bytes[base..LAST] {
            *target = size.max(self.base_bytes);
            size = size.saturating_mul(self.multiplier);
        }
        Targets { base: level_of(base), bytes }
    }

    /// How full level 0 is with such a load, in thousandths: at 1000 it is due.
    pub(crate) fn level0_permille(&self, load: Load) -> u64 {
        let Load { sections, bytes } = load;
        let most = self.level0_sections.max(1);
        let by_number = (sections * 1000 / most) as u64;
        if bytes >= self.level0_bytes || sections >= FULL * most {
            return by_number;
        }
        by_number.min(999)
    }

    /// Estimated bytes to move until the keyspace is in shape: what level 0 holds once it is due,
    /// and what each level holds above its target.
    pub(crate) fn debt_bytes(&self, levels: &Levels) -> u64 {
        let level_bytes = levels.level_bytes();
        let targets = self.targets(&level_bytes);
        let load = Load::of(levels.sections(Level(0)).iter());
        let due = self.level0_permille(load) >= 1000;
        let level0 = if due { level_bytes[0] } else { 0 };
        let over = level_bytes.iter().zip(&targets.bytes).skip(1);
        over.fold(level0, |sum, (have, want)| sum + have.saturating_sub(*want))
    }
}

fn level_of(index: usize) -> Level {
    // Seven levels: the index always fits.
    Level(u8::try_from(index).unwrap_or(u8::MAX))
}
