//! Batches: a growing buffer of packed operations. Callers may as well pack them themselves.

use std::ffi::c_void;

use super::bytes::{self, Out};
use super::constants::{LSM_OK, LSM_OP_DELETE, LSM_OP_PUT};
use super::guard::{guard, guard_quietly};
use super::handle::{self, BatchObject, Call, KsObject};
use super::types::{lsm_batch, lsm_error, lsm_ks, lsm_rc, lsm_slice};
use crate::base::limits::BATCH_BYTES_MAX;
use crate::base::{Error, KeyspaceId, Kind, Result};
use crate::batch::{Op, push_op};

/// Bytes in front of the key of a packed operation.
const OP_HEADER_BYTES: usize = 16;

/// Makes an empty batch with room for `reserve` bytes (0: none yet). It belongs to no database.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_batch_release gives it back.
/// - Valid until: released.
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_NOMEM, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_batch_create(
    reserve: usize,
    out: *mut *mut lsm_batch,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |_: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") }?;
        handle::check_fork()?;
        let mut packed = Vec::new();
        grow(&mut packed, reserve)?;
        let made = handle::create(BatchObject { packed, count: 0 })?;
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_batch_create", err, body) }
}

/// Gives a batch back. Does nothing for NULL, a released handle, or in a forked child.
///
/// - Threads: one at a time.
/// - Owns: takes b.
/// - Valid until: returns; b and the bytes that it lent are stale then.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_batch_release(b: *mut lsm_batch) {
    guard_quietly("lsm_batch_release", (), |_| handle::release::<BatchObject>(b));
}

/// Adds one operation: LSM_OP_PUT, or LSM_OP_DELETE (val NULL, vlen 0). `ks` may be NULL; the batch
/// keeps its id, so write it to the database that ks is of.
///
/// - Threads: one at a time.
/// - Owns: nothing; key and value are copied.
/// - Valid until: bytes that lsm_batch_bytes lent are stale after this.
/// - Blocks: no.
/// - Errors: LSM_E_INVALID (the batch would exceed LSM_BATCH_BYTES_MAX, too), LSM_E_UNSUPPORTED,
///   LSM_E_CLOSED, LSM_E_NOMEM, LSM_E_FORKED; the batch is then as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_batch_add(
    b: *mut lsm_batch,
    op: u32,
    ks: *const lsm_ks,
    key: *const c_void,
    klen: usize,
    val: *const c_void,
    vlen: usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let batch = call.take::<BatchObject>(b)?;
        let kind = kind(op)?;
        // SAFETY: the caller passes NULL or `klen` readable bytes.
        let key = unsafe { bytes::key(key, klen) }?;
        // SAFETY: the caller passes NULL or `vlen` readable bytes.
        let value = unsafe { bytes::value(val, vlen) }?;
        if kind == Kind::Delete && !value.is_empty() {
            return Err(Error::invalid("LSM_OP_DELETE takes no value"));
        }
        let keyspace = keyspace(call, ks)?;
        grow(&mut batch.packed, OP_HEADER_BYTES + key.len() + value.len())?;
        push_op(&mut batch.packed, &Op { kind, keyspace, expiry_ms: 0, key, value });
        batch.count += 1;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_batch_add", err, body) }
}

/// Lends the packed operations, for lsm_write, and tells how many there are. `packed` and `count`
/// may be NULL.
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: *packed is valid until the next lsm_batch_add, _clear or _release of b.
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_batch_bytes(
    b: *const lsm_batch,
    packed: *mut lsm_slice,
    count: *mut u32,
) -> lsm_rc {
    let body = |call: &Call| {
        let batch = call.take::<BatchObject>(b)?;
        // SAFETY: the caller passes NULL or a writable pointer.
        unsafe { Out::wanted(packed).set(bytes::lent(&batch.packed)) };
        // SAFETY: as above.
        unsafe { Out::wanted(count).set(batch.count) };
        Ok(LSM_OK)
    };
    // SAFETY: there is no error to fill.
    unsafe { guard("lsm_batch_bytes", std::ptr::null_mut(), body) }
}

/// Empties a batch and keeps its memory. Does nothing for NULL, a released handle, or in a forked
/// child.
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: bytes that lsm_batch_bytes lent are stale after this.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_batch_clear(b: *mut lsm_batch) {
    guard_quietly("lsm_batch_clear", (), |call| {
        if let Ok(batch) = call.take::<BatchObject>(b) {
            batch.packed.clear();
            batch.count = 0;
        }
    });
}

fn kind(op: u32) -> Result<Kind> {
    match op {
        LSM_OP_PUT => Ok(Kind::Put),
        LSM_OP_DELETE => Ok(Kind::Delete),
        // Known to the format, not built.
        3 | 4 => Err(Error::unsupported(format!("operation {op} is not supported"))),
        _ => Err(Error::invalid(format!("op is {op}; use an LSM_OP_ constant"))),
    }
}

fn keyspace(call: &Call, ks: *const lsm_ks) -> Result<KeyspaceId> {
    if ks.is_null() {
        return Ok(KeyspaceId::DEFAULT);
    }
    call.with(ks, |ks: &KsObject| ks.db.check_open().map(|()| ks.id))
}

/// Makes room for `more` bytes, within the limit of a batch.
fn grow(packed: &mut Vec<u8>, more: usize) -> Result<()> {
    if more > BATCH_BYTES_MAX - packed.len() {
        let text = format!("the batch would exceed {BATCH_BYTES_MAX} bytes");
        return Err(Error::invalid(text));
    }
    packed.try_reserve(more).map_err(|_| Error::no_memory("no memory for the batch"))
}
