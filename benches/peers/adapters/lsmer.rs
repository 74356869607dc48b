//! lsmer through `lsmer.h`, as any C program would use it.
//!
//! Memory budget: the cache of the others and two write buffers (it holds filters and indexes
//! too). No compression, writes at `LSM_D_BUFFER`, or `LSM_D_SYNC` where asked. Values are read by
//! `lsm_get` into a buffer; those of 1 KiB and more by `lsm_get_pinned`, without a copy, as
//! RocksDB's and LMDB's are.

mod abi;

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::dl::{Library, api, call, text};
use crate::engine::{Cursor, Engine, Entry, Feature, Outcome, Place, Session, Settings};
use crate::keys::{Key, VALUE_BYTES_MAX};
use abi::{
    BUFFER, BUFFER_SMALL, Bytes, END, EnvOpts, Err, Error, Handle, KsOpts, MultiGet, NOT_FOUND,
    NOTHING, OK, OpenOpts, Rc, SYNC, Slice, WriteOpts,
};

/// `LSM_O_MAPPED_READS`.
const MAPPED_READS: u32 = 16;
/// Values from this length on are lent, not copied.
const PINNED_FROM: usize = 1024;
const PAGE_BYTES: usize = 64 << 10;

api!(Api, "lsm_", {
    version() -> *const c_char;
    env_create(*const EnvOpts, *mut Handle, Err) -> Rc;
    env_release(Handle);
    open(*const c_char, *const OpenOpts, *mut Handle, Err) -> Rc;
    close(Handle, u32, Err) -> Rc;
    ks_open(Handle, *const c_char, *const KsOpts, *mut Handle, Err) -> Rc;
    ks_release(Handle);
    put(Handle, Handle, *const WriteOpts, Bytes, usize, Bytes, usize, Err) -> Rc;
    delete(Handle, Handle, *const WriteOpts, Bytes, usize, Err) -> Rc;
    get(Handle, Handle, *const c_void, Bytes, usize, *mut u8, usize, *mut usize, Err) -> Rc;
    get_pinned(
        Handle, Handle, *const c_void, Bytes, usize, *mut Handle, *mut Slice, Err
    ) -> Rc;
    pin_release(Handle);
    batch_create(usize, *mut Handle, Err) -> Rc;
    batch_release(Handle);
    batch_add(Handle, u32, Handle, Bytes, usize, Bytes, usize, Err) -> Rc;
    batch_bytes(Handle, *mut Slice, *mut u32) -> Rc;
    batch_clear(Handle);
    write(Handle, *const WriteOpts, Bytes, usize, *mut u64, Err) -> Rc;
    iter_open(
        Handle, Handle, *const c_void, Bytes, usize, Bytes, usize, *mut Handle, Err
    ) -> Rc;
    iter_seek(Handle, u32, Bytes, usize, *mut Slice, *mut Slice, Err) -> Rc;
    iter_next(Handle, *mut Slice, *mut Slice, Err) -> Rc;
    iter_prev(Handle, *mut Slice, *mut Slice, Err) -> Rc;
    iter_read(Handle, i32, usize, *mut u8, usize, *mut usize, *mut usize, Err) -> Rc;
    iter_close(Handle);
    scan(
        Handle, Handle, *const c_void, Bytes, usize, Bytes, usize, u32, usize, *mut u8, usize,
        *mut usize, *mut usize, Err
    ) -> Rc;
    flush(Handle, Handle, u32, Err) -> Rc;
    background(Handle, u32, u64, Err) -> Rc;
});

struct Lsmer {
    api: Api,
    multi_get: Option<MultiGet>,
    db: Handle,
    env: Handle,
}

// SAFETY: database and environment handles may be used by any thread at once (rule R5).
unsafe impl Send for Lsmer {}
// SAFETY: as above.
unsafe impl Sync for Lsmer {}

/// Makes an error of an answer below 0; gives the others back.
fn checked(what: &str, rc: Rc, error: &MaybeUninit<Error>) -> Outcome<Rc> {
    if rc >= 0 {
        return Ok(rc);
    }
    // SAFETY: the library writes the whole error whenever it answers less than 0 (rule R2), and
    // its message ends with NUL.
    let said = unsafe { text(error.assume_init_ref().message.as_ptr()) };
    Err(format!("{what}: {rc}: {said}"))
}

fn size_of_u32<T>() -> u32 {
    size_of::<T>() as u32
}

