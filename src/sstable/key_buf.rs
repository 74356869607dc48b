//! The key of a cursor's entry, put together from the block's prefix and the entry's suffix.
//!
//! Short keys lie in the cursor itself, so that opening one allocates nothing and a step copies
//! a fixed number of bytes. One thread at a time.

use std::cmp::Ordering;

use crate::base::key::head_of;

/// Keys up to this length lie inside.
const SHORT_BYTES: usize = 48;
/// Suffixes up to this length are copied at once, with whatever follows them.
pub(super) const CHUNK_BYTES: usize = 16;

/// See the module.
pub(super) struct KeyBuf {
    prefix_bytes: usize,
    bytes: usize,
    is_long: bool,
    /// [`head_of`] the prefix.
    prefix_head: u128,
    /// The key unless `is_long`; begins with the prefix unless that is longer than this.
    short: [u8; SHORT_BYTES],
    /// The key if `is_long`; begins with the prefix if `short` does not.
    long: Vec<u8>,
}

impl KeyBuf {
    /// An empty key.
    pub(super) fn new() -> Self {
        let (short, long) = ([0; SHORT_BYTES], Vec::new());
        Self { prefix_bytes: 0, bytes: 0, is_long: false, prefix_head: 0, short, long }
    }

    /// Makes `prefix` what the following keys begin with.
    pub(super) fn set_prefix(&mut self, prefix: &[u8]) {
        self.prefix_bytes = prefix.len();
        self.prefix_head = head_of(prefix);
        if let Some(short) = self.short.get_mut(..prefix.len()) {
            short.copy_from_slice(prefix);
        } else {
            self.long.clear();
            self.long.extend_from_slice(prefix);
        }
    }

    /// Makes the key prefix and `suffix`. `chunk` is the suffix and what follows it, if there are
    /// so many bytes.
    #[inline]
    pub(super) fn set(&mut self, suffix: &[u8], chunk: Option<&[u8; CHUNK_BYTES]>) {
        match chunk {
            Some(chunk) => self.set_chunk(suffix, chunk),
            None => self.set_rare(suffix),
        }
    }

    /// [`Self::set`] where there are so many bytes.
    #[inline]
    pub(super) fn set_chunk(&mut self, suffix: &[u8], chunk: &[u8; CHUNK_BYTES]) {
        let at = self.prefix_bytes;
        match self.short.get_mut(at..at.saturating_add(CHUNK_BYTES)) {
            Some(room) if suffix.len() <= CHUNK_BYTES => {
                room.copy_from_slice(chunk);
                self.bytes = at + suffix.len();
                self.is_long = false;
            }
            _ => self.set_rare(suffix),
        }
    }

    /// [`head_of`] a key with this suffix. Worked out without the key: reading in one piece what was
    /// just written in two makes the processor wait.
    #[inline]
    pub(super) fn head_with(&self, suffix: &[u8]) -> u128 {
        if self.prefix_bytes < 16 {
            self.prefix_head | head_of(suffix) >> (8 * self.prefix_bytes)
        } else {
            self.prefix_head
        }
    }

    /// The same for the suffix of `bytes` bytes that `chunk` begins with.
    #[inline]
    #[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
    pub(super) fn head_with_chunk(&self, bytes: usize, chunk: &[u8; CHUNK_BYTES]) -> u128 {
        if self.prefix_bytes >= 16 {
            return self.prefix_head;
        }
        let others = u32::try_from(8 * bytes).ok().and_then(|bits| u128::MAX.checked_shr(bits));
        let head = u128::from_be_bytes(*chunk) & !others.unwrap_or(0);
        self.prefix_head | head >> (8 * self.prefix_bytes)
    }

    /// A number so that keys whose suffixes have smaller [`word_of`] have heads below `limit`.
    pub(super) fn suffix_limit(&self, limit: u128) -> u64 {
        let bits = 8 * self.prefix_bytes.min(16);
        let shared = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
        match (limit & shared).cmp(&self.prefix_head) {
            Ordering::Less => 0,
            Ordering::Greater => u64::MAX,
            // Nothing of the suffix is in the head, which is the limit's.
            Ordering::Equal if bits == 128 => 0,
            Ordering::Equal => ((limit << bits) >> 64) as u64,
        }
    }

    fn set_rare(&mut self, suffix: &[u8]) {
        let at = self.prefix_bytes;
        self.bytes = at + suffix.len();
        self.is_long = self.bytes > SHORT_BYTES;
        if !self.is_long {
            self.short[at..self.bytes].copy_from_slice(suffix);
            return;
        }
        match self.short.get(..at) {
            Some(prefix) => {
                self.long.clear();
                self.long.extend_from_slice(prefix);
            }
            None => self.long.truncate(at),
        }
        self.long.extend_from_slice(suffix);
    }

    /// Length of the key.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// The key.
    #[inline]
    pub(super) fn get(&self) -> &[u8] {
        if self.is_long { &self.long } else { self.short.get(..self.bytes).unwrap_or_default() }
    }
}

/// Whether two suffixes are the same; they seldom are, and mostly differ in the last bytes.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.last() == b.last() && a == b
}

/// The first eight of a suffix of `bytes` bytes that `chunk` begins with, zero-padded, as a number
/// that orders like them.
#[inline]
#[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
pub(super) fn word_of(bytes: usize, chunk: &[u8; CHUNK_BYTES]) -> u64 {
    let word = chunk.first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
    let others = u32::try_from(8 * bytes).ok().and_then(|bits| u64::MAX.checked_shr(bits));
    word & !others.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_lengths_are_prefix_and_suffix() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut key = KeyBuf::new();
        for prefix in [0, 3, 15, 16, 31, 32, 33, 47, 48, 49, 100] {
            key.set_prefix(&bytes[..prefix]);
            for suffix in [0, 1, 15, 16, 17, 40, 1, 60, 0, 16] {
                let suffix = &bytes[100..100 + suffix];

                key.set(suffix, bytes[100..].first_chunk());
                assert_eq!(key.get(), [&bytes[..prefix], suffix].concat());
                assert_eq!(key.head_with(suffix), head_of(key.get()), "{prefix} and {suffix:?}");
                let chunk = bytes[100..].first_chunk().unwrap();
                assert_eq!(key.head_with_chunk(suffix.len(), chunk), head_of(key.get()));
                key.set(suffix, None);
                assert_eq!(key.get(), [&bytes[..prefix], suffix].concat());
            }
        }
    }

    #[test]
    fn a_suffix_below_the_suffix_limit_makes_a_key_whose_head_is_below_the_limit() {
        let bytes: Vec<u8> = (1..=255).collect();
        let mut key = KeyBuf::new();
        for prefix in [0, 1, 8, 9, 15, 16, 40] {
            key.set_prefix(&bytes[..prefix]);
            for limit in [0, 1, 8, 9, 15, 16, 20].map(|n| head_of(&bytes[..n])) {
                for limit in [limit.saturating_sub(1), limit, limit + 1, u128::MAX] {
                    let end = key.suffix_limit(limit);
                    for suffix in [0, 1, 7, 8, 9, 16] {
                        for first in [0, bytes[prefix], bytes[prefix] + 1, 255] {
                            let mut chunk = [first; CHUNK_BYTES];
                            chunk[1..].copy_from_slice(&bytes[prefix + 1..prefix + CHUNK_BYTES]);
                            let is_below = word_of(suffix, &chunk) < end;
                            let head = key.head_with(&chunk[..suffix]);

                            assert!(!is_below || head < limit, "{prefix} {suffix} {limit:x}");
                        }
                    }
                }
            }
        }
    }
}
