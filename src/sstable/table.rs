//! An open table: lookups through its sections.
//!
//! Opening reads header, footer and directory and believes nothing that they do not prove: file
//! number, file id and length are those of the manifest. A section is loaded by its first use.
//! Any thread may call everything; a lookup of a cached block takes no lock.

use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

#[cfg(test)]
use crate::base::Lsn;
use crate::base::meta::{FileMeta, SectionMeta};
use crate::base::{KeyspaceId, Kind, Result};
use crate::cache::{BlockCache, Pin};
use crate::vfs::{DirectFile, File};

use super::cursor::TableCursor;
use super::fetch::Direct;
use super::format::{
    BlockKind, DIRECTORY_ENTRY_BYTES, FOOTER_BYTES, Footer, HEADER_BYTES, SectionPlace,
    TRAILER_BYTES, decode_directory, decode_footer, decode_header,
};
use super::point::PointReader;
use super::read::Source;
use super::section::Section;

/// An open table file.
pub(crate) struct Table {
    pub(super) source: Source,
    cache: Arc<BlockCache>,
    sections: Box<[SectionSlot]>,
    /// Held while a section is loaded, so that two threads do not load one twice.
    loading: Mutex<()>,
}

struct SectionSlot {
    place: SectionPlace,
    loaded: OnceLock<Arc<Section>>,
}

/// The newest version that a lookup may see; tombstones are found too.
#[derive(Clone)]
pub(crate) struct Found {
    /// Its number, for tests that ask which version was found.
    #[cfg(test)]
    pub(crate) number: u64,
    /// What it does.
    pub(crate) kind: Kind,
    /// Milliseconds since 1970 after which it is gone; 0 is never.
    pub(crate) expiry_ms: u64,
    /// Its value, kept in memory as long as this lives.
    pub(crate) value: BlockSlice,
}

/// Bytes of a pinned block. May outlive the table.
#[derive(Clone)]
pub(crate) struct BlockSlice {
    pin: Pin,
    start: usize,
    end: usize,
}

impl BlockSlice {
    /// The bytes of `pin` in `range`, which lies inside.
    pub(super) fn new(pin: Pin, range: Range<usize>) -> Self {
        Self { pin, start: range.start, end: range.end }
    }
}

impl Deref for BlockSlice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.pin.get(self.start..self.end).unwrap_or_default()
    }
}

impl Table {
    /// [`Self::open_twice`] with the file opened once.
    #[cfg(any(test, feature = "parts"))]
    pub(crate) fn open(
        file: Arc<dyn File>,
        meta: &FileMeta,
        cache: &Arc<BlockCache>,
        mapped: bool,
    ) -> Result<Arc<Self>> {
        Self::open_twice((file, None), meta, cache, mapped)
    }

    /// Opens the table that `meta` describes. With `mapped` its uncompressed blocks are used where
    /// they lie in the file, if that can be mapped. If the file is opened once more for direct reads,
    /// readers read blocks past the system's page cache, as long as that works.
    ///
    /// # Errors
    /// `Corrupt` if length, number or file id differ from `meta`, or header, footer or directory
    /// are damaged; `Format` if a newer lsmer wrote it; `Io`.
    pub(crate) fn open_twice(
        (file, direct): (Arc<dyn File>, Option<Arc<dyn DirectFile>>),
        meta: &FileMeta,
        cache: &Arc<BlockCache>,
        mapped: bool,
    ) -> Result<Arc<Self>> {
        let file_bytes = file.len()?;
        let (number, file_id) = (meta.number, meta.file_id);
        let direct = direct.map(Direct::new);
        let mut source = Source { file, number, file_id, file_bytes, direct, map: None };
        if file_bytes != meta.file_bytes {
            let what = format!("the file is {file_bytes} bytes long, expected {}", meta.file_bytes);
            return Err(source.corrupt(file_bytes.min(meta.file_bytes), what));
        }
        let footer = open_footer(&source)?;
        open_header(&source, &footer)?;
        let sections = open_directory(&source, &footer)?
            .into_iter()
            .map(|place| SectionSlot { place, loaded: OnceLock::new() })
            .collect();
        if mapped {
            // What cannot be mapped can still be read.
            source.map = source.file.map_table(file_bytes).ok();
        }
        Ok(Arc::new(Self { source, cache: Arc::clone(cache), sections, loading: Mutex::new(()) }))
    }

    /// The keyspaces that have a section here, ascending.
    #[cfg(test)]
    pub(crate) fn sections(&self) -> impl Iterator<Item = KeyspaceId> {
        self.sections.iter().map(|slot| slot.place.keyspace)
    }

    /// What the file itself says about a section; none if the keyspace has none here.
    ///
    /// # Errors
    /// `Corrupt`, `Format`, `Io`: as for [`Self::point_reader`].
    pub(crate) fn section_meta(&self, keyspace: KeyspaceId) -> Result<Option<SectionMeta>> {
        Ok(self.section(keyspace)?.map(|section| section.properties.meta.clone()))
    }

