//! The operations of a write batch: the packed form of the API and the form in log and memory.
//!
//! A packed operation becomes an entry by 8 link bytes in front and zero padding to a multiple of 8
//! behind (`docs/format.md`, chapter "Batch"). Framing and checksums are `record`'s.
//!
//! Invariants: no length is believed before it is compared with its limit and with the bytes that
//! are there; nothing here allocates but [`push_op`].
//!
//! Plain functions on byte slices: any thread.

use crate::base::coding::{Decoder, Put, align8, len_u32};
use crate::base::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::base::{Error, KeyspaceId, Kind, Result};

/// Bytes of an entry's link word: the point index's in memory, zero in the log.
pub(crate) const LINK_BYTES: usize = 8;
/// Bytes of a packed operation before its expiry, key and value.
pub(crate) const OP_HEAD_BYTES: usize = 16;
/// Operation flag: 8 bytes of expiry time stand before the key.
pub(crate) const FLAG_EXPIRY: u8 = 1;
/// Operation flag: the value is a pointer into a blob file. Its place is kept; refused now.
pub(crate) const FLAG_BLOB: u8 = 2;

/// One operation, borrowed from packed bytes, an entry, or a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Op<'a> {
    /// What it does.
    pub(crate) kind: Kind,
    /// Which keyspace it changes.
    pub(crate) keyspace: KeyspaceId,
    /// Milliseconds since 1970 after which the entry is gone; 0 is never.
    pub(crate) expiry_ms: u64,
    /// The key, 0 to `KEY_BYTES_MAX` bytes.
    pub(crate) key: &'a [u8],
    /// The value, 0 to `VALUE_BYTES_MAX` bytes; empty for a delete.
    pub(crate) value: &'a [u8],
}

/// What a valid packed batch needs in log and memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shape {
    /// Operations.
    pub(crate) ops: u32,
    /// Bytes of all entries, links and padding included, record header not.
    pub(crate) log_bytes: usize,
}

/// Iterates over a packed batch. After an error it is at its end.
#[derive(Clone, Debug)]
pub(crate) struct Ops<'a> {
    rest: Decoder<'a>,
    failed: bool,
}

/// The operations of a packed batch, each checked for form as it is reached.
///
/// An item is `Invalid` when the bytes have no such form or break a limit, and `Unsupported` when
/// they point into a blob file.
pub(crate) fn ops(packed: &[u8]) -> Ops<'_> {
    Ops { rest: Decoder::new(packed), failed: false }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let op = parse_op(&mut self.rest).map_err(Flaw::into_error);
        self.failed = op.is_err();
        Some(op)
    }
}

/// Checks a whole packed batch from a caller and measures it.
///
/// `Invalid` for unknown operations and flags, broken limits and lengths that do not fit the bytes;
/// `Unsupported` for operations whose place is kept. An empty batch has an empty shape.
pub(crate) fn validate(packed: &[u8]) -> Result<Shape> {
    if packed.len() > BATCH_BYTES_MAX {
        return Err(Error::invalid("a batch is longer than LSM_BATCH_BYTES_MAX"));
    }
    let mut shape = Shape::default();
    for op in ops(packed) {
        let op = op?;
        check_supported(&op)?;
        shape.ops += 1;
        shape.log_bytes += entry_bytes(&op);
    }
    Ok(shape)
}

/// `Unsupported` when this version cannot apply `op`, though it can read it.
pub(crate) fn check_supported(op: &Op<'_>) -> Result<()> {
    match op.kind {
        Kind::RangeDelete => Err(Error::unsupported("range deletes are not built yet")),
        Kind::Merge => Err(Error::unsupported("merge operations are not built yet")),
        Kind::Put | Kind::Delete if op.expiry_ms != 0 => {
            Err(Error::unsupported("expiry times are not built yet"))
        }
        Kind::Put | Kind::Delete => Ok(()),
    }
}

/// Appends the packed form of `op`, whose limits the caller has checked.
pub(crate) fn push_op(out: &mut Vec<u8>, op: &Op<'_>) {
    out.extend_from_slice(&op_head(op));
    if op.expiry_ms != 0 {
        out.put_u64(op.expiry_ms);
    }
    out.extend_from_slice(op.key);
    out.extend_from_slice(op.value);
}

/// Bytes of `op` as an entry: link, operation and padding.
#[inline]
pub(crate) fn entry_bytes(op: &Op<'_>) -> usize {
    let expiry = if op.expiry_ms == 0 { 0 } else { 8 };
    align8(LINK_BYTES + OP_HEAD_BYTES + expiry + op.key.len() + op.value.len())
}

/// Writes `op` as an entry to the front of `out` and returns [`entry_bytes`].
///
/// Every byte of the entry is written: a zero link, the operation, zero padding. `out` is long
/// enough and the limits hold; asserted.
#[inline]
pub(crate) fn encode_entry(out: &mut [u8], op: &Op<'_>) -> usize {
    let total = entry_bytes(op);
    let out = &mut out[..total];
    out[total - 8..].fill(0);
    let at = encode_front(out, op);
    out[at..at + op.value.len()].copy_from_slice(op.value);
    total
}

