//! Durability, maintenance and observation of an open database.

use std::ffi::{c_char, c_void};

use super::bytes::{self, Out};
use super::constants::{
    LSM_BG_PAUSE, LSM_BG_RESUME, LSM_BG_WAIT_IDLE, LSM_H_DEGRADED, LSM_H_OK, LSM_H_POISONED,
    LSM_H_READONLY, LSM_OK, LSM_STATS_JSON, LSM_STATS_PROMETHEUS, LSM_STATS_TEXT,
};
use super::guard::guard;
use super::handle::Call;
use super::keyspace::fill;
use super::options;
use super::status::{report, report_none};
use super::types::{lsm_db, lsm_error, lsm_health, lsm_ks, lsm_rc};
use crate::base::limits::LSN_MAX;
use crate::base::{Error, Lsn};
use crate::engine::{Background, Health, HealthState, StatsFormat};

/// Makes every write that ends at or below `up_to_seq` survive power loss (0: every write that
/// returned before this call). *durable_seq becomes the position up to which all does.
/// `durable_seq` may be NULL. LSM_D_NONE writes are not in the log: only lsm_flush saves them.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on the disk.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_sync(
    db: *mut lsm_db,
    up_to_seq: u64,
    durable_seq: *mut u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        if up_to_seq > LSN_MAX {
            return Err(Error::invalid(format!("nothing can be written at {up_to_seq}")));
        }
        let durable = db.open.engine.sync(Lsn(up_to_seq))?;
        // SAFETY: the caller passes NULL or a writable pointer.
        unsafe { Out::wanted(durable_seq).set(durable.0) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_sync", err, body) }
}

/// Writes everything that is in memory now into synced tables, LSM_D_NONE writes too. `ks` may be
/// NULL; keyspaces share the memory, so all are written. `flags` is 0. The caller's thread does it,
/// also while background work is paused.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: until the tables are durable.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_BUSY, LSM_E_READONLY, LSM_E_IO,
///   LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_flush(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    flags: u32,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        call.keyspace(db, ks)?;
        if flags != 0 {
            return Err(Error::unsupported("lsm_flush: flags is not supported; leave it 0"));
        }
        db.open.engine.flush()?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_flush", err, body) }
}

/// Compacts the tables of [lo, hi) to the lowest level: old versions and deletions go. A NULL bound
/// is none. `ks` may be NULL. `flags` is 0. `deadline_ns` is the time it may take; 0: no limit.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: until it is done.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_TIMEOUT, LSM_E_BUSY,
///   LSM_E_READONLY, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_compact(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    lo: *const c_void,
    lolen: usize,
    hi: *const c_void,
    hilen: usize,
    flags: u32,
    deadline_ns: u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let ks = call.keyspace(db, ks)?;
        if flags != 0 {
            return Err(Error::unsupported("lsm_compact: flags is not supported; leave it 0"));
        }
        // SAFETY: the caller passes NULL or `lolen` readable bytes.
        let lo = unsafe { bytes::bound(lo, lolen) }?;
        // SAFETY: the caller passes NULL or `hilen` readable bytes.
        let hi = unsafe { bytes::bound(hi, hilen) }?;
        db.open.engine.compact(ks, lo, hi, deadline_ns)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_compact", err, body) }
}

/// Steers background work: LSM_BG_PAUSE, LSM_BG_RESUME, LSM_BG_WAIT_IDLE. `timeout_ns` bounds
/// the wait of the first and the last: 0 does not wait, UINT64_MAX waits for ever. A pause that ran
/// out of time holds all the same. Pauses are counted: each needs its resume. They
/// hold back the background only; lsm_flush and lsm_compact still do their work.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: LSM_BG_PAUSE until running work has stopped, LSM_BG_WAIT_IDLE until nothing is due.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_TIMEOUT, LSM_E_BUSY (waiting
///   while paused), the cause of failed background work, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_background(
    db: *mut lsm_db,
    action: u32,
    timeout_ns: u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let action = match action {
            LSM_BG_PAUSE => Background::Pause,
            LSM_BG_RESUME => Background::Resume,
            LSM_BG_WAIT_IDLE => Background::WaitIdle,
            // The place of "cancel", which is not built.
            4 => return Err(Error::unsupported("lsm_background: action 4 is not supported")),
            _ => return Err(Error::invalid("action is none of the LSM_BG_ constants")),
        };
        db.open.engine.background(action, timeout_ns)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_background", err, body) }
}

