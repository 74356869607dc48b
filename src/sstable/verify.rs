//! Proves a table: reads every block from the file and checks everything that can be checked.
//!
//! For tests. Runs beside readers, uses no cache and keeps nothing. It checks what reading for a
//! lookup does not: that entries ascend over the whole section (T8), that separators separate (T9),
//! that filter and hash index find every key (T4), and that the properties tell the truth.

use crate::base::key::compare;
use crate::base::meta::SectionMeta;
use crate::base::{Kind, Result};

use super::block::Block;
use super::filter::Filter;
use super::format::{BlockKind, SectionPlace};
use super::hash_index::HashIndex;
use super::section::{Section, hash_of, load_filter, load_hash, properties_at};
use super::table::{Table, open_directory, open_footer, open_header};

/// Checks one section entry by entry.
struct Check<'a> {
    table: &'a Table,
    section: &'a Section,
    hash: Option<HashIndex>,
    filter: Option<Filter>,
    /// The entry before.
    last: Option<(Vec<u8>, u64)>,
    /// What the entries so far would have as properties.
    seen: SectionMeta,
    keys: u64,
}

impl Table {
    /// Reads the whole file past the cache.
    ///
    /// # Errors
    /// `Corrupt` with file and offset for the first thing that is wrong; `Format`, `Io`.
    pub(crate) fn verify(&self) -> Result<()> {
        let footer = open_footer(&self.source)?;
        open_header(&self.source, &footer)?;
        for place in open_directory(&self.source, &footer)? {
            self.verify_section(place)?;
        }
        Ok(())
    }

    fn verify_section(&self, place: SectionPlace) -> Result<()> {
        // Loaded anew: what is in memory may be older than the damage.
        let none = crate::cache::BlockCache::new(0);
        let section = Section::load(&self.source, place, &none)?;
        let (properties, parts) = (&section.properties, section.parts);
        let hash = load_hash(&self.source, properties, parts.hash)?;
        let filter = load_filter(&self.source, properties, parts.filter)?;
        let meta = &properties.meta;
        let seen = SectionMeta {
            keyspace: place.keyspace,
            smallest: Vec::new(),
            largest: Vec::new(),
            smallest_number: u64::MAX,
            largest_number: 0,
            entries: 0,
            tombstones: 0,
            bytes: meta.bytes,
            raw_bytes: 0,
        };
        let mut check =
            Check { table: self, section: &section, hash, filter, last: None, seen, keys: 0 };
        for i in 0..section.index.len() {
            check.block(i)?;
        }
        if let Some((largest, _)) = check.last.take() {
            check.seen.largest = largest;
        }
        if check.seen == *meta && check.keys == properties.keys {
            return Ok(());
        }
        let what = "they differ from what the entries are";
        Err(self.source.corrupt_block(BlockKind::Properties, properties_at(place), what))
    }
}

impl Check<'_> {
    fn block(&mut self, i: usize) -> Result<()> {
        let source = &self.table.source;
        let bad = || self.section.bad_block(source, i);
        let place = self.section.index.place(i).ok_or_else(bad)?;
        let bytes = self.section.read_block(source, i, place)?;
        let block = Block::parse(&bytes).ok_or_else(bad)?;
        let (before, before_number) = match i.checked_sub(1) {
            Some(before) => self.section.index.separator(before),
            None => (Vec::new(), u64::MAX),
        };
        let page_places = u64::from(self.section.properties.options.block_bytes / 8);
        for at in 0..block.count() {
            let offset = block.offset(at).ok_or_else(bad)?;
            let entry = block.entry(at).ok_or_else(bad)?;
            let key = [block.prefix(), entry.suffix].concat();
            let place = u64::from(place.pages.0) * page_places + offset as u64 / 8;
            if i > 0 && !compare((&before, before_number), (&key, entry.number)).is_lt() {
                return Err(bad());
            }
            self.entry(i, &key, entry.number, place)?;
            let seen = &mut self.seen;
            seen.tombstones += u64::from(entry.kind == Kind::Delete);
            seen.raw_bytes += (key.len() + entry.value.len()) as u64;
            self.last = Some((key, entry.number));
        }
        let (separator, number) = self.section.index.separator(i);
        match &self.last {
            Some((key, last)) if compare((key, *last), (&separator, number)).is_le() => Ok(()),
            _ => Err(self.section.bad_block(source, i)),
        }
    }

    /// Checks order, filter and hash index for one entry.
    fn entry(&mut self, i: usize, key: &[u8], number: u64, place: u64) -> Result<()> {
        let newest = match &self.last {
            None => true,
            Some((last, last_number)) => {
                if !compare((last, *last_number), (key, number)).is_lt() {
                    return Err(self.section.bad_block(&self.table.source, i));
                }
                last != key
            }
        };
        let seen = &mut self.seen;
        if seen.entries == 0 {
            seen.smallest = key.to_vec();
        }
        seen.entries += 1;
        seen.smallest_number = seen.smallest_number.min(number);
        seen.largest_number = seen.largest_number.max(number);
        if newest {
            self.keys += 1;
            self.found(key, place)?;
        }
        Ok(())
    }

    /// Checks that filter and hash index know the key.
    fn found(&self, key: &[u8], place: u64) -> Result<()> {
        let source = &self.table.source;
        let hash = hash_of(key, source.file_id);
        let parts = self.section.parts;
        let what = "it does not know a key that the table holds";
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash)) {
            return Err(source.corrupt_block(BlockKind::Filter, parts.filter, what));
        }
        let placed = |index: &HashIndex| index.candidates(hash).any(|p| u64::from(p) == place);
        if self.hash.as_ref().is_some_and(|index| !placed(index)) {
            return Err(source.corrupt_block(BlockKind::Hash, parts.hash, what));
        }
        Ok(())
    }
}
