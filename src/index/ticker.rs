//! Compaction by the clock: a thread that flushes and compacts at every tick.
//!
//! One thread for an index that asks for it, started through `os` and parked between ticks. It
//! ends when it is told to: at once if it is parked, else when the engine's call returns, which a
//! close makes soon. A tick that fails is tried again at the next one: the engine keeps the cause
//! and gives it to the writers whom it concerns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::KEYSPACE;
use crate::base::Result;
use crate::engine::Db;
use crate::mem::{Deadline, Parking};
use crate::os::Os;

/// The running thread.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    /// Set by the index's end (release), read by the thread (acquire): nothing else is handed over.
    stop: AtomicBool,
    parking: Parking,
}

impl Ticker {
    /// Starts the thread: its first tick is `interval_secs` from now, the next as long after the
    /// end of the one before.
    ///
    /// # Errors
    /// `Io` when the system gives no thread.
    pub(super) fn start(db: Arc<Db>, os: &Arc<dyn Os>, interval_secs: u64) -> Result<Self> {
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), parking: Parking::new() });
        let interval_ns = interval_secs.saturating_mul(1_000_000_000);
        let body = {
            let (shared, os) = (Arc::clone(&shared), Arc::clone(os));
            move || {
                while shared.sleep(&*os, interval_ns) {
                    tick(&db);
                }
            }
        };
        let thread = os.spawn("lsmer-ticker", Box::new(body))?;
        Ok(Self { shared, thread })
    }

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.parking.notify();
    }

    /// Waits for the thread's end, after [`Ticker::stop`].
    pub(super) fn join(self) {
        // A panic in the thread was a bug of a tick; the index is at its end all the same.
        let _ = self.thread.join();
    }
}

impl Shared {
    /// Sleeps for the interval. False when the thread is to end.
    fn sleep(&self, os: &dyn Os, interval_ns: u64) -> bool {
        let now = || os.monotonic_ns();
        let deadline = Deadline { at_ns: now().saturating_add(interval_ns), now: &now };
        !self.parking.wait_until(0, Some(deadline), || self.stop.load(Ordering::Acquire))
    }
}

/// Moves everything to tables and the tables into one sorted run. Without writes since the tick
/// before there is nothing to do.
fn tick(db: &Arc<Db>) {
    let _ = db.compact(KEYSPACE, None, None, 0);
}
