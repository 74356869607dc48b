//! The log hook: the caller's callback and the context that it owns.
//!
//! The engine and its threads hold [`Hook`]s for as long as they like; the context is given up at
//! a moment that the caller can see: before `lsm_close` returns, or before a failed `lsm_open`
//! does. Any thread.

use std::ffi::c_void;

use parking_lot::RwLock;

use super::types::lsm_hooks;
use crate::engine::LogLevel;

type Drop_ = unsafe extern "C" fn(ctx: *mut c_void);
type Log = unsafe extern "C" fn(*mut c_void, i32, *const std::ffi::c_char, usize);

/// A context that its `drop` callback gets exactly once.
struct Context {
    ctx: *mut c_void,
    log: Option<Log>,
    drop: Option<Drop_>,
}

// SAFETY: the header says that the callbacks may be called from any thread, with this context.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller of `lsm_open` promised a function that takes this context.
            unsafe { drop(self.ctx) }
        }
    }
}

/// The hooks of one database. Empty once retired.
pub(super) struct Hook {
    context: RwLock<Option<Context>>,
}

impl Hook {
    /// Owns the context of `hooks` from now on.
    pub(super) fn new(hooks: &lsm_hooks) -> Self {
        let context = Context { ctx: hooks.ctx, log: hooks.log, drop: hooks.drop };
        Self { context: RwLock::new(Some(context)) }
    }

    /// Passes one line on; does nothing once retired.
    pub(super) fn log(&self, level: LogLevel, text: &str) {
        let guard = self.context.read();
        if let Some((context, log)) = guard.as_ref().and_then(|c| c.log.map(|log| (c, log))) {
            // SAFETY: the caller of `lsm_open` promised a function that takes this context, and
            // the text outlives the call.
            unsafe { log(context.ctx, level as i32, text.as_ptr().cast(), text.len()) }
        }
    }

    /// Drops the context, after waiting for callbacks that are running.
    pub(super) fn retire(&self) {
        let context = self.context.write().take();
        drop(context);
    }
}
