//! The parts of tables, to be measured. Entries have keys of 16 digits and values of 100 bytes.

use std::hint::black_box;
use std::sync::Arc;

use super::block::Block;
use super::filter::Filter;
use super::hash_index::HashIndex;
use super::section::hash_of;
use super::{Glance, PointReader, Table, TableBuilder, TableCursor};
use crate::base::meta::TableMeta;
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::part::{ABSENT, Keys, Part, VALUE, Work, each, key, part, sweep};
use crate::base::{Cursor, Entry, Error, FileNumber, KeyspaceId, Kind, Lsn, Result};
use crate::cache::BlockCache;
use crate::mem::epoch;
use crate::merge::{MergeCursor, VisibleCursor};
use crate::vfs::parts::Scratch;
use crate::vfs::{File, LogMap, TableMap};

/// What is measured here. Entries of merges are those of all sources together.
pub(crate) const PARTS: &[Part] = &[
    part("key-hash", 0, hash),
    sweep("filter-build", 10_000, |n| Box::new(Building::new(n, false))),
    sweep("filter-build", 500_000, |n| Box::new(Building::new(n, false))),
    part("filter-hit", 10_000, |n| filter(n, true)),
    part("filter-hit", 2_000_000, |n| filter(n, true)),
    part("filter-miss", 10_000, |n| filter(n, false)),
    part("filter-miss", 2_000_000, |n| filter(n, false)),
    sweep("hash-build", 10_000, |n| Box::new(Building::new(n, true))),
    sweep("hash-build", 500_000, |n| Box::new(Building::new(n, true))),
    part("hash-hit", 10_000, |n| hash_index(n, true)),
    part("hash-hit", 2_000_000, |n| hash_index(n, true)),
    part("hash-miss", 10_000, |n| hash_index(n, false)),
    part("hash-miss", 2_000_000, |n| hash_index(n, false)),
    sweep("table-build", 10_000, |n| Box::new(Writing::new(n))),
    sweep("table-build", 500_000, |n| Box::new(Writing::new(n))),
    part("index-search", 10_000, index),
    part("index-search", 2_000_000, index),
    part("block-search", 10_000, search),
    part("block-iterate", 10_000, iterate),
    part("table-hit", 5_000, |n| glance(n, true)),
    part("table-hit", 2_000_000, |n| glance(n, true)),
    part("table-miss", 5_000, |n| glance(n, false)),
    part("table-miss", 2_000_000, |n| glance(n, false)),
    part("table-next", 10_000, next),
    part("table-next", 2_000_000, next),
    part("merge-next-1-source", 10_000, |n| merge(n, 1)),
    part("merge-next-4-sources", 10_000, |n| merge(n, 4)),
    part("visible-next-1-source", 10_000, |n| visible(n, 1)),
    part("visible-next-4-sources", 10_000, |n| visible(n, 4)),
];

const KEYSPACE: KeyspaceId = KeyspaceId(0);
const NOW: Lsn = Lsn(1 << 40);
const FILE_ID: u64 = 0x1234_5678_9abc_def0;
/// Bits of a place in the hash index of a table of 64 MiB.
const PLACE_BITS: u32 = 23;

/// `count` sources with neighbouring keys in turn, open, all blocks in the cache.
fn tables(entries: usize, count: usize) -> Vec<Arc<Table>> {
    let scratch = Scratch::new();
    let cache = BlockCache::new(1 << 30);
    let keys = Keys::sorted(entries);
    let made: Result<Vec<_>> = (1..=count as u64)
        .map(|number| {
            let first = usize::try_from(number).unwrap_or(1) - 1;
            let keys = keys.iter().skip(first).step_by(count);
            table(&scratch, &cache, FileNumber(number), keys)
        })
        .collect();
    match made {
        Ok(tables) => tables,
        Err(error) => panic!("tables: {error}"),
    }
}

fn table<'a>(
    scratch: &Scratch,
    cache: &Arc<BlockCache>,
    number: FileNumber,
    keys: impl Iterator<Item = &'a [u8; 16]>,
) -> Result<Arc<Table>> {
    let file = scratch.dir.create(&number.0.to_string())?;
    let meta = write(number, Arc::clone(&file), keys.zip(64..))?;
    let table = Table::open(file, &meta.file, cache, false)?;
    let mut cursor = table.cursor(KEYSPACE)?;
    cursor.seek_first()?;
    while cursor.entry().is_some() {
        cursor.next()?;
    }
    Ok(table)
}

