//! Reading blocks that are not in memory.
//!
//! A reader waits for the disk, whatever the length of a read is, as long as that is short. So while
//! the cache has room, a block comes with its neighbours, by one call: after an opening the cache is
//! full after a small part of the waits. When it is full, a block comes alone.
//!
//! Where the page cache could hold no more than the cache does
//! ([`crate::cache::BlockCache::outweighs_page_cache`]), blocks are read past it ([`Direct`]): it would
//! be filled with copies of what is here, each page to be found, accounted and reclaimed for the next.
//! What room it has is used for other blocks, always the same ([`Share`]), as many as it can hold
//! ([`crate::cache::BlockCache::page_cache_share`]). Compactions and new tables are read through the page
//! cache, which has what was just written, and reads ahead.
//!
//! Any thread may call everything.

use std::io::IoSliceMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::Result;
use crate::cache::{Draft, Pin};
use crate::vfs::DirectFile;

use super::format::TRAILER_BYTES;
use super::index::BlockPlace;
use super::read::Source;
use super::section::{For, Section, is_one_page};
use super::share::Share;

/// Blocks that are read together while there is room: those whose number divided by this is the
/// same, if they have at most so many bytes.
const GROUP_BLOCKS: usize = 8;
const GROUP_BYTES: u64 = 40 << 10;
/// What is asked for at once of what the page cache shall hold.
const UNIT_BYTES: u64 = 256 << 10;
/// What is longer goes through the page cache: past it each read has pages of its own.
const DIRECT_BYTES_MAX: usize = 256 << 10;

/// A table file past the system's page cache, as long as that works.
pub(super) struct Direct {
    file: Arc<dyn DirectFile>,
    /// Set once by any reader after an error, read by all; relaxed, because it only spares calls.
    failed: AtomicBool,
}

impl Direct {
    /// Reads will be tried.
    pub(super) fn new(file: Arc<dyn DirectFile>) -> Self {
        Self { file, failed: AtomicBool::new(false) }
    }

    /// Fills all of `bufs` from `offset` on; false if that cannot be had this way.
    pub(super) fn fill(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> bool {
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        if wanted > DIRECT_BYTES_MAX || self.failed.load(Ordering::Relaxed) {
            return false;
        }
        let read = self.file.read(bufs, offset);
        if read.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        read.is_ok_and(|read| read == wanted)
    }
}

impl Section {
    /// Block `i`, which is neither in the cache nor to be used in a mapped file, for a reader.
    pub(super) fn fetch(&self, source: &Source, i: usize, place: BlockPlace) -> Result<Pin> {
        if self.is_shared(source, i) {
            return self.fetch_shared(source, i, place);
        }
        self.wanted.miss();
        if let Some(pin) = self.fetch_group(source, i) {
            return Ok(pin);
        }
        let (which, one_page) = ((self.offset_of(place), place.stored_bytes), is_one_page(place));
        let fits = |decoded: usize| self.fits(place, decoded);
        let block = source.data_block((&self.slots, true), which, one_page, fits)?;
        let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
        Ok(self.enter(page, self.checked(source, i, block)?, For::Reader))
    }

    /// Block `i` of those that the page cache shall hold, through that.
    fn fetch_shared(&self, source: &Source, i: usize, place: BlockPlace) -> Result<Pin> {
        self.ask_for_unit(source, i);
        let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
        let to = if self.share.enters() { For::Reader } else { For::Passing };
        Ok(self.enter(page, self.read_block(source, i, place)?, to))
    }

    /// Whether block `i` is one of those that the page cache shall hold.
    pub(super) fn is_shared(&self, source: &Source, i: usize) -> bool {
        source.direct.is_some()
            && self.slots.outweighs_page_cache()
            && Share::has(source.number, i, self.slots.page_cache_share())
    }

    /// Whether blocks `i` and `i + 1`, the first of which is not in memory, may be read past the page
    /// cache by one call.
    pub(super) fn may_pair(&self, source: &Source, i: usize) -> bool {
        self.index.reach(i, 2, GROUP_BYTES) == i + 2
            && !self.is_cached(i + 1)
            && !self.is_shared(source, i)
            && !self.is_shared(source, i + 1)
            && !self.slots.has_room(2 * GROUP_BYTES)
    }

