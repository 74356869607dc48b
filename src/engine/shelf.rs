//! Logs that are used again: the file of a log that the floor has passed becomes the next log.
//!
//! A new file is dear: the system allocates its space, zeroes its pages when they are touched, which
//! on a virtual machine the host may have to find first, and frees it all some milliseconds later. A
//! file that was used is renamed and gets a new head; what is behind that stays, and no reader takes
//! it for records, because their checksums are seeded with another salt (invariant L8).
//!
//! A log is put here after the edit that raised the floor past it is durable, and taken when nobody
//! holds its segment or its mapping any more: helpers that are late may store into it until then, and
//! readers may look at values that are in it only (M9). What is here is
//! removed when nobody writes, and at the close; after a crash the next open sweeps it.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::FileNumber;
use crate::base::mutant::mutant;
use crate::vfs::LogMap;
use crate::wal::{SEGMENT_HEAD_BYTES, Segment};

/// How many are kept: one that is free, and one that is still held for a moment.
const KEPT: usize = 2;

/// The logs of one database that may be used again. Any thread; used in the background only.
#[derive(Default)]
pub(super) struct Shelf {
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    number: FileNumber,
    capacity: u64,
    salt: u32,
    filled: u64,
    segment: Weak<Segment>,
    /// Readers hold it for values that are in the log only.
    map: Option<Weak<dyn LogMap>>,
}

/// A log that nobody uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Used {
    /// The number in its name, until it is used again.
    pub(super) number: FileNumber,
    /// What the next use may not have.
    pub(super) salt: u32,
    /// Up to here it held records.
    pub(super) filled: u64,
}

impl Shelf {
    /// Keeps the log of `segment`. Returns one that is to be removed instead, if there are too many: one
    /// of another length first, which nobody may want any more.
    pub(super) fn keep(&self, segment: &Arc<Segment>, filled: u64) -> Option<FileNumber> {
        let kept = Kept {
            number: segment.number(),
            capacity: segment.capacity(),
            salt: segment.salt(),
            filled,
            segment: Arc::downgrade(segment),
            map: segment.map().map(Arc::downgrade),
        };
        let mut all = self.kept.lock();
        let other = all.iter().position(|old| old.capacity != kept.capacity);
        all.push(kept);
        (all.len() > KEPT).then(|| all.remove(other.unwrap_or(0)).number)
    }

    /// A log of `capacity` bytes that nobody holds. The caller renames or removes it.
    pub(super) fn take(&self, capacity: u64) -> Option<Used> {
        let mut all = self.kept.lock();
        let is_free = |kept: &Kept| {
            let is_mapped = kept.map.as_ref().is_some_and(|map| map.strong_count() > 0)
                && !mutant("log_is_reused_under_its_map");
            let is_held = kept.segment.strong_count() > 0 || is_mapped;
            kept.capacity == capacity && (!is_held || mutant("held_log_is_reused"))
        };
        let index = all.iter().rposition(is_free)?;
        let kept = all.remove(index);
        // Whoever let go last released his stores by that; the count is read relaxed.
        fence(Ordering::Acquire);
        Some(Used { number: kept.number, salt: kept.salt, filled: kept.filled })
    }

    /// Bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.lock().iter().map(|kept| SEGMENT_HEAD_BYTES + kept.capacity).sum()
    }

    /// Takes all, to be removed.
    pub(super) fn clear(&self) -> Vec<FileNumber> {
        self.kept.lock().drain(..).map(|kept| kept.number).collect()
    }
}
