//! Tables against a sorted list of entries, with random options and random contents.

use super::*;
use crate::base::key::{compare, head_of};
use crate::base::{ErrorKind, Packed};
use crate::mem::Held;
use crate::merge::testing::{self, walk_quickly};
use crate::sstable::TableCursor;

/// Entries of one keyspace in internal order, all numbers distinct.
pub(super) fn random_entries(random: &mut Random) -> Vec<Owned> {
    let keys = 1 + random.below(80);
    let alphabet = [2, 4, 256][random.below(3)];
    let key_bytes = [3, 12, 40][random.below(3)];
    let big = random.chance(6);
    let mut entries = Vec::new();
    let mut number = 1 + random.next() % (1 << random.below(60));
    let mut prefix_bytes = random.below(20);
    if random.chance(8) {
        prefix_bytes = 65_535 - key_bytes;
    }
    let prefix = random.bytes(prefix_bytes, 3);
    for _ in 0..keys {
        let length = random.below(key_bytes + 1);
        let mut key = random.bytes(length, alphabet);
        if !random.chance(10) {
            key.splice(..0, prefix.iter().copied());
        }
        let versions = if random.chance(6) { random.below(60) } else { 1 };
        for _ in 0..=versions {
            let value_bytes = match random.below(20) {
                0 if big => random.below(1 << 20),
                0..=2 => random.below(10_000),
                3..=5 => 0,
                _ => random.below(120),
            };
            let delete = random.chance(5);
            entries.push(Owned {
                key: key.clone(),
                number,
                kind: if delete { Kind::Delete } else { Kind::Put },
                expiry_ms: if random.chance(7) { random.next() } else { 0 },
                value: if delete { Vec::new() } else { random.bytes(value_bytes, 7) },
            });
            number += 1 + random.next() % 1000;
        }
    }
    // Numbers are spread over the keys: old versions of one key may be newer than another's.
    entries.sort_by(|a, b| compare((&a.key, a.number), (&b.key, b.number)));
    if random.chance(4) {
        // Long rows of deletes, with something in between.
        for entry in &mut entries {
            if !random.chance(8) {
                (entry.kind, entry.value) = (Kind::Delete, Vec::new());
            }
        }
    }
    entries
}

pub(super) fn random_options(random: &mut Random) -> KeyspaceOptions {
    KeyspaceOptions {
        compression: if random.chance(2) { Compression::Lz4 } else { Compression::None },
        filter_bits_x10: [0, 5, 100, 200][random.below(4)],
        block_bytes: [64, 100, 256, 1024, 4096, 65_536][random.below(6)],
        hash_index: random.chance(2),
    }
}

/// What `get` must answer.
fn expected<'a>(entries: &'a [Owned], key: &[u8], below: u64) -> Option<&'a Owned> {
    entries.iter().find(|e| e.key == key && e.number < below)
}

fn check_gets(table: &Arc<Table>, keyspace: KeyspaceId, entries: &[Owned], random: &mut Random) {
    for _ in 0..150 {
        let near = &entries[random.below(entries.len())];
        let mut key = near.key.clone();
        match random.below(6) {
            0 => key.push(0),
            1 => drop(key.pop()),
            2 if !key.is_empty() => *key.last_mut().unwrap() ^= 1,
            _ => {}
        }
        let below = match random.below(4) {
            0 => u64::MAX,
            1 => near.number,
            2 => near.number + 1,
            _ => random.next() % (near.number + 2),
        };

        let found = get(table, keyspace, &key, below).unwrap();

        assert_eq!(found.as_ref(), expected(entries, &key, below), "below {below}");
    }
}

/// Goes the short way up to `most` steps, which shows what `next` says and nothing that it must not;
/// returns the steps taken.
fn check_plain<'a>(
    cursor: &mut TableCursor,
    (below, limit): (u64, u128),
    most: usize,
    next: impl Fn(usize) -> Option<&'a Owned>,
) -> usize {
    let mut room = vec![0; 4000];
    if most == 1 {
        let Some(entry) = next(1) else {
            assert!(!cursor.next_plain(below, limit));
            return 0;
        };
        // The page has room for it, however long it is.
        room.resize(4000 + entry.key.len() + entry.value.len(), 0);
    }
    let mut page = Packed::new(&mut room, most);
    if most == 1 {
        if cursor.next_plain(below, limit) {
            let entry = Owned::of(cursor.entry().unwrap());
            assert!(page.push(&entry.key, &entry.value));
        }
    } else {
        cursor.pack_plain(below, limit, &mut page);
    }
    let (steps, used) = (page.entries(), page.used());
    let mut expected = Vec::new();
    for step in 1..=steps {
        let (before, entry) = (next(step - 1).unwrap(), next(step).unwrap());
        assert!(entry.kind == Kind::Put && entry.expiry_ms == 0 && entry.number < below);
        assert!(entry.key != before.key && head_of(&entry.key) < limit);
        for part in [&entry.key, &entry.value] {
            expected.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        }
        expected.extend_from_slice(&entry.key);
        expected.extend_from_slice(&entry.value);
    }
    assert_eq!(room[..used], expected);
    steps
}

