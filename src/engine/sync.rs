//! The log leader: whoever holds the token writes out and syncs for everybody.
//!
//! One leader at a time per database, because the system reports a failed write-back once per
//! descriptor: two syncs in flight could lose it. The leader stores a failure as the standing
//! cause *before* he passes the token, and nobody acknowledges without reading the cause again.

use std::sync::Arc;

use super::db::Db;
use super::generation::{Generation, Sealed};
use super::wait::SPIN_NS;
use crate::base::mutant::mutant;
use crate::base::{Error, ErrorKind, Lsn, Result};
use crate::mem::Parking;
use crate::mem::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::mem::epoch;

/// Most bytes that the leader stages for one `pwrite`.
const STAGING_BYTES: u64 = 1 << 20;

/// Bytes of log space that the leader initialises at once.
const ZERO_BYTES: u64 = 256 << 10;

/// A leader waits for the company of the last sync for at most this part of what that took,
const PATIENCE: u64 = 2;
/// or of this many ns, if it took longer.
const SLOW_SYNC_NS: u64 = 1_000_000;

/// The right to lead: held by one thread at a time.
pub(super) struct Leader {
    /// Calls that came to wait for a sync. Counted by them, read by the leader; relaxed: it only
    /// says for whom a short wait pays.
    arrived: AtomicU64,
    /// Taken by compare-and-swap (acquire) and given back by a store (release) that publishes what
    /// the leader did; waiters look at it (acquire) to see that somebody must lead anew.
    busy: AtomicBool,
}

impl Leader {
    /// Nobody leads.
    pub(super) fn new() -> Self {
        Self { arrived: AtomicU64::new(0), busy: AtomicBool::new(false) }
    }

    /// Returns when `reached` is at `end`. Whoever finds no leader calls `lead` itself, which moves
    /// `reached` for everybody or sets the cause that `sound` then returns.
    pub(super) fn ride(
        &self,
        reached: &AtomicU64,
        end: u64,
        sound: impl Fn() -> Result<()>,
        lead: impl Fn() -> Result<()>,
        wait: impl Fn(&dyn Fn() -> bool) -> Result<()>,
        notify: impl Fn(),
    ) -> Result<()> {
        let is_done = || reached.load(Ordering::Acquire) >= end;
        loop {
            if is_done() {
                return Ok(());
            }
            sound()?;
            let free =
                self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                let led = if is_done() { Ok(()) } else { lead() };
                self.busy.store(false, Ordering::Release);
                notify();
                led?;
            } else {
                let busy = || self.busy.load(Ordering::Acquire);
                wait(&|| is_done() || !busy() || sound().is_err())?;
            }
        }
    }
}

/// Ends a sync, before the token is passed: a failure becomes the standing cause by `poison`; else,
/// if `sound` knows of none, `reached` moves to `target` for everybody (invariant W2).
pub(super) fn settle(
    outcome: Result<()>,
    reached: &AtomicU64,
    target: Lsn,
    poison: impl FnOnce(Error),
    sound: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if let Err(cause) = outcome {
        if !mutant("failed_sync_forgotten") {
            poison(cause.clone());
        }
        return Err(cause);
    }
    sound()?;
    reached.fetch_max(target.0, Ordering::AcqRel);
    Ok(())
}

/// What one leader leaves to the next.
#[derive(Default)]
pub(super) struct Staging {
    /// The log's image of a piece of the arena.
    bytes: Vec<u8>,
    company: Company,
}

/// Who is expected to ride the next sync.
#[derive(Default)]
struct Company {
    /// Calls that had arrived when the last sync began: it took all of them.
    taken: u64,
    /// When so many have arrived, those who rode the last sync are back with their next writes.
    expected: u64,
    /// How long to wait for them at most.
    patience_ns: u64,
}

