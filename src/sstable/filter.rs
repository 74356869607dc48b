//! The filter: a Bloom filter whose bits for one key lie in one cache line.
//!
//! A line is 512 bits, stored as eight u64. The high half of a key's hash chooses the line; the
//! low half, multiplied again and again by an odd constant, gives nine bits for each probe. A key
//! that was added is always found; another one is found by mistake about once in a hundred at 10
//! bits a key. Immutable once decoded.

use crate::mem::{Line, Lines, prefetch, prefetch_to_write};

/// More probes than this never pay.
const PROBES_MAX: u32 = 12;
/// 2^32 divided by the golden ratio, odd.
const STEP: u32 = 0x9e37_79b9;

/// A filter in memory.
pub(super) struct Filter {
    lines: Lines,
    probes: u32,
}

/// So many keys ahead a line is asked for while a filter or a hash index is built.
pub(super) const AHEAD: usize = 24;

/// The line among `lines` that a hash belongs to.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the result is below `lines`")]
pub(super) fn line_of(hash: u64, lines: usize) -> usize {
    (((hash >> 32) * lines as u64) >> 32) as usize
}

impl Filter {
    /// Builds the filter of the given hashes with `bits_x10` tenths of bits for each.
    pub(super) fn build(hashes: &[u64], bits_x10: u32) -> Self {
        let bits = hashes.len() as u64 * u64::from(bits_x10) / 10;
        let count = usize::try_from(bits.div_ceil(512)).unwrap_or(1).max(1);
        // ln 2 probes for each bit are best for plain Bloom filters; a few less when one line
        // holds them all.
        let probes = (bits_x10 * 69 / 1000).clamp(1, PROBES_MAX);
        let mut filter = Self { lines: Lines::zeroed(count), probes };
        let lines: &mut [Line] = &mut filter.lines;
        for (i, hash) in hashes.iter().enumerate() {
            if let Some(later) = hashes.get(i + AHEAD) {
                prefetch_to_write(&raw const lines[line_of(*later, count)]);
            }
            let bytes = &mut lines[line_of(*hash, count)].0;
            for bit in probe_bits(*hash, probes) {
                bytes[bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }

    /// Probes for each key, to be stored beside the bytes.
    pub(super) fn probes(&self) -> u32 {
        self.probes
    }

    /// The bytes on disk.
    pub(super) fn bytes(&self) -> &[u8] {
        self.lines.bytes()
    }

    /// Reads the bytes on disk; none if they are not whole lines or the probes make no sense.
    pub(super) fn decode(bytes: &[u8], probes: u32) -> Option<Self> {
        if bytes.is_empty() || !(1..=PROBES_MAX).contains(&probes) {
            return None;
        }
        Some(Self { lines: Lines::from_bytes(bytes)?, probes })
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.len() * crate::mem::LINE_BYTES
    }

    /// False only if no key with this hash was added.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let line = self.line(hash);
        probe_bits(hash, self.probes).all(|bit| line.0[bit / 8] & (1 << (bit % 8)) != 0)
    }

    /// Begins to bring the line of a hash into the processor's cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.line(hash));
    }

    #[inline]
    fn line(&self, hash: u64) -> &Line {
        &self.lines[line_of(hash, self.lines.len())]
    }
}

/// The bits, 0 to 511, of a key in its line.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is meant")]
fn probe_bits(hash: u64, probes: u32) -> impl Iterator<Item = usize> {
    let mut state = hash as u32;
    (0..probes).map(move |_| {
        state = state.wrapping_mul(STEP);
        (state >> 23) as usize
    })
}
