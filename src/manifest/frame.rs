//! The bytes around edits: the head of a manifest, `CURRENT`, and the frames in a manifest.
//!
//! Layouts are in `docs/format.md`, chapters "CURRENT" and "Manifest". Nothing is read or written
//! here.
//!
//! Invariants: a frame's checksums are seeded by the manifest's salt and the frame's own offset, so
//! a frame is valid in one place of one file only; a frame's header is proof even when its payload
//! is torn (E2).
//!
//! Plain functions on byte slices: any thread.

use crate::base::coding::{Decoder, Put, align8, len_u32};
use crate::base::{Error, ErrorKind, FileNumber, Result, checksum};

/// Bytes of a manifest's head, and of the whole of `CURRENT`.
pub(crate) const HEAD_BYTES: usize = 64;
/// Bytes of a frame header.
pub(crate) const FRAME_BYTES: usize = 24;
/// Longest payload of one edit in bytes: lengths are 32-bit, and an edit is held in memory.
pub(crate) const EDIT_BYTES_MAX: usize = 1 << 30;

const VERSION: u32 = 1;
/// Features of which a reader must know all that are set. None exist.
const MUST_UNDERSTAND: u32 = 0;
const CRC_AT: usize = HEAD_BYTES - 4;

/// Which file begins with a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeadKind {
    /// `MANIFEST-NNNNNN`.
    Manifest,
    /// `CURRENT`.
    Current,
}

impl HeadKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Manifest => b"lsmerman",
            Self::Current => b"lsmercur",
        }
    }
}

/// What a manifest's head says of itself and `CURRENT` of the manifest that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// The manifest's file number.
    pub(crate) number: FileNumber,
    /// Random; ties `CURRENT`, head and frames together.
    pub(crate) salt: u64,
    /// The number of the manifest's first edit.
    pub(crate) first_edit: u64,
}

/// Makes the 64 bytes of a head.
pub(crate) fn encode_head(kind: HeadKind, head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(kind.magic());
    out.put_u32(VERSION);
    out.put_u32(MUST_UNDERSTAND);
    out.put_u32(0); // Features that a reader may ignore.
    out.put_u32(0);
    out.put_u64(head.number.0);
    out.put_u64(head.salt);
    out.put_u64(head.first_edit);
    out.resize(CRC_AT, 0);
    out.put_u32(checksum::crc(0, &out));
    out
}

/// Reads the head at the front of `bytes`, of the file `name` numbered `file_id` in errors.
///
/// `Corrupt` when it is short, foreign or damaged; `Format` when it is sound but newer.
pub(crate) fn decode_head(kind: HeadKind, bytes: &[u8], name: &str, file_id: u64) -> Result<Head> {
    let corrupt = |what: &str| Error::corrupt(name, file_id, 0, what);
    let raw = bytes.get(..HEAD_BYTES).ok_or_else(|| corrupt("the file ends inside its head"))?;
    let (fields, stored_crc) = raw.split_at(CRC_AT);
    let mut decoder = Decoder::new(fields);
    if decoder.take(8) != Some(kind.magic().as_slice()) {
        return Err(corrupt("the magic is wrong"));
    }
    // The place of version and checksum is the same in every version.
    if Decoder::new(stored_crc).u32() != Some(checksum::crc(0, fields)) {
        return Err(corrupt("the checksum of the head is wrong"));
    }
    let truncated = || corrupt("the head is too short");
    let version = decoder.u32().ok_or_else(truncated)?;
    if version > VERSION {
        return Err(Error::newer_format(name, file_id, version));
    }
    let must_understand = decoder.u32().ok_or_else(truncated)?;
    if must_understand & !MUST_UNDERSTAND != 0 {
        let text = format!("{name} uses features {must_understand:#x}; use a newer lsmer");
        return Err(Error::new(ErrorKind::Format, text).at(file_id, 0));
    }
    let _may_ignore = decoder.u32().ok_or_else(truncated)?;
    let zero = decoder.u32().ok_or_else(truncated)?;
    let number = FileNumber(decoder.u64().ok_or_else(truncated)?);
    let salt = decoder.u64().ok_or_else(truncated)?;
    let first_edit = decoder.u64().ok_or_else(truncated)?;
    if version == 0 || zero != 0 || decoder.rest().iter().any(|&byte| byte != 0) {
        return Err(corrupt("reserved bytes of the head are wrong"));
    }
    Ok(Head { number, salt, first_edit })
}

