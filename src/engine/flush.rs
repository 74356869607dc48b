//! Flush: a sealed generation becomes one level-0 table with a section per keyspace.
//!
//! 1. Write and sync the table, sync the directory. Two may be at this at once (`flushes`).
//! 2. Oldest first: one manifest edit names it and raises the floor past the generation.
//! 3. Readers get a state without the generation; its log is kept for a later one, or removed.

use std::sync::Arc;

use super::db::{Db, LogLevel, OPEN};
use super::generation::Sealed;
use super::worker::Running;
use crate::base::meta::{SectionMeta, TableMeta};
use crate::base::mutant::mutant;
use crate::base::{Cursor, Error, FileNumber, Level, Lsn, Result, filename};
use crate::manifest::{AddedSection, VersionEdit};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::merge::Retain;
use crate::sstable::TableBuilder;
use crate::version::Section;

/// Entries, or bytes of table, between two looks at what writers need.
const CHECK_ENTRIES: u64 = 256;
const CHECK_BYTES: u64 = 512 << 10;

/// A sealed generation whose entries are in a table that no version has yet.
pub(super) struct Flushed {
    source: Sealed,
    /// None if all its keyspaces are gone.
    table: Option<TableMeta>,
    sections: Vec<Section>,
    started_ns: u64,
}

impl Db {
    /// Moves everything that is visible now into tables, and returns when it is there.
    ///
    /// # Errors
    /// Why it could not be done; nothing is lost then, and a later flush tries again.
    pub(crate) fn flush(&self) -> Result<()> {
        self.check_writable()?;
        self.retry_now();
        self.flush_calls.fetch_add(1, Ordering::Relaxed);
        let flushed = self.flush_to_visible();
        self.flush_calls.fetch_sub(1, Ordering::Relaxed);
        flushed
    }

    fn flush_to_visible(&self) -> Result<()> {
        let target = self.visible();
        self.seal_active(target)?;
        while self.floor() < target {
            if self.flush_oldest()? {
                continue;
            }
            if self.flushes.is_busy() {
                self.await_flushes(|| self.floor() >= target)?;
                continue;
            }
            // The oldest has records that are not published yet.
            self.wait_on(&self.visible_parking, None, || {
                self.advance(&epoch::pin());
                self.oldest_end().is_none_or(|end| self.visible() >= end) || self.poison.is_stuck()
            })?;
            self.poison.check()?;
            if self.oldest_end().is_none() {
                // Nothing is left that could be flushed, or all of it went with a close.
                return self.check_writable();
            }
        }
        Ok(())
    }

    /// Waits while others write or install tables, until `done`.
    fn await_flushes(&self, done: impl Fn() -> bool) -> Result<()> {
        self.wait_on(&self.room_parking, None, || {
            done() || !self.flushes.is_busy() || self.check_writable().is_err()
        })?;
        self.check_writable()
    }

    /// Seals the active generation if it holds anything below `target`.
    fn seal_active(&self, target: Lsn) -> Result<()> {
        loop {
            let guard = epoch::pin();
            let active = Arc::clone(&self.state.load(&guard).active);
            if active.base() >= target || active.is_empty_one() {
                return Ok(());
            }
            let tail = active.memtable.tail();
            if self.seal(&active, tail, &guard)? {
                // The seal is a record like any other: `visible` must pass it.
                self.advance(&guard);
                continue;
            }
            drop(guard);
            // A flush must not wait for room that only a flush can free.
            if !self.prepare_next()? && !self.has_next() && !self.flush_oldest()? {
                if self.flushes.is_busy() {
                    self.await_flushes(|| self.has_next())?;
                    continue;
                }
                let options = super::commit::WriteOptions::default();
                self.wait_for_next(active.log_number(), &options)?;
            }
        }
    }

    fn oldest_end(&self) -> Option<Lsn> {
        let guard = epoch::pin();
        self.state.load(&guard).sealed.last().map(Sealed::end)
    }

    /// Flushes the oldest sealed generation that nobody else has begun with.
    ///
    /// # Errors
    /// `Closed` once a close has begun: it waits for whoever came before, and for nobody else.
    pub(super) fn flush_oldest(&self) -> Result<bool> {
        let _running = Running::new(&self.jobs);
        if self.life.load(Ordering::SeqCst) != OPEN {
            return Err(Error::closed());
        }
        let claim = self.flushes.claim(|| self.whole_sealed(), || self.new_file_number());
        let Some((end, source, number)) = claim else { return Ok(false) };
        let written = self.poison.check().and_then(|()| self.write_out_sealed(source, end, number));
        let outcome = match written {
            Ok(written) => self.install_written(end, written),
            Err(error) => {
                self.flushes.give_up(end);
                Err(error)
            }
        };
        self.room_parking.notify();
        outcome.map(|()| true).inspect_err(|error| {
            self.note_background_error(&error.clone().during("a flush failed"));
        })
    }

    /// Sealed generations all of whose records are visible, oldest first, with their ends.
    pub(super) fn whole_sealed(&self) -> Vec<(Lsn, Sealed)> {
        let visible = self.visible();
        let guard = epoch::pin();
        let sealed = &self.state.load(&guard).sealed;
        let ended = sealed.iter().rev().map(|sealed| (sealed.end(), sealed.clone()));
        ended.take_while(|(end, _)| *end <= visible).collect()
    }

