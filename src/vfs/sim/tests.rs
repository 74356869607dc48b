//! Tests of the simulated file system: what a process sees, and what it is counted and refused.

mod crashes;
mod faults;

use std::path::Path;
use std::sync::Arc;

use super::content::Content;
use super::{PowerLoss, SimFs};
use crate::base::ErrorKind;
use crate::vfs::{Dir, File, LockMode, Vfs};

/// A disk with the durable, empty directory `/db`.
fn disk() -> (Arc<SimFs>, Arc<dyn Dir>) {
    let fs = SimFs::new();
    let dir = fs.open_dir(Path::new("/db"), true).unwrap();
    (fs, dir)
}

fn synced(dir: &Arc<dyn Dir>, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = dir.create(name).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    dir.sync().unwrap();
    file
}

fn reopen(fs: &Arc<SimFs>) -> Arc<dyn Dir> {
    fs.open_dir(Path::new("/db"), false).unwrap()
}

/// The outcomes of 200 seeds, without repetition.
fn outcomes<T: Ord>(fs: &SimFs, how: PowerLoss, look: impl Fn(&SimFs) -> T) -> Vec<T> {
    let mut found: Vec<T> = (0..200).map(|seed| look(&fs.power_loss(how, seed))).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn written_bytes_are_read_back_across_pages() {
    let (fs, dir) = disk();
    let file = dir.create("000001.sst").unwrap();
    let bytes: Vec<u8> = (0..10_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut buf = vec![0; 20_000];

    file.write_at(&bytes, 3000).unwrap();

    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 13_000);
    assert!(buf[..3000].iter().all(|byte| *byte == 0));
    assert_eq!(buf[3000..13_000], bytes);
    assert_eq!(file.read_at(&mut buf[..7], 12_999).unwrap(), 1);
    assert_eq!(file.read_at(&mut buf, 13_000).unwrap(), 0);
    assert_eq!(fs.read_file("/db/000001.sst").unwrap().len(), 13_000);
    assert_eq!(fs.files(), [("/db/000001.sst".to_owned(), 13_000)]);
}

#[test]
fn what_was_cut_off_comes_back_as_zeros() {
    let mut content = Content::default();
    content.write(&[7; 5000], 0);

    content.set_len(4100);
    content.grow(5000);
    let mut buf = [9; 5000];
    content.read(&mut buf, 0);

    assert!(buf[..4100].iter().all(|byte| *byte == 7));
    assert!(buf[4100..].iter().all(|byte| *byte == 0));
}

#[test]
fn names_follow_create_rename_and_remove() {
    let (_fs, dir) = disk();
    dir.create("CURRENT").unwrap().write_at(b"old", 0).unwrap();
    let new = dir.create("CURRENT.tmp").unwrap();
    new.write_at(b"newer", 0).unwrap();

    assert_eq!(dir.create("CURRENT").err().unwrap().os_errno(), libc::EEXIST);
    dir.rename("CURRENT.tmp", "CURRENT").unwrap();

    assert_eq!(dir.open("CURRENT", false).unwrap().len().unwrap(), 5);
    assert_eq!(dir.open("CURRENT.tmp", false).err().unwrap().os_errno(), libc::ENOENT);
    assert_eq!(dir.rename("none", "CURRENT").err().unwrap().os_errno(), libc::ENOENT);
    dir.remove("CURRENT").unwrap();
    assert_eq!(new.len().unwrap(), 5, "an open file outlives its name");
    assert!(dir.list().unwrap().is_empty());
    assert_eq!(dir.create("a/b").err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn directories_are_made_only_when_asked_and_removed_only_when_empty() {
    let fs = SimFs::new();
    let path = Path::new("/a/b/../b/c");
    assert_eq!(fs.open_dir(path, false).err().unwrap().kind(), ErrorKind::Invalid);

    let dir = fs.open_dir(path, true).unwrap();
    dir.create("x").unwrap();

    assert!(fs.open_dir(Path::new("a/b/c"), false).is_ok());
    assert_eq!(fs.remove_dir(path).err().unwrap().kind(), ErrorKind::Invalid);
    dir.remove("x").unwrap();
    fs.remove_dir(path).unwrap();
    assert_eq!(fs.open_dir(path, false).err().unwrap().kind(), ErrorKind::Invalid);
    assert_eq!(fs.remove_dir(path).err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn a_reading_handle_neither_writes_nor_maps() {
    let (_fs, dir) = disk();
    synced(&dir, "000001.wal", &[0; 4096]);

    let reader = dir.open("000001.wal", false).unwrap();

    assert_eq!(reader.write_at(b"x", 0).err().unwrap().os_errno(), libc::EBADF);
    assert_eq!(reader.map(4096).err().unwrap().os_errno(), libc::EACCES);
    assert_eq!(reader.allocate(9).err().unwrap().os_errno(), libc::EBADF);
    let writer = dir.open("000001.wal", true).unwrap();
    assert_eq!(writer.map(4097).err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn mapped_stores_are_in_the_file_at_once() {
    let (fs, dir) = disk();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(8192).unwrap();
    let map = file.map(8192).unwrap();

    map.store(4094, b"fox!");
    map.store_words(16, &[0x0102]);
    map.release(8192);
    map.store(0, b"late");

    let bytes = fs.read_file("/db/000001.wal").unwrap();
    assert_eq!(&bytes[4094..4098], b"fox!");
    assert_eq!(&bytes[16..20], [2, 1, 0, 0]);
    assert_eq!(&bytes[..4], b"late");
}

#[test]
#[should_panic(expected = "beyond a mapping")]
fn a_store_beyond_the_mapping_panics() {
    let (_fs, dir) = disk();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(8192).unwrap();

    file.map(4096).unwrap().store(4095, b"xy");
}

#[test]
fn the_lock_tells_its_owner_and_goes_with_the_process() {
    let (fs, dir) = disk();
    let other = fs.open_dir(Path::new("/x/../db"), false).unwrap();

    let held = dir.lock(LockMode::Exclusive, 42).unwrap();
    let error = other.lock(LockMode::Shared, 43).err().unwrap();

    assert_eq!((error.kind(), error.detail0()), (ErrorKind::Locked, 42));
    assert_eq!(fs.read_file("/db/LOCK").unwrap(), b"42        \n");
    dir.remove("LOCK").unwrap();
    assert!(other.lock(LockMode::Exclusive, 43).is_err());
    assert!(reopen(&fs.process_death()).lock(LockMode::Exclusive, 43).is_ok());
    drop(held);
    assert!(other.lock(LockMode::Exclusive, 43).is_ok());
}

#[test]
fn readers_share_the_lock_and_create_nothing() {
    let (fs, dir) = disk();

    let first = dir.lock(LockMode::Shared, 1).unwrap();
    let second = dir.lock(LockMode::Shared, 2).unwrap();

    assert_eq!(dir.lock(LockMode::Exclusive, 3).err().unwrap().kind(), ErrorKind::Locked);
    assert!(fs.files().is_empty());
    drop((first, second));
    assert!(dir.lock(LockMode::Exclusive, 3).is_ok());
}

#[test]
fn the_quota_stops_growth_at_its_byte_and_removal_gives_room() {
    let (fs, dir) = disk();
    fs.set_quota(Some(100));
    let file = dir.create("000001.sst").unwrap();
    file.write_at(&[1; 60], 0).unwrap();

    let error = file.write_at(&[2; 60], 50).err().unwrap();
    let other = dir.create("000002.sst").unwrap();

    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::NoSpace, libc::ENOSPC));
    assert_eq!(file.len().unwrap(), 100);
    assert_eq!(dir.free_bytes().unwrap(), 0);
    assert_eq!(other.allocate(1).err().unwrap().kind(), ErrorKind::NoSpace);
    file.write_at(&[3; 100], 0).unwrap();
    drop(file);
    dir.remove("000001.sst").unwrap();
    other.allocate(100).unwrap();
}

#[test]
fn mounts_say_what_the_test_chose() {
    let (fs, dir) = disk();
    assert!(dir.mount().unwrap().mapped_log);

    fs.set_mapped_log(false);

    assert!(!dir.mount().unwrap().mapped_log);
    assert!(!reopen(&fs.process_death()).mount().unwrap().mapped_log);
}

#[test]
fn tests_can_change_stored_files_for_good() {
    let (fs, dir) = disk();
    synced(&dir, "000001.sst", b"fox");
    dir.open("000001.sst", true).unwrap().write_at(b"xx", 0).unwrap();

    fs.write_file("/db/000001.sst", b"fix");
    fs.write_file("/db/000002.sst", b"new");
    let left = fs.power_loss(PowerLoss::Nothing, 1);

    assert_eq!(left.read_file("/db/000001.sst").unwrap(), b"fix");
    assert_eq!(left.read_file("/db/000002.sst").unwrap(), b"new");
    assert!(left.remove_file("/db/000002.sst"));
    assert!(!left.remove_file("/db/000002.sst"));
    assert_eq!(left.files(), [("/db/000001.sst".to_owned(), 3)]);
}

#[test]
fn one_run_can_end_in_many_ways_without_changing() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"aaaa");
    file.write_at(b"bb", 0).unwrap();

    let first = fs.process_death();
    reopen(&first).open("000001.wal", true).unwrap().write_at(b"first", 0).unwrap();
    let second = fs.power_loss(PowerLoss::Nothing, 0);
    reopen(&second).open("000001.wal", true).unwrap().write_at(b"2", 3).unwrap();

    assert_eq!(fs.read_file("/db/000001.wal").unwrap(), b"bbaa");
    assert_eq!(first.read_file("/db/000001.wal").unwrap(), b"first");
    assert_eq!(second.read_file("/db/000001.wal").unwrap(), b"aaa2");
}
