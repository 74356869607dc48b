//! Waiting for a condition that other threads make true, free for them while nobody waits.
//!
//! 1. The waiter spins a little, gives way a little, then counts itself, fences, and looks again before it sleeps.
//! 2. The notifier has changed what the condition reads, fences, and reads the count.
//!
//! The two `SeqCst` fences make sure that at least one of them sees the other: either the waiter
//! finds the condition true, or the notifier finds the count up and moves the sequence word, on
//! which the sleep depends (so a wake between the last look and the sleep is not lost).

use std::hint::spin_loop;

use super::atomic::{AtomicU32, Ordering, fence, yield_now};

/// About what one look at the condition and one pause cost; spinning is measured by it, because
/// reading a clock would cost more than the look.
const SPIN_STEP_NS: u64 = 20;

/// How often a waiter who has spun in vain lets others run before it sleeps. Whoever we wait for was
/// most likely preempted, on a machine with fewer processors than threads: then one call of ours
/// replaces a sleep and a wake. Measured with 2 writers and the background on 2 cores: half the
/// system calls, puts 18 % faster; 16 writers lost nothing.
const YIELDS: u32 = 8;

/// When to stop waiting.
#[derive(Clone, Copy)]
pub(crate) struct Deadline<'a> {
    /// The moment, on the clock `now`.
    pub(crate) at_ns: u64,
    /// A clock that never goes back, in nanoseconds.
    pub(crate) now: &'a dyn Fn() -> u64,
}

/// A place where threads wait. Any number may wait and notify.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    /// Moved by notifiers that saw a waiter; what sleepers sleep on. The `Release` add in `notify`
    /// pairs with the `Acquire` load in `park`: who sees the new value sees what was notified.
    sequence: AtomicU32,
    /// Threads in `park`. Written by waiters, read by notifiers; ordered by the fences.
    waiters: AtomicU32,
    sleep: Sleep,
}

impl Parking {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns true as soon as `condition` holds, false if the deadline passes first.
    ///
    /// Looks again for about `spin_ns` nanoseconds before it sleeps, and then gives way a few times
    /// (0: does neither). Whoever makes the condition true calls [`Parking::notify`] afterwards.
    pub(crate) fn wait_until(
        &self,
        spin_ns: u64,
        deadline: Option<Deadline<'_>>,
        mut condition: impl FnMut() -> bool,
    ) -> bool {
        if condition() {
            return true;
        }
        for _ in 0..spin_ns / SPIN_STEP_NS {
            spin_loop();
            if condition() {
                return true;
            }
        }
        if spin_ns > 0 {
            for _ in 0..YIELDS {
                yield_now();
                if condition() {
                    return true;
                }
            }
        }
        self.park(deadline, condition)
    }

    #[cold]
    fn park(&self, deadline: Option<Deadline<'_>>, mut condition: impl FnMut() -> bool) -> bool {
        let _counted = Counted::enter(&self.waiters);
        fence(Ordering::SeqCst);
        loop {
            let seen = self.sequence.load(Ordering::Acquire);
            if condition() {
                return true;
            }
            let timeout_ns = match deadline {
                None => None,
                Some(deadline) => match deadline.at_ns.checked_sub((deadline.now)()) {
                    None | Some(0) => return false,
                    left => left,
                },
            };
            self.sleep.while_equal(&self.sequence, seen, timeout_ns);
        }
    }

    /// Wakes all waiters so that they look again. Call it after the change, which must be at least
    /// a `Release` store. Costs a fence and a load while nobody waits.
    #[inline]
    pub(crate) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) != 0 {
            self.wake(true);
        }
    }

    /// The same, but wakes one waiter, where all wait for the same and any one will do.
    #[inline]
    pub(crate) fn notify_one(&self) {
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) != 0 {
            self.wake(false);
        }
    }

    #[cold]
    fn wake(&self, all: bool) {
        self.sleep.move_on(&self.sequence, all);
    }
}

/// Counts one waiter for as long as it lives, panics of the condition included.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn enter(waiters: &'a AtomicU32) -> Self {
        waiters.fetch_add(1, Ordering::Relaxed);
        Self(waiters)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sleeping on a word by futex.
#[cfg(all(target_os = "linux", not(loom)))]
#[derive(Debug, Default)]
struct Sleep;

#[cfg(all(target_os = "linux", not(loom)))]
#[allow(unsafe_code, reason = "libc has no safe futex")]
impl Sleep {
    /// Sleeps while `word` is `seen`; may also return for no reason.
    #[allow(clippy::unused_self, reason = "the other form has state")]
    fn while_equal(&self, word: &AtomicU32, seen: u32, timeout_ns: Option<u64>) {
        const NS_PER_S: u64 = 1_000_000_000;
        let timeout = timeout_ns.map(|ns| libc::timespec {
            tv_sec: libc::time_t::try_from(ns / NS_PER_S).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::try_from(ns % NS_PER_S).unwrap_or(0),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the word and the timeout live through the call; FUTEX_WAIT takes a relative
        // timeout. Every outcome (woken, changed, interrupted, timed out) means: look again.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                seen,
                timeout,
            );
        }
    }

    /// Changes `word` and wakes all sleepers, or one.
    #[allow(clippy::unused_self, reason = "the other form has state")]
    fn move_on(&self, word: &AtomicU32, all: bool) {
        word.fetch_add(1, Ordering::Release);
        // SAFETY: waking touches no memory; the address is a mere name.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                if all { i32::MAX } else { 1 },
            );
        }
    }
}

#[cfg(loom)]
use loom::sync::{Condvar, Mutex};
#[cfg(not(any(target_os = "linux", loom)))]
use parking_lot::{Condvar, Mutex};

/// Sleeping on a word by lock and condition variable: where there is no futex, and under loom.
#[cfg(not(all(target_os = "linux", not(loom))))]
#[derive(Debug, Default)]
struct Sleep {
    lock: Mutex<()>,
    moved: Condvar,
}

#[cfg(not(any(target_os = "linux", loom)))]
impl Sleep {
    fn while_equal(&self, word: &AtomicU32, seen: u32, timeout_ns: Option<u64>) {
        let mut held = self.lock.lock();
        if word.load(Ordering::Relaxed) == seen {
            match timeout_ns {
                None => self.moved.wait(&mut held),
                Some(ns) => {
                    self.moved.wait_for(&mut held, std::time::Duration::from_nanos(ns));
                }
            }
        }
    }

    fn move_on(&self, word: &AtomicU32, all: bool) {
        let _held = self.lock.lock();
        word.fetch_add(1, Ordering::Release);
        if all {
            self.moved.notify_all();
        } else {
            self.moved.notify_one();
        }
    }
}

/// Loom has no futex. This stands for the kernel's: compare and sleep are one step to wakers.
#[cfg(loom)]
impl Sleep {
    fn while_equal(&self, word: &AtomicU32, seen: u32, _timeout_ns: Option<u64>) {
        let Ok(held) = self.lock.lock() else { return };
        if word.load(Ordering::Relaxed) == seen {
            drop(self.moved.wait(held));
        }
    }

    fn move_on(&self, word: &AtomicU32, all: bool) {
        let _held = self.lock.lock();
        word.fetch_add(1, Ordering::Release);
        if all {
            self.moved.notify_all();
        } else {
            self.moved.notify_one();
        }
    }
}
