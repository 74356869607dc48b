//! The part of a section that is left to the system's page cache.
//!
//! Where blocks are read past the page cache (see [`super::fetch`]), that still has some room: for a
//! few of many *units* of neighbouring blocks, always the same ones. Each is asked for once, whole;
//! what the system drops later comes back page by page. Most of their blocks are not kept in memory
//! a second time: one in [`ENTERED`] reads enters its block, so what is read often gets there, and
//! what is read once seldom does.
//!
//! Any thread may call everything.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::base::FileNumber;

/// Blocks of a unit. It begins and ends within pages, so a long one wastes less.
const UNIT_BLOCKS: usize = 32;
/// One of so many reads enters its block into the cache.
const ENTERED: u32 = 8;

/// Which units of a section were asked for.
pub(super) struct Share {
    /// A bit for each unit. Set by whoever asks, read by all; relaxed, because nothing else depends
    /// on it.
    asked: Box<[AtomicU64]>,
    /// Counts reads, by any reader, relaxed: only how often something happens depends on it.
    reads: AtomicU32,
}

impl Share {
    /// Of a section of so many blocks.
    pub(super) fn new(blocks: usize) -> Self {
        let words = blocks.div_ceil(UNIT_BLOCKS).div_ceil(64);
        Self { asked: (0..words).map(|_| AtomicU64::new(0)).collect(), reads: AtomicU32::new(0) }
    }

    /// Whether block `i` of this file belongs to the first `share` of 64 parts of all.
    pub(super) fn has(number: FileNumber, i: usize, share: u64) -> bool {
        // Small tables begin at different places of the row, so that all together have their share.
        let place = number.0.wrapping_mul(29).wrapping_add((i / UNIT_BLOCKS) as u64);
        place % 64 < share
    }

    /// The blocks of the unit of block `i`, from the first to past the last.
    pub(super) fn unit(i: usize) -> (usize, usize) {
        let from = i - i % UNIT_BLOCKS;
        (from, from + UNIT_BLOCKS)
    }

    /// Whether the unit of block `i` is still to be asked for; it counts as asked for then.
    pub(super) fn ask(&self, i: usize) -> bool {
        let unit = i / UNIT_BLOCKS;
        let Some(word) = self.asked.get(unit / 64) else { return false };
        let bit = 1 << (unit % 64);
        // Nearly always it is set, and a load leaves the line to other readers.
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Whether the block that is read now is to be entered into the cache.
    pub(super) fn enters(&self) -> bool {
        self.reads.fetch_add(1, Ordering::Relaxed) % ENTERED == ENTERED - 1
    }
}
