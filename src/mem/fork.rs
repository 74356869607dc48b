//! Telling a forked child from its parent without a system call.
//!
//! One page is wiped by the kernel in every child (`MADV_WIPEONFORK`), so a word in it that the
//! parent made nonzero reads as zero there. Where the kernel cannot do that, the process id serves.
//!
//! Handles keep the [`generation`] they were made in and are refused in any other one: regions,
//! threads and locks of the parent do not exist in the child. A child may open databases anew.

// Statics and mapped words cannot be loom's.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The word in the wiped page, or none where there is no such page.
static WORD: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
/// The generation in which lsmer first ran.
static FIRST: OnceLock<u32> = OnceLock::new();
/// Generations handed out so far. Inherited by children, so that a child's differs from all of its
/// ancestors'. Written by whoever finds the word wiped; a counter only, hence `Relaxed`.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A number that is the same for the life of this process and differs from those of the processes
/// it was forked from. Never 0. Costs two loads.
#[inline]
pub(crate) fn generation() -> u32 {
    match WORD.get_or_init(wiped_word) {
        // The word guards no other memory: `Relaxed`.
        Some(word) => match word.load(Ordering::Relaxed) {
            0 => renew(word),
            generation => generation,
        },
        None => std::process::id(),
    }
}

/// Whether this process was forked from one in which lsmer ran before.
#[inline]
pub(crate) fn in_child() -> bool {
    let generation = generation();
    generation != *FIRST.get_or_init(|| generation)
}

#[cold]
fn renew(word: &AtomicU32) -> u32 {
    let next = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            // The first renewal of all is made by the first caller, which is no child.
            FIRST.get_or_init(|| next);
            next
        }
        Err(other) => other,
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "mmap and madvise")]
fn wiped_word() -> Option<&'static AtomicU32> {
    const BYTES: usize = 4096;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped just now.
    if unsafe { libc::madvise(page, BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above, and nobody else knows it.
        unsafe { libc::munmap(page, BYTES) };
        return None;
    }
    // SAFETY: zeroed, aligned, never unmapped; only ever used as this atomic.
    Some(unsafe { &*page.cast::<AtomicU32>() })
}

#[cfg(not(target_os = "linux"))]
fn wiped_word() -> Option<&'static AtomicU32> {
    None
}

/// Whether a forked child comes to the end of `body`, in which it uses what no other thread has. Here
/// `body` and what it holds are not dropped.
#[cfg(all(test, not(loom)))]
#[allow(unsafe_code, reason = "forks")]
pub(crate) fn child_survives(body: impl FnOnce()) -> bool {
    assert!(!in_child());
    // SAFETY: the child does what the caller answers for, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no child could be forked");
    if child == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    std::mem::forget(body);
    status == 0
}
