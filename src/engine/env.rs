//! What several databases share: one memory budget, one block cache, one pool of threads.
//!
//! Threads start with the first database and end with the environment. In a stepped environment
//! (tests) there are none: whoever waits runs the pending jobs himself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::check;
use super::db::Db;
use crate::base::options::EnvOptions;
use crate::base::{Error, ErrorKind, Result};
use crate::cache::BlockCache;
use crate::mem::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::mem::{Budget, Deadline, Garbage, Parking, Recycler};
use crate::os::Os;
use crate::os::real::RealOs;
use crate::vfs::Vfs;
use crate::vfs::posix::PosixVfs;

/// How long an idle worker sleeps before it looks around.
const IDLE_NS: u64 = 100_000_000;

/// This part of the memory that the process may use can be filled by logs whose values are in no table.
const VALUES_PART: u64 = 4;
/// Memory of generations that are gone is kept up to this part of the budget,
const KEPT_PART: u64 = 8;
/// and until a worker has found nothing to do so many times.
const KEPT_LOOKS: u32 = 10;

/// Memory, cache and threads for any number of databases.
pub(crate) struct Env {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) os: Arc<dyn Os>,
    pub(super) cache: Arc<BlockCache>,
    /// Bytes of write buffers; the cache gets what they and the tables leave.
    pub(super) buffers: Arc<Budget>,
    /// Bytes of values that are in logs and in no table: they lie in the system's page cache, which
    /// needs room for other things.
    pub(super) values: Arc<Budget>,
    pub(super) garbage: Arc<Garbage>,
    /// Memory of generations that are gone, for those to come.
    pub(super) memory: Arc<Recycler>,
    pub(super) options: EnvOptions,
    pub(super) throttle: Throttle,
    /// Long jobs under way. Counted by workers, relaxed: a hint.
    long_jobs: AtomicUsize,
    /// How many there should be while writers go on undelayed.
    long_jobs_beside: usize,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Counts a long job while it lives.
pub(super) struct LongJob<'a>(&'a AtomicUsize);

impl Drop for LongJob<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Shared {
    databases: Mutex<Vec<Weak<Db>>>,
    /// Where the database lies that is asked for work first: behind the one that had some last.
    /// Counted up by workers, relaxed: a hint.
    first: AtomicUsize,
    /// Set by the environment's drop (release), read by workers (acquire).
    stop: AtomicBool,
    /// Counted up by whoever has work (release), read by workers (acquire) to see news.
    work: AtomicU64,
    parking: Parking,
    os: Arc<dyn Os>,
    garbage: Arc<Garbage>,
    memory: Arc<Recycler>,
}

impl Env {
    /// An environment on these seams. Nothing is started yet.
    pub(crate) fn create(
        options: EnvOptions,
        vfs: Arc<dyn Vfs>,
        os: Arc<dyn Os>,
    ) -> Result<Arc<Self>> {
        check::env(&options)?;
        let budget = options.memory_budget_bytes;
        let memory_bytes = os.memory_bytes();
        let garbage = Arc::new(garbage(&*os));
        let memory = Recycler::new(budget / KEPT_PART);
        let shared = Shared {
            databases: Mutex::new(Vec::new()),
            first: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            work: AtomicU64::new(0),
            parking: Parking::new(),
            os: Arc::clone(&os),
            garbage: Arc::clone(&garbage),
            memory: Arc::clone(&memory),
        };
        Ok(Arc::new(Self {
            vfs,
            long_jobs: AtomicUsize::new(0),
            long_jobs_beside: os.processors().saturating_sub(1).max(1),
            os,
            cache: BlockCache::within(budget, memory_bytes),
            buffers: Arc::new(Budget::new(budget / 2)),
            values: Arc::new(Budget::new(memory_bytes / VALUES_PART)),
            garbage,
            memory,
            throttle: Throttle::new(options.io_bytes_per_sec),
            options,
            shared: Arc::new(shared),
            threads: Mutex::new(Vec::new()),
        }))
    }

    /// An environment on the real machine.
    pub(crate) fn real(options: EnvOptions) -> Result<Arc<Self>> {
        Self::create(options, Arc::new(PosixVfs), Arc::new(RealOs::new()))
    }

    /// Lets the workers serve `db`, and starts them if they do not run.
    pub(super) fn register(&self, db: &Arc<Db>) -> Result<()> {
        {
            let mut databases = self.shared.databases.lock();
            databases.retain(|weak| weak.strong_count() > 0);
            databases.push(Arc::downgrade(db));
        }
        if self.os.is_stepped() {
            return Ok(());
        }
        let mut threads = self.threads.lock();
        while threads.len() < self.options.threads as usize {
            let shared = Arc::clone(&self.shared);
            threads.push(self.os.spawn("lsmer", Box::new(move || shared.serve()))?);
        }
        Ok(())
    }

    /// Tells the workers that there may be something to do.
    pub(super) fn wake_workers(&self) {
        self.shared.work.fetch_add(1, Ordering::Release);
        self.shared.parking.notify();
    }

    /// How often workers were told that there is something to do.
    #[cfg(all(test, not(loom)))]
    pub(super) fn wakes(&self) -> u64 {
        self.shared.work.load(Ordering::Acquire)
    }

    /// The same for what one worker does by the way: the other would take a processor from a writer
    /// to find nothing.
    pub(super) fn wake_worker(&self) {
        self.shared.work.fetch_add(1, Ordering::Release);
        self.shared.parking.notify_one();
    }

