//! Background work: what is done next for one database.
//!
//! Order of urgency: pages for the mapped log, the next generation, flush, freezing, bringing new tables
//! that readers wait for into the cache and what they want of older ones, compaction, removing files, bringing others in, and when the database has been
//! idle a mark, a compaction that is not due, and giving space back. Each kind runs at most once at
//! a time but flush, of which there may be two, and compaction. While somebody writes who is not
//! delayed, one processor is left to him: then fewer long jobs run at once. A worker that finds
//! nothing sleeps until somebody wakes it.

use parking_lot::Mutex;

use super::db::{Db, OPEN};
use super::generation::Sealed;
use super::read_debt::PaidAt;
use crate::base::Result;
use crate::mem::Parking;
use crate::mem::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::mem::epoch;

/// A database is idle when nothing was written for so long.
const IDLE_NS: u64 = 100_000_000;
/// After a failure background work is tried again no sooner.
const RETRY_NS: u64 = 200_000_000;

/// Whether something is written is looked at no more often.
const LOOK_NS: u64 = 5_000_000;

/// It gives back what it holds for writers when nothing was written for so long.
const TRIM_NS: u64 = 1_000_000_000;

/// A time in which nothing is written.
#[derive(Default)]
struct Quiet {
    /// Where `visible` was when it was last seen to move.
    visible: u64,
    /// When that was.
    since_ns: u64,
    /// Whether the log has its idle mark.
    marked: bool,
}

/// Whether something is written: what workers saw last. All relaxed: hints.
#[derive(Default)]
struct Writes {
    /// When somebody looked, in monotonic ns.
    looked_ns: AtomicU64,
    /// Where `visible` was.
    visible: AtomicU64,
    /// Whether it had moved since the look before.
    moved: AtomicBool,
}

/// What runs, and what was asked for.
pub(super) struct Jobs {
    /// Held by whoever prepares a generation.
    pub(super) preparing: Mutex<()>,
    freezing: Mutex<()>,
    /// A writer waits for a first generation. Set by writers, cleared by the preparer; relaxed,
    /// because the preparer looks again whenever it is woken.
    pub(super) wanted: AtomicBool,
    /// Whether the active generation should be populated further. A hint, relaxed.
    pub(super) populate: AtomicBool,
    /// How often background work was paused and not resumed. Written by the API, read by workers.
    paused: AtomicU32,
    /// Jobs under way; counted by workers (SeqCst, before they look at the life), read by close
    /// (SeqCst, after it changed the life): either close sees the job or the job sees the close.
    running: AtomicU64,
    /// Monotonic ns before which failed work is not tried again.
    retry_at_ns: AtomicU64,
    /// Since when nothing is written, and what was done about it.
    quiet: Mutex<Quiet>,
    writes: Writes,
    /// Held by whoever removes files.
    pub(super) removing: Mutex<()>,
    /// Where `visible` was when space was last given back, or that was tried. Written by whoever
    /// does so, relaxed: a hint.
    pub(super) trimmed: AtomicU64,
    /// Where the last mark ends; written by whoever appends one. Relaxed: a hint.
    pub(super) marked: AtomicU64,
    /// Seeks that have paid for merged arrays. Written and read by whoever holds `freezing`.
    gathered_at: AtomicU64,
    /// Reads up to which all is paid and done.
    pub(super) paid_at: PaidAt,
    /// Seeks that there had been when a generation was sealed for them last. Written and
    /// read by workers, relaxed: a hint.
    pub(super) sealed_for: AtomicU64,
    /// Bytes of indexes and filters when the budget was last divided for them; written and read by
    /// workers, relaxed: a hint.
    indexed: AtomicU64,
    /// Whether the next generation that is prepared follows an idle time and is small. Set by whoever
    /// gives space back, cleared by the preparer, both under `preparing`; relaxed.
    pub(super) small_next: AtomicBool,
    /// Calls that wait until nothing is left to do. Counted by them, read when a compaction is
    /// picked; relaxed: a hint, and each wakes the workers after it counted itself.
    pub(super) idle_waiters: AtomicU32,
    /// Waiters for the end of jobs.
    pub(super) parking: Parking,
}

