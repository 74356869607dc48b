//! A decoded data block: how it is laid out and searched. `encode` builds it.
//!
//! ```text
//! u32 entries | u16 prefix length | u8 flags | u8 0 | u64 base number
//! common key prefix, zeros up to a multiple of 8
//! entries, each at a multiple of 8 and padded with zeros up to one
//! places: one u16 (u32 if flag WIDE_PLACES) an entry, its offset / 8
//!
//! entry, short: u8 tag | u8 suffix length  | u16 value length | u32 number - base
//! entry, wide:  u8 tag | u8 0 | u16 suffix length | u32 value length | u64 number - base
//! then [u64 expiry ms] | key suffix | value
//! ```
//!
//! [`Block::parse`] of hostile bytes never panics, and whatever a hostile block answers lies
//! inside it; [`Block::check`] proves the rest of T7 when a block is read. A block belongs to
//! nobody: it is a view.

use std::cmp::Ordering;

use crate::base::coding::align8;
use crate::base::{Kind, key::is_equal};

use super::format::{u16_at, u32_at, u64_at};
use super::key_buf::CHUNK_BYTES;
use crate::mem::prefetch;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const FLAG_WIDE_PLACES: u8 = 1;
/// In memory only: heads follow the places. See [`add_heads`].
const FLAG_HEADS: u8 = 2;
const HEAD_BYTES: usize = 4;
/// Where places and heads of a page of entries of 100 bytes lie.
const TAIL_BYTES: usize = 256;
/// Where a walk begins so many lines are asked for.
const WALK_LINES: usize = 12;
/// Places beyond this do not fit a u16.
pub(super) const NARROW_BYTES_MAX: usize = 8 * (u16::MAX as usize);

const TAG_KIND: u8 = 0b0000_0111;
pub(super) const TAG_EXPIRY: u8 = 0b0000_1000;
pub(super) const TAG_WIDE: u8 = 0b0001_0000;
// 0b0010_0000 is kept for "the value is a blob pointer"; the other two bits are 0.
pub(super) const SHORT_HEAD_BYTES: usize = 8;
pub(super) const WIDE_HEAD_BYTES: usize = 16;

/// Puts the *heads* of its entries behind a block, as it stays in memory: the first four bytes of
/// each key suffix, so that a search touches a few neighbouring lines and then one entry. `room`
/// begins with the block, `len` bytes that passed [`Block::check`]; returns how long it is now. One
/// entry needs no heads, and without room for them a search does without.
pub(super) fn add_heads(room: &mut [u8], len: usize) -> usize {
    let Some((bytes, rest)) = room.split_at_mut_checked(len) else { return len };
    let Some(block) = Block::parse(bytes).filter(|block| !block.shape.heads) else { return len };
    let count = block.count();
    let Some(heads) = rest.get_mut(..count * HEAD_BYTES).filter(|_| count > 1) else { return len };
    for (i, head) in heads.chunks_exact_mut(HEAD_BYTES).enumerate() {
        let suffix = block.entry(i).map_or(&[][..], |entry| entry.suffix);
        head.copy_from_slice(&head_of(suffix).to_le_bytes());
    }
    bytes[6] |= FLAG_HEADS;
    len + count * HEAD_BYTES
}

/// The first four bytes, zero-padded, as a number that orders like them.
#[inline]
#[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
fn head_of(suffix: &[u8]) -> u32 {
    if let Some(head) = suffix.first_chunk() {
        return u32::from_be_bytes(*head);
    }
    let mut head = [0; HEAD_BYTES];
    head[..suffix.len()].copy_from_slice(suffix);
    u32::from_be_bytes(head)
}

/// What the header of a block says, checked against its length: with it the block need not be
/// parsed again.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    base: u64,
    count: usize,
    prefix_bytes: usize,
    entries_end: usize,
    wide: bool,
    heads: bool,
}

/// A view of a decoded block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    shape: Shape,
}

/// One entry of a block: its key without the prefix, its value by place.
#[derive(Clone, Copy)]
pub(super) struct BlockEntry<'a> {
    pub(super) suffix: &'a [u8],
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) expiry_ms: u64,
    /// Where the value lies in the block.
    pub(super) value_at: usize,
    pub(super) value: &'a [u8],
    /// Where the next entry begins.
    pub(super) end: usize,
}

/// The block is one that [`Block::check`] would refuse.
pub(super) struct Contradiction;