/// Writes what stands before the value of `op` as an entry, and returns how many bytes that are.
#[inline]
pub(crate) fn encode_front(out: &mut [u8], op: &Op<'_>) -> usize {
    out[..LINK_BYTES].fill(0);
    let mut at = LINK_BYTES;
    out[at..at + OP_HEAD_BYTES].copy_from_slice(&op_head(op));
    at += OP_HEAD_BYTES;
    if op.expiry_ms != 0 {
        out[at..at + 8].copy_from_slice(&op.expiry_ms.to_le_bytes());
        at += 8;
    }
    out[at..at + op.key.len()].copy_from_slice(op.key);
    at + op.key.len()
}

/// Reads the entry at the front of `bytes`: the operation and the entry's whole length.
///
/// The link word is skipped whatever it holds. None when the bytes are not a well-formed entry.
#[inline]
pub(crate) fn decode_entry(bytes: &[u8]) -> Option<(Op<'_>, usize)> {
    let mut decoder = Decoder::new(bytes);
    decoder.take(LINK_BYTES)?;
    let op = parse_op(&mut decoder).ok()?;
    let total = entry_bytes(&op);
    (total <= bytes.len()).then_some((op, total))
}

/// Why bytes are not an operation. Small, because it is made on the read path of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    Truncated,
    UnknownOp,
    UnknownFlag,
    NonZero,
    LongKey,
    LongValue,
    DeleteWithValue,
    ZeroExpiry,
    Blob,
}

impl Flaw {
    #[cold]
    fn into_error(self) -> Error {
        let text = match self {
            Self::Blob => return Error::unsupported("blob pointers are not built yet"),
            Self::Truncated => "a batch ends inside an operation",
            Self::UnknownOp => "a batch holds an unknown operation",
            Self::UnknownFlag => "a batch holds an operation with unknown flags",
            Self::NonZero => "a batch holds an operation whose reserved bytes are not zero",
            Self::LongKey => "a key is longer than LSM_KEY_BYTES_MAX",
            Self::LongValue => "a value is longer than LSM_VALUE_BYTES_MAX",
            Self::DeleteWithValue => "a delete has a value",
            Self::ZeroExpiry => "an operation is flagged to expire but has no time",
        };
        Error::invalid(text)
    }
}

fn parse_op<'a>(decoder: &mut Decoder<'a>) -> std::result::Result<Op<'a>, Flaw> {
    let head = decoder.take(OP_HEAD_BYTES).ok_or(Flaw::Truncated)?;
    let (kind, flags, keyspace, key_len, value_len) = parse_head(head)?;
    check_lengths(kind, key_len, value_len)?;
    let mut expiry_ms = 0;
    if flags & FLAG_EXPIRY != 0 {
        expiry_ms = decoder.u64().ok_or(Flaw::Truncated)?;
        if expiry_ms == 0 {
            return Err(Flaw::ZeroExpiry);
        }
    }
    let key = decoder.take(key_len).ok_or(Flaw::Truncated)?;
    let value = decoder.take(value_len).ok_or(Flaw::Truncated)?;
    Ok(Op { kind, keyspace, expiry_ms, key, value })
}

fn parse_head(head: &[u8]) -> std::result::Result<(Kind, u8, KeyspaceId, usize, usize), Flaw> {
    let mut head = Decoder::new(head);
    let kind = head.u8().and_then(Kind::from_u8).ok_or(Flaw::UnknownOp)?;
    let flags = head.u8().ok_or(Flaw::Truncated)?;
    if flags & !(FLAG_EXPIRY | FLAG_BLOB) != 0 {
        return Err(Flaw::UnknownFlag);
    }
    if flags & FLAG_BLOB != 0 {
        return Err(Flaw::Blob);
    }
    if head.u16().ok_or(Flaw::Truncated)? != 0 {
        return Err(Flaw::NonZero);
    }
    let keyspace = KeyspaceId(head.u32().ok_or(Flaw::Truncated)?);
    let key_len = head.u32().ok_or(Flaw::Truncated)?;
    let value_len = head.u32().ok_or(Flaw::Truncated)?;
    let key_len = usize::try_from(key_len).map_err(|_| Flaw::LongKey)?;
    let value_len = usize::try_from(value_len).map_err(|_| Flaw::LongValue)?;
    Ok((kind, flags, keyspace, key_len, value_len))
}

fn check_lengths(kind: Kind, key: usize, value: usize) -> std::result::Result<(), Flaw> {
    if key > KEY_BYTES_MAX {
        return Err(Flaw::LongKey);
    }
    // The end of a deleted range is a key that stands in the value's place.
    let value_max = if kind == Kind::RangeDelete { KEY_BYTES_MAX } else { VALUE_BYTES_MAX };
    if value > value_max {
        return Err(Flaw::LongValue);
    }
    if kind == Kind::Delete && value != 0 {
        return Err(Flaw::DeleteWithValue);
    }
    Ok(())
}

#[inline]
fn op_head(op: &Op<'_>) -> [u8; OP_HEAD_BYTES] {
    let flags = if op.expiry_ms == 0 { 0 } else { FLAG_EXPIRY };
    let mut head = [0; OP_HEAD_BYTES];
    head[0] = op.kind as u8;
    head[1] = flags;
    head[4..8].copy_from_slice(&op.keyspace.0.to_le_bytes());
    head[8..12].copy_from_slice(&len_u32(op.key).to_le_bytes());
    head[12..].copy_from_slice(&len_u32(op.value).to_le_bytes());
    head
}

#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
#[cfg(test)]
mod tests;
