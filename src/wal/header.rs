//! The head of a segment: two equal copies of 4096 bytes, each in two parts.
//!
//! Part 1 is fixed and durable when the segment is prepared; part 2 says where the segment lies in
//! the logical log and is stored when it is installed. Each part has a sector and a checksum of its
//! own, so storing part 2 cannot harm part 1 (`docs/format.md`, chapter "Segment").
//!
//! Invariant L1: a copy counts only if every byte of it is as written, reserved zeros included.
//!
//! Plain functions on byte slices: any thread.

use crate::base::coding::{Decoder, Put, get_u64};
use crate::base::limits::LSN_MAX;
use crate::base::{Error, ErrorKind, FileNumber, Lsn, Result, checksum, filename};

/// Bytes in front of the first record.
pub(crate) const SEGMENT_HEAD_BYTES: u64 = 8192;
/// Where the second copy begins.
pub(super) const COPY_BYTES: usize = 4096;
/// Where part 2 begins within a copy.
pub(super) const PART2_AT: usize = 512;
/// Words of part 2.
pub(super) const PART2_WORDS: usize = 6;

const MAGIC: &[u8; 8] = b"lsmerwal";
const VERSION: u32 = 1;
/// Features of which a reader must know all that are set. None exist.
const MUST_UNDERSTAND: u32 = 0;
const CRC1_AT: usize = PART2_AT - 4;
const PART2_END: usize = PART2_AT + PART2_WORDS * 8;
/// In the upper half of the last word of part 2, so that it is never all zeros.
const PRESENT: u64 = 1 << 32;
const _: () = assert!(COPY_BYTES as u64 * 2 == SEGMENT_HEAD_BYTES);

/// What is known when a segment is prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentSpec {
    /// The number in the file's name, not 0.
    pub(crate) number: FileNumber,
    /// Random; seeds the checksums of the records.
    pub(crate) salt: u32,
    /// Bytes behind the head: a multiple of 8.
    pub(crate) capacity: u64,
    /// This boot of the machine, 0 if unknown.
    pub(crate) boot_id: u128,
    /// This mounting of the file system.
    pub(crate) mount_id: u64,
    /// How many manifest edits were durable: a manifest with fewer is damaged.
    pub(crate) edit_count: u64,
}

/// The segment that lies before another in the logical log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Predecessor {
    /// Its file number.
    pub(crate) number: FileNumber,
    /// Its base.
    pub(crate) base: Lsn,
    /// Just past its SEAL or END record.
    pub(crate) end: Lsn,
}

/// Where an installed segment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The position of its first record.
    pub(crate) base: Lsn,
    /// None for the first segment above a floor.
    pub(crate) predecessor: Option<Predecessor>,
    /// Everything below was durable when this was stored; 0 claims nothing.
    pub(crate) synced: Lsn,
}

/// The head of a segment as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) spec: SegmentSpec,
    /// None while the segment is prepared and not installed.
    pub(super) place: Option<Place>,
}