/// What a frame is. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    /// An edit follows.
    Edit,
    /// The edit of this number was synced; no payload.
    Done,
}

/// A frame header, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// What it is.
    pub(crate) kind: FrameKind,
    /// The edit it belongs to.
    pub(crate) edit: u64,
    /// Bytes of the payload without padding.
    pub(crate) payload_bytes: u32,
    payload_crc: u32,
}

/// Makes header, payload and padding of the edit numbered `edit`, for `offset`, with zeros in the
/// place of its DONE frame.
pub(crate) fn encode_edit(salt: u64, offset: u64, edit: u64, payload: &[u8]) -> Vec<u8> {
    let padded_bytes = align8(payload.len());
    let mut out = vec![0; FRAME_BYTES];
    out.reserve(padded_bytes + FRAME_BYTES);
    out.extend_from_slice(payload);
    out.resize(FRAME_BYTES + padded_bytes, 0);
    let payload_crc = checksum::crc(seed(salt, offset), &out[FRAME_BYTES..]);
    let frame = Frame { kind: FrameKind::Edit, edit, payload_bytes: len_u32(payload), payload_crc };
    out[..FRAME_BYTES].copy_from_slice(&encode_frame(salt, offset, frame));
    out.resize(FRAME_BYTES + padded_bytes + FRAME_BYTES, 0);
    out
}

/// Makes the DONE frame of the edit numbered `edit`, for `offset`.
pub(crate) fn encode_done(salt: u64, offset: u64, edit: u64) -> [u8; FRAME_BYTES] {
    let frame = Frame { kind: FrameKind::Done, edit, payload_bytes: 0, payload_crc: 0 };
    encode_frame(salt, offset, frame)
}

/// Reads the frame header at `offset` of the file `bytes`; none unless its checksum is right.
pub(crate) fn decode_frame(bytes: &[u8], salt: u64, offset: usize) -> Option<Frame> {
    let raw: &[u8; FRAME_BYTES] = bytes.get(offset..)?.first_chunk()?;
    let mut decoder = Decoder::new(raw);
    let payload_bytes = decoder.u32()?;
    let stored_crc = decoder.u32()?;
    let payload_crc = decoder.u32()?;
    let kind = match decoder.u32()? {
        1 => FrameKind::Edit,
        2 => FrameKind::Done,
        _ => return None,
    };
    let edit = decoder.u64()?;
    let mut blank = *raw;
    blank[4..8].fill(0);
    let offset = u64::try_from(offset).ok()?;
    let is_valid = checksum::crc(seed(salt, offset), &blank) == stored_crc;
    is_valid.then_some(Frame { kind, edit, payload_bytes, payload_crc })
}

/// The payload of the edit whose frame header stands at `offset` of the file `bytes`, and the
/// offset of its DONE frame; none when it is cut off or its checksum is wrong.
pub(crate) fn edit_payload<'a>(
    bytes: &'a [u8],
    salt: u64,
    offset: usize,
    frame: &Frame,
) -> Option<(&'a [u8], usize)> {
    let payload_bytes = usize::try_from(frame.payload_bytes).ok()?;
    let begin = offset.checked_add(FRAME_BYTES)?;
    let end = begin.checked_add(payload_bytes)?.checked_next_multiple_of(8)?;
    let padded = bytes.get(begin..end)?;
    let crc = checksum::crc(seed(salt, u64::try_from(offset).ok()?), padded);
    (crc == frame.payload_crc).then(|| (padded.get(..payload_bytes).unwrap_or(padded), end))
}

fn encode_frame(salt: u64, offset: u64, frame: Frame) -> [u8; FRAME_BYTES] {
    let kind: u32 = match frame.kind {
        FrameKind::Edit => 1,
        FrameKind::Done => 2,
    };
    let mut out = [0; FRAME_BYTES];
    out[..4].copy_from_slice(&frame.payload_bytes.to_le_bytes());
    out[8..12].copy_from_slice(&frame.payload_crc.to_le_bytes());
    out[12..16].copy_from_slice(&kind.to_le_bytes());
    out[16..].copy_from_slice(&frame.edit.to_le_bytes());
    let crc = checksum::crc(seed(salt, offset), &out);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Binds a frame to its file and its place.
fn seed(salt: u64, offset: u64) -> u32 {
    let mut tied = [0; 16];
    tied[..8].copy_from_slice(&salt.to_le_bytes());
    tied[8..].copy_from_slice(&offset.to_le_bytes());
    checksum::crc(0, &tied)
}
