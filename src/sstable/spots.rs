//! Blocks of a mapped table, used where they lie: no copy, no place in the cache, no eviction.
//!
//! A *spot* says for a page of the section where the block that begins there lies in the file. The
//! first read of a block checks it as one that was read from the disk is checked (T3, T5, T7) and
//! marks the spot; later reads take the bytes as they are. So a block is checked once for each
//! opening of its table, and what happens to the file after that is not seen.
//!
//! Compressed blocks go through the cache. Any thread may call everything.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::coding::u32_of;
use crate::cache::{Anchors, Pin};
use crate::mem::prefetch;
use crate::vfs::{Expect, TableMap};

use super::index::Index;
use super::section::Section;

/// Not looked at yet, or not the first page of a block.
const UNKNOWN: u32 = 0;
/// Checked, and used where it lies.
const CHECKED: u32 = 1;
/// Compressed.
const ELSEWHERE: u32 = 2;
/// Blocks that are longer on average are read whole from the disk, with their neighbours.
const LONG_BYTES: u64 = 32 << 10;

/// The spots of one section.
pub(super) struct Spots {
    anchors: Anchors,
    /// One for each page.
    pages: Box<[Spot]>,
    /// Blocks are long on average.
    is_long: bool,
}

struct Spot {
    /// Where the stored bytes begin in the file.
    begin: usize,
    /// How many there are.
    bytes: u32,
    /// Written by whoever has checked the block, read by all who want it; relaxed, because the
    /// bytes themselves were in the file before and do not change.
    state: AtomicU32,
}

impl Spots {
    /// Spots for the blocks of `index`, which begin at byte `at` of the mapped file. None if they
    /// do not all lie inside.
    pub(super) fn new(map: &Arc<TableMap>, index: &Index, at: u64) -> Option<Self> {
        let pages = usize::try_from(index.pages()).ok()?;
        let mut spots = Vec::with_capacity(pages);
        for i in 0..index.len() {
            let place = index.place(i)?;
            let begin = usize::try_from(at.checked_add(place.offset)?).ok()?;
            let bytes = usize::try_from(place.stored_bytes).ok()?;
            map.bytes().get(begin..begin.checked_add(bytes)?)?;
            spots.push(Spot { begin, bytes: u32_of(bytes), state: AtomicU32::new(UNKNOWN) });
            let end = usize::try_from(place.pages.1).ok()?;
            let filler = || Spot { begin: 0, bytes: 0, state: AtomicU32::new(UNKNOWN) };
            spots.resize_with(end, filler);
        }
        let all = spots.first()?.begin..usize::try_from(at).ok()? + index_bytes(index)?;
        let is_long = all.len() as u64 / (index.len() as u64).max(1) >= LONG_BYTES;
        if !is_long {
            map.expect(all, Expect::Random);
        }
        Some(Self { anchors: Anchors::new(Arc::clone(map)), pages: spots.into(), is_long })
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.len() * size_of::<Spot>()
    }

    /// Where the block that begins at `page` lies, if it was checked.
    #[inline]
    fn checked(&self, page: usize) -> Option<Range<usize>> {
        let spot = self.pages.get(page)?;
        let is_checked = spot.state.load(Ordering::Relaxed) == CHECKED;
        is_checked.then_some(spot.begin..spot.begin + spot.bytes as usize)
    }

    /// The checked block that begins at `page`. What lies at byte `at` comes into the processor's
    /// cache together with the beginning.
    #[inline]
    pub(super) fn peek(&self, page: usize, at: usize) -> Option<&[u8]> {
        let block = self.anchors.map().bytes().get(self.checked(page)?)?;
        prefetch_parts(block, at);
        Some(block)
    }

    /// The same, held for longer than this is borrowed.
    #[inline]
    pub(super) fn pin(&self, page: usize) -> Option<Pin> {
        self.anchors.pin(self.checked(page)?)
    }

    /// Begins to bring the spot of `page` into the processor's cache.
    #[inline]
    pub(super) fn prefetch(&self, page: usize) {
        if let Some(spot) = self.pages.get(page) {
            prefetch(spot);
        }
    }

    /// Begins to bring the first line of a checked block, and what lies at byte `at`, into the
    /// processor's cache.
    #[inline]
    pub(super) fn prefetch_block(&self, page: usize, at: usize) {
        if let Some(range) = self.checked(page) {
            prefetch_parts(self.anchors.map().bytes().get(range).unwrap_or_default(), at);
        }
    }

    /// Whether the block that begins at `page` may be used where it lies.
    pub(super) fn has(&self, page: usize) -> bool {
        let usable = |spot: &Spot| spot.state.load(Ordering::Relaxed) != ELSEWHERE;
        self.pages.get(page).is_some_and(usable)
    }

    /// The mapped file.
    pub(super) fn file(&self) -> &TableMap {
        self.anchors.map()
    }

    /// Notes that the block that begins at `page` was checked, or that it is `compressed`.
    pub(super) fn mark(&self, page: usize, compressed: bool) {
        if let Some(spot) = self.pages.get(page) {
            spot.state.store(if compressed { ELSEWHERE } else { CHECKED }, Ordering::Relaxed);
        }
    }

    /// Begins to fetch blocks `from..to` of the section from the disk; long ones come by
    /// themselves.
    pub(super) fn will_need(&self, section: &Section, from: usize, to: usize) {
        let spot = |i: usize| self.pages.get(section.index.first_page(i)?);
        let last = to.checked_sub(1).filter(|last| *last >= from).and_then(spot);
        if let (Some(first), Some(last), false) = (spot(from), last, self.is_long) {
            self.file().expect(first.begin..last.begin + last.bytes as usize, Expect::Soon);
        }
    }
}

/// Bytes of all data blocks.
fn index_bytes(index: &Index) -> Option<usize> {
    let last = index.place(index.len().checked_sub(1)?)?;
    usize::try_from(last.offset.checked_add(last.stored_bytes)?).ok()
}

#[inline]
fn prefetch_parts(block: &[u8], at: usize) {
    prefetch(block.as_ptr());
    for line in 0..3 {
        prefetch(block.as_ptr().wrapping_add(at + 64 * line));
    }
}