/// Makes one copy of the head of a prepared segment.
pub(super) fn encode_copy(spec: &SegmentSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(COPY_BYTES);
    out.extend_from_slice(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(MUST_UNDERSTAND);
    out.put_u32(0); // Features that a reader may ignore.
    out.put_u32(spec.salt);
    out.put_u64(spec.number.0);
    out.put_u64(spec.capacity);
    out.put_u64(spec.edit_count);
    out.put_u64(spec.mount_id);
    out.extend_from_slice(&spec.boot_id.to_le_bytes());
    out.resize(CRC1_AT, 0);
    out.put_u32(checksum::crc(0, &out));
    out.resize(COPY_BYTES, 0);
    out
}

/// Makes the words of part 2.
pub(super) fn encode_place(place: &Place, salt: u32) -> [u64; PART2_WORDS] {
    let nobody = Predecessor { number: FileNumber(0), base: Lsn(0), end: Lsn(0) };
    let predecessor = place.predecessor.unwrap_or(nobody);
    let fields =
        [place.base.0, predecessor.number.0, predecessor.base.0, predecessor.end.0, place.synced.0];
    let mut words = [PRESENT | u64::from(crc_of(&fields, salt)); PART2_WORDS];
    words[..PART2_WORDS - 1].copy_from_slice(&fields);
    words
}

/// Reads the head of the log numbered `number` from the front of its file, both copies if they are
/// there. None when part 1 is bad in both; `Format` when it is sound but newer.
///
/// Part 2 is taken from any sound copy.
pub(super) fn decode_head(bytes: &[u8], number: FileNumber) -> Result<Option<Head>> {
    let mut found: Option<Head> = None;
    for copy in bytes.chunks(COPY_BYTES).take(2) {
        let Some(spec) = decode_part1(copy, number)? else { continue };
        let place = decode_part2(copy, spec.salt);
        let head = found.get_or_insert(Head { spec, place });
        if head.spec != spec || (place.is_some() && head.place.is_some_and(|p| Some(p) != place)) {
            let text = "the two copies of the head differ";
            return Err(Error::corrupt(&filename::log(number), number.0, 0, text));
        }
        head.place = head.place.or(place);
    }
    Ok(found)
}

/// Reads part 1 of a copy; none when it is bad.
fn decode_part1(copy: &[u8], number: FileNumber) -> Result<Option<SegmentSpec>> {
    let Some((fields, rest)) = copy.split_at_checked(CRC1_AT) else { return Ok(None) };
    let mut decoder = Decoder::new(fields);
    // The places of magic, version and checksum are the same in every version.
    if decoder.take(8) != Some(MAGIC.as_slice())
        || Decoder::new(rest).u32() != Some(checksum::crc(0, fields))
    {
        return Ok(None);
    }
    let name = filename::log(number);
    match decoder.u32() {
        Some(VERSION) => {}
        Some(0) | None => return Ok(None),
        Some(newer) => return Err(Error::newer_format(&name, number.0, newer)),
    }
    match decoder.u32() {
        Some(bits) if bits & !MUST_UNDERSTAND != 0 => {
            let text = format!("{name} uses features {bits:#x}; use a newer lsmer");
            return Err(Error::new(ErrorKind::Format, text).at(number.0, 0));
        }
        _ => {}
    }
    let reserved = copy.get(PART2_END..).unwrap_or_default();
    if reserved.iter().any(|&byte| byte != 0) {
        return Ok(None);
    }
    Ok(decode_spec(&mut decoder).filter(|spec| spec.number == number))
}

fn decode_spec(decoder: &mut Decoder<'_>) -> Option<SegmentSpec> {
    let _may_ignore = decoder.u32()?;
    let salt = decoder.u32()?;
    let number = FileNumber(decoder.u64()?);
    let capacity = decoder.u64()?;
    let edit_count = decoder.u64()?;
    let mount_id = decoder.u64()?;
    let boot_id = u128::from_le_bytes(decoder.take(16)?.try_into().ok()?);
    let spec = SegmentSpec { number, salt, capacity, boot_id, mount_id, edit_count };
    let is_sound =
        capacity % 8 == 0 && capacity < LSN_MAX && decoder.rest().iter().all(|&byte| byte == 0);
    is_sound.then_some(spec)
}

/// Reads part 2 of a copy; none when it is empty or bad.
fn decode_part2(copy: &[u8], salt: u32) -> Option<Place> {
    let raw: &[u8; PART2_WORDS * 8] = copy.get(PART2_AT..PART2_END)?.try_into().ok()?;
    let word = |n: usize| get_u64(raw, n * 8);
    let fields = [word(0), word(1), word(2), word(3), word(4)];
    if word(5) != PRESENT | u64::from(crc_of(&fields, salt)) {
        return None;
    }
    let [base, pred_number, pred_base, pred_end, synced] = fields;
    if base % 8 != 0 || base >= LSN_MAX || pred_end > base {
        return None;
    }
    let predecessor = (pred_number != 0).then_some(Predecessor {
        number: FileNumber(pred_number),
        base: Lsn(pred_base),
        end: Lsn(pred_end),
    });
    Some(Place { base: Lsn(base), predecessor, synced: Lsn(synced) })
}

fn crc_of(fields: &[u64; PART2_WORDS - 1], salt: u32) -> u32 {
    let mut bytes = [0; (PART2_WORDS - 1) * 8];
    for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    checksum::crc(salt, &bytes)
}
