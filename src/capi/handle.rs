//! Handles as C sees them: pointers that are never followed, and the objects they stand for.
//!
//! [`Call`] is one C call in progress: it looks handles up, keeps what it found alive until the
//! call returns, and knows the database that a panic must stop. The mechanism is in
//! [`super::slab`]; which object is shared and which is exclusive is decided here.
//!
//! After a fork nothing is looked up in the child: the first thing each call asks is
//! [`crate::mem::fork::in_child`].

use std::cell::Cell;
use std::sync::Arc;

use super::barrier;
use super::hazard::{self, Mine, Record};
use super::hook::Hook;
use super::slab::{self, Slab};
use super::types::{lsm_batch, lsm_db, lsm_env, lsm_iter, lsm_ks, lsm_pin, lsm_snapshot};
use crate::base::{Error, ErrorKind, KeyspaceId, Result};
use crate::engine::{Db, Env, Iter, Leases, Pinned, Snapshot};
use crate::mem::atomic::AtomicU64;
use crate::mem::fork;

#[cfg(not(loom))]
static SLAB: Slab = Slab::new();
#[cfg(loom)]
static SLAB: std::sync::LazyLock<Slab> = std::sync::LazyLock::new(Slab::new);

/// What a handle can stand for.
pub(super) trait Object: Sized {
    /// Unlike every other object's; 1 to 15. In the handle, so part of no promise.
    const KIND: u8;
    /// The C type, for messages.
    const NAME: &'static str;
    /// Whether any number of threads may use it at once.
    const SHARED: bool;
    /// Whether mostly the thread that made it uses it, very often: others pay for that once.
    const BIASED: bool = false;
    /// Whether others are made from it only: as long as there is any, the library is used.
    const ROOT: bool = false;
    /// The C type of the handle.
    type Handle;
}

/// An environment.
pub(super) struct EnvObject {
    pub(super) env: Arc<Env>,
}

/// An open database and what its children need of it.
pub(super) struct OpenDb {
    pub(super) engine: Arc<Db>,
    /// What cursors hold in place of this: they come and go fast, and would meet on its count.
    pub(super) leases: Leases,
    pub(super) hook: Option<Arc<Hook>>,
}

/// The handle's share of a database. Children hold further ones.
pub(super) struct DbObject {
    pub(super) open: Arc<OpenDb>,
}

/// A keyspace.
pub(super) struct KsObject {
    pub(super) db: Arc<OpenDb>,
    pub(super) id: KeyspaceId,
}

/// A snapshot. The engine's part is dropped before the database.
pub(super) struct SnapshotObject {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) db: Arc<OpenDb>,
}

/// A cursor.
pub(super) struct IterObject {
    pub(super) cursor: Iter,
    /// Direction in which the cursor stands one entry ahead of what the caller has seen.
    pub(super) ahead: Option<i32>,
    /// Whether the last move failed: only a seek helps.
    pub(super) broken: bool,
}

/// A value held in place. The engine's part is dropped before the database.
pub(super) struct PinObject {
    pub(super) value: Pinned,
    pub(super) _db: Arc<OpenDb>,
}

/// A batch; belongs to no database.
pub(super) struct BatchObject {
    pub(super) packed: Vec<u8>,
    pub(super) count: u32,
}

macro_rules! objects {
    ($($object:ty, $handle:ty, $kind:literal, $shared:literal;)*) => {$(
        impl Object for $object {
            const KIND: u8 = $kind;
            const NAME: &'static str = stringify!($handle);
            const SHARED: bool = $shared;
            const BIASED: bool = $kind == 5;
            const ROOT: bool = $kind <= 2;
            type Handle = $handle;
        }
    )*};
}

objects! {
    EnvObject, lsm_env, 1, true;
    DbObject, lsm_db, 2, true;
    KsObject, lsm_ks, 3, true;
    SnapshotObject, lsm_snapshot, 4, true;
    IterObject, lsm_iter, 5, false;
    BatchObject, lsm_batch, 6, false;
    PinObject, lsm_pin, 7, false;
}

impl OpenDb {
    /// A database that the engine has just opened.
    pub(super) fn new(engine: Arc<Db>, hook: Option<Arc<Hook>>) -> Self {
        let leases = Leases::new(&engine);
        Self { engine, leases, hook }
    }

    /// Children that are open.
    pub(super) fn children(self: &Arc<Self>) -> usize {
        // Cursors hold a lease, every other child this, and the handle does once.
        Arc::strong_count(self) - 1 + self.leases.held()
    }

    /// `Closed` once the database was closed: asked by every call on a child.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        self.engine.check_children()
    }
}

/// Makes a handle for `object`.
pub(super) fn create<T: Object>(object: T) -> Result<*mut T::Handle> {
    create_boxed(Box::new(object))
}