    /// Asks the system for the unit of block `i`, if nobody did. Returns where the unit ends.
    pub(super) fn ask_for_unit(&self, source: &Source, i: usize) -> usize {
        let (from, end) = Share::unit(i);
        let end = end.min(self.index.len());
        if self.share.ask(i) {
            let begin = self.index.place(from).map_or(0, |place| self.offset_of(place));
            // Of long blocks only so many as can be used soon.
            let last = self.index.reach(from, end - from, UNIT_BYTES).max(from + 1) - 1;
            let last = self.index.place(last).map_or(begin, |place| {
                self.offset_of(place) + place.stored_bytes + TRAILER_BYTES as u64
            });
            source.file.will_need(begin, usize::try_from(last - begin).unwrap_or(0));
        }
        end
    }

    /// Block `i` and those that it comes with.
    fn group(&self, i: usize) -> (usize, usize) {
        let from = i - i % GROUP_BLOCKS;
        let end = self.index.reach(from, GROUP_BLOCKS, GROUP_BYTES);
        if end > i { (from, end) } else { (i, i + 1) }
    }

    /// Block `i` with its neighbours, if there is room for them. None says nothing about the block.
    fn fetch_group(&self, source: &Source, i: usize) -> Option<Pin> {
        // What lies beside it in a mapping is used there.
        if self.is_mapped() || !self.slots.has_room(2 * GROUP_BYTES) {
            return None;
        }
        let (from, end) = self.group(i);
        if end - from == 1 {
            return None;
        }
        let pins = self.read_run(source, (from, end), For::Neighbour).ok()?;
        let pin = pins.into_iter().nth(i - from)?;
        self.slots.missed();
        Some(pin)
    }

    /// Whether blocks are used where they lie in a mapping of the file.
    pub(super) fn is_mapped(&self) -> bool {
        self.spots.is_some()
    }

    /// Block `i`, which the system was asked for.
    pub(super) fn asked_block(&self, source: &Source, i: usize, keep: bool) -> Result<Pin> {
        if let Some(pin) = self.resident(i, keep) {
            return Ok(pin);
        }
        let Some(place) = self.index.place(i) else { return Err(self.bad_block(source, i)) };
        let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
        Ok(self.enter(page, self.read_block(source, i, place)?, For::of(keep)))
    }

    /// Reads blocks `from..end` by one call, and enters them. Stops before one that is damaged, so
    /// that reading it tells what is wrong, if anybody comes to it.
    pub(super) fn read_run(
        &self,
        source: &Source,
        (from, end): (usize, usize),
        to: For,
    ) -> Result<Vec<Pin>> {
        let places: Vec<BlockPlace> = (from..end).map_while(|i| self.index.place(i)).collect();
        let Some(first) = places.first() else { return Ok(Vec::new()) };
        let begin = self.offset_of(*first);
        let room = |place: &BlockPlace| {
            let which = (self.offset_of(*place), place.stored_bytes);
            source.room_for(&self.slots, which, is_one_page(*place)).ok()
        };
        let mut drafts: Vec<Draft> = places.iter().map_while(room).collect();
        let stored = |place: &BlockPlace| {
            usize::try_from(place.stored_bytes).unwrap_or(usize::MAX).saturating_add(TRAILER_BYTES)
        };
        let mut bufs: Vec<IoSliceMut<'_>> = Vec::with_capacity(drafts.len());
        for (draft, place) in drafts.iter_mut().zip(&places) {
            bufs.push(IoSliceMut::new(draft.room().get_mut(..stored(place)).unwrap_or_default()));
        }
        let mut left = source.read_scattered(&mut bufs, begin, matches!(to, For::Neighbour))?;
        drop(bufs);
        let mut pins = Vec::with_capacity(drafts.len());
        for (at, (draft, place)) in drafts.into_iter().zip(&places).enumerate() {
            let Some(rest) = left.checked_sub(stored(place)) else { break };
            left = rest;
            let which = (self.offset_of(*place), place.stored_bytes);
            let fits = |decoded: usize| self.fits(*place, decoded);
            let one_page = is_one_page(*place);
            let decoded = source.decode(&self.slots, draft, which, one_page, fits);
            let Ok(block) = decoded.and_then(|b| self.checked(source, from + at, b)) else { break };
            let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
            pins.push(self.enter(page, block, to));
        }
        Ok(pins)
    }
}
