//! The shared state of one open database.
//!
//! Positions (invariants S1 to S4 in `docs/architecture.md`):
//! `synced <= logged <= visible <= tail`, and none of them ever decreases.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::compact::CompactionState;
use super::env::Env;
use super::flush::Flushed;
use super::flushes::Flushes;
use super::generation::{Generation, Sealed};
use super::health::Counters;
use super::install::Catalogue;
use super::keyspace::KeyspaceMap;
use super::poison::Poison;
use super::shelf::Shelf;
use super::snapshot::Snapshots;
use super::spare::Spare;
use super::stall::Stall;
use super::sync::{Leader, Staging};
use super::warm::Warming;
use super::worker::Jobs;
use crate::base::options::OpenOptions;
use crate::base::{Error, ErrorKind, FileNumber, Lsn, Result};
use crate::mem::EpochCell;
use crate::mem::Parking;
use crate::mem::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::version::{Tables, Version};
use crate::vfs::{Dir, DirLock};

/// How important a log line is. The numbers are in the C API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i32)]
pub(crate) enum LogLevel {
    /// Something failed.
    Error = 1,
    /// Something will fail if it goes on.
    Warn = 2,
    /// Open, close, recovery, flush, compaction.
    Info = 3,
    /// For developers of lsmer.
    Debug = 4,
}

/// Receives log lines, from any thread.
pub(crate) type LogHook = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Where readers look: replaced as a whole, never changed.
pub(super) struct ReadState {
    /// Takes writes, unless it is sealed.
    pub(super) active: Arc<Generation>,
    /// Waits for its flush; newest first.
    pub(super) sealed: Vec<Sealed>,
    /// The tables.
    pub(super) version: Arc<Version>,
}

/// The life of a database.
pub(super) const OPEN: u32 = 0;
pub(super) const CLOSING: u32 = 1;
pub(super) const CLOSED: u32 = 2;

/// One open database. All methods may be called from any thread.
pub(crate) struct Db {
    pub(super) env: Arc<Env>,
    pub(super) dir: Arc<dyn Dir>,
    pub(super) options: OpenOptions,
    pub(super) log_hook: Option<LogHook>,
    /// Boot id and mount id, as log headers carry them.
    pub(super) boot_id: u128,
    pub(super) mount_id: u64,
    /// Whether new logs may be mapped here.
    pub(super) mapped_ok: bool,

    /// Swapped by whoever installs a generation (seal) or a version (install); loaded by every
    /// reader and writer under a pin, *before* `visible` (invariant S3).
    pub(super) state: EpochCell<ReadState>,
    /// Every entry numbered below it is in the read state. Advanced by compare-and-swap over done
    /// marks by whoever finishes (release); loaded by readers (acquire).
    pub(super) visible: CachePadded<AtomicU64>,
    /// Everything below it is in the log of written segments, and of mapped segments that begin at
    /// or below it. Advanced by fetch-max by the log leader (release); loaded by writers (acquire).
    pub(super) logged: CachePadded<AtomicU64>,
    /// Everything below it is durable. Advanced by fetch-max by the log leader and by a flush whose
    /// edit is durable (release); loaded by writers (acquire).
    pub(super) synced: CachePadded<AtomicU64>,
    /// Everything below it is in durable tables; written by flush and recovery.
    pub(super) floor: AtomicU64,
    /// Waiters for `visible`.
    pub(super) visible_parking: Parking,
    /// Waiters for `logged`, or for the leader's token to that end.
    pub(super) log_parking: Parking,
    /// Waiters for `synced`, or for the leader's token to that end.
    pub(super) sync_parking: Parking,
    /// Waiters for room: a prepared generation, less debt, an ended flush.
    pub(super) room_parking: Parking,
    /// Who writes out and syncs the log.
    pub(super) log_leader: Leader,
    /// The leader's buffer; nobody else locks it.
    pub(super) staging: Mutex<Staging>,
    pub(super) poison: Poison,
    /// Why the last flush or preparation failed, until one succeeds; for waiting writers.
    pub(super) background_error: Mutex<Option<Error>>,

