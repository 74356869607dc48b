//! The operating system itself.
//!
//! Any thread. Nothing here fails for lack of luck: where the system has no answer, the fallback
//! is one from which nothing can be proved.

#![allow(unsafe_code, reason = "random bytes and signal masks come from the C library")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;
#[cfg(not(target_os = "linux"))]
use std::time::{SystemTime, UNIX_EPOCH};

use super::Os;
use crate::base::{Error, Result};

/// Clock, randomness, threads and boot id of this machine.
#[derive(Debug)]
pub(crate) struct RealOs {
    start: Instant,
    boot_id: u128,
}

impl RealOs {
    /// Reads what stays the same while the process lives.
    #[allow(clippy::disallowed_methods, reason = "this is what Os::monotonic_ns stands on")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), boot_id: boot_id() }
    }
}

impl Os for RealOs {
    fn monotonic_ns(&self) -> u64 {
        // 2^64 ns are 584 years.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// As of the last tick of the kernel, at most 10 ms ago: expiries are whole seconds, and every
    /// iterator asks.
    #[cfg(target_os = "linux")]
    fn unix_ms(&self) -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the struct is writable. The clock exists since Linux 2.6.32; without it the time is
        // that before 1970.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
        let (secs, ns) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        secs.unwrap_or(0) * 1000 + ns.unwrap_or(0) / 1_000_000
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::disallowed_methods, reason = "this is what Os::unix_ms stands on")]
    fn unix_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn random_u64(&self) -> u64 {
        let mut word = [0; 8];
        if fill_random(&mut word) {
            return u64::from_le_bytes(word);
        }
        // No random bytes, as on kernels before 3.17: a keyed hash of the time. `std` has taken
        // the key from the system's randomness by whatever way there is.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(self.monotonic_ns());
        hasher.finish()
    }

    fn boot_id(&self) -> u128 {
        self.boot_id
    }

    #[cfg(target_os = "linux")]
    fn memory_bytes(&self) -> u64 {
        // SAFETY: the calls take and return numbers only.
        let (pages, page) =
            unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
        let machine = u64::try_from(pages).ok().zip(u64::try_from(page).ok());
        let machine = machine.map_or(u64::MAX, |(pages, page)| pages.saturating_mul(page));
        machine.min(super::memory::limit(|name| std::fs::read_to_string(name).ok()))
    }

    #[cfg(not(target_os = "linux"))]
    fn memory_bytes(&self) -> u64 {
        u64::MAX
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>> {
        spawn(name, None, move || {
            take_short_turns();
            body();
        })
    }

    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn is_stepped(&self) -> bool {
        false
    }
}

/// Starts a thread, with a stack of so many bytes or of the usual size.
pub(crate) fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    // The host's signals are for the host's threads: the new thread inherits a full mask.
    let _mask = SignalMask::block();
    let mut builder = std::thread::Builder::new().name(name.to_owned());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(body).map_err(|cause| Error::io("start thread", Path::new(name), &cause))
}

/// Asks the scheduler for short turns for this thread: where background work must share a
/// processor with a thread that waits for a put to return, that one waits for a fraction of a
/// millisecond and not for three. A hint: kernels before 6.12 have no such thing.
#[cfg(target_os = "linux")]
fn take_short_turns() {
    /// As the kernel defines it, in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    const TURN_NS: u64 = 200_000;
    const BYTES: u32 = 48;
    const _: () = assert!(size_of::<Attributes>() == BYTES as usize);
    let mut now = Attributes::default();
    // SAFETY: the kernel writes at most the bytes that it is told the struct has, for this thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, BYTES, 0) };
    // Only where the thread is scheduled in the ordinary way; whoever chose another keeps it.
    if got == 0 && now.policy == 0 && now.flags == 0 {
        let wanted = Attributes { size: BYTES, runtime_ns: TURN_NS, ..now };
        // SAFETY: the kernel reads the struct; what changes is how this thread is scheduled.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    }
}

/// Other systems have no such hint.
#[cfg(not(target_os = "linux"))]
fn take_short_turns() {}

/// Fills `bytes`, at most 256 of them, from the system's randomness; false if it has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fill_random(bytes: &mut [u8]) -> bool {
    loop {
        // SAFETY: the buffer is writable for its whole length.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if usize::try_from(got) == Ok(bytes.len()) {
            return true;
        }
        // Up to 256 bytes come whole, or the call was interrupted while the machine starts.
        if got >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
}

/// Fills `bytes`, at most 256 of them, from the system's randomness; false if it has none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn fill_random(bytes: &mut [u8]) -> bool {
    // SAFETY: the buffer is writable for its whole length.
    unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) == 0 }
}

/// The id that Linux gives each boot. Other systems have none here: 0, which proves nothing.
fn boot_id() -> u128 {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return 0;
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

/// Blocks the signals of the calling thread that can wait, until dropped.
struct SignalMask {
    before: Option<libc::sigset_t>,
}

impl SignalMask {
    /// Faults stay deliverable: they belong to the instruction that raised them.
    fn block() -> Self {
        const FAULTS: [libc::c_int; 6] =
            [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT];
        let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets have room; `blocked` is filled before it is changed and used. Only
        // this thread's mask changes.
        let result = unsafe {
            libc::sigfillset(blocked.as_mut_ptr());
            for fault in FAULTS {
                libc::sigdelset(blocked.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr())
        };
        // SAFETY: the call succeeded, so it has written the old mask.
        Self { before: (result == 0).then(|| unsafe { before.assume_init() }) }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: the mask is one that this thread had; the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}
