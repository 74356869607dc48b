//! Whole operations through the C functions, as a C program calls them, to be measured, and what
//! each of them pays to be called.

use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use super::constants::{LSM_BG_PAUSE, LSM_BG_WAIT_IDLE, LSM_C_NONE, LSM_NOT_FOUND, LSM_OK};
use super::guard::guard;
use super::types::{
    lsm_db, lsm_env, lsm_env_opts, lsm_error, lsm_iter, lsm_ks, lsm_ks_opts, lsm_open_opts,
    lsm_read_opts, lsm_slice, lsm_write_opts,
};
use super::{admin, db, iter, keyspace, library, read, write};
use crate::base::part::{ABSENT, Keys, Part, RUN, VALUE, Work, each, key, part};
use crate::vfs::parts::Scratch;

/// What is measured here.
pub(crate) const PARTS: &[Part] = &[
    part("handle-check", 0, handle),
    part("cursor-handle-check", 0, cursor_handle),
    part("whole-put", 300_000, |n| Box::new(Putting::new(n))),
    part("whole-get-memory", 4_000, |n| get(Store::in_memory(n), true)),
    part("whole-get-memory", 300_000, |n| get(Store::in_memory(n), true)),
    part("whole-get-table", 4_000, |n| get(Store::in_table(n), true)),
    part("whole-get-table", 2_000_000, |n| get(Store::in_table(n), true)),
    part("whole-get-miss", 4_000, |n| get(Store::in_table(n), false)),
    part("whole-get-miss", 2_000_000, |n| get(Store::in_table(n), false)),
    part("whole-next-1-source", 10_000, |n| next(Store::in_table(n))),
    part("whole-next-1-source", 2_000_000, |n| next(Store::in_table(n))),
    part("whole-next-4-sources", 10_000, |n| next(Store::in_four(n))),
];

/// An open database in a folder of its own, closed at the end.
struct Store {
    db: *mut lsm_db,
    env: *mut lsm_env,
    /// The keys `0 .. entries` are there.
    entries: usize,
    _scratch: Scratch,
}

/// Entries from which on a store is warmed up.
const WARM_FROM: usize = 100_000;

// Function pointers, so that no loop is optimized together with what it calls.
type Err = *mut lsm_error;
type Bytes = *const c_void;
type Put = unsafe extern "C" fn(
    *mut lsm_db,
    *mut lsm_ks,
    *const lsm_write_opts,
    Bytes,
    usize,
    Bytes,
    usize,
    Err,
) -> i32;
type Get = unsafe extern "C" fn(
    *mut lsm_db,
    *mut lsm_ks,
    *const lsm_read_opts,
    Bytes,
    usize,
    *mut c_void,
    usize,
    *mut usize,
    Err,
) -> i32;
type Next = unsafe extern "C" fn(*mut lsm_iter, *mut lsm_slice, *mut lsm_slice, Err) -> i32;

impl Store {
    /// The handle. A closure that calls this keeps the store, unlike one that names the field.
    fn db(&self) -> *mut lsm_db {
        self.db
    }

    /// An empty one with 1 GiB of memory, without compression.
    fn open() -> Self {
        let scratch = Scratch::new();
        let path = scratch.path().join("db").into_os_string().into_encoded_bytes();
        let path = CString::new(path).unwrap_or_default();
        let (mut env, mut db, mut ks) = (null_mut(), null_mut(), null_mut());
        let env_opts = lsm_env_opts {
            struct_size: size(size_of::<lsm_env_opts>()),
            memory_budget: 1 << 30,
            // SAFETY: a struct of numbers.
            ..unsafe { zeroed() }
        };
        // SAFETY: the pointers are to values of this frame.
        checked(unsafe { library::lsm_env_create(&raw const env_opts, &raw mut env, null_mut()) });
        let open_opts = lsm_open_opts {
            struct_size: size(size_of::<lsm_open_opts>()),
            env,
            // SAFETY: a struct of numbers and pointers that may be NULL.
            ..unsafe { zeroed() }
        };
        // SAFETY: as above; the path ends with NUL.
        checked(unsafe {
            db::lsm_open(path.as_ptr(), &raw const open_opts, &raw mut db, null_mut())
        });
        let ks_opts = lsm_ks_opts {
            struct_size: size(size_of::<lsm_ks_opts>()),
            compression: LSM_C_NONE,
            // SAFETY: a struct of numbers.
            ..unsafe { zeroed() }
        };
        let (name, opts) = (c"default".as_ptr(), &raw const ks_opts);
        // SAFETY: as above.
        checked(unsafe { keyspace::lsm_ks_open(db, name, opts, &raw mut ks, null_mut()) });
        // SAFETY: any handle.
        unsafe { keyspace::lsm_ks_release(ks) };
        Self { db, env, entries: 0, _scratch: scratch }
    }

