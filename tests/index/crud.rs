//! Insert, get, remove and range, in memory and in tables, and after reopening.

use std::collections::BTreeMap;
use std::ops::Bound;

use lsmer::{ErrorKind, LsmIndex};

use super::{key, open, place, value};

#[test]
fn an_entry_is_there_from_insert_to_remove() {
    let (_temporary, path) = place();
    let index = open(&path);
    assert_eq!(index.get("a").unwrap(), None);

    index.insert("a".to_owned(), b"1".to_vec()).unwrap();
    assert_eq!(index.get("a").unwrap(), Some(b"1".to_vec()));
    index.insert("a".to_owned(), b"2".to_vec()).unwrap();
    assert_eq!(index.get("a").unwrap(), Some(b"2".to_vec()));
    index.remove("a").unwrap();
    assert_eq!(index.get("a").unwrap(), None);

    index.insert("a".to_owned(), b"3".to_vec()).unwrap();
    assert_eq!(index.get("a").unwrap(), Some(b"3".to_vec()));
}

#[test]
fn removing_what_is_not_there_is_no_error() {
    let (_temporary, path) = place();
    let index = open(&path);

    index.remove("nothing").unwrap();

    assert_eq!(index.get("nothing").unwrap(), None);
    assert_eq!(index.range(..).unwrap().count(), 0);
}

