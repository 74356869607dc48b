//! Reading checked blocks from a table file.
//!
//! Every block that leaves here has passed its checksum (T3) and has the length that its trailer
//! promised (T5). Nothing is allocated that the file's own length does not justify. Errors name
//! file and offset. Any thread may call everything.

use std::io::IoSliceMut;
use std::sync::Arc;

use crate::base::{Error, FileNumber, Result};
use crate::cache::{Draft, Slots};
use crate::vfs::{File, TableMap};

use super::fetch::Direct;
use super::format::{BlockKind, Encoding, TRAILER_BYTES, TrailerCheck, decode_trailer};

/// An open table file and who it is.
pub(super) struct Source {
    pub(super) file: Arc<dyn File>,
    pub(super) number: FileNumber,
    pub(super) file_id: u64,
    pub(super) file_bytes: u64,
    /// The file past the page cache, if single blocks are to be read so.
    pub(super) direct: Option<Direct>,
    /// The file in memory, if blocks are to be used where they lie.
    pub(super) map: Option<Arc<TableMap>>,
}

impl Source {
    /// A corruption of this file at `offset`.
    pub(super) fn corrupt(&self, offset: u64, what: impl std::fmt::Display) -> Error {
        Error::corrupt(self.file.name(), self.number.0, offset, what)
    }

    /// A corruption in the block of `kind` at `offset`.
    pub(super) fn corrupt_block(&self, kind: BlockKind, offset: u64, what: &str) -> Error {
        self.corrupt(offset, format_args!("{}: {what}", kind.name()))
    }