impl Company {
    /// A sync that took `taken` calls, of which all had arrived, ends after `sync_ns`; `arrived` have by
    /// now.
    fn end_round(&mut self, taken: u64, arrived: u64, sync_ns: u64) {
        let riders = taken.saturating_sub(self.taken);
        self.taken = taken;
        // A lone rider leads as soon as he is back.
        self.expected = arrived + riders;
        self.patience_ns = sync_ns.min(SLOW_SYNC_NS) / PATIENCE;
    }
}

impl Db {
    /// Waits until everything below `end` is in the log.
    pub(super) fn ensure_logged(&self, end: Lsn) -> Result<()> {
        let how = (&self.log_parking, SPIN_NS);
        self.ride(&self.logged, end, how, |staging| self.write_out(staging).map(|_| ()))
    }

    /// Waits until everything below `end` is durable.
    pub(super) fn ensure_synced(&self, end: Lsn) -> Result<()> {
        {
            let guard = epoch::pin();
            self.state.load(&guard).active.note_sync();
        }
        self.log_leader.arrived.fetch_add(1, Ordering::Relaxed);
        // A sync takes many times what parking and waking cost.
        let how = (&self.sync_parking, 0);
        self.ride(&self.synced, end, how, |staging| self.lead_sync(staging))
    }

    /// Makes everything up to `up_to` durable, and returns the position below which all is. Zero
    /// is everything that is visible now.
    pub(crate) fn sync(&self, up_to: Lsn) -> Result<Lsn> {
        self.check_writable()?;
        let visible = self.visible();
        if up_to > visible {
            return Err(Error::invalid(format!("nothing is written at {up_to} yet")));
        }
        let target = if up_to == Lsn(0) { visible } else { up_to };
        self.ensure_synced(target)?;
        Ok(self.synced())
    }

    /// Leads when nobody does, else waits for whoever leads, until `reached` is at `end`.
    fn ride(
        &self,
        reached: &AtomicU64,
        end: Lsn,
        (parking, spin_ns): (&Parking, u64),
        lead: impl Fn(&mut Staging) -> Result<()>,
    ) -> Result<()> {
        self.log_leader.ride(
            reached,
            end.0,
            || self.poison.check(),
            || lead(&mut self.staging.lock()),
            |done| self.wait_spinning(spin_ns, parking, None, done),
            || {
                self.sync_parking.notify();
                self.log_parking.notify();
            },
        )
    }

    /// As the leader: brings everything visible into the log. Returns up to where.
    pub(super) fn write_out(&self, staging: &mut Staging) -> Result<Lsn> {
        let (generations, target) = self.log_generations();
        for generation in &generations {
            if let Err(error) = self.write_out_one(generation, target, staging) {
                let error = error.during("the log could not be written");
                self.poison(error.clone());
                self.log_parking.notify();
                return Err(error);
            }
        }
        self.logged.fetch_max(target.0, Ordering::AcqRel);
        self.log_parking.notify();
        Ok(target)
    }

    fn write_out_one(
        &self,
        generation: &Generation,
        target: Lsn,
        staging: &mut Staging,
    ) -> Result<()> {
        let Some(segment) = generation.segment.as_ref().filter(|s| !s.is_mapped()) else {
            return Ok(());
        };
        let base = generation.base();
        let mut from = Lsn(self.logged.load(Ordering::Acquire)).max(base);
        let to = generation.memtable.sealed_at().map_or(target, |end| end.min(target));
        if from >= to {
            return Ok(());
        }
        if from == base {
            generation.store_place()?;
        }
        while from < to {
            staging.bytes.clear();
            let place = from.0 - base.0;
            let end = generation.memtable.piece_end(place, to.0 - base.0, STAGING_BYTES);
            if end == place {
                let text = format!("nothing lies at {from}, which is visible");
                return Err(Error::new(ErrorKind::Internal, text));
            }
            generation.memtable.copy_log_image(place, end, segment.salt(), &mut staging.bytes)?;
            segment.write_at(place, &staging.bytes)?;
            from = base.plus(end);
        }
        Self::zero_ahead(generation, to.0 - base.0)
    }

