//! Builds data blocks, laid out as [`super::block`] says.
//!
//! One thread at a time; nothing is kept.

use crate::base::coding::{Put, align8, u32_of};
use crate::base::{Entry, Kind};

use super::block::{
    FLAG_WIDE_PLACES, HEADER_BYTES, NARROW_BYTES_MAX, SHORT_HEAD_BYTES, TAG_EXPIRY, TAG_WIDE,
    WIDE_HEAD_BYTES,
};

/// Longest suffix and value, and highest number above the base, of an entry with a short head.
pub(super) const SHORT_SUFFIX_MAX: usize = u8::MAX as usize;
pub(super) const SHORT_VALUE_MAX: usize = u16::MAX as usize;
pub(super) const SHORT_NUMBER_MAX: u64 = u32::MAX as u64;

/// What the head of an entry says.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// The kind and perhaps [`TAG_EXPIRY`].
    tag: u8,
    suffix_bytes: usize,
    value_bytes: usize,
    /// Above the base.
    number: u64,
    expiry_ms: u64,
}

impl Head {
    /// The head of an entry of a block with a common prefix of `prefix` bytes and base `base`.
    #[inline]
    pub(super) fn of(entry: &Entry<'_>, prefix: usize, base: u64) -> Self {
        let lengths = (entry.key.len() - prefix, entry.value.len());
        Self::new(entry.kind, lengths, entry.number - base, entry.expiry_ms)
    }

    /// The same of an entry with these lengths of suffix and value, `number` above the base.
    #[inline]
    pub(super) fn new(
        kind: Kind,
        (suffix_bytes, value_bytes): (usize, usize),
        number: u64,
        expiry_ms: u64,
    ) -> Self {
        let tag = kind as u8 | if expiry_ms == 0 { 0 } else { TAG_EXPIRY };
        Self { tag, suffix_bytes, value_bytes, number, expiry_ms }
    }

    /// Bytes that the entry takes.
    #[inline]
    pub(super) fn entry_bytes(&self) -> usize {
        let head = if self.is_wide() { WIDE_HEAD_BYTES } else { SHORT_HEAD_BYTES };
        let expiry = if self.expiry_ms == 0 { 0 } else { 8 };
        align8(head + expiry + self.suffix_bytes + self.value_bytes)
    }

    #[inline]
    fn is_wide(&self) -> bool {
        self.suffix_bytes > SHORT_SUFFIX_MAX
            || self.value_bytes > SHORT_VALUE_MAX
            || self.number > SHORT_NUMBER_MAX
    }

    /// The head as it is stored: up to three words, and how many.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "short and wide are told apart above")]
    pub(super) fn words(&self) -> ([u64; 3], usize) {
        let Self { tag, suffix_bytes, value_bytes, number, expiry_ms } = *self;
        let (suffix, value) = (suffix_bytes as u64, value_bytes as u64);
        let has_expiry = usize::from(expiry_ms != 0);
        if self.is_wide() {
            let first = value << 32 | suffix << 16 | u64::from(tag | TAG_WIDE);
            ([first, number, expiry_ms], 2 + has_expiry)
        } else {
            let first = number << 32 | value << 16 | suffix << 8 | u64::from(tag);
            ([first, expiry_ms, 0], 1 + has_expiry)
        }
    }
}

/// Length of a block with a common prefix of `prefix` bytes whose `count` entries take
/// `entries_bytes`.
#[inline]
pub(super) fn block_bytes(prefix: usize, entries_bytes: usize, count: usize) -> usize {
    let entries_end = HEADER_BYTES + align8(prefix) + entries_bytes;
    entries_end + count * if has_wide_places(entries_end) { 4 } else { 2 }
}

/// Whether places take four bytes where entries end at `entries_end`.
#[inline]
fn has_wide_places(entries_end: usize) -> bool {
    entries_end > NARROW_BYTES_MAX
}

/// Appends the header of a block of `count` entries, which take `entries_bytes`.
pub(super) fn put_header(
    prefix: &[u8],
    base: u64,
    (count, entries_bytes): (usize, usize),
    out: &mut Vec<u8>,
) {
    let wide = has_wide_places(HEADER_BYTES + align8(prefix.len()) + entries_bytes);
    out.put_u32(u32_of(count));
    out.put_u16(u16_of(prefix.len()));
    out.put_u8(if wide { FLAG_WIDE_PLACES } else { 0 });
    out.put_u8(0);
    out.put_u64(base);
    out.extend_from_slice(prefix);
    put_zeros(align8(prefix.len()) - prefix.len(), out);
}

/// Appends the places of the entries of a block, of which `entries_end` bytes are there.
pub(super) fn put_places(places: &[u32], entries_end: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    if has_wide_places(entries_end) {
        out.resize(begin + 4 * places.len(), 0);
        for (to, place) in out[begin..].chunks_exact_mut(4).zip(places) {
            to.copy_from_slice(&place.to_le_bytes());
        }
    } else {
        // They fit: see `NARROW_BYTES_MAX`.
        out.resize(begin + 2 * places.len(), 0);
        for (to, place) in out[begin..].chunks_exact_mut(2).zip(places) {
            to.copy_from_slice(&place.to_le_bytes()[..2]);
        }
    }
}

/// Encodes the block of one entry as it is in front of and behind the value: the whole block is
/// `head`, the value, and `tail`. Both are cleared. The block has the entry's key as the prefix and
/// its number as the base. Returns the place of the entry.
pub(super) fn encode_around(entry: &Entry<'_>, head: &mut Vec<u8>, tail: &mut Vec<u8>) -> u32 {
    head.clear();
    tail.clear();
    let entry_head = Head::of(entry, entry.key.len(), entry.number);
    put_header(entry.key, entry.number, (1, entry_head.entry_bytes()), head);
    let place = u32_of(head.len() / 8);
    let (words, count) = entry_head.words();
    words[..count].iter().for_each(|word| head.put_u64(*word));
    let value_end = head.len() + entry.value.len();
    put_zeros(align8(value_end) - value_end, tail);
    put_places(&[place], align8(value_end), tail);
    place
}

fn put_zeros(count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count, 0);
}

fn u16_of(n: usize) -> u16 {
    let Ok(n) = u16::try_from(n) else { panic!("length {n} does not fit 16 bits") };
    n
}
