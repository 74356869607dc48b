//! Cursors over a keyspace, and scans that need no cursor.

use std::ffi::c_void;

use super::bytes::{self, Buffer, Out};
use super::constants::{
    LSM_BUFFER_SMALL, LSM_DIR_FORWARD, LSM_DIR_REVERSE, LSM_END, LSM_OK, LSM_SEEK_FIRST,
    LSM_SEEK_GE, LSM_SEEK_GT, LSM_SEEK_LAST, LSM_SEEK_LE, LSM_SEEK_LT,
};
use super::guard::{guard, guard_quietly};
use super::handle::{self, Call, DbObject, IterObject};
use super::options;
use super::types::{lsm_db, lsm_error, lsm_iter, lsm_ks, lsm_rc, lsm_read_opts, lsm_slice};
use crate::base::{Error, Packed, Result};
use crate::engine::{Iter, SeekHow};

/// Opens a cursor over the keys in [lo, hi) as they are now, or at o->snap. It stands nowhere yet.
/// A NULL bound is none; with LSM_R_PREFIX lo is a prefix and hi NULL. `ks` and `o` may be NULL.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_iter_close gives it back.
/// - Valid until: closed; LSM_E_CLOSED once db is closed.
/// - Blocks: on opening tables.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
///   LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_open(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    lo: *const c_void,
    lolen: usize,
    hi: *const c_void,
    hilen: usize,
    out: *mut *mut lsm_iter,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") }?;
        let db = call.db(db)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says, and bounds that are
        // NULL or have their length of readable bytes.
        let cursor = unsafe { open(call, db, ks, o, (lo, lolen), (hi, hilen)) }?;
        let made = handle::create(cursor)?;
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_iter_open", err, body) }
}

/// Moves a cursor to the entry that `how` (LSM_SEEK_*) and, but for FIRST and LAST, the key name;
/// within the bounds. LSM_END when there is none; the cursor then stands outside on the side where
/// it looked: before the first entry after LT, LE and LAST, behind the last after GE, GT and FIRST.
/// `k` and `v` may be NULL.
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
/// - Blocks: on reading blocks from disk.
/// - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM, LSM_E_INTERNAL,
///   LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_seek(
    it: *mut lsm_iter,
    how: u32,
    key: *const c_void,
    klen: usize,
    k: *mut lsm_slice,
    v: *mut lsm_slice,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let it = call.cursor(it)?;
        let how = seek_how(how)?;
        let key: &[u8] = match how {
            SeekHow::First | SeekHow::Last => &[],
            // SAFETY: the caller passes NULL or `klen` readable bytes.
            _ => unsafe { bytes::key(key, klen) }?,
        };
        let found = it.seek(how, key)?;
        // SAFETY: the caller passes NULL or writable pointers.
        Ok(unsafe { show(it, found, k, v) })
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_iter_seek", err, body) }
}

/// Moves a cursor to the next entry; the first if it stands nowhere. LSM_END after the last, where
/// it stays. After an error only lsm_iter_seek helps. `k` and `v` may be NULL.
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
/// - Blocks: on reading blocks from disk.
/// - Errors: as lsm_iter_seek.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_next(
    it: *mut lsm_iter,
    k: *mut lsm_slice,
    v: *mut lsm_slice,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let it = call.cursor(it)?;
        let found = it.step_easily()? || it.step_in_general(LSM_DIR_FORWARD)?;
        // SAFETY: the caller passes NULL or writable pointers.
        Ok(unsafe { show(it, found, k, v) })
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_iter_next", err, body) }
}

/// Moves a cursor to the entry before; the last if it stands nowhere. LSM_END before the first,
/// where it stays. After an error only lsm_iter_seek helps. `k` and `v` may be NULL.
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
/// - Blocks: on reading blocks from disk.
/// - Errors: as lsm_iter_seek.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_prev(
    it: *mut lsm_iter,
    k: *mut lsm_slice,
    v: *mut lsm_slice,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let it = call.cursor(it)?;
        let found = it.step_in_general(LSM_DIR_REVERSE)?;
        // SAFETY: the caller passes NULL or writable pointers.
        Ok(unsafe { show(it, found, k, v) })
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_iter_prev", err, body) }
}

