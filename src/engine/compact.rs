//! Compaction as the engine runs it: choose, run, install; and the calls that steer it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::db::{Db, LogLevel};
use super::prepare::PARTED_BYTES_MIN;
use super::read_debt::PAID;
use crate::base::{Error, ErrorKind, KeyspaceId, Result};
use crate::compaction::{
    self, Busy, BusyId, Context, Job, Leftover, Outcome, PickOptions, RangePick,
};
use crate::mem::epoch;
use crate::version::{LevelSizes, Version};

/// What is compacted when nothing was written for a while: what rewrites no more than a full level.
const QUIET: Leftover = Leftover { sections: 2, rewrites: 10, levels: false };
/// What is compacted when somebody waits for the end of all work: the levels above the last, too, because
/// a seek looks into each, and waits for the disk for each where tables are larger than memory.
const WAITED_FOR: Leftover = Leftover { sections: 1, levels: true, ..QUIET };
/// Sections of level 0 that start a compaction while writers are ahead of the flush: it would take a
/// processor from both, and merges more at once later. Four times as many in any case.
const LEVEL0_SECTIONS_BEHIND: usize = 10;

/// What [`Db::background`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Background {
    /// Hold flush and compaction back; what runs is finished first.
    Pause,
    /// Take one pause back.
    Resume,
    /// Wait until no flush or compaction runs or is due, obsolete files are removed, and unused
    /// space is given back.
    WaitIdle,
}

/// Which files compactions under way use.
#[derive(Default)]
pub(super) struct CompactionState {
    pub(super) busy: Busy,
    pub(super) running: Vec<Arc<AtomicBool>>,
}

/// One compaction under way.
struct Running {
    busy: BusyId,
    cancelled: Arc<AtomicBool>,
}

impl Db {
    /// As a worker: one compaction, if one is due.
    pub(super) fn compaction_job(&self) -> bool {
        let options = self.pick_options();
        // What was sealed for scans goes down with the rest.
        let waits_for_flush = self.sealed_bytes() > 0;
        if options.leftover.is_some() || waits_for_flush || !self.reads_paid(&self.version()) {
            return self.compact_some(&options);
        }
        if self.leaves_no_thread() {
            return false;
        }
        // Spent also where nothing is worth it: it is looked for again when as much is paid again.
        self.spend_reads();
        self.compact_some(&PickOptions { leftover: Some(PAID), ..options })
    }

    /// As a worker, when nothing was written for a while: a compaction that is not due but makes
    /// reads cheaper.
    pub(super) fn quiet_job(&self) -> bool {
        self.compact_some(&PickOptions { leftover: Some(QUIET), ..self.pick_options() })
    }

    fn compact_some(&self, options: &PickOptions) -> bool {
        if self.poison.check().is_err() || self.leaves_no_thread() {
            return false;
        }
        let picked = {
            let mut state = self.compaction.lock();
            let version = self.version();
            compaction::pick(&version, &state.busy, options)
                .map(|job| (self.start(&mut state, &job), job))
        };
        let Some((running, job)) = picked else { return false };
        let outcome = self.run_compaction(&job, running);
        self.attempt(outcome.map(|()| true))
    }

    /// With several threads one of them is kept for flushes.
    fn leaves_no_thread(&self) -> bool {
        let threads = self.env.options.threads as usize;
        threads > 1 && self.compaction.lock().running.len() + 1 >= threads
    }

    pub(super) fn version(&self) -> Arc<Version> {
        let guard = epoch::pin();
        Arc::clone(&self.state.load(&guard).version)
    }

    fn start(&self, state: &mut CompactionState, job: &Job) -> Running {
        let cancelled = Arc::new(AtomicBool::new(false));
        state.running.push(Arc::clone(&cancelled));
        self.counters.compactions_started.add(1);
        Running { busy: state.busy.start(job), cancelled }
    }

    fn run_compaction(&self, job: &Job, running: Running) -> Result<()> {
        let Running { busy, cancelled } = running;
        let outcome = self.run_and_install(job, &cancelled);
        {
            let mut state = self.compaction.lock();
            state.busy.finish(busy);
            state.running.retain(|other| !Arc::ptr_eq(other, &cancelled));
        }
        self.jobs.parking.notify();
        self.env.wake_workers();
        if let Err(error) = &outcome {
            if !cancelled.load(Ordering::Relaxed) && self.is_live() {
                self.log(LogLevel::Error, || format!("a compaction failed: {error}"));
                self.counters.compaction_errors.add(1);
            }
        }
        outcome
    }

    fn run_and_install(&self, job: &Job, cancelled: &Arc<AtomicBool>) -> Result<()> {
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        let Some(options) = self.keyspaces.options(job.keyspace()) else { return Ok(()) };
        let new_file = || self.new_file_number();
        let random = || self.env.os.random_u64();
        let throttle = |bytes: u64| {
            self.counters.compaction_bytes.add(bytes);
            self.throttle(bytes);
            // One thread does everything: writers must not wait for the end of a compaction.
            if self.env.options.threads == 1 {
                while self.urgent_job() {}
            }
            if !self.is_live() {
                cancelled.store(true, Ordering::Relaxed);
            }
        };
        let context = Context {
            dir: &self.dir,
            tables: &self.tables,
            new_file: &new_file,
            random: &random,
            options: &options,
            snapshots: &snapshots,
            horizon,
            cancelled,
            throttle: &throttle,
            between: &|| self.between_entries(),
        };
        let (sections, level) = (job.inputs().len(), job.output_level().0);
        self.log(LogLevel::Debug, || {
            format!("compacting {sections} sections to level {level}: {}", job.reason())
        });
        let reads = self.reads();
        let outcome = compaction::run(job, &context)?;
        self.warm_before(&outcome.outputs, reads);
        match self.install_if_current(outcome.edit.clone()) {
            Ok(true) => self.log(LogLevel::Info, || {
                let Outcome { entries_in, entries_out, bytes_out, .. } = &outcome;
                format!(
                    "compacted {sections} sections to level {level}: {entries_in} entries read, \
                     {entries_out} and {bytes_out} bytes written"
                )
            }),
            // The keyspace was dropped meanwhile.
            Ok(false) => outcome.discard(&*self.dir),
            Err(error) => {
                // Whether the edit is durable is not known when the manifest failed: then the
                // outputs stay for the next open to judge.
                if self.poison.check().is_ok() {
                    outcome.discard(&*self.dir);
                }
                return Err(error);
            }
        }
        self.counters.compactions.add(1);
        self.update_stall();
        self.env.rebalance();
        self.room_parking.notify();
        Ok(())
    }

