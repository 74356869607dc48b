//! Tests on a real directory: files, mapping, creation of directories.

use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::PosixVfs;
use super::file::PosixFile;
use crate::base::ErrorKind;
use crate::vfs::{Dir, Expect, File, Vfs};

mod locks;

/// A scratch directory and lsmer's view of it.
fn scratch() -> (TempDir, Arc<dyn Dir>) {
    let temp = TempDir::new().unwrap();
    let dir = PosixVfs.open_dir(temp.path(), false).unwrap();
    (temp, dir)
}

fn content(path: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let mut file = std::fs::OpenOptions::new().read(true).open(path).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn gathered_bytes_are_written_one_after_the_other_however_many_pieces_there_are() {
    let (temp, dir) = scratch();
    let file = dir.create("000001.sst").unwrap();
    let pieces: Vec<Vec<u8>> = (0..3000_usize)
        .map(|i| vec![u8::try_from(i % 251).unwrap(); if i % 7 == 0 { 0 } else { i % 5 * 40 }])
        .collect();
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();

    file.write_gathered(&mut slices, 3).unwrap();
    file.write_gathered(&mut [], 1).unwrap();
    file.write_gathered(&mut [IoSlice::new(b""), IoSlice::new(b"")], 1).unwrap();
    file.start_write_out(0, 4096);
    file.start_write_out(9, 9);
    file.start_write_out(1 << 40, 1 << 41);
    file.sync().unwrap();

    assert_eq!(content(&temp.path().join("000001.sst"))[3..], pieces.concat());
    let reader = dir.open("000001.sst", false).unwrap();
    let refused = reader.write_gathered(&mut [IoSlice::new(b"x")], 0).unwrap_err();
    assert_eq!((refused.kind(), refused.os_errno()), (ErrorKind::Io, libc::EBADF));
}

#[test]
fn written_bytes_are_read_back_at_their_offsets() {
    let (temp, dir) = scratch();
    let file = dir.create("000001.sst").unwrap();
    let mut buf = [9; 8];

    file.write_at(b"brown fox", 4).unwrap();
    file.sync().unwrap();
    dir.sync().unwrap();
    let at_end = file.read_at(&mut buf, 8).unwrap();

    assert_eq!((at_end, &buf[..5]), (5, &b"n fox"[..]));
    assert_eq!(file.read_at(&mut buf, 13).unwrap(), 0);
    assert!(!file.read_now(&mut buf, 8), "there is less");
    // Not every file system can tell.
    assert!(!file.read_now(&mut buf[..3], 10) || &buf[..3] == b"fox");
    assert_eq!(file.read_at(&mut buf, 99).unwrap(), 0);
    assert_eq!(file.len().unwrap(), 13);
    assert_eq!(file.name(), "000001.sst");
    assert_eq!(content(&temp.path().join("000001.sst")), b"\0\0\0\0brown fox");
}

#[test]
#[cfg(target_os = "linux")]
fn direct_reads_give_any_range_of_what_was_synced_or_say_that_they_cannot() {
    let (_temp, dir) = scratch();
    let bytes: Vec<u8> =
        (0..50_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let file = dir.create("000001.sst").unwrap();
    file.write_at(&bytes, 0).unwrap();
    file.sync().unwrap();
    assert!(dir.open_direct("000002.sst").is_err());

    // Not every file system has them.
    let Ok(direct) = dir.open_direct("000001.sst") else { return };
    for (offset, lengths) in [
        (0, &[1][..]),
        (0, &[4096]),
        (511, &[2, 0, 4096]),
        (4095, &[4098, 1, 9000]),
        (12_345, &[7, 4096, 4108, 12]),
        (49_990, &[5, 5, 5, 5]),
        (49_664, &[400]),
        (50_001, &[10]),
        (1 << 20, &[10]),
    ] {
        let mut parts: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0; *length]).collect();
        let mut bufs: Vec<_> = parts.iter_mut().map(|part| IoSliceMut::new(part)).collect();

        let read = direct.read(&mut bufs, offset as u64).unwrap();

        let from = offset.min(bytes.len());
        let wanted = lengths.iter().sum::<usize>().min(bytes.len() - from);
        assert_eq!(read, wanted, "at {offset}");
        assert!(parts.concat()[..read] == bytes[from..from + read], "at {offset}");
    }
}

#[test]
fn files_and_directories_are_for_their_owner_only() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("db");

    PosixVfs.open_dir(&path, true).unwrap().create("000001.wal").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;

    assert_eq!(mode(&path), 0);
    assert_eq!(mode(&path.join("000001.wal")), 0);
}

