//! Regions: zeroed memory straight from the operating system, on huge pages where possible.
//!
//! Arenas, point indexes and caches live here: they are large, touched at random, and one TLB miss
//! per access is what huge pages save. A region is not inherited by a forked child.
//!
//! The region hands out a raw pointer; who may touch which bytes when is its owner's business.

use std::ptr::{self, NonNull};

use crate::base::{Error, Result};

/// Size and alignment of a huge page on every platform that has them for us.
pub(super) const HUGE_BYTES: usize = 2 << 20;
/// Regions are rounded up to this; real pages may be larger, the kernel rounds further.
const PAGE_BYTES: usize = 4 << 10;

/// Zeroed anonymous memory, freed on drop.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is plain memory; it is owned by its handle, not by a thread.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Send for Region {}
// SAFETY: shared access yields only a raw pointer and its length.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Sync for Region {}

impl Region {
    /// Maps `bytes` bytes (at least 1, rounded up to whole pages), all zero. From 2 MiB on the
    /// region is aligned to huge pages and asks for them. Pages come into being when touched.
    ///
    /// # Errors
    /// `NoMemory` when the operating system refuses.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let region = Self::inherited(bytes)?;
        region.keep_from_children();
        Ok(region)
    }

    /// The same without huge pages: each page comes into being by itself.
    ///
    /// # Errors
    /// As for [`Region::new`].
    pub(crate) fn sparse(bytes: usize) -> Result<Self> {
        let refused = || Error::no_memory(format!("mapping {bytes} bytes of memory failed"));
        let len = Self::rounded(bytes).ok_or_else(refused)?;
        let region = Self { base: map(len).ok_or_else(refused)?, len };
        region.keep_from_children();
        region.refuse_huge();
        Ok(region)
    }

    /// The same for memory that callers were lent pieces of: a child inherits a copy.
    ///
    /// # Errors
    /// As for [`Region::new`].
    pub(crate) fn inherited(bytes: usize) -> Result<Self> {
        let refused = || Error::no_memory(format!("mapping {bytes} bytes of memory failed"));
        let len = Self::rounded(bytes).ok_or_else(refused)?;
        if len < HUGE_BYTES {
            return Ok(Self { base: map(len).ok_or_else(refused)?, len });
        }
        let whole = len.checked_add(HUGE_BYTES).ok_or_else(refused)?;
        let raw = map(whole).ok_or_else(refused)?;
        let front = raw.align_offset(HUGE_BYTES);
        unmap(raw.as_ptr(), front);
        unmap(raw.as_ptr().wrapping_add(front + len), whole - front - len);
        let base = NonNull::new(raw.as_ptr().wrapping_add(front)).ok_or_else(refused)?;
        let region = Self { base, len };
        advise_huge(region.as_ptr(), len);
        Ok(region)
    }

    /// The length of a region that is asked for with `bytes`, if that can be.
    pub(super) fn rounded(bytes: usize) -> Option<usize> {
        bytes.max(1).checked_next_multiple_of(PAGE_BYTES)
    }

    /// The first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Usable bytes: what was asked for, rounded up to whole pages.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Touches the pages of `[from, to)` so that nobody faults on them later. A hint: failure is
    /// harmless, and content is not changed.
    #[allow(unsafe_code, reason = "madvise")]
    pub(crate) fn populate(&self, from: usize, to: usize) {
        let from = from.min(self.len) & !(PAGE_BYTES - 1);
        let to = to.clamp(from, self.len);
        #[cfg(target_os = "linux")]
        // SAFETY: the range lies inside the mapping; populating writes nothing.
        unsafe {
            libc::madvise(
                self.as_ptr().wrapping_add(from).cast(),
                to - from,
                libc::MADV_POPULATE_WRITE,
            );
        }
        #[cfg(not(target_os = "linux"))]
        let _ = to;
    }

    /// Where the system gives huge pages unasked.
    #[allow(unsafe_code, reason = "madvise")]
    fn refuse_huge(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the range is our own mapping, and the advice changes no content.
        unsafe {
            libc::madvise(self.as_ptr().cast(), self.len, libc::MADV_NOHUGEPAGE);
        }
    }

    /// A child process must neither see nor copy what may be gigabytes.
    #[allow(unsafe_code, reason = "madvise")]
    fn keep_from_children(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the range is our own mapping, which no child uses: handles are refused there.
        // Where the advice fails the child merely inherits a copy-on-write mapping.
        unsafe {
            libc::madvise(self.as_ptr().cast(), self.len, libc::MADV_DONTFORK);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        unmap(self.as_ptr(), self.len);
    }
}

/// Asks for huge pages under `[start, start + bytes)`; whole huge pages inside it only. A hint,
/// for memory that is about to be written for the first time.
#[allow(unsafe_code, reason = "madvise")]
pub(crate) fn advise_huge<T>(start: *const T, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        let start = start.cast::<u8>();
        let front = start.align_offset(HUGE_BYTES);
        let Some(inner) = bytes.checked_sub(front).map(|n| n & !(HUGE_BYTES - 1)) else { return };
        if inner == 0 {
            return;
        }
        // SAFETY: the advice changes no content and no protection, whatever lies there.
        unsafe {
            libc::madvise(start.wrapping_add(front).cast_mut().cast(), inner, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// New zeroed pages, or none.
#[allow(unsafe_code, reason = "mmap")]
fn map(len: usize) -> Option<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing
    // that exists.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED { None } else { NonNull::new(address.cast()) }
}

/// Gives back pages that came from [`map`]; nothing for an empty range.
#[allow(unsafe_code, reason = "munmap")]
fn unmap(address: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: only called with page-aligned parts of our own mappings that nobody uses: the
        // edges that no region covers, and whole regions at their end.
        unsafe {
            libc::munmap(address.cast(), len);
        }
    }
}
