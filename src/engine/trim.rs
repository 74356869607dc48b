//! Giving back what an idle database holds for writers who do not come.
//!
//! 1. The prepared successor is exchanged for a small one, and its log is removed; an unused
//!    generation that has none gets a small one.
//! 2. An active generation into which nothing was written is sealed like any other; the small one
//!    follows it, and an ordinary flush removes its log.
//! 3. Logs that were kept to be used again are removed.
//!
//! A prepared successor is only ever exchanged for another, with all its space allocated, so nothing
//! changes for writers but that the first two generations are small; those behind them are as before.

use std::sync::Arc;

use super::db::Db;
use super::generation::{self, Generation, Next};
use super::prepare::Form;
use crate::base::Result;
use crate::mem::atomic::Ordering;
use crate::mem::epoch;

/// Bytes of a generation that an idle database may keep; it keeps two.
const IDLE_CAPACITY: u64 = 256 << 10;

impl Db {
    /// Bytes of a generation that this database may keep when it is idle.
    pub(super) fn small_capacity(&self) -> u64 {
        IDLE_CAPACITY.min(self.options.write_buffer_bytes / 4) & !7
    }

    /// Whether `generation` is worth exchanging for a small one.
    fn is_large(&self, generation: &Generation) -> bool {
        generation.memtable.capacity_bytes() >= 2 * self.small_capacity()
    }

    /// Whether an idle database holds more space than it should, and nothing was tried about it
    /// since the last write.
    pub(super) fn trim_due(&self) -> bool {
        if self.jobs.is_paused()
            || self.poison.check().is_err()
            || self.jobs.trimmed.load(Ordering::Relaxed) == self.visible().0
        {
            return false;
        }
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        // What follows the empty one may follow a clean end, and says so durably.
        if active.is_empty_one() {
            return false;
        }
        let large_next = match active.next.load(&guard) {
            Next::Ready(next) => self.is_large(next),
            Next::Empty | Next::Frozen(_) | Next::Done | Next::End => false,
        };
        large_next || (active.is_unused() && self.is_large(active))
    }

    /// As a worker: gives space back while somebody waits for the end of all work.
    pub(super) fn trim_job(&self) -> bool {
        self.jobs.idle_waiters.load(Ordering::Relaxed) > 0 && self.trim_due() && self.trim()
    }

    /// Gives space back. True if that made work, such as a flush; a failure is tried again only
    /// after something was written.
    pub(super) fn trim(&self) -> bool {
        let Some(_one) = self.jobs.preparing.try_lock() else { return false };
        let visible = self.visible().0;
        let small = self.small_capacity();
        let followed = self.prepare_small().and_then(|()| self.exchange_next(small));
        let made_work = followed.is_ok() && self.seal_unused();
        // Last: whoever waits for the end of all work goes on.
        self.jobs.trimmed.store(visible, Ordering::Relaxed);
        made_work
    }

    /// For the holder of `preparing`: gives an unused large generation a small successor if it has
    /// none yet.
    fn prepare_small(&self) -> Result<()> {
        let wanted = {
            let guard = epoch::pin();
            let active = &self.state.load(&guard).active;
            active.is_unused() && self.is_large(active)
        };
        if wanted && !self.has_next() {
            self.jobs.small_next.store(true, Ordering::Relaxed);
            self.prepare_locked()?;
        }
        Ok(())
    }

    /// For the holder of `preparing`: puts a small successor in the place of a large one.
    fn exchange_next(&self, small: u64) -> Result<()> {
        let large = {
            let guard = epoch::pin();
            let active = &self.state.load(&guard).active;
            match active.next.load(&guard) {
                Next::Ready(next) if self.is_large(next) => Arc::clone(next),
                _ => return Ok(()),
            }
        };
        let Some((capacity, charge)) = self.charge(small) else { return Err(self.no_room()) };
        let ours = self.build(capacity, Form::Plain, charge)?;
        let ahead = ours.touched.load(Ordering::Relaxed);
        self.populate(&ours, (0, ahead), false);
        let unneeded = {
            let guard = epoch::pin();
            let active = &self.state.load(&guard).active;
            generation::exchange(&active.next, large, ours, &guard)
        };
        self.discard(&unneeded);
        Ok(())
    }

    /// Seals the active generation if it is large and nothing was ever reserved in it.
    fn seal_unused(&self) -> bool {
        let guard = epoch::pin();
        let active = Arc::clone(&self.state.load(&guard).active);
        if active.is_empty_one() || !self.is_large(&active) || !active.is_unused() {
            return false;
        }
        if !matches!(active.next.load(&guard), Next::Ready(next) if !self.is_large(next)) {
            return false;
        }
        // Before the seal, which lets the preparer make one more.
        self.jobs.small_next.store(true, Ordering::Relaxed);
        let sealed = self.seal(&active, active.base().0, &guard).is_ok_and(|sealed| sealed);
        // The seal is a record like any other: `visible` must pass it.
        self.advance(&guard);
        sealed
    }
}
