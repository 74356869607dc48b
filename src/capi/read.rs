//! Point reads.

use std::ffi::c_void;
use std::sync::Arc;

use super::bytes::{self, Buffer, Out, OutArray, PackedKeys};
use super::constants::{LSM_BUFFER_SMALL, LSM_NOT_FOUND, LSM_OK, LSM_PARTIAL};
use super::guard::{guard, guard_quietly};
use super::handle::{self, Call, PinObject};
use super::options;
use super::status;
use super::types::{lsm_db, lsm_error, lsm_ks, lsm_pin, lsm_rc, lsm_read_opts, lsm_slice};
use crate::base::Result;

/// Copies the value of a key into `buf` and its length into *vlen. buf NULL and cap 0 only ask for
/// the length (LSM_OK); any other buffer that is too short gives LSM_BUFFER_SMALL, *vlen, and stays
/// as it was. `ks` and `o` may be NULL.
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

/// Looks up `n` keys at one position. They lie behind each other in `keys`; key i ends at
/// `key_ends[i]`, counted from `keys`, and begins where the one before ends. Values are packed into
/// `buf` in the order of the keys: `rcs[i]` becomes LSM_OK, LSM_NOT_FOUND, or why this key alone
/// could not be read, and `val_ends[i]` where its value ends. *done becomes how many keys were
/// looked up, always the first ones; outputs of the others are untouched.
/// LSM_OK: all of them. LSM_PARTIAL: the next value does not fit; go on with the keys from *done
/// (with a snapshot, to stay at one position). LSM_BUFFER_SMALL: not even the value of the first
/// key fits; `val_ends[0]` says what it takes and *done is 0. buf NULL and cap 0 only ask for the
/// lengths, and never stop early. `ks` and `o` may be NULL. Faster than as many calls of lsm_get.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on reading blocks from disk.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_FORKED. In rcs also
///   LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM: lsm_get of that key has the text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_multi_get(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    keys: *const c_void,
    key_ends: *const u32,
    n: usize,
    buf: *mut c_void,
    cap: usize,
    val_ends: *mut u64,
    rcs: *mut i32,
    done: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::point_read(call, db, o) }?;
        // SAFETY: the caller passes NULL or `n` readable numbers, and the bytes that they tell of.
        let keys = unsafe { PackedKeys::new(keys, key_ends, n) }?;
        let buffer = Buffer::new(buf, cap)?;
        let done = Out::needed(done, "done")?;
        let mut values = PackedValues {
            buffer,
            ends: OutArray::new(val_ends, n, "val_ends")?,
            rcs: OutArray::new(rcs, n, "rcs")?,
            end: 0,
            stopped: LSM_OK,
        };
        // SAFETY: the caller passes NULL or writable arrays of `n`, and `cap` writable bytes.
        let take = |i, outcome: Result<Option<&[u8]>>| unsafe { values.take(i, outcome) };
        let count = db.open.engine.multi_get(ks, (n, |i| keys.get(i)), &options, take)?;
        // SAFETY: the caller passes a writable pointer.
        unsafe { done.set(count) };
        Ok(values.stopped)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_multi_get", err, body) }
}

/// The results of `lsm_multi_get` on their way to the caller.
struct PackedValues {
    buffer: Buffer,
    ends: OutArray<u64>,
    rcs: OutArray<i32>,
    end: u64,
    /// Why it stopped, or `LSM_OK`.
    stopped: lsm_rc,
}

impl PackedValues {
    /// Takes the outcome of key `i`, unless its value does not fit; tells which.
    ///
    /// # Safety
    /// The arrays and the buffer are as long as they say and writable.
    unsafe fn take(&mut self, i: usize, outcome: Result<Option<&[u8]>>) -> bool {
        let rc = match outcome {
            Ok(Some(value)) => {
                let end = self.end + value.len() as u64;
                // SAFETY: the caller's contract.
                if !self.buffer.is_query() && !unsafe { self.buffer.append(&[value]) } {
                    self.stopped = if i == 0 { LSM_BUFFER_SMALL } else { LSM_PARTIAL };
                    if i == 0 {
                        // SAFETY: as above.
                        unsafe { self.ends.set(0, end) };
                    }
                    return false;
                }
                self.end = end;
                LSM_OK
            }
            Ok(None) => LSM_NOT_FOUND,
            Err(error) => status::code(&error),
        };
        // SAFETY: as above.
        unsafe { self.ends.set(i, self.end) };
        // SAFETY: as above.
        unsafe { self.rcs.set(i, rc) };
        true
    }
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
