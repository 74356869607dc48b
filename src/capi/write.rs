//! Writes: one key, or a packed batch.

use std::ffi::c_void;

use super::bytes::{self, Out};
use super::constants::LSM_OK;
use super::guard::guard;
use super::handle::Call;
use super::options;
use super::types::{lsm_db, lsm_error, lsm_ks, lsm_rc, lsm_write_opts};

/// Gives a key a value. `ks` and `o` may be NULL. A key has up to 65,535 bytes, a value up to 1 GiB
/// and what the memory budget allows (LSM_E_NOMEM). LSM_E_TIMEOUT: deadline_ns ran out; LSM_E_BUSY:
/// LSM_W_NOSTALL, or waiting would be in vain because this program itself holds the room.
///
/// - Threads: any.
/// - Owns: nothing; key and value are copied.
/// - Valid until: -
/// - Blocks: for back-pressure (not with LSM_W_NOSTALL), for writes that were reserved before this
///   one, and with LSM_D_SYNC on the disk.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_BUSY, LSM_E_TIMEOUT,
///   LSM_E_READONLY, LSM_E_NO_SPACE, LSM_E_IO, LSM_E_NOMEM, LSM_E_INTERNAL, LSM_E_FORKED; with
///   LSM_ERR_LATCHED after a failure that stopped all writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_put(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_write_opts,
    key: *const c_void,
    klen: usize,
    val: *const c_void,
    vlen: usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::write(o) }?;
        // SAFETY: the caller passes NULL or `klen` readable bytes.
        let key = unsafe { bytes::key(key, klen) }?;
        // SAFETY: the caller passes NULL or `vlen` readable bytes.
        let value = unsafe { bytes::value(val, vlen) }?;
        db.open.engine.put(ks, key, value, &options)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_put", err, body) }
}

/// Takes a key's value away; LSM_OK if it had none. `ks` and `o` may be NULL.
///
/// - Threads: any.
/// - Owns: nothing; the key is copied.
/// - Valid until: -
/// - Blocks: as lsm_put.
/// - Errors: as lsm_put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_delete(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_write_opts,
    key: *const c_void,
    klen: usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::write(o) }?;
        // SAFETY: the caller passes NULL or `klen` readable bytes.
        let key = unsafe { bytes::key(key, klen) }?;
        db.open.engine.delete(ks, key, &options)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_delete", err, body) }
}

/// Applies a packed batch, whole or not at all. *seq becomes the position of its end. `o` and `seq`
/// may be NULL.
///
/// - Threads: any.
/// - Owns: nothing; the operations are copied.
/// - Valid until: -
/// - Blocks: as lsm_put.
/// - Errors: as lsm_put; LSM_E_INVALID for malformed operations, of which none is applied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_write(
    db: *mut lsm_db,
    o: *const lsm_write_opts,
    packed_ops: *const c_void,
    len: usize,
    seq: *mut u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = unsafe { options::write(o) }?;
        // SAFETY: the caller passes NULL or `len` readable bytes.
        let packed = unsafe { bytes::packed(packed_ops, len) }?;
        let end = db.open.engine.write(packed, &options)?;
        // SAFETY: the caller passes NULL or a writable pointer.
        unsafe { Out::wanted(seq).set(end.0) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_write", err, body) }
}
