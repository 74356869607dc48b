//! Byte accounting under one limit.
//!
//! A budget counts; it owns nothing and frees nothing. Any thread takes and gives.

use super::atomic::{AtomicU64, Ordering};

/// Bytes in use out of a limit.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes taken and not given back. Written and read by every thread; a pure count that orders
    /// nothing else, hence `Relaxed` throughout.
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    /// Nothing used out of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    /// Takes `bytes` if they fit under the limit; else takes nothing and returns false.
    #[must_use]
    pub(crate) fn try_take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= self.limit)
            })
            .is_ok()
    }

    /// Takes `bytes` whatever the limit says: for what exists already and must be counted.
    pub(crate) fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back `bytes` that were taken.
    pub(crate) fn give(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "gave back {bytes} of {before} bytes");
    }

    /// Bytes in use; may exceed the limit after [`Budget::take`].
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}
