//! The parts of a table one by one, the builder's refusals, and lookups from many threads.

use super::*;
use crate::base::ErrorKind;
use crate::base::key::compare;
use crate::sstable::encode::encode_around;
use crate::sstable::filter::Filter;
use crate::sstable::format::{BlockKind, Encoding, Trailer, TrailerCheck};
use crate::sstable::format::{decode_trailer, encode_trailer};
use crate::sstable::hash_index::HashIndex;
use crate::sstable::index::{Index, IndexBuilder};
use crate::sstable::pending::Pending;

#[test]
fn a_block_around_a_value_is_the_block_of_its_entry() {
    let mut random = Random(8);
    for value in [0, 1, 7, 8, 4096, 65_535, 65_536, 524_000, 524_280, 524_288, 700_000] {
        for i in 0..32_u64 {
            let key_bytes = [0, 1, 16, 300][random.below(4)];
            let key = random.bytes(key_bytes, 200);
            let mut put = Owned::put(&key, i << 33, &random.bytes(value, 200));
            put.kind = if i % 3 == 0 { Kind::Delete } else { Kind::Put };
            put.expiry_ms = i % 2 * 99;
            let (entry, mut whole, mut pending) = (put.entry(), Vec::new(), Pending::default());
            let (mut head, mut tail) = (vec![2; 5], vec![3; 5]);
            assert!(pending.push(&entry, 0, true, usize::MAX));
            pending.encode(&mut whole);

            let place = encode_around(&entry, &mut head, &mut tail);

            assert!([&head[..], &put.value, &tail].concat() == whole, "{value} {i}");
            assert_eq!(pending.newest_places().collect::<Vec<_>>(), [place]);
        }
    }
}

#[test]
fn a_filter_has_no_false_negatives_and_few_false_positives() {
    let mut random = Random(3);
    let hashes: Vec<_> = (0..20_000).map(|_| random.next()).collect();
    let built = Filter::build(&hashes, 100);

    let filter = Filter::decode(built.bytes(), built.probes()).unwrap();

    assert!(hashes.iter().all(|hash| filter.may_contain(*hash)));
    let wrong = (0..100_000).filter(|_| filter.may_contain(random.next())).count();
    assert!(wrong < 1_500, "{wrong} of 100000");
}

#[test]
fn a_hash_index_finds_every_place_and_seldom_a_wrong_one() {
    let mut random = Random(4);
    let entries: Vec<_> = (1..30_000_u32).map(|place| (random.next(), place)).collect();
    let (hashes, places): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
    let built = HashIndex::build(&hashes, &places, 23);

    let index = HashIndex::decode(built.bytes(), 23).unwrap();

    assert!(entries.iter().all(|(hash, place)| index.candidates(*hash).any(|p| p == *place)));
    let wrong: usize = (0..100_000).map(|_| index.candidates(random.next()).count()).sum();
    assert!(wrong < 2_500, "{wrong} in 100000");
    let bytes = built.bytes().len();
    assert!(bytes <= entries.len() * 65 / 10, "{bytes} bytes");
}

#[test]
fn equal_hashes_are_all_found_and_a_full_index_ends_the_search() {
    let (hashes, places): (Vec<_>, Vec<_>) = (1..100_u32).map(|place| (42, place)).unzip();
    let index = HashIndex::build(&hashes, &places, 20);

    let mut found: Vec<_> = index.candidates(42).collect();

    found.sort_unstable();
    assert_eq!(found, (1..100).collect::<Vec<_>>());
    let full = HashIndex::decode(&[1; 128], 20).unwrap();
    assert!(full.candidates(7).count() <= 32);
}

