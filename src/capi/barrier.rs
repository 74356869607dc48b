//! A store-load barrier between threads in two halves: a cheap one and a dear one.
//!
//! Whoever announces something and then looks passes [`light`]; whoever marks something and then
//! looks through the announcements passes [`heavy`]. Of the two at least one sees the other's
//! store. Where the system has `membarrier`, the cheap half costs nothing: the dear half makes
//! every thread of the process pass a full barrier. The process must be registered for that first,
//! which takes the kernel a grace period of 10 to 16 ms if there is more than one thread. A thread
//! of its own waits for that, and until then both halves are fences.
//!
//! # The change from one to the other
//!
//! Phases go Fences, Registered, Cheap, and the thread that registers passes a fence between its
//! two stores. A light half does without its fence only if it sees Cheap; a heavy half calls
//! `membarrier` unless it sees Fences. Nobody waits. Proof for a heavy half that sees Fences and a
//! light one that sees Cheap (in all other cases two fences meet, or the call meets everybody): the
//! heavy half fences, then reads what the store of Registered replaces, so its fence precedes that
//! of the registering thread; this precedes the store of Cheap, which the light half acquires.
//! Hence the light half's look comes behind the heavy half's fence, and sees the mark before it.
//!
//! # The thread
//!
//! A host that has given back all it had of this library should find none of its threads: that
//! matters where the static library is part of something that is unloaded (the shared one stays).
//! [`enter`] and [`leave`] count environments and databases, on which all other handles depend;
//! whoever gives the last back joins the thread. It starts with the first, once in the life of the
//! process. In a forked child nothing here is used, as no handle is: a child may inherit a
//! registration, or one that was never completed.
//!
//! Any thread.

use std::sync::atomic::compiler_fence;

use crate::base::mutant::mutant;
use crate::mem::atomic::{AtomicU32, Ordering, fence};

#[cfg(loom)]
pub(super) use self::modelled::{enter, enter_alone, heavy, leave, light};
#[cfg(not(loom))]
pub(super) use self::real::{enter, enter_alone, heavy, leave, light};

const FENCES: u32 = 0;
const REGISTERED: u32 = 1;
const CHEAP: u32 = 2;

/// Which kind of barrier serves.
pub(super) struct Phase {
    /// See the module. Written by the one thread that registers; read by both halves. `Release` of
    /// Cheap pairs with `Acquire` in the light half.
    word: AtomicU32,
}

impl Phase {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self { word: AtomicU32::new(FENCES) }
    }

    /// Fences.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { word: AtomicU32::new(FENCES) }
    }

    /// `membarrier` works from now on.
    pub(super) fn registered(&self) {
        if !mutant("capi_barrier_is_cheap_at_once") {
            self.word.store(REGISTERED, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        self.word.store(CHEAP, Ordering::Release);
    }

    /// The cheap half.
    #[inline]
    pub(super) fn light(&self) {
        if self.word.load(Ordering::Acquire) == CHEAP {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The dear half, with `membarrier` as told.
    pub(super) fn heavy(&self, membarrier: impl FnOnce() -> bool) {
        fence(Ordering::SeqCst);
        // Cannot fail once registered; without the barrier closing is not safe.
        let passed = self.word.load(Ordering::Relaxed) == FENCES || membarrier();
        assert!(passed, "membarrier failed after it was registered");
    }
}

#[cfg(loom)]
mod modelled {
    use crate::base::mutant::mutant;
    use crate::mem::atomic::{Ordering, fence};

    /// A full fence: models of handles know no membarrier, and pair two fences instead.
    pub(in super::super) fn light() {
        if !mutant("capi_announcement_has_no_barrier") {
            fence(Ordering::SeqCst);
        }
    }

    /// A full fence.
    pub(in super::super) fn heavy() {
        fence(Ordering::SeqCst);
    }

    /// Nothing is registered.
    pub(in super::super) fn enter() {}
    /// Nothing is registered.
    pub(in super::super) fn enter_alone() {}
    /// No thread runs.
    pub(in super::super) fn leave() {}
}

#[cfg(not(loom))]
mod real {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Once;
    use std::thread::JoinHandle;

    use parking_lot::Mutex;

    use super::Phase;
    use crate::mem::atomic::{AtomicUsize, Ordering};
    use crate::{mem::fork, os};

    const REGISTER_PRIVATE_EXPEDITED: libc::c_long = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_long = 1 << 3;
    /// The thread that registers makes one call.
    const STACK_BYTES: usize = 128 << 10;

    static PHASE: Phase = Phase::new();
    static ONCE: Once = Once::new();
    /// Environments and databases that have handles.
    static ENTERED: AtomicUsize = AtomicUsize::new(0);
    /// The thread that registers, until somebody joins it. Filled within `ONCE`.
    static THREAD: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

    /// The library is used by one more handle. The first call finds out which kind of barrier this
    /// system has.
    pub(in super::super) fn enter() {
        ENTERED.fetch_add(1, Ordering::AcqRel);
        ONCE.call_once(|| {
            if is_alone() {
                return register();
            }
            // Where no thread can be had, the caller waits.
            match os::real::spawn("lsmer-barrier", Some(STACK_BYTES), register) {
                Ok(thread) => *THREAD.lock() = Some(thread),
                Err(_) => register(),
            }
        });
    }

    /// The first part of [`enter`] for whoever will call that with more threads than now, if it
    /// costs nothing now: to a process of one thread the kernel answers at once.
    pub(in super::super) fn enter_alone() {
        if !ONCE.is_completed() && is_alone() {
            ONCE.call_once(register);
        }
    }

    /// Ends what [`enter`] began. With the last one, no thread of this module is left.
    pub(in super::super) fn leave() {
        // Who makes the count 0 knows of every `enter` before (release and acquire by the count).
        // A child that a hook of this very call forked has no such thread.
        if ENTERED.fetch_sub(1, Ordering::AcqRel) != 1 || fork::in_child() {
            return;
        }
        let thread = THREAD.lock().take();
        if let Some(thread) = thread {
            // It does not panic.
            let _ = thread.join();
        }
    }

    /// Orders this thread's earlier stores before its later loads, as seen by a thread that calls
    /// [`heavy`].
    #[inline]
    pub(in super::super) fn light() {
        PHASE.light();
    }

    /// Makes every thread of the process pass a full barrier before this returns, as far as it did
    /// not fence for itself.
    pub(in super::super) fn heavy() {
        PHASE.heavy(|| membarrier(PRIVATE_EXPEDITED));
    }

    fn register() {
        if membarrier(REGISTER_PRIVATE_EXPEDITED) {
            PHASE.registered();
        }
    }

    /// Whether this is the only thread of its process: the directory of threads has a link for
    /// each, and two of its own. False where nothing tells.
    fn is_alone() -> bool {
        if cfg!(not(target_os = "linux")) {
            // There is nothing to wait for.
            return true;
        }
        std::fs::metadata("/proc/self/task").is_ok_and(|threads| threads.nlink() == 3)
    }

    #[cfg(target_os = "linux")]
    fn membarrier(command: libc::c_long) -> bool {
        // SAFETY: the call takes two integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0) == 0 }
    }

    #[cfg(not(target_os = "linux"))]
    fn membarrier(_command: libc::c_long) -> bool {
        false
    }
}
