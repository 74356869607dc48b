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

use super::format::u32_at;

/// Slots in a line.
const LINE_SLOTS: usize = 16;
/// Bytes of a line.
pub(super) const LINE_BYTES: usize = 4 * LINE_SLOTS;
/// Places need at most this many bits; what is longer gets no hash index.
pub(super) const PLACE_BITS_MAX: u32 = 26;
/// Keys for ten lines: 12.8 of 16 slots are used on average.
const KEYS_FOR_TEN_LINES: usize = 128;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; LINE_SLOTS]);

/// A hash index in memory.
pub(super) struct HashIndex {
    lines: Box<[Line]>,
    place_bits: u32,
}

impl HashIndex {
    /// Builds the index of the given hashes and places, which are not 0 and below 2^`place_bits`.
    pub(super) fn build(entries: &[(u64, u32)], place_bits: u32) -> Self {
        let lines = (entries.len() * 10).div_ceil(KEYS_FOR_TEN_LINES).max(1);
        let mut index =
            Self { lines: vec![Line([0; LINE_SLOTS]); lines].into_boxed_slice(), place_bits };
        for (hash, place) in entries {
            let slot = index.fingerprint(*hash) | place;
            let mut at = index.home(*hash);
            while !index.lines[at].put(slot) {
                at = (at + 1) % lines;
            }
        }
        index
    }

    /// The bytes on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.0).flat_map(u32::to_le_bytes).collect()
    }

    /// Reads the bytes on disk; none if they are not whole lines.
    pub(super) fn decode(bytes: &[u8], place_bits: u32) -> Option<Self> {
        let whole = !bytes.is_empty() && bytes.len() % LINE_BYTES == 0;
        if !whole || !(1..=PLACE_BITS_MAX).contains(&place_bits) {
            return None;
        }
        let lines = bytes
            .chunks_exact(LINE_BYTES)
            .map(|line| {
                let slot = |i: usize| u32_at(line, 4 * i).and_then(|s| u32::try_from(s).ok());
                Line(std::array::from_fn(|i| slot(i).unwrap_or(0)))
            })
            .collect();
        Some(Self { lines, place_bits })
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

impl Line {
    fn put(&mut self, slot: u32) -> bool {
        let Some(empty) = self.0.iter_mut().find(|s| **s == 0) else { return false };
        *empty = slot;
        true
    }
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
        loop {
            if self.matches != 0 {
                let slot = self.matches.trailing_zeros() as usize;
                self.matches &= self.matches - 1;
                let line = if self.at == 0 { self.index.lines.len() } else { self.at } - 1;
                return Some(self.index.lines[line].0[slot] & self.index.place_mask());
            }
            if self.last || self.lines_left == 0 {
                return None;
            }
            self.look();
        }
    }
}

impl Candidates<'_> {
    /// Compares one whole line, without a branch for each slot.
    #[inline]
    fn look(&mut self) {
        let line = &self.index.lines[self.at].0;
        let mask = !self.index.place_mask();
        let mut matches = 0;
        let mut empty = false;
        for (i, slot) in line.iter().enumerate() {
            matches |= u32::from(slot & mask == self.wanted && *slot != 0) << i;
            empty |= *slot == 0;
        }
        self.matches = matches;
        self.last = empty;
        self.lines_left -= 1;
        self.at += 1;
        if self.at == self.index.lines.len() {
            self.at = 0;
        }
    }
}
