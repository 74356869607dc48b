//! Tests of the directory lock, with a forked child as the other process.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tempfile::TempDir;

use super::super::PosixVfs;
use super::super::lock::TABLE;
use super::content;
use crate::base::ErrorKind;
use crate::vfs::{DirLock, LockMode, Vfs};

const OWNER: u32 = 77;

fn lock(path: &Path, mode: LockMode) -> crate::base::Result<Box<dyn DirLock>> {
    PosixVfs.open_dir(path, false).unwrap().lock(mode, OWNER)
}

#[track_caller]
fn assert_locked(path: &Path, mode: LockMode, pid: u32) {
    let error = lock(path, mode).err().expect("the lock is held");
    assert_eq!((error.kind(), error.detail0()), (ErrorKind::Locked, u64::from(pid)), "{error}");
}

/// A forked child that runs one function and ends with the code that it returned.
struct Child(libc::pid_t);

/// Runs `body` in a forked child.
///
/// The lock table is held over the fork, so that no other thread holds it in the child for ever.
#[allow(unsafe_code, reason = "only fork makes a child with the same descriptors")]
fn fork(body: impl FnOnce() -> i32) -> Child {
    let table = TABLE.lock();
    // SAFETY: the child has one thread; it takes no lock but the one above, which it owns.
    let child = unsafe { libc::fork() };
    drop(table);
    if child == 0 {
        let code = body();
        // SAFETY: ends the child without running the test harness.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0, "fork failed");
    Child(child)
}

impl Child {
    #[allow(unsafe_code, reason = "the child was not made by std")]
    fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: the child is ours, and the status has room.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        assert!(libc::WIFEXITED(status), "the child died: {status}");
        libc::WEXITSTATUS(status)
    }
}

/// Whether another process can lock the file or directory at `path` exclusively: 1, else 0.
#[allow(unsafe_code, reason = "a fresh open file description, as another process would have")]
fn can_flock(path: &Path) -> i32 {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let child = fork(move || {
        // SAFETY: the path is a C string; the descriptor goes with the child.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
            i32::from(fd >= 0 && libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) == 0)
        }
    });
    child.wait()
}

#[test]
fn the_writer_excludes_everybody_in_its_process_until_it_drops_the_lock() {
    let temp = TempDir::new().unwrap();

    let held = lock(temp.path(), LockMode::Exclusive).unwrap();

    assert_locked(temp.path(), LockMode::Exclusive, OWNER);
    assert_locked(temp.path(), LockMode::Shared, OWNER);
    drop(held);
    drop(lock(temp.path(), LockMode::Exclusive).unwrap());
    drop(lock(temp.path(), LockMode::Shared).unwrap());
}

#[test]
fn readers_share_and_exclude_the_writer() {
    let temp = TempDir::new().unwrap();

    let first = lock(temp.path(), LockMode::Shared).unwrap();
    let second = lock(temp.path(), LockMode::Shared).unwrap();

    assert_locked(temp.path(), LockMode::Exclusive, OWNER);
    drop(first);
    assert_locked(temp.path(), LockMode::Exclusive, OWNER);
    drop(second);
    lock(temp.path(), LockMode::Exclusive).unwrap();
}

#[test]
fn a_reader_creates_no_lock_file_and_the_writer_puts_its_pid_there() {
    let temp = TempDir::new().unwrap();

    drop(lock(temp.path(), LockMode::Shared).unwrap());
    assert!(!temp.path().join("LOCK").exists());

    let _held = lock(temp.path(), LockMode::Exclusive).unwrap();
    assert_eq!(content(&temp.path().join("LOCK")), b"77        \n");
}

#[test]
fn a_longer_lock_file_of_somebody_else_is_cut_to_the_pid() {
    let temp = TempDir::new().unwrap();
    let dir = PosixVfs.open_dir(temp.path(), false).unwrap();
    dir.create("LOCK").unwrap().write_at(&[b'9'; 100], 0).unwrap();

    let held = dir.lock(LockMode::Exclusive, OWNER).unwrap();

    assert_eq!(content(&temp.path().join("LOCK")), b"77        \n");
    drop(held);
    assert_eq!(content(&temp.path().join("LOCK")), b"0         \n");
}