impl Jobs {
    /// Nothing runs.
    pub(super) fn new() -> Self {
        Self {
            preparing: Mutex::new(()),
            freezing: Mutex::new(()),
            wanted: AtomicBool::new(false),
            populate: AtomicBool::new(false),
            paused: AtomicU32::new(0),
            running: AtomicU64::new(0),
            retry_at_ns: AtomicU64::new(0),
            quiet: Mutex::default(),
            writes: Writes::default(),
            removing: Mutex::new(()),
            trimmed: AtomicU64::new(0),
            small_next: AtomicBool::new(false),
            marked: AtomicU64::new(0),
            gathered_at: AtomicU64::new(0),
            paid_at: PaidAt::default(),
            sealed_for: AtomicU64::new(0),
            indexed: AtomicU64::new(0),
            idle_waiters: AtomicU32::new(0),
            parking: Parking::new(),
        }
    }

    /// Whether flush and compaction are held back.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire) > 0
    }

    /// Holds flush and compaction back, once more.
    pub(super) fn pause(&self) {
        self.paused.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes one pause back; without one it does nothing.
    pub(super) fn resume(&self) {
        let _ = self
            .paused
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |paused| paused.checked_sub(1));
    }

    /// Jobs under way.
    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::SeqCst)
    }
}

/// Counts a job while it runs.
pub(super) struct Running<'a>(&'a Jobs);

impl<'a> Running<'a> {
    pub(super) fn new(jobs: &'a Jobs) -> Self {
        jobs.running.fetch_add(1, Ordering::SeqCst);
        Self(jobs)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.parking.notify();
    }
}

impl Db {
    /// Does one piece of background work. False when there was none.
    pub(super) fn run_job(&self) -> bool {
        let running = Running::new(&self.jobs);
        let did = self.is_live() && self.run_one_job();
        if !did && self.life.load(Ordering::Acquire) == OPEN {
            self.balance();
        }
        drop(running);
        did
    }

    /// Takes from the cache what readers have loaded of indexes and filters since the last look.
    fn balance(&self) {
        let bytes = self.tables.memory_bytes();
        if self.jobs.indexed.swap(bytes, Ordering::Relaxed) != bytes {
            self.env.rebalance();
        }
    }

    fn run_one_job(&self) -> bool {
        if self.short_job() {
            return true;
        }
        let beside = self.is_written() && !self.env.are_writers_delayed();
        let Some(_job) = self.env.long_job(beside) else { return self.obsolete_job() };
        if self.flush_job() || self.freeze_job() || self.warm_job(false) || self.warm_wanted_job() {
            return true;
        }
        let may_work = self.may_try() && !self.jobs.is_paused();
        if may_work && (self.attempt(self.seal_for_scans()) || self.compaction_job()) {
            return true;
        }
        self.obsolete_job()
            || (self.nobody_writes() && self.warm_job(true))
            || self.trim_job()
            || self.idle_job()
    }

    /// What writers wait for.
    pub(super) fn urgent_job(&self) -> bool {
        self.short_job() || self.flush_job()
    }

    fn short_job(&self) -> bool {
        self.populate_job()
            || (self.wants_generation()
                && self.may_try()
                && self.poison.check().is_ok()
                && self.attempt(self.prepare_next()))
    }

    fn flush_job(&self) -> bool {
        self.may_try()
            && self.can_flush()
            && !self.env.has_larger_debt(self.sealed_bytes())
            && self.attempt(self.flush_oldest())
    }

    /// Whether writers wait for what background work does.
    pub(super) fn are_writers_delayed(&self) -> bool {
        self.debt() > 0
            || self.jobs.wanted.load(Ordering::Relaxed)
            || self.jobs.idle_waiters.load(Ordering::Relaxed) > 0
    }

    /// Whether something was written lately.
    fn is_written(&self) -> bool {
        let now = self.env.os.monotonic_ns();
        let writes = &self.jobs.writes;
        if now >= writes.looked_ns.load(Ordering::Relaxed) + LOOK_NS {
            let visible = self.visible().0;
            let moved = writes.visible.swap(visible, Ordering::Relaxed) != visible;
            writes.moved.store(moved, Ordering::Relaxed);
            writes.looked_ns.store(now, Ordering::Relaxed);
        }
        writes.moved.load(Ordering::Relaxed)
    }

