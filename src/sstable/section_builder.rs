//! Writes one section: collects a block of entries, then its indexes and filter.
//!
//! 1. An entry joins the pending block if the block, encoded, stays within `block_bytes`; else the
//!    block is written first. An entry that is longer alone becomes a block of its own.
//! 2. A written block enters the block index when the key after it is known.
//! 3. At the end: block index, hash index, filter, properties.

use crate::base::coding::u32_of;
use crate::base::key::compare;
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
    /// The last entry added.
    last: Option<(Vec<u8>, u64)>,
    /// Offset from the section's begin and first page of the last block, until it is indexed.
    unindexed: Option<(u64, u32)>,
    pages: u32,
    /// Hash of each distinct key, and the place of its newest entry.
    keys: Vec<(u64, u32)>,
    /// Whether all places so far fit the hash index.
    places_fit: bool,
    /// The encoded block and the places of its entries, kept for their memory.
    encoded: Vec<u8>,
    places: Vec<u32>,
    /// What lies behind the value of a block of one entry, whose front is in `encoded`.
    tail: Vec<u8>,
    /// Which entries of the block, by index, are the newest of their keys.
    newest: Vec<usize>,
}

/// Entries of the block that is being filled.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    entries: Vec<PendingEntry>,
    shape: Shape,
}

/// What decides the length of a block, apart from the number of its entries.
#[derive(Clone, Copy, Default)]
struct Shape {
    /// Bytes that all keys share.
    prefix: usize,
    /// Lowest number.
    base: u64,
    /// Bytes of the encoded entries.
    entries_bytes: usize,
}

impl Shape {
    /// Length of the encoded block with `count` entries.
    fn block_bytes(&self, count: usize) -> usize {
        if count == 0 { 0 } else { encode::block_bytes(self.prefix, self.entries_bytes, count) }
    }
}

