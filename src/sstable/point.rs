//! Point reads in a section whose table is open: what is in memory, found without waiting.
//!
//! A lookup costs the hash index's line, the block's slot and the entry, one after the other. Each
//! step can be begun early, for several tables and several keys at once:
//! [`PointReader::prefetch`], [`PointReader::place`], [`PointReader::prefetch_place`]. Then
//! [`PointReader::glance`] answers, under an epoch guard, without counting, locking or reading from
//! the disk; what it cannot tell, [`PointReader::get`] can. Any thread may call everything.

use std::sync::Arc;

use crate::base::{Kind, Lsn, Result};
use crate::mem::epoch::Guard;
use crate::mem::prefetch;

use super::block::{Block, BlockEntry, Contradiction};
use super::section::{Section, hash_of};
use super::table::{BlockSlice, Found, Table};

/// Of values from this size on
const LONG_VALUE_BYTES: usize = 1024;
/// so many lines are asked for when they are found: they come while the block is pinned.
const LONG_VALUE_LINES: usize = 12;

/// One section of an open table, loaded.
#[derive(Clone)]
pub(crate) struct PointReader {
    table: Arc<Table>,
    section: Arc<Section>,
}

/// What can be said about a key without waiting.
pub(crate) enum Glance<'g> {
    /// This is its newest entry below the position.
    Entry(Seen<'g>),
    /// The section has none.
    Absent,
    /// A block must be read, or something is wrong: ask [`PointReader::get`].
    Unclear,
}

/// An entry that lies in memory. Tombstones are seen too.
pub(crate) struct Seen<'g> {
    /// What it does.
    pub(crate) kind: Kind,
    /// Milliseconds since 1970 after which it is gone; 0 is never.
    pub(crate) expiry_ms: u64,
    /// Its value, valid while the guard lives.
    pub(crate) value: &'g [u8],
    section: &'g Section,
    page: usize,
    value_at: usize,
}

impl Seen<'_> {
    /// The value for longer than the guard lives; none if its block was evicted meanwhile.
    pub(crate) fn hold(&self) -> Option<BlockSlice> {
        let pin = self.section.pin(self.page)?;
        Some(BlockSlice::new(pin, self.value_at..self.value_at + self.value.len()))
    }
}

/// Where an entry may be: a page, and a byte counted from its begin.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    page: usize,
    at: usize,
}

impl Place {
    /// Page and byte.
    pub(super) fn split(self) -> (usize, usize) {
        (self.page, self.at)
    }
}

impl PointReader {
    pub(super) fn new(table: Arc<Table>, section: Arc<Section>) -> Self {
        Self { table, section }
    }

    /// The open table.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The hash of a key in this table, for the calls that take one.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        hash_of(key, self.section.seed)
    }

    /// Begins to bring the line that decides whether the key may be here into the processor's
    /// cache.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(index) = &self.section.hash {
            index.prefetch(hash);
        } else if let Some(filter) = &self.section.filter {
            filter.prefetch(hash);
        }
    }

    /// Whether the key may be here.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match (&self.section.hash, &self.section.filter) {
            (Some(index), _) => index.candidates(hash).next().is_some(),
            (None, Some(filter)) => filter.may_contain(hash),
            (None, None) => true,
        }
    }

    /// Where the hash index says that the key may be, first of all; none without such an index.
    /// Begins to bring the slot of the block there into the processor's cache.
    #[inline]
    pub(crate) fn place(&self, hash: u64) -> Option<Place> {
        let place = self.section.hash.as_ref()?.candidates(hash).next()?;
        let place = self.section.page_of(place);
        self.section.prefetch_page(place.page);
        Some(place)
    }

    /// Begins to bring the lines of an entry into the processor's cache.
    #[inline]
    pub(crate) fn prefetch_place(&self, place: Place) {
        match &self.section.spots {
            Some(spots) => spots.prefetch_block(place.page, place.at),
            None => self.section.slots.prefetch_block(place.page, place.at),
        }
    }

    /// Looks for the newest entry of `key` below `below` in what is in memory.
    #[inline(always)]
    pub(crate) fn glance<'g>(
        &'g self,
        hash: u64,
        key: &[u8],
        below: Lsn,
        guard: &'g Guard,
    ) -> Glance<'g> {
        self.section.glance(hash, key, below, guard)
    }

    /// The newest entry of `key` below `below`, read from the disk if need be.
    ///
    /// # Errors
    /// As for [`Table::point_reader`].
    pub(crate) fn get(&self, key: &[u8], below: Lsn) -> Result<Option<Found>> {
        self.section.get(&self.table.source, key, below)
    }
}

