//! One section of an open table, loaded: its properties, indexes and cache slots.
//!
//! Loading reads properties, block index, and the hash index or else the filter; data blocks are
//! read when they are asked for. Everything but the slots is immutable, and the slots are the
//! cache's; any thread may call everything.

use std::num::NonZeroU8;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::{Error, Kind, Lsn, Result};
use crate::cache::{BlockCache, Draft, Pin, Slots};
use crate::mem::epoch::Guard;

use super::ahead::Pairs;
use super::block::{Block, BlockEntry, Contradiction, add_heads};
use super::expect::Tail;
use super::filter::Filter;
use super::format::{BlockKind, SectionPlace, TRAILER_BYTES};
use super::hash_index::HashIndex;
use super::index::{BlockPlace, Index};
use super::properties::{self, Properties};
use super::read::Source;
use super::share::Share;
use super::spots::Spots;
use super::table::{BlockSlice, Found};
use super::warm::Wanted;

/// The hash that filter and hash index of file `file_id` use. Seeded, so that nobody can choose
/// keys that collide.
#[inline]
pub(super) fn hash_of(key: &[u8], file_id: u64) -> u64 {
    xxh3_64_with_seed(key, file_id)
}

/// Where the parts of a section begin; 0 bytes is no such part.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) index: u64,
    pub(super) hash: u64,
    pub(super) filter: u64,
}

/// Who wants a block that is read.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// A reader: the cache counts a miss and keeps it if it can.
    Reader,
    /// Somebody who passes once, such as a compaction: nothing is pushed out for it.
    Passing,
    /// Nobody yet: the cache keeps it if it can, and counts nothing.
    Nobody,
    /// Nobody yet, but readers wait for others of its table: it may be read past the page cache.
    Neighbour,
}

impl For {
    /// Whoever keeps blocks is a reader.
    pub(super) fn of(keep: bool) -> Self {
        if keep { Self::Reader } else { Self::Passing }
    }
}

/// A loaded section.
pub(super) struct Section {
    pub(super) place: SectionPlace,
    pub(super) properties: Properties,
    pub(super) parts: Parts,
    pub(super) index: Index,
    pub(super) hash: Option<HashIndex>,
    pub(super) filter: Option<Filter>,
    /// Seeds the hashes of keys.
    pub(super) seed: u64,
    /// Bytes of a page, a multiple of 8.
    pub(super) page_bytes: usize,
    /// The same divided by 8.
    pub(super) page_places: u32,
    /// Its logarithm, if it is a power of two.
    pub(super) page_shift: Option<NonZeroU8>,
    /// One for each page; a block uses that of its first page.
    pub(super) slots: Slots,
    /// Where blocks lie in the mapped file, if it is mapped.
    pub(super) spots: Option<Spots>,
    /// What is left to the page cache, if the file is read past that.
    pub(super) share: Share,
    /// How much of it is to be brought into the cache.
    pub(super) wanted: Wanted,
    pub(super) pairs: Pairs,
    pub(super) tail: Tail,
}

impl Section {
    /// Reads what is needed before the first lookup.
    pub(super) fn load(
        source: &Source,
        place: SectionPlace,
        cache: &Arc<BlockCache>,
    ) -> Result<Self> {
        let (properties, parts) = load_properties(source, place)?;
        let stored = u64::from(properties.index_bytes);
        let bytes = source.block(BlockKind::Index, parts.index, stored, |_| true)?;
        let page_bytes = usize::try_from(properties.options.block_bytes).unwrap_or(usize::MAX);
        let Some(index) = Index::decode(bytes, properties.data_bytes, page_bytes) else {
            return Err(source.corrupt_block(BlockKind::Index, parts.index, NONSENSE));
        };
        let saves = cache.is_short() && properties.filter_bytes > 0 && source.map.is_none();
        let hash = if saves { None } else { load_hash(source, &properties, parts.hash)? };
        let filter =
            if hash.is_some() { None } else { load_filter(source, &properties, parts.filter)? };
        let pages = usize::try_from(index.pages()).unwrap_or(0);
        let slots = Slots::new(cache, pages);
        let spots = source.map.as_ref().and_then(|map| Spots::new(map, &index, place.begin));
        let share = Share::new(if source.direct.is_some() { index.len() } else { 0 });
        let page_places = (properties.options.block_bytes / 8).max(1);
        let shift = page_places.trailing_zeros().to_le_bytes()[0];
        let page_shift = NonZeroU8::new(shift).filter(|_| page_places.is_power_of_two());
        let seed = source.file_id;
        let tail = Tail::new(&properties, &index);
        Ok(Self {
            place,
            properties,
            parts,
            index,
            hash,
            filter,
            seed,
            page_bytes,
            page_places,
            page_shift,
            slots,
            spots,
            share,
            wanted: Wanted::default(),
            pairs: Pairs::default(),
            tail,
        })
    }

