//! Lookup against a model, the invariants on hostile manifests, and the life of table files.

use std::sync::atomic::Ordering;

use super::testing::{Store, first_edit, keyspace};
use super::{AnyCursor, LevelSizes, Load, Version};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Cursor, ErrorKind, FileNumber, KeyspaceId, Level, Lsn, filename};
use crate::manifest::{AddedSection, RemovedSection, VersionEdit};
use crate::merge::MergeCursor;
use crate::merge::testing::{Owned, Random, VecCursor, sort};
use crate::vfs::Dir;

const KS: KeyspaceId = KeyspaceId(0);
const OTHER: KeyspaceId = KeyspaceId(3);

/// A tree that keeps V1 to V3: level `n` holds the oldest entries, then upwards; level 0 newest.
fn random_tree(random: &mut Random, store: &Store) -> (Vec<AddedSection>, Vec<Owned>) {
    let (mut added, mut all, mut number) = (Vec::new(), Vec::new(), 1);
    let mut batch = |random: &mut Random| {
        let mut entries = Vec::new();
        for _ in 0..random.below(25) {
            let key = format!("{:02}", random.below(30));
            entries.push(match random.below(4) {
                0 => Owned::delete(key.as_bytes(), number),
                _ => Owned::put(key.as_bytes(), number, &number.to_le_bytes()),
            });
            number += 1;
        }
        sort(&mut entries);
        all.extend(entries.iter().cloned());
        entries
    };
    for level in (1..LEVEL_COUNT).rev() {
        let level = u8::try_from(level).unwrap();
        let mut rest = batch(random);
        while !rest.is_empty() {
            let cut = 1 + random.below(rest.len());
            let last = rest[cut - 1].key.clone();
            let cut = rest.partition_point(|e| e.key <= last);
            let tail = rest.split_off(cut);
            added.push(store.placed(KS, level, std::mem::replace(&mut rest, tail)));
        }
    }
    for _ in 0..random.below(5) {
        let entries = batch(random);
        if !entries.is_empty() {
            added.push(store.placed(KS, 0, entries));
        }
    }
    sort(&mut all);
    (added, all)
}

#[test]
fn lookup_finds_the_newest_version_below_every_position() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let store = Store::new();
        let (added, all) = random_tree(&mut random, &store);
        let version = Version::default().apply(&first_edit(&[0], added), &store.tables).unwrap();
        for below in 0..=all.len() as u64 + 2 {
            for key in 0..31 {
                let key = format!("{key:02}").into_bytes();

                let found = version.get(KS, &key, Lsn(below)).unwrap();

                let want = all.iter().find(|e| e.key == key && e.number < below);
                let found = found.map(|f| (f.number, f.kind, f.value.to_vec()));
                assert_eq!(found, want.map(|e| (e.number, e.kind, e.value.clone())));
            }
        }
    }
}

#[test]
fn merged_cursors_show_every_entry_in_both_directions() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let store = Store::new();
        let (added, all) = random_tree(&mut random, &store);
        let version = Version::default().apply(&first_edit(&[0], added), &store.tables).unwrap();
        let mut merged = MergeCursor::new(version.cursors_in(KS, None, None).unwrap());
        let mut model = VecCursor::new(all);
        for _ in 0..400 {
            let key = format!("{:02}", random.below(31)).into_bytes();
            let number = random.below(200) as u64;
            let choice = random.below(10);
            let step = |c: &mut dyn Cursor| match choice {
                0 => c.seek_first(),
                1 => c.seek_last(),
                2 => c.seek_ge(&key, number),
                3 => c.seek_lt(&key, number),
                4..=6 => c.next(),
                _ => c.prev(),
            };
            step(&mut merged).unwrap();
            step(&mut model).unwrap();
            assert_eq!(merged.entry(), model.entry(), "seed {seed} {choice} {key:?} {number}");
        }
    }
}