#[test]
fn create_never_opens_what_is_there() {
    let (_temp, dir) = scratch();
    dir.create("000001.wal").unwrap();

    let error = dir.create("000001.wal").err().unwrap();

    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.os_errno(), libc::EEXIST);
}

#[test]
fn a_missing_file_is_enoent_and_names_the_file() {
    let (_temp, dir) = scratch();

    let error = dir.open("000001.wal", false).err().unwrap();

    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, libc::ENOENT));
    assert!(error.message().contains("000001.wal"), "{error}");
}

#[test]
fn links_pipes_and_directories_are_not_opened_as_files() {
    let (temp, dir) = scratch();
    dir.create("target").unwrap();
    symlink(temp.path().join("target"), temp.path().join("000001.sst")).unwrap();
    PosixVfs.open_dir(&temp.path().join("000002.sst"), true).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(temp.path().join("000003.sst")).status();

    let link = dir.open("000001.sst", true).err().unwrap();

    assert_eq!(link.os_errno(), libc::ELOOP);
    assert_eq!(dir.open("000002.sst", false).err().unwrap().kind(), ErrorKind::Io);
    if pipe.is_ok_and(|status| status.success()) {
        assert_eq!(dir.open("000003.sst", false).err().unwrap().kind(), ErrorKind::Io);
    }
}

#[test]
fn names_that_would_leave_the_directory_are_refused() {
    let (_temp, dir) = scratch();

    for name in ["../x", "a/b", "/etc/passwd", "..", ".", "", "a\0b"] {
        assert_eq!(dir.create(name).err().unwrap().kind(), ErrorKind::Invalid, "{name:?}");
        assert_eq!(dir.remove(name).err().unwrap().kind(), ErrorKind::Invalid, "{name:?}");
    }
}

#[test]
fn rename_replaces_and_remove_removes() {
    let (temp, dir) = scratch();
    dir.create("CURRENT").unwrap().write_at(b"old", 0).unwrap();
    dir.create("CURRENT.tmp").unwrap().write_at(b"new", 0).unwrap();

    dir.rename("CURRENT.tmp", "CURRENT").unwrap();

    assert_eq!(content(&temp.path().join("CURRENT")), b"new");
    assert_eq!(dir.open("CURRENT.tmp", false).err().unwrap().os_errno(), libc::ENOENT);
    dir.remove("CURRENT").unwrap();
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn a_listing_shows_names_kinds_and_lengths() {
    let (temp, dir) = scratch();
    dir.create("000001.wal").unwrap().write_at(b"12345", 0).unwrap();
    PosixVfs.open_dir(&temp.path().join("sub"), true).unwrap();
    symlink("nowhere", temp.path().join("link")).unwrap();

    let mut listed = dir.list().unwrap();
    listed.sort_by(|a, b| a.name.cmp(&b.name));

    let shown: Vec<_> = listed.iter().map(|entry| (entry.name.as_str(), entry.is_file)).collect();
    assert_eq!(shown, [("000001.wal", true), ("link", false), ("sub", false)]);
    assert_eq!(listed[0].bytes, 5);
}

#[test]
fn missing_directories_are_made_only_when_asked() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("a/b/c");

    let absent = PosixVfs.open_dir(&path, false).err().unwrap();
    assert_eq!(absent.kind(), ErrorKind::Invalid);
    assert!(!temp.path().join("a").exists());

    let dir = PosixVfs.open_dir(&path, true).unwrap();
    assert_eq!(dir.path(), path);
    assert!(path.is_dir());
    PosixVfs.open_dir(&path, true).unwrap();
}