    /// Makes the table of a claimed generation, and brings it into the cache if it will be read.
    fn write_out_sealed(&self, source: Sealed, end: Lsn, number: FileNumber) -> Result<Flushed> {
        let started_ns = self.env.os.monotonic_ns();
        // Nobody stores into its log any more.
        source.release_log();
        let reads = self.reads();
        let table = self.write_table(&source, end, number)?;
        // Kept until they are installed, so that what was brought in stays.
        let mut sections = Vec::new();
        if let Some(table) = &table {
            if let Ok(handle) = self.tables.handle(&table.file) {
                let section = |meta: &SectionMeta| Section::new(handle.clone(), meta.clone());
                sections.extend(table.sections.iter().map(section));
                self.warm_before(&sections, reads);
            }
        }
        Ok(Flushed { source, table, sections, started_ns })
    }

    /// Installs what is complete, oldest first, unless somebody is at it: then he goes on with ours.
    fn install_written(&self, end: Lsn, written: Flushed) -> Result<()> {
        let mut outcome = Ok(());
        let mut next = self.flushes.put(end, written, || self.oldest_end());
        while let Some((end, flushed)) = next {
            let installed = self.install_one(flushed, end);
            if installed.is_ok() {
                self.clear_background_error();
            }
            outcome = outcome.and(installed);
            next = self.flushes.done(end, || self.oldest_end());
        }
        outcome
    }

    fn install_one(&self, flushed: Flushed, end: Lsn) -> Result<()> {
        let Flushed { source, table, sections, started_ns } = flushed;
        let mut edit = VersionEdit { floor: Some(end), synced: Some(end), ..Default::default() };
        edit.added = table.as_ref().map(level0).unwrap_or_default();
        if let Some(number) = source.log_number().filter(|_| mutant("log_removed_before_edit")) {
            self.remove_file(&filename::log(number));
        }
        self.install(edit, Some(end))?;
        drop(sections);
        self.floor.fetch_max(end.0, Ordering::AcqRel);
        self.logged.fetch_max(end.0, Ordering::AcqRel);
        self.synced.fetch_max(end.0, Ordering::AcqRel);
        self.retire_log(&source);
        let bytes = table.as_ref().map_or(0, |table| table.file.file_bytes);
        self.counters.flushes.add(1);
        self.counters.flush_bytes.add(bytes);
        self.log(LogLevel::Info, || {
            let ms = (self.env.os.monotonic_ns() - started_ns) / 1_000_000;
            format!("flushed {} bytes of log to {bytes} bytes of table in {ms} ms", source.bytes())
        });
        self.update_stall();
        self.env.rebalance();
        self.log_parking.notify();
        self.sync_parking.notify();
        self.room_parking.notify();
        self.env.wake_workers();
        Ok(())
    }

    /// Removes tables that were written and will never be installed: the database is closed.
    pub(super) fn abandon_flushes(&self) {
        for table in self.flushes.abandon().filter_map(|flushed| flushed.table) {
            self.remove_file(&filename::table(table.file.number));
        }
    }

    /// Writes what the live keyspaces have in `source` below `end` as one durable table.
    fn write_table(
        &self,
        source: &Sealed,
        end: Lsn,
        number: FileNumber,
    ) -> Result<Option<TableMeta>> {
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        let mut keyspaces = source.keyspaces()?;
        keyspaces.retain(|id| self.keyspaces.options(*id).is_some());
        if keyspaces.is_empty() {
            return Ok(None);
        }
        keyspaces.sort_unstable();
        let name = filename::table(number);
        let file = self.dir.create(&name)?;
        let written = (|| {
            let mut paid = 0;
            let mut builder = TableBuilder::new(file, number, self.env.os.random_u64());
            for id in keyspaces {
                let Some(options) = self.keyspaces.options(id) else { continue };
                builder.start_section(id, &options);
                let mut retain = Retain::new(&snapshots, horizon, false);
                let mut cursor = source.cursor(id, end)?;
                cursor.seek_first()?;
                let (mut read, mut looked) = (0_u64, builder.file_bytes_so_far());
                loop {
                    let entry = cursor.entry();
                    let Some(entry) = &entry else { break };
                    read += 1;
                    let so_far = builder.file_bytes_so_far();
                    if read % CHECK_ENTRIES == 0 || so_far > looked + CHECK_BYTES {
                        looked = so_far;
                        self.between_entries();
                    }
                    if retain.keep(entry) {
                        cursor.check_value()?;
                        builder.add_holding(entry, || cursor.hold_value())?;
                    }
                    let bytes = builder.file_bytes_so_far();
                    if bytes > paid + (1 << 20) {
                        self.throttle(bytes - paid);
                        paid = bytes;
                    }
                    cursor.next()?;
                }
                builder.finish_section()?;
            }
            let meta = builder.finish()?;
            self.throttle(meta.file.file_bytes.saturating_sub(paid));
            self.dir.sync()?;
            Ok(meta)
        })();
        match written {
            Ok(meta) => Ok(Some(meta)),
            Err(error) => {
                self.remove_file(&name);
                Err(error)
            }
        }
    }

    /// Pays for bytes written in the background, and waits until they are granted, unless a caller
    /// waits for a flush or the database is closed.
    pub(super) fn throttle(&self, bytes: u64) {
        let in_hurry = || !self.is_live() || self.flush_calls.load(Ordering::Relaxed) > 0;
        self.env.throttle.wait(&*self.env.os, bytes, &in_hurry);
    }
}

/// The sections of a table that came from memory.
pub(super) fn level0(table: &TableMeta) -> Vec<AddedSection> {
    table
        .sections
        .iter()
        .map(|section| AddedSection {
            level: Level(0),
            file: table.file.clone(),
            section: section.clone(),
        })
        .collect()
}