#[test]
fn another_path_to_the_same_directory_is_the_same_lock() {
    let temp = TempDir::new().unwrap();
    let db = temp.path().join("db");
    PosixVfs.open_dir(&db, true).unwrap();
    symlink(&db, temp.path().join("alias")).unwrap();

    let _held = lock(&db, LockMode::Exclusive).unwrap();

    assert_locked(&temp.path().join("alias"), LockMode::Exclusive, OWNER);
    assert_locked(&temp.path().join("alias/../db/."), LockMode::Shared, OWNER);
}

#[test]
fn two_directories_are_two_locks() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());

    let _a = lock(a.path(), LockMode::Exclusive).unwrap();

    lock(b.path(), LockMode::Exclusive).unwrap();
}

#[test]
fn another_process_sees_directory_and_lock_file_locked() {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("LOCK");

    let held = lock(temp.path(), LockMode::Exclusive).unwrap();
    assert_eq!((can_flock(temp.path()), can_flock(&file)), (0, 0));

    drop(held);
    assert_eq!((can_flock(temp.path()), can_flock(&file)), (1, 1));
}

#[test]
fn removing_the_lock_file_lets_nobody_in() {
    let temp = TempDir::new().unwrap();
    let dir = PosixVfs.open_dir(temp.path(), false).unwrap();
    let _held = dir.lock(LockMode::Exclusive, OWNER).unwrap();

    dir.remove("LOCK").unwrap();

    assert_locked(temp.path(), LockMode::Exclusive, OWNER);
    assert_eq!(can_flock(temp.path()), 0);
}

#[test]
#[allow(unsafe_code, reason = "the other owner must have an open file description of its own")]
fn a_lock_of_another_process_is_reported_with_its_pid() {
    let temp = TempDir::new().unwrap();
    let dir = PosixVfs.open_dir(temp.path(), false).unwrap();
    dir.create("LOCK").unwrap().write_at(b"4242      \n", 0).unwrap();
    let path = CString::new(temp.path().join("LOCK").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string; the descriptor is closed below.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
    // SAFETY: the descriptor is open. The table does not know of this lock, as if it were foreign.
    assert_eq!(unsafe { libc::flock(fd, libc::LOCK_EX) }, 0);

    assert_locked(temp.path(), LockMode::Exclusive, 4242);
    assert_locked(temp.path(), LockMode::Shared, 4242);

    // Unlocked first: a child that another test forked may still have the descriptor.
    // SAFETY: the descriptor is ours and not used again.
    unsafe { (libc::flock(fd, libc::LOCK_UN), libc::close(fd)) };
    lock(temp.path(), LockMode::Exclusive).unwrap();
}

#[test]
fn a_child_cannot_open_and_its_dropping_of_the_lock_changes_nothing() {
    let temp = TempDir::new().unwrap();
    let mut held = Some(lock(temp.path(), LockMode::Exclusive).unwrap());

    let child = fork(|| {
        let before = lock(temp.path(), LockMode::Exclusive).err().map(|error| error.detail0());
        held = None;
        let after = lock(temp.path(), LockMode::Shared).err().map(|error| error.detail0());
        i32::from(before == Some(u64::from(OWNER))) + 2 * i32::from(after == before)
    });

    assert_eq!(child.wait(), 3);
    assert_eq!(can_flock(temp.path()), 0);
    assert_locked(temp.path(), LockMode::Exclusive, OWNER);
    drop(held);
    assert_eq!(can_flock(temp.path()), 1);
}

#[test]
fn a_child_may_lock_what_its_parent_has_let_go() {
    let temp = TempDir::new().unwrap();
    let held = lock(temp.path(), LockMode::Exclusive).unwrap();
    let (mut sender, mut receiver) = UnixStream::pair().unwrap();

    let child = fork(|| {
        let told = receiver.read_exact(&mut [0]).is_ok();
        i32::from(told && lock(temp.path(), LockMode::Exclusive).is_ok())
    });
    drop(held);
    sender.write_all(b"!").unwrap();

    assert_eq!(child.wait(), 1);
}
