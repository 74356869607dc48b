//! All levels of one keyspace: point lookup and cursors.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::tables::TableHandle;
use super::{AnyCursor, LevelCursor, LevelStats, Run};
use crate::base::limits::LEVEL_COUNT;
use crate::base::meta::SectionMeta;
use crate::base::{Error, FileNumber, KeyspaceId, Level, Result, filename};
use crate::sstable::{PointReader, Table};

/// Entries of this mean length cost more to copy than to look for in several more tables, and more
/// to rewrite: sections of them
const HEAVY_ENTRY_BYTES: u64 = 2048;
/// count for one such part of a section in level 0, and of its bytes.
const HEAVY_PARTS: usize = 4;

/// What some sections of level 0 cost their readers, against what compacting them costs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Load {
    /// As so many sections of small entries, rounded up.
    pub(crate) sections: usize,
    /// As so many bytes of them.
    pub(crate) bytes: u64,
}

impl Load {
    /// Of these sections.
    pub(crate) fn of<'a>(sections: impl Iterator<Item = &'a Section>) -> Self {
        let (mut parts, mut bytes) = (0, 0);
        for section in sections {
            let meta = section.meta();
            if meta.raw_bytes >= meta.entries.saturating_mul(HEAVY_ENTRY_BYTES) {
                (parts, bytes) = (parts + 1, bytes + meta.bytes / HEAVY_PARTS as u64);
            } else {
                (parts, bytes) = (parts + HEAVY_PARTS, bytes + meta.bytes);
            }
        }
        Self { sections: parts.div_ceil(HEAVY_PARTS), bytes }
    }
}

/// One keyspace's part of one table, in use. A clone is a counted reference.
#[derive(Clone)]
pub(crate) struct Section {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Arc<TableHandle>,
    meta: SectionMeta,
    /// The open section, once the table was seen to hold it.
    reader: OnceLock<PointReader>,
}

impl Section {
    /// A section of the file that `handle` stands for.
    pub(crate) fn new(handle: Arc<TableHandle>, meta: SectionMeta) -> Self {
        Self { shared: Arc::new(Shared { handle, meta, reader: OnceLock::new() }) }
    }

    /// What the manifest knows of it.
    pub(crate) fn meta(&self) -> &SectionMeta {
        &self.shared.meta
    }

    /// The file that it is part of.
    pub(crate) fn handle(&self) -> &Arc<TableHandle> {
        &self.shared.handle
    }

    /// The number of that file.
    pub(crate) fn number(&self) -> FileNumber {
        self.handle().meta().number
    }

    /// The open table. The first call reads the file; it may fail, and the next tries again.
    /// `Corrupt` if the table does not hold the section that the manifest describes.
    pub(crate) fn table(&self) -> Result<&Arc<Table>> {
        Ok(self.reader()?.table())
    }

    /// For point reads; opens the table as [`Self::table`] does.
    pub(super) fn reader(&self) -> Result<&PointReader> {
        match self.shared.reader.get() {
            Some(reader) => Ok(reader),
            None => self.open(),
        }
    }

    /// For point reads, if the table is open already.
    #[inline]
    pub(super) fn open_reader(&self) -> Option<&PointReader> {
        self.shared.reader.get()
    }

    #[cold]
    fn open(&self) -> Result<&PointReader> {
        let (meta, table) = (self.meta(), self.handle().table()?);
        let reader = table.point_reader(meta.keyspace)?;
        let (Some(reader), true) =
            (reader, table.section_meta(meta.keyspace)?.as_ref() == Some(meta))
        else {
            let number = self.number();
            let what = format!(
                "the section of keyspace {} is not the one in the manifest; restore a checkpoint",
                meta.keyspace.0
            );
            return Err(Error::corrupt(&filename::table(number), number.0, 0, what));
        };
        Ok(self.shared.reader.get_or_init(|| reader))
    }

    /// Whether its key range meets `lo` to `hi`, both inclusive.
    pub(crate) fn meets(&self, lo: &[u8], hi: &[u8]) -> bool {
        self.meta().smallest.as_slice() <= hi && lo <= self.meta().largest.as_slice()
    }
}

/// The levels of one keyspace; never changes.
#[derive(Clone)]
pub(crate) struct Levels {
    keyspace: KeyspaceId,
    runs: [Arc<Run>; LEVEL_COUNT],
    /// Bit i is set if level i has sections.
    filled: u8,
}

impl Levels {
    /// A keyspace without entries.
    pub(crate) fn empty(keyspace: KeyspaceId) -> Self {
        Self { keyspace, runs: std::array::from_fn(|_| Arc::default()), filled: 0 }
    }

    /// The same levels, one of them replaced. The level exists.
    pub(crate) fn with_run(mut self, level: Level, run: Run) -> Self {
        let bit = 1 << level.0;
        self.filled =
            if run.sections().is_empty() { self.filled & !bit } else { self.filled | bit };
        self.runs[usize::from(level.0)] = Arc::new(run);
        self
    }