    /// Bytes of the indexes and the filter in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
            + self.hash.as_ref().map_or(0, HashIndex::memory_bytes)
            + self.filter.as_ref().map_or(0, Filter::memory_bytes)
            + self.spots.as_ref().map_or(0, Spots::memory_bytes)
    }

    /// The newest entry of `key` with a number below `below`.
    pub(super) fn get(&self, source: &Source, key: &[u8], below: Lsn) -> Result<Option<Found>> {
        if let Some(hash) = &self.hash {
            return self.get_by_hash(source, hash, key, below);
        }
        if let Some(filter) = &self.filter {
            if !filter.may_contain(hash_of(key, source.file_id)) {
                return Ok(None);
            }
        }
        self.get_by_index(source, key, below)
    }

    fn get_by_hash(
        &self,
        source: &Source,
        hash: &HashIndex,
        key: &[u8],
        below: Lsn,
    ) -> Result<Option<Found>> {
        for place in hash.candidates(hash_of(key, source.file_id)) {
            let (page, at) = self.page_of(place).split();
            let (pin, at) = match self.pin(page) {
                Some(pin) => (pin, at),
                // Not resident, or the page is not the first of its block.
                None => self.block_of_page(source, page, at)?,
            };
            let Some(block) = Block::parse(&pin) else { return Err(self.bad_place(source)) };
            let Some(hit) = block.entry_of(at, key).map(|entry| Hit::new(&entry)) else { continue };
            if hit.number < below.0 {
                return Ok(Some(hit.found(pin)));
            }
            // The newest version is too new; the others follow it, perhaps many blocks long.
            return self.get_by_index(source, key, below);
        }
        Ok(None)
    }

    /// The block that `page` belongs to, and byte `at` of the page counted from its begin.
    #[cold]
    fn block_of_page(&self, source: &Source, page: usize, at: usize) -> Result<(Pin, usize)> {
        let block = u32::try_from(page).ok().and_then(|page| self.index.block_of_page(page));
        let place = block.and_then(|i| Some((i, self.index.place(i)?)));
        let Some((i, place)) = place else { return Err(self.bad_place(source)) };
        let first = usize::try_from(place.pages.0).unwrap_or(page);
        Ok((self.block(source, i, true)?, (page - first) * self.page_bytes + at))
    }

    fn bad_place(&self, source: &Source) -> Error {
        source.corrupt_block(BlockKind::Hash, self.parts.hash, "it names a place that is none")
    }

    fn get_by_index(&self, source: &Source, key: &[u8], below: Lsn) -> Result<Option<Found>> {
        let Some(number) = below.0.checked_sub(1) else { return Ok(None) };
        let i = self.index.seek(key, number);
        if i == self.index.len() {
            return Ok(None);
        }
        let pin = self.block(source, i, true)?;
        let hit = match Block::parse(&pin).ok_or(Contradiction).and_then(|b| b.find(key, number)) {
            Ok(entry) => entry.map(|entry| Hit::new(&entry)),
            Err(Contradiction) => return Err(self.bad_block(source, i)),
        };
        Ok(hit.map(|hit| hit.found(pin)))
    }

    /// Block `i`, from memory or from the file. With `keep` it is offered to the cache, or used
    /// where it lies in a mapped file.
    #[inline]
    pub(super) fn block(&self, source: &Source, i: usize, keep: bool) -> Result<Pin> {
        match self.resident(i, keep) {
            Some(pin) => Ok(pin),
            None => self.absent_block(source, i, keep),
        }
    }

    /// Block `i` if it is in memory. Whoever does not `keep` blocks reads through no mapping: a bad
    /// sector is an error for a compaction, not a signal.
    #[inline]
    pub(super) fn resident(&self, i: usize, keep: bool) -> Option<Pin> {
        let page = self.index.first_page(i)?;
        if keep { self.pin(page) } else { self.slots.get(page) }
    }

    /// Whether block `i` is in the cache at the moment.
    pub(super) fn is_cached(&self, i: usize) -> bool {
        self.index.first_page(i).is_some_and(|page| self.slots.holds(page))
    }

    /// The block that begins at `page` if it is in the cache, or was read through the mapping.
    #[inline]
    pub(super) fn pin(&self, page: usize) -> Option<Pin> {
        let mapped = self.spots.as_ref().and_then(|spots| spots.pin(page));
        mapped.or_else(|| self.slots.get(page))
    }

    /// The same under a guard, which keeps it. What lies at byte `at` comes into the processor's
    /// cache together with the beginning.
    #[inline]
    pub(super) fn peek<'g>(&'g self, page: usize, at: usize, guard: &'g Guard) -> Option<&'g [u8]> {
        let mapped = self.spots.as_ref().and_then(|spots| spots.peek(page, at));
        mapped.or_else(|| self.slots.peek(page, at, guard))
    }

    /// Begins to bring into the cache what [`Self::resident`] reads.
    #[inline]
    pub(super) fn prefetch_slot(&self, i: usize) {
        if let Some(page) = self.index.first_page(i) {
            self.prefetch_page(page);
        }
    }

    /// Begins to bring into the cache what says where the block at `page` is.
    #[inline]
    pub(super) fn prefetch_page(&self, page: usize) {
        match &self.spots {
            Some(spots) => spots.prefetch(page),
            None => self.slots.prefetch_slot(page),
        }
    }

    #[cold]
    pub(super) fn absent_block(&self, source: &Source, i: usize, keep: bool) -> Result<Pin> {
        let Some(place) = self.index.place(i) else { return Err(self.bad_block(source, i)) };
        let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
        match &self.spots {
            Some(spots) if keep && spots.has(page) => {
                if let Some(pin) = self.check_mapped(source, spots, i, place)? {
                    return Ok(pin);
                }
            }
            _ => {}
        }
        if keep {
            return self.fetch(source, i, place);
        }
        Ok(self.enter(page, self.read_block(source, i, place)?, For::Passing))
    }

    /// Gives a block that was read to those who want it.
    pub(super) fn enter(&self, page: usize, mut draft: Draft, to: For) -> Pin {
        if matches!(to, For::Passing) {
            return self.slots.private(draft);
        }
        let bytes = draft.len();
        let with_heads = add_heads(draft.room(), bytes);
        draft.set_len(with_heads);
        if matches!(to, For::Reader) {
            self.slots.fill(page, draft)
        } else {
            self.slots.offer(page, draft)
        }
    }

    /// Block `i` where it lies in the mapped file, checked; none if it is compressed.
    fn check_mapped(
        &self,
        source: &Source,
        spots: &Spots,
        i: usize,
        place: BlockPlace,
    ) -> Result<Option<Pin>> {
        let page = usize::try_from(place.pages.0).unwrap_or(usize::MAX);
        let which = (BlockKind::Data, self.offset_of(place), place.stored_bytes);
        let fits = |decoded: usize| self.fits(place, decoded);
        let Some(bytes) = source.mapped_block(spots.file(), which, fits)? else {
            spots.mark(page, true);
            return Ok(None);
        };
        if !Block::parse(bytes).is_some_and(|block| block.check()) {
            return Err(self.bad_block(source, i));
        }
        spots.mark(page, false);
        Ok(spots.pin(page))
    }

    /// Where a block begins in the file.
    pub(super) fn offset_of(&self, place: BlockPlace) -> u64 {
        self.place.begin.saturating_add(place.offset)
    }

    /// Whether a block of this decoded length takes the pages that the index says.
    pub(super) fn fits(&self, place: BlockPlace, decoded: usize) -> bool {
        let pages = usize::try_from(place.pages.1 - place.pages.0).unwrap_or(usize::MAX);
        decoded.div_ceil(self.page_bytes) == pages
    }

    /// Reads block `i` from the file, past the cache, and checks its layout (T7).
    pub(super) fn read_block(&self, source: &Source, i: usize, place: BlockPlace) -> Result<Draft> {
        let fits = |decoded: usize| self.fits(place, decoded);
        let which = (self.offset_of(place), place.stored_bytes);
        let block = source.data_block((&self.slots, false), which, is_one_page(place), fits)?;
        self.checked(source, i, block)
    }

    pub(super) fn checked(&self, source: &Source, i: usize, block: Draft) -> Result<Draft> {
        match Block::parse(&block) {
            Some(parsed) if parsed.check() => Ok(block),
            _ => Err(self.bad_block(source, i)),
        }
    }

    /// The error for a block that passed its checksum and makes no sense.
    pub(super) fn bad_block(&self, source: &Source, i: usize) -> Error {
        let offset = self.index.place(i).map_or(0, |place| self.offset_of(place));
        source.corrupt_block(BlockKind::Data, offset, NONSENSE)
    }
}