struct PendingEntry {
    at: usize,
    key_bytes: usize,
    value_bytes: usize,
    number: u64,
    kind: Kind,
    expiry_ms: u64,
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
            keys: Vec::new(),
            places_fit: true,
            encoded: Vec::new(),
            places: Vec::new(),
            tail: Vec::new(),
            newest: Vec::new(),
        }
    }

    /// Length of the block that is being filled, if it were written now.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.encoded_bytes()
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
        let newest = match &self.last {
            None => true,
            Some((key, number)) => {
                if !compare((key, *number), (entry.key, entry.number)).is_lt() {
                    let text = "entries were added to a table out of order (T8)";
                    return Err(Error::new(ErrorKind::Internal, text));
                }
                key != entry.key
            }
        };
        let count = self.pending.entries.len() + 1;
        if count > 1 && self.pending.with(entry).block_bytes(count) > self.page_bytes {
            self.write_pending(output)?;
        }
        if let Some((offset, page)) = self.unindexed.take() {
            if let Some((key, number)) = &self.last {
                self.index.add(offset, page, (key, *number), Some(entry.key));
            }
        }
        self.count(entry, newest, file_id);
        self.note_last(entry);
        let empty = self.pending.entries.is_empty();
        if empty && self.pending.with(entry).block_bytes(1) > self.page_bytes {
            return self.write_alone(entry, hold, output);
        }
        self.pending.push(entry);
        Ok(())
    }

    /// Ends the section; none if it has no entries.
    pub(super) fn finish(
        mut self,
        output: &mut Output,
        paranoid: bool,
    ) -> Result<Option<(SectionMeta, SectionPlace)>> {
        if !self.pending.entries.is_empty() {
            self.write_pending(output)?;
        }
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
            keys: self.keys.len() as u64,
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
        if self.options.hash_index && self.places_fit {
            let place_bits = self.place_bits();
            let hash = HashIndex::build(&self.keys, place_bits);
            if paranoid && !self.keys.iter().all(|(h, p)| hash.candidates(*h).any(|c| c == *p)) {
                return Err(Error::new(ErrorKind::Internal, "the hash index misses a key (T4)"));
            }
            let bytes = output.block(BlockKind::Hash, &hash.encode(), Compression::None)?;
            written.hash = Some((bytes, place_bits.to_le_bytes()[0]));
        }
        let bits = self.keys.len() as u64 * u64::from(self.options.filter_bits_x10) / 10;
        if self.options.filter_bits_x10 > 0 && bits / 8 < u64::from(u32::MAX) / 2 {
            let wrong = if mutant("filter_wrong") { u64::MAX } else { 0 };
            let hashes = self.keys.iter().map(|key| key.0 ^ wrong);
            let filter = Filter::build(hashes, self.options.filter_bits_x10);
            if paranoid && !self.keys.iter().all(|(hash, _)| filter.may_contain(*hash)) {
                return Err(Error::new(ErrorKind::Internal, "the filter misses a key (T4)"));
            }
            let bytes = output.block(BlockKind::Filter, &filter.encode(), Compression::None)?;
            written.filter = Some((bytes, filter.probes().to_le_bytes()[0]));
        }
        Ok(written)
    }

    /// Bits that the highest place needs.
    fn place_bits(&self) -> u32 {
        let highest = self.keys.iter().map(|key| key.1).max().unwrap_or(0);
        (u32::BITS - highest.leading_zeros()).max(1)
    }

    fn count(&mut self, entry: &Entry<'_>, newest: bool, file_id: u64) {
        let meta = &mut self.meta;
        if meta.entries == 0 {
            meta.smallest = entry.key.to_vec();
        }
        meta.entries += 1;
        meta.tombstones += u64::from(entry.kind == Kind::Delete);
        meta.raw_bytes += (entry.key.len() + entry.value.len()) as u64;
        meta.smallest_number = meta.smallest_number.min(entry.number);
        meta.largest_number = meta.largest_number.max(entry.number);
        if newest {
            // The place is filled in when the block is written.
            self.keys.push((hash_of(entry.key, file_id), 0));
            self.newest.push(self.pending.entries.len());
        }
    }

    fn note_last(&mut self, entry: &Entry<'_>) {
        let (key, number) = self.last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(entry.key);
        *number = entry.number;
    }

    /// Writes one entry, longer than a page, as a block of its own.
    fn write_alone(
        &mut self,
        entry: &Entry<'_>,
        hold: impl FnOnce() -> Option<Held>,
        output: &mut Output,
    ) -> Result<()> {
        if self.options.compression != Compression::None {
            let (encoded, places) = (&mut self.encoded, &mut self.places);
            encode::encode(std::iter::once(*entry), entry.key, entry.number, encoded, places);
            return self.write_encoded(output);
        }
        let offset = output.position() - self.begin;
        let place = encode::encode_around(entry, &mut self.encoded, &mut self.tail);
        self.places.clear();
        self.places.push(place);
        let held = if entry.value.len() >= HELD_BYTES_MIN { hold() } else { None };
        let parts = [&self.encoded, entry.value, &self.tail];
        let stored = output.block_around(BlockKind::Data, parts, held)?;
        self.note_written(offset, stored)
    }

    fn write_pending(&mut self, output: &mut Output) -> Result<()> {
        let pending = &self.pending;
        let prefix = pending.first_key().get(..pending.shape.prefix).unwrap_or_default();
        let (encoded, places) = (&mut self.encoded, &mut self.places);
        encode::encode(pending.iter(), prefix, pending.shape.base, encoded, places);
        debug_assert_eq!(encoded.len(), pending.encoded_bytes());
        self.write_encoded(output)
    }

    /// Writes the encoded block and clears what was pending.
    fn write_encoded(&mut self, output: &mut Output) -> Result<()> {
        let offset = output.position() - self.begin;
        output.block(BlockKind::Data, &self.encoded, self.options.compression)?;
        self.note_written(offset, self.encoded.len())?;
        if self.encoded.capacity() > 8 * self.page_bytes {
            self.encoded = Vec::new();
        }
        Ok(())
    }

    /// A block of `decoded` bytes was written at `offset`: counts its pages, says where its keys
    /// are, and clears what was pending.
    fn note_written(&mut self, offset: u64, decoded: usize) -> Result<()> {
        let first_page = self.pages;
        self.unindexed = Some((offset, first_page));
        let pages = u32_of(decoded.div_ceil(self.page_bytes));
        let Some(after) = self.pages.checked_add(pages) else {
            return Err(Error::unsupported("a table section is longer than 2^32 blocks"));
        };
        self.pages = after;
        self.place_keys(first_page);
        self.pending.clear();
        Ok(())
    }

    /// Fills in the places of the keys whose newest entry the block at `first_page` holds: the
    /// last ones.
    fn place_keys(&mut self, first_page: u32) {
        let first = u64::from(first_page) * (self.page_bytes / 8) as u64;
        let placed = self.keys.len() - self.newest.len();
        for ((_, place), at) in self.keys[placed..].iter_mut().zip(self.newest.drain(..)) {
            let found = first + u64::from(self.places[at]);
            match u32::try_from(found) {
                Ok(found) if found < 1 << PLACE_BITS_MAX => *place = found,
                _ => self.places_fit = false,
            }
        }
    }
}

