//! One open file: positioned reads and writes, sync, space.
//!
//! Any thread; calls at different offsets do not wait for each other.

use std::fs::File as OsFile;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::sys;
use crate::base::{Error, Result};
use crate::vfs::mapped::MappedLog;
use crate::vfs::{File, LogMap, TableMap};

/// Zeros are written in pieces of this many bytes where space cannot be allocated otherwise.
const ZERO_BYTES: usize = 64 << 10;

/// A range is brought into memory by reads of this many bytes: longer ones get pages of 4 KiB, because
/// the system reads no further ahead than they ask for.
#[cfg(target_os = "linux")]
const BRING_BYTES: usize = 16 << 10;

/// A file by its descriptor.
pub(super) struct PosixFile {
    file: OsFile,
    name: String,
    path: PathBuf,
}

impl PosixFile {
    /// Wraps an open regular file; `path` is for messages.
    pub(super) fn new(file: OsFile, name: String, path: PathBuf) -> Self {
        Self { file, name, path }
    }

    fn failed(&self, doing: &str, cause: &io::Error) -> Error {
        Error::io(doing, &self.path, cause)
    }

    /// `Invalid` unless the file has that many bytes, so that all of them can be mapped.
    fn must_have(&self, bytes: u64) -> Result<()> {
        let len = self.len()?;
        if len < bytes {
            let text = format!("{} has {len} bytes, {bytes} to be mapped", self.path.display());
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    /// Writes zeros from the end of the file up to `bytes`; what is there stays.
    pub(super) fn extend_with_zeros(&self, bytes: u64) -> Result<()> {
        let zeros = vec![0; ZERO_BYTES];
        let mut at = self.len()?;
        while at < bytes {
            let piece = usize::try_from(bytes - at).unwrap_or(ZERO_BYTES).min(ZERO_BYTES);
            self.write_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        Ok(())
    }
}

impl File for PosixFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Result<u64> {
        let about = self.file.metadata();
        Ok(about.map_err(|cause| self.failed("ask for the length of", &cause))?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed("read", &cause)),
            }
        }
        Ok(done)
    }

    #[cfg(target_os = "linux")]
    fn read_now(&self, buf: &mut [u8], offset: u64) -> bool {
        let there = sys::read_cached(self.file.as_fd(), buf, offset).is_ok_and(|n| n == buf.len());
        if !there {
            sys::will_need(self.file.as_fd(), offset, buf.len());
        }
        there
    }

    #[cfg(target_os = "linux")]
    fn will_need(&self, offset: u64, bytes: usize) {
        sys::will_need(self.file.as_fd(), offset, bytes);
    }

    #[cfg(target_os = "linux")]
    fn read_scattered(&self, bufs: &mut [io::IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let read = sys::read_scattered(self.file.as_fd(), bufs, offset);
        read.map_err(|cause| self.failed("read", &cause))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        // Continues after short and interrupted calls; a call that writes nothing is an error.
        self.file.write_all_at(bytes, offset).map_err(|cause| self.failed("write", &cause))
    }

    #[cfg(target_os = "linux")]
    fn write_gathered(&self, bufs: &mut [io::IoSlice<'_>], offset: u64) -> Result<()> {
        sys::write_gathered(self.file.as_fd(), bufs, offset)
            .map_err(|cause| self.failed("write", &cause))
    }

    #[cfg(target_os = "linux")]
    fn start_write_out(&self, from: u64, to: u64) {
        sys::start_write_out(self.file.as_fd(), from, to);
    }

    fn sync(&self) -> Result<()> {
        sys::sync_data(&self.file).map_err(|cause| self.failed("sync", &cause))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        match sys::allocate(self.file.as_fd(), bytes) {
            Ok(true) => Ok(()),
            Ok(false) => self.extend_with_zeros(bytes),
            Err(cause) => Err(self.failed("allocate space for", &cause)),
        }
    }

    /// Who reads a file from the start on gets larger and larger pieces of page cache, while one who
    /// stores into a mapping gets one page for each fault.
    #[cfg(target_os = "linux")]
    fn bring(&self, from: u64, to: u64) {
        let mut bytes = [0; BRING_BYTES];
        let mut at = from;
        while at < to {
            match self.file.read_at(&mut bytes, at) {
                Ok(read) if read > 0 => at += read as u64,
                _ => return,
            }
        }
    }

    fn map(&self, bytes: u64) -> Result<Arc<dyn LogMap>> {
        self.must_have(bytes)?;
        Ok(Arc::new(MappedLog::new(self.file.as_fd(), bytes, &self.path)?))
    }

    fn map_table(&self, bytes: u64) -> Result<Arc<TableMap>> {
        self.must_have(bytes)?;
        Ok(Arc::new(TableMap::new(self.file.as_fd(), bytes, &self.path)?))
    }
}