/// Whether a block may have many entries: longer ones have one.
pub(super) fn is_one_page(place: BlockPlace) -> bool {
    place.pages.1 - place.pages.0 == 1
}

/// What is wrong with a block whose checksum is right.
const NONSENSE: &str = "the checksum is right, but the content contradicts itself";

/// An entry that was found, without its block.
struct Hit {
    number: u64,
    kind: Kind,
    expiry_ms: u64,
    value: std::ops::Range<usize>,
}

impl Hit {
    #[inline]
    fn new(entry: &BlockEntry<'_>) -> Self {
        let BlockEntry { number, kind, expiry_ms, .. } = *entry;
        Self { number, kind, expiry_ms, value: entry.value_at..entry.value_at + entry.value.len() }
    }

    /// With the block that it was found in.
    #[inline]
    fn found(self, pin: Pin) -> Found {
        Found {
            #[cfg(test)]
            number: self.number,
            kind: self.kind,
            expiry_ms: self.expiry_ms,
            value: BlockSlice::new(pin, self.value),
        }
    }
}

/// Where the properties begin; they end the section.
pub(super) fn properties_at(place: SectionPlace) -> u64 {
    place.end.saturating_sub(u64::from(place.properties_bytes) + TRAILER_BYTES as u64)
}

/// Reads the properties and lays out the parts, which must fill the section exactly (T6).
fn load_properties(source: &Source, place: SectionPlace) -> Result<(Properties, Parts)> {
    let stored = u64::from(place.properties_bytes);
    let at = properties_at(place);
    let block = source.block(BlockKind::Properties, at, stored, |_| true)?;
    let name = source.file.name();
    let decoded = properties::decode(&block, place.end - place.begin, name)
        .map_err(|error| error.at(source.number.0, at))?;
    let laid_out = decoded.and_then(|properties| {
        let parts = lay_out(&properties, place, at)?;
        (properties.meta.keyspace == place.keyspace).then_some((properties, parts))
    });
    laid_out.ok_or_else(|| source.corrupt_block(BlockKind::Properties, at, NONSENSE))
}

