//! Keyspaces: separate ordered sets of keys in one database.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::bytes::{self, Buffer, Out};
use super::constants::{LSM_BUFFER_SMALL, LSM_OK};
use super::guard::{guard, guard_quietly};
use super::handle::{self, Call, KsObject};
use super::options;
use super::types::{lsm_db, lsm_error, lsm_ks, lsm_ks_opts, lsm_rc};
use crate::base::KeyspaceId;
use crate::base::coding::len_u32;

/// Opens the keyspace `name` (NUL-terminated UTF-8 of 1 to 255 bytes), creating it if it is absent.
/// "default" always exists, and NULL in place of a keyspace means it. With `o` NULL a new keyspace
/// has the default options and an old one keeps its own; else they hold for tables written from now
/// on.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_ks_release gives it back.
/// - Valid until: released; LSM_E_CLOSED once db is closed.
/// - Blocks: on syncing the manifest when something changes.
/// - Errors: LSM_E_INVALID (such as another comparator than the stored one), LSM_E_UNSUPPORTED,
///   LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_ks_open(
    db: *mut lsm_db,
    name: *const c_char,
    o: *const lsm_ks_opts,
    out: *mut *mut lsm_ks,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") }?;
        let db = call.db(db)?;
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let name = unsafe { bytes::name(name) }?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let given = unsafe { options::read(o) }?;
        let options = given.as_ref().map(options::keyspace).transpose()?;
        let id = db.open.engine.keyspace_open(name, options.as_ref())?.id;
        let made = handle::create(KsObject { db: Arc::clone(&db.open), id })?;
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_ks_open", err, body) }
}

/// Drops the keyspace `name` and everything in it. Handles to it answer LSM_E_INVALID from then
/// on, and so do reads of it through cursors and snapshots that are older, and batches that name
/// it; a keyspace created later by that name is another one. "default" cannot be dropped.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on syncing log and manifest.
/// - Errors: LSM_E_INVALID (absent, or "default"), LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO,
///   LSM_E_NO_SPACE, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_ks_drop(
    db: *mut lsm_db,
    name: *const c_char,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        db.open.engine.keyspace_drop(unsafe { bytes::name(name) }?)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_ks_drop", err, body) }
}

/// Gives a keyspace handle back; the keyspace stays. Does nothing for NULL, a released handle, or
/// in a forked child.
///
/// - Threads: any.
/// - Owns: takes ks.
/// - Valid until: returns; ks is stale then.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_ks_release(ks: *mut lsm_ks) {
    guard_quietly("lsm_ks_release", (), |_| handle::release::<KsObject>(ks));
}

/// Lists the keyspaces into `buf`: for each u32 id, u32 length of the name, name; little-endian,
/// unaligned. *need becomes the bytes of the whole list. buf NULL and cap 0 only ask for them.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED. LSM_BUFFER_SMALL: buf is untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_ks_list(
    db: *mut lsm_db,
    buf: *mut c_void,
    cap: usize,
    need: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let mut list = Vec::new();
        for (name, id) in db.open.engine.keyspace_list() {
            list.extend_from_slice(&id.0.to_le_bytes());
            list.extend_from_slice(&len_u32(name.as_bytes()).to_le_bytes());
            list.extend_from_slice(name.as_bytes());
        }
        // SAFETY: the caller passes NULL or `cap` writable bytes, and NULL or a writable pointer.
        unsafe { fill(&list, buf, cap, need) }
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_ks_list", err, body) }
}

/// The id of a keyspace, for packed operations: 0 for NULL, the default keyspace; UINT32_MAX for
/// a handle that is not open, and in a forked child.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: the keyspace is dropped; ids are never reused in a database.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_ks_id(ks: *const lsm_ks) -> u32 {
    guard_quietly("lsm_ks_id", u32::MAX, |call| {
        if ks.is_null() {
            return handle::check_fork().map_or(u32::MAX, |()| KeyspaceId::DEFAULT.0);
        }
        call.with(ks, |ks: &KsObject| ks.db.check_open().map(|()| ks.id.0)).unwrap_or(u32::MAX)
    })
}

/// Copies `all` to the caller, or tells how large it is.
///
/// # Safety
/// `buf` is NULL or points to `cap` writable bytes; `need` is NULL or writable.
pub(super) unsafe fn fill(
    all: &[u8],
    buf: *mut c_void,
    cap: usize,
    need: *mut usize,
) -> crate::base::Result<lsm_rc> {
    let mut buffer = Buffer::new(buf, cap)?;
    let need = Out::needed(need, "need")?;
    // SAFETY: the caller's contract.
    unsafe { need.set(all.len()) };
    // SAFETY: as above.
    if buffer.is_query() || unsafe { buffer.append(&[all]) } {
        return Ok(LSM_OK);
    }
    Ok(LSM_BUFFER_SMALL)
}
