//! Arrays of cache lines: what hash indexes and filters are made of.
//!
//! Lookups hit one line at random, so large arrays lie on huge pages. Written by whoever builds
//! one, then shared and only read.

use std::ops::{Deref, DerefMut};

use super::region::{HUGE_BYTES, Region};

/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 64;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE_BYTES]);

impl Line {
    /// Slots of four bytes, little-endian.
    pub(crate) const SLOTS: usize = LINE_BYTES / 4;

    /// Slot `i`, which is below [`Self::SLOTS`].
    #[inline]
    pub(crate) fn slot(&self, i: usize) -> u32 {
        let bytes = &self.0[4 * i..];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Bit i of the first is set if slot i, under `mask`, is `wanted`, of the second if slot i
    /// is 0.
    #[inline]
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the compiler makes five times as many instructions of a loop")]
    pub(crate) fn search(&self, mask: u32, wanted: u32) -> (u32, u32) {
        use std::arch::x86_64::{
            __m128i, _mm_and_si128, _mm_cmpeq_epi32, _mm_load_si128, _mm_movemask_epi8,
            _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32, _mm_setzero_si128,
        };
        // SAFETY: SSE2 is part of x86-64; a line is 64 bytes long and aligned to that.
        unsafe {
            let all = |word: u32| _mm_set1_epi32(i32::from_le_bytes(word.to_le_bytes()));
            let (mask, wanted) = (all(mask), all(wanted));
            let parts = std::ptr::from_ref(self).cast::<__m128i>();
            let slots: [__m128i; 4] = std::array::from_fn(|i| _mm_load_si128(parts.add(i)));
            let bits = |equal: [__m128i; 4]| {
                let low = _mm_packs_epi32(equal[0], equal[1]);
                let high = _mm_packs_epi32(equal[2], equal[3]);
                let bits = _mm_movemask_epi8(_mm_packs_epi16(low, high));
                u32::from_le_bytes(bits.to_le_bytes())
            };
            let zero = _mm_setzero_si128();
            let matches = slots.map(|slot| _mm_cmpeq_epi32(_mm_and_si128(slot, mask), wanted));
            let empty = slots.map(|slot| _mm_cmpeq_epi32(slot, zero));
            (bits(matches), bits(empty))
        }
    }

    /// See the other one.
    #[inline]
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn search(&self, mask: u32, wanted: u32) -> (u32, u32) {
        (0..Self::SLOTS).fold((0, 0), |(matches, empty), i| {
            let slot = self.slot(i);
            (matches | u32::from(slot & mask == wanted) << i, empty | u32::from(slot == 0) << i)
        })
    }
}

/// An array of lines, zeros at first.
pub(crate) struct Lines {
    store: Store,
    count: usize,
}

enum Store {
    Heap(Box<[Line]>),
    Region(Region),
}

impl Lines {
    /// `count` lines of zeros.
    pub(crate) fn zeroed(count: usize) -> Self {
        let bytes = count.saturating_mul(LINE_BYTES);
        let region = if bytes < HUGE_BYTES { None } else { Region::new(round_up(bytes)).ok() };
        let store = match region {
            Some(region) => Store::Region(region),
            None => Store::Heap(vec![Line([0; LINE_BYTES]); count].into_boxed_slice()),
        };
        Self { store, count }
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
}

/// A last part that nearly fills a huge page gets a whole one.
fn round_up(bytes: usize) -> usize {
    let last = bytes % HUGE_BYTES;
    if last > HUGE_BYTES / 4 * 3 { bytes.next_multiple_of(HUGE_BYTES) } else { bytes }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    #[allow(unsafe_code, reason = "a region is plain memory")]
    #[allow(clippy::cast_ptr_alignment, reason = "regions begin at a page")]
    fn deref(&self) -> &[Line] {
        match &self.store {
            Store::Heap(lines) => lines,
            // SAFETY: the region has room for `count` lines, begins at a page and is zeroed; it is
            // written through `deref_mut` only.
            Store::Region(region) => unsafe {
                std::slice::from_raw_parts(region.as_ptr().cast::<Line>(), self.count)
            },
        }
    }
}

impl DerefMut for Lines {
    #[allow(unsafe_code, reason = "a region is plain memory")]
    #[allow(clippy::cast_ptr_alignment, reason = "regions begin at a page")]
    fn deref_mut(&mut self) -> &mut [Line] {
        match &mut self.store {
            Store::Heap(lines) => lines,
            // SAFETY: as in `deref`, and exclusive.
            Store::Region(region) => unsafe {
                std::slice::from_raw_parts_mut(region.as_ptr().cast::<Line>(), self.count)
            },
        }
    }
}
