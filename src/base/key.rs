//! Identifiers and entries: what is stored, and how it is counted.
//!
//! Internal order within a keyspace is: key ascending by bytes, then number descending, so that
//! the newest version of a key comes first.

use std::fmt;

/// A byte position in the endless logical log of one database (`docs/architecture.md` 3).
///
/// A position covers exactly the entries whose number is *below* it (invariant S2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Lsn(pub(crate) u64);

/// The number in a file's name. Numbers are never reused (invariant T2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct FileNumber(pub(crate) u64);

/// A keyspace's id. Ids are never reused; 0 is the default keyspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct KeyspaceId(pub(crate) u32);

/// A level of the tree; 0 holds flushed tables, which may overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Level(pub(crate) u8);

impl KeyspaceId {
    /// The keyspace that always exists.
    pub(crate) const DEFAULT: Self = Self(0);
}

impl Lsn {
    /// This position moved forward by `bytes`. Positions never wrap: 2^63 bytes is the limit.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// What an entry does. The numbers are on disk and in the C API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The key has this value.
    Put = 1,
    /// The key has no value; hides older entries.
    Delete = 2,
    /// Keys from `key` up to, not including, `value` have no value. Kept for later.
    RangeDelete = 3,
    /// An operand for the keyspace's merge operator. Kept for later.
    Merge = 4,
}

impl Kind {
    /// The kind with this number, if the format knows it.
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Put),
            2 => Some(Self::Delete),
            3 => Some(Self::RangeDelete),
            4 => Some(Self::Merge),
            _ => None,
        }
    }
}

/// One version of one key, borrowed from wherever it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    /// The user key, 0 to `KEY_BYTES_MAX` bytes.
    pub(crate) key: &'a [u8],
    /// The entry's number: unique in the database, newer is higher.
    pub(crate) number: u64,
    /// What the entry does.
    pub(crate) kind: Kind,
    /// Milliseconds since 1970 after which the entry is gone; 0 is never.
    pub(crate) expiry_ms: u64,
    /// The value; empty for a delete.
    pub(crate) value: &'a [u8],
}

/// Compares two internal keys: by key bytes ascending, then by number descending.
pub(crate) fn compare(a: (&[u8], u64), b: (&[u8], u64)) -> std::cmp::Ordering {
    a.0.cmp(b.0).then(b.1.cmp(&a.1))
}

/// Whether two keys, or parts of them, are the same; short ones are compared by two words.
#[inline]
pub(crate) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ends = |bytes: &[u8]| Some((*bytes.first_chunk::<8>()?, *bytes.last_chunk::<8>()?));
    match ends(a) {
        Some(ends_of_a) if a.len() <= 16 => Some(ends_of_a) == ends(b),
        Some(_) => a == b,
        None => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

/// Bytes of a key that [`head_of`] tells.
pub(crate) const HEAD_BYTES: usize = 16;

/// The first 16 bytes of a key, zero-padded, as a number: if two differ, the keys order like them.
#[inline]
#[allow(clippy::big_endian_bytes, reason = "byte strings order as big-endian numbers")]
pub(crate) fn head_of(key: &[u8]) -> u128 {
    if let Some(head) = key.first_chunk() {
        return u128::from_be_bytes(*head);
    }
    let mut head = [0; HEAD_BYTES];
    head[..key.len()].copy_from_slice(key);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::is_equal;

    #[test]
    fn keys_are_equal_if_no_byte_differs() {
        for length in 0..40 {
            let a: Vec<u8> = (0..length).collect();
            assert!(is_equal(&a, &a.clone()));
            assert!(!is_equal(&a, &[&a[..], b"x"].concat()));
            for at in 0..a.len() {
                let mut b = a.clone();
                b[at] ^= 0x80;
                assert!(!is_equal(&a, &b), "{length} bytes, of which {at} differs");
            }
        }
    }
}
