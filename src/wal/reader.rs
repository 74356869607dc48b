//! Reads the records of one segment: in order for replay, or any valid header for a proof.
//!
//! What a bad record means is `replay`'s business. Runs on one thread.

use super::chain::Found;
use super::header::SEGMENT_HEAD_BYTES;
use super::window::Window;
use crate::base::mutant::mutant;
use crate::base::{Error, ErrorKind, FileNumber, Lsn, Result};
use crate::batch;
use crate::record::{self, HEADER_BYTES, Header, RecordKind, Successor};

const HEADER: u64 = HEADER_BYTES as u64;

/// One whole BATCH record. Its entries are well-formed and of kinds that this version applies;
/// whether their keyspaces live is for the receiver to check.
pub(crate) struct ReplayedRecord<'a> {
    /// Where the record begins; entry i has the number `lsn` + i.
    pub(crate) lsn: Lsn,
    /// The entries, links zero, padding included.
    pub(crate) body: &'a [u8],
    /// The log it stands in, for messages.
    pub(crate) file: FileNumber,
    /// The offset of the record there.
    pub(crate) offset: u64,
}

/// Receives whole records in order. Its error ends the replay and is returned.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&ReplayedRecord<'_>) -> Result<()>;

/// Why a segment's records end.
pub(super) enum Last {
    Seal(Successor),
    End,
    /// At this place there is no whole record.
    Bad(u64),
}

/// Whether a valid header proves that everything up to and beyond `bad` was stored for good.
pub(super) fn proves(header: &Header, bad: Lsn, same_machine: bool) -> bool {
    let by_being_there = matches!(header.kind, RecordKind::Mark | RecordKind::End);
    header.synced > bad
        || (by_being_there && header.lsn > bad)
        || (same_machine && header.completed > bad)
}

/// The first aligned place from `from` on with a valid header that `wanted` accepts.
pub(super) fn scan(
    found: &Found,
    base: Lsn,
    from: u64,
    wanted: impl Fn(&Header) -> bool,
) -> Result<Option<u64>> {
    let mut window = found.window();
    let mut place = from;
    while let Some(chunk) = window.chunk(SEGMENT_HEAD_BYTES.saturating_add(place), HEADER)? {
        for candidate in chunk.windows(HEADER_BYTES).step_by(8) {
            let header = record::probe_header(candidate, base.plus(place), found.spec.salt);
            if header.is_some_and(|header| wanted(&header)) {
                return Ok(Some(place));
            }
            place += 8;
        }
    }
    Ok(None)
}

/// Gives the records of one segment to `sink`; says why they end, and at which position.
pub(super) fn read_records(found: &Found, base: Lsn, sink: Sink<'_>) -> Result<(Last, Lsn)> {
    let mut window = found.window();
    let mut place = 0;
    loop {
        let lsn = base.plus(place);
        let Some(header) = header_at(&mut window, found, base, place)? else {
            return Ok((Last::Bad(place), lsn));
        };
        let (end_place, end) = (place + u64::from(header.length), header.end());
        let offset = SEGMENT_HEAD_BYTES + place;
        if end_place > found.spec.capacity || header.flags != 0 {
            let text = "the record is longer than its segment, or has flags of memory";
            return Err(found.corrupt(offset, text));
        }
        match header.kind {
            RecordKind::Skip => {}
            RecordKind::Mark if u64::from(header.length) == HEADER => {}
            RecordKind::Batch | RecordKind::Seal | RecordKind::End => {
                let Some(body) = body_of(&mut window, found, &header, offset)? else {
                    return Ok((Last::Bad(place), lsn));
                };
                match header.kind {
                    RecordKind::Batch => give(found, &header, offset, body, sink)?,
                    kind => return Ok((last_of(found, kind, offset, body)?, end)),
                }
            }
            RecordKind::Mark => return Err(found.corrupt(offset, "a mark has a body")),
            RecordKind::Reserved(_) => {
                let text = format!(
                    "log {} holds a record of type {} at offset {offset}; use a newer lsmer",
                    found.spec.number,
                    header.kind.to_u8()
                );
                return Err(Error::new(ErrorKind::Format, text).at(found.spec.number.0, offset));
            }
        }
        place = end_place;
    }
}

/// The valid header at `place`, if there is one.
fn header_at(
    window: &mut Window<'_>,
    found: &Found,
    base: Lsn,
    place: u64,
) -> Result<Option<Header>> {
    let offset = SEGMENT_HEAD_BYTES.saturating_add(place);
    let bytes = window.get(offset, HEADER)?;
    Ok(bytes.and_then(|bytes| record::probe_header(bytes, base.plus(place), found.spec.salt)))
}

/// The body of the record at `offset`, or none when it is cut off or torn.
fn body_of<'w>(
    window: &'w mut Window<'_>,
    found: &Found,
    header: &Header,
    offset: u64,
) -> Result<Option<&'w [u8]>> {
    let body_bytes = u64::from(header.length) - HEADER;
    let body = window.get(offset + HEADER, body_bytes)?;
    let salt = found.spec.salt;
    Ok(body.filter(|body| {
        record::payload_crc(salt, body) == header.payload_crc || mutant("log_crc_ignored")
    }))
}

fn last_of(found: &Found, kind: RecordKind, offset: u64, body: &[u8]) -> Result<Last> {
    match (kind, record::decode_successor(body)) {
        (RecordKind::Seal, Some(successor)) => Ok(Last::Seal(successor)),
        (_, Some(_)) => Ok(Last::End),
        (_, None) => Err(found.corrupt(offset, "the last record has the wrong length")),
    }
}

/// Checks the entries of a BATCH record and gives it to `sink`.
fn give(found: &Found, header: &Header, offset: u64, body: &[u8], sink: Sink<'_>) -> Result<()> {
    let mut rest = body;
    let mut entries: u32 = 0;
    while !rest.is_empty() {
        let at = offset + HEADER + (body.len() - rest.len()) as u64;
        let Some((op, entry_bytes)) = batch::decode_entry(rest) else {
            return Err(found.corrupt(at, "an entry is malformed although its checksum is right"));
        };
        batch::check_supported(&op).map_err(|error| {
            let text = format!("log {}: {}", found.spec.number, error.message());
            Error::new(ErrorKind::Format, text).at(found.spec.number.0, at)
        })?;
        entries = entries.saturating_add(1);
        rest = rest.get(entry_bytes..).unwrap_or_default();
    }
    if entries != header.entries {
        let text = format!("the record holds {entries} entries instead of {}", header.entries);
        return Err(found.corrupt(offset, text));
    }
    sink(&ReplayedRecord { lsn: header.lsn, body, file: found.spec.number, offset })
}
