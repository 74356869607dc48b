//! The entries of the block that is being filled, and how long it will be.
//!
//! What all keys share is known only when the block ends, so entries wait as they came: key, value
//! and some zeros, of which everything behind the prefix is then copied at once.
//!
//! One thread at a time; kept from block to block for its memory.

use std::mem::take;

use crate::base::coding::{align8, u32_of};
use crate::base::{Entry, Kind};

use super::encode::{self, Head, SHORT_NUMBER_MAX, SHORT_SUFFIX_MAX, SHORT_VALUE_MAX};

/// Zeros behind each value, so that it can be copied with its padding.
const ZEROS: usize = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Pending {
    /// Key, value and zeros of each entry, and room for more.
    bytes: Vec<u8>,
    used: usize,
    entries: Vec<Waiting>,
    /// Bytes that all keys share, and the lowest number.
    prefix: usize,
    base: u64,
    /// Highest number, and the longest key and value: whether there can be a wide head.
    highest: u64,
    key_bytes_max: usize,
    value_bytes_max: usize,
    /// Bytes of the encoded entries, and of the encoded block.
    entries_bytes: usize,
    block_bytes: usize,
    /// Where entries lie in the block that was encoded last, divided by 8.
    places: Vec<u32>,
}

struct Waiting {
    number: u64,
    expiry_ms: u64,
    at: usize,
    key_bytes: usize,
    value_bytes: usize,
    kind: Kind,
    is_newest: bool,
}

impl Waiting {
    #[inline]
    fn head(&self, prefix: usize, base: u64) -> Head {
        let lengths = (self.key_bytes - prefix, self.value_bytes);
        Head::new(self.kind, lengths, self.number - base, self.expiry_ms)
    }
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
        self.block_bytes
    }

    /// Key and number of the last entry.
    #[inline]
    pub(super) fn last(&self) -> Option<(&[u8], u64)> {
        let last = self.entries.last()?;
        Some((self.bytes.get(last.at..last.at + last.key_bytes)?, last.number))
    }

    /// Adds an entry that comes after all others and shares `shared` bytes of its key with the last
    /// of them, unless the block would be longer than `most`. (What it shares with the first is what
    /// all share: keys ascend.) `is_newest` says whether it is the first of its key.
    #[inline]
    pub(super) fn push(
        &mut self,
        entry: &Entry<'_>,
        shared: usize,
        is_newest: bool,
        most: usize,
    ) -> bool {
        let (prefix, base, before) = if self.is_empty() {
            (entry.key.len(), entry.number, 0)
        } else if shared >= self.prefix && entry.number >= self.base {
            (self.prefix, self.base, self.entries_bytes)
        } else {
            let (prefix, base) = (self.prefix.min(shared), self.base.min(entry.number));
            (prefix, base, self.entries_bytes_with(prefix, base))
        };
        let entries_bytes = before + Head::of(entry, prefix, base).entry_bytes();
        let block_bytes = encode::block_bytes(prefix, entries_bytes, self.entries.len() + 1);
        if block_bytes > most {
            return false;
        }
        (self.prefix, self.base) = (prefix, base);
        (self.entries_bytes, self.block_bytes) = (entries_bytes, block_bytes);
        self.keep(entry, is_newest);
        true
    }

    #[inline]
    fn keep(&mut self, entry: &Entry<'_>, is_newest: bool) {
        let Entry { key, number, kind, expiry_ms, value } = *entry;
        self.highest = self.highest.max(number);
        self.key_bytes_max = self.key_bytes_max.max(key.len());
        self.value_bytes_max = self.value_bytes_max.max(value.len());
        let (at, key_bytes, value_bytes) = (self.used, key.len(), value.len());
        self.used += key_bytes + value_bytes + ZEROS;
        if self.used > self.bytes.len() {
            self.bytes.resize(2 * self.used, 0);
        }
        let (key_at, rest) = self.bytes[at..self.used].split_at_mut(key_bytes);
        key_at.copy_from_slice(key);
        let (value_at, zeros) = rest.split_at_mut(value_bytes);
        value_at.copy_from_slice(value);
        if let Some(zeros) = zeros.first_chunk_mut() {
            *zeros = [0; ZEROS];
        }
        self.entries.push(Waiting {
            number,
            expiry_ms,
            at,
            key_bytes,
            value_bytes,
            kind,
            is_newest,
        });
    }

    /// What the entries take in a block with this prefix and this base, which are no longer and no
    /// higher than those so far.
    fn entries_bytes_with(&self, prefix: usize, base: u64) -> usize {
        // What has a short head keeps it in a block with a longer prefix and a higher base.
        if prefix == self.prefix && !self.has_wide(prefix, base) {
            return self.entries_bytes;
        }
        self.entries.iter().map(|waiting| waiting.head(prefix, base).entry_bytes()).sum()
    }

    /// Whether an entry may have a wide head.
    #[inline]
    fn has_wide(&self, prefix: usize, base: u64) -> bool {
        self.key_bytes_max - prefix > SHORT_SUFFIX_MAX
            || self.value_bytes_max > SHORT_VALUE_MAX
            || self.highest - base > SHORT_NUMBER_MAX
    }

    /// Appends the encoded block, for which there are entries, to `out`.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>) {
        let (prefix, base) = (self.prefix, self.base);
        out.reserve(self.block_bytes);
        let begin = out.len();
        let count = self.entries.len();
        encode::put_header(&self.bytes[..prefix], base, (count, self.entries_bytes), out);
        let first = out.len();
        out.resize(first + self.entries_bytes, 0);
        let mut room = &mut out[first..];
        let end = first - begin + room.len();
        self.places.clear();
        for waiting in &self.entries {
            self.places.push(u32_of((end - room.len()) / 8));
            let (words, heads) = waiting.head(prefix, base).words();
            for word in &words[..heads] {
                let (to, rest) = take(&mut room).split_at_mut(8);
                to.copy_from_slice(&word.to_le_bytes());
                room = rest;
            }
            let bytes = align8(waiting.key_bytes - prefix + waiting.value_bytes);
            let (to, rest) = take(&mut room).split_at_mut(bytes);
            to.copy_from_slice(&self.bytes[waiting.at + prefix..][..bytes]);
            room = rest;
        }
        encode::put_places(&self.places, end, out);
        debug_assert_eq!(out.len() - begin, self.block_bytes);
    }

    /// Places, in the block that was encoded, of the entries that are the newest of their keys.
    pub(super) fn newest_places(&self) -> impl Iterator<Item = u32> + '_ {
        let both = self.entries.iter().zip(&self.places);
        both.filter_map(|(entry, place)| entry.is_newest.then_some(*place))
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.entries.clear();
        (self.prefix, self.base, self.highest) = (0, 0, 0);
        (self.key_bytes_max, self.value_bytes_max) = (0, 0);
        (self.entries_bytes, self.block_bytes) = (0, 0);
    }
}
