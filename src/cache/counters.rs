//! Counters that a hot path can afford: one stripe a thread, no read-modify-write.
//!
//! Two threads on one stripe may lose a count now and then. Nothing but statistics reads them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Stripes of one count.
pub(super) const STRIPES: usize = 16;

/// Gives every new thread the next stripe. Relaxed: only the number matters.
static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// One count, spread over cache lines.
#[derive(Default)]
pub(super) struct Counter {
    stripes: [Stripe; STRIPES],
}

/// Written by the threads of this stripe, read by anybody; relaxed, nothing depends on it.
#[derive(Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub(super) fn add(&self) {
        let stripe = &self.stripes[stripe()].0;
        stripe.store(stripe.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub(super) fn get(&self) -> u64 {
        self.stripes.iter().map(|s| s.0.load(Ordering::Relaxed)).sum()
    }
}

/// The stripe of this thread, below [`STRIPES`].
#[inline]
pub(super) fn stripe() -> usize {
    // A thread that is being torn down counts on the first stripe.
    STRIPE
        .try_with(|cell| {
            if cell.get() == usize::MAX {
                cell.set(NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES);
            }
            cell.get() % STRIPES
        })
        .unwrap_or(0)
}