fn writing(durability: u32) -> WriteOpts {
    WriteOpts {
        struct_size: size_of_u32::<WriteOpts>(),
        flags: 0,
        txn: null_mut(),
        deadline_ns: 0,
        ttl_secs: 0,
        durability,
        reserved: 0,
    }
}

pub(super) fn open(path: &Path, settings: &Settings) -> Outcome<Box<dyn Engine>> {
    open_with(path, settings, 0)
}

/// With tables read where they lie in the page cache, as LMDB reads its file.
pub(super) fn open_mapped(path: &Path, settings: &Settings) -> Outcome<Box<dyn Engine>> {
    open_with(path, settings, MAPPED_READS)
}

fn open_with(path: &Path, settings: &Settings, flags: u32) -> Outcome<Box<dyn Engine>> {
    let library = Library::open(&settings.library)?;
    let api = Api::load(&library)?;
    // SAFETY: the prototype is that of lsmer.h; an older library has no such function.
    let multi_get = unsafe { library.function::<MultiGet>("lsm_multi_get\0") }.ok();
    let mut error = MaybeUninit::<Error>::uninit();
    let path = super::c_path(path)?;
    let env_opts = EnvOpts {
        struct_size: size_of_u32::<EnvOpts>(),
        memory_budget: settings.cache + 2 * settings.write_buffer,
        ..EnvOpts::default()
    };
    let mut env = null_mut();
    checked("env", call!(api, env_create(&env_opts, &mut env, error.as_mut_ptr())), &error)?;
    let open_opts = OpenOpts {
        struct_size: size_of_u32::<OpenOpts>(),
        flags,
        env,
        durability: BUFFER,
        format: 0,
        write_buffer_bytes: settings.write_buffer,
        feed_retain_bytes: 0,
        feed_retain_secs: 0,
        low_space_bytes: 0,
        hooks: null(),
    };
    let mut db = null_mut();
    let rc = call!(api, open(path.as_ptr(), &open_opts, &mut db, error.as_mut_ptr()));
    checked("open", rc, &error)?;
    // The default keyspace takes its options from here.
    let ks_opts = KsOpts {
        struct_size: size_of_u32::<KsOpts>(),
        compression: 1,
        filter_bits_x10: settings.filter_bits * 10,
        ..KsOpts::default()
    };
    let mut ks = null_mut();
    let name = c"default".as_ptr();
    checked(
        "keyspace",
        call!(api, ks_open(db, name, &ks_opts, &mut ks, error.as_mut_ptr())),
        &error,
    )?;
    call!(api, ks_release(ks));
    Ok(Box::new(Lsmer { api, multi_get, db, env }))
}

impl Engine for Lsmer {
    fn version(&self) -> String {
        let version = call!(self.api, version());
        // SAFETY: a text that ends with NUL and lasts for ever.
        unsafe { text(version) }
    }

    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::MultiGet => self.multi_get.is_some(),
            Feature::Pages => true,
        }
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        Ok(Box::new(Work {
            engine: self,
            buffered: writing(BUFFER),
            synced: writing(SYNC),
            batch: null_mut(),
            pin: null_mut(),
            buffer: vec![0; VALUE_BYTES_MAX],
            value_bytes: 0,
            packed_keys: Vec::new(),
            key_ends: Vec::new(),
            value_ends: Vec::new(),
            answers: Vec::new(),
            error: MaybeUninit::uninit(),
        }))
    }

    fn settle(&self) -> Outcome<()> {
        let mut error = MaybeUninit::uninit();
        let rc = call!(self.api, flush(self.db, null_mut(), 0, error.as_mut_ptr()));
        checked("flush", rc, &error)?;
        // 3: wait until nothing is running or due.
        let rc = call!(self.api, background(self.db, 3, u64::MAX, error.as_mut_ptr()));
        checked("wait", rc, &error).map(drop)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let mut error = MaybeUninit::uninit();
        let rc = call!(self.api, close(self.db, 0, error.as_mut_ptr()));
        call!(self.api, env_release(self.env));
        checked("close", rc, &error).map(drop)
    }
}

struct Work<'a> {
    engine: &'a Lsmer,
    buffered: WriteOpts,
    synced: WriteOpts,
    batch: Handle,
    pin: Handle,
    buffer: Vec<u8>,
    /// Length of the last value that was put or read: says how to read the next.
    value_bytes: usize,
    packed_keys: Vec<u8>,
    key_ends: Vec<u32>,
    value_ends: Vec<u64>,
    answers: Vec<Rc>,
    error: MaybeUninit<Error>,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, batch_release(self.batch));
        call!(self.engine.api, pin_release(self.pin));
    }
}