    /// Keeps space ahead of `place` initialised where commits are synced: a sync then need not
    /// also record that the file system's extents hold data now.
    fn zero_ahead(generation: &Generation, place: u64) -> Result<()> {
        let Some(segment) = generation.segment.as_ref() else { return Ok(()) };
        let zeroed = generation.zeroed.load(Ordering::Relaxed).max(place);
        let capacity = generation.memtable.capacity_bytes();
        let wanted = generation.saw_sync.load(Ordering::Relaxed) && zeroed < capacity;
        if !wanted || place + ZERO_BYTES / 4 < zeroed {
            return Ok(());
        }
        let to = (zeroed + ZERO_BYTES).min(capacity);
        segment.zero_ahead(zeroed, to)?;
        generation.zeroed.store(to, Ordering::Relaxed);
        Ok(())
    }

    fn lead_sync(&self, staging: &mut Staging) -> Result<()> {
        self.await_company(&staging.company);
        let taken = self.log_leader.arrived.load(Ordering::Relaxed);
        let target = self.write_out(staging)?;
        let begun = self.env.os.monotonic_ns();
        let outcome = self.sync_segments(target);
        let sync_ns = self.env.os.monotonic_ns() - begun;
        staging.company.end_round(taken, self.log_leader.arrived.load(Ordering::Relaxed), sync_ns);
        let outcome = outcome.map_err(|error| error.during("the log could not be made durable"));
        settle(outcome, &self.synced, target, |cause| self.poison(cause), || self.poison.check())?;
        Ok(())
    }

    /// Lets those who rode the last sync come back with their next writes: if each sync began with
    /// the first of them, the others would need one of their own.
    fn await_company(&self, company: &Company) {
        let arrived = || self.log_leader.arrived.load(Ordering::Relaxed);
        if arrived() >= company.expected || self.env.os.is_stepped() {
            return;
        }
        let until = self.env.os.monotonic_ns() + company.patience_ns;
        while arrived() < company.expected && self.env.os.monotonic_ns() < until {
            std::thread::yield_now();
        }
    }

    /// Makes every segment durable up to `target`, oldest first.
    fn sync_segments(&self, target: Lsn) -> Result<()> {
        let from = self.synced();
        let (generations, _) = self.log_generations();
        for generation in &generations {
            let Some(segment) = &generation.segment else { continue };
            let base = generation.base();
            let end = generation.memtable.sealed_at().map_or(target, |end| end.min(target));
            if end <= from || base >= target {
                continue;
            }
            if mutant("sync_newest_only") && end < target {
                continue;
            }
            segment.sync(from.0.saturating_sub(base.0), end.0 - base.0)?;
            self.counters.syncs.add(1);
        }
        Ok(())
    }

    /// The generations that are not in tables, oldest first, and how far they are visible.
    fn log_generations(&self) -> (Vec<Arc<Generation>>, Lsn) {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        // The state before `visible`: what is above the end of this state's active generation
        // belongs to a generation that we do not see.
        let visible = self.visible();
        let mut generations: Vec<_> = state
            .sealed
            .iter()
            .rev()
            .filter_map(|sealed| match sealed {
                Sealed::Generation(generation) => Some(Arc::clone(generation)),
                Sealed::Replayed(_) => None,
            })
            .collect();
        let target = state.active.memtable.sealed_at().map_or(visible, |end| end.min(visible));
        generations.push(Arc::clone(&state.active));
        (generations, target)
    }

    /// Up to where a record that goes into `generation` now may say that the log is complete.
    pub(super) fn logged_position(&self, generation: &Generation) -> Lsn {
        let logged = self.logged.load(Ordering::Acquire);
        if generation.is_mapped() && logged >= generation.base().0 {
            return self.visible();
        }
        Lsn(logged)
    }
}
