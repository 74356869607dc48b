//! Which segments there are, and how they hang together: everything but the records.
//!
//! A segment's base comes from part 2 of its head, or, where a power failure took that, from the
//! seal of the segment before it or from its own first record. Segments based below the floor are
//! obsolete and not read any further. What is left must hang together: a link to a segment that is
//! not there is corruption, because a name is durable before anybody names it (L4).
//!
//! Used by `replay` on one thread.

use std::sync::Arc;

use super::header::{self, Head, Place, SEGMENT_HEAD_BYTES, SegmentSpec};
use super::replay::ReplayInput;
use super::window::Window;
use crate::base::coding::Decoder;
use crate::base::limits::LSN_MAX;
use crate::base::{Error, FileNumber, Lsn, Result, filename};
use crate::record::{self, HEADER_BYTES};
use crate::vfs::{Dir, File};

/// A segment whose head is sound.
pub(super) struct Found {
    pub(super) spec: SegmentSpec,
    pub(super) place: Option<Place>,
    /// From part 2 or the first record; later from a seal.
    pub(super) base: Option<Lsn>,
    pub(super) file: Arc<dyn File>,
    /// Bytes of the file that belong to the segment.
    pub(super) file_bytes: u64,
    pub(super) replayed: bool,
}

/// A file named like a log whose head is bad in both copies.
pub(super) struct Headless {
    pub(super) number: FileNumber,
    pub(super) file_bytes: u64,
}

/// Where the log begins.
pub(super) enum First {
    /// There is no segment above the floor.
    Nowhere,
    /// In the segment with this index.
    At(usize),
    /// In a segment of which nothing but part 1 is left, perhaps this one.
    Lost(FileNumber),
}

/// All files that are named like logs.
pub(super) struct Chain {
    pub(super) found: Vec<Found>,
    pub(super) headless: Vec<Headless>,
}

impl Found {
    pub(super) fn corrupt(&self, offset: u64, what: impl std::fmt::Display) -> Error {
        corrupt(self.spec.number, offset, what)
    }

    /// A window on the segment's bytes.
    pub(super) fn window(&self) -> Window<'_> {
        Window::new(&*self.file, self.file_bytes)
    }

    /// The number of the segment that part 2 names as the one before this.
    pub(super) fn predecessor(&self) -> Option<header::Predecessor> {
        self.place.and_then(|place| place.predecessor)
    }

    fn is_above(&self, floor: Lsn) -> bool {
        self.base.is_some_and(|base| base >= floor)
    }
}

/// An error about the log numbered `number`.
pub(super) fn corrupt(number: FileNumber, offset: u64, what: impl std::fmt::Display) -> Error {
    Error::corrupt(&filename::log(number), number.0, offset, what)
}

impl Chain {
    /// Reads the heads of all logs and checks the links between those above the floor.
    pub(super) fn gather(dir: &dyn Dir, input: &ReplayInput<'_>) -> Result<Self> {
        let mut chain = Self { found: Vec::new(), headless: Vec::new() };
        for &number in input.logs {
            chain.open(dir, number, input.floor)?;
        }
        chain.check_edit_counts(input)?;
        // By base; those without one come first and do not matter until a seal names them.
        chain.found.sort_by_key(|found| (found.base, found.spec.number));
        chain.check_links(input.floor)?;
        Ok(chain)
    }

    /// Where the log begins.
    ///
    /// `Corrupt` when there are segments above the floor, but none begins there, and no segment
    /// without a base can be the one that did.
    pub(super) fn first(&self, floor: Lsn) -> Result<First> {
        let Some(index) = self.found.iter().position(|found| found.is_above(floor)) else {
            return Ok(First::Nowhere);
        };
        let Some(found) = self.found.get(index) else { return Ok(First::Nowhere) };
        let follows_floor = match found.predecessor() {
            Some(predecessor) => predecessor.end <= floor,
            None => found.base == Some(floor),
        };
        if follows_floor {
            return Ok(First::At(index));
        }
        if let Some(lost) = self.found.iter().find(|found| found.base.is_none()) {
            return Ok(First::Lost(lost.spec.number));
        }
        let text = format!("the log between the floor {floor} and this is missing");
        Err(found.corrupt(header::PART2_AT as u64, text))
    }

    /// The index of the segment numbered `number`.
    pub(super) fn find(&self, number: FileNumber) -> Option<usize> {
        self.found.iter().position(|found| found.spec.number == number)
    }

