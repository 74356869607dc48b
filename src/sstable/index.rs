//! The block index of a section: where the blocks are and which keys they may hold.
//!
//! ```text
//! u32 blocks | u32 pages | u64 data bytes | u16 prefix length | u16 0 | u32 0
//! heads, one a block: u64 first 8 separator bytes after the prefix, big-endian as a number
//!                     u64 offset from the section's begin | u32 first page | u32 separator end
//! common separator prefix | separators without it, one after the other
//! ```
//!
//! The *separator* of a block is at or after its last entry and before the next block's first,
//! in internal order. It is a key alone (then it stands for every version of that key), or, with
//! the top bit of `separator end`, a key followed by a u64 number: the next block goes on with
//! more versions of that key. Separator ends count from the end of the prefix.
//!
//! The logical data stream of a section is divided into *pages* of `block_bytes`; a block begins
//! at a page, and one that is longer than a page spans several. Immutable once decoded.

use std::cmp::Ordering;

use crate::base::coding::{Put, u32_of};
use crate::base::key::compare;

use crate::mem::prefetch;

use super::format::{LZ4_RATIO_MAX, TRAILER_BYTES, u16_at, u32_at, u64_at};

const HEADER_BYTES: usize = 24;
const HEAD_BYTES: usize = 24;
/// In `separator end`: the last eight bytes of the separator are a number.
const HAS_NUMBER: u32 = 1 << 31;

/// Collects the index while a section is written.
#[derive(Default)]
pub(super) struct IndexBuilder {
    /// Offset, first page, separator end of each block.
    blocks: Vec<(u64, u32, u32)>,
    separators: Vec<u8>,
}

impl IndexBuilder {
    /// Adds the block at `offset` from the section's begin, whose last entry is (`last`,
    /// `number`). `next` is the first key of the next block, or none at the end.
    pub(super) fn add(
        &mut self,
        offset: u64,
        first_page: u32,
        (last, number): (&[u8], u64),
        next: Option<&[u8]>,
    ) {
        let mut flag = 0;
        match next {
            Some(next) if next == last => {
                self.separators.extend_from_slice(last);
                self.separators.put_u64(number);
                flag = HAS_NUMBER;
            }
            Some(next) => extend_with_separator(&mut self.separators, last, next),
            None => self.separators.extend_from_slice(last),
        }
        let end = u32_of(self.separators.len());
        assert!(end & HAS_NUMBER == 0, "the separators of a section fit 2 GiB");
        self.blocks.push((offset, first_page, end | flag));
    }

    /// The encoded index of data that is `data_bytes` bytes and `pages` pages long.
    pub(super) fn encode(&self, data_bytes: u64, pages: u32) -> Vec<u8> {
        let prefix = self.common_prefix();
        let mut out = Vec::new();
        out.put_u32(u32_of(self.blocks.len()));
        out.put_u32(pages);
        out.put_u64(data_bytes);
        out.put_u32(u32_of(prefix.len()));
        out.put_u32(0);
        let mut start = 0;
        let mut shorter = 0;
        let mut suffixes = Vec::with_capacity(self.separators.len());
        for (offset, page, end_and_flag) in &self.blocks {
            let end = (end_and_flag & !HAS_NUMBER) as usize;
            let suffix = &self.separators[start + prefix.len()..end];
            shorter += u32_of(prefix.len());
            let key_bytes =
                if end_and_flag & HAS_NUMBER == 0 { suffix.len() } else { suffix.len() - 8 };
            out.put_u64(head_of(&suffix[..key_bytes]));
            out.put_u64(*offset);
            out.put_u32(*page);
            out.put_u32(end_and_flag - shorter);
            suffixes.extend_from_slice(suffix);
            start = end;
        }
        out.extend_from_slice(prefix);
        out.extend_from_slice(&suffixes);
        out
    }

    /// What all separators (their keys) begin with: separators ascend, so the first and the last
    /// decide.
    fn common_prefix(&self) -> &[u8] {
        let key = |i: usize| {
            let start = if i == 0 { 0 } else { self.blocks[i - 1].2 & !HAS_NUMBER };
            let (_, _, end) = self.blocks[i];
            let number = if end & HAS_NUMBER == 0 { 0 } else { 8 };
            &self.separators[start as usize..(end & !HAS_NUMBER) as usize - number]
        };
        if self.blocks.is_empty() {
            return &[];
        }
        let first = key(0);
        &first[..shared(first, key(self.blocks.len() - 1)).min(usize::from(u16::MAX))]
    }
}

