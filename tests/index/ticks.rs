//! Compaction by the clock: what was removed leaves the disk without a further call.

use std::time::{Duration, Instant};

use lsmer::LsmIndex;

use super::{MEMTABLE_BYTES, is_on_disk, key, noise, place, within};

/// Longer than any tick takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn removed_bytes_leave_the_disk_by_themselves() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(MEMTABLE_BYTES, &path, Some(1), true, 0.01).unwrap();
    let secret = noise(1 << 40, 64);
    for i in 0..1000 {
        let value = if i == 500 { secret.clone() } else { noise(i as u64, 64) };
        index.insert(key(i), value).unwrap();
    }
    assert!(within(PATIENCE, || index.stat("table_bytes").unwrap() > 0), "no tick made a table");
    assert!(is_on_disk(&path, &secret), "the test could not fail");

    index.remove(&key(500)).unwrap();

    assert!(within(PATIENCE, || !is_on_disk(&path, &secret)), "what was removed is still there");
    assert_eq!(index.range(..).unwrap().count(), 999);
}

#[test]
fn overwritten_bytes_leave_the_disk_by_themselves() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(MEMTABLE_BYTES, &path, Some(1), false, 0.5).unwrap();
    let secret = noise(2, 64);
    index.insert("k".to_owned(), secret.clone()).unwrap();
    index.flush().unwrap();
    assert!(is_on_disk(&path, &secret), "the test could not fail");

    index.insert("k".to_owned(), b"new".to_vec()).unwrap();

    assert!(within(PATIENCE, || !is_on_disk(&path, &secret)), "the old value is still there");
    assert_eq!(index.get("k").unwrap(), Some(b"new".to_vec()));
}

#[test]
fn an_index_whose_entries_are_all_removed_shrinks_to_nothing() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(64 << 10, &path, Some(1), true, 0.01).unwrap();
    for i in 0..20_000 {
        index.insert(key(i), noise(i as u64, 100)).unwrap();
    }
    for i in 0..20_000 {
        index.remove(&key(i)).unwrap();
    }

    assert!(within(PATIENCE, || index.stat("table_bytes").unwrap() == 0), "tables are left");
    let tables = || {
        let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|p| p.extension().is_some_and(|e| e == "sst")).count()
    };
    assert!(within(PATIENCE, || tables() == 0), "files of tables are left");
}

#[test]
fn without_an_interval_nothing_is_compacted_by_the_clock() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(MEMTABLE_BYTES, &path, None, true, 0.01).unwrap();
    index.insert("k".to_owned(), b"v".to_vec()).unwrap();

    std::thread::sleep(Duration::from_millis(1500));

    assert_eq!(index.stat("flushes").unwrap(), 0);
    assert_eq!(index.stat("compactions").unwrap(), 0);
}

#[test]
fn ticks_without_writes_do_nothing() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(MEMTABLE_BYTES, &path, Some(1), true, 0.01).unwrap();
    index.insert("k".to_owned(), b"v".to_vec()).unwrap();
    assert!(within(PATIENCE, || index.stat("table_bytes").unwrap() > 0), "no tick made a table");
    // The tick that made the table may still be merging it.
    std::thread::sleep(Duration::from_secs(2));
    let counted = |name: &str| index.stat(name).unwrap();
    let before = (counted("flushes"), counted("compactions"), counted("rotations"));

    std::thread::sleep(Duration::from_millis(2500));

    assert_eq!((counted("flushes"), counted("compactions"), counted("rotations")), before);
}

#[test]
fn an_index_that_waits_for_a_late_tick_closes_at_once() {
    let (_temporary, path) = place();
    let index = LsmIndex::new(MEMTABLE_BYTES, &path, Some(1_000_000), true, 0.01).unwrap();
    index.insert("k".to_owned(), b"v".to_vec()).unwrap();

    let start = Instant::now();
    drop(index);

    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn an_index_closes_in_the_middle_of_a_tick() {
    let (_temporary, path) = place();
    for round in 0..5 {
        let index = LsmIndex::new(64 << 10, &path, Some(1), true, 0.01).unwrap();
        for i in 0..20_000 {
            index.insert(key(i), noise((i + round) as u64, 100)).unwrap();
        }
        // The first tick is about now.
        std::thread::sleep(Duration::from_millis(200 * round as u64 + 100));
        index.close().unwrap();
    }

    let index = LsmIndex::new(64 << 10, &path, None, true, 0.01).unwrap();
    for i in 0..20_000 {
        assert_eq!(index.get(&key(i)).unwrap(), Some(noise((i + 4) as u64, 100)));
    }
}
