//! Marks: records that prove that everything before them was synced.
//!
//! Without one, rot in the last records of an idle log would read as its torn end (invariant D7).

use std::sync::Arc;

use super::db::Db;
use super::generation::Generation;
use crate::base::Result;
use crate::base::mutant::mutant;
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::memtable::Slot;
use crate::record::{self, HEADER_BYTES};

impl Db {
    /// Syncs, appends a mark that says so, and syncs that. Nothing if the last record is a mark.
    pub(super) fn mark(&self) -> Result<()> {
        let visible = self.visible();
        if self.check_writable().is_err()
            || visible.0 == self.jobs.marked.load(Ordering::Relaxed)
            || visible <= self.floor()
        {
            return Ok(());
        }
        if !mutant("mark_before_sync") {
            self.ensure_synced(visible)?;
        }
        let end = {
            let guard = epoch::pin();
            let active = Arc::clone(&self.state.load(&guard).active);
            if active.base() == visible {
                return Ok(());
            }
            // Only there: a record in between would not be synced, and a mark behind it would
            // prove that it was.
            let slot = active.memtable.reserve_at(visible, HEADER_BYTES as u64);
            let Some(slot) = slot else { return Ok(()) };
            let end = slot.lsn().plus(HEADER_BYTES as u64);
            Self::fill_mark(&active, slot);
            self.advance(&guard);
            end
        };
        self.jobs.marked.store(end.0, Ordering::Relaxed);
        self.wait_visible(end)?;
        self.ensure_synced(end)
    }

    fn fill_mark(generation: &Generation, mut slot: Slot<'_>) {
        let salt = generation.segment.as_ref().map_or(0, |segment| segment.salt());
        let words = record::encode_mark(slot.lsn(), salt);
        if let Some(segment) = generation.segment.as_ref().filter(|s| s.is_mapped()) {
            segment.store_record(slot.place(), &words, &[]);
        }
        slot.header_mut().copy_from_slice(&words[4..]);
        slot.publish();
    }
}
