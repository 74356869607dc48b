//! The lock of a database directory: one writer, or any number of readers.
//!
//! Three locks stand behind each other, because each alone has a hole:
//! 1. a table in this process, by device and inode of the directory, so that a second open in the
//!    same process is told apart from another process and works by whatever path;
//! 2. `flock` on the directory itself, which holds when somebody removes `LOCK`, and which a
//!    reader can take on a read-only medium;
//! 3. `flock` on `LOCK`, for file systems that cannot lock directories. It also holds the pid.
//!
//! `flock` belongs to the open file description. A forked child has the same one: its closing of
//! the descriptor changes nothing while the parent has it open, but unlocking would unlock the
//! parent. So only the process that took the lock unlocks it explicitly; it does so, rather than
//! close only, because a child may still have the descriptor open. A child that lives on after its
//! parent *died* keeps the directory locked until it ends or calls exec.
//!
//! Any thread. The table's mutex is held for moments and never while calling the system.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File as OsFile;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use parking_lot::Mutex;

use super::sys;
use crate::base::{Error, ErrorKind, Result, filename};
use crate::vfs::{DirLock, LockMode};

/// `LOCK`, as the C library takes it.
const LOCK: &CStr = c"LOCK";
/// Bytes of `LOCK`: the pid, padded with spaces, and a line feed. Fixed, so that taking the lock
/// again needs no space on the disk.
const LOCK_BYTES: usize = 11;

/// A directory: device and inode.
type Place = (u64, u64);

/// A lock that this process holds.
#[derive(Debug)]
struct Holder {
    /// Tells the holders of one directory apart.
    token: u64,
    mode: LockMode,
    /// The pid as the owner gave it, for messages.
    pid: u32,
    /// The process that took it; a forked child inherits the table but not the locks.
    process: u32,
}

/// The locks of this process. Entries of another process are left over from before a fork.
pub(super) struct Table {
    next_token: u64,
    held: BTreeMap<Place, Vec<Holder>>,
}

pub(super) static TABLE: Mutex<Table> = Mutex::new(Table { next_token: 0, held: BTreeMap::new() });

/// An entry of the table, removed on drop.
struct Claim {
    place: Place,
    token: u64,
}

impl Claim {
    /// Enters the lock, or returns the pid of a holder that excludes it.
    fn enter(place: Place, mode: LockMode, pid: u32) -> std::result::Result<Self, u32> {
        let process = std::process::id();
        let table = &mut *TABLE.lock();
        let holders = table.held.entry(place).or_default();
        holders.retain(|holder| holder.process == process);
        let excludes =
            |holder: &&Holder| mode == LockMode::Exclusive || holder.mode == LockMode::Exclusive;
        if let Some(holder) = holders.iter().find(excludes) {
            return Err(holder.pid);
        }
        let token = table.next_token;
        table.next_token += 1;
        holders.push(Holder { token, mode, pid, process });
        Ok(Self { place, token })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let table = &mut *TABLE.lock();
        if let Some(holders) = table.held.get_mut(&self.place) {
            holders.retain(|holder| holder.token != self.token);
            if holders.is_empty() {
                table.held.remove(&self.place);
            }
        }
    }
}

/// A lock that is held. Fields drop in this order: descriptors first, then the claim.
pub(super) struct PosixLock {
    dir: OsFile,
    file: Option<OsFile>,
    mode: LockMode,
    process: u32,
    _claim: Claim,
}

impl DirLock for PosixLock {}

impl Drop for PosixLock {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        // Failures are harmless: the pid is for messages only, and closing unlocks too.
        if let Some(file) = &self.file {
            if self.mode == LockMode::Exclusive {
                let _ = write_pid(file, 0);
            }
            let _ = sys::lock(file.as_fd(), libc::LOCK_UN);
        }
        let _ = sys::lock(self.dir.as_fd(), libc::LOCK_UN);
    }
}

