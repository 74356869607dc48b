//! Blocks that are not in memory: alone, with their neighbours, past the page cache.

use std::io::IoSliceMut;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::ErrorKind;
use crate::vfs::DirectFile;

/// Answers like the file, as often as it may; then it fails.
struct Past {
    bytes: Vec<u8>,
    calls: AtomicUsize,
    allowed: usize,
    /// At most so many bytes by one call.
    most: usize,
}

impl DirectFile for Past {
    fn read(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.allowed {
            return Err(Error::unsupported("as a file system without direct reads"));
        }
        let mut from = usize::try_from(offset).unwrap();
        let end = self.bytes.len().min(from.saturating_add(self.most));
        for buf in &mut *bufs {
            let part = buf.len().min(end - from);
            buf[..part].copy_from_slice(&self.bytes[from..from + part]);
            from += part;
        }
        Ok(from - usize::try_from(offset).unwrap())
    }
}

fn entries() -> Vec<Owned> {
    let key = |i: u64| format!("key{i:05}").into_bytes();
    (0..4000).map(|i| Owned::put(&key(i), i + 1, &[i.to_le_bytes()[0]; 100])).collect()
}

fn past(bytes: &[u8], allowed: usize, most: usize) -> Arc<Past> {
    Arc::new(Past { bytes: bytes.to_vec(), calls: AtomicUsize::new(0), allowed, most })
}

/// Reads all keys by `get` in no order, and some by cursor; returns the misses and the direct reads.
fn read_all(cache_bytes: u64, allowed: usize, most: usize) -> (u64, usize) {
    let entries = entries();
    let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(4096), entries.clone())]);
    let cache = BlockCache::within(cache_bytes, cache_bytes);
    let past = past(&bytes, allowed, most);
    let files = (MemFile::new(bytes) as _, Some(Arc::clone(&past) as _));
    let table = Table::open_twice(files, &meta.file, &cache, false).unwrap();
    for i in 0..entries.len() {
        let entry = &entries[i * 1237 % entries.len()];
        let found = get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap();
        assert_eq!(found.as_ref(), Some(entry));
    }
    let misses = cache.misses();
    assert!(scan(&table, KeyspaceId(0)).unwrap() == entries);
    table.verify().unwrap();
    (misses, past.calls.load(Ordering::Relaxed))
}

#[test]
fn blocks_come_with_their_neighbours_while_there_is_room() {
    // 115 blocks.
    let (misses, calls) = read_all(8 << 20, usize::MAX, usize::MAX);
    assert_eq!((misses, calls), (15, 15));
}

#[test]
fn blocks_come_alone_into_a_cache_that_is_full() {
    let (misses, calls) = read_all(20_000, usize::MAX, usize::MAX);
    assert!(misses > 1000 && calls >= 1000, "{misses} misses, {calls} direct reads");
}

#[test]
fn what_cannot_be_read_past_the_page_cache_is_read_through_it_and_an_error_is_the_last_try() {
    for cache_bytes in [20_000, 8 << 20] {
        for allowed in [0, 1, 9] {
            let (misses, calls) = read_all(cache_bytes, allowed, usize::MAX);
            assert!(misses >= 15);
            assert_eq!(calls, allowed + 1);
        }
        // Too few bytes are no error, and never taken for all of them.
        let (_, calls) = read_all(cache_bytes, usize::MAX, 4000);
        assert!(calls >= 15);
    }
}

#[test]
fn a_damaged_block_is_told_to_its_reader_and_not_to_those_of_its_neighbours() {
    let entries = entries();
    let (mut bytes, meta) = build(&vec![(KeyspaceId(0), plain(4096), entries.clone())]);
    let damaged = bytes.len() / 3;
    bytes[damaged] ^= 1;
    let cache = BlockCache::within(8 << 20, 8 << 20);
    let files = (MemFile::new(bytes.clone()) as _, Some(past(&bytes, usize::MAX, usize::MAX) as _));
    let table = Table::open_twice(files, &meta.file, &cache, false).unwrap();

    let mut wrong = 0;
    for entry in &entries {
        match get(&table, KeyspaceId(0), &entry.key, u64::MAX) {
            Ok(found) => assert_eq!(found.as_ref(), Some(entry)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                wrong += 1;
            }
        }
    }
    assert!((20..40).contains(&wrong), "the entries of one block, not {wrong}");
}