    /// Leave for a worker to begin a long job. With `beside` somebody writes who is not delayed: then
    /// not all processors are taken, or he would lose his for as long as the scheduler's ticks lie
    /// apart, which is milliseconds.
    pub(super) fn long_job(&self, beside: bool) -> Option<LongJob<'_>> {
        let others = self.long_jobs.fetch_add(1, Ordering::Relaxed);
        let job = LongJob(&self.long_jobs);
        (!beside || others < self.long_jobs_beside).then_some(job)
    }

    /// What buffers, cache and tables of all databases may take.
    pub(crate) fn memory_budget_bytes(&self) -> u64 {
        self.options.memory_budget_bytes
    }

    /// Runs one pending job of any database, if there is one. For stepped environments.
    pub(super) fn step(&self) -> bool {
        self.shared.run_one()
    }

    /// Divides the budget anew: the cache gets what buffers and tables leave.
    pub(super) fn rebalance(&self) {
        let mut used = self.buffers.used() + self.memory.bytes();
        for db in self.shared.list() {
            used += db.tables.memory_bytes();
        }
        let budget = self.options.memory_budget_bytes;
        self.cache.set_capacity(budget.saturating_sub(used).max(budget / 16));
    }

    /// Gives back the memory that is kept for later generations: nobody writes.
    pub(super) fn give_back(&self) {
        self.garbage.drain();
        self.memory.trim(0);
        self.rebalance();
    }

    /// Databases whose sealed generations are larger are flushed first.
    pub(super) fn has_larger_debt(&self, than: u64) -> bool {
        let would_be_flushed =
            |db: &Arc<Db>| db.can_flush() && db.may_try() && db.flushes.has_room();
        self.shared.list().iter().any(|db| db.sealed_bytes() > than && would_be_flushed(db))
    }

    /// Whether writers of any database wait for what background work does.
    pub(super) fn are_writers_delayed(&self) -> bool {
        self.shared.list().iter().any(|db| db.are_writers_delayed())
    }
}

/// The queue for retired objects.
fn garbage(os: &dyn Os) -> Garbage {
    #[cfg(test)]
    if os.is_stepped() {
        return Garbage::stepped();
    }
    let _ = os;
    Garbage::new()
}

impl Shared {
    fn list(&self) -> Vec<Arc<Db>> {
        self.databases.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn serve(&self) {
        while !self.stop.load(Ordering::Acquire) {
            let seen = self.work.load(Ordering::Acquire);
            if self.run_one() {
                continue;
            }
            self.garbage.drain();
            self.memory.trim(KEPT_LOOKS);
            let now = || self.os.monotonic_ns();
            let deadline = Deadline { at_ns: now() + IDLE_NS, now: &now };
            self.parking.wait_until(0, Some(deadline), || {
                self.work.load(Ordering::Acquire) != seen || self.stop.load(Ordering::Acquire)
            });
        }
    }

    fn run_one(&self) -> bool {
        self.garbage.drain();
        // One at a time: a long job of one database must not keep a closed one's files open.
        let mut databases: Vec<Weak<Db>> = self.databases.lock().clone();
        // Else one that always has something to do, such as blocks that its readers want, would keep
        // workers from the others.
        let first = self.first.load(Ordering::Relaxed) % databases.len().max(1);
        databases.rotate_left(first);
        for (at, db) in databases.into_iter().enumerate() {
            let Some(db) = db.upgrade() else { continue };
            // A panic in background work is a bug; it must not end the thread or the process.
            let ran = catch_unwind(AssertUnwindSafe(|| db.run_job())).unwrap_or_else(|_| {
                let text = "a bug in lsmer: background work panicked; reopen the database";
                db.poison(Error::new(ErrorKind::Internal, text));
                false
            });
            if ran {
                self.first.store(first + at + 1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.parking.notify();
        let me = std::thread::current().id();
        for thread in self.threads.get_mut().drain(..) {
            // The last reference can go on a worker itself: it ends by the flag, unjoined.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
        self.garbage.close();
    }
}

/// Limits what flush and compaction write, in bytes a second.
pub(super) struct Throttle {
    bytes_per_sec: u64,
    /// When the bytes granted so far will have been paid for, in monotonic ns. Moved forward by
    /// compare-and-swap by whoever writes; relaxed, because it guards nothing.
    paid_until_ns: AtomicU64,
    parking: Parking,
}

impl Throttle {
    fn new(bytes_per_sec: u64) -> Self {
        Self { bytes_per_sec, paid_until_ns: AtomicU64::new(0), parking: Parking::new() }
    }

    /// When all that was counted so far will have been granted.
    #[cfg(test)]
    pub(super) fn paid_until_ns(&self) -> u64 {
        self.paid_until_ns.load(Ordering::Relaxed)
    }

    /// Counts `bytes`, and waits until they may be written or `cancelled` says that nobody wants to
    /// wait.
    pub(super) fn wait(&self, os: &dyn Os, bytes: u64, cancelled: &dyn Fn() -> bool) {
        if self.bytes_per_sec == 0 || os.is_stepped() {
            return;
        }
        let now = os.monotonic_ns();
        let cost = bytes.saturating_mul(1_000_000_000) / self.bytes_per_sec;
        let until = self
            .paid_until_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
                Some(paid.max(now).saturating_add(cost))
            })
            .unwrap_or(now)
            .max(now);
        let now = || os.monotonic_ns();
        while now() < until && !cancelled() {
            let deadline = Deadline { at_ns: until.min(now() + IDLE_NS), now: &now };
            self.parking.wait_until(0, Some(deadline), || false);
        }
    }
}
