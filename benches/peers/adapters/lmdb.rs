//! LMDB through `lmdb.h`: one copy-on-write B+tree, mapped, without a log.
//!
//! Its cache is the page cache, so the size of the cache does not apply to it. Databases whose
//! writes are not synced are opened with WRITEMAP, MAPASYNC, NOSYNC and NOMETASYNC: they survive
//! the death of the process as an unsynced log does, but an OS crash may corrupt the file. Durable
//! ones are opened with its default flags. NORDAHEAD always. A transaction for each put; each
//! thread renews one read transaction for each get, each cursor has one of its own.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::null_mut;

use crate::dl::{Library, api, call, text};
use crate::engine::{Cursor, Engine, Entry, Feature, Outcome, Place, Session, Settings};
use crate::keys::Key;

type Handle = *mut c_void;

const NOT_FOUND: c_int = -30798;
const READ_ONLY: c_uint = 0x2_0000;
const UNSYNCED: c_uint = 0x8_0000 | 0x10_0000 | 0x1_0000 | 0x4_0000;
const NO_TLS: c_uint = 0x20_0000;
const NO_READ_AHEAD: c_uint = 0x80_0000;
const MAP_BYTES: usize = 16 << 30;

const FIRST: c_int = 0;
const LAST: c_int = 6;
const NEXT: c_int = 8;
const PREV: c_int = 12;
const SET_RANGE: c_int = 17;

#[repr(C)]
#[derive(Clone, Copy)]
struct Val {
    size: usize,
    data: *const c_void,
}

const NOTHING: Val = Val { size: 0, data: std::ptr::null() };

impl Val {
    fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len(), data: bytes.as_ptr().cast() }
    }
}

api!(Api, "mdb_", {
    version(*mut c_int, *mut c_int, *mut c_int) -> *const c_char;
    strerror(c_int) -> *const c_char;
    env_create(*mut Handle) -> c_int;
    env_set_mapsize(Handle, usize) -> c_int;
    env_set_maxreaders(Handle, c_uint) -> c_int;
    env_open(Handle, *const c_char, c_uint, libc::mode_t) -> c_int;
    env_sync(Handle, c_int) -> c_int;
    env_close(Handle);
    dbi_open(Handle, *const c_char, c_uint, *mut c_uint) -> c_int;
    txn_begin(Handle, Handle, c_uint, *mut Handle) -> c_int;
    txn_commit(Handle) -> c_int;
    txn_abort(Handle);
    txn_reset(Handle);
    txn_renew(Handle) -> c_int;
    get(Handle, c_uint, *mut Val, *mut Val) -> c_int;
    put(Handle, c_uint, *mut Val, *mut Val, c_uint) -> c_int;
    del(Handle, c_uint, *mut Val, *mut Val) -> c_int;
    cursor_open(Handle, c_uint, *mut Handle) -> c_int;
    cursor_close(Handle);
    cursor_get(Handle, *mut Val, *mut Val, c_int) -> c_int;
});

struct Lmdb {
    api: Api,
    env: Handle,
    dbi: c_uint,
}

// SAFETY: an environment may be used by any thread at once; transactions stay with a session.
unsafe impl Send for Lmdb {}
// SAFETY: as above.
unsafe impl Sync for Lmdb {}

fn checked(api: &Api, what: &str, rc: c_int) -> Outcome<()> {
    if rc == 0 {
        return Ok(());
    }
    let said = call!(api, strerror(rc));
    // SAFETY: a text that ends with NUL.
    Err(format!("{what}: {}", unsafe { text(said) }))
}

pub(super) fn open(path: &Path, settings: &Settings) -> Outcome<Box<dyn Engine>> {
    let library = Library::open(&settings.library)?;
    let api = Api::load(&library)?;
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let path = super::c_path(path)?;
    let mut env = null_mut();
    checked(&api, "env", call!(api, env_create(&mut env)))?;
    checked(&api, "map size", call!(api, env_set_mapsize(env, MAP_BYTES)))?;
    checked(&api, "readers", call!(api, env_set_maxreaders(env, 256)))?;
    let flags = if settings.durable { 0 } else { UNSYNCED } | NO_TLS | NO_READ_AHEAD;
    checked(&api, "open", call!(api, env_open(env, path.as_ptr(), flags, 0o644)))?;
    let (mut txn, mut dbi) = (null_mut(), 0);
    checked(&api, "begin", call!(api, txn_begin(env, null_mut(), 0, &mut txn)))?;
    checked(&api, "dbi", call!(api, dbi_open(txn, std::ptr::null(), 0, &mut dbi)))?;
    checked(&api, "commit", call!(api, txn_commit(txn)))?;
    Ok(Box::new(Lmdb { api, env, dbi }))
}