/// Makes a handle for `object`, which stays at its address.
pub(super) fn create_boxed<T: Object>(object: Box<T>) -> Result<*mut T::Handle> {
    if T::ROOT {
        barrier::enter();
    }
    let object = Box::into_raw(object);
    let made = with_record(|mine| SLAB.insert(T::KIND, object.cast(), mine, T::BIASED));
    match made {
        Ok(handle) => {
            let address = usize::try_from(handle).map_err(|_| Error::closed())?;
            Ok(std::ptr::without_provenance_mut(address))
        }
        Err(error) => {
            if T::ROOT {
                barrier::leave();
            }
            // SAFETY: the slab did not take the object, so it is still ours.
            drop(unsafe { Box::from_raw(object) });
            Err(error)
        }
    }
}

/// Closes the handle of an object that nobody needs to be told about, and drops the object once
/// no call uses it. NULL and handles that are not live are ignored, as is everything in a child.
pub(super) fn release<T: Object>(handle: *mut T::Handle) {
    if handle.is_null() || fork::in_child() {
        return;
    }
    let word = word_of(handle);
    if slab::kind_of(word) != T::KIND {
        return;
    }
    let close = |mine: &Record| {
        let closing = SLAB.close(word, mine)?;
        if T::SHARED {
            closing.wait_for_users();
        }
        Some(closing.finish(mine))
    };
    if let Some(object) = with_record(close) {
        // SAFETY: the kind in the handle says that `create::<T>` boxed this object, and closing
        // made it ours.
        drop(unsafe { Box::from_raw(object.cast::<T>()) });
        if T::ROOT {
            barrier::leave();
        }
    }
}

/// Closes a database handle: `ready` may refuse, looking at the database; then the handle is gone,
/// `close` shuts the engine, and this waits until no call uses the database any more.
///
/// Errors: those of `ready`, then nothing was done; those of `close`, then all is closed;
/// `Closed` when the handle is not live, `Invalid` when it is none.
pub(super) fn close_db(
    handle: *mut lsm_db,
    ready: impl FnOnce(&Arc<OpenDb>) -> Result<()>,
    close: impl FnOnce(&OpenDb) -> Result<()>,
) -> Result<()> {
    let word = word_of(handle);
    {
        let look = Call::new("lsm_close");
        let open = &look.db(handle)?.open;
        ready(open)?;
        // First: who finds the handle gone finds its children closed. If it is gone already, they are.
        open.engine.leave_children();
    }
    let Some(closing) = with_record(|mine| SLAB.close(word, mine)) else {
        return Err(not_live::<DbObject>(word));
    };
    // SAFETY: `Call::db` has checked the kind; the object is valid until `finish`.
    let open = unsafe { &(*closing.object().cast::<DbObject>()).open };
    let closed = close(open);
    closing.wait_for_users();
    // SAFETY: as above; nobody uses the object any more, and closing made it ours.
    drop(unsafe { Box::from_raw(with_record(|mine| closing.finish(mine)).cast::<DbObject>()) });
    barrier::leave();
    closed
}

