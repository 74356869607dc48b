//! RocksDB through `rocksdb/c.h`.
//!
//! Write buffer (at most two of them, its default), LRU block cache, full Bloom filters, blocks of
//! 4 KiB, leveled compaction with 2 background jobs, no compression, log on. Reads by
//! `rocksdb_get_pinned`, without a copy out of the cache; many keys by
//! `rocksdb_batched_multi_get_cf`.

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
type Wait = unsafe extern "C" fn(Handle, Handle, Err);
type WaitOptions = unsafe extern "C" fn() -> Handle;

api!(Api, "rocksdb_", {
    options_create() -> Handle;
    options_destroy(Handle);
    options_set_create_if_missing(Handle, u8);
    options_set_write_buffer_size(Handle, usize);
    options_set_compression(Handle, c_int);
    options_set_block_based_table_factory(Handle, Handle);
    block_based_options_create() -> Handle;
    block_based_options_destroy(Handle);
    block_based_options_set_block_cache(Handle, Handle);
    block_based_options_set_filter_policy(Handle, Handle);
    cache_create_lru(usize) -> Handle;
    cache_destroy(Handle);
    filterpolicy_create_bloom_full(f64) -> Handle;
    open_column_families(
        Handle, *const c_char, c_int, *const *const c_char, *const Handle, *mut Handle, Err
    ) -> Handle;
    column_family_handle_destroy(Handle);
    close(Handle);
    readoptions_create() -> Handle;
    readoptions_destroy(Handle);
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
    get_pinned(Handle, Handle, Bytes, usize, Err) -> Handle;
    pinnableslice_value(Handle, *mut usize) -> Bytes;
    pinnableslice_destroy(Handle);
    batched_multi_get_cf(
        Handle, Handle, Handle, usize, *const Bytes, *const usize, *mut Handle, Err, bool
    );
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
    flushoptions_create() -> Handle;
    flushoptions_destroy(Handle);
    flush(Handle, Handle, Err);
    property_int(Handle, *const c_char, *mut u64) -> c_int;
    free(*mut c_void);
});

struct Rocks {
    api: Api,
    wait: Option<(WaitOptions, Wait)>,
    library: String,
    db: Handle,
    family: Handle,
    options: Handle,
    cache: Handle,
    reading: Handle,
    writing: Handle,
    syncing: Handle,
}

// SAFETY: the database and its options may be used by any thread at once, as the header says.
unsafe impl Send for Rocks {}
// SAFETY: as above.
unsafe impl Sync for Rocks {}

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
    // SAFETY: the prototypes of newer releases' headers; older ones have no such functions.
    let wait = unsafe {
        let options = library.function("rocksdb_wait_for_compact_options_create\0").ok();
        options.zip(library.function("rocksdb_wait_for_compact\0").ok())
    };
    let path = super::c_path(path)?;
    let options = call!(api, options_create());
    call!(api, options_set_create_if_missing(options, 1));
    call!(api, options_set_write_buffer_size(options, settings.write_buffer as usize));
    call!(api, options_set_compression(options, 0));
    let table = call!(api, block_based_options_create());
    let cache = call!(api, cache_create_lru(settings.cache as usize));
    call!(api, block_based_options_set_block_cache(table, cache));
    let filter = call!(api, filterpolicy_create_bloom_full(f64::from(settings.filter_bits)));
    call!(api, block_based_options_set_filter_policy(table, filter));
    call!(api, options_set_block_based_table_factory(options, table));
    call!(api, block_based_options_destroy(table));
    let names = [c"default".as_ptr()];
    let (mut family, mut error) = (null_mut(), null_mut());
    let (path, name, err) = (path.as_ptr(), names.as_ptr(), &mut error);
    let db = call!(api, open_column_families(options, path, 1, name, &options, &mut family, err));
    checked(&api, "open", error)?;
    let (writing, syncing) = (call!(api, writeoptions_create()), call!(api, writeoptions_create()));
    call!(api, writeoptions_set_sync(syncing, 1));
    let reading = call!(api, readoptions_create());
    let library = settings.library.clone();
    let rocks = Rocks { api, wait, library, db, family, options, cache, reading, writing, syncing };
    Ok(Box::new(rocks))
}

impl Rocks {
    fn property(&self, name: &std::ffi::CStr) -> u64 {
        let mut value = 0;
        call!(self.api, property_int(self.db, name.as_ptr(), &mut value));
        value
    }
}

