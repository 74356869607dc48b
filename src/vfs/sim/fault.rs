//! Counting the calls, and making chosen ones fail or crash.
//!
//! Every call of the traits counts, each mapped store too; `populate`, `release`, `name` and `path`
//! do not. Calls are numbered from 0 in the order in which they got the file system's lock.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::state::State;
use crate::base::{Error, Result};

/// What was called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the variants are named after the methods of the traits")]
pub(crate) enum CallKind {
    OpenDir,
    /// One missing directory made by `open_dir`.
    MakeDir,
    RemoveDir,
    List,
    Create,
    Open,
    Remove,
    Rename,
    /// `Dir::sync`, and each sync of a parent by `open_dir` and `remove_dir`.
    SyncDir,
    Lock,
    FreeBytes,
    Mount,
    Len,
    Read,
    /// `DirectFile::read`.
    ReadDirect,
    Write,
    Sync,
    Allocate,
    Map,
    /// `LogMap::store` and `LogMap::store_words`.
    Store,
    SyncMap,
}

impl CallKind {
    /// Whether the call changes what is stored or what is durable. A crash at any other call
    /// leaves the same bytes as one at the next call.
    #[cfg(not(loom))]
    pub(crate) fn changes(self) -> bool {
        use CallKind::{FreeBytes, Len, List, Map, Mount, Open, OpenDir, Read, ReadDirect};
        let reads = matches!(self, Read | ReadDirect | Map);
        !reads && !matches!(self, OpenDir | List | Open | FreeBytes | Mount | Len)
    }
}

/// One call that was made while calls were traced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// Its number, from 0.
    pub(crate) index: u64,
    /// What was called.
    pub(crate) kind: CallKind,
    /// The name of the file, or the path of the directory.
    pub(crate) file: Arc<str>,
    /// Bytes read or stored; 0 where that means nothing.
    pub(crate) bytes: u64,
}

/// How much of its work a chosen call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Nothing.
    Nothing,
    /// Everything, though it is not told.
    Everything,
    /// Only the first so many bytes of a write or store; nothing, of a call that stores none.
    Bytes(u64),
    /// Only `parts` of `of` parts of the bytes; nothing, of a call that stores none.
    Fraction {
        /// How many parts are stored.
        parts: u64,
        /// How many parts there are, at least 1.
        of: u64,
    },
    /// A sync: unsynced data is forgotten and counts as clean, so that a later sync succeeds
    /// without it, as Linux does. It is still what the process reads. Other calls: nothing.
    DropDirty,
}

/// Which calls a failure meets, from the chosen one on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Repeat {
    /// The chosen call.
    Once,
    /// The chosen call and every one after it.
    Always,
    /// The chosen call and every one of its kind after it.
    SameKind,
}

/// What happens at the chosen call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// It returns this error. A mapped store cannot fail: it is done as if nothing was armed.
    Fail {
        /// The error number.
        errno: i32,
        /// What is done all the same.
        effect: Effect,
        /// Which later calls fail too.
        repeat: Repeat,
    },
    /// The process dies in it: it and every later call return an error and do nothing more.
    Crash(Effect),
}

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The number of the call.
    pub(crate) at: u64,
    /// What happens there.
    pub(crate) action: Action,
}

impl Fault {
    /// Call `at` fails and does nothing.
    pub(crate) fn fail(at: u64, errno: i32) -> Self {
        let (effect, repeat) = (Effect::Nothing, Repeat::Once);
        Self { at, action: Action::Fail { errno, effect, repeat } }
    }

    /// Call `at` fails; if it is a sync, what it should have made durable is lost and clean.
    pub(crate) fn fail_dropping(at: u64, errno: i32) -> Self {
        Self::fail(at, errno).with_effect(Effect::DropDirty)
    }

    /// The process dies before call `at` does anything.
    pub(crate) fn crash_before(at: u64) -> Self {
        Self { at, action: Action::Crash(Effect::Nothing) }
    }

    /// The process dies after call `at` has done everything.
    pub(crate) fn crash_after(at: u64) -> Self {
        Self { at, action: Action::Crash(Effect::Everything) }
    }

    /// The process dies when call `at` has stored `parts` of `of` parts of its bytes.
    pub(crate) fn crash_torn(at: u64, parts: u64, of: u64) -> Self {
        Self { at, action: Action::Crash(Effect::Fraction { parts, of }) }
    }

