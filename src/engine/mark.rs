//! Marks: records that prove that everything before them was synced.
//!
//! Without one, rot in the last records of an idle log would read as its torn end (invariant D7).

use std::sync::Arc;

use super::db::Db;
use super::generation::Generation;
use crate::base::coding::u32_of;
use crate::base::mutant::mutant;
use crate::base::{Lsn, Result};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::memtable::{Reserve, Slot};
use crate::record::{self, HEADER_BYTES, Header, RecordKind};

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
            if active.base() == visible || active.memtable.tail() != visible.0 {
                return Ok(());
            }
            let Reserve::Done(slot) = active.memtable.reserve(HEADER_BYTES as u64) else {
                return Ok(());
            };
            let end = slot.lsn().plus(HEADER_BYTES as u64);
            self.fill_mark(&active, slot);
            self.advance(&guard);
            end
        };
        self.jobs.marked.store(end.0, Ordering::Relaxed);
        self.wait_visible(end)?;
        self.ensure_synced(end)
    }

    fn fill_mark(&self, generation: &Generation, mut slot: Slot<'_>) {
        let header = Header {
            length: u32_of(HEADER_BYTES),
            entries: 0,
            lsn: slot.lsn(),
            synced: self.synced(),
            completed: self.logged_position(generation).min(slot.lsn()),
            kind: RecordKind::Mark,
            flags: 0,
            payload_crc: 0,
        };
        let salt = generation.segment.as_ref().map_or(0, |segment| segment.salt());
        let words = record::encode_header(&header, salt);
        if let Some(segment) = generation.segment.as_ref().filter(|s| s.is_mapped()) {
            segment.store_record(slot.place(), &words, &[]);
        }
        slot.header_mut().copy_from_slice(&words[4..]);
        slot.publish();
        debug_assert!(header.synced <= Lsn(self.visible.load(Ordering::Relaxed)));
    }
}
