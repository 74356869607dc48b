//! The frame around everything in the log and in a memtable's arena: a 48-byte header, then entries.
//!
//! Only encoding and checking live here; who stores the bytes, in which order, and what a bad
//! record means is told by `wal` and `memtable` (`docs/format.md`, chapter "Record").
//!
//! Invariants: a record's length is a multiple of 8 and counts its header; both checksums are
//! seeded by the segment's salt, so a record of another file is not valid here; the header checksum
//! stands alone, so a header is proof even when its payload is torn (L2).
//!
//! Plain functions on byte slices: any thread.

use crate::base::coding::{Decoder, align8, get_u64};
use crate::base::{FileNumber, Lsn, checksum};

/// Bytes of a record header.
pub(crate) const HEADER_BYTES: usize = 48;
/// Bytes of a whole SEAL or END record.
pub(crate) const SEAL_BYTES: usize = 64;
/// Header flag of a record of durability NONE. Arena only: in the log it is a SKIP record.
pub(crate) const FLAG_NOLOG: u8 = 1;

const LENGTH_AT: usize = 0;
const HEADER_CRC_AT: usize = LENGTH_AT + 4;
const PAYLOAD_CRC_AT: usize = HEADER_CRC_AT + 4;
const ENTRIES_AT: usize = PAYLOAD_CRC_AT + 4;
const LSN_AT: usize = ENTRIES_AT + 4;
const SYNCED_AT: usize = LSN_AT + 8;
const COMPLETED_AT: usize = SYNCED_AT + 8;
const KIND_AT: usize = COMPLETED_AT + 8;
const FLAGS_AT: usize = KIND_AT + 1;
const ZEROS_AT: usize = FLAGS_AT + 1;
const _: () = assert!(ZEROS_AT + 6 == HEADER_BYTES);
const _: () = assert!(align8(SEAL_BYTES) == SEAL_BYTES && SEAL_BYTES == HEADER_BYTES + 16);

/// What a record is. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) enum RecordKind {
    /// Entries of one write batch.
    Batch,
    /// Positions without content; its body means nothing.
    Skip,
    /// The last record of a sealed segment; names the successor.
    Seal,
    /// The last record of a database that was closed; names nobody.
    End,
    /// Proof that everything before it was synced.
    Mark,
    /// A type that this version does not read: 6 INGEST, 7 PREPARE, 8 COMMIT, 9 ABORT have their
    /// places kept, others are unknown.
    Reserved(u8),
}

impl RecordKind {
    /// The number on disk.
    pub(crate) const fn to_u8(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Skip => 2,
            Self::Seal => 3,
            Self::End => 4,
            Self::Mark => 5,
            Self::Reserved(byte) => byte,
        }
    }

    /// The kind with this number; every number has one.
    pub(crate) const fn from_u8(byte: u8) -> Self {
        match byte {
            1 => Self::Batch,
            2 => Self::Skip,
            3 => Self::Seal,
            4 => Self::End,
            5 => Self::Mark,
            other => Self::Reserved(other),
        }
    }
}

/// A record header, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Bytes of the whole record, header included: a multiple of 8, at least 48.
    pub(crate) length: u32,
    /// Entries in the payload; entry i has the number `lsn` + i.
    pub(crate) entries: u32,
    /// Where the record begins in the logical log.
    pub(crate) lsn: Lsn,
    /// Everything below was durable when this header was made. An old value is true.
    pub(crate) synced: Lsn,
    /// Everything below was stored whole when this header was made. An old value is true.
    pub(crate) completed: Lsn,
    /// What the record is.
    pub(crate) kind: RecordKind,
    /// [`FLAG_NOLOG`] or 0.
    pub(crate) flags: u8,
    /// From [`payload_crc`]; 0 for SKIP, whose body is not covered.
    pub(crate) payload_crc: u32,
}

impl Header {
    /// The position just past the record.
    pub(crate) fn end(&self) -> Lsn {
        self.lsn.plus(u64::from(self.length))
    }
}

/// What a SEAL or END record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Successor {
    /// The next segment's file number; 0 in an END record.
    pub(crate) number: FileNumber,
    /// The next segment's base; 0 in an END record.
    pub(crate) base: Lsn,
}

/// Checksum of a record's body as the log holds it: link words zero.
pub(crate) fn payload_crc(salt: u32, body: &[u8]) -> u32 {
    checksum::crc(salt, body)
}

