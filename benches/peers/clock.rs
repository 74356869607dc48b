//! Time in ticks: the time-stamp counter where there is one (a read costs 10 ns instead of 25),
//! else nanoseconds.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Now, in ticks. Any thread; the counter is the same on all cores of machines of this century.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Now, in ticks.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn ticks() -> u64 {
    start().elapsed().as_nanos() as u64
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Ticks of a second, measured once over 50 ms.
pub(crate) fn ticks_per_sec() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (clock, from) = (start(), ticks());
        let began = clock.elapsed();
        while clock.elapsed() < began + Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let (to, ended) = (ticks(), clock.elapsed());
        (to - from) as f64 / ended.saturating_sub(began).as_secs_f64()
    })
}

pub(crate) fn to_ticks(secs: f64) -> u64 {
    (secs * ticks_per_sec()) as u64
}

pub(crate) fn to_secs(ticks: u64) -> f64 {
    ticks as f64 / ticks_per_sec()
}

pub(crate) fn to_micros(ticks: u64) -> f64 {
    to_secs(ticks) * 1e6
}