    /// Memtables of full size, nothing in them: the first ones are small.
    fn warm(entries: usize) -> Self {
        let store = Self::open();
        if entries > WARM_FROM {
            store.put(ABSENT * 2, 350_000, 1);
            store.settle();
        }
        store
    }

    /// All in the active memtable. The first one has no room for more than a few.
    fn in_memory(entries: usize) -> Self {
        let mut store = Self::warm(entries);
        store.entries = if entries > WARM_FROM { entries } else { entries.min(4_000) };
        store.put(0, store.entries as u64, 1);
        store
    }

    /// All in tables of one level, and their blocks in the cache.
    fn in_table(entries: usize) -> Self {
        let mut store = Self::open();
        store.entries = entries;
        store.put(0, entries as u64, 1);
        store.settle();
        let (none, db) = (null(), store.db);
        // SAFETY: NULL with a length of 0 is no bound.
        checked(unsafe { admin::lsm_compact(db, null_mut(), none, 0, none, 0, 0, 0, null_mut()) });
        store.settle();
        store.read_all(entries);
        store
    }

    /// Keys in turn in four tables of level 0, which no compaction merges.
    fn in_four(entries: usize) -> Self {
        let store = Self::open();
        store.background(LSM_BG_PAUSE);
        for first in 0..4 {
            store.put(first, entries as u64 / 4, 4);
            store.flush();
        }
        store.read_all(entries / 4 * 4);
        store
    }

    /// Puts `count` keys from `from` on, each `stride`th.
    fn put(&self, from: u64, count: u64, stride: u64) {
        let (value, err) = (VALUE.as_ptr().cast(), null_mut());
        for i in 0..count {
            let key = key(from + i * stride);
            let at = key.as_ptr().cast();
            // SAFETY: the pointers are valid for the lengths.
            checked(unsafe {
                write::lsm_put(self.db, null_mut(), null(), at, 16, value, 100, err)
            });
        }
    }

    fn flush(&self) {
        // SAFETY: an open database.
        checked(unsafe { admin::lsm_flush(self.db, null_mut(), 0, null_mut()) });
    }

    fn background(&self, action: u32) {
        // SAFETY: as above.
        checked(unsafe { admin::lsm_background(self.db, action, u64::MAX, null_mut()) });
    }

    fn settle(&self) {
        self.flush();
        self.background(LSM_BG_WAIT_IDLE);
    }

    fn cursor(&self) -> *mut lsm_iter {
        let mut it = null_mut();
        let (db, none, out) = (self.db, null(), &raw mut it);
        // SAFETY: NULL with a length of 0 is no bound, the others are valid.
        checked(unsafe {
            iter::lsm_iter_open(db, null_mut(), null(), none, 0, none, 0, out, null_mut())
        });
        it
    }

    /// Reads every entry, by which blocks come into the cache.
    fn read_all(&self, wanted: usize) {
        let it = self.cursor();
        let mut found = 0;
        // SAFETY: an open cursor; key and value are not asked for.
        while unsafe { iter::lsm_iter_next(it, null_mut(), null_mut(), null_mut()) } == LSM_OK {
            found += 1;
        }
        assert_eq!(found, wanted, "entries that were put");
        // SAFETY: any handle.
        unsafe { iter::lsm_iter_close(it) };
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: any handle.
        checked(unsafe { db::lsm_close(self.db, 0, null_mut()) });
        // SAFETY: as above.
        unsafe { library::lsm_env_release(self.env) };
    }
}