#[test]
fn short_memory_takes_the_filter_for_the_hash_index() {
    let options = KeyspaceOptions { compression: Compression::None, ..KeyspaceOptions::default() };
    let (bytes, meta) = build(&vec![(KeyspaceId(0), options, entries())]);
    for short in [false, true] {
        let cache = BlockCache::new(100_000);
        cache.add_table(if short { 400_000 } else { 300_000 });
        let table = Table::open(MemFile::new(bytes.clone()), &meta.file, &cache, false).unwrap();
        for entry in entries() {
            assert_eq!(get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap(), Some(entry));
        }
        assert_eq!(get(&table, KeyspaceId(0), b"key00077x", u64::MAX).unwrap(), None);
        let section = table.section(KeyspaceId(0)).unwrap().unwrap();
        assert_eq!((section.hash.is_none(), section.filter.is_some()), (short, short));
    }
}

/// A table of 115 blocks, room for some 6 of them in the cache, and for 12 of 64 parts in the page cache:
/// the unit of the first 32 blocks has place 11, the next ones are past that.
fn shared() -> Shared {
    let entries = entries();
    let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(4096), entries.clone())]);
    let (cache, past) = (BlockCache::within(30_000, 56_000), past(&bytes, usize::MAX, usize::MAX));
    cache.add_table(106_666);
    assert_eq!((cache.page_cache_share(), NUMBER.0 * 29 % 64), (12, 11));
    let file = MemFile::new(bytes);
    let files = (Arc::clone(&file) as _, Some(Arc::clone(&past) as _));
    let table = Table::open_twice(files, &meta.file, &cache, false).unwrap();
    Shared { entries, cache, past, file, table }
}

struct Shared {
    entries: Vec<Owned>,
    cache: Arc<BlockCache>,
    past: Arc<Past>,
    file: Arc<MemFile>,
    table: Arc<Table>,
}

#[test]
fn the_page_cache_gets_its_share_of_the_blocks_and_always_the_same() {
    let Shared { entries, cache, past, file, table } = shared();
    for round in 1..=2 {
        // Every 35th entry is in another block.
        for entry in entries.iter().step_by(35) {
            assert!(get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap().is_some());
        }
        assert_eq!(past.calls.load(Ordering::Relaxed), round * (115 - 32));
        assert_eq!(cache.misses(), round as u64 * 115);
    }
    let asked = file.asked.lock();
    assert!(asked.len() == 1 && asked[0].1 > 32 * 3900, "{asked:?}: once, whole");
}

#[test]
fn one_read_in_eight_of_the_share_of_the_page_cache_enters_its_block() {
    let Shared { entries, cache, table, .. } = shared();
    let mut held = Vec::new();
    for entry in entries.iter().step_by(35).take(31) {
        assert!(get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap().is_some());
        let section = table.section(KeyspaceId(0)).unwrap().unwrap();
        held.push((0..32).filter(|i| section.is_cached(*i)).count());
    }
    assert_eq!((held[6], held[7], held[15], held[30]), (0, 1, 2, 3));
    assert_eq!(cache.misses(), 31);
}

