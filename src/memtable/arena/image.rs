//! The log's view of the arena: links read as zeros, records that are not logged as SKIP.
//!
//! Used by the leader that writes a log by `pwrite`, for records below `visible` only.

#![allow(unsafe_code, reason = "copies around bytes that others change")]

use std::sync::atomic::Ordering;

use crate::base::checksum::crc;
use crate::base::{Error, ErrorKind, Result};

use super::Arena;
use crate::memtable::layout::{
    ENTRIES_AT, FLAG_NOLOG, FLAGS_AT, HEADER_BYTES, HEADER_CRC_AT, LINK_BYTES, PAYLOAD_CRC_AT,
    TYPE_AT, TYPE_BATCH, TYPE_SKIP,
};

/// Appends the records of `[from, to)` to `out` as the log holds them. Both are ends of records at
/// or below `visible`, as places; `salt` seeds the checksums of the segment.
///
/// # Errors
/// `Internal` if a record is not whole: then `out` ends with the last whole one.
pub(super) fn copy(
    arena: &Arena,
    from: usize,
    to: usize,
    salt: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut place = from;
    while place < to {
        let length = arena.mark(place) as usize;
        if length < HEADER_BYTES || length % 8 != 0 || length > to - place {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the record at place {place} is {length} bytes long; {to} is the end"),
            ));
        }
        copy_record(arena, place, length, salt, out);
        place += length;
    }
    Ok(())
}

fn copy_record(arena: &Arena, place: usize, length: usize, salt: u32, out: &mut Vec<u8>) {
    let start = out.len();
    // By words, because the words of a seal may still be stored (again, the same) by helpers. For
    // other types this is as good as a plain copy.
    for at in (0..HEADER_BYTES).step_by(8) {
        out.extend_from_slice(&word(arena, place + at));
    }
    let header = &mut out[start..];
    if header[FLAGS_AT] & FLAG_NOLOG != 0 {
        turn_into_skip(header, salt);
        out.resize(start + length, 0);
    } else if header[TYPE_AT] == TYPE_BATCH {
        copy_entries(arena, place + HEADER_BYTES, place + length, out);
    } else {
        for at in (HEADER_BYTES..length).step_by(8) {
            out.extend_from_slice(&word(arena, place + at));
        }
    }
}

/// A SKIP record of the same length and position: it tells nothing but that.
fn turn_into_skip(header: &mut [u8], salt: u32) {
    header[HEADER_CRC_AT..HEADER_CRC_AT + 4].fill(0);
    header[PAYLOAD_CRC_AT..PAYLOAD_CRC_AT + 4].fill(0);
    header[ENTRIES_AT..ENTRIES_AT + 4].fill(0);
    header[TYPE_AT] = TYPE_SKIP;
    header[FLAGS_AT] = 0;
    let sum = crc(salt, header);
    header[HEADER_CRC_AT..HEADER_CRC_AT + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The entries of `[place, end)`, each with zeros for its links.
fn copy_entries(arena: &Arena, mut place: usize, end: usize, out: &mut Vec<u8>) {
    while place < end {
        let bytes = arena.written(place).1.entry_bytes();
        out.extend_from_slice(&[0; LINK_BYTES]);
        // SAFETY: the record is marked, so this is written for good. The slice begins behind the
        // links of this entry and ends before those of the next.
        out.extend_from_slice(unsafe { arena.bytes(place + LINK_BYTES, bytes - LINK_BYTES) });
        place += bytes;
    }
}

/// The bytes at `place`, a multiple of 8, loaded at once.
fn word(arena: &Arena, place: usize) -> [u8; 8] {
    u64::from_le(arena.word(place).load(Ordering::Relaxed)).to_le_bytes()
}