#[test]
fn a_seek_in_the_block_index_finds_the_block_where_a_key_belongs() {
    let mut random = Random(5);
    for _ in 0..200 {
        let prefix_bytes = random.below(12);
        let prefix = random.bytes(prefix_bytes, 3);
        let mut keys: Vec<_> = (0..100)
            .map(|_| {
                let length = random.below(12);
                let key = [&prefix[..], &random.bytes(length, 3)].concat();
                (key, random.next() % 100)
            })
            .collect();
        keys.sort_by(|a, b| compare((&a.0, a.1), (&b.0, b.1)));
        keys.dedup();
        let mut builder = IndexBuilder::default();
        for (i, block) in keys.chunks(3).enumerate() {
            let last = block.last().unwrap();
            let next = keys.get(3 * i + block.len()).map(|key| &key.0[..]);
            let place = (i as u64 * 100, u32::try_from(i).unwrap());
            builder.add(place.0, place.1, (&last.0, last.1), next);
        }
        let blocks = keys.len().div_ceil(3);
        let bytes = builder.encode(blocks as u64 * 100, u32::try_from(blocks).unwrap());
        let index = Index::decode(bytes.into(), blocks as u64 * 100, 64).unwrap();

        for (i, (key, number)) in keys.iter().enumerate() {
            assert_eq!(index.seek(key, *number), i / 3);
        }
        for _ in 0..100 {
            let length = random.below(16);
            let key = random.bytes(length, 3);
            let number = random.next() % 100;
            let before = keys.partition_point(|k| compare((&k.0, k.1), (&key, number)).is_lt());
            let block = index.seek(&key, number);
            if before == keys.len() {
                assert!(block >= blocks - 1);
            } else {
                // The block holds the first entry at or after, or ends right before it.
                let next_begins = before % 3 == 0 && block + 1 == before / 3;
                assert!(block == before / 3 || next_begins);
            }
        }
    }
}

#[test]
fn a_decoded_length_beyond_what_the_bytes_can_give_is_refused() {
    let stored = [0; 10];
    for (encoding, decoded_bytes, good) in [
        (Encoding::Lz4, 2_550, true),
        (Encoding::Lz4, 2_551, false),
        (Encoding::Lz4, u32::MAX, false),
        (Encoding::Plain, 10, true),
        (Encoding::Plain, 11, false),
    ] {
        let trailer = Trailer { decoded_bytes, kind: BlockKind::Data as u8, encoding };
        let bytes = encode_trailer(trailer, 1, 2, &[&stored]);

        let found = decode_trailer(&bytes, BlockKind::Data, 1, 2, &stored);

        assert_eq!(matches!(found, TrailerCheck::Good(_)), good, "{encoding:?} {decoded_bytes}");
    }
}

#[test]
fn the_builder_refuses_disorder_limits_and_range_deletes() {
    let cases: [(&[Owned], ErrorKind); 5] = [
        (&[Owned::put(b"b", 1, b""), Owned::put(b"a", 2, b"")], ErrorKind::Internal),
        (&[Owned::put(b"a", 1, b""), Owned::put(b"a", 2, b"")], ErrorKind::Internal),
        (&[Owned::put(b"a", 1, b""), Owned::put(b"a", 1, b"")], ErrorKind::Internal),
        (&[Owned::put(&vec![7; 65_536], 1, b"")], ErrorKind::Invalid),
        (&[Owned { kind: Kind::RangeDelete, ..Owned::put(b"a", 1, b"b") }], ErrorKind::Unsupported),
    ];
    for (entries, kind) in cases {
        let mut builder = TableBuilder::new(MemFile::new(Vec::new()), NUMBER, FILE_ID);
        builder.start_section(KeyspaceId(0), &plain(4096));

        let result = entries.iter().try_for_each(|entry| builder.add(&entry.entry()));

        assert_eq!(result.unwrap_err().kind(), kind);
        // The failure stays.
        let later = builder.add(&Owned::put(b"zz", 9, b"").entry());
        assert_eq!(later.unwrap_err().kind(), kind);
    }
}

#[test]
fn a_failed_write_is_returned_by_every_later_call() {
    let file = MemFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, FILE_ID);
    builder.start_section(KeyspaceId(0), &plain(4096));
    *file.fail_writes.lock() = true;
    let mut failed = 0;

    for i in 0..40_u64 {
        let entry = Owned::put(&i.to_be_bytes_for_test(), i + 1, &vec![1; 100_000]);
        failed += u64::from(builder.add(&entry.entry()).is_err());
    }

    *file.fail_writes.lock() = false;
    assert!(failed > 20, "{failed}");
    assert_eq!(builder.finish_section().unwrap_err().kind(), ErrorKind::Io);
}