/// A cursor driven by random moves stands where the same moves lead in the sorted list.
fn check_cursor(table: &Arc<Table>, keyspace: KeyspaceId, entries: &[Owned], random: &mut Random) {
    let mut cursor = table.cursor_with(keyspace, random.chance(2)).unwrap();
    assert!(cursor.entry().is_none(), "a new cursor is unpositioned");
    let mut at: Option<usize> = None;
    let place = |key: &[u8], number: u64| {
        entries.partition_point(|e| compare((&e.key, e.number), (key, number)).is_lt())
    };
    for _ in 0..300 {
        let near = &entries[random.below(entries.len())];
        let mut key = near.key.clone();
        if random.chance(3) {
            key.push(u8::try_from(random.below(3)).unwrap());
        }
        let number = [u64::MAX, 0, near.number, near.number + 1][random.below(4)];
        match random.below(16) {
            12.. => {
                let most = if random.chance(2) { 1 } else { random.below(9) };
                let steps = check_plain(&mut cursor, (number, head_of(&key)), most, |steps| {
                    entries.get(at? + steps)
                });
                at = at.map(|at| at + steps);
            }
            0 => {
                cursor.seek_first().unwrap();
                at = Some(0);
            }
            1 => {
                cursor.seek_last().unwrap();
                at = Some(entries.len() - 1);
            }
            2 | 3 => {
                cursor.seek_ge(&key, number).unwrap();
                at = Some(place(&key, number)).filter(|i| *i < entries.len());
            }
            4 | 5 => {
                cursor.seek_lt(&key, number).unwrap();
                at = place(&key, number).checked_sub(1);
            }
            6..=8 => {
                cursor.next().unwrap();
                at = at.map(|i| i + 1).filter(|i| *i < entries.len());
            }
            _ => {
                cursor.prev().unwrap();
                at = at.and_then(|i| i.checked_sub(1));
            }
        }

        assert_eq!(cursor.entry().map(Owned::of).as_ref(), at.map(|i| &entries[i]));
    }
}

fn check_model(seed: u64) {
    let mut random = Random(seed);
    let mut keyspace = 0;
    let mut sections = Sections::new();
    for _ in 0..=random.below(3) {
        keyspace += u32::try_from(random.below(5)).unwrap();
        let options = random_options(&mut random);
        sections.push((KeyspaceId(keyspace), options, random_entries(&mut random)));
        keyspace += 1;
    }

    let (bytes, meta) = build(&sections);
    let table =
        Table::open(MemFile::new(bytes), &meta.file, &BlockCache::new(200_000), seed % 2 == 1)
            .unwrap();

    table.verify().unwrap();
    let found: Vec<_> = table.sections().collect();
    assert_eq!(found, sections.iter().map(|s| s.0).collect::<Vec<_>>());
    assert!(get(&table, KeyspaceId(99), b"", u64::MAX).unwrap().is_none());
    for ((keyspace, _, entries), told) in sections.iter().zip(&meta.sections) {
        assert_eq!(table.section_meta(*keyspace).unwrap().as_ref(), Some(told));
        assert_eq!(told.entries, entries.len() as u64);
        assert_eq!(
            (&told.smallest, &told.largest),
            (&entries[0].key, &entries.last().unwrap().key)
        );
        assert!(scan(&table, *keyspace).unwrap() == *entries);
        check_gets(&table, *keyspace, entries, &mut random);
        check_cursor(&table, *keyspace, entries, &mut random);
        let shown = entries.iter().map(|e| (e.key.clone(), e.number, e.kind)).collect();
        let mut cursor = table.cursor_with(*keyspace, random.chance(2)).unwrap();
        walk_quickly(&mut cursor, &shown, &mut testing::Random::new(seed));
    }
}