/// Locks the directory `dir`, never waiting. `path` is for messages.
pub(super) fn lock(
    dir: BorrowedFd<'_>,
    path: &Path,
    mode: LockMode,
    pid: u32,
) -> Result<PosixLock> {
    let failed = |cause: io::Error| Error::io("lock", &path.join(filename::LOCK), &cause);
    // A description of its own: closing or unlocking another one of this directory changes nothing.
    let own = sys::open_dir_at(dir, c".").map_err(failed)?;
    let about = own.metadata().map_err(failed)?;
    let claim =
        Claim::enter((about.dev(), about.ino()), mode, pid).map_err(|owner| locked(path, owner))?;
    let operation = match mode {
        LockMode::Exclusive => libc::LOCK_EX,
        LockMode::Shared => libc::LOCK_SH,
    };
    match sys::lock(own.as_fd(), operation) {
        Ok(()) => {}
        Err(cause) if is_held(&cause) => return Err(locked(path, owner(dir))),
        // Such as NFS, which locks files only.
        Err(cause) if cannot_lock_directories(&cause) => {}
        Err(cause) => return Err(failed(cause)),
    }
    let file = open_lock_file(dir, mode).map_err(failed)?;
    if let Some(file) = &file {
        match sys::lock(file.as_fd(), operation) {
            Ok(()) => {}
            Err(cause) if is_held(&cause) => return Err(locked(path, owner(dir))),
            Err(cause) => return Err(failed(cause)),
        }
        if mode == LockMode::Exclusive {
            write_pid(file, pid).map_err(failed)?;
        }
    }
    Ok(PosixLock { dir: own, file, mode, process: std::process::id(), _claim: claim })
}

/// Opens `LOCK`: an exclusive owner creates it, a reader does without.
fn open_lock_file(dir: BorrowedFd<'_>, mode: LockMode) -> io::Result<Option<OsFile>> {
    let opened = match mode {
        LockMode::Exclusive => sys::open_at(dir, LOCK, libc::O_RDWR | libc::O_CREAT, 0o600),
        LockMode::Shared => sys::open_at(dir, LOCK, libc::O_RDONLY, 0),
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(cause) if mode == LockMode::Shared && cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

/// Writes the owner's pid into `LOCK`; 0 is nobody.
fn write_pid(file: &OsFile, pid: u32) -> io::Result<()> {
    file.write_all_at(format!("{pid:<10}\n").as_bytes(), 0)?;
    if file.metadata()?.len() > LOCK_BYTES as u64 {
        file.set_len(LOCK_BYTES as u64)?;
    }
    Ok(())
}

/// The pid in `LOCK`, or 0 when it cannot be read: it only makes the message better.
fn owner(dir: BorrowedFd<'_>) -> u32 {
    let Ok(file) = sys::open_at(dir, LOCK, libc::O_RDONLY, 0) else { return 0 };
    let mut text = [0; LOCK_BYTES];
    let Ok(bytes) = file.read_at(&mut text, 0) else { return 0 };
    let text = std::str::from_utf8(text.get(..bytes).unwrap_or(&[])).unwrap_or("");
    text.trim().parse().unwrap_or(0)
}

fn is_held(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::WouldBlock
}

fn cannot_lock_directories(cause: &io::Error) -> bool {
    let unable = [libc::EBADF, libc::EINVAL, libc::EISDIR, libc::ENOLCK, libc::ENOSYS];
    cause.raw_os_error().is_some_and(|errno| {
        unable.contains(&errno) || errno == libc::EOPNOTSUPP || errno == libc::ENOTSUP
    })
}

fn locked(path: &Path, pid: u32) -> Error {
    let by = if pid == 0 { "another process".to_owned() } else { format!("process {pid}") };
    let text = format!("{} is open in {by}; close it there first", path.display());
    Error::new(ErrorKind::Locked, text).with_detail(u64::from(pid))
}