impl Section {
    /// The page of a place that the hash index names.
    #[inline]
    pub(super) fn page_of(&self, place: u32) -> Place {
        let page = match self.page_shift {
            Some(shift) => place >> shift.get(),
            None => place / self.page_places,
        };
        let at = place - page * self.page_places;
        Place { page: page as usize, at: at as usize * 8 }
    }

    #[inline(always)]
    fn glance<'g>(&'g self, hash: u64, key: &[u8], below: Lsn, guard: &'g Guard) -> Glance<'g> {
        if let Some(index) = &self.hash {
            for place in index.candidates(hash) {
                let place = self.page_of(place);
                // Not resident, or the page is not the first of its block.
                let found = match self.peek(place.page, place.at, guard) {
                    Some(bytes) => Some((bytes, place)),
                    None => self.peek_block_of_page(place, guard),
                };
                let Some((bytes, place)) = found else { return Glance::Unclear };
                let Some(block) = Block::parse(bytes) else { return Glance::Unclear };
                match block.entry_of(place.at, key) {
                    None => {}
                    Some(entry) if entry.number < below.0 => {
                        return Glance::Entry(self.seen(&entry, place.page));
                    }
                    // The newest version is too new; the others follow it, perhaps far away.
                    Some(_) => return self.glance_by_index(key, below, guard),
                }
            }
            return Glance::Absent;
        }
        match &self.filter {
            Some(filter) if !filter.may_contain(hash) => Glance::Absent,
            _ => self.glance_by_index(key, below, guard),
        }
    }

    /// The block that a page belongs to, and the same place in it.
    #[cold]
    fn peek_block_of_page<'g>(
        &'g self,
        place: Place,
        guard: &'g Guard,
    ) -> Option<(&'g [u8], Place)> {
        let block = self.index.block_of_page(u32::try_from(place.page).ok()?)?;
        let first = usize::try_from(self.index.place(block)?.pages.0).ok()?;
        let before = place.page.checked_sub(first)?.checked_mul(self.page_bytes)?;
        let at = before + place.at;
        Some((self.peek(first, at, guard)?, Place { page: first, at }))
    }

    fn glance_by_index<'g>(&'g self, key: &[u8], below: Lsn, guard: &'g Guard) -> Glance<'g> {
        let Some(number) = below.0.checked_sub(1) else { return Glance::Absent };
        let i = self.index.seek(key, number);
        if i == self.index.len() {
            return Glance::Absent;
        }
        let peeked = self.index.place(i).and_then(|place| {
            let page = usize::try_from(place.pages.0).ok()?;
            Some((page, Block::parse(self.peek(page, 0, guard)?)?))
        });
        let Some((page, block)) = peeked else { return Glance::Unclear };
        match block.find(key, number) {
            Ok(Some(entry)) => Glance::Entry(self.seen(&entry, page)),
            Ok(None) => Glance::Absent,
            Err(Contradiction) => Glance::Unclear,
        }
    }

    #[inline(always)]
    fn seen<'g>(&'g self, entry: &BlockEntry<'g>, page: usize) -> Seen<'g> {
        let BlockEntry { kind, expiry_ms, value, value_at, .. } = *entry;
        if value.len() >= LONG_VALUE_BYTES {
            (0..LONG_VALUE_LINES).for_each(|line| prefetch(value.as_ptr().wrapping_add(64 * line)));
        }
        Seen { kind, expiry_ms, value, section: self, page, value_at }
    }
}
