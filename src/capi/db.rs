//! Opening, closing and destroying a database.

use std::ffi::c_char;
use std::sync::Arc;

use super::barrier;
use super::bytes::{self, Out};
use super::constants::{LSM_CLOSE_STRICT, LSM_OK};
use super::guard::guard;
use super::handle::{self, Call, DbObject, EnvObject, OpenDb};
use super::hook::Hook;
use super::options;
use super::types::{lsm_db, lsm_env, lsm_error, lsm_hooks, lsm_open_opts, lsm_rc};
use crate::base::options::EnvOptions;
use crate::base::{Error, ErrorKind, Result};
use crate::engine::{Db, Env, LogHook};

/// Opens the database in the directory `path`, creating it, and the directories above it, if they
/// are absent (mode 700; not with LSM_O_MUST_EXIST). `o` may be NULL.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_close gives it back. Takes the context of the hooks.
/// - Valid until: closed.
/// - Blocks: while it reads the log of an unclean end.
/// - Errors: LSM_E_LOCKED (pid in detail0), LSM_E_CORRUPT, LSM_E_FORMAT, LSM_E_INVALID (such as
///   absent with LSM_O_MUST_EXIST), LSM_E_UNSUPPORTED, LSM_E_NO_SPACE, LSM_E_IO, LSM_E_NOMEM,
///   LSM_E_READONLY, LSM_E_CLOSED (the environment), LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_open(
    path: *const c_char,
    o: *const lsm_open_opts,
    out: *mut *mut lsm_db,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |call: &Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") };
        handle::check_fork()?;
        // The engine starts threads.
        barrier::enter_alone();
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let given = unsafe { options::read(o) }?;
        // SAFETY: as above, for the struct that the field points to.
        let hooks = unsafe { options::read(given.map_or(std::ptr::null(), |o| o.hooks)) }?;
        let hook = hooks.as_ref().map(Lent::new);
        // Only now, so that the hook is dropped whichever of these fails.
        let out = out?;
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let path = unsafe { bytes::path(path) }?;
        if let Some(hooks) = &hooks {
            options::check_hooks(hooks)?;
        }
        let env = environment(call, given.map_or(std::ptr::null_mut(), |o| o.env))?;
        let options = options::open(given.as_ref(), env.memory_budget_bytes())?;
        let engine = Db::open(&env, path, options, hook.as_ref().map(Lent::for_engine))?;
        let open = Arc::new(OpenDb::new(engine, hook.map(Lent::keep)));
        let made = handle::create(DbObject { open })?;
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_open", err, body) }
}

/// Closes a database. Calls in flight end first; open children then answer LSM_E_CLOSED, but bytes
/// borrowed from them stay valid until the child is moved or closed. More than 1 MiB that is in no
/// table is written to one; what is less, or cannot be, stays in the log for the next lsm_open, but
/// for LSM_D_NONE writes, which are lost. Children that are left keep the threads of the
/// environment as well. NULL is LSM_OK. `flags` is 0 or LSM_CLOSE_STRICT. Whatever the code, db is closed, but for LSM_E_BUSY of
/// LSM_CLOSE_STRICT, LSM_E_INVALID and LSM_E_FORKED.
///
/// - Threads: any; of several at once, one closes and the others answer LSM_E_CLOSED.
/// - Owns: takes db.
/// - Valid until: returns; db is stale then.
/// - Blocks: on writing that table, on syncing the log, and until no other call uses db.
/// - Errors: LSM_E_CLOSED, LSM_E_BUSY (number of children in detail0), LSM_E_IO, LSM_E_NO_SPACE
///   (the last sync failed), LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_close(db: *mut lsm_db, flags: u32, err: *mut lsm_error) -> lsm_rc {
    let body = |_: &Call| {
        handle::check_fork()?;
        if flags & !LSM_CLOSE_STRICT != 0 {
            return Err(Error::unsupported("lsm_close: flags have bits that are not known"));
        }
        if db.is_null() {
            return Ok(LSM_OK);
        }
        let strict = flags & LSM_CLOSE_STRICT != 0;
        handle::close_db(db, |open| refuse_children(open, strict), close_engine)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_close", err, body) }
}

/// Removes the files of the database in the directory `path`, then the directory if nothing else
/// is in it. Files that lsmer did not write stay.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: -
/// - Blocks: on removing files.
/// - Errors: LSM_E_LOCKED (it is open somewhere), LSM_E_INVALID (there is no such directory),
///   LSM_E_IO, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_destroy(path: *const c_char, err: *mut lsm_error) -> lsm_rc {
    let body = |_: &Call| {
        handle::check_fork()?;
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let path = unsafe { bytes::path(path) }?;
        Db::destroy(&Env::real(EnvOptions::default())?, path)?;
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_destroy", err, body) }
}

/// The environment behind `handle`; NULL is a new one of the database's own.
fn environment(call: &Call, handle: *mut lsm_env) -> Result<Arc<Env>> {
    if handle.is_null() {
        return Env::real(EnvOptions::default());
    }
    call.with(handle, |object: &EnvObject| Ok(Arc::clone(&object.env)))
}

/// `Busy` if all children must be closed and are not.
fn refuse_children(open: &Arc<OpenDb>, strict: bool) -> Result<()> {
    let children = open.children();
    if strict && children != 0 {
        let text = format!("{children} handles of this database are open; close them first");
        return Err(Error::new(ErrorKind::Busy, text).with_detail(children as u64));
    }
    Ok(())
}

/// Stops the engine, then gives the hook's context back.
fn close_engine(open: &OpenDb) -> Result<()> {
    let closed = open.engine.close();
    if let Some(hook) = &open.hook {
        hook.retire();
    }
    closed
}

/// A hook while the open may still fail: retires it then, whatever the engine still holds.
struct Lent(Option<Arc<Hook>>);

impl Lent {
    fn new(hooks: &lsm_hooks) -> Self {
        Self(Some(Arc::new(Hook::new(hooks))))
    }

    /// What the engine calls. Lines after the hook retired go nowhere.
    fn for_engine(&self) -> LogHook {
        let hook = self.0.clone();
        Arc::new(move |level, text| {
            if let Some(hook) = &hook {
                hook.log(level, text);
            }
        })
    }

    /// The open succeeded; the database retires the hook.
    fn keep(mut self) -> Arc<Hook> {
        // `new` filled it, and only `keep`, which takes `self`, empties it.
        match self.0.take() {
            Some(hook) => hook,
            None => unreachable!("a hook is kept once"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(hook) = &self.0 {
            hook.retire();
        }
    }
}
