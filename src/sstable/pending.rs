//! The entries of the block that is being filled, and how long it will be.
//!
//! What all keys share is known only when the block ends, so entries wait as they came: key, value
//! and some zeros, of which everything behind the prefix is then copied at once.
//!
//! One thread at a time; kept from block to block for its memory.

use crate::base::coding::{align8, u32_of};
use crate::base::{Entry, Kind};

use super::block::SHORT_HEAD_BYTES;
use super::encode::{self, Head, SHORT_NUMBER_MAX, SHORT_SUFFIX_MAX, SHORT_VALUE_MAX};

/// Behind each value, so that it can be copied with its padding.
const ZEROS: [u8; 8] = [0; 8];

/// See the module.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    entries: Vec<Waiting>,
    /// Of each entry, the bytes behind a short head if nothing of its key is in the prefix.
    rests: Vec<u32>,
    shape: Shape,
    /// Where entries lie in the block that was encoded last, divided by 8.
    places: Vec<u32>,
}

struct Waiting {
    at: u32,
    key_bytes: u32,
    value_bytes: u32,
    kind: Kind,
    is_newest: bool,
    number: u64,
    expiry_ms: u64,
}

/// What decides the length of a block.
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    count: usize,
    /// Bytes that all keys share.
    prefix: usize,
    /// Lowest number.
    base: u64,
    /// Highest number, and the longest key and value: who can have a wide head.
    highest: u64,
    key_bytes_max: usize,
    value_bytes_max: usize,
    /// Bytes of the encoded entries.
    entries_bytes: usize,
    /// Bytes of the encoded block.
    pub(super) block_bytes: usize,
}

impl Shape {
    /// The shape of a block of one entry.
    pub(super) fn of(entry: &Entry<'_>) -> Self {
        let (prefix, base) = (entry.key.len(), entry.number);
        let entries_bytes = Head::of(entry, prefix, base).entry_bytes();
        Self {
            count: 1,
            prefix,
            base,
            highest: base,
            key_bytes_max: prefix,
            value_bytes_max: entry.value.len(),
            entries_bytes,
            block_bytes: encode::block_bytes(prefix, entries_bytes, 1),
        }
    }

    /// Whether an entry may have a wide head. What has none keeps to that in a block with a longer
    /// prefix and a higher base.
    #[inline]
    fn has_wide(&self) -> bool {
        self.key_bytes_max - self.prefix > SHORT_SUFFIX_MAX
            || self.value_bytes_max > SHORT_VALUE_MAX
            || self.highest - self.base > SHORT_NUMBER_MAX
    }
}

/// What an entry takes behind a short head without a prefix.
#[inline]
fn rest_of(entry: &Entry<'_>) -> u32 {
    let expiry = if entry.expiry_ms == 0 { 0 } else { 8 };
    u32_of(expiry + entry.key.len() + entry.value.len())
}

impl Pending {
    /// Whether there is no entry.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Length of the block if it were encoded now; 0 without entries.
    #[inline]
    pub(super) fn block_bytes(&self) -> usize {
        self.shape.block_bytes
    }

    /// Key and number of the last entry.
    #[inline]
    pub(super) fn last(&self) -> Option<(&[u8], u64)> {
        let last = self.entries.last()?;
        let at = last.at as usize;
        Some((self.bytes.get(at..at + last.key_bytes as usize)?, last.number))
    }

    /// The shape of the block if `entry` joined, which is after all others and shares `shared` bytes
    /// with the last of them. (What it shares with the first is no more: keys ascend.)
    #[inline]
    pub(super) fn with(&self, entry: &Entry<'_>, shared: usize) -> Shape {
        let old = &self.shape;
        let mut shape = Shape {
            count: old.count + 1,
            prefix: old.prefix.min(shared),
            base: old.base.min(entry.number),
            highest: old.highest.max(entry.number),
            key_bytes_max: old.key_bytes_max.max(entry.key.len()),
            value_bytes_max: old.value_bytes_max.max(entry.value.len()),
            ..*old
        };
        if shape.prefix != old.prefix || (shape.base != old.base && shape.has_wide()) {
            shape.entries_bytes = self.entries_bytes(&shape);
        }
        let head = Head::of(entry, shape.prefix, shape.base);
        shape.entries_bytes += head.entry_bytes();
        shape.block_bytes = encode::block_bytes(shape.prefix, shape.entries_bytes, shape.count);
        shape
    }

    /// What the entries take in a block of this shape.
    fn entries_bytes(&self, shape: &Shape) -> usize {
        let prefix = u32_of(shape.prefix);
        if shape.has_wide() {
            let heads = self.entries.iter().map(|entry| self.head(entry, shape));
            return heads.map(|head| head.entry_bytes()).sum();
        }
        let behind = self.rests.iter().map(|rest| (rest - prefix + 7) & !7).sum::<u32>();
        SHORT_HEAD_BYTES * self.entries.len() + behind as usize
    }

    fn head(&self, waiting: &Waiting, shape: &Shape) -> Head {
        Head::of(&self.entry(waiting), shape.prefix, shape.base)
    }

    #[inline]
    fn entry(&self, waiting: &Waiting) -> Entry<'_> {
        let &Waiting { at, key_bytes, value_bytes, kind, number, expiry_ms, .. } = waiting;
        let (key, rest) = self.bytes[at as usize..].split_at(key_bytes as usize);
        Entry { key, number, kind, expiry_ms, value: &rest[..value_bytes as usize] }
    }

    /// Adds an entry, with which the block has this shape. `is_newest` says whether it is the first
    /// of its key.
    #[inline]
    pub(super) fn push(&mut self, entry: &Entry<'_>, shape: Shape, is_newest: bool) {
        let Entry { key, number, kind, expiry_ms, value } = *entry;
        let (at, key_bytes) = (u32_of(self.bytes.len()), u32_of(key.len()));
        let value_bytes = u32_of(value.len());
        self.bytes.reserve(key.len() + value.len() + ZEROS.len());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(&ZEROS);
        let waiting = Waiting { at, key_bytes, value_bytes, kind, is_newest, number, expiry_ms };
        self.entries.push(waiting);
        self.rests.push(rest_of(entry));
        self.shape = shape;
    }

    /// Appends the encoded block, for which there are entries, to `out`.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>) {
        let Shape { prefix, base, count, entries_bytes, block_bytes, .. } = self.shape;
        out.reserve(block_bytes);
        let begin = out.len();
        encode::put_header(&self.bytes[..prefix], base, (count, entries_bytes), out);
        self.places.clear();
        for waiting in &self.entries {
            self.places.push(u32_of((out.len() - begin) / 8));
            let entry = self.entry(waiting);
            Head::of(&entry, prefix, base).put(out);
            let from = waiting.at as usize + prefix;
            let bytes = align8(entry.key.len() - prefix + entry.value.len());
            out.extend_from_slice(&self.bytes[from..from + bytes]);
        }
        encode::put_places(&self.places, out.len() - begin, out);
        debug_assert_eq!(out.len() - begin, block_bytes);
    }

    /// Places, in the block that was encoded, of the entries that are the newest of their keys.
    pub(super) fn newest_places(&self) -> impl Iterator<Item = u32> + '_ {
        let both = self.entries.iter().zip(&self.places);
        both.filter_map(|(entry, place)| entry.is_newest.then_some(*place))
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.rests.clear();
        self.shape = Shape::default();
    }
}
