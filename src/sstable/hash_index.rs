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

use crate::mem::{LINE_BYTES, Line, Lines, prefetch};

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
    /// Builds the index of the given hashes and places, which are not 0 and below 2^`place_bits`.
    pub(super) fn build(entries: &[(u64, u32)], place_bits: u32) -> Self {
        let lines = entries.len().div_ceil(KEYS_FOR_A_LINE).max(1);
        let mut index = Self { lines: Lines::zeroed(lines), place_bits };
        for (hash, place) in entries {
            let slot = index.fingerprint(*hash) | place;
            let mut at = index.home(*hash);
            while !put(&mut index.lines[at], slot) {
                at = (at + 1) % lines;
            }
        }
        index
    }

    /// The bytes on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.0).collect()
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
    #[inline]
    pub(super) fn candidates(&self, hash: u64) -> Candidates<'_> {
        Candidates {
            index: self,
            wanted: self.fingerprint(hash),
            at: self.home(hash),
            lines_left: self.lines.len(),
            matches: 0,
            last: false,
        }
    }

    /// Begins to bring the home line of a hash into the processor's cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&raw const self.lines[self.home(hash)]);
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        super::filter::line_of(hash, self.lines.len())
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low half of the hash is meant")]
    fn fingerprint(&self, hash: u64) -> u32 {
        (hash as u32) & !self.place_mask()
    }

    #[inline]
    fn place_mask(&self) -> u32 {
        (1 << self.place_bits) - 1
    }
}

/// Puts a slot where the line has an empty one.
fn put(line: &mut Line, new: u32) -> bool {
    let Some(empty) = (0..Line::SLOTS).find(|i| line.slot(*i) == 0) else { return false };
    line.0[4 * empty..4 * empty + 4].copy_from_slice(&new.to_le_bytes());
    true
}

/// See [`HashIndex::candidates`].
pub(super) struct Candidates<'a> {
    index: &'a HashIndex,
    wanted: u32,
    /// The line that `matches` is of, or the next one to look at while `matches` is 0.
    at: usize,
    lines_left: usize,
    /// One bit for each slot of the line before `at` that is still to be given.
    matches: u32,
    last: bool,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.matches == 0 {
            if self.last || self.lines_left == 0 {
                return None;
            }
            self.look();
        }
        let i = self.matches.trailing_zeros() as usize;
        self.matches &= self.matches - 1;
        let line = if self.at == 0 { self.index.lines.len() } else { self.at } - 1;
        Some(self.index.lines[line].slot(i) & self.index.place_mask())
    }
}

impl Candidates<'_> {
    /// Compares one whole line.
    #[inline]
    fn look(&mut self) {
        let line = &self.index.lines[self.at];
        let (matches, empty) = line.search(!self.index.place_mask(), self.wanted);
        // An empty slot looks like one with a fingerprint of zeros.
        self.matches = matches & !empty;
        self.last = empty != 0;
        self.lines_left -= 1;
        self.at += 1;
        if self.at == self.index.lines.len() {
            self.at = 0;
        }
    }
}