    /// Whose levels these are.
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// One level, 0 to `LEVEL_COUNT` - 1.
    pub(crate) fn run(&self, level: Level) -> &Arc<Run> {
        &self.runs[usize::from(level.0)]
    }

    /// All levels, from 0 on.
    pub(super) fn runs(&self) -> &[Arc<Run>; LEVEL_COUNT] {
        &self.runs
    }

    /// Bit i is set if level i has sections.
    #[inline]
    pub(super) fn filled(&self) -> u8 {
        self.filled
    }

    /// The sections of one level: level 0 newest first, others by key. None in unknown levels.
    pub(crate) fn sections(&self, level: Level) -> &[Section] {
        self.runs.get(usize::from(level.0)).map_or(&[], |run| run.sections())
    }

    /// Every section with its level.
    pub(crate) fn all_sections(&self) -> impl Iterator<Item = (Level, &Section)> {
        (0..)
            .map(Level)
            .zip(&self.runs)
            .flat_map(|(level, run)| run.sections().iter().map(move |section| (level, section)))
    }

    /// Whether `file` has a section in `level`.
    pub(crate) fn holds(&self, level: Level, file: FileNumber) -> bool {
        self.sections(level).iter().any(|section| section.number() == file)
    }

    /// Bytes in each level.
    pub(crate) fn level_bytes(&self) -> [u64; LEVEL_COUNT] {
        let bytes = |run: &Arc<Run>| run.sections().iter().map(|s| s.meta().bytes).sum();
        std::array::from_fn(|level| bytes(&self.runs[level]))
    }

    /// The sections of a level whose key range meets `lo` to `hi`, both inclusive.
    pub(crate) fn overlaps(&self, level: Level, lo: &[u8], hi: &[u8]) -> Vec<Section> {
        if level == Level(0) {
            let sections = self.sections(level).iter();
            return sections.filter(|section| section.meets(lo, hi)).cloned().collect();
        }
        let Some(run) = self.runs.get(usize::from(level.0)) else {
            return Vec::new();
        };
        let (from, to) = (run.first_reaching(lo), run.first_beyond(hi));
        run.sections().get(from..to).map_or_else(Vec::new, <[Section]>::to_vec)
    }

    /// Whether a level below `level` may hold `key`.
    pub(crate) fn lies_deeper(&self, level: Level, key: &[u8]) -> bool {
        self.runs.iter().skip(usize::from(level.0) + 1).any(|run| find(run, key).is_some())
    }

    /// Adds cursors over all that may hold keys from `lo` up to but not including `hi`.
    pub(crate) fn cursors(
        &self,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
        cursors: &mut Vec<AnyCursor>,
    ) -> Result<()> {
        for section in self.sections(Level(0)) {
            let meta = section.meta();
            let above = lo.is_some_and(|lo| meta.largest.as_slice() < lo);
            let below = hi.is_some_and(|hi| meta.smallest.as_slice() >= hi);
            if !above && !below {
                let cursor = section.table()?.cursor(self.keyspace)?;
                cursors.push(AnyCursor::Table(Box::new(cursor)));
            }
        }
        for run in self.runs.iter().skip(1) {
            let from = lo.map_or(0, |lo| run.first_reaching(lo));
            // A section that begins with `hi` itself is left in: that costs nothing until reached.
            let to = hi.map_or(run.sections().len(), |hi| run.first_beyond(hi));
            if from < to {
                let cursor = LevelCursor::new(self.keyspace, run.clone(), from..to, true);
                cursors.push(AnyCursor::Level(cursor));
            }
        }
        Ok(())
    }
}

/// The one section of a level below 0 that may hold `key`.
fn find<'a>(run: &'a Run, key: &[u8]) -> Option<&'a Section> {
    let index = run.first_reaching(key);
    let section = run.sections().get(index)?;
    (run.smallest(index) <= key).then_some(section)
}

/// What lies in each level of the given keyspaces.
pub(super) fn stats<'a>(
    keyspaces: impl Iterator<Item = &'a Arc<Levels>>,
) -> [LevelStats; LEVEL_COUNT] {
    let mut stats = [LevelStats::default(); LEVEL_COUNT];
    let mut files: [BTreeSet<FileNumber>; LEVEL_COUNT] = Default::default();
    for levels in keyspaces {
        for (level, section) in levels.all_sections() {
            let (at, meta) = (usize::from(level.0), section.meta());
            files[at].insert(section.number());
            stats[at].sections += 1;
            stats[at].bytes += meta.bytes;
            stats[at].entries += meta.entries;
            stats[at].tombstones += meta.tombstones;
        }
    }
    for (stat, files) in stats.iter_mut().zip(&files) {
        stat.files = files.len() as u64;
    }
    stats
}
