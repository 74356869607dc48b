//! The standing cause: why a database takes no more writes.
//!
//! Set once, by the first failed sync of log or manifest, a failed log write, or a caught panic;
//! kept until the database is reopened. Every later write returns it. Reads go on.

use std::sync::OnceLock;

use crate::base::{Error, Result};
use crate::mem::atomic::{AtomicU32, Ordering};

const SOUND: u32 = 0;
const POISONED: u32 = 1;
const STUCK: u32 = 2;

/// The first cause, and whether publishing stopped with it.
pub(super) struct Poison {
    cause: OnceLock<Error>,
    /// Written after `cause` (release) by whoever poisons; read (acquire) by every writer before
    /// it reserves and by every waiter. `STUCK` says that a record will never be published.
    state: AtomicU32,
}

impl Poison {
    /// Sound.
    pub(super) fn new() -> Self {
        Self { cause: OnceLock::new(), state: AtomicU32::new(SOUND) }
    }

    /// Keeps `cause` unless there is one already. The caller wakes the waiters.
    pub(super) fn set(&self, cause: Error) {
        let _ = self.cause.set(cause.latched());
        self.state.fetch_max(POISONED, Ordering::AcqRel);
    }

    /// Like [`Poison::set`], and says that `visible` will never pass some reservation.
    pub(super) fn set_stuck(&self, cause: Error) {
        let _ = self.cause.set(cause.latched());
        self.state.fetch_max(STUCK, Ordering::AcqRel);
    }

    /// An error with the first cause, if there is one.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.state.load(Ordering::Acquire) == SOUND { Ok(()) } else { Err(self.error()) }
    }

    /// Whether publishing has stopped for good.
    pub(super) fn is_stuck(&self) -> bool {
        self.state.load(Ordering::Acquire) == STUCK
    }

    /// The first cause, if there is one.
    pub(super) fn cause(&self) -> Option<Error> {
        self.check().err()
    }

    fn error(&self) -> Error {
        self.cause.get().cloned().unwrap_or_else(Error::closed)
    }
}