/// Bytes that `a` and `b` begin with alike.
#[inline]
pub(super) fn shared(a: &[u8], b: &[u8]) -> usize {
    let mut alike = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let differ = word(a) ^ word(b);
        if differ != 0 {
            return alike + differ.trailing_zeros() as usize / 8;
        }
        alike += 8;
    }
    alike + a[alike..].iter().zip(&b[alike..]).take_while(|(a, b)| a == b).count()
}

/// Eight bytes, the first of them lowest.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Appends a short key that is at or after `last` and before `next`; `last` is before `next`.
fn extend_with_separator(out: &mut Vec<u8>, last: &[u8], next: &[u8]) {
    let alike = shared(last, next);
    if next.len() > alike + 1 && alike < last.len() {
        // One byte of difference from `last`, and shorter than `next`.
        out.extend_from_slice(&next[..=alike]);
    } else {
        out.extend_from_slice(last);
    }
}

/// The first eight bytes, zero-padded, as a number that orders like them.
#[inline]
#[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
fn head_of(suffix: &[u8]) -> u64 {
    let mut head = [0; 8];
    let n = suffix.len().min(8);
    head[..n].copy_from_slice(&suffix[..n]);
    u64::from_be_bytes(head)
}

/// A decoded index. All its numbers were checked against each other and the section's size.
///
/// A seek touches the samples, which stay in the cache, one window of heads and one of pages, each
/// a few neighbouring lines; the rest only where heads are alike.
pub(super) struct Index {
    bytes: Box<[u8]>,
    blocks: usize,
    pages: u32,
    data_bytes: u64,
    prefix_bytes: usize,
    /// The heads, side by side.
    heads: Box<[u64]>,
    /// The first pages, side by side.
    first_pages: Box<[u32]>,
    /// The last head of each window of `WINDOW` heads.
    samples: Box<[u64]>,
}

/// Heads in a window: two lines.
pub(super) const WINDOW: usize = 16;

/// How far a search in an index has come: the answer lies in the window that begins at `from`, but
/// for heads that are alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: usize,
    head: u64,
}

/// Where a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BlockPlace {
    /// From the section's begin.
    pub(super) offset: u64,
    /// Without the trailer.
    pub(super) stored_bytes: u64,
    /// The first page and the first page after it.
    pub(super) pages: (u32, u32),
}

impl Index {
    /// Decodes and checks everything but the order of the separators. None if anything does not
    /// fit; `data_bytes` and `page_bytes` are what the properties say. No block has more pages
    /// than its stored bytes could decode to (T5).
    pub(super) fn decode(bytes: Box<[u8]>, data_bytes: u64, page_bytes: usize) -> Option<Self> {
        let blocks = u32_at(&bytes, 0)?;
        let pages = u32::try_from(u32_at(&bytes, 4)?).ok()?;
        let found_data_bytes = u64_at(&bytes, 8)?;
        let prefix_bytes = u16_at(&bytes, 16)?;
        let reserved = (u16_at(&bytes, 18)?, u32_at(&bytes, 20)?);
        let mut index = Self {
            bytes,
            blocks,
            pages,
            data_bytes,
            prefix_bytes,
            heads: Box::default(),
            first_pages: Box::default(),
            samples: Box::default(),
        };
        let separators = index.separators_begin()?;
        let rest = index.bytes.len().checked_sub(separators)?;
        if blocks == 0 || reserved != (0, 0) || found_data_bytes != data_bytes {
            return None;
        }
        let (mut offset, mut page, mut end) = (0, 0, 0);
        for i in 0..blocks {
            let place = index.place(i)?;
            if place.offset != offset || place.pages.0 != page || place.pages.1 <= page {
                return None;
            }
            let pages = u64::from(place.pages.1 - page);
            let decoded_most = place.stored_bytes.saturating_mul(LZ4_RATIO_MAX as u64);
            if pages > decoded_most.div_ceil(page_bytes as u64) {
                return None;
            }
            offset = offset.checked_add(place.stored_bytes)?.checked_add(TRAILER_BYTES as u64)?;
            page = place.pages.1;
            let (start, next_end, number) = index.separator_range(i)?;
            let key_bytes = next_end.checked_sub(start)?.checked_sub(if number { 8 } else { 0 })?;
            let at = separators.checked_add(start)?;
            let key = index.bytes.get(at..at.checked_add(key_bytes)?)?;
            if index.head(i)? != head_of(key) {
                return None;
            }
            end = next_end;
        }
        if offset != data_bytes || page != pages || end != rest {
            return None;
        }
        index.spread();
        Some(index)
    }

