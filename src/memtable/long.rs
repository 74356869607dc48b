//! Long values that stay in the log.
//!
//! A record of one put whose value is long is written into the mapped log by a call, and is not copied
//! into the arena: there the entry says at which address of the mapping its value lies. So the pages of
//! the arena under the value are not touched.
//!
//! Invariant M9: where an entry says that its value lies in the log, the bytes are there before the
//! entry is linked, nobody stores there again, and the memtable keeps the mapping. (The file may lose
//! its name meanwhile; it is used again only when nobody has the mapping any more.) A page that the
//! system failed to write out may come back with other bytes, so whoever hands a value on compares its
//! checksum (D7).

use std::sync::Arc;

use crate::base::{Error, ErrorKind, FileNumber, filename};
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::vfs::LogMap;

use super::layout::{AWAY_BYTES, Away, Sums};
use super::{Memtable, Slot};
use crate::record::HEADER_BYTES;

/// Where values are left that are at least this long. In a put of 4 KiB the copy is a tenth.
pub(crate) const LONG_BYTES: usize = if cfg!(test) { 512 } else { 4 << 10 };
/// An entry whose value is in the log has about so much of the arena. Less in tests, whose values are short.
const PAGE_BYTES: u64 = if cfg!(test) { 64 } else { 4 << 10 };

/// The log of a memtable, where long values stay.
pub(super) struct KeptLog {
    map: Arc<dyn LogMap>,
    /// Where place 0 lies in it.
    head_bytes: u64,
    /// Of its file.
    number: FileNumber,
    /// Bytes of values that stayed there, less a page for each. Counted by writers, read as a hint and by
    /// the owner's drop, so relaxed.
    spared: AtomicU64,
}

impl Memtable {
    /// Long values may stay in `map`, if that can keep them, whose byte `head_bytes` is that of place 0,
    /// and whose file has this number. Before anybody else has the memtable.
    pub(crate) fn set_log(&mut self, map: Arc<dyn LogMap>, head_bytes: u64, number: FileNumber) {
        let log = KeptLog { map, head_bytes, number, spared: AtomicU64::new(0) };
        self.log = log.map.keeps_values().then_some(log);
    }

    /// Whether long values may stay in its log.
    #[inline]
    pub(crate) fn keeps_values(&self) -> bool {
        self.log.is_some()
    }

    /// Bytes of the arena that were not written because values stayed in the log, about. Any time.
    #[inline]
    pub(crate) fn spared_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.spared.load(Ordering::Relaxed))
    }

    /// Tells of a value of `bytes` bytes that will stay in the log: before it is written there, so that
    /// nobody takes it for memory meanwhile.
    #[inline]
    pub(crate) fn note_long(&self, bytes: usize) {
        if let Some(log) = &self.log {
            let spared = (bytes as u64).saturating_sub(PAGE_BYTES).max(1);
            log.spared.fetch_add(spared, Ordering::Relaxed);
        }
    }

    /// The error of a value in the log that is not what was written. `key` is the entry's, in the arena.
    #[cold]
    pub(super) fn value_lost(&self, key: &[u8]) -> Error {
        const WHAT: &str = "the system did not write out what was stored there, and forgot it";
        let Some(log) = &self.log else { return Error::new(ErrorKind::Corrupt, WHAT) };
        let offset = log.head_bytes + self.arena.place_of(key.as_ptr()) + key.len() as u64;
        Error::corrupt(&filename::log(log.number), log.number.0, offset, WHAT)
    }

    /// Bytes of the arena that were written, about. Any time.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.reserved_bytes().saturating_sub(self.spared_bytes())
    }

    /// How many bytes of the arena may be written.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_limit.unwrap_or_else(|| self.capacity_bytes())
    }

    /// Whether it was made for long values that stay in the log.
    #[inline]
    pub(crate) fn is_sparse(&self) -> bool {
        self.memory_limit.is_some()
    }

    /// After a record was filled that ends at `end`, before it is published: a sparse memtable is full
    /// when so much was written as its memory was meant to be, and its next page is not there yet.
    #[inline]
    pub(crate) fn note_filled(&self, end: u64) {
        let Some(limit) = self.memory_limit else { return };
        self.arena.touch_mark(super::at(end));
        if self.written_bytes() >= limit {
            self.full.store(true, Ordering::Relaxed);
        }
    }
}

impl Slot<'_> {
    /// Says in the record's only entry, whose front of `front` bytes is written, that its value of
    /// `bytes` bytes, [`LONG_BYTES`] or more, stays in the log, where the record was written. Only
    /// where [`Memtable::keeps_values`]; asserted.
    pub(crate) fn leave_value(&mut self, front: usize, bytes: usize, sums: Sums) {
        let memtable = self.memtable();
        let offset = self.place() + (HEADER_BYTES + front) as u64;
        let home = |log: &KeptLog| log.map.lasting(log.head_bytes + offset, bytes);
        let Some(value) = memtable.log.as_ref().and_then(home) else {
            panic!("M9: a value was left where it cannot stay");
        };
        assert!(bytes >= AWAY_BYTES, "a short value stays beside its key");
        Away { value, sums }.store(self.body_mut(), front);
    }
}