/// Writes entries with these keys and numbers.
fn write<'a>(
    number: FileNumber,
    file: Arc<dyn File>,
    keys: impl Iterator<Item = (&'a [u8; 16], u64)>,
) -> Result<TableMeta> {
    let options = KeyspaceOptions { compression: Compression::None, ..KeyspaceOptions::default() };
    let mut builder = TableBuilder::new(file, number, FILE_ID);
    builder.start_section(KEYSPACE, &options);
    for (key, number) in keys {
        let (kind, expiry_ms, value) = (Kind::Put, 0, &VALUE[..]);
        builder.add(&Entry { key, number, kind, expiry_ms, value })?;
    }
    builder.finish_section()?;
    builder.finish()
}

fn hash(_: usize) -> Box<dyn Work> {
    let mut keys = Keys::drawn(0, 1000);
    let mut last = 0;
    each(move || {
        let hash = hash_of(black_box(keys.draw()), FILE_ID);
        hash != std::mem::replace(&mut last, hash)
    })
}

/// The hashes of keys that are drawn one after the other.
fn hashes(from: u64, count: usize) -> impl FnMut() -> u64 {
    let mut keys = Keys::drawn(from, count);
    let list: Vec<u64> = (0..count.min(200_000)).map(|_| hash_of(keys.draw(), FILE_ID)).collect();
    let mut at = 0;
    move || {
        at = if at + 1 < list.len() { at + 1 } else { 0 };
        list[at]
    }
}

fn all_hashes(count: usize) -> (Vec<u64>, Vec<u32>) {
    let places = 1..(1 << PLACE_BITS);
    (0..count as u64).zip(places).map(|(i, place)| (hash_of(&key(i), FILE_ID), place)).unzip()
}

/// Hash index or filter of some keys, built anew in each run.
struct Building {
    hashes: Vec<u64>,
    places: Vec<u32>,
    hash_index: bool,
}

impl Building {
    fn new(entries: usize, hash_index: bool) -> Self {
        let (hashes, places) = all_hashes(entries);
        Self { hashes, places, hash_index }
    }
}

impl Work for Building {
    fn run(&mut self) -> u64 {
        let last = self.hashes.len() - 1;
        let found = if self.hash_index {
            let index = HashIndex::build(black_box(&self.hashes), &self.places, PLACE_BITS);
            index.candidates(self.hashes[last]).next().is_some()
        } else {
            let hashes = black_box(&self.hashes);
            Filter::build(hashes, 100).may_contain(self.hashes[last])
        };
        if found { self.hashes.len() as u64 } else { 0 }
    }
}

/// A table of some entries, written to nowhere in each run.
struct Writing(Vec<[u8; 16]>);

impl Writing {
    fn new(entries: usize) -> Self {
        Self(Keys::sorted(entries))
    }
}

impl Work for Writing {
    fn run(&mut self) -> u64 {
        let entries = self.0.len() as u64;
        // Numbers come in no order of keys, as in a compaction.
        let numbers = (1..=entries).map(|i| i * 7_919_317 % entries * 140);
        match write(FileNumber(1), Arc::new(Nowhere), self.0.iter().zip(numbers)) {
            Ok(meta) => meta.sections.iter().map(|section| section.entries).sum(),
            Err(error) => panic!("a table: {error}"),
        }
    }
}

/// A file that takes everything and keeps nothing.
struct Nowhere;

impl File for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }
    fn len(&self) -> Result<u64> {
        Ok(0)
    }
    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> Result<usize> {
        Ok(0)
    }
    fn write_at(&self, bytes: &[u8], _offset: u64) -> Result<()> {
        black_box(bytes);
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn allocate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }
    fn map(&self, _bytes: u64) -> Result<Arc<dyn LogMap>> {
        Err(Error::unsupported("nothing is there"))
    }
    fn map_table(&self, _bytes: u64) -> Result<Arc<TableMap>> {
        Err(Error::unsupported("nothing is there"))
    }
}

/// An absent key is let through once in a hundred; that is no error.
fn filter(entries: usize, hit: bool) -> Box<dyn Work> {
    let filter = Filter::build(&all_hashes(entries).0, 100);
    let mut next = hashes(if hit { 0 } else { ABSENT }, entries);
    each(move || filter.may_contain(black_box(next())) || !hit)
}

/// An absent key has a candidate once in fifty.
fn hash_index(entries: usize, hit: bool) -> Box<dyn Work> {
    let all = all_hashes(entries);
    let index = HashIndex::build(&all.0, &all.1, PLACE_BITS);
    let mut next = hashes(if hit { 0 } else { ABSENT }, entries);
    each(move || index.candidates(black_box(next())).next().is_some() || !hit)
}

