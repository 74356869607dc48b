//! Little-endian coding of integers and lengths, for every format.

use super::{Error, Result};

/// Appends integers and byte strings to a buffer.
pub(crate) trait Put {
    /// Appends one byte.
    fn put_u8(&mut self, value: u8);
    /// Appends two bytes.
    fn put_u16(&mut self, value: u16);
    /// Appends four bytes.
    fn put_u32(&mut self, value: u32);
    /// Appends eight bytes.
    fn put_u64(&mut self, value: u64);
    /// Appends a u32 length and the bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(len_u32(bytes));
        self.extend_from_slice(bytes);
    }
}

/// Reads integers and byte strings from the front of a slice, never past its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes, or none (and nothing is read) when fewer are left.
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).and_then(|b| b.first().copied())
    }

    /// The next two bytes as an integer.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// The next four bytes as an integer.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// The next eight bytes as an integer.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A u32 length and that many bytes.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let mut copy = *self;
        let len = copy.u32()?;
        let bytes = copy.take(usize::try_from(len).ok()?)?;
        *self = copy;
        Some(bytes)
    }
}

/// The u32 at `at`. The caller has checked that it lies inside.
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The u64 at `at`. The caller has checked that it lies inside.
pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// `n` rounded up to a multiple of 8.
pub(crate) const fn align8(n: usize) -> usize {
    (n + 7) & !7
}

/// A length that the caller knows to be below 4 GiB.
pub(crate) fn len_u32(bytes: &[u8]) -> u32 {
    u32_of(bytes.len())
}

/// A number that the caller knows to be below 2^32; asserts it.
#[inline]
pub(crate) fn u32_of(n: usize) -> u32 {
    let Ok(n) = u32::try_from(n) else { panic!("length {n} does not fit 32 bits") };
    n
}

/// A u64 as an index into memory; an error where memory is smaller than that.
pub(crate) fn usize_of(n: u64) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::no_memory("length exceeds the address space"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoder_never_reads_past_the_end() {
        let mut buffer = Vec::new();
        buffer.put_u32(7);
        buffer.put_bytes(b"fox");

        let mut decoder = Decoder::new(&buffer);
        assert_eq!(decoder.u32(), Some(7));
        assert_eq!(decoder.bytes(), Some(&b"fox"[..]));
        assert_eq!(decoder.u8(), None);
        for cut in 0..buffer.len() {
            let mut decoder = Decoder::new(&buffer[..cut]);
            assert!(decoder.u32().and_then(|_| decoder.bytes()).is_none());
        }
    }
}
