//! Event counters that threads add to without sharing a cache line, and without a locked
//! instruction: those hold back every load behind them.
//!
//! A thread owns a shard of every counter while it lives; those that find none free share the last
//! one.

use std::cell::Cell;

use crossbeam_utils::CachePadded;

use super::atomic::{AtomicU64, Ordering};

const SHARDS: usize = 16;
/// The shard that any thread may add to.
const SHARED: usize = SHARDS - 1;

/// Counts events, spread over shards by thread.
#[derive(Default)]
pub(crate) struct Counter {
    /// Added to by the thread that owns the shard, by load and store; the last one by all others,
    /// by fetch-add. Summed by readers; relaxed, because a statistic orders nothing.
    shards: [CachePadded<AtomicU64>; SHARDS],
}

impl Counter {
    /// Counts `n` events.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        let own = OWN.get();
        if own < SHARED {
            let shard = &self.shards[own];
            shard.store(shard.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        } else {
            self.add_shared(n, own);
        }
    }

    #[cold]
    fn add_shared(&self, n: u64, own: usize) {
        if own == UNKNOWN && owner::find() {
            return self.add(n);
        }
        self.shards[SHARED].fetch_add(n, Ordering::Relaxed);
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

    /// Looks for a free shard and tells whether there was one.
    pub(super) fn find() -> bool {
        OWN.set(SHARED);
        if cfg!(loom) {
            return false;
        }
        let free = |at: &usize| !TAKEN[*at].swap(true, Ordering::Acquire);
        let Some(at) = (0..SHARED).find(free) else { return false };
        let owner = Owner(at);
        // A thread that is being torn down has no place for it: the shard is given back at once.
        let kept = OWNER.try_with(|place| place.set(Some(owner))).is_ok();
        if kept {
            OWN.set(at);
        }
        kept
    }
}