#[test]
fn a_level_with_more_tables_than_a_cursor_keeps_is_walked_to_and_fro() {
    let (store, mut random) = (Store::new(), Random::new(5));
    let (mut added, mut all) = (Vec::new(), Vec::new());
    for table in 0..50 {
        let key = |n: u64| format!("{:03}", 4 * table + n).into_bytes();
        let entries: Vec<_> = (0..3).map(|n| Owned::put(&key(n), 4 * table + n, b"v")).collect();
        all.extend(entries.iter().cloned());
        added.push(store.placed(KS, 2, entries));
    }
    let version = Version::default().apply(&first_edit(&[0], added), &store.tables).unwrap();
    let mut merged = MergeCursor::new(version.cursors_in(KS, None, None).unwrap());
    let mut model = VecCursor::new(all);
    for _ in 0..2000 {
        let key = format!("{:03}", random.below(204)).into_bytes();
        let choice = random.below(8);
        let step = |c: &mut dyn Cursor| match choice {
            0 | 1 => c.seek_ge(&key, u64::MAX),
            2 => c.seek_lt(&key, u64::MAX),
            3..=5 => c.next(),
            _ => c.prev(),
        };
        step(&mut merged).unwrap();
        step(&mut model).unwrap();
        assert_eq!(merged.entry(), model.entry(), "{choice} {key:?}");
        assert_eq!(merged.pair(), model.entry().map(|entry| (entry.key, entry.value)));
        if choice == 0 {
            // As by an iterator that closes and another one that opens.
            merged.sources().truncate(1);
            merged.sources().iter_mut().for_each(AnyCursor::let_go);
            assert!(merged.entry().is_none());
            merged.seek_ge(&key, u64::MAX).unwrap();
            assert_eq!(merged.entry(), model.entry(), "{key:?}");
        }
    }
}

#[test]
fn cursors_of_a_range_leave_out_what_cannot_meet_it() {
    let store = Store::new();
    let put = |key: &[u8], number| vec![Owned::put(key, number, b"")];
    let added = vec![
        store.placed(KS, 0, put(b"b", 30)),
        store.placed(KS, 0, put(b"m", 31)),
        store.placed(KS, 2, put(b"c", 20)),
        store.placed(KS, 2, put(b"n", 21)),
        store.placed(KS, 6, put(b"z", 10)),
    ];
    let version = Version::default().apply(&first_edit(&[0], added), &store.tables).unwrap();
    let shown = |lo: Option<&[u8]>, hi: Option<&[u8]>| {
        let cursors = version.cursors_in(KS, lo, hi).unwrap();
        let count = cursors.len();
        let mut merged = MergeCursor::new(cursors);
        merged.seek_first().unwrap();
        let mut keys = Vec::new();
        while let Some(entry) = merged.entry() {
            keys.extend_from_slice(entry.key);
            merged.next().unwrap();
        }
        (count, keys)
    };

    assert_eq!(shown(None, None), (4, b"bcmnz".to_vec()));
    assert_eq!(shown(Some(b"d"), Some(b"n")), (2, b"mn".to_vec()));
    assert_eq!(shown(Some(b"o"), None), (1, b"z".to_vec()));
    assert_eq!(shown(None, Some(b"c")), (2, b"bc".to_vec()));
    let levels = version.levels(KS).unwrap();
    assert_eq!(levels.overlaps(Level(2), b"c", b"c").len(), 1);
    assert_eq!(levels.overlaps(Level(2), b"d", b"m").len(), 0);
    assert_eq!(levels.overlaps(Level(0), b"a", b"m").len(), 2);
}

