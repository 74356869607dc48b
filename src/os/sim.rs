//! A machine without time or chance of its own, for tests.
//!
//! The clock is set by the test, and moves a little whenever it is read, so that a loop that waits
//! for a moment ends. Randomness comes from a seed. Background work is stepped, unless the machine
//! was made by [`SimOs::with_threads`]. Any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::Os;
use crate::base::{Error, ErrorKind, Result};

/// What the clock says when the machine is made: 2020-09-13, in milliseconds since 1970.
const FIRST_UNIX_MS: u64 = 1_600_000_000_000;
/// The process id, unless the test chooses another.
const PROCESS_ID: u32 = 4711;

/// A simulated machine. Two with the same seed and the same calls give the same answers.
#[derive(Debug)]
pub(crate) struct SimOs {
    // The atomics are words of their own; tests that share them between threads order nothing by
    // them, so every access is relaxed.
    monotonic_ns: AtomicU64,
    tick_ns: AtomicU64,
    unix_ms: AtomicU64,
    random: AtomicU64,
    boot_id: u128,
    is_stepped: bool,
}

impl SimOs {
    /// A machine on one thread. `boot_id` comes from the simulated disk, which knows whether power
    /// was lost.
    pub(crate) fn new(seed: u64, boot_id: u128) -> Self {
        Self {
            monotonic_ns: AtomicU64::new(1),
            tick_ns: AtomicU64::new(1_000),
            unix_ms: AtomicU64::new(FIRST_UNIX_MS),
            random: AtomicU64::new(seed),
            boot_id,
            is_stepped: true,
        }
    }

    /// The same with real threads: nothing is repeatable then but the clock and randomness.
    pub(crate) fn with_threads(seed: u64, boot_id: u128) -> Self {
        Self { is_stepped: false, ..Self::new(seed, boot_id) }
    }

    /// Moves both clocks forward by `ns` nanoseconds.
    pub(crate) fn advance_ns(&self, ns: u64) {
        self.monotonic_ns.fetch_add(ns, Ordering::Relaxed);
        self.unix_ms.fetch_add(ns / 1_000_000, Ordering::Relaxed);
    }

    /// Sets the wall clock alone, to any time: wall clocks jump.
    pub(crate) fn set_unix_ms(&self, unix_ms: u64) {
        self.unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// How far each reading moves the monotonic clock, in nanoseconds; 1,000 at first.
    pub(crate) fn set_tick_ns(&self, tick_ns: u64) {
        self.tick_ns.store(tick_ns, Ordering::Relaxed);
    }
}

impl Os for SimOs {
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.fetch_add(self.tick_ns.load(Ordering::Relaxed), Ordering::Relaxed)
    }

    fn unix_ms(&self) -> u64 {
        self.unix_ms.load(Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        // SplitMix64: a counter, then a mixing of its bits.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.random.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn boot_id(&self) -> u128 {
        self.boot_id
    }

    /// So little that databases of many times their budget are read past the page cache, but for a
    /// small part.
    fn memory_bytes(&self) -> u64 {
        80 << 10
    }

    fn process_id(&self) -> u32 {
        PROCESS_ID
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>> {
        if self.is_stepped {
            let text = format!("thread `{name}` started on a machine that steps its work");
            return Err(Error::new(ErrorKind::Internal, text));
        }
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        spawned.map_err(|cause| Error::io("start thread", std::path::Path::new(name), &cause))
    }

    fn processors(&self) -> usize {
        2
    }

    fn is_stepped(&self) -> bool {
        self.is_stepped
    }
}
