//! Snapshots: one moment of a database, for as long as the handle is open.

use std::sync::Arc;

use super::bytes::Out;
use super::constants::LSM_OK;
use super::guard::{guard, guard_quietly};
use super::handle::{self, Call, SnapshotObject};
use super::types::{lsm_db, lsm_error, lsm_rc, lsm_snapshot};

/// Keeps this moment readable: every write acknowledged before is seen through it, none that
/// begins after. *seq becomes its position. `seq` may be NULL. Only dropping a keyspace takes its
/// data from snapshots, too.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_snapshot_release gives it back.
/// - Valid until: released; LSM_E_CLOSED once db is closed.
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_NOMEM, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_snapshot_create(
    db: *mut lsm_db,
    out: *mut *mut lsm_snapshot,
    seq: *mut u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") }?;
        let db = call.db(db)?;
        let snapshot = db.open.engine.snapshot()?;
        let at = snapshot.seq().0;
        let made = handle::create(SnapshotObject { snapshot, db: Arc::clone(&db.open) })?;
        // SAFETY: the caller passes writable pointers, or NULL for `seq`.
        unsafe { Out::wanted(seq).set(at) };
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_snapshot_create", err, body) }
}

/// Gives a snapshot back; cursors opened at it keep what they need. Does nothing for NULL, a
/// released handle, or in a forked child.
///
/// - Threads: any.
/// - Owns: takes s.
/// - Valid until: returns; s is stale then.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_snapshot_release(s: *mut lsm_snapshot) {
    guard_quietly("lsm_snapshot_release", (), |_| handle::release::<SnapshotObject>(s));
}