    /// The index of the segment that names `number` as the one before it.
    pub(super) fn successor_of(&self, number: FileNumber) -> Option<usize> {
        self.found.iter().position(|found| found.predecessor().is_some_and(|p| p.number == number))
    }

    /// Segments above the floor that were not replayed, by base.
    pub(super) fn rest(&self, floor: Lsn) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.is_above(floor) && !found.replayed)
    }

    /// Whether there are files that were cut off, or never finished.
    pub(super) fn has_remnants(&self) -> bool {
        let is_short = |found: &Found| {
            let made_bytes = SEGMENT_HEAD_BYTES.saturating_add(found.spec.capacity);
            found.base.is_none() && found.file_bytes < made_bytes
        };
        !self.headless.is_empty() || self.found.iter().any(is_short)
    }

    /// Whether there are files of which it is not known where they lay in the log.
    pub(super) fn has_baseless(&self) -> bool {
        !self.headless.is_empty() || self.found.iter().any(|found| found.base.is_none())
    }

    fn open(&mut self, dir: &dyn Dir, number: FileNumber, floor: Lsn) -> Result<()> {
        let file = dir.open(&filename::log(number), false)?;
        let all_bytes = file.len()?;
        let mut window = Window::new(&*file, all_bytes);
        let head_bytes = all_bytes.min(SEGMENT_HEAD_BYTES);
        let head = header::decode_head(window.get(0, head_bytes)?.unwrap_or_default(), number)?;
        let first = window.get(SEGMENT_HEAD_BYTES, HEADER_BYTES as u64)?.unwrap_or_default();
        let Some(Head { spec, place }) = head else {
            // A preparation that was cut short, unless it was used: then somebody may name it,
            // which is found out later, or it begins with what was a record above the floor.
            if resembles_record(first, floor) {
                return Err(corrupt(number, 0, "both copies of the head are damaged"));
            }
            self.headless.push(Headless { number, file_bytes: all_bytes });
            return Ok(());
        };
        let file_bytes = all_bytes.min(SEGMENT_HEAD_BYTES.saturating_add(spec.capacity));
        let own = record::decode_header(first, spec.salt).map(|header| header.lsn);
        let own = own.filter(|lsn| lsn.0 < LSN_MAX && lsn.0 % 8 == 0);
        let base = place.map(|place| place.base).or(own);
        self.found.push(Found { spec, place, base, file, file_bytes, replayed: false });
        Ok(())
    }

    /// A log that was prepared after an edit that the manifest lacks proves the manifest damaged.
    fn check_edit_counts(&self, input: &ReplayInput<'_>) -> Result<()> {
        for found in &self.found {
            if found.spec.edit_count > input.edit_count {
                let name = filename::manifest(input.manifest_number);
                let text = format!(
                    "it ends with edit {}, but log {} was made after edit {}",
                    input.edit_count, found.spec.number, found.spec.edit_count
                );
                return Err(Error::corrupt(&name, input.manifest_number.0, 0, text));
            }
        }
        Ok(())
    }

    fn check_links(&self, floor: Lsn) -> Result<()> {
        let live = || self.found.iter().filter(|found| found.is_above(floor));
        for (left, right) in live().zip(live().skip(1)) {
            if left.base == right.base {
                let text = format!("log {} has the same base", left.spec.number);
                return Err(right.corrupt(header::PART2_AT as u64, text));
            }
        }
        for found in live() {
            let Some(predecessor) = found.predecessor() else { continue };
            if predecessor.end > floor && self.find(predecessor.number).is_none() {
                let name = filename::log(predecessor.number);
                let text = format!("it follows {name}, which is missing or has lost its head");
                return Err(found.corrupt(header::PART2_AT as u64, text));
            }
        }
        Ok(())
    }
}

/// Whether bytes without a known salt have the form of a record at or above `floor`.
fn resembles_record(bytes: &[u8], floor: Lsn) -> bool {
    fn parts(bytes: &[u8]) -> Option<(u32, u64, u8, &[u8])> {
        let mut decoder = Decoder::new(bytes);
        let length = decoder.u32()?;
        decoder.take(12)?;
        let lsn = decoder.u64()?;
        decoder.take(16)?;
        let kind = decoder.u8()?;
        Some((length, lsn, kind, decoder.rest()))
    }
    parts(bytes).is_some_and(|(length, lsn, kind, zeros)| {
        length >= 48
            && length % 8 == 0
            && lsn >= floor.0
            && (1..=9).contains(&kind)
            && zeros.iter().all(|&byte| byte == 0)
    })
}
