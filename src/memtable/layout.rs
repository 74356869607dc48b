//! Where the parts of records and entries lie in arena and log (`docs/architecture.md` 3).
//!
//! The one place in the memtable that knows these offsets. An entry is 8 link bytes, then the
//! operation, then zeros to a multiple of 8. The readers of trusted memory below take the address
//! of the *operation*: link bytes change while others read, so no slice ever covers them.

use crate::base::checksum::crc;
use crate::base::coding::{Decoder, align8};
use crate::base::mutant::mutant;
use crate::base::{KeyspaceId, Kind};

/// Bytes of a record header.
pub(super) const HEADER_BYTES: usize = 48;
/// Offset of the header's checksum in the record.
pub(super) const HEADER_CRC_AT: usize = 4;
/// Offset of the payload's checksum in the record.
pub(super) const PAYLOAD_CRC_AT: usize = 8;
/// Offset of the count of entries in the record.
pub(super) const ENTRIES_AT: usize = 12;
/// Offset of the record type.
pub(super) const TYPE_AT: usize = 40;
/// Offset of the record's flags.
pub(super) const FLAGS_AT: usize = 41;
/// Record type: a batch of entries.
pub(super) const TYPE_BATCH: u8 = 1;
/// Record type: space that means nothing.
pub(super) const TYPE_SKIP: u8 = 2;
/// Record flag, in the arena only: not in the log.
pub(super) const FLAG_NOLOG: u8 = 1;

/// Bytes in front of an operation for the point index.
pub(super) const LINK_BYTES: usize = 8;
/// Bytes of an operation before expiry and key.
pub(super) const OP_BYTES: usize = 16;
/// Bytes of an expiry, where there is one.
pub(super) const EXPIRY_BYTES: usize = 8;
/// Operation flag: an expiry follows the fixed part.
const OP_FLAG_EXPIRY: u8 = 1;
/// Operation flag, in the arena only: the value is not behind the key but in the log (M9). Where it
/// would begin stands an [`Away`].
const OP_FLAG_AWAY: u8 = 1 << 7;
const OP_FLAGS_AT: usize = 1;
const KEYSPACE_AT: usize = 4;
const KEY_LEN_AT: usize = 8;
const VALUE_LEN_AT: usize = 12;

/// One operation in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) kind: Kind,
    pub(super) expiry_ms: u64,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) sums: Option<Sums>,
}

impl View<'_> {
    /// Whether the value is what was written: one that lies in the log may not be.
    pub(super) fn is_sound(&self) -> bool {
        self.sums.is_none_or(|sums| sums.is_of(self.value))
    }
}

/// The checksum of a record before and behind a value that lies in the log: what a page of the log
/// that could not be written out comes back with is told from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) before: u32,
    pub(crate) after: u32,
}

impl Sums {
    /// Whether `value` is what was written.
    pub(in crate::memtable) fn is_of(self, value: &[u8]) -> bool {
        crc(self.before, value) == self.after || mutant("long_value_checksum_ignored")
    }
}

/// Where a value lies that is not in the arena.
#[derive(Clone, Copy)]
pub(super) struct Away {
    pub(super) value: *const u8,
    pub(super) sums: Sums,
}

/// Bytes of an [`Away`] in the arena. A value that short stays beside its key.
pub(super) const AWAY_BYTES: usize = 16;

impl Away {
    /// Stores it at `at` of an entry, whose value would begin there, and says so in the entry.
    pub(super) fn store(self, entry: &mut [u8], at: usize) {
        let address = self.value.expose_provenance() as u64;
        entry[at..at + 8].copy_from_slice(&address.to_le_bytes());
        entry[at + 8..at + 12].copy_from_slice(&self.sums.before.to_le_bytes());
        entry[at + 12..at + 16].copy_from_slice(&self.sums.after.to_le_bytes());
        entry[LINK_BYTES + OP_FLAGS_AT] |= OP_FLAG_AWAY;
    }
}

/// The lengths that decide where an operation's parts lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) keyspace: KeyspaceId,
    pub(super) has_expiry: bool,
    pub(super) key_bytes: usize,
    value_bytes: usize,
}

impl Shape {
    /// Offset of the key in the operation.
    pub(super) fn key_at(self) -> usize {
        OP_BYTES + if self.has_expiry { EXPIRY_BYTES } else { 0 }
    }

    /// Where what is written of an entry ends whose value lies in the log.
    pub(super) fn away_end(self) -> usize {
        LINK_BYTES + self.key_at() + self.key_bytes + AWAY_BYTES
    }

    /// Bytes of the whole entry: links, operation and padding.
    pub(super) fn entry_bytes(self) -> usize {
        align8(LINK_BYTES + self.key_at() + self.key_bytes + self.value_bytes)
    }
}

