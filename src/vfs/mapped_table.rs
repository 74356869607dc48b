//! A table file mapped into memory, to be read where it lies in the page cache.
//!
//! Table files are written once and complete before they are mapped, and nobody who keeps to the
//! lock writes to them or shortens them afterwards; removing their names takes nothing away. What
//! is not in memory is read from the disk by the access itself, so the system tells of an error
//! there, and of a file that was cut off, by the signal SIGBUS: mapping is for those who asked.
//!
//! A forked child inherits the mapping, as it does all memory that callers were lent pieces of.
//!
//! Any thread may call everything.

#![allow(unsafe_code, reason = "memory that the kernel shares is reached by address only")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::ptr::{self, NonNull};

use crate::base::coding::usize_of;
use crate::base::{Error, Result};

/// The first bytes of a file, mapped for reading.
pub(crate) struct TableMap {
    base: NonNull<u8>,
    len: usize,
    /// Of a simulated file: the bytes that `base` points to, instead of a mapping.
    #[cfg(test)]
    image: Option<Box<[u8]>>,
}

// SAFETY: the memory belongs to no thread, and is only read.
unsafe impl Send for TableMap {}
// SAFETY: as above.
unsafe impl Sync for TableMap {}

/// What is to be expected of a range of the mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expect {
    /// Reads at random places: bytes that are not in memory are read without their neighbours.
    Random,
    /// All of it is read soon: the system begins to fetch it, and nobody waits.
    Soon,
}

impl TableMap {
    /// Maps the first `bytes` bytes of the file, which has as many. Zero bytes are `Invalid`.
    pub(super) fn new(file: BorrowedFd<'_>, bytes: u64, path: &Path) -> Result<Self> {
        let len = usize_of(bytes)?;
        if len == 0 {
            return Err(Error::invalid(format!("{}: nothing to map", path.display())));
        }
        let (fd, null) = (file.as_raw_fd(), ptr::null_mut());
        // SAFETY: the descriptor is open, and the kernel chooses an address that is free.
        let base = unsafe { libc::mmap(null, len, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(Error::io("map", path, &io::Error::last_os_error()));
        }
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(Error::no_memory(format!("map {}: the address is 0", path.display())));
        };
        #[cfg(not(test))]
        return Ok(Self { base, len });
        #[cfg(test)]
        Ok(Self { base, len, image: None })
    }

    /// What a simulated file system maps.
    #[cfg(test)]
    pub(crate) fn of(bytes: Box<[u8]>) -> Self {
        let mut bytes = bytes;
        let base = NonNull::from(&mut *bytes).cast();
        Self { base, len: bytes.len(), image: Some(bytes) }
    }

    /// All of it. Bytes that are not in memory are read from the disk when they are touched.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the range is one mapping (or image) that lives as long as this, and nobody writes
        // to a complete table file (see the head of this file).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// Tells the system what to expect of a range, which is cut at the end. A hint.
    pub(crate) fn expect(&self, range: Range<usize>, what: Expect) {
        #[cfg(test)]
        if self.image.is_some() {
            return;
        }
        let end = range.end.min(self.len);
        let start = range.start - range.start % super::mapped::page_bytes();
        if start >= end {
            return;
        }
        let advice = match what {
            Expect::Random => libc::MADV_RANDOM,
            Expect::Soon => libc::MADV_WILLNEED,
        };
        // SAFETY: the range lies inside the mapping and begins with a page; neither advice changes
        // bytes.
        unsafe { libc::madvise(self.base.as_ptr().add(start).cast(), end - start, advice) };
    }
}

impl Drop for TableMap {
    fn drop(&mut self) {
        #[cfg(test)]
        if self.image.is_some() {
            return;
        }
        // SAFETY: the range is exactly one mapping, and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
