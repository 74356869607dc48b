//! Event counters that threads add to without sharing a cache line.

use crossbeam_utils::CachePadded;

use super::atomic::{AtomicU64, Ordering};

/// Shards of threads.
pub(crate) const SHARDS: usize = 8;

/// Counts events, spread over shards by thread.
#[derive(Default)]
pub(crate) struct Counter {
    /// Added to by the threads of a shard, summed by readers; relaxed, because a statistic orders
    /// nothing.
    shards: [CachePadded<AtomicU64>; SHARDS],
}

/// Gives threads their shards in turn; relaxed, any distribution is correct.
static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

thread_local! {
    static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// The shard of this thread.
#[inline]
pub(crate) fn shard() -> usize {
    // A thread that is being torn down has no shard of its own any more.
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

impl Counter {
    /// Counts `n` events. Returns how many this thread and those of its shard had counted before.
    #[inline]
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.shards[shard()].fetch_add(n, Ordering::Relaxed)
    }

    /// Events so far.
    pub(crate) fn get(&self) -> u64 {
        self.shards.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}
