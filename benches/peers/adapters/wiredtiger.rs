//! WiredTiger 3.2 through `wiredtiger.h`: a B-tree table of rows, the default, with its log on.
//!
//! Its cache is its write buffer too, so it gets the size of both. `transaction_sync=(method=none)`
//! hands the log to the OS at each commit as the others do (its default keeps it in the memory of
//! the process, which loses acknowledged writes when that dies); durable databases use
//! `method=fsync`. Checkpoints every 60 s or 256 MB of log, so that the log is bounded. Each thread
//! has a session and a cursor. Structures are those of release 3.2; others are refused.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::dl::{Library, api, call, text};
use crate::engine::{Cursor, Engine, Entry, Feature, Outcome, Place, Session, Settings};
use crate::keys::Key;

const ROLLBACK: c_int = -31800;
const NOT_FOUND: c_int = -31803;

type Text = *const c_char;
type Unused = *const c_void;

#[repr(C)]
struct Connection {
    async_flush: Unused,
    async_new_op: Unused,
    close: unsafe extern "C" fn(*mut Connection, Text) -> c_int,
    debug_info: Unused,
    reconfigure: Unused,
    get_home: Unused,
    configure_method: Unused,
    is_new: Unused,
    open_session: unsafe extern "C" fn(*mut Connection, Unused, Text, *mut *mut Part) -> c_int,
}

/// A session (WT_SESSION).
#[repr(C)]
struct Part {
    connection: Unused,
    app_private: Unused,
    close: unsafe extern "C" fn(*mut Part, Text) -> c_int,
    reconfigure: Unused,
    strerror: Unused,
    open_cursor: unsafe extern "C" fn(*mut Part, Text, *mut Row, Text, *mut *mut Row) -> c_int,
    alter: Unused,
    create: unsafe extern "C" fn(*mut Part, Text, Text) -> c_int,
    /// import, compact, drop, join, log_flush, log_printf, rebalance, rename, reset, salvage,
    /// truncate, upgrade, verify.
    others: [Unused; 13],
    begin_transaction: unsafe extern "C" fn(*mut Part, Text) -> c_int,
    commit_transaction: unsafe extern "C" fn(*mut Part, Text) -> c_int,
    prepare_transaction: Unused,
    rollback_transaction: unsafe extern "C" fn(*mut Part, Text) -> c_int,
    timestamp_transaction: Unused,
    query_timestamp: Unused,
    checkpoint: unsafe extern "C" fn(*mut Part, Text) -> c_int,
}

/// A cursor (WT_CURSOR).
#[repr(C)]
struct Row {
    session: Unused,
    uri: Text,
    key_format: Text,
    value_format: Text,
    get_key: unsafe extern "C" fn(*mut Row, ...) -> c_int,
    get_value: unsafe extern "C" fn(*mut Row, ...) -> c_int,
    set_key: unsafe extern "C" fn(*mut Row, ...),
    set_value: unsafe extern "C" fn(*mut Row, ...),
    compare: Unused,
    equals: Unused,
    next: unsafe extern "C" fn(*mut Row) -> c_int,
    prev: unsafe extern "C" fn(*mut Row) -> c_int,
    reset: unsafe extern "C" fn(*mut Row) -> c_int,
    search: unsafe extern "C" fn(*mut Row) -> c_int,
    search_near: unsafe extern "C" fn(*mut Row, *mut c_int) -> c_int,
    insert: unsafe extern "C" fn(*mut Row) -> c_int,
    modify: Unused,
    update: Unused,
    remove: unsafe extern "C" fn(*mut Row) -> c_int,
    reserve: Unused,
    close: unsafe extern "C" fn(*mut Row) -> c_int,
}

#[repr(C)]
struct Item {
    data: *const c_void,
    size: usize,
    mem: *mut c_void,
    mem_size: usize,
    flags: u32,
}

impl Item {
    fn of(bytes: &[u8]) -> Self {
        let data = bytes.as_ptr().cast();
        Self { data, size: bytes.len(), mem: null_mut(), mem_size: 0, flags: 0 }
    }
}