impl Session for Work<'_> {
    fn put(&mut self, key: &Key, value: &[u8], durable: bool) -> Outcome<()> {
        let opts = if durable { &self.synced } else { &self.buffered };
        let err = self.error.as_mut_ptr();
        let (k, v) = (key.as_ptr(), value.as_ptr());
        let db = self.engine.db;
        let rc =
            call!(self.engine.api, put(db, null_mut(), opts, k, key.len(), v, value.len(), err));
        checked("put", rc, &self.error).map(drop)
    }

    fn delete(&mut self, key: &Key) -> Outcome<()> {
        let err = self.error.as_mut_ptr();
        let (db, opts) = (self.engine.db, &self.buffered);
        let rc = call!(self.engine.api, delete(db, null_mut(), opts, key.as_ptr(), key.len(), err));
        checked("delete", rc, &self.error).map(drop)
    }

    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()> {
        let (api, err) = (&self.engine.api, self.error.as_mut_ptr());
        if self.batch.is_null() {
            checked("batch", call!(api, batch_create(0, &mut self.batch, err)), &self.error)?;
        } else {
            call!(api, batch_clear(self.batch));
        }
        for (key, value) in keys.iter().zip(values.chunks_exact(value_bytes)) {
            let (k, v) = (key.as_ptr(), value.as_ptr());
            let (batch, none) = (self.batch, null_mut());
            let rc = call!(api, batch_add(batch, 1, none, k, key.len(), v, value.len(), err));
            checked("add", rc, &self.error)?;
        }
        let mut packed = NOTHING;
        let rc = call!(api, batch_bytes(self.batch, &mut packed, null_mut()));
        checked("bytes", rc, &self.error)?;
        let (db, opts) = (self.engine.db, &self.buffered);
        let rc = call!(api, write(db, opts, packed.data, packed.len, null_mut(), err));
        checked("write", rc, &self.error).map(drop)
    }

    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        if self.value_bytes >= PINNED_FROM {
            return self.get_pinned(key);
        }
        let (api, err, db) = (&self.engine.api, self.error.as_mut_ptr(), self.engine.db);
        let (none, buffer, cap) = (null_mut(), self.buffer.as_mut_ptr(), self.buffer.len());
        let (k, mut bytes) = (key.as_ptr(), 0);
        let rc = call!(api, get(db, none, null(), k, key.len(), buffer, cap, &mut bytes, err));
        if checked("get", rc, &self.error)? == NOT_FOUND {
            return Ok(None);
        }
        self.value_bytes = bytes;
        Ok(Some(&self.buffer[..bytes]))
    }

    fn release(&mut self) {
        if !self.pin.is_null() {
            call!(self.engine.api, pin_release(self.pin));
            self.pin = null_mut();
        }
    }

    fn multi_get(
        &mut self,
        keys: &[Key],
        seen: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Outcome<()> {
        let Some(function) = self.engine.multi_get else { return Err("none".to_owned()) };
        self.packed_keys.clear();
        self.packed_keys.extend_from_slice(keys.as_flattened());
        if self.key_ends.len() != keys.len() {
            self.key_ends = (1..=keys.len()).map(|n| (n * size_of::<Key>()) as u32).collect();
            self.value_ends = vec![0; keys.len()];
            self.answers = vec![0; keys.len()];
        }
        let mut done = 0;
        // SAFETY: the arrays have an element for each key, and the lengths are the buffers'.
        let rc = unsafe {
            function(
                self.engine.db,
                null_mut(),
                null(),
                self.packed_keys.as_ptr(),
                self.key_ends.as_ptr(),
                keys.len(),
                self.buffer.as_mut_ptr(),
                self.buffer.len(),
                self.value_ends.as_mut_ptr(),
                self.answers.as_mut_ptr(),
                &mut done,
                self.error.as_mut_ptr(),
            )
        };
        if checked("multi_get", rc, &self.error)? != OK || done != keys.len() {
            return Err(format!("multi_get answered {rc} after {done} keys"));
        }
        let mut start = 0;
        for (index, (&end, &answer)) in self.value_ends.iter().zip(&self.answers).enumerate() {
            let value = self.buffer.get(start..end as usize).ok_or("values out of order")?;
            seen(index, (answer == OK).then_some(value));
            start = end as usize;
        }
        Ok(())
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let mut iter = null_mut();
        let (db, none, err) = (self.engine.db, null_mut(), self.error.as_mut_ptr());
        let rc = call!(
            self.engine.api,
            iter_open(db, none, null(), null(), 0, null(), 0, &mut iter, err)
        );
        checked("cursor", rc, &self.error)?;
        let error = MaybeUninit::uninit();
        Ok(Box::new(Walk { engine: self.engine, iter, page: Vec::new(), error }))
    }

    fn scan(&mut self, from: &Key, max: usize) -> Outcome<&[u8]> {
        let (mut used, mut count) = (0, 0);
        let (db, none, err) = (self.engine.db, null_mut(), self.error.as_mut_ptr());
        let (buffer, cap) = (self.buffer.as_mut_ptr(), self.buffer.len());
        let (lo, len) = (from.as_ptr(), from.len());
        let (used_at, count_at) = (&mut used, &mut count);
        let rc = call!(
            self.engine.api,
            scan(db, none, null(), lo, len, null(), 0, 0, max, buffer, cap, used_at, count_at, err)
        );
        checked("scan", rc, &self.error)?;
        Ok(&self.buffer[..used])
    }
}