/// The four bytes at `at` as an integer.
///
/// # Safety
/// They are readable, and nobody writes them meanwhile.
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
unsafe fn word(at: *const u8) -> usize {
    // SAFETY: the caller's promise.
    let word = u32::from_le(unsafe { at.cast::<u32>().read_unaligned() });
    // 32 bits fit a usize on every platform that can map an arena.
    word as usize
}

/// Reads the lengths of an operation.
///
/// # Safety
/// A whole, valid operation starts at `op` and is not written meanwhile.
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
pub(super) unsafe fn shape(op: *const u8) -> Shape {
    // SAFETY: the caller promises an operation, which is at least `OP_BYTES` long.
    unsafe {
        Shape {
            keyspace: KeyspaceId(u32::from_le(op.add(KEYSPACE_AT).cast::<u32>().read_unaligned())),
            has_expiry: *op.add(OP_FLAGS_AT) & OP_FLAG_EXPIRY != 0,
            key_bytes: word(op.add(KEY_LEN_AT)),
            value_bytes: word(op.add(VALUE_LEN_AT)),
        }
    }
}

/// Whether an operation is about this key.
///
/// # Safety
/// As for [`shape`].
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
pub(super) unsafe fn is_about(op: *const u8, keyspace: KeyspaceId, key: &[u8]) -> bool {
    // SAFETY: the caller's promise.
    let shape = unsafe { shape(op) };
    if shape.key_bytes != key.len() || shape.keyspace != keyspace {
        return false;
    }
    // SAFETY: the operation is whole, so its key lies inside it.
    let stored = unsafe { std::slice::from_raw_parts(op.add(shape.key_at()), shape.key_bytes) };
    stored == key
}

/// Whether the value of an operation lies in the log.
///
/// # Safety
/// As for [`shape`].
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
pub(super) unsafe fn is_away(op: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { *op.add(OP_FLAGS_AT) & OP_FLAG_AWAY != 0 }
}

/// Where the value of an operation lies whose place holds an [`Away`], `at`.
///
/// # Safety
/// As for [`shape`].
#[allow(unsafe_code, reason = "arena memory is reached by address")]
unsafe fn away(at: *const u8) -> Away {
    // SAFETY: `Away::store` wrote these bytes.
    let (address, before, after) = unsafe {
        (
            at.cast::<u64>().read_unaligned(),
            at.add(8).cast::<u32>().read_unaligned(),
            at.add(12).cast::<u32>().read_unaligned(),
        )
    };
    let Ok(address) = usize::try_from(u64::from_le(address)) else {
        unreachable!("an address of this process fits")
    };
    let sums = Sums { before: u32::from_le(before), after: u32::from_le(after) };
    Away { value: std::ptr::with_exposed_provenance(address), sums }
}

/// Reads a whole operation.
///
/// # Safety
/// As for [`shape`]; the bytes stay as they are for `'a`, and so does the log that has its value.
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
pub(super) unsafe fn view<'a>(op: *const u8) -> View<'a> {
    // SAFETY: the operation is whole and valid, so all of its parts lie inside it.
    unsafe {
        let shape = shape(op);
        let key = op.add(shape.key_at());
        let behind = key.add(shape.key_bytes);
        let away = is_away(op).then(|| away(behind));
        View {
            kind: kind(op),
            expiry_ms: if shape.has_expiry {
                u64::from_le(op.add(OP_BYTES).cast::<u64>().read_unaligned())
            } else {
                0
            },
            key: std::slice::from_raw_parts(key, shape.key_bytes),
            value: std::slice::from_raw_parts(
                away.map_or(behind, |away| away.value),
                shape.value_bytes,
            ),
            sums: away.map(|away| away.sums),
        }
    }
}

/// What an operation does.
///
/// # Safety
/// As for [`shape`].
#[allow(unsafe_code, reason = "arena memory is reached by address")]
#[inline]
pub(super) unsafe fn kind(op: *const u8) -> Kind {
    // SAFETY: the caller's promise.
    let byte = unsafe { *op };
    let Some(kind) = Kind::from_u8(byte) else {
        unreachable!("operation {byte} was let into memory unchecked");
    };
    kind
}

/// Checks the entry at the front of `bytes`, which may hold anything, and returns its lengths.
pub(super) fn checked(bytes: &[u8]) -> Option<Shape> {
    let mut rest = Decoder::new(bytes);
    rest.take(LINK_BYTES)?;
    Kind::from_u8(rest.u8()?)?;
    let flags = rest.u8()?;
    rest.u16()?;
    let shape = Shape {
        keyspace: KeyspaceId(rest.u32()?),
        has_expiry: flags & OP_FLAG_EXPIRY != 0,
        key_bytes: usize::try_from(rest.u32()?).ok()?,
        value_bytes: usize::try_from(rest.u32()?).ok()?,
    };
    // No overflow: both lengths have 32 bits.
    (flags & !OP_FLAG_EXPIRY == 0
        && shape.key_bytes <= crate::base::limits::KEY_BYTES_MAX
        && shape.entry_bytes() <= bytes.len())
    .then_some(shape)
}