api!(Api, "wiredtiger_", {
    open(Text, Unused, Text, *mut *mut Connection) -> c_int;
    version(*mut c_int, *mut c_int, *mut c_int) -> Text;
    strerror(c_int) -> Text;
});

/// Calls a method: the object is the first argument too.
macro_rules! method {
    ($object:expr, $method:ident($($argument:expr),* $(,)?)) => {{
        let object = $object;
        // SAFETY: the object is open, and its structure that of the release that was asked for;
        // arguments are as in call!.
        unsafe { ((*object).$method)(object, $($argument),*) }
    }};
}

struct Tiger {
    api: Api,
    connection: *mut Connection,
    first: *mut Part,
}

// SAFETY: a connection may be used by any thread at once; `first` is used by the thread that
// settles only, sessions and cursors by the thread that made them.
unsafe impl Send for Tiger {}
// SAFETY: as above.
unsafe impl Sync for Tiger {}

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
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    call!(api, version(&mut major, &mut minor, &mut patch));
    if (major, minor) != (3, 2) {
        return Err(format!("release {major}.{minor}; only structures of 3.2 are known"));
    }
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let path = super::c_path(path)?;
    let sync = if settings.durable { "fsync" } else { "none" };
    let config = format!(
        "create,cache_size={}MB,session_max=200,log=(enabled=true,compressor=none),\
         transaction_sync=(enabled=true,method={sync}),checkpoint=(wait=60,log_size=256MB)",
        (settings.cache + settings.write_buffer) >> 20
    );
    let config = CString::new(config).map_err(|error| error.to_string())?;
    let mut connection = null_mut();
    let rc = call!(api, open(path.as_ptr(), null(), config.as_ptr(), &mut connection));
    checked(&api, "open", rc)?;
    let mut first = null_mut();
    let rc = method!(connection, open_session(null(), null(), &mut first));
    checked(&api, "session", rc)?;
    let format = c"key_format=u,value_format=u".as_ptr();
    checked(&api, "create", method!(first, create(TABLE.as_ptr(), format)))?;
    Ok(Box::new(Tiger { api, connection, first }))
}

const TABLE: &std::ffi::CStr = c"table:t";

impl Engine for Tiger {
    fn version(&self) -> String {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        call!(self.api, version(&mut major, &mut minor, &mut patch));
        format!("{major}.{minor}.{patch}")
    }

    fn has(&self, _: Feature) -> bool {
        false
    }

    fn session(&self) -> Outcome<Box<dyn Session + '_>> {
        let (mut session, mut cursor) = (null_mut(), null_mut());
        let rc = method!(self.connection, open_session(null(), null(), &mut session));
        checked(&self.api, "session", rc)?;
        let (table, overwrite) = (TABLE.as_ptr(), c"overwrite=true".as_ptr());
        let rc = method!(session, open_cursor(table, null_mut(), overwrite, &mut cursor));
        checked(&self.api, "cursor", rc)?;
        Ok(Box::new(Work { engine: self, session, cursor }))
    }

    fn settle(&self) -> Outcome<()> {
        checked(&self.api, "checkpoint", method!(self.first, checkpoint(null())))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        checked(&self.api, "close", method!(self.connection, close(null())))
    }
}

struct Work<'a> {
    engine: &'a Tiger,
    session: *mut Part,
    cursor: *mut Row,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        method!(self.session, close(null()));
    }
}

impl Work<'_> {
    fn insert(&mut self, key: &Key, value: &[u8]) -> c_int {
        let (k, v) = (Item::of(key), Item::of(value));
        method!(self.cursor, set_key(&k));
        method!(self.cursor, set_value(&v));
        method!(self.cursor, insert())
    }

    fn insert_all(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> c_int {
        let rc = method!(self.session, begin_transaction(null()));
        if rc != 0 {
            return rc;
        }
        for (key, value) in keys.iter().zip(values.chunks_exact(value_bytes)) {
            let rc = self.insert(key, value);
            if rc != 0 {
                method!(self.session, rollback_transaction(null()));
                return rc;
            }
        }
        method!(self.session, commit_transaction(null()))
    }

    /// Does it again while it loses against other threads.
    fn until_done(&mut self, mut work: impl FnMut(&mut Self) -> c_int) -> c_int {
        loop {
            let rc = work(self);
            if rc != ROLLBACK {
                return rc;
            }
        }
    }
}

