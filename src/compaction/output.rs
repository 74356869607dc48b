//! The tables that a job writes, one after the other.
//!
//! A table is begun when an entry is there for it, so no table is empty. After an error every file
//! that was begun is removed, as well as that is possible: what stays behind is named by no
//! manifest and is deleted when the database is opened next.

use std::sync::Arc;

use super::{Context, Job};
use crate::base::meta::TableMeta;
use crate::base::{Entry, FileNumber, Level, Result, filename};
use crate::sstable::TableBuilder;
use crate::version::{Run, Section};
use crate::vfs::Dir;

/// Bytes after which the throttle is told.
const THROTTLE_BYTES: u64 = 64 << 10;

/// Writes the output tables of one job.
pub(super) struct Output<'a> {
    context: &'a Context<'a>,
    job: &'a Job,
    builder: Option<TableBuilder>,
    finished: Vec<TableMeta>,
    begun: Vec<FileNumber>,
    /// Bytes of the table being written that the throttle was told of.
    told: u64,
    /// The level two below the job's inputs, and its first section that is not yet passed.
    grandparents: Arc<Run>,
    passed: usize,
    /// Bytes of the sections there that the table being written spans.
    spanned: u64,
}

impl<'a> Output<'a> {
    /// Nothing is created yet.
    pub(super) fn new(context: &'a Context<'a>, job: &'a Job) -> Self {
        let below = Level(job.output_level().0 + 1);
        let last = job.levels().sections(below).is_empty();
        let grandparents = if last { Arc::default() } else { job.levels().run(below).clone() };
        Self {
            context,
            job,
            builder: None,
            finished: Vec::new(),
            begun: Vec::new(),
            told: 0,
            grandparents,
            passed: 0,
            spanned: 0,
        }
    }

    /// Whether the table being written should end before `key`, if that is a new key (K4).
    pub(super) fn is_full(&mut self, key: &[u8]) -> bool {
        let sections = self.grandparents.sections();
        while self.passed < sections.len() && self.grandparents.largest(self.passed) < key {
            if self.builder.is_some() {
                self.spanned += sections[self.passed].meta().bytes;
            }
            self.passed += 1;
        }
        let Some(builder) = &self.builder else {
            return false;
        };
        builder.file_bytes_so_far() >= self.job.file_bytes()
            || self.spanned > self.job.grandparent_bytes_max()
    }

    /// Appends an entry.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        if self.builder.is_none() {
            self.builder = Some(self.begin()?);
        }
        if let Some(builder) = &mut self.builder {
            builder.add(entry)?;
        }
        self.tell(THROTTLE_BYTES);
        Ok(())
    }

    fn begin(&mut self) -> Result<TableBuilder> {
        let number = (self.context.new_file)();
        self.begun.push(number);
        let file = self.context.dir.create(&filename::table(number))?;
        let mut builder = TableBuilder::new(file, number, (self.context.random)());
        builder.start_section(self.job.keyspace(), self.context.options);
        (self.told, self.spanned) = (0, 0);
        Ok(builder)
    }

    /// Tells the throttle what was written since it was told, if that is at least `least` bytes.
    fn tell(&mut self, least: u64) {
        let written = self.builder.as_ref().map_or(self.told, TableBuilder::file_bytes_so_far);
        let news = written.saturating_sub(self.told);
        if news >= least {
            (self.context.throttle)(news);
            self.told = written;
        }
    }

    /// Finishes the table being written, if there is one: its content is then durable.
    pub(super) fn cut(&mut self) -> Result<()> {
        let Some(mut builder) = self.builder.take() else {
            return Ok(());
        };
        builder.finish_section()?;
        let meta = builder.finish()?;
        (self.context.throttle)(meta.file.file_bytes.saturating_sub(self.told));
        self.finished.push(meta);
        Ok(())
    }

    /// Finishes the last table, makes all names durable, and opens every table once: what cannot
    /// be read is not installed.
    pub(super) fn finish(&mut self) -> Result<Vec<Section>> {
        self.cut()?;
        if self.finished.is_empty() {
            return Ok(Vec::new());
        }
        self.context.dir.sync()?;
        let mut sections = Vec::new();
        for table in &self.finished {
            let handle = self.context.tables.handle(&table.file)?;
            for meta in &table.sections {
                let section = Section::new(handle.clone(), meta.clone());
                section.table()?;
                sections.push(section);
            }
        }
        Ok(sections)
    }

    /// Removes every file that was begun.
    pub(super) fn discard(self) {
        drop(self.builder);
        remove(self.context.dir.as_ref(), &self.begun);
    }
}

/// Removes table files that no manifest names. A failure only leaves a file that the next opening
/// of the database removes.
pub(super) fn remove(dir: &dyn Dir, numbers: &[FileNumber]) {
    for number in numbers {
        let _best_effort = dir.remove(&filename::table(*number));
    }
}
