//! LevelDB through `leveldb/c.h`.
//!
//! Write buffer, LRU cache, Bloom filters, blocks of 4 KiB, checksums verified on reads (as the
//! others do), no compression, up to 5,000 open files, log on. It has no call to write out its
//! memory: settling compacts an empty range behind every key, which does that and nothing else,
//! then waits until no compaction runs.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use crate::dl::{Library, api, call, text};
use crate::engine::{Cursor, Engine, Entry, Feature, Outcome, Place, Session, Settings};
use crate::keys::Key;

type Handle = *mut c_void;
type Bytes = *const u8;
type Err = *mut *mut c_char;

api!(Api, "leveldb_", {
    options_create() -> Handle;
    options_destroy(Handle);
    options_set_create_if_missing(Handle, u8);
    options_set_write_buffer_size(Handle, usize);
    options_set_max_open_files(Handle, c_int);
    options_set_cache(Handle, Handle);
    options_set_filter_policy(Handle, Handle);
    options_set_compression(Handle, c_int);
    cache_create_lru(usize) -> Handle;
    cache_destroy(Handle);
    filterpolicy_create_bloom(c_int) -> Handle;
    filterpolicy_destroy(Handle);
    open(Handle, *const c_char, Err) -> Handle;
    close(Handle);
    readoptions_create() -> Handle;
    readoptions_destroy(Handle);
    readoptions_set_verify_checksums(Handle, u8);
    writeoptions_create() -> Handle;
    writeoptions_destroy(Handle);
    writeoptions_set_sync(Handle, u8);
    put(Handle, Handle, Bytes, usize, Bytes, usize, Err);
    delete(Handle, Handle, Bytes, usize, Err);
    write(Handle, Handle, Handle, Err);
    writebatch_create() -> Handle;
    writebatch_destroy(Handle);
    writebatch_clear(Handle);
    writebatch_put(Handle, Bytes, usize, Bytes, usize);
    get(Handle, Handle, Bytes, usize, *mut usize, Err) -> *mut u8;
    create_iterator(Handle, Handle) -> Handle;
    iter_destroy(Handle);
    iter_valid(Handle) -> u8;
    iter_seek_to_first(Handle);
    iter_seek_to_last(Handle);
    iter_seek(Handle, Bytes, usize);
    iter_next(Handle);
    iter_prev(Handle);
    iter_key(Handle, *mut usize) -> Bytes;
    iter_value(Handle, *mut usize) -> Bytes;
    iter_get_error(Handle, Err);
    compact_range(Handle, Bytes, usize, Bytes, usize);
    property_value(Handle, *const c_char) -> *mut c_char;
    major_version() -> c_int;
    minor_version() -> c_int;
    free(*mut c_void);
});

struct Level {
    api: Api,
    db: Handle,
    options: Handle,
    cache: Handle,
    filter: Handle,
    reading: Handle,
    writing: Handle,
    syncing: Handle,
}

// SAFETY: the database and its options may be used by any thread at once, as its documentation
// says.
unsafe impl Send for Level {}
// SAFETY: as above.
unsafe impl Sync for Level {}

fn checked(api: &Api, what: &str, error: *mut c_char) -> Outcome<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the library wrote a text that ends with NUL.
    let said = unsafe { text(error) };
    call!(api, free(error.cast()));
    Err(format!("{what}: {said}"))
}

pub(super) fn open(path: &Path, settings: &Settings) -> Outcome<Box<dyn Engine>> {
    let library = Library::open(&settings.library)?;
    let api = Api::load(&library)?;
    let path = super::c_path(path)?;
    let options = call!(api, options_create());
    call!(api, options_set_create_if_missing(options, 1));
    call!(api, options_set_write_buffer_size(options, settings.write_buffer as usize));
    call!(api, options_set_max_open_files(options, 5000));
    call!(api, options_set_compression(options, 0));
    let cache = call!(api, cache_create_lru(settings.cache as usize));
    call!(api, options_set_cache(options, cache));
    let filter = call!(api, filterpolicy_create_bloom(settings.filter_bits as c_int));
    call!(api, options_set_filter_policy(options, filter));
    let mut error = null_mut();
    let db = call!(api, open(options, path.as_ptr(), &mut error));
    checked(&api, "open", error)?;
    // Its background thread starts with the first work, and would stay on the processor of a thread
    // that stays on one.
    let (low, high) = (b"\xff\xff", b"\xff\xff\xff");
    call!(api, compact_range(db, low.as_ptr(), low.len(), high.as_ptr(), high.len()));
    let reading = call!(api, readoptions_create());
    call!(api, readoptions_set_verify_checksums(reading, 1));
    let (writing, syncing) = (call!(api, writeoptions_create()), call!(api, writeoptions_create()));
    call!(api, writeoptions_set_sync(syncing, 1));
    Ok(Box::new(Level { api, db, options, cache, filter, reading, writing, syncing }))
}

impl Level {
    fn property(&self, name: &std::ffi::CStr) -> String {
        let value = call!(self.api, property_value(self.db, name.as_ptr()));
        // SAFETY: NULL, or a text that ends with NUL.
        let copy = unsafe { text(value) };
        call!(self.api, free(value.cast()));
        copy
    }
}