/// Runs `body` with this thread's record.
fn with_record<R>(body: impl FnOnce(&'static Record) -> R) -> R {
    match hazard::mine(&SLAB.hazards) {
        Mine::Kept(record) => body(record),
        Mine::Borrowed(record) => {
            let result = body(record);
            record.give_back();
            result
        }
    }
}

/// The number that a handle is.
#[inline]
fn word_of<T>(handle: *const T) -> u64 {
    handle.addr() as u64
}

/// Why a lookup failed.
#[cold]
fn not_live<T: Object>(word: u64) -> Error {
    if word == 0 {
        return Error::invalid(format!("the {} handle is NULL", T::NAME));
    }
    if slab::kind_of(word) != T::KIND || !SLAB.was_live(word) {
        return Error::invalid(format!("this is no {} handle", T::NAME));
    }
    if !T::SHARED && SLAB.is_open(word) {
        return Error::invalid(format!("two threads use this {} at once", T::NAME));
    }
    Error::new(ErrorKind::Closed, format!("the {} handle is closed", T::NAME))
}

/// `Forked` in a child: asked by calls that look no handle up.
pub(super) fn check_fork() -> Result<()> {
    if fork::in_child() { Err(forked()) } else { Ok(()) }
}

/// The error of every call in a forked child.
#[cold]
fn forked() -> Error {
    let text =
        "lsmer was used before the fork and cannot be used in the child; exec, or fork first";
    Error::new(ErrorKind::Forked, text)
}

/// One C call in progress. Found objects live until it is dropped, after a panic too.
pub(super) struct Call {
    /// The C function, for messages.
    name: &'static str,
    /// The record to give back at the end, when the thread can keep none.
    borrowed: Cell<Option<&'static Record>>,
    /// The announcement to withdraw at the end.
    place: Cell<Option<&'static AtomicU64>>,
    /// The exclusive handle to put back at the end, or 0.
    taken: Cell<u64>,
    /// The database to stop if the call panics; kept alive by the announced or taken handle.
    database: Cell<Option<*const Db>>,
}

impl Call {
    /// The call of `name` begins.
    #[inline]
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            borrowed: Cell::new(None),
            place: Cell::new(None),
            taken: Cell::new(0),
            database: Cell::new(None),
        }
    }

    /// The C function.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The database to stop if the call panics, if one was looked up.
    pub(super) fn database(&self) -> Option<&Db> {
        // SAFETY: set by `db` and `cursor` to what their handle keeps alive until `self` drops.
        self.database.get().map(|db| unsafe { &*db })
    }

    /// Looks up a database, for the length of the call. A call looks up one.
    ///
    /// Errors: `Invalid` for NULL and what is no such handle, `Closed`, `Forked`.
    #[inline]
    pub(super) fn db(&self, handle: *const lsm_db) -> Result<&DbObject> {
        let object = self.announce::<DbObject>(word_of(handle))?;
        // SAFETY: announced until `self` drops (rule 1).
        let object = unsafe { &*object };
        self.database.set(Some(Arc::as_ptr(&object.open.engine)));
        Ok(object)
    }

    /// The id that `handle` stands for in database `db`; NULL is the default keyspace.
    ///
    /// Errors: as for [`Call::db`]; `Invalid` when the keyspace is of another database.
    #[inline]
    pub(super) fn keyspace(&self, db: &DbObject, handle: *const lsm_ks) -> Result<KeyspaceId> {
        if handle.is_null() {
            return Ok(KeyspaceId::DEFAULT);
        }
        self.made_keyspace(db, handle)
    }

    fn made_keyspace(&self, db: &DbObject, handle: *const lsm_ks) -> Result<KeyspaceId> {
        self.with(handle, |keyspace: &KsObject| {
            same(db, &keyspace.db, "keyspace").map(|()| keyspace.id)
        })
    }

    /// The engine's snapshot behind `handle`, which must be of database `db`.
    pub(super) fn snapshot(
        &self,
        db: &DbObject,
        handle: *const lsm_snapshot,
    ) -> Result<Arc<Snapshot>> {
        self.with(handle, |object: &SnapshotObject| {
            same(db, &object.db, "snapshot").map(|()| Arc::clone(&object.snapshot))
        })
    }

    /// Looks a shared object up for the length of `body` only.
    pub(super) fn with<T: Object, R>(
        &self,
        handle: *const T::Handle,
        body: impl FnOnce(&T) -> Result<R>,
    ) -> Result<R> {
        let brief = Call::new(self.name);
        let object = brief.announce::<T>(word_of(handle))?;
        // SAFETY: announced until `brief` drops, after `body`.
        body(unsafe { &*object })
    }

    /// Takes an exclusive object for the length of the call. A call takes one.
    ///
    /// Errors: as for [`Call::db`]; `Invalid` when another thread is using it.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the slab gives the object to one call at a time")]
    pub(super) fn take<T: Object>(&self, handle: *const T::Handle) -> Result<&mut T> {
        debug_assert!(!T::SHARED && self.taken.get() == 0 && self.place.get().is_none());
        let word = word_of(handle);
        if fork::in_child() {
            return Err(forked());
        }
        if slab::kind_of(word) != T::KIND {
            return Err(not_live::<T>(word));
        }
        let Some(taken) = SLAB.take(word, self.record()) else { return Err(not_live::<T>(word)) };
        match taken.place {
            Some(_) => self.place.set(taken.place),
            None => self.taken.set(word),
        }
        // SAFETY: the slab gives it to nobody else until `self` drops and puts it back.
        Ok(unsafe { &mut *taken.object.cast::<T>() })
    }

    /// Takes a cursor whose database is open.
    #[inline(always)]
    pub(super) fn cursor(&self, handle: *const lsm_iter) -> Result<&mut IterObject> {
        let iter = self.take::<IterObject>(handle)?;
        let db = iter.cursor.db();
        db.check_children()?;
        self.database.set(Some(Arc::as_ptr(db)));
        Ok(iter)
    }

    /// Announces a shared handle and returns its object, valid until `self` drops.
    #[inline]
    fn announce<T: Object>(&self, word: u64) -> Result<*const T> {
        debug_assert!(T::SHARED && self.place.get().is_none());
        if fork::in_child() {
            return Err(forked());
        }
        if slab::kind_of(word) != T::KIND {
            return Err(not_live::<T>(word));
        }
        let record = self.record();
        let Some(place) = record.announce(word) else {
            return Err(Error::new(ErrorKind::Busy, "calls are nested too deeply"));
        };
        self.place.set(Some(place));
        match SLAB.announced(word) {
            Some(object) => Ok(object.cast_const().cast()),
            None => Err(not_live::<T>(word)),
        }
    }

    #[inline]
    fn record(&self) -> &'static Record {
        match hazard::mine(&SLAB.hazards) {
            Mine::Kept(record) => record,
            Mine::Borrowed(record) => {
                self.borrowed.set(Some(record));
                record
            }
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place.get() {
            Record::withdraw(place);
        }
        if let Some(record) = self.borrowed.get() {
            record.give_back();
        }
        let taken = self.taken.get();
        if taken != 0 {
            SLAB.put_back(taken, None);
        }
    }
}

/// `Invalid` unless a child of `child` may be used with `db`.
fn same(db: &DbObject, child: &Arc<OpenDb>, what: &str) -> Result<()> {
    if Arc::ptr_eq(&db.open, child) {
        return Ok(());
    }
    child.check_open()?;
    Err(Error::invalid(format!("the {what} belongs to another database")))
}
