//! The fixed parts of a table file: header, footer, directory and block trailer.
//!
//! The map and the field tables are in `docs/format.md`, chapter Table; a test decodes the bytes
//! shown there and encodes them again. Pure functions, no I/O.

use crate::base::checksum::crc;
use crate::base::coding::{Decoder, Put};
use crate::base::{Error, FileNumber, KeyspaceId, Result};

/// First bytes of the header.
pub(super) const HEADER_MAGIC: u64 = u64::from_le_bytes(*b"lsmerTBL");
/// Last bytes of the footer.
pub(super) const FOOTER_MAGIC: u64 = u64::from_le_bytes(*b"lsmerEND");
/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
/// Must-understand feature bits that this version knows.
pub(super) const MUST_UNDERSTAND: u32 = 0;

/// Length of the header; the first block begins here.
pub(super) const HEADER_BYTES: usize = 40;
/// Length of the footer.
pub(super) const FOOTER_BYTES: usize = 64;
/// Length of what follows the stored bytes of each block.
pub(super) const TRAILER_BYTES: usize = 12;
/// Length of one entry of the directory.
pub(super) const DIRECTORY_ENTRY_BYTES: usize = 24;
/// No block is longer, decoded: one entry of the longest key and value and their framing.
pub(super) const DECODED_BYTES_MAX: usize = (1 << 30) + (1 << 18);
/// LZ4 makes at most this many bytes of one.
pub(super) const LZ4_RATIO_MAX: usize = 255;

/// What a block is. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum BlockKind {
    /// Entries.
    Data = 1,
    /// The block index of a section.
    Index = 2,
    /// The hash index of a section.
    Hash = 3,
    /// The filter of a section.
    Filter = 4,
    // 5 is kept for the range tombstones of a section.
    /// The properties of a section.
    Properties = 6,
    /// Where the sections are.
    Directory = 7,
}

impl BlockKind {
    /// The name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "data block",
            Self::Index => "block index",
            Self::Hash => "hash index",
            Self::Filter => "filter",
            Self::Properties => "properties block",
            Self::Directory => "directory",
        }
    }
}

/// How the stored bytes became the decoded ones. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Encoding {
    /// They are the same.
    Plain = 1,
    /// LZ4 block format.
    Lz4 = 2,
}

/// What follows the stored bytes of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trailer {
    pub(super) decoded_bytes: u32,
    pub(super) kind: u8,
    pub(super) encoding: Encoding,
}

/// Encodes the trailer of the block whose `stored` bytes, in parts, lie at `offset` of file
/// `file_id`.
pub(super) fn encode_trailer(
    trailer: Trailer,
    file_id: u64,
    offset: u64,
    stored: &[&[u8]],
) -> [u8; TRAILER_BYTES] {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    out.put_u32(trailer.decoded_bytes);
    out.put_u8(trailer.kind);
    out.put_u8(trailer.encoding as u8);
    out.put_u16(0);
    let sum = block_crc(&out, file_id, offset, stored);
    out.put_u32(sum);
    let mut bytes = [0; TRAILER_BYTES];
    bytes.copy_from_slice(&out);
    bytes
}

/// What [`decode_trailer`] finds.
pub(super) enum TrailerCheck {
    /// Everything agrees.
    Good(Trailer),
    /// The checksum is the first, and should be the second.
    BadCrc(u32, u32),
    /// The checksum agrees, but the fields make no sense.
    BadFields(&'static str),
}

/// Reads and checks a trailer: checksum (T3), kind, encoding, and that the decoded length is
/// possible for that many stored bytes (T5).
pub(super) fn decode_trailer(
    bytes: &[u8],
    kind: BlockKind,
    file_id: u64,
    offset: u64,
    stored: &[u8],
) -> TrailerCheck {
    let mut decoder = Decoder::new(bytes);
    let fields = (|| {
        let head = bytes.get(..8)?;
        Some((head, decoder.u32()?, decoder.u8()?, decoder.u8()?, decoder.u16()?, decoder.u32()?))
    })();
    let Some((head, decoded_bytes, found_kind, encoding, zero, sum)) = fields else {
        return TrailerCheck::BadFields("the trailer is short");
    };
    let expected = block_crc(head, file_id, offset, &[stored]);
    if sum != expected && !crate::base::mutant::mutant("block_crc_ignored") {
        return TrailerCheck::BadCrc(sum, expected);
    }
    let encoding = match encoding {
        1 => Encoding::Plain,
        2 => Encoding::Lz4,
        _ => return TrailerCheck::BadFields("the encoding is unknown"),
    };
    if found_kind != kind as u8 || zero != 0 {
        return TrailerCheck::BadFields("it is a block of another kind");
    }
    let decoded = usize::try_from(decoded_bytes).unwrap_or(usize::MAX);
    let possible = match encoding {
        Encoding::Plain => decoded == stored.len(),
        Encoding::Lz4 => decoded <= stored.len().saturating_mul(LZ4_RATIO_MAX),
    };
    if !possible || decoded > DECODED_BYTES_MAX {
        return TrailerCheck::BadFields("the decoded length is impossible");
    }
    TrailerCheck::Good(Trailer { decoded_bytes, kind: found_kind, encoding })
}

/// Over file id, offset, the trailer before the checksum, and the stored bytes.
fn block_crc(trailer_head: &[u8], file_id: u64, offset: u64, stored: &[&[u8]]) -> u32 {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&file_id.to_le_bytes());
    place[8..16].copy_from_slice(&offset.to_le_bytes());
    place[16..].copy_from_slice(trailer_head);
    stored.iter().fold(crc(0, &place), |sum, part| crc(sum, part))
}

/// Whose file it is and how it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) number: FileNumber,
    pub(super) file_id: u64,
    pub(super) version: u32,
    pub(super) must_understand: u32,
    pub(super) may_ignore: u32,
}