impl Engine for Level {
    fn version(&self) -> String {
        format!("{}.{}", call!(self.api, major_version()), call!(self.api, minor_version()))
    }

    fn has(&self, _: Feature) -> bool {
        false
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        Ok(Box::new(Work { engine: self, batch: null_mut(), value: null_mut() }))
    }

    /// Done when its statistics have not changed for 400 ms and level 0 is below its trigger.
    fn settle(&self) -> Outcome<()> {
        let (low, high) = (b"\xff\xff", b"\xff\xff\xff");
        let (l, h) = (low.as_ptr(), high.as_ptr());
        call!(self.api, compact_range(self.db, l, low.len(), h, high.len()));
        let (mut before, mut still) = (String::new(), 0);
        while still < 4 {
            let stats = self.property(c"leveldb.stats");
            let files = self.property(c"leveldb.num-files-at-level0").parse().unwrap_or(0);
            still = if stats == before && files < 4 { still + 1 } else { 0 };
            before = stats;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let api = &self.api;
        call!(api, close(self.db));
        call!(api, readoptions_destroy(self.reading));
        call!(api, writeoptions_destroy(self.writing));
        call!(api, writeoptions_destroy(self.syncing));
        call!(api, options_destroy(self.options));
        call!(api, cache_destroy(self.cache));
        call!(api, filterpolicy_destroy(self.filter));
        Ok(())
    }
}

struct Work<'a> {
    engine: &'a Level,
    batch: Handle,
    value: *mut u8,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.release();
        if !self.batch.is_null() {
            call!(self.engine.api, writebatch_destroy(self.batch));
        }
    }
}

impl Session for Work<'_> {
    fn put(&mut self, key: &Key, value: &[u8], durable: bool) -> Outcome<()> {
        let engine = self.engine;
        let mut error = null_mut();
        let options = if durable { engine.syncing } else { engine.writing };
        let (k, v, err) = (key.as_ptr(), value.as_ptr(), &mut error);
        call!(engine.api, put(engine.db, options, k, key.len(), v, value.len(), err));
        checked(&engine.api, "put", error)
    }

    fn delete(&mut self, key: &Key) -> Outcome<()> {
        let engine = self.engine;
        let mut error = null_mut();
        call!(engine.api, delete(engine.db, engine.writing, key.as_ptr(), key.len(), &mut error));
        checked(&engine.api, "delete", error)
    }

    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()> {
        let api = &self.engine.api;
        if self.batch.is_null() {
            self.batch = call!(api, writebatch_create());
        } else {
            call!(api, writebatch_clear(self.batch));
        }
        for (key, value) in keys.iter().zip(values.chunks_exact(value_bytes)) {
            let (k, v) = (key.as_ptr(), value.as_ptr());
            call!(api, writebatch_put(self.batch, k, key.len(), v, value.len()));
        }
        let mut error = null_mut();
        call!(api, write(self.engine.db, self.engine.writing, self.batch, &mut error));
        checked(api, "write", error)
    }

    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        let engine = self.engine;
        let (mut error, mut len) = (null_mut(), 0);
        let (k, l, e) = (key.as_ptr(), &mut len, &mut error);
        self.value = call!(engine.api, get(engine.db, engine.reading, k, key.len(), l, e));
        checked(&engine.api, "get", error)?;
        if self.value.is_null() {
            return Ok(None);
        }
        // SAFETY: ours until it is freed, which takes the session mutably.
        Ok(Some(unsafe { super::lent(self.value, len) }))
    }

    fn release(&mut self) {
        if !self.value.is_null() {
            call!(self.engine.api, free(self.value.cast()));
            self.value = null_mut();
        }
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let engine = self.engine;
        let iter = call!(engine.api, create_iterator(engine.db, engine.reading));
        Ok(Box::new(Walk { engine, iter }))
    }
}

struct Walk<'a> {
    engine: &'a Level,
    iter: Handle,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, iter_destroy(self.iter));
    }
}

impl Walk<'_> {
    fn entry(&self) -> Outcome<Option<Entry<'_>>> {
        let api = &self.engine.api;
        if call!(api, iter_valid(self.iter)) == 0 {
            let mut error = null_mut();
            call!(api, iter_get_error(self.iter, &mut error));
            return checked(api, "cursor", error).map(|()| None);
        }
        let (mut key_len, mut value_len) = (0, 0);
        let key = call!(api, iter_key(self.iter, &mut key_len));
        let value = call!(api, iter_value(self.iter, &mut value_len));
        // SAFETY: held until the cursor moves, which takes it mutably.
        Ok(Some(unsafe { (super::lent(key, key_len), super::lent(value, value_len)) }))
    }
}

impl Cursor for Walk<'_> {
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>> {
        let api = &self.engine.api;
        match place {
            Place::First => call!(api, iter_seek_to_first(self.iter)),
            Place::Last => call!(api, iter_seek_to_last(self.iter)),
            Place::At(key) => call!(api, iter_seek(self.iter, key.as_ptr(), key.len())),
        }
        self.entry()
    }

    fn next(&mut self) -> Outcome<Option<Entry<'_>>> {
        call!(self.engine.api, iter_next(self.iter));
        self.entry()
    }

    fn prev(&mut self) -> Outcome<Option<Entry<'_>>> {
        call!(self.engine.api, iter_prev(self.iter));
        self.entry()
    }
}
