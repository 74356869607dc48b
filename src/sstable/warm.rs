//! Bringing blocks into the cache before readers come for them.
//!
//! Whoever calls this found that there is room; nothing is evicted for it. What was just written is
//! brought in as its writer says. Of other tables, nobody knows what is wanted but their readers: so
//! many blocks are brought in for each that a reader had to wait for ([`Wanted`]). With few readers a
//! table is left alone, and with many the cache is full long before they have filled it, a block or
//! a group at a time.
//!
//! Any thread may call everything, but one at a time brings in what is wanted.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ahead::{BLOCKS_MAX, BYTES_MAX};
use super::read::Source;
use super::section::{For, Section};

/// Blocks that are brought in for each that a reader waited for.
const BLOCKS_PER_MISS: usize = 16;
/// What one call reads at most past the page cache.
const DIRECT_BLOCKS_MAX: usize = 32;
const DIRECT_BYTES_MAX: u64 = 128 << 10;

/// How much of a section readers want in memory.
#[derive(Default)]
pub(super) struct Wanted {
    /// Blocks that they waited for. Counted by readers, read by the worker that brings blocks in;
    /// relaxed, a hint.
    misses: AtomicUsize,
    /// The block that is looked at next. Written and read by that worker.
    next: AtomicUsize,
}

impl Wanted {
    /// A reader waits for a block.
    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// The next block to bring in; none if nothing more is wanted now.
    fn next(&self) -> Option<usize> {
        let misses = self.misses.load(Ordering::Relaxed);
        let next = self.next.load(Ordering::Relaxed);
        (next < misses.saturating_mul(BLOCKS_PER_MISS)).then_some(next)
    }
}

impl Section {
    /// Brings the next blocks from `from` on that are not in the cache there, by one call. Returns
    /// where to go on; none if there is nothing left to do, a block cannot be read, or it has more
    /// than `room` bytes in memory.
    pub(super) fn warm(&self, source: &Source, from: usize, room: u64) -> Option<usize> {
        let from = (from..self.index.len()).find(|i| !self.is_cached(*i))?;
        let reach = self.index.reach(from, BLOCKS_MAX, BYTES_MAX);
        self.bring(source, (from, reach), room, For::Nobody)
    }

    /// Brings in some blocks that readers want; false if there are none.
    pub(super) fn warm_wanted(&self, source: &Source, room: u64) -> bool {
        let Some(next) = self.wanted.next() else { return false };
        let end = self.index.len();
        let from = (next..end).find(|i| !self.is_cached(*i));
        let Some(from) = from else {
            self.wanted.next.store(usize::MAX, Ordering::Relaxed);
            return false;
        };
        // What cannot be had is left to its reader.
        let done = self.bring_wanted(source, from, room);
        self.wanted.next.store(done.unwrap_or(from + 1), Ordering::Relaxed);
        done.is_some()
    }

    fn bring_wanted(&self, source: &Source, from: usize, room: u64) -> Option<usize> {
        if self.is_shared(source, from) {
            return Some(self.ask_for_unit(source, from));
        }
        let (blocks, bytes) = match source.direct {
            Some(_) => (DIRECT_BLOCKS_MAX, DIRECT_BYTES_MAX),
            None => (BLOCKS_MAX, BYTES_MAX),
        };
        let reach = self.index.reach(from, blocks, bytes);
        let reach = (from + 1..reach).find(|i| self.is_shared(source, *i)).unwrap_or(reach);
        self.bring(source, (from, reach), room, For::Neighbour)
    }

    /// Brings in the blocks of a range up to one that is there, by one call.
    fn bring(
        &self,
        source: &Source,
        (from, reach): (usize, usize),
        room: u64,
        to: For,
    ) -> Option<usize> {
        let first_page = self.index.place(from)?.pages.0;
        let fits = |i: &usize| {
            let page_bytes = self.page_bytes as u64;
            let end = self.index.place(*i).map(|place| u64::from(place.pages.1 - first_page));
            !self.is_cached(*i) && end.is_some_and(|end| end.saturating_mul(page_bytes) <= room)
        };
        let end = (from..reach).take_while(fits).last()? + 1;
        let pins = self.read_run(source, (from, end), to).ok()?;
        (!pins.is_empty()).then_some(from + pins.len())
    }
}