/// The one section of a table.
fn section(table: &Arc<Table>) -> &Arc<super::section::Section> {
    let Ok(Some(section)) = table.section(KEYSPACE) else { panic!("a table has a section") };
    section
}

/// Which block a key belongs to.
fn index(entries: usize) -> Box<dyn Work> {
    let table = tables(entries, 1).swap_remove(0);
    let mut keys = Keys::drawn(0, entries);
    each(move || {
        let section = section(&table);
        section.index.seek(black_box(keys.draw()), u64::MAX >> 1) < section.index.len()
    })
}

/// Where a key lies in its block, which is in the processor's cache.
fn search(entries: usize) -> Box<dyn Work> {
    let table = tables(entries, 1).swap_remove(0);
    let Some(pin) = section(&table).resident(0, true) else { panic!("blocks were read") };
    let sorted = Keys::sorted(entries);
    let count = Block::parse(&pin).map_or(1, |block| block.count());
    let mut at = 0;
    each(move || {
        at = (at + 7) % count;
        let Some(block) = Block::parse(black_box(&pin)) else { return false };
        block.lower_bound(black_box(&sorted[at]), u64::MAX >> 1) == Some(at)
    })
}

/// Entry after entry of one block, again and again.
fn iterate(entries: usize) -> Box<dyn Work> {
    let table = tables(entries, 1).swap_remove(0);
    let Some(pin) = section(&table).resident(0, true) else { panic!("blocks were read") };
    let (mut at, mut left) = (0, 0);
    each(move || {
        let Some(block) = Block::parse(black_box(&pin)) else { return false };
        if left == 0 {
            (at, left) = (block.first_offset(), block.count());
        }
        left -= 1;
        let Some(entry) = block.entry_at(at) else { return false };
        at = entry.end;
        entry.value[0] == VALUE[0]
    })
}

/// A point read of an open table, as the engine does it for one of several tables.
fn glance(entries: usize, hit: bool) -> Box<dyn Work> {
    let table = tables(entries, 1).swap_remove(0);
    let Ok(Some(reader)) = table.point_reader(KEYSPACE) else { panic!("a table has a section") };
    let mut keys = Keys::drawn(if hit { 0 } else { ABSENT }, entries);
    let mut to = VALUE;
    each(move || is_right(&reader, black_box(keys.draw_after(to[99])), hit, black_box(&mut to)))
}

#[inline]
fn is_right(reader: &PointReader, key: &[u8], hit: bool, to: &mut [u8; 100]) -> bool {
    let guard = epoch::pin();
    let hash = reader.hash(key);
    reader.prefetch(hash);
    if let Some(place) = reader.place(hash) {
        reader.prefetch_place(place);
    }
    match reader.glance(hash, key, NOW, &guard) {
        Glance::Entry(seen) => {
            to.copy_from_slice(seen.value);
            hit && to[99] == VALUE[99]
        }
        Glance::Absent => !hit,
        Glance::Unclear => false,
    }
}

/// The cursors of some tables.
fn cursors(entries: usize, sources: usize) -> Vec<TableCursor> {
    let cursors = tables(entries, sources).into_iter().map(|table| table.cursor(KEYSPACE));
    match cursors.collect::<Result<Vec<_>>>() {
        Ok(cursors) => cursors,
        Err(error) => panic!("cursors: {error}"),
    }
}

/// One step of a cursor, and round again at the end.
fn step(mut cursor: impl Cursor + 'static) -> Box<dyn Work> {
    each(move || {
        let mut moved = cursor.next();
        if cursor.entry().is_none() {
            moved = moved.and_then(|()| cursor.seek_first());
        }
        moved.is_ok() && cursor.entry().is_some_and(|entry| entry.value[0] == VALUE[0])
    })
}

fn next(entries: usize) -> Box<dyn Work> {
    step(cursors(entries, 1).swap_remove(0))
}

fn merge(entries: usize, sources: usize) -> Box<dyn Work> {
    step(MergeCursor::new(cursors(entries, sources)))
}

/// The same as a reader at a position sees it.
fn visible(entries: usize, sources: usize) -> Box<dyn Work> {
    let merged = MergeCursor::new(cursors(entries, sources));
    let mut cursor = VisibleCursor::new(merged, NOW, 0, None, None);
    each(move || {
        let mut moved = if cursor.is_positioned() { cursor.next() } else { Ok(false) };
        if matches!(moved, Ok(false)) {
            moved = cursor.seek_first();
        }
        matches!(moved, Ok(true)) && cursor.value()[0] == VALUE[0]
    })
}
