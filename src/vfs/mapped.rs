//! A log segment mapped into memory, shared with the page cache.
//!
//! A store is in the page cache at once, so it survives the death of the process; `msync` makes it
//! survive power loss. Used on file systems where a store cannot fault once the space is allocated
//! (`Dir::mount`). On Linux `msync(MS_SYNC)` runs the file system's own fsync for the range on the
//! mapping's file description, and reports write-back errors of the whole file as fdatasync does,
//! once per description; so no further check of the file follows it. Elsewhere that is not so
//! (Apple's `msync` leaves data in the drive), which is one reason why nothing is mapped there.
//!
//! A forked child does not have the mapping, and must not touch it; dropping it there does nothing.
//!
//! Any thread may store; ranges do not overlap but for equal words.

#![allow(unsafe_code, reason = "memory that the kernel shares is reached by address only")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use super::LogMap;
use crate::base::coding::usize_of;
use crate::base::{Error, Result};

/// Bytes of a huge page where pages have 4 KiB; mappings are released in whole ones.
const HUGE_BYTES: u64 = 2 << 20;

/// A shared, writable mapping of the first bytes of a file.
pub(super) struct MappedLog {
    base: NonNull<u8>,
    len: usize,
    page_bytes: usize,
    /// Pages below this offset were released. Written and read by [`LogMap::release`] alone, by
    /// fetch-max; it orders nothing, since releasing twice is harmless.
    released: AtomicU64,
    /// The process that mapped it: a forked child does not have the mapping.
    process: u32,
    path: PathBuf,
}

// SAFETY: the memory belongs to no thread; stores to it go through raw pointers or atomics, and
// `LogMap` forbids overlapping plain stores.
unsafe impl Send for MappedLog {}
// SAFETY: as above.
unsafe impl Sync for MappedLog {}

impl MappedLog {
    /// Maps the first `bytes` bytes of the file, which are all allocated: a store beyond the end
    /// of the file or into a hole on a full disk would raise SIGBUS. Zero bytes are `Invalid`.
    pub(super) fn new(file: BorrowedFd<'_>, bytes: u64, path: &Path) -> Result<Self> {
        let len = usize_of(bytes)?;
        if len == 0 {
            return Err(Error::invalid(format!("{}: nothing to map", path.display())));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the descriptor is open, and the kernel chooses an address that is free.
        let base = unsafe {
            libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Error::io("map", path, &io::Error::last_os_error()));
        }
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(Error::no_memory(format!("map {}: the address is 0", path.display())));
        };
        let map = Self {
            base,
            len,
            page_bytes: page_bytes(),
            released: AtomicU64::new(0),
            process: std::process::id(),
            path: path.to_owned(),
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !map.advise(0, len, libc::MADV_DONTFORK) {
            return Err(Error::io("keep from children", path, &io::Error::last_os_error()));
        }
        // One fault and one page of the cache for 2 MiB, where kernel and file system have that (ext4
        // since Linux 6.16): a quarter of the work. A hint: elsewhere nothing changes.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        map.advise(0, len, libc::MADV_HUGEPAGE);
        Ok(map)
    }

    /// The pages that `[from, to)` touches, as a range of bytes inside the mapping.
    fn pages(&self, from: u64, to: u64) -> Option<(usize, usize)> {
        let to = usize::try_from(to).unwrap_or(self.len).min(self.len);
        let from = usize::try_from(from).ok().filter(|from| *from < to)?;
        let first = from - from % self.page_bytes;
        Some((first, to.next_multiple_of(self.page_bytes).min(self.len)))
    }

    /// Whether the kernel took the advice for the range, whose start is that of a page.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn advise(&self, from: usize, to: usize, advice: libc::c_int) -> bool {
        assert!(from <= to && to <= self.len, "advice beyond the mapping");
        // SAFETY: the range lies inside the mapping. No advice given here changes bytes: this is a
        // shared mapping of a file, so MADV_DONTNEED leaves them in the page cache.
        unsafe { libc::madvise(self.base.as_ptr().add(from).cast(), to - from, advice) == 0 }
    }

    /// The address of `len` bytes at `offset`; asserts that they lie inside.
    fn address(&self, offset: u64, len: usize) -> *mut u8 {
        let inside = usize::try_from(offset)
            .ok()
            .filter(|offset| offset.checked_add(len).is_some_and(|end| end <= self.len));
        let Some(offset) = inside else {
            panic!("store of {len} bytes at {offset} beyond a mapping of {} bytes", self.len)
        };
        // SAFETY: the offset lies inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl LogMap for MappedLog {
    fn store(&self, offset: u64, bytes: &[u8]) {
        let to = self.address(offset, bytes.len());
        // SAFETY: the range lies inside the mapping, which is writable; `bytes` is ordinary memory
        // and so cannot overlap it; no other thread stores there (`LogMap`).
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    #[inline]
    fn hint(&self, offset: u64) -> *const u8 {
        let offset = usize::try_from(offset).unwrap_or(self.len).min(self.len);
        self.base.as_ptr().wrapping_add(offset)
    }

    fn keeps_values(&self) -> bool {
        true
    }

    fn lasting(&self, offset: u64, len: usize) -> Option<*const u8> {
        Some(self.address(offset, len))
    }

    fn store_words(&self, offset: u64, words: &[u64]) {
        assert!(offset % 8 == 0, "words at an offset of {offset}");
        let to = self.address(offset, size_of_val(words));
        for (i, word) in words.iter().enumerate() {
            // SAFETY: the word lies inside the mapping and is aligned, because the mapping begins
            // with a page; while helpers store here they all store atomically (`LogMap`).
            let place = unsafe { AtomicU64::from_ptr(to.add(i * 8).cast()) };
            // The kernel alone reads it, and only CRCs prove anything: no order is needed.
            place.store(word.to_le(), Ordering::Relaxed);
        }
    }

    fn populate(&self, from: u64, to: u64) {
        let Some((first, end)) = self.pages(from, to) else { return };
        // Kernels before 5.14 do not know it; then the pages come at the first store.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        self.advise(first, end, libc::MADV_POPULATE_WRITE);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = (first, end);
    }

    fn release(&self, offset: u64) {
        // Part of a huge page would be let go with the rest of it, which is stored to just now.
        let whole = if offset < self.len as u64 {
            offset - offset % HUGE_BYTES
        } else {
            (self.len - self.len % self.page_bytes) as u64
        };
        let before = self.released.fetch_max(whole, Ordering::Relaxed);
        // The address range stays mapped, so a store that comes late faults its page in again.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some((first, end)) = self.pages(before, whole) {
            self.advise(first, end, libc::MADV_DONTNEED);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = before;
    }

    fn sync(&self, from: u64, to: u64) -> Result<()> {
        let Some((first, end)) = self.pages(from, to) else { return Ok(()) };
        loop {
            // SAFETY: the range lies inside the mapping and begins with a page.
            let result = unsafe {
                libc::msync(self.base.as_ptr().add(first).cast(), end - first, libc::MS_SYNC)
            };
            if result == 0 {
                return Ok(());
            }
            let cause = io::Error::last_os_error();
            if cause.kind() != io::ErrorKind::Interrupted {
                return Err(Error::io("sync the mapping of", &self.path, &cause));
            }
        }
    }
}

impl Drop for MappedLog {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // A child has no such mapping; something else may lie at its address by now.
            return;
        }
        // SAFETY: the range is exactly one mapping, and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Bytes of a page of memory.
pub(super) fn page_bytes() -> usize {
    // SAFETY: the call takes and returns numbers only.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}
