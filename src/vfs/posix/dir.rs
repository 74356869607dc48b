//! One open directory: names in, open files out.
//!
//! Names are single components; anything with a `/` is refused, so no call leaves the directory.
//! Any thread.

use std::ffi::{CString, OsStr};
use std::fs::File as OsFile;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[cfg(target_os = "linux")]
use super::direct::PosixDirect;
use super::file::PosixFile;
use super::{lock, sync_names, sys};
use crate::base::{Error, ErrorKind, Result};
#[cfg(target_os = "linux")]
use crate::vfs::DirectFile;
use crate::vfs::{Dir, DirLock, File, Listed, LockMode, MountInfo};

/// A directory by its descriptor.
pub(super) struct PosixDir {
    fd: OsFile,
    path: PathBuf,
}

impl PosixDir {
    /// Wraps an open directory; `path` is for messages.
    pub(super) fn new(fd: OsFile, path: PathBuf) -> Self {
        Self { fd, path }
    }

    fn failed(&self, doing: &str, name: &str, cause: &io::Error) -> Error {
        Error::io(doing, &self.path.join(name), cause)
    }

    fn open_file(&self, doing: &str, name: &str, flags: libc::c_int) -> Result<OsFile> {
        let c_name = component(name)?;
        let file = sys::open_at(self.fd.as_fd(), &c_name, flags, 0o600)
            .map_err(|cause| self.failed(doing, name, &cause))?;
        let about = file.metadata().map_err(|cause| self.failed(doing, name, &cause))?;
        if !about.is_file() {
            let path = self.path.join(name);
            let text = format!("{doing} {}: it is not a regular file", path.display());
            return Err(Error::new(ErrorKind::Io, text));
        }
        Ok(file)
    }

    fn file(&self, file: OsFile, name: &str) -> Arc<dyn File> {
        Arc::new(PosixFile::new(file, name.to_owned(), self.path.join(name)))
    }
}

impl Dir for PosixDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let failed = |cause| Error::io("list directory", &self.path, &cause);
        let mut names: Vec<CString> = Vec::new();
        sys::names(self.fd.as_fd(), |name| {
            names.push(name.to_owned());
            true
        })
        .map_err(failed)?;
        let mut listed = Vec::with_capacity(names.len());
        for c_name in names {
            let name = c_name.to_string_lossy().into_owned();
            match sys::status_at(self.fd.as_fd(), &c_name) {
                Ok(status) => {
                    let sys::Status { is_file, bytes } = status;
                    listed.push(Listed { name, is_file, bytes });
                }
                // Removed since it was read.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(self.failed("look at", &name, &cause)),
            }
        }
        Ok(listed)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        Ok(self.file(self.open_file("create", name, flags)?, name))
    }

    fn open(&self, name: &str, writable: bool) -> Result<Arc<dyn File>> {
        let flags = if writable { libc::O_RDWR } else { libc::O_RDONLY };
        Ok(self.file(self.open_file("open", name, flags)?, name))
    }

    #[cfg(target_os = "linux")]
    fn open_direct(&self, name: &str) -> Result<Arc<dyn DirectFile>> {
        let file = self.open_file("open", name, libc::O_RDONLY | libc::O_DIRECT)?;
        Ok(Arc::new(PosixDirect::new(file, self.path.join(name))?))
    }

    fn remove(&self, name: &str) -> Result<()> {
        sys::unlink_at(self.fd.as_fd(), &component(name)?, 0)
            .map_err(|cause| self.failed("remove", name, &cause))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        sys::rename_at(self.fd.as_fd(), &component(from)?, &component(to)?)
            .map_err(|cause| self.failed(&format!("rename {from} to"), to, &cause))
    }

    fn sync(&self) -> Result<()> {
        sync_names(&self.fd, &self.path)
    }

    fn lock(&self, mode: LockMode, pid: u32) -> Result<Box<dyn DirLock>> {
        Ok(Box::new(lock::lock(self.fd.as_fd(), &self.path, mode, pid)?))
    }

    fn free_bytes(&self) -> Result<u64> {
        sys::free_bytes(self.fd.as_fd())
            .map_err(|cause| Error::io("ask for the free space of", &self.path, &cause))
    }

    fn mount(&self) -> Result<MountInfo> {
        let mapped_log = sys::is_mapping_safe(self.fd.as_fd())
            .map_err(|cause| Error::io("ask for the file system of", &self.path, &cause))?;
        let mount_id = sys::mount_id(self.fd.as_fd()).unwrap_or_else(unknown_mount_id);
        Ok(MountInfo { mount_id, mapped_log })
    }
}

/// Stands for a mount that cannot be identified: the same within one process, so that its own
/// segments agree, and practically never met again by another, so that nothing is proved by it.
fn unknown_mount_id() -> u64 {
    static ID: OnceLock<u64> = OnceLock::new();
    *ID.get_or_init(|| RandomState::new().build_hasher().finish())
}

/// A name for one entry of this directory.
fn component(name: &str) -> Result<CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Error::invalid(format!("`{name}` is not the name of a file")));
    }
    sys::c_name(OsStr::new(name))
        .map_err(|_| Error::invalid(format!("`{}` is not the name of a file", name.escape_debug())))
}