impl Identity {
    /// What this version writes.
    pub(super) fn new(number: FileNumber, file_id: u64) -> Self {
        Self { number, file_id, version: VERSION, must_understand: MUST_UNDERSTAND, may_ignore: 0 }
    }

    /// A `Format` error when this version cannot read the file.
    pub(super) fn check_readable(&self, name: &str) -> Result<()> {
        if self.version > VERSION || self.must_understand & !MUST_UNDERSTAND != 0 {
            return Err(Error::newer_format(name, self.number.0, self.version));
        }
        Ok(())
    }
}

/// Encodes the header.
pub(super) fn encode_header(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.put_u64(HEADER_MAGIC);
    out.put_u64(identity.number.0);
    out.put_u64(identity.file_id);
    out.put_u32(identity.version);
    out.put_u32(identity.must_understand);
    out.put_u32(identity.may_ignore);
    let sum = crc(0, &out);
    out.put_u32(sum);
    out
}

/// Reads the header; none if magic or checksum is wrong.
pub(super) fn decode_header(bytes: &[u8]) -> Option<Identity> {
    let mut decoder = Decoder::new(bytes);
    let magic = decoder.u64()?;
    let number = FileNumber(decoder.u64()?);
    let file_id = decoder.u64()?;
    let version = decoder.u32()?;
    let must_understand = decoder.u32()?;
    let may_ignore = decoder.u32()?;
    let sum = decoder.u32()?;
    let good = magic == HEADER_MAGIC
        && sum == crc(0, bytes.get(..HEADER_BYTES - 4)?)
        && decoder.is_empty()
        && version > 0;
    good.then_some(Identity { number, file_id, version, must_understand, may_ignore })
}

/// The end of a file: where the directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Footer {
    pub(super) directory_offset: u64,
    pub(super) directory_bytes: u32,
    pub(super) sections: u32,
    pub(super) file_bytes: u64,
    pub(super) identity: Identity,
}

/// Encodes the footer.
pub(super) fn encode_footer(footer: &Footer) -> Vec<u8> {
    let mut out = Vec::with_capacity(FOOTER_BYTES);
    out.put_u64(footer.directory_offset);
    out.put_u32(footer.directory_bytes);
    out.put_u32(footer.sections);
    out.put_u64(footer.identity.number.0);
    out.put_u64(footer.identity.file_id);
    out.put_u64(footer.file_bytes);
    out.put_u32(footer.identity.must_understand);
    out.put_u32(footer.identity.may_ignore);
    out.put_u32(footer.identity.version);
    let sum = crc(0, &out);
    out.put_u32(sum);
    out.put_u64(FOOTER_MAGIC);
    out
}

/// Reads the footer; none if magic or checksum is wrong.
pub(super) fn decode_footer(bytes: &[u8]) -> Option<Footer> {
    let mut decoder = Decoder::new(bytes);
    let directory_offset = decoder.u64()?;
    let directory_bytes = decoder.u32()?;
    let sections = decoder.u32()?;
    let number = FileNumber(decoder.u64()?);
    let file_id = decoder.u64()?;
    let file_bytes = decoder.u64()?;
    let must_understand = decoder.u32()?;
    let may_ignore = decoder.u32()?;
    let version = decoder.u32()?;
    let sum = decoder.u32()?;
    let magic = decoder.u64()?;
    let good = magic == FOOTER_MAGIC
        && sum == crc(0, bytes.get(..FOOTER_BYTES - 12)?)
        && decoder.is_empty()
        && version > 0;
    let identity = Identity { number, file_id, version, must_understand, may_ignore };
    good.then_some(Footer { directory_offset, directory_bytes, sections, file_bytes, identity })
}

/// Where one section is: `[begin, end)` of the file, its properties block last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SectionPlace {
    pub(super) keyspace: KeyspaceId,
    pub(super) properties_bytes: u32,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Encodes the directory, in ascending order of keyspace.
pub(super) fn encode_directory(sections: &[SectionPlace]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sections.len() * DIRECTORY_ENTRY_BYTES);
    for section in sections {
        out.put_u32(section.keyspace.0);
        out.put_u32(section.properties_bytes);
        out.put_u64(section.begin);
        out.put_u64(section.end);
    }
    out
}

/// Reads the directory; none unless keyspaces ascend and the sections follow each other from the
/// header to `end` without a gap (T6), each long enough for its properties.
pub(super) fn decode_directory(bytes: &[u8], end: u64) -> Option<Vec<SectionPlace>> {
    let mut sections: Vec<SectionPlace> = Vec::with_capacity(bytes.len() / DIRECTORY_ENTRY_BYTES);
    let mut decoder = Decoder::new(bytes);
    let mut at = HEADER_BYTES as u64;
    while !decoder.is_empty() {
        let place = SectionPlace {
            keyspace: KeyspaceId(decoder.u32()?),
            properties_bytes: decoder.u32()?,
            begin: decoder.u64()?,
            end: decoder.u64()?,
        };
        let least = u64::from(place.properties_bytes) + TRAILER_BYTES as u64;
        let ascends = sections.last().is_none_or(|last| last.keyspace < place.keyspace);
        if place.begin != at || !ascends || place.end.checked_sub(at)? < least {
            return None;
        }
        at = place.end;
        sections.push(place);
    }
    (at == end).then_some(sections)
}

/// The `N` bytes at `at`, or none if they are not all there.
#[inline]
pub(super) fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The u16 at `at`, or none.
#[inline]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(word(bytes, at)?)))
}

/// The u32 at `at` as a length, or none.
#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(word(bytes, at)?)).ok()
}

/// The u64 at `at`, or none.
#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(word(bytes, at)?))
}
