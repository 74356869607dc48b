//! Back-pressure without a cliff: a delay for each byte written that grows with the debt.
//!
//! Debt is unflushed bytes against the budget for write buffers, level-0 sections, and bytes that
//! compaction owes. The delay is paced over all writers by one clock, so that short writes are not
//! rounded up to the shortest sleep. `Busy` instead of a wait where the writer asked for it.

use super::commit::WriteOptions;
use super::db::Db;
use crate::base::{Error, ErrorKind, Result};
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::mem::{Deadline, Parking, epoch};

/// Level-0 sections of one keyspace at which delay begins, and at which it is full.
const SECTIONS: (u64, u64) = (24, 80);
/// So many generations may wait for their flush without delay: two are written at once. More would
/// be memory that is touched for the first time, which costs more than it spares.
const GENERATIONS: u64 = 2;
/// But not more than this part of the budget for write buffers, in percent; at 100 delay is full.
const BUFFERS_PERCENT: u64 = 60;
/// Values that are in sealed logs only, as multiples of the write buffer, at which delay is full.
const VALUE_BUFFERS: u64 = 8;
/// Bytes owed by compaction, as multiples of the write buffer.
const OWED_BUFFERS: (u64, u64) = (64, 256);
/// Nanoseconds for each KiB at full delay: about 8 MB/s.
const FULL_NS_PER_KIB: u64 = 125_000;
/// Pacing sleeps only when it is behind by this much, so that sleeps are rare and not too short.
const SLICE_NS: u64 = 200_000;
/// Longest single wait.
const WAIT_NS_MAX: u64 = 50_000_000;
/// Fixed point of the debt: this is full.
const FULL: u64 = 1024;

/// The present delay and its clock.
pub(super) struct Stall {
    /// Debt from 0 to `FULL`; written by whoever changes the tree, read by every writer. A hint,
    /// so relaxed.
    debt: AtomicU64,
    /// When the bytes admitted so far are paid for, in monotonic ns; moved forward by writers.
    paid_until_ns: AtomicU64,
    /// Nanoseconds that writers waited; for statistics.
    pub(super) waited_ns: AtomicU64,
    parking: Parking,
}

impl Stall {
    /// No debt.
    pub(super) fn new() -> Self {
        Self {
            debt: AtomicU64::new(0),
            paid_until_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            parking: Parking::new(),
        }
    }
}

/// How far `value` lies between the bounds, in 1/1024; 0 below, may exceed `FULL` above.
fn part(value: u64, (from, to): (u64, u64)) -> u64 {
    value.saturating_sub(from).saturating_mul(FULL) / to.saturating_sub(from).max(1)
}

impl Db {
    /// Waits as long as the debt asks for `bytes` more.
    ///
    /// # Errors
    /// `Busy` with `no_stall` at full debt, `Timeout` when the deadline is shorter than the delay.
    #[inline]
    pub(super) fn stall(&self, bytes: u64, options: &WriteOptions) -> Result<()> {
        let debt = self.stall.debt.load(Ordering::Relaxed);
        if debt == 0 { Ok(()) } else { self.stall_slow(debt, bytes, options) }
    }

    #[cold]
    fn stall_slow(&self, debt: u64, bytes: u64, options: &WriteOptions) -> Result<()> {
        if options.no_stall {
            if debt >= FULL {
                return Err(Error::new(ErrorKind::Busy, "the write would stall: too much debt"));
            }
            return Ok(());
        }
        let os = &*self.env.os;
        if os.is_stepped() || self.jobs.is_paused() {
            return Ok(());
        }
        // Squared: gentle at first, without a cliff.
        let rate = FULL_NS_PER_KIB * debt.min(FULL) * debt.min(FULL) / (FULL * FULL);
        let cost = rate * bytes / 1024;
        let now = os.monotonic_ns();
        let before = self
            .stall
            .paid_until_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| Some(paid.max(now) + cost))
            .unwrap_or(now);
        let until = before.max(now) + cost;
        if until < now + SLICE_NS {
            return Ok(());
        }
        let until = until.min(now + WAIT_NS_MAX);
        if options.deadline_ns != 0 && until - now > options.deadline_ns {
            return Err(Error::new(
                ErrorKind::Timeout,
                "the write would stall beyond its deadline",
            ));
        }
        let clock = || os.monotonic_ns();
        let deadline = Deadline { at_ns: until, now: &clock };
        self.stall.parking.wait_until(0, Some(deadline), || self.check_writable().is_err());
        self.stall.waited_ns.fetch_add(os.monotonic_ns() - now, Ordering::Relaxed);
        Ok(())
    }

    /// Measures the debt anew; called after every change of the tree.
    pub(super) fn update_stall(&self) {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        let sections = state.version.level0_load_max() as u64;
        let owed = state.version.debt_bytes(&self.level_sizes());
        drop(guard);
        let buffers = self.env.buffers.limit();
        let buffer = self.options.write_buffer_bytes;
        let generation = self.generation_bytes();
        // The active generation and the prepared one are always in use.
        let (unflushed, values) = self.sealed_parts();
        let values_max = self.values_max();
        let room = buffers.saturating_sub(2 * generation).max(buffer);
        let begin = (GENERATIONS * generation).min(room * BUFFERS_PERCENT / 100);
        let debt = part(sections, SECTIONS)
            .max(part(owed, (OWED_BUFFERS.0 * buffer, OWED_BUFFERS.1 * buffer)))
            .max(part(unflushed, (begin, room.min(begin + 2 * buffer))))
            .max(part(values, (values_max / 2, values_max)));
        let before = self.stall.debt.swap(debt.min(FULL), Ordering::Relaxed);
        if before == 0 && debt > 0 {
            // More of them may work now.
            self.env.wake_workers();
        }
    }

    /// Bytes of log that wait for their flush.
    pub(super) fn sealed_bytes(&self) -> u64 {
        let guard = epoch::pin();
        self.state.load(&guard).sealed.iter().map(super::generation::Sealed::bytes).sum()
    }

    /// Bytes of memory, and bytes of values in logs only, that wait for their flush.
    fn sealed_parts(&self) -> (u64, u64) {
        let guard = epoch::pin();
        let sealed = &self.state.load(&guard).sealed;
        let add = |(memory, values), sealed: &super::generation::Sealed| {
            (memory + sealed.memory_bytes(), values + sealed.value_bytes())
        };
        sealed.iter().fold((0, 0), add)
    }

    /// So many bytes of values may be in logs only and wait for their flush; from half of them on
    /// writers are delayed.
    pub(super) fn values_max(&self) -> u64 {
        let buffer = self.options.write_buffer_bytes;
        buffer.saturating_mul(VALUE_BUFFERS).min(self.env.values.limit()).max(1)
    }

    /// The present debt in 1/1024 of what delays fully.
    pub(super) fn debt(&self) -> u64 {
        self.stall.debt.load(Ordering::Relaxed)
    }
}
