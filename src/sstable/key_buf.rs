//! The key of a cursor's entry, put together from the block's prefix and the entry's suffix.
//!
//! Short keys lie in the cursor itself, so that opening one allocates nothing and a step copies
//! a fixed number of bytes. One thread at a time.

/// Keys up to this length lie inside.
const SHORT_BYTES: usize = 48;
/// Suffixes up to this length are copied at once, with whatever follows them.
pub(super) const CHUNK_BYTES: usize = 16;

/// See the module.
pub(super) struct KeyBuf {
    prefix_bytes: usize,
    bytes: usize,
    is_long: bool,
    /// The key unless `is_long`; begins with the prefix unless that is longer than this.
    short: [u8; SHORT_BYTES],
    /// The key if `is_long`; begins with the prefix if `short` does not.
    long: Vec<u8>,
}

impl KeyBuf {
    /// An empty key.
    pub(super) fn new() -> Self {
        let (short, long) = ([0; SHORT_BYTES], Vec::new());
        Self { prefix_bytes: 0, bytes: 0, is_long: false, short, long }
    }

    /// Makes `prefix` what the following keys begin with.
    pub(super) fn set_prefix(&mut self, prefix: &[u8]) {
        self.prefix_bytes = prefix.len();
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
        let at = self.prefix_bytes;
        let room = self.short.get_mut(at..at.saturating_add(CHUNK_BYTES));
        match (room, chunk) {
            (Some(room), Some(chunk)) if suffix.len() <= CHUNK_BYTES => {
                room.copy_from_slice(chunk);
                self.bytes = at + suffix.len();
                self.is_long = false;
            }
            _ => self.set_rare(suffix),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_lengths_are_prefix_and_suffix() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut key = KeyBuf::new();
        for prefix in [0, 3, 16, 31, 32, 33, 47, 48, 49, 100] {
            key.set_prefix(&bytes[..prefix]);
            for suffix in [0, 1, 15, 16, 17, 40, 1, 60, 0, 16] {
                let suffix = &bytes[100..100 + suffix];

                key.set(suffix, bytes[100..].first_chunk());
                assert_eq!(key.get(), [&bytes[..prefix], suffix].concat());
                key.set(suffix, None);
                assert_eq!(key.get(), [&bytes[..prefix], suffix].concat());
            }
        }
    }
}