#[test]
fn a_directory_where_a_file_is_in_the_way_is_invalid() {
    let (temp, dir) = scratch();
    dir.create("file").unwrap();

    for path in ["file", "file/db"] {
        let error = PosixVfs.open_dir(&temp.path().join(path), true).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[test]
fn only_empty_directories_are_removed() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("db");
    let dir = PosixVfs.open_dir(&path, true).unwrap();
    dir.create("000001.wal").unwrap();

    assert_eq!(PosixVfs.remove_dir(&path).err().unwrap().kind(), ErrorKind::Invalid);
    dir.remove("000001.wal").unwrap();
    PosixVfs.remove_dir(&path).unwrap();

    assert!(!path.exists());
    assert_eq!(PosixVfs.remove_dir(&path).err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn allocated_space_reads_as_zeros_and_keeps_what_was_there() {
    let (_temp, dir) = scratch();
    let file = dir.create("000001.wal").unwrap();
    file.write_at(b"head", 0).unwrap();

    file.allocate(1 << 20).unwrap();
    let mut bytes = vec![1; 1 << 20];

    assert_eq!(file.len().unwrap(), 1 << 20);
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 1 << 20);
    assert_eq!(&bytes[..4], b"head");
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
    file.allocate(100).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20);
}

#[test]
fn zeros_are_written_where_space_cannot_be_allocated() {
    let (temp, dir) = scratch();
    dir.create("000001.wal").unwrap().write_at(b"head", 0).unwrap();
    let path = temp.path().join("000001.wal");
    let inner = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let file = PosixFile::new(inner, "000001.wal".to_owned(), path.clone());

    file.extend_with_zeros(200_000).unwrap();
    file.extend_with_zeros(10).unwrap();

    let bytes = content(&path);
    assert_eq!(bytes.len(), 200_000);
    assert_eq!(&bytes[..4], b"head");
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
}

#[test]
fn stores_into_a_mapping_are_in_the_file_at_once_and_survive_release() {
    let (temp, dir) = scratch();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(64 << 10).unwrap();
    let map = file.map(64 << 10).unwrap();

    map.populate(0, 64 << 10);
    map.store(5, b"fox");
    map.store_words(16, &[0x0102_0304_0506_0708, 1]);
    map.store(64 * 1024 - 1, b"!");
    map.release(64 << 10);
    map.store(9000, b"late");
    map.sync(0, 10).unwrap();
    map.sync(5000, u64::MAX).unwrap();

    let bytes = content(&temp.path().join("000001.wal"));
    assert_eq!(&bytes[5..8], b"fox");
    assert_eq!(bytes[16..32], [8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[9000..9004], b"late");
    assert_eq!(bytes[65535], b'!');
}

#[test]
#[should_panic(expected = "beyond a mapping")]
fn a_store_beyond_the_mapping_panics() {
    let (_temp, dir) = scratch();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(4096).unwrap();

    file.map(4096).unwrap().store(4095, b"xy");
}

#[test]
fn more_than_the_file_is_not_mapped() {
    let (_temp, dir) = scratch();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(4096).unwrap();

    assert_eq!(file.map(4097).err().unwrap().kind(), ErrorKind::Invalid);
    assert_eq!(file.map(0).err().unwrap().kind(), ErrorKind::Invalid);
    let reader = dir.open("000001.wal", false).unwrap();
    assert_eq!(reader.map(4096).err().unwrap().os_errno(), libc::EACCES);
    assert_eq!(reader.write_at(b"x", 0).err().unwrap().os_errno(), libc::EBADF);
}

#[test]
fn a_full_device_is_no_space() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let file = PosixFile::new(full, "full".to_owned(), "/dev/full".into());

    let error = file.write_at(b"x", 0).err().unwrap();

    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(error.os_errno(), libc::ENOSPC);
}

#[test]
fn mount_and_free_space_are_known() {
    let (_temp, dir) = scratch();

    let mount = dir.mount().unwrap();

    assert_eq!(mount, dir.mount().unwrap());
    assert_ne!(mount.mount_id, 0);
    assert!(dir.free_bytes().unwrap() > 0);
}

#[cfg(target_os = "linux")]
#[test]
fn mapping_is_for_file_systems_that_never_fault() {
    let shared = Path::new("/dev/shm");
    if let Ok(dir) = PosixVfs.open_dir(shared, false) {
        assert!(dir.mount().unwrap().mapped_log);
    }

    assert!(!PosixVfs.open_dir(Path::new("/proc"), false).unwrap().mount().unwrap().mapped_log);
}

#[test]
fn a_mapped_table_shows_its_bytes_after_its_name_and_its_file_are_gone() {
    let (_temp, dir) = scratch();
    for bytes in [1_usize, 4095, 4096, 4097, 70_001] {
        let content: Vec<u8> = (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect();
        dir.create("000001.sst").unwrap().write_at(&content, 0).unwrap();
        let file = dir.open("000001.sst", false).unwrap();

        let map = file.map_table(bytes as u64).unwrap();
        dir.remove("000001.sst").unwrap();
        drop(file);
        map.expect(0..bytes, Expect::Random);
        map.expect(bytes / 2..bytes + 10_000, Expect::Soon);
        map.expect(bytes + 10_000..bytes + 20_000, Expect::Soon);

        assert_eq!(map.bytes(), content);
    }
}

#[test]
fn more_than_a_file_holds_cannot_be_mapped_as_a_table_nor_can_nothing() {
    let (_temp, dir) = scratch();
    let file = dir.create("000001.sst").unwrap();
    assert_eq!(file.map_table(0).err().unwrap().kind(), ErrorKind::Invalid);
    file.write_at(&[1; 100], 0).unwrap();
    assert_eq!(file.map_table(101).err().unwrap().kind(), ErrorKind::Invalid);
    assert_eq!(file.map_table(100).unwrap().bytes(), [1; 100]);
}
