//! Builds data blocks, laid out as [`super::block`] says.
//!
//! One thread at a time; nothing is kept.

use crate::base::Entry;
use crate::base::coding::{Put, align8, u32_of};

use super::block::{
    FLAG_WIDE_PLACES, HEADER_BYTES, NARROW_BYTES_MAX, SHORT_HEAD_BYTES, TAG_EXPIRY, TAG_WIDE,
    WIDE_HEAD_BYTES,
};

/// Bytes that one entry takes in a block with a common prefix of `prefix` bytes and base `base`.
pub(super) fn entry_bytes(entry: &Entry<'_>, prefix: usize, base: u64) -> usize {
    let head = if is_wide(entry, prefix, base) { WIDE_HEAD_BYTES } else { SHORT_HEAD_BYTES };
    let expiry = if entry.expiry_ms == 0 { 0 } else { 8 };
    align8(head + expiry + entry.key.len() - prefix + entry.value.len())
}

fn is_wide(entry: &Entry<'_>, prefix: usize, base: u64) -> bool {
    entry.key.len() - prefix > usize::from(u8::MAX)
        || entry.value.len() > usize::from(u16::MAX)
        || entry.number - base > u64::from(u32::MAX)
}

/// Length of a block with a common prefix of `prefix` bytes whose `count` entries take
/// `entries_bytes`.
pub(super) fn block_bytes(prefix: usize, entries_bytes: usize, count: usize) -> usize {
    let entries_end = HEADER_BYTES + align8(prefix) + entries_bytes;
    entries_end + count * place_bytes(entries_end)
}

fn place_bytes(entries_end: usize) -> usize {
    if entries_end > NARROW_BYTES_MAX { 4 } else { 2 }
}

/// Encodes a block into `out`, which is cleared. `entries` are in internal order, at least one;
/// all keys share `prefix` bytes; no number is below `base`. `places` receives the offset of each
/// entry divided by 8.
pub(super) fn encode<'a>(
    entries: impl Iterator<Item = Entry<'a>>,
    prefix: &[u8],
    base: u64,
    out: &mut Vec<u8>,
    places: &mut Vec<u32>,
) {
    out.clear();
    places.clear();
    encode_header(prefix, base, out);
    for entry in entries {
        places.push(u32_of(out.len() / 8));
        encode_head(&entry, prefix.len(), base, out);
        out.extend_from_slice(entry.value);
        pad(out);
    }
    let wide = place_bytes(out.len()) == 4;
    for place in places.iter() {
        put_place(*place, wide, out);
    }
    finish_header(out, places.len(), wide);
}

/// Encodes the block of one entry as it is in front of and behind the value: the whole block is
/// `head`, the value, and `tail`. Both are cleared. The block is what [`encode`] makes of the entry
/// with its key as the prefix and its number as the base. Returns the place of the entry.
pub(super) fn encode_around(entry: &Entry<'_>, head: &mut Vec<u8>, tail: &mut Vec<u8>) -> u32 {
    head.clear();
    tail.clear();
    encode_header(entry.key, entry.number, head);
    let at = head.len();
    encode_head(entry, entry.key.len(), entry.number, head);
    let value_end = head.len() + entry.value.len();
    tail.resize(align8(value_end) - value_end, 0);
    let (place, wide) = (u32_of(at / 8), place_bytes(align8(value_end)) == 4);
    put_place(place, wide, tail);
    finish_header(head, 1, wide);
    place
}

fn encode_header(prefix: &[u8], base: u64, out: &mut Vec<u8>) {
    out.put_u32(0);
    out.put_u16(u16_of(prefix.len()));
    out.put_u16(0);
    out.put_u64(base);
    out.extend_from_slice(prefix);
    pad(out);
}

/// Fills in what is known at the end.
fn finish_header(block: &mut [u8], count: usize, wide: bool) {
    block[..4].copy_from_slice(&u32_of(count).to_le_bytes());
    block[6] = if wide { FLAG_WIDE_PLACES } else { 0 };
}

fn put_place(place: u32, wide: bool, out: &mut Vec<u8>) {
    if wide {
        out.put_u32(place);
    } else {
        out.put_u16(u16_of(usize::try_from(place).unwrap_or(usize::MAX)));
    }
}

/// An entry but for its value.
fn encode_head(entry: &Entry<'_>, prefix: usize, base: u64, out: &mut Vec<u8>) {
    let wide = is_wide(entry, prefix, base);
    let suffix = &entry.key[prefix..];
    let mut tag = entry.kind as u8;
    if entry.expiry_ms != 0 {
        tag |= TAG_EXPIRY;
    }
    if wide {
        out.put_u8(tag | TAG_WIDE);
        out.put_u8(0);
        out.put_u16(u16_of(suffix.len()));
        out.put_u32(u32_of(entry.value.len()));
        out.put_u64(entry.number - base);
    } else {
        out.put_u8(tag);
        out.put_u8(u16_of(suffix.len()).to_le_bytes()[0]);
        out.put_u16(u16_of(entry.value.len()));
        out.put_u32(u32_of(usize::try_from(entry.number - base).unwrap_or(usize::MAX)));
    }
    if entry.expiry_ms != 0 {
        out.put_u64(entry.expiry_ms);
    }
    out.extend_from_slice(suffix);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(align8(out.len()), 0);
}

fn u16_of(n: usize) -> u16 {
    let Ok(n) = u16::try_from(n) else { panic!("length {n} does not fit 16 bits") };
    n
}
