//! Writes one section: collects a block of entries, then its indexes and filter.
//!
//! 1. An entry joins the pending block if the block, encoded, stays within `block_bytes`; else the
//!    block is written first. An entry that is longer alone becomes a block of its own.
//! 2. A written block enters the block index when the key after it is known.
//! 3. At the end: block index, hash index, filter, properties.

use crate::base::coding::u32_of;
use crate::base::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::base::meta::SectionMeta;
use crate::base::mutant::mutant;
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{Entry, Error, ErrorKind, KeyspaceId, Kind, Result};
use crate::mem::Held;

use super::encode;
use super::filter::Filter;
use super::format::{BlockKind, SectionPlace};
use super::hash_index::{HashIndex, PLACE_BITS_MAX};
use super::index::{IndexBuilder, shared};
use super::output::Output;
use super::pending::Pending;
use super::properties::{self, BLOCK_BYTES_RANGE, Properties};
use super::section::hash_of;

/// Values from this length on are written from where they are, if they can be held. Less in tests,
/// whose crashes and faults shall meet such writes.
const HELD_BYTES_MIN: usize = if cfg!(test) { 1024 } else { 4096 };

/// The section that is being written.
pub(super) struct SectionBuilder {
    options: KeyspaceOptions,
    /// Bytes of a page.
    page_bytes: usize,
    begin: u64,
    meta: SectionMeta,
    index: IndexBuilder,
    pending: Pending,
    /// Key and number of the last entry of the last block written, if there is one.
    last: Option<(Vec<u8>, u64)>,
    /// Offset from the section's begin and first page of the last block, until it is indexed.
    unindexed: Option<(u64, u32)>,
    pages: u32,
    /// Hash of each distinct key, and the place of its newest entry once that is written.
    hashes: Vec<u64>,
    places: Vec<u32>,
    /// A block that is to be compressed, or what lies in front of and behind the value of a block
    /// of one entry; kept for their memory.
    encoded: Vec<u8>,
    tail: Vec<u8>,
}

/// What [`SectionBuilder::write_indexes`] wrote.
struct Written {
    data_bytes: u64,
    index_bytes: u32,
    hash: Option<(u32, u8)>,
    filter: Option<(u32, u8)>,
}