#[test]
fn tables_answer_like_a_sorted_list() {
    for seed in 0..120 {
        if let Err(panic) = std::panic::catch_unwind(|| check_model(seed)) {
            println!("the seed was {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_key_with_many_versions_over_many_blocks_is_found_at_every_position() {
    for hash_index in [false, true] {
        let mut entries: Vec<_> = [(b"a", 3), (b"k", 500), (b"z", 3)]
            .iter()
            .flat_map(|(key, versions)| (1..=*versions).rev().map(move |v| (key, v * 10)))
            .map(|(key, number)| Owned::put(&key[..], number, &number.to_le_bytes()))
            .collect();
        entries.dedup();
        let options = KeyspaceOptions { hash_index, ..plain(64) };
        let (bytes, meta) = build(&vec![(KeyspaceId(0), options, entries.clone())]);
        let table = open(bytes, &meta.file).unwrap();

        for below in 0..5_020 {
            let found = get(&table, KeyspaceId(0), b"k", below).unwrap();
            assert_eq!(found.as_ref(), expected(&entries, b"k", below), "{below}");
        }
    }
}

#[test]
fn a_walk_over_an_empty_keyspace_goes_nowhere() {
    let (bytes, meta) = build(&vec![(KeyspaceId(1), plain(64), vec![Owned::put(b"a", 1, b"")])]);
    let table = open(bytes, &meta.file).unwrap();
    let mut cursor = table.cursor(KeyspaceId(0)).unwrap();

    cursor.seek_first().unwrap();
    cursor.seek_last().unwrap();
    cursor.seek_ge(b"", 0).unwrap();
    cursor.seek_lt(b"z", 0).unwrap();
    cursor.next().unwrap();
    cursor.prev().unwrap();

    assert!(cursor.entry().is_none());
}

#[test]
fn a_value_outlives_cursor_table_and_eviction() {
    for mapped in [false, true] {
        value_outlives_its_table(mapped);
    }
}

fn value_outlives_its_table(mapped: bool) {
    let entries = vec![Owned::put(b"a", 1, b"apple"), Owned::put(b"b", 2, &[9; 200])];
    let (bytes, meta) = build(&vec![(KeyspaceId(0), plain(64), entries)]);
    let cache = BlockCache::new(10_000);
    let table = Table::open(MemFile::new(bytes), &meta.file, &cache, mapped).unwrap();

    let found = table.get(KeyspaceId(0), b"a", Lsn(9)).unwrap().unwrap();
    drop(table);
    cache.set_capacity(0);

    assert_eq!(&*found.value, b"apple");
}

#[test]
fn values_that_are_held_are_written_as_copied_ones_are() {
    for (seed, compression) in (0..40).zip([Compression::None, Compression::Lz4].iter().cycle()) {
        let mut random = Random(seed);
        let options = KeyspaceOptions { compression: *compression, ..KeyspaceOptions::default() };
        let entries: Vec<Owned> = (0..60)
            .map(|i: u64| {
                let long = [0, 100, 1023, 1024, 4096, 70_000, 600_000][random.below(7)];
                let bytes = long + random.below(9);
                let mut put = Owned::put(format!("{i:04}").as_bytes(), i, &random.bytes(bytes, 9));
                put.expiry_ms = random.next() % 2 * 77;
                put
            })
            .collect();
        let file = MemFile::new(Vec::new());
        let mut builder = TableBuilder::new(file.clone(), NUMBER, FILE_ID);
        builder.start_section(KeyspaceId(1), &options);
        for entry in &entries {
            let hold = || (entry.number % 5 != 0).then(|| Held::of(entry.value.clone()));
            builder.add_holding(&entry.entry(), hold).unwrap();
        }
        builder.finish_section().unwrap();
        let meta = builder.finish().unwrap();

        let (copied, expected) = build(&vec![(KeyspaceId(1), options, entries)]);

        assert_eq!(meta, expected, "seed {seed}");
        assert!(*file.bytes.lock() == copied, "seed {seed}");
    }
}

#[test]
fn a_failed_write_of_held_values_is_the_error_of_every_later_call() {
    let file = MemFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, FILE_ID);
    builder.start_section(KeyspaceId(1), &plain(4096));
    *file.fail_writes.lock() = true;
    let value = vec![7; 300_000];
    let mut add = |i: u8| {
        let put = Owned::put(&[i], 1, &value);
        builder.add_holding(&put.entry(), || Some(Held::of(value.clone())))
    };

    let first = (0..9).find_map(|i| add(i).err()).expect("a buffer is written by then");

    assert_eq!(first.kind(), ErrorKind::Io);
    assert_eq!(add(9).unwrap_err().kind(), ErrorKind::Io);
    *file.fail_writes.lock() = false;
    assert_eq!(builder.finish_section().unwrap_err().kind(), ErrorKind::Io);
}