    /// The newest entry of `key` with a number below `below`, tombstones included.
    ///
    /// # Errors
    /// As for [`Self::point_reader`].
    #[cfg(test)]
    pub(crate) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        below: Lsn,
    ) -> Result<Option<Found>> {
        match self.section(keyspace)? {
            Some(section) => section.get(&self.source, key, below),
            None => Ok(None),
        }
    }

    /// What point reads in a keyspace use; none if the keyspace has no section here.
    ///
    /// # Errors
    /// `Corrupt` with file and offset if a block is damaged, never "not found" instead (T4);
    /// `Format` for a feature that this lsmer does not know; `Io`, `NoMemory`.
    pub(crate) fn point_reader(
        self: &Arc<Self>,
        keyspace: KeyspaceId,
    ) -> Result<Option<PointReader>> {
        let section = self.section(keyspace)?;
        Ok(section.map(|section| PointReader::new(Arc::clone(self), Arc::clone(section))))
    }

    /// A cursor over the entries of one keyspace; it offers the blocks it reads to the cache.
    /// A keyspace without a section gives an empty cursor.
    ///
    /// # Errors
    /// As for [`Self::point_reader`].
    pub(crate) fn cursor(self: &Arc<Self>, keyspace: KeyspaceId) -> Result<TableCursor> {
        self.cursor_with(keyspace, true)
    }

    /// As [`Self::cursor`]; without `keep` the blocks that it reads push none out of the cache,
    /// which is right for compactions.
    pub(crate) fn cursor_with(
        self: &Arc<Self>,
        keyspace: KeyspaceId,
        keep: bool,
    ) -> Result<TableCursor> {
        let section = self.section(keyspace)?.map(Arc::clone);
        Ok(TableCursor::new(Arc::clone(self), section, keep))
    }

    /// Brings some blocks of a keyspace's section into the cache: the next ones that are not there,
    /// from the block `from` on, of at most `room` bytes in memory. Returns where to go on; none
    /// where there is nothing left to do, a block has no room, or it cannot be read, which its reader
    /// will be told.
    pub(crate) fn warm(&self, keyspace: KeyspaceId, from: usize, room: u64) -> Option<usize> {
        self.section(keyspace).ok().flatten()?.warm(&self.source, from, room)
    }

    /// Brings some blocks into the cache, of at most `room` bytes in memory, if so many readers had
    /// to wait for other blocks of their section. False if none are wanted. One thread at a time.
    pub(crate) fn warm_wanted(&self, room: u64) -> bool {
        let mut loaded = self.sections.iter().filter_map(|slot| slot.loaded.get());
        loaded.any(|section| section.warm_wanted(&self.source, room))
    }

    /// Bytes of the loaded indexes and filters.
    pub(crate) fn memory_bytes(&self) -> usize {
        let loaded = self.sections.iter().filter_map(|slot| slot.loaded.get());
        loaded.map(|section| section.memory_bytes()).sum()
    }

    /// The section of `keyspace`, loaded.
    #[inline]
    pub(super) fn section(&self, keyspace: KeyspaceId) -> Result<Option<&Arc<Section>>> {
        let found = match &*self.sections {
            [only] if only.place.keyspace == keyspace => Some(only),
            many => many
                .binary_search_by_key(&keyspace, |slot| slot.place.keyspace)
                .ok()
                .and_then(|i| many.get(i)),
        };
        let Some(slot) = found else { return Ok(None) };
        match slot.loaded.get() {
            Some(section) => Ok(Some(section)),
            None => self.load(slot).map(Some),
        }
    }

    #[cold]
    fn load<'a>(&'a self, slot: &'a SectionSlot) -> Result<&'a Arc<Section>> {
        let _loading = self.loading.lock();
        if let Some(section) = slot.loaded.get() {
            return Ok(section);
        }
        let section = Section::load(&self.source, slot.place, &self.cache)?;
        Ok(slot.loaded.get_or_init(|| Arc::new(section)))
    }
}

/// Reads the footer and checks it against the file.
pub(super) fn open_footer(source: &Source) -> Result<Footer> {
    let at = source.file_bytes.saturating_sub(FOOTER_BYTES as u64);
    if at < HEADER_BYTES as u64 {
        return Err(source.corrupt(at, "the file is too short for a table"));
    }
    let bytes = source.read(at, FOOTER_BYTES as u64)?;
    let Some(footer) = decode_footer(&bytes) else {
        return Err(source.corrupt(at, "the footer is damaged, or this is no table"));
    };
    footer.identity.check_readable(source.file.name())?;
    if footer.identity.number != source.number || footer.identity.file_id != source.file_id {
        return Err(source.corrupt(at, "the footer is that of another file"));
    }
    let directory_end = footer
        .directory_offset
        .checked_add(u64::from(footer.directory_bytes))
        .and_then(|end| end.checked_add(TRAILER_BYTES as u64));
    if footer.file_bytes != source.file_bytes || directory_end != Some(at) {
        return Err(source.corrupt(at, "the footer contradicts the length of the file"));
    }
    Ok(footer)
}

/// Reads the header, which must agree with the footer in everything.
pub(super) fn open_header(source: &Source, footer: &Footer) -> Result<()> {
    let bytes = source.read(0, HEADER_BYTES as u64)?;
    match decode_header(&bytes) {
        Some(identity) if identity == footer.identity => Ok(()),
        _ => Err(source.corrupt(0, "the header is damaged or that of another file")),
    }
}

/// Reads the directory.
pub(super) fn open_directory(source: &Source, footer: &Footer) -> Result<Vec<SectionPlace>> {
    let (at, stored) = (footer.directory_offset, u64::from(footer.directory_bytes));
    let block = source.block(BlockKind::Directory, at, stored, |_| true)?;
    let expected = usize::try_from(footer.sections).ok();
    match decode_directory(&block, at) {
        Some(sections) if Some(sections.len()) == expected => Ok(sections),
        _ => Err(source.corrupt_block(BlockKind::Directory, at, "the sections do not fit")),
    }
}

const _: () = assert!(DIRECTORY_ENTRY_BYTES == 24);
