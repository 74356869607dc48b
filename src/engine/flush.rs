//! Flush: the oldest sealed generation becomes one level-0 table with a section per keyspace.
//!
//! 1. Write and sync the table, sync the directory.
//! 2. One manifest edit names it and raises the floor past the generation.
//! 3. Readers get a state without the generation; its log is removed.

use std::sync::Arc;

use super::db::{Db, LogLevel};
use super::generation::Sealed;
use crate::base::meta::{SectionMeta, TableMeta};
use crate::base::mutant::mutant;
use crate::base::{Cursor, Level, Lsn, Result, filename};
use crate::manifest::{AddedSection, VersionEdit};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::merge::Retain;
use crate::sstable::TableBuilder;
use crate::version::Section;

/// Entries, or bytes of table, between two looks at what writers need.
const CHECK_ENTRIES: u64 = 256;
const CHECK_BYTES: u64 = 512 << 10;

impl Db {
    /// Moves everything that is visible now into tables, and returns when it is there.
    ///
    /// # Errors
    /// Why it could not be done; nothing is lost then, and a later flush tries again.
    pub(crate) fn flush(&self) -> Result<()> {
        self.check_writable()?;
        self.retry_now();
        let target = self.visible();
        self.seal_active(target)?;
        while self.floor() < target {
            let flushing = self.jobs.flushing.lock();
            let did = self.flush_locked();
            drop(flushing);
            if !did? {
                // The oldest has records that are not published yet.
                self.wait_on(&self.visible_parking, None, || {
                    self.advance(&epoch::pin());
                    self.oldest_end().is_none_or(|end| self.visible() >= end)
                        || self.poison.is_stuck()
                })?;
                self.poison.check()?;
                if self.oldest_end().is_none() {
                    break;
                }
            }
        }
        Ok(())
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
                let options = super::commit::WriteOptions::default();
                self.wait_for_next(active.log_number(), &options)?;
            }
        }
    }

    fn oldest_end(&self) -> Option<Lsn> {
        let guard = epoch::pin();
        self.state.load(&guard).sealed.last().map(Sealed::end)
    }

    /// As a worker: flushes the oldest sealed generation, if nobody else does.
    pub(super) fn flush_oldest(&self) -> Result<bool> {
        let Some(_one) = self.jobs.flushing.try_lock() else { return Ok(false) };
        self.flush_locked()
    }

    fn flush_locked(&self) -> Result<bool> {
        let oldest = {
            let guard = epoch::pin();
            self.state.load(&guard).sealed.last().cloned()
        };
        let Some(oldest) = oldest else { return Ok(false) };
        let end = oldest.end();
        if self.visible() < end {
            return Ok(false);
        }
        self.poison.check()?;
        match self.flush_one(&oldest, end) {
            Ok(()) => {
                self.clear_background_error();
                Ok(true)
            }
            Err(error) => {
                self.note_background_error(&error.clone().during("a flush failed"));
                Err(error)
            }
        }
    }

    fn flush_one(&self, oldest: &Sealed, end: Lsn) -> Result<()> {
        let started = self.env.os.monotonic_ns();
        // Nobody stores into its log any more.
        oldest.release_log();
        let reads = self.reads();
        let table = self.write_table(oldest, end)?;
        let mut edit = VersionEdit { floor: Some(end), synced: Some(end), ..Default::default() };
        // Kept until they are installed, so that what was brought in stays.
        let mut sections = Vec::new();
        if let Some(table) = &table {
            edit.added = level0(table);
            if let Ok(handle) = self.tables.handle(&table.file) {
                let section = |meta: &SectionMeta| Section::new(handle.clone(), meta.clone());
                sections.extend(table.sections.iter().map(section));
                self.warm_before(&sections, reads);
            }
        }
        if let Some(number) = oldest.log_number().filter(|_| mutant("log_removed_before_edit")) {
            self.remove_file(&filename::log(number));
        }
        self.install(edit, Some(end))?;
        drop(sections);
        self.floor.fetch_max(end.0, Ordering::AcqRel);
        self.logged.fetch_max(end.0, Ordering::AcqRel);
        self.synced.fetch_max(end.0, Ordering::AcqRel);
        if let Some(number) = oldest.log_number() {
            self.remove_file(&filename::log(number));
        }
        let bytes = table.as_ref().map_or(0, |table| table.file.file_bytes);
        self.counters.flushes.add(1);
        self.counters.flush_bytes.add(bytes);
        self.log(LogLevel::Info, || {
            let ms = (self.env.os.monotonic_ns() - started) / 1_000_000;
            format!("flushed {} bytes of log to {bytes} bytes of table in {ms} ms", oldest.bytes())
        });
        self.update_stall();
        self.env.rebalance();
        self.log_parking.notify();
        self.sync_parking.notify();
        self.room_parking.notify();
        self.env.wake_workers();
        Ok(())
    }

    /// Writes what the live keyspaces have in `source` below `end` as one durable table.
    fn write_table(&self, source: &Sealed, end: Lsn) -> Result<Option<TableMeta>> {
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        let mut keyspaces = source.keyspaces()?;
        keyspaces.retain(|id| self.keyspaces.options(*id).is_some());
        if keyspaces.is_empty() {
            return Ok(None);
        }
        keyspaces.sort_unstable();
        let number = self.new_file_number();
        let name = filename::table(number);
        let file = self.dir.create(&name)?;
        let written = (|| {
            let mut builder = TableBuilder::new(file, number, self.env.os.random_u64());
            for id in keyspaces {
                let Some(options) = self.keyspaces.options(id) else { continue };
                builder.start_section(id, &options);
                let mut retain = Retain::new(&snapshots, horizon, false);
                let mut cursor = source.cursor(id, end)?;
                cursor.seek_first()?;
                let mut unpaid = builder.file_bytes_so_far();
                let (mut read, mut looked) = (0_u64, unpaid);
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
                        builder.add_holding(entry, || cursor.hold_value())?;
                    }
                    let bytes = builder.file_bytes_so_far();
                    if bytes > unpaid + (1 << 20) {
                        self.throttle(bytes - unpaid);
                        unpaid = bytes;
                    }
                    cursor.next()?;
                }
                builder.finish_section()?;
            }
            let meta = builder.finish()?;
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

    /// Pays for bytes written in the background.
    pub(super) fn throttle(&self, bytes: u64) {
        self.env.throttle.wait(&*self.env.os, bytes, &|| !self.is_live());
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
