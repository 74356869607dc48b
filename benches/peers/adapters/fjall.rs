//! fjall through the small C interface of `benches/peers/fjall`, which is built when it is asked
//! for.
//!
//! Write buffer (memtable), cache, Bloom filters on every level, no compression of blocks or
//! journal, 2 workers. Each put is handed to the OS (its default); a durable one is a batch with
//! `PersistMode::SyncData`. A value that is read is held where fjall has it, not copied.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::ptr::null;

use crate::dl::{Library, api, call, text};
use crate::engine::{Cursor, Engine, Entry, Feature, Outcome, Place, Session, Settings};
use crate::keys::Key;

type Handle = *mut c_void;
type Bytes = *const u8;

/// Where a value that was read is held: room for fjall's slice.
#[repr(C, align(16))]
struct Held {
    room: [u8; 64],
}

api!(Api, "fj_", {
    version() -> *const c_char;
    error() -> *const c_char;
    open(*const c_char, u64, u64, u32) -> Handle;
    close(Handle);
    put(Handle, Bytes, usize, Bytes, usize, c_int) -> c_int;
    remove(Handle, Bytes, usize) -> c_int;
    batch(Handle, usize, Bytes, usize, Bytes, usize) -> c_int;
    get(Handle, Bytes, usize, *mut Held, *mut Bytes, *mut usize) -> c_int;
    release(*mut Held);
    cursor_open(Handle) -> Handle;
    cursor_close(Handle);
    cursor_seek(Handle, Bytes, usize, c_int) -> c_int;
    cursor_step(Handle, c_int) -> c_int;
    cursor_key(Handle, *mut usize) -> Bytes;
    cursor_value(Handle, *mut usize) -> Bytes;
    settle(Handle) -> c_int;
});

struct Fjall {
    api: Api,
    db: Handle,
}

// SAFETY: fjall's databases may be used by any thread at once.
unsafe impl Send for Fjall {}
// SAFETY: as above.
unsafe impl Sync for Fjall {}

/// 0 and more are answers, less are errors, whose text its thread keeps.
fn checked(api: &Api, what: &str, rc: c_int) -> Outcome<bool> {
    if rc < 0 {
        let said = call!(api, error());
        // SAFETY: a text that ends with NUL and holds until the thread's next error.
        return Err(format!("{what}: {}", unsafe { text(said) }));
    }
    Ok(rc > 0)
}

pub(super) fn open(path: &Path, settings: &Settings) -> Outcome<Box<dyn Engine>> {
    let library = Library::open(&settings.library)?;
    let api = Api::load(&library)?;
    let path = super::c_path(path)?;
    let (buffer, cache, bits) = (settings.write_buffer, settings.cache, settings.filter_bits);
    let db = call!(api, open(path.as_ptr(), buffer, cache, bits));
    checked(&api, "open", if db.is_null() { -1 } else { 0 })?;
    Ok(Box::new(Fjall { api, db }))
}

impl Engine for Fjall {
    fn version(&self) -> String {
        let version = call!(self.api, version());
        // SAFETY: a text that ends with NUL and lasts for ever.
        unsafe { text(version) }
    }

    fn has(&self, _: Feature) -> bool {
        false
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        Ok(Box::new(Work { engine: self, held: Held { room: [0; 64] }, holds: false }))
    }

    fn settle(&self) -> Outcome<()> {
        checked(&self.api, "settle", call!(self.api, settle(self.db))).map(drop)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        call!(self.api, close(self.db));
        Ok(())
    }
}

struct Work<'a> {
    engine: &'a Fjall,
    held: Held,
    holds: bool,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Session for Work<'_> {
    fn put(&mut self, key: &Key, value: &[u8], durable: bool) -> Outcome<()> {
        let (api, k, v) = (&self.engine.api, key.as_ptr(), value.as_ptr());
        let sync = c_int::from(durable);
        let rc = call!(api, put(self.engine.db, k, key.len(), v, value.len(), sync));
        checked(api, "put", rc).map(drop)
    }

    fn delete(&mut self, key: &Key) -> Outcome<()> {
        let api = &self.engine.api;
        let rc = call!(api, remove(self.engine.db, key.as_ptr(), key.len()));
        checked(api, "remove", rc).map(drop)
    }

    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()> {
        let api = &self.engine.api;
        let (k, v) = (keys.as_flattened().as_ptr(), values.as_ptr());
        let db = self.engine.db;
        let rc = call!(api, batch(db, keys.len(), k, size_of::<Key>(), v, value_bytes));
        checked(api, "batch", rc).map(drop)
    }

    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        let (mut data, mut len) = (null(), 0);
        let (api, db, k) = (&self.engine.api, self.engine.db, key.as_ptr());
        let rc = call!(api, get(db, k, key.len(), &mut self.held, &mut data, &mut len));
        self.holds = checked(api, "get", rc)?;
        if !self.holds {
            return Ok(None);
        }
        // SAFETY: held until release(), which takes the session mutably.
        Ok(Some(unsafe { super::lent(data, len) }))
    }

    fn release(&mut self) {
        if std::mem::take(&mut self.holds) {
            call!(self.engine.api, release(&mut self.held));
        }
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let cursor = call!(self.engine.api, cursor_open(self.engine.db));
        Ok(Box::new(Walk { engine: self.engine, cursor }))
    }
}

struct Walk<'a> {
    engine: &'a Fjall,
    cursor: Handle,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, cursor_close(self.cursor));
    }
}

impl Walk<'_> {
    fn entry(&mut self, rc: c_int) -> Outcome<Option<Entry<'_>>> {
        let api = &self.engine.api;
        if !checked(api, "cursor", rc)? {
            return Ok(None);
        }
        let (mut key_len, mut value_len) = (0, 0);
        let key = call!(api, cursor_key(self.cursor, &mut key_len));
        let value = call!(api, cursor_value(self.cursor, &mut value_len));
        // SAFETY: held until the cursor moves, which takes it mutably.
        Ok(Some(unsafe { (super::lent(key, key_len), super::lent(value, value_len)) }))
    }
}

impl Cursor for Walk<'_> {
    /// Its iterators are made for a range; going backward starts from the end of all.
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>> {
        let (data, len, backward) = match place {
            Place::First => (null(), 0, 0),
            Place::Last => (null(), 0, 1),
            Place::At(key) => (key.as_ptr(), key.len(), 0),
        };
        let rc = call!(self.engine.api, cursor_seek(self.cursor, data, len, backward));
        self.entry(rc)
    }

    fn next(&mut self) -> Outcome<Option<Entry<'_>>> {
        let rc = call!(self.engine.api, cursor_step(self.cursor, 0));
        self.entry(rc)
    }

    fn prev(&mut self) -> Outcome<Option<Entry<'_>>> {
        let rc = call!(self.engine.api, cursor_step(self.cursor, 1));
        self.entry(rc)
    }
}