impl Pending {
    /// Length of the block if it were encoded now.
    fn encoded_bytes(&self) -> usize {
        self.shape.block_bytes(self.entries.len())
    }

    /// The shape of the block if `entry` joined, which is after all others.
    fn with(&self, entry: &Entry<'_>) -> Shape {
        if self.entries.is_empty() {
            let (prefix, base) = (entry.key.len(), entry.number);
            return Shape { prefix, base, entries_bytes: encode::entry_bytes(entry, prefix, base) };
        }
        let prefix = shared(self.first_key(), entry.key).min(self.shape.prefix);
        let base = self.shape.base.min(entry.number);
        let entries_bytes = if (prefix, base) == (self.shape.prefix, self.shape.base) {
            self.shape.entries_bytes + encode::entry_bytes(entry, prefix, base)
        } else {
            let all = self.iter().chain(std::iter::once(*entry));
            all.map(|entry| encode::entry_bytes(&entry, prefix, base)).sum()
        };
        Shape { prefix, base, entries_bytes }
    }

    fn push(&mut self, entry: &Entry<'_>) {
        self.shape = self.with(entry);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(entry.key);
        self.bytes.extend_from_slice(entry.value);
        self.entries.push(PendingEntry {
            at,
            key_bytes: entry.key.len(),
            value_bytes: entry.value.len(),
            number: entry.number,
            kind: entry.kind,
            expiry_ms: entry.expiry_ms,
        });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.shape = Shape::default();
    }

    /// The first key, or nothing while there is none.
    fn first_key(&self) -> &[u8] {
        self.entries.first().map_or(&[], |first| &self.bytes[..first.key_bytes])
    }

    fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|entry| {
            let (key, rest) = self.bytes[entry.at..].split_at(entry.key_bytes);
            Entry {
                key,
                number: entry.number,
                kind: entry.kind,
                expiry_ms: entry.expiry_ms,
                value: &rest[..entry.value_bytes],
            }
        })
    }
}

fn check_entry(entry: &Entry<'_>) -> Result<()> {
    if entry.key.len() > KEY_BYTES_MAX || entry.value.len() > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a key of {} and a value of {} bytes exceed the limits of {KEY_BYTES_MAX} and {VALUE_BYTES_MAX}",
            entry.key.len(),
            entry.value.len()
        )));
    }
    if entry.kind == Kind::RangeDelete {
        return Err(Error::unsupported("range deletes do not live among a table's entries"));
    }
    Ok(())
}