impl Engine for Rocks {
    /// The library has no call for this: its file name has it.
    fn version(&self) -> String {
        let real = std::fs::canonicalize(&self.library).unwrap_or_default();
        let name = real.to_string_lossy();
        name.rsplit(".so.").next().unwrap_or_default().to_owned()
    }

    fn has(&self, feature: Feature) -> bool {
        feature == Feature::MultiGet
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        Ok(Box::new(Work { engine: self, batch: null_mut(), pin: null_mut() }))
    }

    /// Newer releases can wait; older ones are asked until nothing has run or been due for 200 ms.
    fn settle(&self) -> Outcome<()> {
        let mut error = null_mut();
        let options = call!(self.api, flushoptions_create());
        call!(self.api, flush(self.db, options, &mut error));
        call!(self.api, flushoptions_destroy(options));
        checked(&self.api, "flush", error)?;
        if let Some((options, wait)) = self.wait {
            // SAFETY: the prototypes of the header; the database is open.
            unsafe { wait(self.db, options(), &mut error) };
            return checked(&self.api, "wait", error);
        }
        let mut still = 0;
        while still < 4 {
            thread::sleep(Duration::from_millis(50));
            let busy = self.property(c"rocksdb.num-running-compactions")
                + self.property(c"rocksdb.compaction-pending")
                + self.property(c"rocksdb.num-running-flushes");
            still = if busy == 0 { still + 1 } else { 0 };
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let api = &self.api;
        call!(api, column_family_handle_destroy(self.family));
        call!(api, close(self.db));
        call!(api, readoptions_destroy(self.reading));
        call!(api, writeoptions_destroy(self.writing));
        call!(api, writeoptions_destroy(self.syncing));
        call!(api, options_destroy(self.options));
        call!(api, cache_destroy(self.cache));
        Ok(())
    }
}

struct Work<'a> {
    engine: &'a Rocks,
    batch: Handle,
    pin: Handle,
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
        let mut error = null_mut();
        let (k, err) = (key.as_ptr(), &mut error);
        self.pin = call!(engine.api, get_pinned(engine.db, engine.reading, k, key.len(), err));
        checked(&engine.api, "get", error)?;
        if self.pin.is_null() {
            return Ok(None);
        }
        let mut len = 0;
        let data = call!(engine.api, pinnableslice_value(self.pin, &mut len));
        // SAFETY: held until the pin is destroyed, which takes the session mutably.
        Ok(Some(unsafe { super::lent(data, len) }))
    }

    fn release(&mut self) {
        if !self.pin.is_null() {
            call!(self.engine.api, pinnableslice_destroy(self.pin));
            self.pin = null_mut();
        }
    }

    fn multi_get(
        &mut self,
        keys: &[Key],
        seen: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Outcome<()> {
        const KEYS_MAX: usize = 64;
        assert!(keys.len() <= KEYS_MAX, "{} keys", keys.len());
        let engine = self.engine;
        let (mut places, mut lens) = ([std::ptr::null(); KEYS_MAX], [0; KEYS_MAX]);
        let mut values: [Handle; KEYS_MAX] = [null_mut(); KEYS_MAX];
        let mut errors: [*mut c_char; KEYS_MAX] = [null_mut(); KEYS_MAX];
        for (at, key) in keys.iter().enumerate() {
            (places[at], lens[at]) = (key.as_ptr(), key.len());
        }
        let (k, l, v, e) =
            (places.as_ptr(), lens.as_ptr(), values.as_mut_ptr(), errors.as_mut_ptr());
        let (db, reading, family) = (engine.db, engine.reading, engine.family);
        call!(engine.api, batched_multi_get_cf(db, reading, family, keys.len(), k, l, v, e, false));
        for (at, &value) in values.iter().enumerate().take(keys.len()) {
            checked(&engine.api, "multi_get", errors[at])?;
            if value.is_null() {
                seen(at, None);
                continue;
            }
            let mut len = 0;
            let data = call!(engine.api, pinnableslice_value(value, &mut len));
            // SAFETY: held until it is destroyed below.
            seen(at, Some(unsafe { super::lent(data, len) }));
            call!(engine.api, pinnableslice_destroy(value));
        }
        Ok(())
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let engine = self.engine;
        let iter = call!(engine.api, create_iterator(engine.db, engine.reading));
        Ok(Box::new(Walk { engine, iter }))
    }
}

struct Walk<'a> {
    engine: &'a Rocks,
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
