//! Entries packed one behind the other, as the C API hands out pages of them: u32 key length, u32
//! value length, key, value; little-endian, unaligned.

use super::coding::u32_of;

/// A prefix up to this length is copied at once, with zeros behind it, which the rest covers.
const STEM_BYTES: usize = 16;

/// What the keys of some entries begin with.
pub(crate) struct Stem<'a> {
    prefix: &'a [u8],
    /// The same with zeros behind it, if it is that short.
    chunk: Option<[u8; STEM_BYTES]>,
}

impl<'a> Stem<'a> {
    /// Keys begin with `prefix`.
    pub(crate) fn new(prefix: &'a [u8]) -> Self {
        let mut chunk = [0; STEM_BYTES];
        let room = chunk.get_mut(..prefix.len());
        let is_short = room.map(|room| room.copy_from_slice(prefix)).is_some();
        Self { prefix, chunk: is_short.then_some(chunk) }
    }
}

/// Room for entries, and what is packed there.
pub(crate) struct Packed<'a> {
    room: &'a mut [u8],
    used: usize,
    entries: usize,
    max: usize,
}

impl<'a> Packed<'a> {
    /// Up to `max` entries, in `room`.
    pub(crate) fn new(room: &'a mut [u8], max: usize) -> Self {
        Self { room, used: 0, entries: 0, max }
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// How many entries are there.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// Whether so many are there as are wanted.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.entries >= self.max
    }

    /// How many more are wanted.
    pub(crate) fn left(&self) -> usize {
        self.max.saturating_sub(self.entries)
    }

    /// Packs an entry, if there is room for it.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some(place) = self.place(key.len(), value.len()) else { return false };
        let (key_at, value_at) = place.split_at_mut(key.len());
        key_at.copy_from_slice(key);
        value_at.copy_from_slice(value);
        true
    }

    /// Packs an entry whose key is the stem and the first `suffix` bytes of `rest`, and whose value
    /// is the others, if there is room for it.
    #[inline]
    pub(crate) fn push_parts(&mut self, stem: &Stem<'_>, rest: &[u8], suffix: usize) -> bool {
        let (prefix, value) = (stem.prefix.len(), rest.len().saturating_sub(suffix));
        let Some(place) = self.place(prefix + suffix, value) else { return false };
        if let (Some(chunk), Some(first)) = (&stem.chunk, place.first_chunk_mut()) {
            *first = *chunk;
        } else {
            place[..prefix].copy_from_slice(stem.prefix);
        }
        place[prefix..].copy_from_slice(rest);
        true
    }

    /// Where key and value of the next entry go, one behind the other, unless there is no room.
    #[inline]
    fn place(&mut self, key: usize, value: usize) -> Option<&mut [u8]> {
        // What lies in memory is far shorter than numbers reach.
        let end = self.used + 8 + key + value;
        let place = self.room.get_mut(self.used..end)?;
        self.used = end;
        self.entries += 1;
        let (head, rest) = place.split_first_chunk_mut::<8>()?;
        *head = (u64::from(u32_of(value)) << 32 | u64::from(u32_of(key))).to_le_bytes();
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_parts_are_packed_as_whole_ones() {
        let (mut one, mut two) = ([0; 100], [0; 100]);
        let mut whole = Packed::new(&mut one, 3);
        let mut parts = Packed::new(&mut two, 3);
        for (key, value) in [(&b"key1"[..], &b"value"[..]), (b"key", b""), (b"", b"v")] {
            assert!(!whole.is_complete());
            assert!(whole.push(key, value));
            let (prefix, suffix) = key.split_at(key.len().min(3));
            let rest = [suffix, value].concat();
            assert!(parts.push_parts(&Stem::new(prefix), &rest, suffix.len()));
        }
        assert!(whole.is_complete() && parts.is_complete());
        assert_eq!((whole.used(), whole.entries()), (24 + 13, 3));
        assert_eq!((parts.used(), parts.entries()), (24 + 13, 3));
        assert_eq!(one, two);
        assert_eq!(one[..17], *b"\x04\0\0\0\x05\0\0\0key1value");
    }

    #[test]
    fn an_entry_without_room_changes_nothing() {
        let mut room = [7; 20];
        let mut packed = Packed::new(&mut room, 9);
        assert!(packed.push(b"k", b"v"));
        assert!(!packed.push(b"k", b"vv"));
        assert!(!packed.push_parts(&Stem::new(b""), b"kvv", 1));
        assert_eq!((packed.used(), packed.entries()), (10, 1));
        assert!(packed.push(b"k", b"w"));
        assert_eq!(room, *b"\x01\0\0\0\x01\0\0\0kv\x01\0\0\0\x01\0\0\0kw");
    }
}