/// Tells how the database is doing. The caller sets out->struct_size. `bg_error` may be NULL; on
/// LSM_OK it is written too: the cause of LSM_H_POISONED or LSM_H_DEGRADED, or code 0.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED; *bg_error tells them, and *out is
///   untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_health_get(
    db: *mut lsm_db,
    out: *mut lsm_health,
    bg_error: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        // SAFETY: the caller passes NULL or a writable struct of the size that it says.
        let size = unsafe { options::check_output(out) }?;
        let health = db.open.engine.health();
        let tail = size as usize - size_of::<lsm_health>();
        // SAFETY: as above; what a newer header has behind our fields becomes zero.
        unsafe { out.add(1).cast::<u8>().write_bytes(0, tail) };
        // SAFETY: as above.
        unsafe { out.write_unaligned(exported(&health, size)) };
        match &health.cause {
            // SAFETY: the caller passes NULL or 256 writable bytes.
            Some(cause) => _ = unsafe { report(bg_error, cause) },
            // SAFETY: as above.
            None => unsafe { report_none(bg_error) },
        }
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_health_get", bg_error, body) }
}

/// One statistic by its name; lsm_stats_dump lists the names. `ks` is NULL: no statistic is kept
/// for one keyspace.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: no.
/// - Errors: LSM_E_INVALID (no such name, too), LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_stat(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    name: *const c_char,
    out: *mut u64,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        call.keyspace(db, ks)?;
        let out = Out::needed(out, "out")?;
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let name = unsafe { bytes::name(name) }?;
        if !ks.is_null() {
            return Err(Error::unsupported("lsm_stat: ks is not supported; leave it NULL"));
        }
        let value = db.open.engine.stat(name)?;
        // SAFETY: the caller passes a writable pointer.
        unsafe { out.set(value) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_stat", err, body) }
}

/// All statistics as text in `format` (LSM_STATS_*), without a NUL. *need becomes its length. buf
/// NULL and cap 0 only ask for that; it may have grown by the next call.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED. LSM_BUFFER_SMALL: buf is untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_stats_dump(
    db: *mut lsm_db,
    format: u32,
    buf: *mut c_void,
    cap: usize,
    need: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        let format = match format {
            LSM_STATS_JSON => StatsFormat::Json,
            LSM_STATS_PROMETHEUS => StatsFormat::Prometheus,
            LSM_STATS_TEXT => StatsFormat::Text,
            _ => return Err(Error::invalid("format is none of the LSM_STATS_ constants")),
        };
        let text = db.open.engine.stats_dump(format);
        // SAFETY: the caller passes NULL or `cap` writable bytes, and NULL or a writable pointer.
        unsafe { fill(text.as_bytes(), buf, cap, need) }
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_stats_dump", err, body) }
}

fn exported(health: &Health, struct_size: u32) -> lsm_health {
    lsm_health {
        struct_size,
        state: match health.state {
            HealthState::Ok => LSM_H_OK,
            HealthState::ReadOnly => LSM_H_READONLY,
            HealthState::Poisoned => LSM_H_POISONED,
            HealthState::Degraded => LSM_H_DEGRADED,
        },
        last_seq: health.last_seq.0,
        durable_seq: health.durable_seq.0,
        debt_bytes: health.debt_bytes,
        stall_ns_total: health.stall_ns_total,
        memory_used: health.memory_used,
        memory_budget: health.memory_budget,
        disk_bytes: health.disk_bytes,
        oldest_snapshot_secs: health.oldest_snapshot_secs,
    }
}