impl Session for Work<'_> {
    fn put(&mut self, key: &Key, value: &[u8], _: bool) -> Outcome<()> {
        let rc = self.until_done(|work| work.insert(key, value));
        checked(&self.engine.api, "insert", rc)
    }

    fn delete(&mut self, key: &Key) -> Outcome<()> {
        let k = Item::of(key);
        let rc = self.until_done(|work| {
            method!(work.cursor, set_key(&k));
            method!(work.cursor, remove())
        });
        method!(self.cursor, reset());
        checked(&self.engine.api, "remove", if rc == NOT_FOUND { 0 } else { rc })
    }

    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()> {
        let rc = self.until_done(|work| work.insert_all(keys, values, value_bytes));
        checked(&self.engine.api, "batch", rc)
    }

    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>> {
        let (k, mut v) = (Item::of(key), Item::of(&[]));
        method!(self.cursor, set_key(&k));
        let rc = method!(self.cursor, search());
        if rc != 0 {
            method!(self.cursor, reset());
            let rc = if rc == NOT_FOUND { 0 } else { rc };
            return checked(&self.engine.api, "search", rc).map(|()| None);
        }
        checked(&self.engine.api, "value", method!(self.cursor, get_value(&mut v)))?;
        // SAFETY: held until the cursor is reset, in release().
        Ok(Some(unsafe { super::lent(v.data.cast(), v.size) }))
    }

    fn release(&mut self) {
        method!(self.cursor, reset());
    }

    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>> {
        let mut cursor = null_mut();
        let table = TABLE.as_ptr();
        let rc = method!(self.session, open_cursor(table, null_mut(), null(), &mut cursor));
        checked(&self.engine.api, "cursor", rc)?;
        Ok(Box::new(Walk { engine: self.engine, cursor }))
    }
}

struct Walk<'a> {
    engine: &'a Tiger,
    cursor: *mut Row,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        method!(self.cursor, close());
    }
}

impl Walk<'_> {
    fn entry(&mut self, rc: c_int) -> Outcome<Option<Entry<'_>>> {
        if rc != 0 {
            let rc = if rc == NOT_FOUND { 0 } else { rc };
            return checked(&self.engine.api, "cursor", rc).map(|()| None);
        }
        let (mut k, mut v) = (Item::of(&[]), Item::of(&[]));
        checked(&self.engine.api, "key", method!(self.cursor, get_key(&mut k)))?;
        checked(&self.engine.api, "value", method!(self.cursor, get_value(&mut v)))?;
        // SAFETY: held until the cursor moves, which takes it mutably.
        let entry =
            unsafe { (super::lent(k.data.cast(), k.size), super::lent(v.data.cast(), v.size)) };
        Ok(Some(entry))
    }
}

impl Cursor for Walk<'_> {
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>> {
        let rc = match place {
            Place::First => {
                method!(self.cursor, reset());
                method!(self.cursor, next())
            }
            Place::Last => {
                method!(self.cursor, reset());
                method!(self.cursor, prev())
            }
            Place::At(key) => {
                let (k, mut exact) = (Item::of(key), 0);
                method!(self.cursor, set_key(&k));
                let rc = method!(self.cursor, search_near(&mut exact));
                if rc == 0 && exact < 0 { method!(self.cursor, next()) } else { rc }
            }
        };
        self.entry(rc)
    }

    fn next(&mut self) -> Outcome<Option<Entry<'_>>> {
        let rc = method!(self.cursor, next());
        self.entry(rc)
    }

    fn prev(&mut self) -> Outcome<Option<Entry<'_>>> {
        let rc = method!(self.cursor, prev());
        self.entry(rc)
    }
}