fn lay_out(properties: &Properties, place: SectionPlace, end_at: u64) -> Option<Parts> {
    let index = place.begin.checked_add(properties.data_bytes)?;
    let after = |at: u64, bytes: u32| match bytes {
        0 => Some(at),
        _ => at.checked_add(u64::from(bytes) + TRAILER_BYTES as u64),
    };
    let hash = after(index, properties.index_bytes)?;
    let filter = after(hash, properties.hash_bytes)?;
    let end = after(filter, properties.filter_bytes)?;
    (end == end_at).then_some(Parts { index, hash, filter })
}

/// The hash index, or none if the section has none.
pub(super) fn load_hash(
    source: &Source,
    properties: &Properties,
    at: u64,
) -> Result<Option<HashIndex>> {
    if properties.hash_bytes == 0 {
        return Ok(None);
    }
    let block = source.block(BlockKind::Hash, at, u64::from(properties.hash_bytes), |_| true)?;
    match HashIndex::decode(&block, u32::from(properties.place_bits)) {
        Some(hash) => Ok(Some(hash)),
        None => Err(source.corrupt_block(BlockKind::Hash, at, NONSENSE)),
    }
}

/// The filter, or none if the section has none.
pub(super) fn load_filter(
    source: &Source,
    properties: &Properties,
    at: u64,
) -> Result<Option<Filter>> {
    if properties.filter_bytes == 0 {
        return Ok(None);
    }
    let block =
        source.block(BlockKind::Filter, at, u64::from(properties.filter_bytes), |_| true)?;
    match Filter::decode(&block, u32::from(properties.filter_probes)) {
        Some(filter) => Ok(Some(filter)),
        None => Err(source.corrupt_block(BlockKind::Filter, at, NONSENSE)),
    }
}