/// Makes the 48 bytes of a header, its own checksum and its length word included.
#[inline]
pub(crate) fn encode_header(header: &Header, salt: u32) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[LENGTH_AT..HEADER_CRC_AT].copy_from_slice(&header.length.to_le_bytes());
    out[PAYLOAD_CRC_AT..ENTRIES_AT].copy_from_slice(&header.payload_crc.to_le_bytes());
    out[ENTRIES_AT..LSN_AT].copy_from_slice(&header.entries.to_le_bytes());
    out[LSN_AT..SYNCED_AT].copy_from_slice(&header.lsn.0.to_le_bytes());
    out[SYNCED_AT..COMPLETED_AT].copy_from_slice(&header.synced.0.to_le_bytes());
    out[COMPLETED_AT..KIND_AT].copy_from_slice(&header.completed.0.to_le_bytes());
    out[KIND_AT] = header.kind.to_u8();
    out[FLAGS_AT] = header.flags;
    let crc = checksum::crc(salt, &out);
    out[HEADER_CRC_AT..PAYLOAD_CRC_AT].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the header at the front of `bytes`; none unless its checksum, its length and its zero
/// bytes are right. The payload is not looked at.
pub(crate) fn decode_header(bytes: &[u8], salt: u32) -> Option<Header> {
    let raw: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let mut decoder = Decoder::new(raw);
    let length = decoder.u32()?;
    if !is_record_length(length) {
        return None;
    }
    let stored_crc = decoder.u32()?;
    let mut blank = *raw;
    blank[HEADER_CRC_AT..PAYLOAD_CRC_AT].fill(0);
    if checksum::crc(salt, &blank) != stored_crc {
        return None;
    }
    let payload_crc = decoder.u32()?;
    let entries = decoder.u32()?;
    let lsn = Lsn(decoder.u64()?);
    let synced = Lsn(decoder.u64()?);
    let completed = Lsn(decoder.u64()?);
    let kind = RecordKind::from_u8(decoder.u8()?);
    let flags = decoder.u8()?;
    if decoder.rest().iter().any(|&byte| byte != 0) {
        return None;
    }
    Some(Header { length, entries, lsn, synced, completed, kind, flags, payload_crc })
}

/// The header at the front of `bytes` if it is valid and belongs to `lsn`.
///
/// Compares the position first, so trying many places costs one comparison each.
#[inline]
pub(crate) fn probe_header(bytes: &[u8], lsn: Lsn, salt: u32) -> Option<Header> {
    let raw: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    if get_u64(raw, LSN_AT) != lsn.0 {
        return None;
    }
    decode_header(raw, salt)
}

/// Makes a whole SEAL record at `lsn`. It proves nothing about what was synced or completed, so
/// every helper makes the same bytes.
pub(crate) fn encode_seal(lsn: Lsn, successor: Successor, salt: u32) -> [u8; SEAL_BYTES] {
    encode_last(RecordKind::Seal, lsn, Lsn(0), successor, salt)
}

/// The words of a SEAL record, for helpers that store it by atomic stores.
pub(crate) fn seal_words(bytes: &[u8; SEAL_BYTES]) -> [u64; SEAL_BYTES / 8] {
    std::array::from_fn(|n| get_u64(bytes, n * 8))
}

/// Makes a whole END record at `lsn`, valid only after everything below `lsn` was synced.
pub(crate) fn encode_end(lsn: Lsn, salt: u32) -> [u8; SEAL_BYTES] {
    let nobody = Successor { number: FileNumber(0), base: Lsn(0) };
    encode_last(RecordKind::End, lsn, lsn, nobody, salt)
}

/// Makes a whole MARK record at `lsn`, valid only after everything below `lsn` was synced.
pub(crate) fn encode_mark(lsn: Lsn, salt: u32) -> [u8; HEADER_BYTES] {
    let header = Header {
        length: 48,
        entries: 0,
        lsn,
        synced: lsn,
        completed: lsn,
        kind: RecordKind::Mark,
        flags: 0,
        payload_crc: payload_crc(salt, &[]),
    };
    encode_header(&header, salt)
}

/// Reads the body of a SEAL or END record; none when it is not 16 bytes.
pub(crate) fn decode_successor(body: &[u8]) -> Option<Successor> {
    let mut decoder = Decoder::new(body);
    let successor = Successor { number: FileNumber(decoder.u64()?), base: Lsn(decoder.u64()?) };
    decoder.is_empty().then_some(successor)
}

fn encode_last(
    kind: RecordKind,
    lsn: Lsn,
    proved: Lsn,
    successor: Successor,
    salt: u32,
) -> [u8; SEAL_BYTES] {
    let mut body = [0; SEAL_BYTES - HEADER_BYTES];
    body[..8].copy_from_slice(&successor.number.0.to_le_bytes());
    body[8..].copy_from_slice(&successor.base.0.to_le_bytes());
    let header = Header {
        length: 64,
        entries: 0,
        lsn,
        synced: proved,
        completed: proved,
        kind,
        flags: 0,
        payload_crc: payload_crc(salt, &body),
    };
    let mut out = [0; SEAL_BYTES];
    out[..HEADER_BYTES].copy_from_slice(&encode_header(&header, salt));
    out[HEADER_BYTES..].copy_from_slice(&body);
    out
}

fn is_record_length(length: u32) -> bool {
    length >= 48 && length % 8 == 0
}

#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
#[cfg(test)]
mod tests;