/// A length as the structs of C tell it.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(0)
}

fn checked(rc: i32) {
    assert_eq!(rc, LSM_OK, "a C call with nothing wrong about it");
}

/// The frame of a C call and the lookup of its database handle, with nothing in it.
fn handle(_: usize) -> Box<dyn Work> {
    let store = Store::open();
    each(move || {
        // SAFETY: no error is to be told.
        let rc = unsafe {
            guard("part", null_mut(), |call| {
                call.db(black_box(store.db()))?;
                Ok(LSM_OK)
            })
        };
        rc == LSM_OK
    })
}

/// The same for a cursor, which one call at a time may use.
fn cursor_handle(_: usize) -> Box<dyn Work> {
    let store = Store::open();
    let it = store.cursor();
    each(move || {
        // SAFETY: no error is to be told.
        let rc = unsafe {
            guard("part", null_mut(), |call| {
                call.cursor(black_box(it))?;
                Ok(if store.db().is_null() { LSM_NOT_FOUND } else { LSM_OK })
            })
        };
        rc == LSM_OK
    })
}

/// Puts of new keys, in no order, into the active memtable.
struct Putting {
    store: Store,
    entries: usize,
    written: u64,
    keys: Vec<[u8; 16]>,
    put: Put,
}

impl Putting {
    fn new(entries: usize) -> Self {
        let store = Store::warm(entries);
        Self { store, entries, written: 0, keys: Vec::new(), put: write::lsm_put }
    }
}

impl Work for Putting {
    fn ready(&mut self) {
        if self.written + RUN > self.entries as u64 {
            self.store.settle();
            self.written = 0;
        }
        self.keys = (self.written..self.written + RUN).map(key).collect();
        self.written += RUN;
    }

    fn run(&mut self) -> u64 {
        let (db, put, value) = (self.store.db, black_box(self.put), VALUE.as_ptr().cast());
        let mut done = 0;
        for key in &self.keys {
            let at = key.as_ptr().cast();
            // SAFETY: the pointers are valid for the lengths.
            let rc = unsafe { put(db, null_mut(), null(), at, 16, value, 100, null_mut()) };
            done += u64::from(rc == LSM_OK);
        }
        done
    }
}

fn get(store: Store, hit: bool) -> Box<dyn Work> {
    let mut keys = Keys::drawn(if hit { 0 } else { ABSENT }, store.entries);
    let mut buf = [VALUE[0]; 128];
    let wanted = if hit { LSM_OK } else { LSM_NOT_FOUND };
    let get: Get = black_box(read::lsm_get);
    each(move || {
        let at = keys.draw_after(buf[99]).as_ptr().cast();
        let (to, mut len) = (buf.as_mut_ptr().cast(), 100);
        let vlen = &raw mut len;
        // SAFETY: the pointers are valid for the lengths.
        let rc =
            unsafe { get(store.db(), null_mut(), null(), at, 16, to, buf.len(), vlen, null_mut()) };
        rc == wanted && len == 100
    })
}

/// Steps of a cursor over everything, and round again.
fn next(store: Store) -> Box<dyn Work> {
    let mut it = store.cursor();
    let next: Next = black_box(iter::lsm_iter_next);
    each(move || {
        let (mut k, mut v) = (NOWHERE, NOWHERE);
        // SAFETY: an open cursor, and pointers to this frame.
        let mut rc = unsafe { next(it, &raw mut k, &raw mut v, null_mut()) };
        if rc != LSM_OK {
            // SAFETY: any handle.
            unsafe { iter::lsm_iter_close(it) };
            it = store.cursor();
            // SAFETY: as above.
            rc = unsafe { next(it, &raw mut k, &raw mut v, null_mut()) };
        }
        rc == LSM_OK && v.len == VALUE.len()
    })
}

const NOWHERE: lsm_slice = lsm_slice { data: null(), len: 0 };
