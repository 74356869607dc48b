//! Bytes that stay where they are for as long as somebody holds them.
//!
//! A value is a counted reference to their owner and the place of the bytes. Any thread.

#![allow(unsafe_code, reason = "the owner keeps the bytes, which the compiler cannot see")]

use std::any::Any;
use std::sync::Arc;

/// Bytes inside of something that is shared, kept by a count.
pub(crate) struct Held {
    _owner: Arc<dyn Any + Send + Sync>,
    bytes: *const [u8],
}

// SAFETY: the bytes are read only, by anybody, and the owner may be dropped by any thread.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// Holds `bytes`.
    ///
    /// # Safety
    /// Nobody changes, moves or frees them while `owner` lives.
    pub(crate) unsafe fn new(owner: Arc<dyn Any + Send + Sync>, bytes: &[u8]) -> Self {
        Self { _owner: owner, bytes }
    }

    /// Holds bytes that nobody else has.
    #[cfg(test)]
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let owner = Arc::new(bytes);
        let bytes: *const [u8] = owner.as_slice();
        Self { _owner: owner, bytes }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the owner is alive, so the bytes are there and do not change (`new`).
        unsafe { &*self.bytes }
    }
}
