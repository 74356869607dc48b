//! fjall 3 behind a small C interface; the thinnest there can be. Called by the adapter
//! `benches/peers/adapters/fjall.rs` only, whose prototypes it matches.
//!
//! Answers: 1 yes, 0 no or done, -1 an error, whose text [`fj_error`] lends. A value that is read
//! is moved into the caller's room, so that no call allocates beyond what fjall does.
//!
//! # Safety
//! Every function: handles come from this library and are closed once; pointers go with their
//! lengths. Databases may be used by any thread at once, cursors by one at a time.

#![allow(clippy::missing_safety_doc, reason = "told once, in the header of this file")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::slice;
use std::time::Duration;

use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Iter, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey,
    UserValue,
};

pub struct Db {
    db: Database,
    ks: Keyspace,
}

pub struct Cursor {
    db: *const Db,
    iter: Option<Iter>,
    at: Option<(UserKey, UserValue)>,
}

/// What the adapter lends for a value.
const ROOM: usize = 64;
const _: () = assert!(size_of::<UserValue>() <= ROOM && align_of::<UserValue>() <= 16);

thread_local! {
    static SAID: RefCell<CString> = RefCell::default();
}

fn answer(result: fjall::Result<bool>) -> c_int {
    match result {
        Ok(yes) => c_int::from(yes),
        Err(error) => {
            let text = CString::new(format!("{error:?}")).unwrap_or_default();
            SAID.with(|said| *said.borrow_mut() = text);
            -1
        }
    }
}

unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: the caller's contract.
    unsafe { slice::from_raw_parts(data, len) }
}

/// The text holds until the thread's next error.
#[unsafe(no_mangle)]
pub extern "C" fn fj_error() -> *const c_char {
    SAID.with(|said| said.borrow().as_ptr())
}

#[unsafe(no_mangle)]
pub extern "C" fn fj_version() -> *const c_char {
    c"3.1.13".as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_open(
    path: *const c_char,
    write_buffer: u64,
    cache: u64,
    filter_bits: u32,
) -> *mut Db {
    // SAFETY: the caller's contract.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned();
    let bits = BloomConstructionPolicy::BitsPerKey(filter_bits as f32);
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(write_buffer)
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(bits)))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
    };
    let open = || -> fjall::Result<Db> {
        let db = Database::builder(path)
            .cache_size(cache)
            .journal_compression(CompressionType::None)
            .open()?;
        let ks = db.keyspace("t", options)?;
        Ok(Db { db, ks })
    };
    match open() {
        Ok(db) => Box::into_raw(Box::new(db)),
        Err(error) => {
            answer(Err(error));
            std::ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_close(db: *mut Db) {
    // SAFETY: the caller's contract.
    drop(unsafe { Box::from_raw(db) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_put(
    db: *const Db,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    durable: c_int,
) -> c_int {
    // SAFETY: the caller's contract.
    let (db, key, value) = unsafe { (&*db, bytes(key, key_len), bytes(value, value_len)) };
    if durable == 0 {
        return answer(db.ks.insert(key, value).map(|()| false));
    }
    let mut batch = db.db.batch().durability(Some(PersistMode::SyncData));
    batch.insert(&db.ks, key, value);
    answer(batch.commit().map(|()| false))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_remove(db: *const Db, key: *const u8, key_len: usize) -> c_int {
    // SAFETY: the caller's contract.
    let (db, key) = unsafe { (&*db, bytes(key, key_len)) };
    answer(db.ks.remove(key).map(|()| false))
}

/// Keys and values lie one behind the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_batch(
    db: *const Db,
    count: usize,
    keys: *const u8,
    key_len: usize,
    values: *const u8,
    value_len: usize,
) -> c_int {
    // SAFETY: the caller's contract.
    let (db, keys, values) =
        unsafe { (&*db, bytes(keys, count * key_len), bytes(values, count * value_len)) };
    let mut batch = db.db.batch();
    for (key, value) in keys.chunks_exact(key_len).zip(values.chunks_exact(value_len)) {
        batch.insert(&db.ks, key, value);
    }
    answer(batch.commit().map(|()| false))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_get(
    db: *const Db,
    key: *const u8,
    key_len: usize,
    room: *mut c_void,
    data: *mut *const u8,
    len: *mut usize,
) -> c_int {
    // SAFETY: the caller's contract.
    let (db, key) = unsafe { (&*db, bytes(key, key_len)) };
    let value = match db.ks.get(key) {
        Ok(Some(value)) => value,
        other => return answer(other.map(|_| false)),
    };
    // SAFETY: room for a value, as asserted above, aligned to 16; the slice does not move until
    // it is released, nor would its bytes.
    unsafe {
        let place = room.cast::<UserValue>();
        place.write(value);
        let held: &[u8] = &*place;
        *data = held.as_ptr();
        *len = held.len();
    }
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_release(room: *mut c_void) {
    // SAFETY: fj_get put a value there, and it is released once.
    unsafe { room.cast::<UserValue>().drop_in_place() };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_open(db: *const Db) -> *mut Cursor {
    Box::into_raw(Box::new(Cursor { db, iter: None, at: None }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_close(cursor: *mut Cursor) {
    // SAFETY: the caller's contract.
    drop(unsafe { Box::from_raw(cursor) });
}

impl Cursor {
    fn step(&mut self, backward: bool) -> fjall::Result<bool> {
        let Some(iter) = self.iter.as_mut() else { return Ok(false) };
        let guard = if backward { iter.next_back() } else { iter.next() };
        self.at = guard.map(|guard| guard.into_inner()).transpose()?;
        Ok(self.at.is_some())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_seek(
    cursor: *mut Cursor,
    key: *const u8,
    key_len: usize,
    backward: c_int,
) -> c_int {
    // SAFETY: the caller's contract; the database outlives its cursors.
    let (cursor, key) = unsafe { (&mut *cursor, bytes(key, key_len)) };
    // SAFETY: as above.
    let keyspace = unsafe { &(*cursor.db).ks };
    cursor.iter = Some(if key.is_empty() { keyspace.iter() } else { keyspace.range(key..) });
    answer(cursor.step(backward != 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_step(cursor: *mut Cursor, backward: c_int) -> c_int {
    // SAFETY: the caller's contract.
    answer(unsafe { &mut *cursor }.step(backward != 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_key(cursor: *const Cursor, len: *mut usize) -> *const u8 {
    // SAFETY: the caller's contract.
    let (cursor, len) = unsafe { (&*cursor, &mut *len) };
    let key: &[u8] = cursor.at.as_ref().map_or(&[], |(key, _)| key);
    *len = key.len();
    key.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_cursor_value(cursor: *const Cursor, len: *mut usize) -> *const u8 {
    // SAFETY: the caller's contract.
    let (cursor, len) = unsafe { (&*cursor, &mut *len) };
    let value: &[u8] = cursor.at.as_ref().map_or(&[], |(_, value)| value);
    *len = value.len();
    value.as_ptr()
}

/// Done when no flush is outstanding and no compaction has run or ended for 200 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fj_settle(db: *const Db) -> c_int {
    // SAFETY: the caller's contract.
    let db = unsafe { &*db };
    if let Err(error) = db.ks.rotate_memtable_and_wait() {
        return answer(Err(error));
    }
    let (mut still, mut before) = (0, usize::MAX);
    while still < 10 {
        let done = db.db.compactions_completed();
        let busy = db.db.active_compactions() > 0 || db.db.outstanding_flushes() > 0;
        still = if busy || done != before { 0 } else { still + 1 };
        before = done;
        std::thread::sleep(Duration::from_millis(20));
    }
    0
}