#[test]
fn keyspaces_do_not_see_each_other() {
    let store = Store::new();
    let put = |number, value: &[u8]| vec![Owned::put(b"k", number, value)];
    let (file, sections) = store.table(&[(KS, put(1, b"a")), (OTHER, put(2, b"b"))]);
    let place = |section| AddedSection { level: Level(0), file: file.clone(), section };
    let added = sections.into_iter().map(place).collect();
    let version = Version::default().apply(&first_edit(&[0, 3], added), &store.tables).unwrap();

    let value = |ks| version.get(ks, b"k", Lsn(9)).unwrap().map(|f| f.value.to_vec());

    assert_eq!(value(KS), Some(b"a".to_vec()));
    assert_eq!(value(OTHER), Some(b"b".to_vec()));
    assert_eq!(value(KeyspaceId(7)), None);
    assert_eq!(version.live_files().len(), 1);
    let stats = version.stats()[0];
    assert_eq!((stats.files, stats.sections, stats.entries), (1, 2, 2));
}

/// The error of placing sections, which must be corruption.
fn refused(store: &Store, keyspaces: &[u32], added: Vec<AddedSection>) {
    let made = Version::default().apply(&first_edit(keyspaces, added), &store.tables);
    assert_eq!(made.err().map(|e| e.kind()), Some(ErrorKind::Corrupt));
}

#[test]
fn manifests_that_break_the_order_of_levels_are_corrupt() {
    let store = Store::new();
    let puts = |keys: &[&[u8]], from: u64| -> Vec<Owned> {
        (from..).zip(keys).map(|(number, key)| Owned::put(key, number, b"")).collect()
    };
    let a_to_c = |level, from| store.placed(KS, level, puts(&[b"a", b"c"], from));
    let c_to_d = |level, from| store.placed(KS, level, puts(&[b"c", b"d"], from));

    refused(&store, &[0], vec![a_to_c(1, 1), c_to_d(1, 10)]);
    refused(&store, &[0], vec![a_to_c(0, 1), c_to_d(0, 2)]);
    refused(&store, &[0], vec![a_to_c(7, 1)]);
    refused(&store, &[1], vec![a_to_c(1, 1)]);
    let twice = a_to_c(1, 1);
    refused(&store, &[0], vec![twice.clone(), AddedSection { level: Level(2), ..twice.clone() }]);
    refused(&store, &[0], vec![twice.clone(), twice.clone()]);
    let mut reversed = twice.clone();
    std::mem::swap(&mut reversed.section.smallest, &mut reversed.section.largest);
    refused(&store, &[0], vec![reversed]);
    let mut resized = c_to_d(1, 9);
    resized.file.number = twice.file.number;
    resized.section.smallest = b"d".to_vec();
    refused(&store, &[0], vec![twice, resized]);
    let apart = vec![a_to_c(0, 1), store.placed(KS, 0, puts(&[b"d", b"e"], 1))];
    assert!(Version::default().apply(&first_edit(&[0], apart), &store.tables).is_ok());
}

#[test]
fn edits_that_do_not_fit_are_corrupt_and_not_accepted() {
    let store = Store::new();
    let placed = store.placed(KS, 1, vec![Owned::put(b"k", 1, b"")]);
    let edit = first_edit(&[0], vec![placed.clone()]);
    let version = Version::default().apply(&edit, &store.tables).unwrap();
    let remove = |level, file| VersionEdit {
        removed: vec![RemovedSection { level: Level(level), file, keyspace: KS }],
        ..VersionEdit::default()
    };

    for wrong in [remove(2, placed.file.number), remove(1, FileNumber(99)), edit] {
        assert!(version.apply(&wrong, &store.tables).is_err());
    }
    assert!(!version.accepts(&remove(2, placed.file.number)));
    let right = remove(1, placed.file.number);
    assert!(version.accepts(&right));
    let mut half = right.clone();
    half.removed.extend(remove(1, FileNumber(99)).removed);
    assert!(!version.accepts(&half));
    assert_eq!(version.apply(&right, &store.tables).unwrap().live_files().len(), 0);
    let drop = VersionEdit { dropped: vec![KS], ..right.clone() };
    let dropped = version.apply(&drop, &store.tables).unwrap();
    assert!(dropped.levels(KS).is_none());
    assert!(!dropped.accepts(&right));
    let unknown = VersionEdit { dropped: vec![OTHER], ..VersionEdit::default() };
    assert!(version.apply(&unknown, &store.tables).is_err());
    let again = VersionEdit { created: vec![keyspace(0)], ..VersionEdit::default() };
    assert!(version.apply(&again, &store.tables).is_err());
}

