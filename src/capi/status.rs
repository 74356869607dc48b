//! Errors as C sees them: codes, names and the 256 bytes of `lsm_error`.

use std::ffi::CStr;
use std::ffi::c_char;

use super::constants::{LSM_ERR_LATCHED, LSM_ERR_RETRYABLE};
use super::types::{lsm_error, lsm_rc};
use crate::base::Error;

/// The code of an error.
pub(super) fn code(error: &Error) -> lsm_rc {
    error.kind() as i32
}

/// Writes `error` to `err`, if that is not NULL, and returns its code.
///
/// # Safety
/// `err` is NULL or points to 256 writable bytes, at any alignment.
#[cold]
#[inline(never)]
pub(super) unsafe fn report(err: *mut lsm_error, error: &Error) -> lsm_rc {
    if !err.is_null() {
        // SAFETY: the caller's contract.
        unsafe { err.write_unaligned(filled(error)) };
    }
    code(error)
}

/// Writes to `err`, if that is not NULL, that nothing is wrong.
///
/// # Safety
/// As for [`report`].
pub(super) unsafe fn report_none(err: *mut lsm_error) {
    if !err.is_null() {
        // SAFETY: the caller's contract.
        unsafe { err.write_unaligned(blank()) };
    }
}

fn blank() -> lsm_error {
    lsm_error {
        struct_size: 256,
        code: 0,
        os_errno: 0,
        flags: 0,
        file_id: 0,
        offset: 0,
        detail0: 0,
        message: [0; 216],
    }
}

fn filled(error: &Error) -> lsm_error {
    let retryable = if error.is_retryable() { LSM_ERR_RETRYABLE } else { 0 };
    let latched = if error.is_latched() { LSM_ERR_LATCHED } else { 0 };
    let mut out = lsm_error {
        code: code(error),
        os_errno: error.os_errno(),
        flags: retryable | latched,
        file_id: error.file_id(),
        offset: error.offset(),
        detail0: error.detail0(),
        ..blank()
    };
    let text = error.message();
    let room = out.message.len() - 1;
    let end = (0..=room).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    for (to, from) in out.message.iter_mut().zip(text.as_bytes().iter().take(end)) {
        // A NUL inside would cut the text short.
        *to = c_char::from_le_bytes([if *from == 0 { b' ' } else { *from }]);
    }
    out
}

/// The name of a code, for logs.
pub(super) fn name(rc: lsm_rc) -> &'static CStr {
    match rc {
        0 => c"LSM_OK",
        1 => c"LSM_NOT_FOUND",
        2 => c"LSM_END",
        3 => c"LSM_BUFFER_SMALL",
        4 => c"LSM_PARTIAL",
        -1 => c"LSM_E_INVALID",
        -2 => c"LSM_E_CLOSED",
        -3 => c"LSM_E_BUSY",
        -4 => c"LSM_E_CONFLICT",
        -5 => c"LSM_E_TIMEOUT",
        -6 => c"LSM_E_LOCKED",
        -7 => c"LSM_E_READONLY",
        -8 => c"LSM_E_NO_SPACE",
        -9 => c"LSM_E_IO",
        -10 => c"LSM_E_CORRUPT",
        -11 => c"LSM_E_FORMAT",
        -12 => c"LSM_E_NOMEM",
        -13 => c"LSM_E_UNSUPPORTED",
        -14 => c"LSM_E_FORKED",
        -15 => c"LSM_E_INTERNAL",
        _ => c"LSM_UNKNOWN",
    }
}