    /// Fills what searches use. The blocks are all there, which bounds what this takes.
    fn spread(&mut self) {
        self.heads = (0..self.blocks).filter_map(|i| self.head(i)).collect();
        self.first_pages = (0..self.blocks).filter_map(|i| self.page(i)).collect();
        self.samples =
            self.heads.chunks(WINDOW).filter_map(|window| window.last()).copied().collect();
    }

    /// Blocks, at least one.
    pub(super) fn len(&self) -> usize {
        self.blocks
    }

    /// Pages of the section's logical data stream.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
            + (self.heads.len() + self.samples.len()) * size_of::<u64>()
            + self.first_pages.len() * size_of::<u32>()
    }

    /// The first page of block `i`, or none past the end.
    #[inline]
    pub(super) fn first_page(&self, i: usize) -> Option<usize> {
        usize::try_from(*self.first_pages.get(i)?).ok()
    }

    /// Where block `i` is, or none past the end.
    pub(super) fn place(&self, i: usize) -> Option<BlockPlace> {
        if i >= self.blocks {
            return None;
        }
        let offset = self.offset(i)?;
        let page = self.page(i)?;
        let (next_offset, next_page) = if i + 1 == self.blocks {
            (self.data_bytes, self.pages)
        } else {
            (self.offset(i + 1)?, self.page(i + 1)?)
        };
        let stored_bytes = next_offset.checked_sub(offset)?.checked_sub(TRAILER_BYTES as u64)?;
        Some(BlockPlace { offset, stored_bytes, pages: (page, next_page) })
    }

    /// The end of a run of blocks from `i` on, of which there are at most `count` and, if that is
    /// more than one, at most `bytes` on disk.
    pub(super) fn reach(&self, i: usize, count: usize, bytes: u64) -> usize {
        let begin = self.offset(i).unwrap_or(0);
        let last = i.saturating_add(count).min(self.blocks);
        let fits = |end: &usize| {
            let end = if *end == self.blocks { Some(self.data_bytes) } else { self.offset(*end) };
            end.is_some_and(|end| end - begin <= bytes)
        };
        (i + 1..=last).take_while(fits).last().unwrap_or((i + 1).min(self.blocks))
    }

    /// The first block that may hold entries at or after (`key`, `number`) in internal order, or
    /// the number of blocks.
    #[inline]
    pub(super) fn seek(&self, key: &[u8], number: u64) -> usize {
        self.seek_in(self.window(key), key, number)
    }

    /// Begins a seek, and begins to bring into the cache what its end reads.
    #[inline]
    pub(super) fn window(&self, key: &[u8]) -> Window {
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            let (from, head) = if prefix < key { (self.blocks, u64::MAX) } else { (0, 0) };
            return Window { from, head };
        };
        let head = head_of(suffix);
        let from = self.samples.partition_point(|sample| *sample < head) * WINDOW;
        let window = Window { from, head };
        // They need not begin with a line.
        for line in 0..=WINDOW / 8 {
            prefetch(self.heads.as_ptr().wrapping_add(from + line * 8));
        }
        for line in 0..=WINDOW / 16 {
            prefetch(self.first_pages.as_ptr().wrapping_add(from + line * 16));
        }
        window
    }

    /// About the first page of block `i`.
    #[inline]
    pub(super) fn page_near(&self, i: usize) -> usize {
        let pages = self.pages as usize;
        if pages == self.blocks { i } else { i.saturating_mul(pages) / self.blocks.max(1) }
    }

    /// Ends a seek that [`Self::window`] began for the same key.
    #[inline]
    pub(super) fn seek_in(&self, window: Window, key: &[u8], number: u64) -> usize {
        let Window { from, head } = window;
        let end = (from + WINDOW).min(self.blocks);
        let Some(heads) = self.heads.get(from..end) else { return self.blocks };
        let found = from + heads.partition_point(|other| *other < head);
        if self.heads.get(found) == Some(&head) {
            return self.seek_alike(found, key, number);
        }
        found
    }

    /// Ends a seek among the blocks from `from` on, whose heads may be that of the key.
    fn seek_alike(&self, from: usize, key: &[u8], number: u64) -> usize {
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return if prefix < key { self.blocks } else { 0 };
        };
        let head = head_of(suffix);
        self.partition(from, |i| {
            let order = match self.heads.get(i).unwrap_or(&0).cmp(&head) {
                Ordering::Equal => {
                    let (found, found_number) = self.separator_suffix(i);
                    compare((found, found_number), (suffix, number))
                }
                order => order,
            };
            order == Ordering::Less
        })
    }

    /// Whether the versions of block `i`'s last key go on in the next block.
    #[inline]
    pub(super) fn goes_on(&self, i: usize) -> bool {
        self.separator_end(i).is_some_and(|end| end & HAS_NUMBER != 0)
    }

    /// The block that page `page` belongs to, or none past the end.
    pub(super) fn block_of_page(&self, page: u32) -> Option<usize> {
        let after = self.partition(0, |i| self.page(i).is_some_and(|first| first <= page));
        if page < self.pages { after.checked_sub(1) } else { None }
    }

    /// The separator of block `i` as an internal key.
    #[cfg(test)]
    pub(super) fn separator(&self, i: usize) -> (Vec<u8>, u64) {
        let (suffix, number) = self.separator_suffix(i);
        ([self.prefix(), suffix].concat(), number)
    }

    /// The number of blocks for which `before` holds; it holds for the first ones only, of which
    /// there are at least `low`.
    fn partition(&self, mut low: usize, before: impl Fn(usize) -> bool) -> usize {
        let mut high = self.blocks;
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn prefix(&self) -> &[u8] {
        let end = self.separators_begin().unwrap_or(0);
        self.bytes.get(end.saturating_sub(self.prefix_bytes)..end).unwrap_or_default()
    }

    /// The separator of block `i` without the prefix, and its number (0: all versions).
    fn separator_suffix(&self, i: usize) -> (&[u8], u64) {
        let found = (|| {
            let (start, end, has_number) = self.separator_range(i)?;
            let base = self.separators_begin()?;
            let bytes = self.bytes.get(base.checked_add(start)?..base.checked_add(end)?)?;
            if !has_number {
                return Some((bytes, 0));
            }
            let (key, number) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
            Some((key, u64_at(number, 0)?))
        })();
        // `decode` has seen that every separator is inside.
        found.unwrap_or_default()
    }

    /// From where to where separator `i` lies behind the prefix, and whether a number ends it.
    fn separator_range(&self, i: usize) -> Option<(usize, usize, bool)> {
        let start = if i == 0 { 0 } else { self.separator_end(i - 1)? & !HAS_NUMBER };
        let end = self.separator_end(i)?;
        let has_number = end & HAS_NUMBER != 0;
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end & !HAS_NUMBER).ok()?);
        (start <= end).then_some((start, end, has_number))
    }

    fn separators_begin(&self) -> Option<usize> {
        self.blocks.checked_mul(HEAD_BYTES)?.checked_add(HEADER_BYTES + self.prefix_bytes)
    }

    #[inline]
    fn head(&self, i: usize) -> Option<u64> {
        u64_at(&self.bytes, HEADER_BYTES + i * HEAD_BYTES)
    }

    fn offset(&self, i: usize) -> Option<u64> {
        u64_at(&self.bytes, HEADER_BYTES + i * HEAD_BYTES + 8)
    }

    #[inline]
    fn page(&self, i: usize) -> Option<u32> {
        u32::try_from(u32_at(&self.bytes, HEADER_BYTES + i * HEAD_BYTES + 16)?).ok()
    }

    fn separator_end(&self, i: usize) -> Option<u32> {
        u32::try_from(u32_at(&self.bytes, HEADER_BYTES + i * HEAD_BYTES + 20)?).ok()
    }
}