#[test]
fn a_file_is_unused_only_when_the_last_holder_is_gone() {
    let mut store = Store::new();
    let placed = store.placed(KS, 1, vec![Owned::put(b"k", 1, b"v")]);
    let number = placed.file.number;
    store.reopen_tables();
    let tables = store.tables.clone();
    let old = Version::default().apply(&first_edit(&[0], vec![placed]), &tables).unwrap();
    let removed = vec![RemovedSection { level: Level(1), file: number, keyspace: KS }];
    let edit = VersionEdit { removed, ..VersionEdit::default() };
    let new = old.apply(&edit, &tables).unwrap();

    tables.retire(number);

    assert!(tables.is_held(number));
    assert_eq!(tables.take_unused(), []);
    assert_eq!(tables.open_count(), 0);
    assert!(old.get(KS, b"k", Lsn(9)).unwrap().is_some(), "opened after it was retired");
    assert!(new.get(KS, b"k", Lsn(9)).unwrap().is_none());
    assert_eq!(tables.open_count(), 1);
    let mut cursors = old.cursors_in(KS, None, None).unwrap();
    cursors[0].seek_first().unwrap();
    drop(old);
    assert_eq!(tables.take_unused(), [], "the cursor holds it");
    store.dir.remove(&filename::table(number)).unwrap();
    assert_eq!(cursors[0].entry().unwrap().value, b"v");
    drop(cursors);
    assert_eq!(tables.take_unused(), [number]);
    assert_eq!(tables.take_unused(), []);
    assert!(!tables.is_held(number));
    tables.retire(FileNumber(77));
    assert_eq!(tables.take_unused(), [FileNumber(77)], "nobody ever held it");
}

#[test]
fn a_failed_opening_is_an_error_and_the_next_try_succeeds() {
    let store = Store::new();
    let placed = store.placed(KS, 1, vec![Owned::put(b"k", 1, b"v")]);
    let version = Version::default().apply(&first_edit(&[0], vec![placed]), &store.tables).unwrap();
    let faults = &store.dir.faults;
    faults.fail_read_at.store(faults.reads.load(Ordering::Relaxed) + 1, Ordering::Relaxed);

    assert_eq!(version.get(KS, b"k", Lsn(9)).err().map(|e| e.kind()), Some(ErrorKind::Io));
    assert!(version.get(KS, b"k", Lsn(9)).unwrap().is_some());
}

#[test]
fn a_seek_asks_for_all_blocks_that_it_lacks_before_it_waits_for_one() {
    let entries = |number| vec![Owned::put(b"a", number, b"1"), Owned::put(b"c", number + 1, b"2")];
    for at_once in [false, true] {
        let store = Store::new();
        let placed = [1, 11, 21].map(|number| store.placed(KS, 0, entries(number)));
        let edit = first_edit(&[0], placed.into_iter().collect());
        let version = Version::default().apply(&edit, &store.tables).unwrap();
        let faults = &store.dir.faults;
        faults.at_once.store(at_once, Ordering::Relaxed);
        let mut merged = MergeCursor::new(version.cursors_in(KS, None, None).unwrap());
        let read = || faults.reads.load(Ordering::Relaxed);

        let opened = read();
        merged.seek_ge(b"b", u64::MAX).unwrap();
        assert_eq!(merged.entry().unwrap().number, 22);
        assert_eq!(faults.asked.load(Ordering::Relaxed), 3);
        assert_eq!(read() - opened, 3, "each block is read once");

        merged.seek_ge(b"a", u64::MAX).unwrap();
        assert_eq!(merged.entry().unwrap().number, 21);
        assert_eq!(faults.asked.load(Ordering::Relaxed), 3, "all are in memory now");
    }
}

