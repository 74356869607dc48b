//! The frame around every C call: nothing unwinds out of it, and errno survives it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handle::Call;
use super::status::report;
use super::types::{lsm_error, lsm_rc};
use crate::base::{Error, ErrorKind, Result};

/// Runs the body of the C function `name`. An error becomes its code and fills `err`; a panic
/// becomes `LSM_E_INTERNAL` and stops the writes of the database that the call looked up.
///
/// # Safety
/// `err` is NULL or points to 256 writable bytes.
#[inline]
pub(super) unsafe fn guard(
    name: &'static str,
    err: *mut lsm_error,
    body: impl FnOnce(&Call) -> Result<lsm_rc>,
) -> lsm_rc {
    let errno = Errno::save();
    let call = Call::new(name);
    let outcome = match catch_unwind(AssertUnwindSafe(|| body(&call))) {
        Ok(outcome) => outcome,
        Err(payload) => Err(panicked(&call, payload)),
    };
    let rc = match outcome {
        Ok(rc) => rc,
        // SAFETY: the caller's contract.
        Err(error) => unsafe { report(err, &error) },
    };
    drop(call);
    errno.restore();
    rc
}

/// Runs the body of a C function that can tell nobody of a failure; a panic ends here.
pub(super) fn guard_quietly<R>(
    name: &'static str,
    otherwise: R,
    body: impl FnOnce(&Call) -> R,
) -> R {
    let errno = Errno::save();
    let call = Call::new(name);
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&call)));
    let result = outcome.unwrap_or_else(|payload| {
        panicked(&call, payload);
        otherwise
    });
    drop(call);
    errno.restore();
    result
}

/// The error of a panic, after it stopped the database's writes.
#[cold]
fn panicked(call: &Call, payload: Box<dyn Any + Send>) -> Error {
    let text = text_of(&*payload);
    let error = Error::new(
        ErrorKind::Internal,
        format!("a bug in lsmer, caught in {}: {text}; open the database again", call.name()),
    );
    // Neither what the payload does when dropped nor a second bug may leave this frame.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(db) = call.database() {
            db.poison(error.clone());
        }
    }));
    error
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without text"
    }
}

/// The caller's errno.
struct Errno {
    #[cfg(target_os = "linux")]
    at: *mut libc::c_int,
    #[cfg(target_os = "linux")]
    value: libc::c_int,
}

impl Errno {
    #[cfg(target_os = "linux")]
    #[inline]
    fn save() -> Self {
        // SAFETY: the pointer is to this thread's errno, valid while the thread lives.
        let at = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        Self { at, value: unsafe { *at } }
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn restore(self) {
        // SAFETY: as in `save`; a call begins and ends on one thread.
        unsafe { *self.at = self.value }
    }

    #[cfg(not(target_os = "linux"))]
    fn save() -> Self {
        Self {}
    }

    #[cfg(not(target_os = "linux"))]
    fn restore(self) {}
}