impl Lmdb {
    fn begin(&self, flags: c_uint) -> Outcome<Handle> {
        let mut txn = null_mut();
        checked(
            &self.api,
            "begin",
            call!(self.api, txn_begin(self.env, null_mut(), flags, &mut txn)),
        )?;
        Ok(txn)
    }

    /// Ends a writing transaction as its operations went.
    fn end(&self, txn: Handle, done: Outcome<()>) -> Outcome<()> {
        if done.is_err() {
            call!(self.api, txn_abort(txn));
            return done;
        }
        checked(&self.api, "commit", call!(self.api, txn_commit(txn)))
    }
}

impl Engine for Lmdb {
    fn version(&self) -> String {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        call!(self.api, version(&mut major, &mut minor, &mut patch));
        format!("{major}.{minor}.{patch}")
    }

    fn has(&self, _: Feature) -> bool {
        false
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        let reading = self.begin(READ_ONLY)?;
        call!(self.api, txn_reset(reading));
        Ok(Box::new(Work { engine: self, reading }))
    }

    fn settle(&self) -> Outcome<()> {
        checked(&self.api, "sync", call!(self.api, env_sync(self.env, 1)))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let done = self.settle();
        call!(self.api, env_close(self.env));
        done
    }
}

struct Work<'a> {
    engine: &'a Lmdb,
    reading: Handle,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, txn_abort(self.reading));
    }
}

impl Session for Work<'_> {
    fn put(&mut self, key: &Key, value: &[u8], _: bool) -> Outcome<()> {
        self.batch(std::slice::from_ref(key), value, value.len())
    }

    fn delete(&mut self, key: &Key) -> Outcome<()> {
        let engine = self.engine;
        let txn = engine.begin(0)?;
        let mut k = Val::of(key);
        let rc = call!(engine.api, del(txn, engine.dbi, &mut k, null_mut()));
        let rc = if rc == NOT_FOUND { 0 } else { rc };
        engine.end(txn, checked(&engine.api, "delete", rc))
    }

    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()> {
        let engine = self.engine;
        let txn = engine.begin(0)?;
        let mut rc = 0;
        for (key, value) in keys.iter().zip(values.chunks_exact(value_bytes)) {
            let (mut k, mut v) = (Val::of(key), Val::of(value));
            rc = call!(engine.api, put(txn, engine.dbi, &mut k, &mut v, 0));
            if rc != 0 {
                break;
            }
        }
        engine.end(txn, checked(&engine.api, "put", rc))
    }

    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        let api = &self.engine.api;
        checked(api, "renew", call!(api, txn_renew(self.reading)))?;
        let (mut k, mut v) = (Val::of(key), NOTHING);
        let rc = call!(api, get(self.reading, self.engine.dbi, &mut k, &mut v));
        if rc != 0 {
            call!(api, txn_reset(self.reading));
            let rc = if rc == NOT_FOUND { 0 } else { rc };
            return checked(api, "get", rc).map(|()| None);
        }
        // SAFETY: in the map while the read transaction lasts, until release().
        Ok(Some(unsafe { super::lent(v.data.cast(), v.size) }))
    }

    fn release(&mut self) {
        call!(self.engine.api, txn_reset(self.reading));
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let engine = self.engine;
        let txn = engine.begin(READ_ONLY)?;
        let mut cursor = null_mut();
        let rc = call!(engine.api, cursor_open(txn, engine.dbi, &mut cursor));
        checked(&engine.api, "cursor", rc)?;
        Ok(Box::new(Walk { engine, txn, cursor }))
    }
}

struct Walk<'a> {
    engine: &'a Lmdb,
    txn: Handle,
    cursor: Handle,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, cursor_close(self.cursor));
        call!(self.engine.api, txn_abort(self.txn));
    }
}

impl Walk<'_> {
    fn step(&mut self, mut key: Val, how: c_int) -> Outcome<Option<Entry<'_>>> {
        let api = &self.engine.api;
        let mut value = NOTHING;
        let rc = call!(api, cursor_get(self.cursor, &mut key, &mut value, how));
        if rc != 0 {
            let rc = if rc == NOT_FOUND { 0 } else { rc };
            return checked(api, "cursor", rc).map(|()| None);
        }
        // SAFETY: in the map while the cursor's transaction lasts.
        let entry = unsafe {
            (super::lent(key.data.cast(), key.size), super::lent(value.data.cast(), value.size))
        };
        Ok(Some(entry))
    }
}

impl Cursor for Walk<'_> {
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>> {
        match place {
            Place::First => self.step(NOTHING, FIRST),
            Place::Last => self.step(NOTHING, LAST),
            Place::At(key) => self.step(Val::of(key), SET_RANGE),
        }
    }

    fn next(&mut self) -> Outcome<Option<Entry<'_>>> {
        self.step(NOTHING, NEXT)
    }

    fn prev(&mut self) -> Outcome<Option<Entry<'_>>> {
        self.step(NOTHING, PREV)
    }
}