#[test]
fn keys_and_values_may_be_empty_large_and_any_text() {
    let (_temporary, path) = place();
    let index = open(&path);
    let entries = [
        (String::new(), Vec::new()),
        ("k".to_owned(), Vec::new()),
        ("\0\0".to_owned(), vec![0; 3]),
        ("z".repeat(65_535), b"long".to_vec()),
        ("large".to_owned(), vec![7; 5 << 20]),
        ("\u{1f980} crab".to_owned(), vec![0xff; 100]),
    ];

    for (key, value) in &entries {
        index.insert(key.clone(), value.clone()).unwrap();
    }

    for (key, value) in &entries {
        assert!(index.get(key).unwrap().as_ref() == Some(value), "{:?}", key.get(..1));
    }
    let refused = index.insert("z".repeat(65_536), Vec::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(index.range(..).unwrap().count(), entries.len());
}

/// The state of an index must be this map, in every way of looking.
fn assert_is(index: &LsmIndex, model: &BTreeMap<String, Vec<u8>>) {
    let entries: Vec<_> = index.range(..).unwrap().collect();
    let expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert!(entries == expected, "{} entries instead of {}", entries.len(), expected.len());
    for (key, value) in model {
        assert_eq!(index.get(key).unwrap().as_ref(), Some(value), "{key}");
    }
}

#[test]
fn entries_stay_the_same_through_flush_compaction_and_reopening() {
    let (_temporary, path) = place();
    let mut model = BTreeMap::new();
    let mut index = open(&path);
    for round in 0..4 {
        for i in (0..3000).step_by(round + 1) {
            index.insert(key(i), value(i + round)).unwrap();
            model.insert(key(i), value(i + round));
        }
        for i in (round..3000).step_by(7) {
            index.remove(&key(i)).unwrap();
            model.remove(&key(i));
        }

        assert_is(&index, &model);
        match round {
            0 => index.flush().unwrap(),
            1 => index.compact().unwrap(),
            2 => {
                index.close().unwrap();
                index = open(&path);
            }
            _ => {
                drop(index);
                index = open(&path);
            }
        }
        assert_is(&index, &model);
    }
}

#[test]
fn a_range_gives_the_keys_between_its_bounds_in_order() {
    let (_temporary, path) = place();
    let index = open(&path);
    // In tables, in memory, and removed in between.
    for i in (0..1000).rev() {
        index.insert(key(i), value(i)).unwrap();
    }
    index.flush().unwrap();
    for i in (0..1000).step_by(3) {
        index.remove(&key(i)).unwrap();
    }
    let model: BTreeMap<_, _> =
        (0..1000).filter(|i| i % 3 != 0).map(|i| (key(i), value(i))).collect();

    let bounds: [(Bound<String>, Bound<String>); 7] = [
        (Bound::Included(key(100)), Bound::Excluded(key(200))),
        (Bound::Excluded(key(100)), Bound::Included(key(200))),
        (Bound::Included(key(101)), Bound::Included(key(101))),
        (Bound::Included("key0001".to_owned()), Bound::Excluded("key00019".to_owned())),
        (Bound::Unbounded, Bound::Excluded(key(5))),
        (Bound::Excluded(key(995)), Bound::Unbounded),
        (Bound::Unbounded, Bound::Unbounded),
    ];
    for bounds in bounds {
        let found: Vec<_> = index.range(bounds.clone()).unwrap().collect();
        let expected: Vec<_> =
            model.range(bounds.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, expected, "{bounds:?}");
    }
    let half_open: Vec<_> = index.range(key(998)..key(999)).unwrap().collect();
    assert_eq!(half_open, [(key(998), value(998))]);
}

#[test]
fn bounds_that_leave_no_room_give_nothing() {
    let (_temporary, path) = place();
    let index = open(&path);
    for i in 0..10 {
        index.insert(key(i), value(i)).unwrap();
    }
    index.insert(String::new(), value(0)).unwrap();

    assert_eq!(index.range(key(5)..key(5)).unwrap().count(), 0);
    assert_eq!(index.range(key(6)..key(5)).unwrap().count(), 0);
    assert_eq!(index.range(key(20)..key(30)).unwrap().count(), 0);
    assert_eq!(index.range(..String::new()).unwrap().count(), 0);
    assert_eq!(index.range(..=String::new()).unwrap().count(), 1);
    let between = (Bound::Excluded(key(5)), Bound::Excluded(key(5)));
    assert_eq!(index.range(between).unwrap().count(), 0);
}

#[test]
fn a_range_shows_the_moment_of_its_beginning() {
    let (_temporary, path) = place();
    let index = open(&path);
    for i in 0..500 {
        index.insert(key(i), value(i)).unwrap();
    }
    let mut scan = index.range(..).unwrap();
    let first = scan.next();

    for i in 0..500 {
        if i % 2 == 0 {
            index.remove(&key(i)).unwrap();
        } else {
            index.insert(key(i), b"new".to_vec()).unwrap();
        }
        index.insert(format!("{}+", key(i)), b"added".to_vec()).unwrap();
    }
    index.compact().unwrap();

    let seen: Vec<_> = first.into_iter().chain(scan).collect();
    let expected: Vec<_> = (0..500).map(|i| (key(i), value(i))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn an_index_that_is_open_is_not_opened_again() {
    let (_temporary, path) = place();
    let index = open(&path);

    let second = LsmIndex::new(1 << 20, &path, None, true, 0.01);

    assert_eq!(second.unwrap_err().kind(), ErrorKind::Locked);
    drop(index);
    open(&path).close().unwrap();
}

#[test]
fn a_rotten_table_is_an_error_and_never_an_end() {
    let (_temporary, path) = place();
    let index = open(&path);
    for i in 0..2000 {
        index.insert(key(i), value(i)).unwrap();
    }
    index.flush().unwrap();
    index.close().unwrap();
    let tables = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.filter(|p| p.extension().is_some_and(|e| e == "sst")).max().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    let third = bytes.len() / 3;
    bytes[third] ^= 0x10;
    std::fs::write(&table, bytes).unwrap();

    let index = open(&path);
    let entries: Result<Vec<_>, _> = index.try_range(..).unwrap().collect();
    assert_eq!(entries.unwrap_err().kind(), ErrorKind::Corrupt);
    let scan = std::panic::AssertUnwindSafe(|| index.range(..).unwrap().count());
    assert!(std::panic::catch_unwind(scan).is_err(), "a scan that was cut short looked whole");
    let reads: Vec<_> = (0..2000).map(|i| index.get(&key(i))).collect();
    assert!(reads.iter().any(Result::is_err));
    for (i, read) in reads.into_iter().enumerate() {
        if let Ok(found) = read {
            assert_eq!(found, Some(value(i)), "wrong data instead of an error");
        }
    }
}