trait ToKey {
    fn to_be_bytes_for_test(self) -> Vec<u8>;
}

impl ToKey for u64 {
    fn to_be_bytes_for_test(self) -> Vec<u8> {
        format!("{self:08}").into_bytes()
    }
}

#[test]
fn data_that_places_cannot_address_gets_no_hash_index() {
    let options = KeyspaceOptions { block_bytes: 1 << 20, ..KeyspaceOptions::default() };
    let file = MemFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, FILE_ID);
    builder.start_section(KeyspaceId(0), &options);
    let mut entry = Owned::put(b"", 1, &vec![0; 1 << 20]);
    // Each is a block of two pages, 2 MiB of the 512 MiB that places address.
    for i in 0..260_u64 {
        entry.key = i.to_be_bytes_for_test();
        entry.number = i + 1;
        builder.add(&entry.entry()).unwrap();
    }
    builder.finish_section().unwrap();
    let meta = builder.finish().unwrap();

    let table = Table::open(file, &meta.file, &BlockCache::new(0), false).unwrap();

    let section = table.section(KeyspaceId(0)).unwrap().unwrap();
    assert!(section.hash.is_none() && section.filter.is_some());
    let found = get(&table, KeyspaceId(0), &259_u64.to_be_bytes_for_test(), u64::MAX).unwrap();
    assert_eq!(found, Some(entry));
    assert!(get(&table, KeyspaceId(0), b"x", u64::MAX).unwrap().is_none());
}

#[test]
fn a_table_without_sections_and_a_section_without_entries_are_fine() {
    let (bytes, meta) = build(&vec![
        (KeyspaceId(1), plain(64), vec![]),
        (KeyspaceId(2), plain(64), vec![Owned::put(b"", 1, b"")]),
    ]);
    let table = open(bytes, &meta.file).unwrap();
    assert_eq!(table.sections().collect::<Vec<_>>(), [KeyspaceId(2)]);
    assert_eq!(table.memory_bytes(), 0, "nothing is loaded before the first use");
    table.verify().unwrap();
    assert_eq!(get(&table, KeyspaceId(2), b"", 2).unwrap(), Some(Owned::put(b"", 1, b"")));
    assert!(table.memory_bytes() > 0);

    let (bytes, meta) = build(&vec![]);
    let table = open(bytes, &meta.file).unwrap();
    assert_eq!(table.sections().count(), 0);
    table.verify().unwrap();
}

#[test]
fn many_threads_read_right_answers_through_a_cache_that_is_too_small() {
    let cache = threads_read_right_answers(false);
    assert!(cache.misses() > 0 && cache.hits() > 0);
}

#[test]
fn many_threads_read_right_answers_through_a_mapping() {
    let cache = threads_read_right_answers(true);
    assert_eq!((cache.used(), cache.hits()), (0, 0), "what is not compressed needs no cache");
}

fn threads_read_right_answers(mapped: bool) -> Arc<BlockCache> {
    let entries: Vec<_> = (0..3_000_u64)
        .map(|i| Owned::put(format!("{i:06}").as_bytes(), i + 1, &i.to_le_bytes()))
        .collect();
    let compression = if mapped { Compression::None } else { Compression::Lz4 };
    let options = KeyspaceOptions { block_bytes: 512, compression, ..KeyspaceOptions::default() };
    let (bytes, meta) = build(&vec![(KeyspaceId(0), options, entries.clone())]);
    let cache = BlockCache::new(20_000);
    let table = Table::open(MemFile::new(bytes), &meta.file, &cache, mapped).unwrap();

    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (table, entries) = (&table, &entries);
            scope.spawn(move || {
                let mut random = Random(thread);
                for _ in 0..20_000 {
                    let entry = &entries[random.below(entries.len())];
                    let found = get(table, KeyspaceId(0), &entry.key, u64::MAX).unwrap();
                    assert_eq!(found.as_ref(), Some(entry));
                }
            });
        }
    });

    assert!(cache.used() <= 20_000);
    cache
}