impl Work<'_> {
    fn get_pinned(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        let mut value = NOTHING;
        let (api, err, db) = (&self.engine.api, self.error.as_mut_ptr(), self.engine.db);
        let (k, pin) = (key.as_ptr(), &mut self.pin);
        let rc = call!(api, get_pinned(db, null_mut(), null(), k, key.len(), pin, &mut value, err));
        if checked("get_pinned", rc, &self.error)? == NOT_FOUND {
            return Ok(None);
        }
        // SAFETY: lent until the pin is released, which takes the session mutably.
        Ok(Some(unsafe { super::lent(value.data, value.len) }))
    }
}

struct Walk<'a> {
    engine: &'a Lsmer,
    iter: Handle,
    /// Made when a page is asked for: clearing it takes longer than opening a cursor.
    page: Vec<u8>,
    error: MaybeUninit<Error>,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        call!(self.engine.api, iter_close(self.iter));
    }
}

impl Walk<'_> {
    fn entry(&self, rc: Rc, key: Slice, value: Slice) -> Outcome<Option<Entry<'_>>> {
        if checked("cursor", rc, &self.error)? == END {
            return Ok(None);
        }
        // SAFETY: lent until the cursor moves or closes, which takes it mutably.
        Ok(Some(unsafe { (super::lent(key.data, key.len), super::lent(value.data, value.len)) }))
    }
}

impl Cursor for Walk<'_> {
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>> {
        let (mut key, mut value) = (NOTHING, NOTHING);
        let (how, data, len) = match place {
            Place::First => (1, null(), 0),
            Place::Last => (2, null(), 0),
            Place::At(key) => (3, key.as_ptr(), key.len()),
        };
        let (k, v, err) = (&mut key, &mut value, self.error.as_mut_ptr());
        let rc = call!(self.engine.api, iter_seek(self.iter, how, data, len, k, v, err));
        self.entry(rc, key, value)
    }

    fn next(&mut self) -> Outcome<Option<Entry<'_>>> {
        let (mut key, mut value) = (NOTHING, NOTHING);
        let err = self.error.as_mut_ptr();
        let rc = call!(self.engine.api, iter_next(self.iter, &mut key, &mut value, err));
        self.entry(rc, key, value)
    }

    fn prev(&mut self) -> Outcome<Option<Entry<'_>>> {
        let (mut key, mut value) = (NOTHING, NOTHING);
        let err = self.error.as_mut_ptr();
        let rc = call!(self.engine.api, iter_prev(self.iter, &mut key, &mut value, err));
        self.entry(rc, key, value)
    }

    fn page(&mut self) -> Outcome<&[u8]> {
        let (mut used, mut count) = (0, 0);
        if self.page.is_empty() {
            self.page.resize(PAGE_BYTES, 0);
        }
        loop {
            let (buffer, cap) = (self.page.as_mut_ptr(), self.page.len());
            let (used_at, count_at, err) = (&mut used, &mut count, self.error.as_mut_ptr());
            let api = &self.engine.api;
            let rc = call!(api, iter_read(self.iter, 1, 0, buffer, cap, used_at, count_at, err));
            if checked("page", rc, &self.error)? != BUFFER_SMALL {
                break;
            }
            self.page.resize(used, 0);
        }
        Ok(&self.page[..if count == 0 { 0 } else { used }])
    }
}
