//! Every parameter has its effect, and every wrong one is an error that leaves nothing behind.

use std::path::PathBuf;

use lsmer::{ErrorKind, LsmIndex};

use super::{MEMTABLE_BYTES, key, noise, place};

/// An index of 20,000 entries in one table.
fn filled(path: &PathBuf, use_bloom_filters: bool, rate: f64) -> LsmIndex {
    let index = LsmIndex::new(32 << 20, path, None, use_bloom_filters, rate).unwrap();
    for i in 0..20_000 {
        index.insert(key(2 * i), noise(i as u64, 20)).unwrap();
    }
    index.compact().unwrap();
    index
}

/// Blocks that were looked at for 20,000 keys that are not there.
fn looks_for_absent_keys(index: &LsmIndex) -> u64 {
    let looks = || index.stat("cache_hits").unwrap() + index.stat("cache_misses").unwrap();
    let before = looks();
    for i in 0..20_000 {
        assert_eq!(index.get(&key(2 * i + 1)).unwrap(), None);
    }
    looks() - before
}

#[test]
fn filters_answer_for_absent_keys_as_often_as_the_rate_says() {
    for rate in [0.3, 0.1, 0.03, 0.01, 0.003, 0.001] {
        let (_temporary, path) = place();
        let index = filled(&path, true, rate);

        let looks = looks_for_absent_keys(&index);

        let expected = rate * 20_000.0;
        // Three standard deviations, and a tenth for what the hash is not perfect in.
        let most = expected * 1.1 + 3.0 * expected.sqrt();
        let least = expected * 0.6 - 3.0 * expected.sqrt();
        let counted = f64::from(u32::try_from(looks).unwrap());
        assert!((least..most).contains(&counted), "{looks} looks at a rate of {rate}");
    }
}

#[test]
fn without_filters_every_absent_key_costs_a_look() {
    let (_temporary, path) = place();
    let index = filled(&path, false, 0.01);

    let looks = looks_for_absent_keys(&index);

    // The last key lies behind the last entry: that one costs none.
    assert!((19_990..=20_000).contains(&looks), "{looks}");
}

#[test]
fn filters_cost_bytes_of_tables_that_grow_as_the_rate_shrinks() {
    let bytes = |use_bloom_filters, rate| {
        let (_temporary, path) = place();
        filled(&path, use_bloom_filters, rate).stat("table_bytes").unwrap()
    };

    let none = bytes(false, 0.01);
    let few = bytes(true, 0.1);
    let more = bytes(true, 0.01);
    let most = bytes(true, 0.0001);

    // 20,000 keys with about 5, 10 and 22 bits.
    assert!(none + 20_000 * 5 / 8 * 8 / 10 < few, "{none} {few}");
    assert!(few + 10_000 < more, "{few} {more}");
    assert!(more + 20_000 < most, "{more} {most}");
}

#[test]
fn filters_can_be_given_up_when_an_index_is_opened_again() {
    let (_temporary, path) = place();
    drop(filled(&path, true, 0.001));
    let index = LsmIndex::new(32 << 20, &path, None, false, 0.001).unwrap();
    let with_filters = index.stat("table_bytes").unwrap();

    // Something to merge with, so that the tables are written anew.
    index.insert(key(0), noise(0, 20)).unwrap();
    index.insert(key(39_998), noise(19_999, 20)).unwrap();
    index.compact().unwrap();

    assert!(index.stat("table_bytes").unwrap() + 20_000 < with_filters);
    assert_eq!(index.range(..).unwrap().count(), 20_000);
}

#[test]
fn a_smaller_memtable_is_written_out_more_often() {
    let flushes = |memtable_bytes| {
        let (_temporary, path) = place();
        let index = LsmIndex::new(memtable_bytes, &path, None, true, 0.01).unwrap();
        for i in 0..10_000 {
            index.insert(key(i), noise(i as u64, 100)).unwrap();
        }
        index.flush().unwrap();
        index.stat("flushes").unwrap()
    };

    // About 2 MB of entries with their headers.
    let (small, large) = (flushes(64 << 10), flushes(64 << 20));

    assert!(small >= 20, "{small} flushes with memtables of 64 KiB");
    // The first memtable of a database is small, however large the others may be.
    assert!(large <= 3, "{large} flushes with memtables of 64 MiB");
}

#[test]
fn the_smallest_memtable_works() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(1, &path, None, true, 0.01).unwrap();
    for i in 0..1000 {
        index.insert(key(i), noise(i as u64, i % 3000)).unwrap();
    }
    drop(index);

    let index = LsmIndex::new(4097, &path, None, true, 0.01).unwrap();
    for i in 0..1000 {
        assert_eq!(index.get(&key(i)).unwrap(), Some(noise(i as u64, i % 3000)));
    }
}

#[test]
fn wrong_parameters_are_refused_and_create_nothing() {
    let (_temporary, path) = place();
    let refused = [
        LsmIndex::new(0, &path, None, true, 0.01),
        LsmIndex::new((1 << 30) + 1, &path, None, true, 0.01),
        LsmIndex::new(usize::MAX, &path, None, true, 0.01),
        LsmIndex::new(MEMTABLE_BYTES, &path, Some(0), true, 0.01),
        LsmIndex::new(MEMTABLE_BYTES, &path, None, true, 0.0),
        LsmIndex::new(MEMTABLE_BYTES, &path, None, true, 1.0),
        LsmIndex::new(MEMTABLE_BYTES, &path, None, true, -0.5),
        LsmIndex::new(MEMTABLE_BYTES, &path, None, true, f64::NAN),
    ];

    for (i, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid, "number {i}");
    }
    assert!(!path.exists());
}

#[test]
fn a_rate_without_filters_is_not_looked_at() {
    let (_temporary, path) = place();

    for rate in [0.0, 1.0, f64::NAN] {
        LsmIndex::new(MEMTABLE_BYTES, &path, Some(u64::MAX), false, rate).unwrap();
    }
}

#[test]
fn a_directory_may_be_named_in_any_way() {
    let (_temporary, path) = place();
    let text = path.to_str().unwrap().to_owned();

    drop(LsmIndex::new(MEMTABLE_BYTES, path.clone(), None, true, 0.01).unwrap());
    drop(LsmIndex::new(MEMTABLE_BYTES, path.as_path(), None, true, 0.01).unwrap());
    drop(LsmIndex::new(MEMTABLE_BYTES, text.as_str(), None, true, 0.01).unwrap());
    drop(LsmIndex::new(MEMTABLE_BYTES, text, None, true, 0.01).unwrap());
    let deep = path.join("x/y/z");
    drop(LsmIndex::new(MEMTABLE_BYTES, deep.as_os_str(), None, true, 0.01).unwrap());
    assert!(deep.is_dir());
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let (temporary, _) = place();
    std::fs::write(temporary.path().join("letter.txt"), b"dear").unwrap();

    let refused = LsmIndex::new(MEMTABLE_BYTES, temporary.path(), None, true, 0.01);

    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
}