    pub(super) fn level_sizes(&self) -> LevelSizes {
        let buffer = self.options.write_buffer_bytes;
        let level0_bytes = if buffer < PARTED_BYTES_MIN { 0 } else { 2 * buffer };
        LevelSizes { base_bytes: 4 * buffer, level0_bytes, ..LevelSizes::default() }
    }

    /// Bytes that one job takes, about.
    pub(super) fn job_bytes_max(&self) -> u64 {
        16 * self.options.write_buffer_bytes
    }

    pub(super) fn pick_options(&self) -> PickOptions {
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        let mut sizes = self.level_sizes();
        if self.can_flush() {
            sizes.level0_sections = LEVEL0_SECTIONS_BEHIND;
        }
        PickOptions {
            sizes,
            // A little less, so that places in a table of 64 MiB need one bit less in the hash index,
            // and fingerprints have one more.
            target_file_bytes: self.options.write_buffer_bytes / 16 * 15,
            job_bytes_max: self.job_bytes_max(),
            oldest: snapshots.first().copied().unwrap_or(horizon),
            // Whoever waits for the end of all work wants it all done.
            leftover: (self.jobs.idle_waiters.load(Ordering::Relaxed) > 0).then_some(WAITED_FOR),
        }
    }

    /// Compacts everything between `lo` and `hi` (none is no bound) of a keyspace to the deepest
    /// level that has data, after a flush. `deadline_ns` is relative; 0 is none.
    ///
    /// # Errors
    /// `Timeout` between jobs when the deadline has passed: what was done stays done.
    pub(crate) fn compact(
        &self,
        keyspace: KeyspaceId,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
        deadline_ns: u64,
    ) -> Result<()> {
        self.check_writable()?;
        self.keyspaces.check(keyspace)?;
        let until = if deadline_ns == 0 { None } else { self.deadline(deadline_ns) };
        self.flush()?;
        loop {
            self.check_writable()?;
            if until.is_some_and(|until| self.env.os.monotonic_ns() >= until) {
                return Err(Error::new(ErrorKind::Timeout, "the compaction ran out of time"));
            }
            let options = self.pick_options();
            let picked = {
                let mut state = self.compaction.lock();
                let version = self.version();
                match compaction::pick_range(&version, &state.busy, &options, keyspace, lo, hi) {
                    RangePick::Done => return Ok(()),
                    RangePick::Busy => None,
                    RangePick::Job(job) => Some((self.start(&mut state, &job), job)),
                }
            };
            match picked {
                Some((running, job)) => self.run_compaction(&job, running)?,
                // Somebody works on these files: when he is done we look again.
                None => self.wait_on(&self.jobs.parking, until, || {
                    self.compaction.lock().running.is_empty() || !self.is_live()
                })?,
            }
        }
    }

    /// Steers background work. `timeout_ns` bounds the wait of `Pause` and `WaitIdle`: 0 does not
    /// wait, `u64::MAX` waits for ever.
    pub(crate) fn background(&self, action: Background, timeout_ns: u64) -> Result<()> {
        self.check_writable()?;
        match action {
            Background::Pause => {
                self.jobs.pause();
                self.wait_done(timeout_ns, || self.is_quiet())
            }
            Background::Resume => {
                self.jobs.resume();
                self.env.wake_workers();
                Ok(())
            }
            Background::WaitIdle => {
                self.jobs.idle_waiters.fetch_add(1, Ordering::Relaxed);
                let done = self.wait_done(timeout_ns, || self.is_idle());
                self.jobs.idle_waiters.fetch_sub(1, Ordering::Relaxed);
                if done.is_ok() {
                    self.remove_obsolete();
                    self.env.give_back();
                }
                done
            }
        }
    }

    fn wait_done(&self, timeout_ns: u64, done: impl Fn() -> bool) -> Result<()> {
        self.env.wake_workers();
        let until = self.deadline(timeout_ns);
        let stop =
            || done() || self.background_error.lock().is_some() || self.check_writable().is_err();
        // What was done for a moment may be undone at the next look: then wait on.
        while !done() {
            self.wait_on(&self.jobs.parking, until, stop)?;
            self.check_writable()?;
            if let Some(cause) = self.background_error.lock().clone() {
                return if done() { Ok(()) } else { Err(cause) };
            }
        }
        Ok(())
    }

    /// No flush and no compaction runs.
    fn is_quiet(&self) -> bool {
        self.compaction.lock().running.is_empty() && !self.flushes.is_busy()
    }

    /// None runs or is due.
    fn is_idle(&self) -> bool {
        if !self.is_quiet() || self.can_flush() || self.trim_due() || self.is_warming() {
            return false;
        }
        let state = self.compaction.lock();
        self.jobs.is_paused()
            || compaction::pick(&self.version(), &state.busy, &self.pick_options()).is_none()
    }
}