#[test]
fn every_failed_read_of_a_walk_is_an_error_and_never_an_end() {
    let mut random = Random::new(5);
    let mut store = Store::new();
    let (added, all) = random_tree(&mut random, &store);
    let edit = first_edit(&[0], added);
    let faults = store.dir.faults.clone();
    let mut failures = 0;
    for fail_at in 1.. {
        store.reopen_tables();
        let version = Version::default().apply(&edit, &store.tables).unwrap();
        faults.reads.store(0, Ordering::Relaxed);
        faults.fail_read_at.store(fail_at, Ordering::Relaxed);

        let walk = || {
            let mut merged = MergeCursor::new(version.cursors_in(KS, None, None)?);
            let mut count = 0;
            merged.seek_first()?;
            while merged.entry().is_some() {
                count += 1;
                merged.next()?;
            }
            merged.seek_last()?;
            while merged.entry().is_some() {
                count += 1;
                merged.prev()?;
            }
            crate::base::Result::Ok(count)
        };
        match walk() {
            Ok(count) => {
                assert_eq!(count, 2 * all.len());
                if faults.reads.load(Ordering::Relaxed) < fail_at {
                    break;
                }
                panic!("read {fail_at} failed in silence");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io),
        }
        failures += 1;
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn level_sizes_grow_from_the_last_level_up() {
    let sizes = LevelSizes { base_bytes: 100, multiplier: 10, level0_sections: 4, level0_bytes: 0 };
    let mut bytes = [0; LEVEL_COUNT];
    let mut base = |level: usize, have: u64| {
        bytes[level] = have;
        let targets = sizes.targets(&bytes);
        (targets.base.0, targets.bytes)
    };

    assert_eq!(base(6, 0), (6, [u64::MAX; 7]), "an empty tree begins with the last level");
    assert_eq!(base(6, 200).0, 6);
    let (level, targets) = base(6, 201);
    assert_eq!((level, targets[5], targets[6]), (5, 100, u64::MAX));
    let (level, targets) = base(6, 5000);
    assert_eq!((level, &targets[4..]), (4, &[100, 500, u64::MAX][..]));
    let (level, targets) = base(3, 1);
    assert_eq!((level, &targets[3..]), (3, &[100, 100, 500, u64::MAX][..]), "a used level stays");
    assert_eq!(base(6, 1 << 60).0, 1);
}

#[test]
fn level_0_is_due_when_it_has_sections_and_bytes_enough_or_very_many_sections() {
    let sizes = LevelSizes { level0_sections: 4, level0_bytes: 100, ..LevelSizes::default() };

    let permille = |sections, bytes| sizes.level0_permille(Load { sections, bytes });
    assert_eq!(permille(3, 1000), 750);
    assert_eq!(permille(4, 100), 1000);
    assert_eq!(permille(15, 99), 999);
    assert_eq!(permille(16, 0), 4000);
}

#[test]
fn a_table_without_the_section_that_the_manifest_names_is_corrupt() {
    let store = Store::new();
    let mut wrong = store.placed(KS, 1, vec![Owned::put(b"k", 1, b"v")]);
    wrong.section.largest = b"z".to_vec();
    let mut foreign = store.placed(KS, 2, vec![Owned::put(b"k", 1, b"v")]);
    foreign.section.keyspace = OTHER;
    let edit = first_edit(&[0, 3], vec![wrong, foreign]);
    let version = Version::default().apply(&edit, &store.tables).unwrap();

    for keyspace in [KS, OTHER] {
        let found = version.get(keyspace, b"k", Lsn(9));
        assert_eq!(found.err().map(|e| e.kind()), Some(ErrorKind::Corrupt));
        let mut cursors = version.cursors_in(keyspace, None, None).unwrap();
        assert_eq!(cursors[0].seek_first().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