/// Moves a cursor over up to `max` entries (0: as many as fit) in direction `dir` (LSM_DIR_*), as
/// lsm_iter_next or lsm_iter_prev would, and packs them into `buf`: u32 key length, u32 value
/// length, key, value; little-endian, unaligned. *used becomes the bytes and *count the entries.
/// LSM_OK: go on calling. LSM_END: that was all; the entries counted are valid. LSM_BUFFER_SMALL:
/// the next entry alone needs *used bytes; *count is 0 and the cursor has not moved. The entry that
/// lsm_iter_seek has shown is behind the cursor and not packed again: to read pages from a key on,
/// open the cursor with it as lower bound and do not seek, or seek with LSM_SEEK_LT (with
/// LSM_SEEK_GT backward).
///
/// - Threads: one at a time.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on reading blocks from disk.
/// - Errors: as lsm_iter_seek; outputs are then untouched and buf may hold anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_read(
    it: *mut lsm_iter,
    dir: i32,
    max: usize,
    buf: *mut c_void,
    cap: usize,
    used: *mut usize,
    count: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let it = call.cursor(it)?;
        if dir != LSM_DIR_FORWARD && dir != LSM_DIR_REVERSE {
            return Err(Error::invalid(format!("dir is {dir}; use an LSM_DIR_ constant")));
        }
        let buffer = Buffer::new(buf, cap)?;
        // SAFETY: the caller passes NULL or `cap` writable bytes, and NULL or writable pointers.
        unsafe { fill(it, dir, max, buffer, used, count) }
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_iter_read", err, body) }
}

/// Closes a cursor. Does nothing for NULL, a closed handle, or in a forked child.
///
/// - Threads: one at a time.
/// - Owns: takes it.
/// - Valid until: returns; the handle and the bytes that it lent are stale then.
/// - Blocks: no.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_iter_close(it: *mut lsm_iter) {
    guard_quietly("lsm_iter_close", (), |_| handle::release::<IterObject>(it));
}

/// Packs up to `max` entries (0: as many as fit) of [lo, hi), ascending, into `buf`, without a
/// cursor; results as of lsm_iter_read. To go on, call again with lo = the last key and one zero
/// byte, at one snapshot if it must be one moment. `flags` is 0. `ks` and `o` may be NULL.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on reading blocks from disk.
/// - Errors: as lsm_iter_open; outputs are then untouched and buf may hold anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_scan(
    db: *mut lsm_db,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    lo: *const c_void,
    lolen: usize,
    hi: *const c_void,
    hilen: usize,
    flags: u32,
    max: usize,
    buf: *mut c_void,
    cap: usize,
    used: *mut usize,
    count: *mut usize,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        let db = call.db(db)?;
        if flags != 0 {
            return Err(Error::unsupported("lsm_scan: flags is not supported; leave it 0"));
        }
        let buffer = Buffer::new(buf, cap)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says, and bounds that are
        // NULL or have their length of readable bytes.
        let mut cursor = unsafe { open(call, db, ks, o, (lo, lolen), (hi, hilen)) }?;
        // SAFETY: the caller passes NULL or `cap` writable bytes, and NULL or writable pointers.
        unsafe { fill(&mut cursor, LSM_DIR_FORWARD, max, buffer, used, count) }
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_scan", err, body) }
}

/// Opens a cursor as the caller's options and bounds say.
///
/// # Safety
/// `o` is NULL or a struct of the size that it says; bounds are NULL or have that many readable
/// bytes.
unsafe fn open(
    call: &Call,
    db: &DbObject,
    ks: *mut lsm_ks,
    o: *const lsm_read_opts,
    lo: (*const c_void, usize),
    hi: (*const c_void, usize),
) -> Result<IterObject> {
    let ks = call.keyspace(db, ks)?;
    // SAFETY: the caller's contract.
    let (options, is_prefix) = unsafe { options::range_read(call, db, o) }?;
    // SAFETY: as above.
    let lo = unsafe { bytes::bound(lo.0, lo.1) }?;
    // SAFETY: as above.
    let hi = unsafe { bytes::bound(hi.0, hi.1) }?;
    if is_prefix && hi.is_some() {
        return Err(Error::invalid("with LSM_R_PREFIX hi must be NULL"));
    }
    let end = if is_prefix { prefix_end(lo.unwrap_or(&[])) } else { None };
    let cursor = Iter::open(db.open.leases.mine(), ks, &options, lo, end.as_deref().or(hi))?;
    Ok(IterObject { cursor, ahead: None, broken: false })
}

/// The first key after every key with this prefix; none when nothing is.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

fn seek_how(how: u32) -> Result<SeekHow> {
    Ok(match how {
        LSM_SEEK_FIRST => SeekHow::First,
        LSM_SEEK_LAST => SeekHow::Last,
        LSM_SEEK_GE => SeekHow::Ge,
        LSM_SEEK_GT => SeekHow::Gt,
        LSM_SEEK_LE => SeekHow::Le,
        LSM_SEEK_LT => SeekHow::Lt,
        _ => return Err(Error::invalid(format!("how is {how}; use an LSM_SEEK_ constant"))),
    })
}

