//! Arrays of cache lines: what hash indexes and filters are made of.
//!
//! Lookups hit one line at random, so large arrays lie on huge pages; those of some pages have pages
//! of their own, which the system has back when the table is gone. Written by whoever builds
//! one, then shared and only read.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::region::{HUGE_BYTES, Region};

/// Arrays from this length on have pages of their own.
const LONG_BYTES: usize = 128 << 10;

/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 64;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE_BYTES]);

impl Line {
    /// Slots of four bytes, little-endian.
    #[cfg(not(target_arch = "x86_64"))]
    const SLOTS: usize = LINE_BYTES / 4;

    /// Slot `i` of 16.
    #[inline]
    pub(crate) fn slot(&self, i: usize) -> u32 {
        let bytes = &self.0[4 * i..];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Bit i is set if slot i, under `mask`, is `wanted`.
    #[inline]
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the compiler makes five times as many instructions of a loop")]
    pub(crate) fn alike(&self, mask: u32, wanted: u32) -> u32 {
        use std::arch::x86_64::{
            __m128i, _mm_and_si128, _mm_cmpeq_epi32, _mm_load_si128, _mm_movemask_epi8,
            _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32,
        };
        // SAFETY: SSE2 is part of x86-64; a line is 64 bytes long and aligned to that.
        unsafe {
            let all = |word: u32| _mm_set1_epi32(i32::from_le_bytes(word.to_le_bytes()));
            let (mask, wanted) = (all(mask), all(wanted));
            let parts = std::ptr::from_ref(self).cast::<__m128i>();
            let equal: [__m128i; 4] = std::array::from_fn(|i| {
                _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(parts.add(i)), mask), wanted)
            });
            let low = _mm_packs_epi32(equal[0], equal[1]);
            let high = _mm_packs_epi32(equal[2], equal[3]);
            let bits = _mm_movemask_epi8(_mm_packs_epi16(low, high));
            u32::from_le_bytes(bits.to_le_bytes())
        }
    }

    /// See the other one.
    #[inline]
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn alike(&self, mask: u32, wanted: u32) -> u32 {
        (0..Self::SLOTS).fold(0, |bits, i| bits | u32::from(self.slot(i) & mask == wanted) << i)
    }
}

/// An array of lines, zeros at first.
pub(crate) struct Lines {
    /// The first line: in the region, or of a box that this owns.
    base: NonNull<Line>,
    count: usize,
    region: Option<Region>,
}

// SAFETY: lines are plain memory, written through an exclusive borrow only.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Send for Lines {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Sync for Lines {}

impl Lines {
    /// `count` lines of zeros.
    #[allow(clippy::cast_ptr_alignment, reason = "regions begin at a page")]
    pub(crate) fn zeroed(count: usize) -> Self {
        let bytes = count.saturating_mul(LINE_BYTES);
        let region = if bytes < LONG_BYTES { None } else { Region::new(round_up(bytes)).ok() };
        let base = if let Some(region) = &region {
            // All of it is about to be written, in no order.
            region.populate(0, bytes);
            NonNull::new(region.as_ptr().cast()).unwrap_or(NonNull::dangling())
        } else {
            let lines = vec![Line([0; LINE_BYTES]); count].into_boxed_slice();
            NonNull::from(Box::leak(lines)).cast()
        };
        Self { base, count, region }
    }

    /// These bytes; none if they are not whole lines.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let chunks = bytes.chunks_exact(LINE_BYTES);
        if !chunks.remainder().is_empty() {
            return None;
        }
        let mut lines = Self::zeroed(chunks.len());
        for (line, chunk) in lines.iter_mut().zip(chunks) {
            line.0.copy_from_slice(chunk);
        }
        Some(lines)
    }

    /// All bytes, line after line.
    #[allow(unsafe_code, reason = "the same memory, seen as bytes")]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a line is 64 bytes without padding, and lines follow each other; they are
        // borrowed for as long as the bytes are.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), self.count * LINE_BYTES) }
    }
}

/// A last part that nearly fills a huge page gets a whole one.
fn round_up(bytes: usize) -> usize {
    let last = bytes % HUGE_BYTES;
    if last > HUGE_BYTES / 4 * 3 { bytes.next_multiple_of(HUGE_BYTES) } else { bytes }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    #[allow(unsafe_code, reason = "one pointer, whoever owns the lines")]
    fn deref(&self) -> &[Line] {
        // SAFETY: `zeroed` made room for `count` lines of zeros there, which live as long as this
        // and are written through `deref_mut` only.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.count) }
    }
}

impl DerefMut for Lines {
    #[allow(unsafe_code, reason = "one pointer, whoever owns the lines")]
    fn deref_mut(&mut self) -> &mut [Line] {
        // SAFETY: as in `deref`, and exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.count) }
    }
}

impl Drop for Lines {
    #[allow(unsafe_code, reason = "gives the box back")]
    fn drop(&mut self) {
        if self.region.is_none() {
            let lines = std::ptr::slice_from_raw_parts_mut(self.base.as_ptr(), self.count);
            // SAFETY: `zeroed` leaked a box of so many lines.
            drop(unsafe { Box::from_raw(lines) });
        }
    }
}
