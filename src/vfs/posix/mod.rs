//! The real file system of a Unix.
//!
//! A path is resolved once, to a descriptor of the directory; everything else goes through that
//! descriptor and never follows a link at the end of a name, so nobody can swap the files of an
//! open database for others. All descriptors close on exec. Files are made with mode 0600 and
//! directories with 0700, both less umask. Interrupted and short calls are continued.
//!
//! Not here: when to sync. Any thread may call anything.
//!
//! A process that sets `RLIMIT_FSIZE` and does not ignore `SIGXFSZ` is killed by a write beyond
//! the limit; lsmer does not change the host's signals.

mod dir;
mod direct;
mod file;
mod lock;
mod sys;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::File as OsFile;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::{Dir, Vfs};
use crate::base::{Error, ErrorKind, Result};
use dir::PosixDir;

/// The file system of the operating system.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PosixVfs;

impl Vfs for PosixVfs {
    fn open_dir(&self, path: &Path, create: bool) -> Result<Arc<dyn Dir>> {
        let fd = match sys::open_dir(path) {
            Ok(fd) => {
                if create {
                    settle(&fd, path)?;
                }
                fd
            }
            Err(cause) if create && is_missing(&cause) => make_dir(path)?,
            Err(cause) => return Err(unopened(path, &cause)),
        };
        Ok(Arc::new(PosixDir::new(fd, path.to_owned())))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let (parent, name) = split(path)?;
        let parent_fd = sys::open_dir(parent).map_err(|cause| unopened(parent, &cause))?;
        let doing = "remove directory";
        let name = sys::c_name(name).map_err(|cause| Error::io(doing, path, &cause))?;
        match sys::unlink_at(parent_fd.as_fd(), &name, libc::AT_REMOVEDIR) {
            Ok(()) => sync_names(&parent_fd, parent),
            Err(cause) => {
                let error = Error::io(doing, path, &cause);
                Err(match cause.raw_os_error() {
                    Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOENT | libc::ENOTDIR) => {
                        error.of_kind(ErrorKind::Invalid)
                    }
                    _ => error,
                })
            }
        }
    }
}

/// Makes the missing directory at `path` and the missing ones above it.
///
/// From the top down; each name is durable before the next directory is made, so that at most the
/// lowest existing one can lack a durable name after a crash: see [`settle`].
fn make_dir(path: &Path) -> Result<OsFile> {
    let (parent, name) = split(path)?;
    let parent_fd = match sys::open_dir(parent) {
        Ok(fd) => {
            settle(&fd, parent)?;
            fd
        }
        Err(cause) if is_missing(&cause) => make_dir(parent)?,
        Err(cause) => return Err(unopened(parent, &cause)),
    };
    let failed = |cause: io::Error| Error::io("create directory", path, &cause);
    let name = sys::c_name(name).map_err(failed)?;
    match sys::make_dir_at(parent_fd.as_fd(), &name) {
        // Somebody else may make the same directory at the same time.
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
        _ => {}
    }
    sync_names(&parent_fd, parent)?;
    sys::open_dir_at(parent_fd.as_fd(), &name).map_err(|cause| unopened(path, &cause))
}

/// Makes the name of the existing directory `dir` durable if a crash may have left it otherwise.
///
/// Whoever made it and then a file in it had synced the parent in between, so only an empty
/// directory is in doubt. A parent that may not be opened was made by somebody else, for us.
fn settle(dir: &OsFile, path: &Path) -> Result<()> {
    let mut is_empty = true;
    let looked = sys::names(dir.as_fd(), |_| {
        is_empty = false;
        false
    });
    looked.map_err(|cause| Error::io("list directory", path, &cause))?;
    if !is_empty {
        return Ok(());
    }
    match sys::open_dir_at(dir.as_fd(), c"..") {
        Ok(parent) => sync_names(&parent, &path.join("..")),
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(cause) => Err(unopened(&path.join(".."), &cause)),
    }
}

/// Makes the names in `dir` durable.
fn sync_names(dir: &OsFile, path: &Path) -> Result<()> {
    if crate::base::mutant::mutant("no_dir_sync") {
        return Ok(());
    }
    sys::sync_dir(dir).map_err(|cause| Error::io("sync directory", path, &cause))
}

/// The directory that holds `path`, and its name there.
fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => Ok((Path::new("."), name)),
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Error::invalid(format!("{} does not name a directory", path.display()))),
    }
}

fn is_missing(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotFound
}

/// A directory that is missing or none is the caller's mistake; anything else is the system's.
fn unopened(path: &Path, cause: &io::Error) -> Error {
    let error = Error::io("open directory", path, cause);
    match cause.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => error.of_kind(ErrorKind::Invalid),
        _ => error,
    }
}