    /// Reads exactly `bytes` bytes. A shorter file is corrupt, and so is a range that begins or
    /// ends outside of what the file's length was when it was opened.
    pub(super) fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let length = self.inside(offset, bytes)?;
        let mut buffer = zeroed(length)?;
        self.fill(&mut buffer, offset)?;
        Ok(buffer)
    }

    /// The number of bytes, if so many can be there and are inside the file.
    fn inside(&self, offset: u64, bytes: u64) -> Result<usize> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.file_bytes);
        let length = usize::try_from(bytes).ok().filter(|_| inside);
        length
            .ok_or_else(|| self.corrupt(offset, format_args!("{bytes} bytes do not fit the file")))
    }

    /// Fills `buffer` from `offset` on.
    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = self.file.read_at(rest, offset + done as u64)?;
            if count == 0 {
                let end = offset + done as u64;
                let what =
                    format_args!("the file ends here; it was {} bytes long", self.file_bytes);
                return Err(self.corrupt(end, what));
            }
            done += count;
        }
        Ok(())
    }

    /// Room for the data block at `offset` and its trailer, of `stored_bytes` without that. `many`
    /// tells that it may have many entries: then there is some room for what is kept with them.
    pub(super) fn room_for(
        &self,
        slots: &Slots,
        (offset, stored_bytes): (u64, u64),
        many: bool,
    ) -> Result<Draft> {
        let bytes = self.inside(offset, stored_bytes.saturating_add(TRAILER_BYTES as u64))?;
        slots.draft(bytes, if many { bytes + bytes / 8 } else { bytes })
    }

    /// Fills `bufs` one after the other from `offset` on, as one read where that can be, past the page
    /// cache if that is to be tried; returns how many bytes that were, perhaps fewer than there are.
    pub(super) fn read_scattered(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        offset: u64,
        past: bool,
    ) -> Result<usize> {
        if self.direct.as_ref().is_some_and(|direct| past && direct.fill(bufs, offset)) {
            return Ok(bufs.iter().map(|buf| buf.len()).sum());
        }
        self.file.read_scattered(bufs, offset)
    }

    /// Reads a data block, `past` the page cache if that can be, checks and decodes it.
    pub(super) fn data_block(
        &self,
        (slots, past): (&Slots, bool),
        place: (u64, u64),
        many: bool,
        fits: impl Fn(usize) -> bool,
    ) -> Result<Draft> {
        let mut draft = self.room_for(slots, place, many)?;
        let end = usize::try_from(place.1).unwrap_or(usize::MAX).saturating_add(TRAILER_BYTES);
        if let Some(stored) = draft.room().get_mut(..end) {
            let direct = self.direct.as_ref().filter(|_| past);
            let read = |direct: &Direct| direct.fill(&mut [IoSliceMut::new(stored)], place.0);
            if !direct.is_some_and(read) {
                self.fill(stored, place.0)?;
            }
        }
        self.decode(slots, draft, place, many, fits)
    }

    /// Checks and decodes a data block that `draft` begins with, its trailer behind it.
    pub(super) fn decode(
        &self,
        slots: &Slots,
        mut draft: Draft,
        (offset, stored_bytes): (u64, u64),
        many: bool,
        fits: impl Fn(usize) -> bool,
    ) -> Result<Draft> {
        let kind = BlockKind::Data;
        let length = usize::try_from(stored_bytes).unwrap_or(usize::MAX);
        let parts = draft.room().split_at_checked(length);
        let parts = parts.and_then(|(stored, rest)| Some((stored, rest.get(..TRAILER_BYTES)?)));
        let Some((stored, trailer)) = parts else {
            return Err(self.corrupt_block(kind, offset, "it does not fit its room"));
        };
        match self.check(kind, offset, (stored, trailer), fits)? {
            (Encoding::Plain, _) => {
                draft.set_len(length);
                Ok(draft)
            }
            (Encoding::Lz4, bytes) => {
                let mut decoded =
                    slots.draft(bytes, if many { bytes + bytes / 8 } else { bytes })?;
                let room = decoded.room().get_mut(..bytes).unwrap_or_default();
                if lz4_flex::block::decompress_into(stored, room).ok() != Some(bytes) {
                    return Err(self.corrupt_block(kind, offset, "it does not decompress"));
                }
                decoded.set_len(bytes);
                Ok(decoded)
            }
        }
    }

    /// Reads, checks and decodes the block of `kind` at `offset`, `stored_bytes` long without its
    /// trailer. `fits` tells whether a decoded length is acceptable (T5).
    pub(super) fn block(
        &self,
        kind: BlockKind,
        offset: u64,
        stored_bytes: u64,
        fits: impl Fn(usize) -> bool,
    ) -> Result<Box<[u8]>> {
        let mut stored = self.read(offset, stored_bytes.saturating_add(TRAILER_BYTES as u64))?;
        let trailer = stored.split_off(stored.len().saturating_sub(TRAILER_BYTES));
        match self.check(kind, offset, (&stored, &trailer), fits)? {
            (Encoding::Plain, _) => Ok(stored.into_boxed_slice()),
            (Encoding::Lz4, decoded_bytes) => {
                let mut decoded = zeroed(decoded_bytes)?;
                let count = lz4_flex::block::decompress_into(&stored, &mut decoded);
                if count.ok() != Some(decoded_bytes) {
                    return Err(self.corrupt_block(kind, offset, "it does not decompress"));
                }
                Ok(decoded.into_boxed_slice())
            }
        }
    }

    /// The block of `kind` at `offset` where it lies in the mapped file, checked; none if it is
    /// compressed.
    pub(super) fn mapped_block<'m>(
        &self,
        map: &'m TableMap,
        (kind, offset, stored_bytes): (BlockKind, u64, u64),
        fits: impl Fn(usize) -> bool,
    ) -> Result<Option<&'m [u8]>> {
        let range = |from: u64, bytes: u64| {
            let (from, bytes) = (usize::try_from(from).ok()?, usize::try_from(bytes).ok()?);
            map.bytes().get(from..from.checked_add(bytes)?)
        };
        let stored = range(offset, stored_bytes);
        let trailer = range(offset.saturating_add(stored_bytes), TRAILER_BYTES as u64);
        let (Some(stored), Some(trailer)) = (stored, trailer) else {
            return Err(self.corrupt_block(kind, offset, "it does not lie inside the file"));
        };
        let (encoding, _) = self.check(kind, offset, (stored, trailer), fits)?;
        Ok((encoding == Encoding::Plain).then_some(stored))
    }

    /// Checks a block against its trailer; returns how it is stored and its decoded length.
    fn check(
        &self,
        kind: BlockKind,
        offset: u64,
        (stored, trailer): (&[u8], &[u8]),
        fits: impl Fn(usize) -> bool,
    ) -> Result<(Encoding, usize)> {
        let trailer = match decode_trailer(trailer, kind, self.file_id, offset, stored) {
            TrailerCheck::Good(trailer) => trailer,
            TrailerCheck::BadFields(what) => return Err(self.corrupt_block(kind, offset, what)),
            TrailerCheck::BadCrc(found, expected) => {
                let what = format!("the checksum is {found:08x}, expected {expected:08x}");
                return Err(self.corrupt_block(kind, offset, &what));
            }
        };
        let decoded_bytes = usize::try_from(trailer.decoded_bytes).unwrap_or(usize::MAX);
        if !fits(decoded_bytes) {
            let what = format!("a decoded length of {decoded_bytes} is not what its index says");
            return Err(self.corrupt_block(kind, offset, &what));
        }
        Ok((trailer.encoding, decoded_bytes))
    }
}

fn zeroed(bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(bytes)
        .map_err(|_| Error::no_memory(format!("no memory for a block of {bytes} bytes")))?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