impl IterObject {
    /// The engine's seek; forgets where the cursor was.
    fn seek(&mut self, how: SeekHow, key: &[u8]) -> Result<bool> {
        self.ahead = None;
        // Stays set if the engine fails or panics.
        self.broken = true;
        let found = self.cursor.seek(how, key)?;
        self.broken = false;
        Ok(found)
    }

    /// The short way of [`Self::step_in_general`] forward; false if it is not to be had, and nothing
    /// has happened.
    #[inline]
    fn step_easily(&mut self) -> Result<bool> {
        Ok(self.ahead.is_none() && !self.broken && self.cursor.next_plain()?)
    }

    /// Goes on to the next entry that is to be packed, and packs those before it as far as that is
    /// easy. Stays when all are there that are wanted. Returns whether there is an entry.
    fn step_packing(&mut self, dir: i32, into: &mut Packed<'_>) -> Result<bool> {
        if into.is_complete() {
            return Ok(true);
        }
        if dir == LSM_DIR_FORWARD && self.ahead.is_none() && !self.broken {
            self.broken = true;
            let moved = self.cursor.pack(into)?;
            self.broken = false;
            if moved {
                return Ok(self.cursor.is_positioned());
            }
            if into.is_complete() {
                return Ok(true);
            }
        }
        if dir == LSM_DIR_FORWARD && self.step_easily()? {
            return Ok(true);
        }
        self.step_in_general(dir)
    }

    /// One entry on in direction `dir`, as the caller counts: an entry that the cursor already
    /// reached but [`fill`] had no room for comes first, or is undone.
    #[inline(never)]
    fn step_in_general(&mut self, dir: i32) -> Result<bool> {
        if self.broken {
            return Err(Error::invalid("the last move of this cursor failed; seek first"));
        }
        match self.ahead.take() {
            Some(ahead) if ahead == dir => return Ok(true),
            Some(_) => {
                self.advance(dir)?;
            }
            None => {}
        }
        self.advance(dir)
    }

    #[inline]
    fn advance(&mut self, dir: i32) -> Result<bool> {
        self.broken = true;
        let found = if dir == LSM_DIR_FORWARD {
            self.cursor.next_in_general()?
        } else {
            self.cursor.prev()?
        };
        self.broken = false;
        Ok(found)
    }
}

/// Lends the entry under the cursor, if there is one.
///
/// # Safety
/// `k` and `v` are NULL or writable.
#[inline]
unsafe fn show(it: &IterObject, found: bool, k: *mut lsm_slice, v: *mut lsm_slice) -> lsm_rc {
    if !found {
        return LSM_END;
    }
    let (key, value) = it.cursor.entry();
    // SAFETY: the caller's contract.
    unsafe { Out::wanted(k).set(bytes::lent(key)) };
    // SAFETY: as above.
    unsafe { Out::wanted(v).set(bytes::lent(value)) };
    LSM_OK
}

/// Packs entries until `max`, the end, or the first that does not fit.
///
/// # Safety
/// The buffer has its bytes; `used` and `count` are NULL or writable.
unsafe fn fill(
    it: &mut IterObject,
    dir: i32,
    max: usize,
    mut buffer: Buffer,
    used: *mut usize,
    count: *mut usize,
) -> Result<lsm_rc> {
    let used = Out::needed(used, "used")?;
    let count = Out::needed(count, "count")?;
    // SAFETY: the caller's contract.
    let room = unsafe { buffer.as_slice() };
    let mut packed = Packed::new(room, if max == 0 { usize::MAX } else { max });
    let rc = loop {
        if !it.step_packing(dir, &mut packed)? {
            break LSM_END;
        }
        if packed.is_complete() {
            break LSM_OK;
        }
        let (key, value) = it.cursor.entry();
        if !packed.push(key, value) {
            let bytes = 8 + key.len() + value.len();
            it.ahead = Some(dir);
            if packed.entries() == 0 {
                // SAFETY: the caller's contract.
                unsafe { used.set(bytes) };
                // SAFETY: as above.
                unsafe { count.set(0) };
                return Ok(LSM_BUFFER_SMALL);
            }
            break LSM_OK;
        }
    };
    // SAFETY: the caller's contract.
    unsafe { used.set(packed.used()) };
    // SAFETY: as above.
    unsafe { count.set(packed.entries()) };
    Ok(rc)
}