/// Where the parts of an entry lie in its block.
#[derive(Clone, Copy)]
pub(super) struct Spans {
    pub(super) suffix_at: usize,
    pub(super) value_at: usize,
    pub(super) value_end: usize,
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) expiry_ms: u64,
}

impl Spans {
    /// Where the next entry begins.
    #[inline]
    pub(super) fn end(&self) -> usize {
        align8(self.value_end)
    }
}

impl<'a> Block<'a> {
    /// Reads the header. None if it contradicts the length.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let count = u32_at(bytes, 0)?;
        let prefix_bytes = u16_at(bytes, 4)?;
        let flags = u16_at(bytes, 6)?;
        let base = u64_at(bytes, 8)?;
        bytes.get(HEADER_BYTES..HEADER_BYTES + prefix_bytes)?;
        let wide = flags & usize::from(FLAG_WIDE_PLACES) != 0;
        let heads = flags & usize::from(FLAG_HEADS) != 0;
        if count == 0 || flags & !usize::from(FLAG_WIDE_PLACES | FLAG_HEADS) != 0 {
            return None;
        }
        let place_bytes = if wide { 4 } else { 2 } + if heads { HEAD_BYTES } else { 0 };
        let entries_end = bytes.len().checked_sub(count.checked_mul(place_bytes)?)?;
        Some(Self { bytes, shape: Shape { base, count, prefix_bytes, entries_end, wide, heads } })
    }

    /// The block of which [`Self::shape`] was taken.
    #[inline]
    pub(super) fn of(bytes: &'a [u8], shape: Shape) -> Self {
        Self { bytes, shape }
    }

    /// What the header says.
    #[inline]
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Entries, at least one.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.shape.count
    }

    /// What all keys begin with.
    #[inline]
    pub(super) fn prefix(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..HEADER_BYTES + self.shape.prefix_bytes).unwrap_or_default()
    }

    /// Where entry `i` begins.
    #[inline]
    pub(super) fn offset(&self, i: usize) -> Option<usize> {
        let places = self.bytes.get(self.shape.entries_end..)?;
        let place = if self.shape.wide { u32_at(places, i * 4)? } else { u16_at(places, i * 2)? };
        place.checked_mul(8)
    }

    /// Bytes `from..to`, which are those of an entry.
    #[inline]
    pub(super) fn bytes(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Begins to bring what [`Self::lower_bound`] reads of `bytes`, a block, into the cache.
    #[inline]
    pub(super) fn prefetch_search(bytes: &[u8], has_heads: bool) {
        prefetch(bytes.as_ptr());
        if !has_heads {
            for quarter in 1..4 {
                let at = bytes.as_ptr().wrapping_add(bytes.len() / 4 * quarter);
                prefetch(at);
                prefetch(at.wrapping_sub(64));
            }
        }
        // Places and heads of as many entries as a page of small ones has.
        let tail = bytes.len().saturating_sub(TAIL_BYTES);
        for line in 0..TAIL_BYTES / 64 {
            prefetch(bytes.as_ptr().wrapping_add(tail + line * 64));
        }
    }

    /// Begins to bring the first lines of `bytes`, a block, into the cache.
    #[inline]
    pub(super) fn prefetch_begin(bytes: &[u8], lines: usize) {
        for line in 0..lines {
            prefetch(bytes.as_ptr().wrapping_add(line * 64));
        }
    }

    /// Where the first entry begins.
    #[inline]
    pub(super) fn first_offset(&self) -> usize {
        align8(HEADER_BYTES + self.shape.prefix_bytes)
    }

    /// Begins to bring `lines` lines from entry `i` on into the cache.
    #[inline]
    pub(super) fn prefetch_entry(&self, i: usize, lines: usize) {
        if let Some(offset) = self.offset(i) {
            self.prefetch_at(offset, lines);
        }
    }

    /// Begins to bring `lines` lines from byte `at` on into the cache.
    #[inline]
    pub(super) fn prefetch_at(&self, at: usize, lines: usize) {
        for line in 0..lines {
            prefetch(self.bytes.as_ptr().wrapping_add(at + line * 64));
        }
    }

    /// Where the parts of the entry at byte `at` lie. None if it is not wholly inside; at any other
    /// place than the beginning of an entry the answer is meaningless, but inside the block.
    #[inline(always)]
    pub(super) fn spans_at(&self, at: usize) -> Option<Spans> {
        let bytes = self.bytes.get(..self.shape.entries_end)?;
        let head = u64_at(bytes, at)?;
        let [tag, suffix_len, ..] = head.to_le_bytes();
        if tag & !TAG_KIND != 0 {
            return self.rare_spans_at(at);
        }
        let kind = Kind::from_u8(tag)?;
        let number = self.shape.base.checked_add(head >> 32)?;
        let suffix_at = at + SHORT_HEAD_BYTES;
        let value_at = suffix_at + usize::from(suffix_len);
        let value_end = value_at + (head >> 16 & 0xffff) as usize;
        let inside = value_end <= bytes.len();
        inside.then_some(Spans { suffix_at, value_at, value_end, number, kind, expiry_ms: 0 })
    }

    /// [`Self::spans_at`] for the common entry, a put in the short form without an expiry, and the first
    /// bytes of its suffix with whatever follows them. None for others, and close to the block's end.
    #[inline(always)]
    pub(super) fn put_at(&self, at: usize) -> Option<(Spans, &'a [u8; CHUNK_BYTES])> {
        let head = u64_at(self.bytes, at)?;
        let [tag, suffix_len, ..] = head.to_le_bytes();
        let number = self.shape.base.checked_add(head >> 32)?;
        let suffix_at = at + SHORT_HEAD_BYTES;
        let value_at = suffix_at + usize::from(suffix_len);
        let value_end = value_at + (head >> 16 & 0xffff) as usize;
        let chunk = self.bytes.get(suffix_at..suffix_at + CHUNK_BYTES)?.first_chunk()?;
        let is_put = tag == Kind::Put as u8 && value_end <= self.shape.entries_end;
        let spans = Spans { suffix_at, value_at, value_end, number, kind: Kind::Put, expiry_ms: 0 };
        is_put.then_some((spans, chunk))
    }

    /// The first bytes of the suffix that begins at `at` with whatever follows them, if there are so
    /// many.
    #[inline]
    pub(super) fn chunk(&self, at: usize) -> Option<&'a [u8; CHUNK_BYTES]> {
        self.bytes.get(at..at + CHUNK_BYTES)?.first_chunk()
    }

    /// [`Self::spans_at`] as slices.
    #[inline(always)]
    pub(super) fn entry_at(&self, at: usize) -> Option<BlockEntry<'a>> {
        let spans = self.spans_at(at)?;
        let Spans { suffix_at, value_at, value_end, number, kind, expiry_ms } = spans;
        let suffix = self.bytes.get(suffix_at..value_at)?;
        let value = self.bytes.get(value_at..value_end)?;
        let end = spans.end();
        Some(BlockEntry { suffix, number, kind, expiry_ms, value_at, value, end })
    }

    /// [`Self::spans_at`] for wide entries and those with an expiry.
    fn rare_spans_at(&self, at: usize) -> Option<Spans> {
        let bytes = self.bytes.get(..self.shape.entries_end)?;
        let tag = *bytes.get(at)?;
        let (suffix_len, value_len, delta, mut next);
        if tag & TAG_WIDE == 0 {
            let head = u64_at(bytes, at)?.to_le_bytes();
            suffix_len = usize::from(head[1]);
            value_len = u16_at(&head, 2)?;
            delta = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
            next = at + SHORT_HEAD_BYTES;
        } else {
            suffix_len = u16_at(bytes, at + 2)?;
            value_len = u32_at(bytes, at + 4)?;
            delta = u64_at(bytes, at + 8)?;
            next = at + WIDE_HEAD_BYTES;
        }
        let mut expiry_ms = 0;
        if tag & TAG_EXPIRY != 0 {
            expiry_ms = u64_at(bytes, next)?;
            next += 8;
        }
        if tag & !(TAG_KIND | TAG_EXPIRY | TAG_WIDE) != 0 {
            return None;
        }
        let kind = Kind::from_u8(tag & TAG_KIND)?;
        let value_at = next.checked_add(suffix_len)?;
        let value_end = value_at.checked_add(value_len).filter(|end| *end <= bytes.len())?;
        let number = self.shape.base.checked_add(delta)?;
        Some(Spans { suffix_at: next, value_at, value_end, number, kind, expiry_ms })
    }

    /// Entry `i`.
    #[inline]
    pub(super) fn entry(&self, i: usize) -> Option<BlockEntry<'a>> {
        self.entry_at(self.offset(i)?)
    }

    /// The entry at byte `at`, if that is one of `key`.
    #[inline(always)]
    pub(super) fn entry_of(&self, at: usize, key: &[u8]) -> Option<BlockEntry<'a>> {
        let (prefix, suffix) = key.split_at_checked(self.shape.prefix_bytes)?;
        let entry = self.entry_at(at)?;
        (is_equal(suffix, entry.suffix) && is_equal(prefix, self.prefix())).then_some(entry)
    }

    /// The newest entry of `key` with a number of at most `number`, if this block has it.
    pub(super) fn find(
        &self,
        key: &[u8],
        number: u64,
    ) -> std::result::Result<Option<BlockEntry<'a>>, Contradiction> {
        let at = self.lower_bound(key, number).ok_or(Contradiction)?;
        if at == self.count() {
            // The separator is after the last entry, and the next block begins after `key`.
            return Ok(None);
        }
        let entry = self.entry(at).ok_or(Contradiction)?;
        Ok((key.strip_prefix(self.prefix()) == Some(entry.suffix)).then_some(entry))
    }

    /// The number of entries before (`key`, `number`) in internal order. None only for a block
    /// that [`Self::check`] would refuse. Begins to bring what follows into the cache.
    pub(super) fn lower_bound(&self, key: &[u8], number: u64) -> Option<usize> {
        let Some(suffix) = key.strip_prefix(self.prefix()) else {
            // All keys are on the same side of `key`.
            return Some(if self.prefix() < key { self.count() } else { 0 });
        };
        let (mut low, mut high) = self.alike(suffix);
        if self.shape.heads {
            // Together with the one that is compared.
            self.prefetch_entry(low, WALK_LINES);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if !self.shape.heads && high - low > 4 {
                self.prefetch_entry(low + (middle - low) / 2, 1);
                self.prefetch_entry(middle + 1 + (high - middle - 1) / 2, 1);
            }
            let entry = self.entry(middle)?;
            if crate::base::key::compare((entry.suffix, entry.number), (suffix, number)).is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low)
    }

    /// The entries whose heads are that of `suffix`; all, if the block has no heads.
    #[inline]
    fn alike(&self, suffix: &[u8]) -> (usize, usize) {
        if !self.shape.heads {
            return (0, self.count());
        }
        let begin = self.bytes.len() - self.count() * HEAD_BYTES;
        let mut heads = self.bytes.get(begin..).unwrap_or_default();
        let wanted = head_of(suffix);
        let head = |bytes: &[u8]| {
            bytes.first_chunk().map_or(0, |head: &[u8; HEAD_BYTES]| u32::from_le_bytes(*head))
        };
        let mut passed = 0;
        // Few enough are compared one by one: no branch, and the processor takes several at once.
        while heads.len() > 64 * HEAD_BYTES {
            let half = heads.len() / HEAD_BYTES / 2;
            let (left, right) = heads.split_at(half * HEAD_BYTES);
            match head(right).cmp(&wanted) {
                Ordering::Less => (heads, passed) = (right, passed + half),
                // Equal ones may lie on both sides.
                Ordering::Equal => return (passed, passed + heads.len() / HEAD_BYTES),
                Ordering::Greater => heads = left,
            }
        }
        let (mut less, mut more) = (0, 0);
        for bytes in heads.chunks_exact(HEAD_BYTES) {
            let found = head(bytes);
            less += u32::from(found < wanted);
            more += u32::from(found <= wanted);
        }
        (passed + less as usize, passed + more as usize)
    }

    /// Whether the block is laid out as the format says (T7): entries follow each other without a
    /// gap, every place names one, padding and reserved bytes are 0. Order is not looked at.
    pub(super) fn check(&self) -> bool {
        self.check_entries().is_some()
    }

    fn check_entries(&self) -> Option<()> {
        let prefix_end = HEADER_BYTES + self.shape.prefix_bytes;
        let mut at = align8(prefix_end);
        self.zeros(prefix_end, at)?;
        for i in 0..self.count() {
            if self.offset(i)? != at {
                return None;
            }
            let entry = self.entry_at(at)?;
            self.zeros(entry.value_at + entry.value.len(), entry.end)?;
            at = entry.end;
        }
        let narrow = self.shape.entries_end <= NARROW_BYTES_MAX;
        (at == self.shape.entries_end && narrow != self.shape.wide && !self.shape.heads)
            .then_some(())
    }

    fn zeros(&self, from: usize, to: usize) -> Option<()> {
        self.bytes.get(from..to)?.iter().all(|b| *b == 0).then_some(())
    }
}