impl SectionBuilder {
    /// Begins a section at offset `begin`. A block size out of range is brought into it.
    pub(super) fn new(keyspace: KeyspaceId, options: &KeyspaceOptions, begin: u64) -> Self {
        let (least, most) = (*BLOCK_BYTES_RANGE.start(), *BLOCK_BYTES_RANGE.end());
        let block_bytes = options.block_bytes.clamp(least, most).next_multiple_of(8);
        let meta = SectionMeta {
            keyspace,
            smallest: Vec::new(),
            largest: Vec::new(),
            smallest_number: u64::MAX,
            largest_number: 0,
            entries: 0,
            tombstones: 0,
            bytes: 0,
            raw_bytes: 0,
        };
        Self {
            options: KeyspaceOptions { block_bytes, ..options.clone() },
            page_bytes: block_bytes as usize,
            begin,
            meta,
            index: IndexBuilder::default(),
            pending: Pending::default(),
            last: None,
            unindexed: None,
            pages: 0,
            hashes: Vec::new(),
            places: Vec::new(),
            encoded: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// Length of the block that is being filled, if it were written now.
    #[inline]
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.block_bytes()
    }

    /// Adds the next entry; see [`super::TableBuilder::add_holding`].
    pub(super) fn add(
        &mut self,
        entry: &Entry<'_>,
        hold: impl FnOnce() -> Option<Held>,
        file_id: u64,
        output: &mut Output,
    ) -> Result<()> {
        check_entry(entry)?;
        let (alike, is_newest) = self.follow(entry)?;
        let fits = self.pending.push(entry, alike, is_newest, self.page_bytes);
        if !fits {
            self.write_pending(output)?;
        }
        if let Some((offset, page)) = self.unindexed.take() {
            if let Some((key, number)) = &self.last {
                self.index.add(offset, page, (key, *number), Some(entry.key));
            }
        }
        self.count(entry);
        if is_newest {
            self.hashes.push(hash_of(entry.key, file_id));
        }
        if !fits && !self.pending.push(entry, 0, is_newest, self.page_bytes) {
            return self.write_alone(entry, is_newest, hold, output);
        }
        Ok(())
    }

    /// How many bytes the next entry's key shares with the last one's, and whether it is another.
    #[inline]
    fn follow(&self, entry: &Entry<'_>) -> Result<(usize, bool)> {
        let on_disk = || self.last.as_ref().map(|(key, number)| (&key[..], *number));
        let Some((key, number)) = self.pending.last().or_else(on_disk) else {
            return Ok((0, true));
        };
        let alike = shared(key, entry.key);
        let is_newest = alike < key.len().max(entry.key.len());
        let ascends =
            if is_newest { key.get(alike) < entry.key.get(alike) } else { number > entry.number };
        if !ascends {
            let text = "entries were added to a table out of order (T8)";
            return Err(Error::new(ErrorKind::Internal, text));
        }
        Ok((alike, is_newest))
    }

    /// Ends the section; none if it has no entries.
    pub(super) fn finish(
        mut self,
        output: &mut Output,
        paranoid: bool,
    ) -> Result<Option<(SectionMeta, SectionPlace)>> {
        self.write_pending(output)?;
        let Some((largest, number)) = self.last.take() else { return Ok(None) };
        if let Some((offset, page)) = self.unindexed.take() {
            self.index.add(offset, page, (&largest, number), None);
        }
        let written = self.write_indexes(output, paranoid)?;
        self.meta.largest = largest;
        let (hash_bytes, place_bits) = written.hash.unwrap_or_default();
        let (filter_bytes, filter_probes) = written.filter.unwrap_or_default();
        let properties = Properties {
            meta: self.meta.clone(),
            options: self.options,
            keys: self.hashes.len() as u64,
            filter_probes,
            place_bits,
            data_bytes: written.data_bytes,
            index_bytes: written.index_bytes,
            hash_bytes,
            filter_bytes,
        };
        let block = properties::encode(&properties);
        let properties_bytes = output.block(BlockKind::Properties, &block, Compression::None)?;
        let (begin, end, keyspace) = (self.begin, output.position(), self.meta.keyspace);
        self.meta.bytes = end - begin;
        Ok(Some((self.meta, SectionPlace { keyspace, properties_bytes, begin, end })))
    }

    /// Writes block index, hash index and filter.
    fn write_indexes(&mut self, output: &mut Output, paranoid: bool) -> Result<Written> {
        let data_bytes = output.position() - self.begin;
        let index = self.index.encode(data_bytes, self.pages);
        let index_bytes = output.block(BlockKind::Index, &index, Compression::None)?;
        let mut written = Written { data_bytes, index_bytes, hash: None, filter: None };
        let (hashes, places) = (&self.hashes, &self.places);
        let highest = places.last().copied().unwrap_or(0);
        if self.options.hash_index && highest < 1 << PLACE_BITS_MAX {
            let place_bits = (u32::BITS - highest.leading_zeros()).max(1);
            let hash = HashIndex::build(hashes, places, place_bits);
            let finds = |(hash_, place): (&u64, &u32)| hash.candidates(*hash_).any(|c| c == *place);
            if paranoid && !hashes.iter().zip(places).all(finds) {
                return Err(Error::new(ErrorKind::Internal, "the hash index misses a key (T4)"));
            }
            let bytes = output.block(BlockKind::Hash, hash.bytes(), Compression::None)?;
            written.hash = Some((bytes, place_bits.to_le_bytes()[0]));
        }
        let bits = hashes.len() as u64 * u64::from(self.options.filter_bits_x10) / 10;
        if self.options.filter_bits_x10 > 0 && bits / 8 < u64::from(u32::MAX) / 2 {
            let filter = if mutant("filter_wrong") {
                let wrong: Vec<u64> = hashes.iter().map(|hash| !hash).collect();
                Filter::build(&wrong, self.options.filter_bits_x10)
            } else {
                Filter::build(hashes, self.options.filter_bits_x10)
            };
            if paranoid && !hashes.iter().all(|hash| filter.may_contain(*hash)) {
                return Err(Error::new(ErrorKind::Internal, "the filter misses a key (T4)"));
            }
            let bytes = output.block(BlockKind::Filter, filter.bytes(), Compression::None)?;
            written.filter = Some((bytes, filter.probes().to_le_bytes()[0]));
        }
        Ok(written)
    }

    #[inline]
    fn count(&mut self, entry: &Entry<'_>) {
        let meta = &mut self.meta;
        if meta.entries == 0 {
            meta.smallest = entry.key.to_vec();
        }
        meta.entries += 1;
        meta.tombstones += u64::from(entry.kind == Kind::Delete);
        meta.raw_bytes += (entry.key.len() + entry.value.len()) as u64;
        meta.smallest_number = meta.smallest_number.min(entry.number);
        meta.largest_number = meta.largest_number.max(entry.number);
    }

    /// Writes one entry, longer than a page, as a block of its own.
    fn write_alone(
        &mut self,
        entry: &Entry<'_>,
        is_newest: bool,
        hold: impl FnOnce() -> Option<Held>,
        output: &mut Output,
    ) -> Result<()> {
        let offset = output.position() - self.begin;
        let place = encode::encode_around(entry, &mut self.encoded, &mut self.tail);
        let parts = [&self.encoded, entry.value, &self.tail];
        let bytes = parts.iter().map(|part| part.len()).sum();
        if self.options.compression == Compression::None {
            let held = if entry.value.len() >= HELD_BYTES_MIN { hold() } else { None };
            output.block_around(BlockKind::Data, parts, held)?;
        } else {
            output.block(BlockKind::Data, &parts.concat(), self.options.compression)?;
        }
        let first = self.note_written(offset, bytes)?;
        self.places.extend(is_newest.then_some(first + place));
        let (last, number) = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(entry.key);
        *number = entry.number;
        Ok(())
    }

    /// Writes the block that was filled, if anything is in it.
    fn write_pending(&mut self, output: &mut Output) -> Result<()> {
        let Some((key, number)) = self.pending.last() else { return Ok(()) };
        let (last, last_number) = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        *last_number = number;
        let offset = output.position() - self.begin;
        let bytes = self.pending.block_bytes();
        if self.options.compression == Compression::None {
            output.plain_block(BlockKind::Data, bytes, |out| self.pending.encode(out))?;
        } else {
            self.encoded.clear();
            self.pending.encode(&mut self.encoded);
            output.block(BlockKind::Data, &self.encoded, self.options.compression)?;
        }
        let first = self.note_written(offset, bytes)?;
        self.places.extend(self.pending.newest_places().map(|place| first + place));
        self.pending.clear();
        Ok(())
    }

    /// A block of `decoded` bytes was written at `offset`: counts its pages. Returns the place where
    /// it begins, or, if that fits no hash index, one that does not either.
    fn note_written(&mut self, offset: u64, decoded: usize) -> Result<u32> {
        let first_page = self.pages;
        self.unindexed = Some((offset, first_page));
        let pages = u32_of(decoded.div_ceil(self.page_bytes));
        let Some(after) = self.pages.checked_add(pages) else {
            return Err(Error::unsupported("a table section is longer than 2^32 blocks"));
        };
        self.pages = after;
        let first = u64::from(first_page) * (self.page_bytes / 8) as u64;
        Ok(u32::try_from(first).map_or(1 << PLACE_BITS_MAX, |first| first.min(1 << PLACE_BITS_MAX)))
    }
}

#[inline]
fn check_entry(entry: &Entry<'_>) -> Result<()> {
    let fits = entry.key.len() <= KEY_BYTES_MAX && entry.value.len() <= VALUE_BYTES_MAX;
    if fits && entry.kind != Kind::RangeDelete { Ok(()) } else { Err(refusal(entry)) }
}

#[cold]
fn refusal(entry: &Entry<'_>) -> Error {
    if entry.key.len() > KEY_BYTES_MAX || entry.value.len() > VALUE_BYTES_MAX {
        return Error::invalid(format!(
            "a key of {} and a value of {} bytes exceed the limits of {KEY_BYTES_MAX} and {VALUE_BYTES_MAX}",
            entry.key.len(),
            entry.value.len()
        ));
    }
    Error::unsupported("range deletes do not live among a table's entries")
}