    pub(super) snapshots: Snapshots,
    pub(super) keyspaces: KeyspaceMap,
    /// Held by whoever creates, changes or drops a keyspace.
    pub(super) keyspace_lock: Mutex<()>,
    /// The manifest and what it says; whoever changes the version holds it.
    pub(super) catalogue: Mutex<Option<Catalogue>>,
    pub(super) tables: Arc<Tables>,
    /// The next file number; taken by fetch-add by whoever creates a file.
    pub(super) next_file: AtomicU64,
    /// Edits in the manifest; written under `catalogue`, read by the preparer of logs.
    pub(super) edit_count: AtomicU64,
    /// Bytes of the next generation to prepare: doubles from 1 MiB up to the option.
    pub(super) next_capacity: AtomicU64,

    pub(super) jobs: Jobs,
    pub(super) warming: Warming,
    pub(super) spare: Spare,
    pub(super) shelf: Shelf,
    pub(super) flushes: Flushes<Flushed>,
    /// Calls that wait for a flush. Counted by them, read by whoever writes a table; relaxed: it only
    /// ends waits for the limit of writing, which look at it ten times a second.
    pub(super) flush_calls: AtomicU32,
    pub(super) compaction: Mutex<CompactionState>,
    pub(super) stall: Stall,
    pub(super) counters: Counters,
    /// `OPEN`, `CLOSING` or `CLOSED`; written by close, read by every call.
    pub(super) life: AtomicU32,
    /// Whether iterators and other children answer `Closed`. Set (release) by closers, before
    /// anything of the close is done; read (acquire) by every call on a child.
    pub(super) is_left: AtomicBool,
    pub(super) lock: Mutex<Option<Box<dyn DirLock>>>,
}

impl Db {
    /// An error when the database is closed or being closed.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.life.load(Ordering::Acquire) == OPEN { Ok(()) } else { Err(Error::closed()) }
    }

    /// The same for iterators and other children, whose database may be left a little earlier.
    #[inline]
    pub(crate) fn check_children(&self) -> Result<()> {
        if self.is_left.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Makes every child answer `Closed` from now on.
    pub(crate) fn leave_children(&self) {
        self.is_left.store(true, Ordering::Release);
    }

    /// An error when the database takes no writes: closed, read-only or poisoned.
    #[inline]
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.options.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the database was opened read-only"));
        }
        self.poison.check()
    }

    /// Takes a file number that was never used.
    pub(super) fn new_file_number(&self) -> FileNumber {
        FileNumber(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// The position below which everything is visible.
    pub(super) fn visible(&self) -> Lsn {
        Lsn(self.visible.load(Ordering::Acquire))
    }

    /// The position below which everything is durable.
    pub(super) fn synced(&self) -> Lsn {
        Lsn(self.synced.load(Ordering::Acquire))
    }

    /// The position below which everything is in tables.
    pub(super) fn floor(&self) -> Lsn {
        Lsn(self.floor.load(Ordering::Acquire))
    }

    /// Keeps `cause` as the reason why nothing is written any more, and wakes all who wait.
    pub(crate) fn poison(&self, cause: Error) {
        self.log(LogLevel::Error, || format!("the database takes no more writes: {cause}"));
        self.poison.set(cause);
        self.wake_all();
    }

    /// After a panic between reservation and publication: nothing later can become visible.
    pub(super) fn poison_stuck(&self) {
        let text = "a bug in lsmer: a write panicked; reopen the database";
        self.log(LogLevel::Error, || text.to_owned());
        self.poison.set_stuck(Error::new(ErrorKind::Internal, text));
        self.wake_all();
    }

    pub(super) fn wake_all(&self) {
        self.visible_parking.notify();
        self.log_parking.notify();
        self.sync_parking.notify();
        self.room_parking.notify();
        self.env.wake_workers();
    }

    /// Gives a line to the log hook, if there is one.
    pub(super) fn log(&self, level: LogLevel, text: impl FnOnce() -> String) {
        if let Some(hook) = &self.log_hook {
            hook(level, &text());
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // Best effort: who wants to know the outcome calls close.
        let _ = self.close_now();
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("path", &self.dir.path()).finish_non_exhaustive()
    }
}
