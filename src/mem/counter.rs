//! Event counters that threads add to without sharing a cache line, and without a locked
//! instruction: those hold back every load behind them.
//!
//! A thread owns a shard of every counter while it lives; those that find none free share the last
//! one.

use std::cell::Cell;

use crossbeam_utils::CachePadded;

use super::atomic::{AtomicU64, Ordering};

/// Shards of threads.
pub(crate) const SHARDS: usize = 16;
/// The shard that any thread may add to.
const SHARED: usize = SHARDS - 1;

/// Counts events, spread over shards by thread.
#[derive(Default)]
pub(crate) struct Counter {
    /// Added to by the thread that owns the shard, by load and store; the last one by all others,
    /// by fetch-add. Summed by readers; relaxed, because a statistic orders nothing.
    shards: [CachePadded<AtomicU64>; SHARDS],
}

/// The shard of this thread.
#[inline]
pub(crate) fn shard() -> usize {
    if OWN.get() == UNKNOWN {
        owner::find();
    }
    OWN.get()
}

impl Counter {
    /// Counts `n` events. Returns how many this thread and those of its shard had counted before.
    #[inline]
    pub(crate) fn add(&self, n: u64) -> u64 {
        let own = shard();
        let shard = &self.shards[own.min(SHARED)];
        if own < SHARED {
            let before = shard.load(Ordering::Relaxed);
            shard.store(before + n, Ordering::Relaxed);
            before
        } else {
            shard.fetch_add(n, Ordering::Relaxed)
        }
    }

    /// Events so far.
    pub(crate) fn get(&self) -> u64 {
        self.shards.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}

/// The thread has not looked for a shard yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// The thread's shard. Has no destructor, so reading it never fails.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// Who owns which shard. Statics cannot be loom's: there all threads share one.
mod owner {
    use super::{Cell, OWN, SHARED};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Shards that a thread owns. Taken by swap (acquire), given back by a release store, so that
    /// the next owner sees what the last one counted.
    static TAKEN: [AtomicBool; SHARED] = [const { AtomicBool::new(false) }; SHARED];

    /// Gives the thread's shard back when the thread ends.
    struct Owner(usize);

    impl Drop for Owner {
        fn drop(&mut self) {
            OWN.set(SHARED);
            TAKEN[self.0].store(false, Ordering::Release);
        }
    }

    thread_local! {
        /// Filled together with `OWN`, for its destructor.
        static OWNER: Cell<Option<Owner>> = const { Cell::new(None) };
    }

    /// Gives the thread a free shard, or the shared one.
    #[cold]
    pub(super) fn find() {
        OWN.set(SHARED);
        if cfg!(loom) {
            return;
        }
        let free = |at: &usize| !TAKEN[*at].swap(true, Ordering::Acquire);
        let Some(at) = (0..SHARED).find(free) else { return };
        let owner = Owner(at);
        // A thread that is being torn down has no place for it: the shard is given back at once.
        if OWNER.try_with(|place| place.set(Some(owner))).is_ok() {
            OWN.set(at);
        }
    }
}