    /// What a long job does every few hundred entries: the little things that writers will wait for,
    /// when all workers may be in long jobs. Does not flush or compact.
    pub(super) fn between_entries(&self) {
        // With one stepped thread nobody writes meanwhile.
        if self.env.os.is_stepped() {
            return;
        }
        while self.short_job() {}
    }

    fn wants_generation(&self) -> bool {
        if self.has_next() {
            return false;
        }
        let guard = epoch::pin();
        self.jobs.wanted.load(Ordering::Relaxed) || self.state.load(&guard).active.nears_its_end()
    }

    /// Whether a sealed generation may be flushed now.
    pub(super) fn can_flush(&self) -> bool {
        if self.jobs.is_paused() || self.poison.check().is_err() {
            return false;
        }
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        state.sealed.last().is_some_and(|sealed| {
            // What recovery left in memory waits until something newer is flushed as well.
            sealed.end() <= self.visible()
                && (state.sealed.len() > 1 || matches!(sealed, Sealed::Generation(_)))
        })
    }

    fn freeze_job(&self) -> bool {
        let Some(_one) = self.jobs.freezing.try_lock() else { return false };
        let active = {
            let guard = epoch::pin();
            std::sync::Arc::clone(&self.state.load(&guard).active)
        };
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        if active.memtable.freeze_step(horizon, &snapshots, horizon) {
            return true;
        }
        let seeks = self.seeks();
        let unspent = seeks.saturating_sub(self.jobs.gathered_at.load(Ordering::Relaxed));
        let gathered = active.memtable.gather_step(unspent, &snapshots, horizon);
        if gathered {
            self.jobs.gathered_at.store(seeks, Ordering::Relaxed);
        }
        gathered
    }

    /// Whether somebody waits for the end of all work, or nothing was written for a while.
    fn nobody_writes(&self) -> bool {
        if self.jobs.idle_waiters.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let quiet = self.jobs.quiet.lock();
        quiet.marked && quiet.visible == self.visible().0
    }

    /// Turns the outcome of a job into "something was done", and holds failures back for a while.
    pub(super) fn attempt(&self, outcome: Result<bool>) -> bool {
        outcome.unwrap_or_else(|_| {
            // Whoever failed has logged it and kept it for those who wait.
            let retry = self.env.os.monotonic_ns() + RETRY_NS;
            self.jobs.retry_at_ns.store(retry, Ordering::Relaxed);
            false
        })
    }

    pub(super) fn may_try(&self) -> bool {
        let at = self.jobs.retry_at_ns.load(Ordering::Relaxed);
        at == 0 || self.env.os.monotonic_ns() >= at
    }

    /// Forgets that something failed: the caller wants it tried now.
    pub(super) fn retry_now(&self) {
        self.jobs.retry_at_ns.store(0, Ordering::Relaxed);
    }

    /// When nothing was written for a while: sync, then a mark that proves it, then sync that. Later
    /// space is given back.
    fn idle_job(&self) -> bool {
        if self.env.os.is_stepped() || self.life.load(Ordering::Acquire) != OPEN {
            return false;
        }
        let visible = self.visible().0;
        let now = self.env.os.monotonic_ns();
        {
            let mut quiet = self.jobs.quiet.lock();
            if quiet.visible != visible {
                *quiet = Quiet { visible, since_ns: now, marked: false };
                return false;
            }
            if quiet.marked {
                let is_long = now >= quiet.since_ns + TRIM_NS;
                drop(quiet);
                if is_long {
                    self.clear_shelf();
                }
                return is_long && self.may_try() && self.trim_due() && self.trim();
            }
            if now < quiet.since_ns + IDLE_NS {
                return false;
            }
            quiet.marked = true;
        }
        // Left iterators hold memory of the active generation.
        self.spare.clear();
        let _ = self.mark();
        self.jobs.quiet.lock().visible = self.visible().0;
        self.may_try() && !self.jobs.is_paused() && self.quiet_job()
    }
}