#[test]
fn so_many_blocks_are_brought_in_for_each_that_readers_waited_for() {
    for direct in [false, true] {
        let entries = entries();
        let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(512), entries.clone())]);
        let cache = BlockCache::within(8 << 20, 8 << 20);
        let past = past(&bytes, usize::MAX, usize::MAX);
        let again = if direct { Some(Arc::clone(&past) as _) } else { None };
        let table = Table::open_twice((MemFile::new(bytes) as _, again), &meta.file, &cache, false);
        let table = table.unwrap();
        assert!(!table.warm_wanted(1 << 20), "nothing is loaded");
        let section = table.section(KeyspaceId(0)).unwrap().unwrap();
        let cached = || (0..section.index.len()).filter(|i| section.is_cached(*i)).count();
        let mut read = entries.iter().step_by(36);
        let mut miss = |count: u64| {
            let before = cache.misses();
            while cache.misses() < before + count {
                let entry = read.next().unwrap();
                assert!(get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap().is_some());
            }
        };

        assert!(!table.warm_wanted(1 << 20), "nobody reads");
        miss(20);
        let before = (cached(), cache.misses());
        while table.warm_wanted(1 << 20) {}
        // Up to block 320, where the readers have most already.
        let first = (0..section.index.len()).take_while(|i| section.is_cached(*i)).count();
        assert!((320..400).contains(&first), "{first} blocks");
        assert!(cached() > before.0 && cache.misses() == before.1);
        assert_eq!(past.calls.load(Ordering::Relaxed) > 0, direct);
        miss(10);
        while table.warm_wanted(1 << 20) {}
        assert!((0..480).all(|i| section.is_cached(i)));
    }
}

#[test]
fn nothing_is_brought_in_beyond_the_room_that_is_given() {
    let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(512), entries())]);
    let cache = BlockCache::new(8 << 20);
    let table = Table::open(MemFile::new(bytes), &meta.file, &cache, false).unwrap();
    for entry in entries().iter().step_by(40).take(60) {
        assert!(get(&table, KeyspaceId(0), &entry.key, u64::MAX).unwrap().is_some());
    }
    let used = cache.used();

    while table.warm_wanted(511) {}
    assert_eq!(cache.used(), used);
}

#[test]
fn a_seek_reads_two_blocks_by_one_call_where_walks_often_go_on() {
    let entries = entries();
    let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(512), entries.clone())]);
    let (cache, past) = (BlockCache::within(10_000, 10_000), past(&bytes, usize::MAX, usize::MAX));
    let files = (MemFile::new(bytes) as _, Some(Arc::clone(&past) as _));
    let table = Table::open_twice(files, &meta.file, &cache, false).unwrap();
    let mut cursor = table.cursor(KeyspaceId(0)).unwrap();
    // Walks of so many entries, four of which fill a block; returns direct reads of the last 100.
    let mut walk = |steps: usize| {
        for i in 0..2000 {
            if i == 1900 {
                past.calls.store(0, Ordering::Relaxed);
            }
            let from = i * 1237 % 3900;
            cursor.seek_ge(&entries[from].key, u64::MAX).unwrap();
            for entry in &entries[from..from + steps] {
                assert_eq!(cursor.entry().unwrap().key, entry.key);
                cursor.next().unwrap();
            }
        }
        past.calls.load(Ordering::Relaxed)
    };

    let (one, four) = (walk(0), walk(3));
    // Three of four walks to a fourth entry go on into a second block.
    assert!((95..=100).contains(&one) && (95..=105).contains(&four), "{one} and {four} reads");
    let again = walk(0);
    assert!((95..=100).contains(&again), "{again} reads");
}

#[test]
fn a_long_read_goes_through_the_page_cache_and_ends_no_direct_reads() {
    let bytes = vec![7; 1 << 20];
    let past = past(&bytes, usize::MAX, usize::MAX);
    let direct = super::super::fetch::Direct::new(Arc::clone(&past) as _);
    let fill = |bytes: usize| {
        let mut buf = vec![0; bytes];
        direct.fill(&mut [IoSliceMut::new(&mut buf)], 0)
    };
    assert!(fill(256 << 10));
    assert!(!fill((256 << 10) + 1));
    assert!(fill(4096), "shorter ones are read as before");
    assert_eq!(past.calls.load(Ordering::Relaxed), 2);
}
