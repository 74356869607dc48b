//! A hint to the processor that an address will be read soon.

/// Begins to bring the line at `address` into the cache. Any address may be given: the hint never
/// faults, and where the processor has no such instruction it does nothing.
#[allow(unsafe_code, reason = "prefetch instructions are only reachable through intrinsics")]
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing as far as the program can see and never faults; SSE is part
    // of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; the instruction changes no register and no flag.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{0}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Begins to bring the lines into the cache to which a small record at `address` will be written,
/// as their only owner: a put finds the lines of the one after it on their way.
#[inline]
pub(crate) fn prefetch_record(address: *const u8) {
    /// Bytes of a small record, three lines.
    const BYTES: usize = 192;
    for step in (0..BYTES).step_by(64) {
        prefetch_to_write(address.wrapping_add(step));
    }
}

/// As [`prefetch`], for a line that will be written: it comes without other cores' copies.
#[allow(unsafe_code, reason = "there is no intrinsic for it")]
#[inline]
pub(crate) fn prefetch_to_write<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the hint never faults and changes no register and no flag; processors of 64 bits that
    // do not know it do nothing.
    unsafe {
        std::arch::asm!(
            "prefetchw [{0}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    prefetch(address);
}
