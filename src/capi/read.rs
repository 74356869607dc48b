//! Point reads.

use std::ffi::c_void;
use std::sync::Arc;

use super::bytes::{self, Buffer, Out};
use super::constants::{LSM_BUFFER_SMALL, LSM_NOT_FOUND, LSM_OK};
use super::guard::{guard, guard_quietly};
use super::handle::{self, Call, PinObject};
use super::options;
use super::types::{lsm_db, lsm_error, lsm_ks, lsm_pin, lsm_rc, lsm_read_opts, lsm_slice};

/// Copies the value of a key into `buf` and its length into *vlen. buf NULL and cap 0 only ask for
/// the length (LSM_OK); any other buffer that is too short gives LSM_BUFFER_SMALL, *vlen, and stays as it
/// was. `ks` and `o` may be NULL.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on reading a block from disk.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
///   LSM_E_FORKED. LSM_NOT_FOUND: *vlen is untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_get(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    key: *const c_void,
    klen: usize,
    buf: *mut c_void,
    cap: usize,
    vlen: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::point_read(call, db, o) }?;
        // SAFETY: the caller passes NULL or `klen` readable bytes.
        let key = unsafe { bytes::key(key, klen) }?;
        let mut buffer = Buffer::new(buf, cap)?;
        let vlen = Out::needed(vlen, "vlen")?;
        // SAFETY: the caller passes NULL or `cap` writable bytes.
        let value = unsafe { buffer.as_slice() };
        let Some(len) = db.open.engine.get_into(ks, key, &options, value)? else {
            return Ok(LSM_NOT_FOUND);
        };
        // SAFETY: the caller passes a writable pointer.
        unsafe { vlen.set(len) };
        Ok(if len <= cap || buffer.is_query() { LSM_OK } else { LSM_BUFFER_SMALL })
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_get", err, body) }
}

/// Finds the value of a key and lends it without a copy. `ks` and `o` may be NULL.
///
/// - Threads: any.
/// - Owns: the caller owns *pin; lsm_pin_release gives it back.
/// - Valid until: *val is valid until *pin is released, even after lsm_close.
/// - Blocks: on reading a block from disk.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
///   LSM_E_FORKED. LSM_NOT_FOUND: *pin is NULL and *val untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_get_pinned(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    key: *const c_void,
    klen: usize,
    pin: *mut *mut lsm_pin,
    val: *mut lsm_slice,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let pin = unsafe { Out::handle(pin, "pin") }?;
        let val = Out::needed(val, "val")?;
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::point_read(call, db, o) }?;
        // SAFETY: the caller passes NULL or `klen` readable bytes.
        let key = unsafe { bytes::key(key, klen) }?;
        let Some(value) = db.open.engine.get(ks, key, &options)? else {
            return Ok(LSM_NOT_FOUND);
        };
        let held = Box::new(PinObject { value, _db: Arc::clone(&db.open) });
        let lent = bytes::lent(&held.value);
        let made = handle::create_boxed(held)?;
        // SAFETY: the caller passes writable pointers.
        unsafe { val.set(lent) };
        // SAFETY: as above.
        unsafe { pin.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_get_pinned", err, body) }
}

/// Gives a value back. Does nothing for NULL, a released handle, or in a forked child.
///
/// - Threads: one at a time.
/// - Owns: takes pin.
/// - Valid until: returns; pin and the bytes that it lent are stale then.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_pin_release(pin: *mut lsm_pin) {
    guard_quietly("lsm_pin_release", (), |_| handle::release::<PinObject>(pin));
}