    /// The process dies when call `at` has stored `bytes` bytes.
    pub(crate) fn crash_torn_at(at: u64, bytes: u64) -> Self {
        Self { at, action: Action::Crash(Effect::Bytes(bytes)) }
    }

    /// The same fault, but the call has done this much.
    pub(crate) fn with_effect(mut self, new: Effect) -> Self {
        match &mut self.action {
            Action::Fail { effect, .. } | Action::Crash(effect) => *effect = new,
        }
        self
    }

    /// The same failure, repeated. A crash is final anyway.
    pub(crate) fn repeated(mut self, new: Repeat) -> Self {
        if let Action::Fail { repeat, .. } = &mut self.action {
            *repeat = new;
        }
        self
    }
}

/// A fault that waits for its call.
#[derive(Clone, Copy)]
struct Armed {
    fault: Fault,
    /// The kind of the chosen call, once it was made.
    met: Option<CallKind>,
}

/// The calls so far, and what is to happen to later ones.
#[derive(Default)]
pub(super) struct Calls {
    /// How many were made.
    pub(super) count: u64,
    /// How many faults took effect.
    pub(super) hits: u64,
    /// Whether the process died.
    pub(super) is_down: bool,
    /// The calls, while they are traced.
    pub(super) trace: Option<Vec<Call>>,
    /// Called after each call, before that returns, by the thread that makes it.
    pub(super) watcher: Option<Watcher>,
    armed: Vec<Armed>,
}

/// See [`Calls`].
pub(super) type Watcher = Arc<dyn Fn(CallKind) + Send + Sync>;

impl Calls {
    /// Adds a fault.
    pub(super) fn arm(&mut self, fault: Fault) {
        self.armed.push(Armed { fault, met: None });
    }

    /// Removes all faults.
    pub(super) fn disarm(&mut self) {
        self.armed.clear();
    }

    fn chosen(&mut self, index: u64, kind: CallKind) -> Option<Action> {
        self.armed.iter_mut().find_map(|armed| {
            let Fault { at, action } = armed.fault;
            if index == at {
                armed.met = Some(kind);
                return Some(action);
            }
            let Action::Fail { repeat, .. } = action else { return None };
            let again = match repeat {
                Repeat::Once => false,
                Repeat::Always => index > at,
                Repeat::SameKind => armed.met == Some(kind),
            };
            again.then_some(action)
        })
    }
}

/// How a call goes on.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    /// How much of it is done.
    pub(super) effect: Effect,
    errno: Option<i32>,
}

impl Verdict {
    /// Whether a call that stores no bytes is done.
    pub(super) fn is_done(self) -> bool {
        self.effect == Effect::Everything
    }

    /// How many of `bytes` bytes are stored.
    pub(super) fn portion(self, bytes: usize) -> usize {
        let all = bytes as u64;
        let some = match self.effect {
            Effect::Nothing | Effect::DropDirty => 0,
            Effect::Everything => all,
            Effect::Bytes(n) => n.min(all),
            Effect::Fraction { parts, of } => (all * parts / of).min(all),
        };
        super::content::index(some)
    }

    /// The result that the caller is told, if the call itself went well.
    pub(super) fn finish(self, doing: &str, path: &Path) -> Result<()> {
        self.errno.map_or(Ok(()), |errno| Err(failure(doing, path, errno)))
    }
}

/// The error of a call that failed with `errno`.
pub(super) fn failure(doing: &str, path: &Path, errno: i32) -> Error {
    Error::io(doing, path, &io::Error::from_raw_os_error(errno))
}

impl State {
    /// Counts a call and says how it goes on.
    pub(super) fn begin(&mut self, kind: CallKind, file: &Arc<str>, bytes: usize) -> Verdict {
        let calls = &mut self.calls;
        if calls.is_down {
            return Verdict { effect: Effect::Nothing, errno: Some(libc::EIO) };
        }
        let index = calls.count;
        calls.count += 1;
        if let Some(trace) = &mut calls.trace {
            trace.push(Call { index, kind, file: file.clone(), bytes: bytes as u64 });
        }
        match calls.chosen(index, kind) {
            Some(Action::Fail { errno, effect, .. }) if kind != CallKind::Store => {
                calls.hits += 1;
                Verdict { effect, errno: Some(errno) }
            }
            Some(Action::Crash(effect)) => {
                calls.hits += 1;
                calls.is_down = true;
                Verdict { effect, errno: Some(libc::EIO) }
            }
            _ => Verdict { effect: Effect::Everything, errno: None },
        }
    }
}
