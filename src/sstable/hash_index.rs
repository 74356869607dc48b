//! The hash index: from a key to the place of its newest entry, in one cache line.
//!
//! The index is a power-free number of *lines* of 16 slots. A slot is 0 (empty) or fingerprint and
//! place: the low `place_bits` bits hold the entry's offset in the section's logical data stream
//! divided by 8, the bits above it the top bits of the low half of the key's hash. A key's home
//! line comes from the high half. An entry goes to the first line, from home on and round the end,
//! that has an empty slot; so a lookup ends at a line with an empty slot. Places are never 0,
//! because every block begins with a header.
//!
//! It says where a key may be; the entry there decides. Immutable once decoded.

use crate::mem::{LINE_BYTES, Line, Lines, prefetch, prefetch_to_write};

use super::filter::{AHEAD, line_of};

/// Places need at most this many bits; what is longer gets no hash index.
pub(super) const PLACE_BITS_MAX: u32 = 26;
/// Keys for a line, on average, of 16 slots. One line in 20 is full then, and sends a lookup to
/// the next one; with 12.8 it was one in five, for a byte a key less.
const KEYS_FOR_A_LINE: usize = 10;

/// A hash index in memory.
pub(super) struct HashIndex {
    lines: Lines,
    place_bits: u32,
}

impl HashIndex {
    /// Builds the index of the given hashes, each with its place, which is not 0 and below
    /// 2^`place_bits`.
    pub(super) fn build(hashes: &[u64], places: &[u32], place_bits: u32) -> Self {
        let count = hashes.len().div_ceil(KEYS_FOR_A_LINE).max(1);
        let mut index = Self { lines: Lines::zeroed(count), place_bits };
        let place_mask = index.place_mask();
        let lines: &mut [Line] = &mut index.lines;
        for (i, (hash, place)) in hashes.iter().zip(places).enumerate() {
            if let Some(later) = hashes.get(i + AHEAD) {
                prefetch_to_write(&raw const lines[line_of(*later, count)]);
            }
            let slot = fingerprint(*hash, place_mask) | place;
            let mut at = line_of(*hash, count);
            while !put(&mut lines[at], slot) {
                at = if at + 1 == count { 0 } else { at + 1 };
            }
        }
        index
    }

    /// The bytes on disk.
    pub(super) fn bytes(&self) -> &[u8] {
        self.lines.bytes()
    }

    /// Reads the bytes on disk; none if they are not whole lines.
    pub(super) fn decode(bytes: &[u8], place_bits: u32) -> Option<Self> {
        if bytes.is_empty() || !(1..=PLACE_BITS_MAX).contains(&place_bits) {
            return None;
        }
        Some(Self { lines: Lines::from_bytes(bytes)?, place_bits })
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    /// The places where the key with this hash may be. Each is a multiple of 8 bytes, divided by 8.
    #[inline(always)]
    pub(super) fn candidates(&self, hash: u64) -> Candidates<'_> {
        let place_mask = self.place_mask();
        let (at, wanted) = (self.home(hash), fingerprint(hash, place_mask));
        let lines: &[Line] = &self.lines;
        let matches = matches(lines.get(at), !place_mask, wanted);
        Candidates { lines, place_mask, wanted, at, lines_left: lines.len() - 1, matches }
    }

    /// Begins to bring the home line of a hash into the processor's cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&raw const self.lines[self.home(hash)]);
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        line_of(hash, self.lines.len())
    }

    #[inline]
    fn place_mask(&self) -> u32 {
        (1 << self.place_bits) - 1
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is meant")]
fn fingerprint(hash: u64, place_mask: u32) -> u32 {
    (hash as u32) & !place_mask
}

/// Puts a slot into the first empty one of a line, if there is one.
#[inline]
fn put(line: &mut Line, new: u32) -> bool {
    let at = 4 * line.alike(!0, 0).trailing_zeros() as usize;
    let Some(slot) = line.0.get_mut(at..at + 4) else { return false };
    slot.copy_from_slice(&new.to_le_bytes());
    true
}

/// One bit for each slot of a line that has this fingerprint.
#[inline]
fn matches(line: Option<&Line>, mask: u32, wanted: u32) -> u32 {
    let Some(line) = line else { return 0 };
    let alike = line.alike(mask, wanted);
    // An empty slot looks like one with a fingerprint of zeros.
    if wanted == 0 { alike & !line.alike(!0, 0) } else { alike }
}

/// See [`HashIndex::candidates`].
pub(super) struct Candidates<'a> {
    lines: &'a [Line],
    place_mask: u32,
    wanted: u32,
    /// The line that `matches` is of.
    at: usize,
    lines_left: usize,
    /// One bit for each slot of that line that is still to be given.
    matches: u32,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        while self.matches == 0 {
            if self.lines_left == 0 || self.lines.get(self.at)?.alike(!0, 0) != 0 {
                return None;
            }
            self.look_on();
        }
        let i = self.matches.trailing_zeros() as usize;
        self.matches &= self.matches - 1;
        Some(self.lines.get(self.at)?.slot(i) & self.place_mask)
    }
}

impl Candidates<'_> {
    /// Goes on to the line behind a full one.
    #[cold]
    fn look_on(&mut self) {
        self.lines_left -= 1;
        self.at = if self.at + 1 == self.lines.len() { 0 } else { self.at + 1 };
        self.matches = matches(self.lines.get(self.at), !self.place_mask, self.wanted);
    }
}
