//! Recovery: from what the files say to a database that takes writes.
//!
//! After a clean end the log's content stays in memory and is flushed later. After anything else
//! nothing that was only in the page cache is trusted: what was accepted is written to synced
//! level-0 tables, and the *one* first edit of a new manifest names them and raises the floor above
//! every position that any file may have held. A crash before that edit repeats recovery; after it
//! there is nothing to repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::db::{Db, LogHook, LogLevel};
use super::env::Env;
use super::flush::level0;
use super::generation::{ReplayedLog, Sealed};
use super::install::Catalogue;
use super::keyspace::live;
use super::obsolete::{Keep, above, sweep};
use super::open::{Parts, next_file};
use crate::base::filename::{self, FileName};
use crate::base::meta::TableMeta;
use crate::base::mutant::mutant;
use crate::base::{Cursor, Error, FileNumber, KeyspaceId, Lsn, Result};
use crate::batch;
use crate::manifest::{Manifest, Recovered, State};
use crate::memtable::Replayed;
use crate::record::SEAL_BYTES;
use crate::sstable::TableBuilder;
use crate::version::{Tables, Version};
use crate::vfs::Dir;
use crate::wal::{
    self, Predecessor, ReplayInput, ReplayOutcome, ReplayedRecord, SEGMENT_HEAD_BYTES,
};

/// What one log holds, as it was read.
struct LogRecords {
    number: FileNumber,
    bytes: u64,
    records: Vec<(Lsn, Vec<u8>)>,
}

/// The logs of one database, replayed.
struct Logs {
    outcome: ReplayOutcome,
    /// Oldest first.
    replayed: Vec<ReplayedLog>,
}

impl Db {
    /// Recovers a database for writing.
    pub(super) fn recover(
        env: &Arc<Env>,
        dir: &Arc<dyn Dir>,
        tables: Arc<Tables>,
        found: Recovered,
        hook: Option<&LogHook>,
    ) -> Result<Parts> {
        check_tables(&**dir, &found.state)?;
        let logs = replay(env, dir, &found)?;
        let mut next = next_file(&**dir)?.0.max(found.state.next_file.0);
        let mut state = found.state.clone();
        let mut tables_written = Vec::new();
        let mut sealed = Vec::new();
        let mut last_log = None;
        let at;
        if logs.outcome.clean {
            at = logs.outcome.end.max(state.floor);
            last_log = clean_end(&**dir, &logs.outcome, state.synced)?;
            sealed.extend(logs.replayed.into_iter().rev().map(|l| Sealed::Replayed(Arc::new(l))));
        } else {
            for log in &logs.replayed {
                let number = FileNumber(next);
                next += 1;
                tables_written.extend(write_table(env, &**dir, &state, log, number)?);
            }
            if !tables_written.is_empty() {
                dir.sync()?;
            }
            at = above(logs.outcome.highest.max(state.floor).max(state.ceiling));
            if !mutant("cut_not_durable") {
                state.floor = at;
            }
        }
        state.synced = state.synced.max(at);
        state.ceiling = state.ceiling.max(at);
        let manifest = if logs.outcome.clean && found.proved && state == found.state {
            // It says all that a new one would, durably: the first edit will begin the new one.
            Manifest::found(found)
        } else {
            let number = FileNumber(next);
            next += 1;
            state.next_file = FileNumber(next);
            let mut edit = state.snapshot();
            edit.added.extend(tables_written.iter().flat_map(level0));
            let count = found.edit_count + 1;
            Manifest::create(&**dir, number, env.os.random_u64(), count, &edit)?
        };
        let keep = Keep {
            manifest: manifest.number(),
            tables: manifest.state().files().into_iter().collect(),
            logs: logs_that_stay(&logs.outcome),
        };
        sweep(&**dir, &keep)?;
        if let Some(hook) = hook {
            let how = if logs.outcome.clean { "clean" } else { "recovered" };
            hook(LogLevel::Info, &format!("opened ({how}); the log goes on at {at}"));
        }
        Ok(Parts {
            version: Version::from_state(manifest.state(), &tables)?,
            tables,
            keyspaces: live(manifest.state()),
            floor: manifest.state().floor,
            edit_count: manifest.edit_count(),
            catalogue: Some(Catalogue { first_bytes: manifest.bytes(), manifest }),
            sealed,
            at,
            last_log,
            next_file: FileNumber(next),
        })
    }

    /// Recovers a database in memory; writes nothing.
    pub(super) fn recover_read_only(
        env: &Arc<Env>,
        dir: &Arc<dyn Dir>,
        tables: Arc<Tables>,
        found: &Recovered,
    ) -> Result<Parts> {
        check_tables(&**dir, &found.state)?;
        let logs = replay(env, dir, found)?;
        let sealed = logs.replayed.into_iter().rev().map(|l| Sealed::Replayed(Arc::new(l)));
        Ok(Parts {
            version: Version::from_state(&found.state, &tables)?,
            tables,
            keyspaces: live(&found.state),
            sealed: sealed.collect(),
            at: logs.outcome.end.max(found.state.floor),
            floor: found.state.floor,
            last_log: None,
            next_file: found.state.next_file,
            edit_count: found.edit_count,
            catalogue: None,
        })
    }
}

/// After a clean end every segment stays, those without entries too: the one behind it names it.
fn logs_that_stay(outcome: &ReplayOutcome) -> BTreeSet<FileNumber> {
    if !outcome.clean {
        return BTreeSet::new();
    }
    outcome.segments.iter().map(|info| info.number).collect()
}

/// Every table that the manifest names must be there in its full length: else nothing is touched.
fn check_tables(dir: &dyn Dir, state: &State) -> Result<()> {
    let listed = dir.list()?;
    let lengths: BTreeMap<_, _> = listed
        .iter()
        .filter(|listed| listed.is_file)
        .filter_map(|listed| match filename::parse(&listed.name) {
            Some(FileName::Table(number)) => Some((number, listed.bytes)),
            _ => None,
        })
        .collect();
    for added in state.sections() {
        let file = &added.file;
        let (number, wanted) = (file.number, file.file_bytes);
        let what = match lengths.get(&number) {
            Some(&bytes) if bytes == wanted => continue,
            Some(bytes) => format!("the file has {bytes} bytes instead of {wanted}"),
            None => "the file is missing".to_owned(),
        };
        let offset = lengths.get(&number).copied().unwrap_or(0).min(wanted);
        return Err(Error::corrupt(&filename::table(number), number.0, offset, what));
    }
    Ok(())
}

fn replay(env: &Env, dir: &Arc<dyn Dir>, found: &Recovered) -> Result<Logs> {
    let mut numbers: Vec<_> = dir
        .list()?
        .iter()
        .filter_map(|listed| match filename::parse(&listed.name) {
            Some(FileName::Log(number)) if listed.is_file => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    let mount = dir.mount()?;
    let input = ReplayInput {
        floor: found.state.floor,
        synced: found.state.synced,
        manifest_number: found.manifest_number,
        boot_id: env.os.boot_id(),
        mount_id: mount.mount_id,
        edit_count: found.edit_count,
        logs: &numbers,
    };
    let next_keyspace = found.state.next_keyspace;
    let mut logs: Vec<LogRecords> = Vec::new();
    let outcome = wal::replay(&**dir, &input, &mut |record| {
        check_keyspaces(record, next_keyspace)?;
        if logs.last().is_none_or(|log| log.number != record.file) {
            logs.push(LogRecords { number: record.file, bytes: 0, records: Vec::new() });
        }
        if let Some(log) = logs.last_mut() {
            log.bytes += record.body.len() as u64;
            log.records.push((record.lsn, record.body.to_vec()));
        }
        Ok(())
    })?;
    let mut replayed = Vec::with_capacity(logs.len());
    while let Some(LogRecords { number, bytes, mut records }) = logs.pop() {
        if mutant("recovery_drops_last") && replayed.is_empty() {
            records.pop();
        }
        // A source reaches up to the next log's base, so that the floor can pass its seal.
        let info = outcome.segments.iter().position(|info| info.number == number);
        let end = info.and_then(|i| outcome.segments.get(i + 1)).map_or(outcome.end, |n| n.base);
        let entries = Arc::new(Replayed::build(records)?);
        replayed.push(ReplayedLog { entries, number, end, bytes });
    }
    replayed.reverse();
    Ok(Logs { outcome, replayed })
}

/// An entry of a keyspace that never existed is damage; one of a dropped keyspace is ignored.
fn check_keyspaces(record: &ReplayedRecord<'_>, next: KeyspaceId) -> Result<()> {
    let mut body = record.body;
    while !body.is_empty() {
        let name = filename::log(record.file);
        let Some((op, bytes)) = batch::decode_entry(body) else {
            let what = "an entry of a whole record cannot be read";
            return Err(Error::corrupt(&name, record.file.0, record.offset, what));
        };
        if op.keyspace >= next {
            let what = format!("an entry of keyspace {}, which never existed", op.keyspace.0);
            return Err(Error::corrupt(&name, record.file.0, record.offset, what));
        }
        body = body.get(bytes..).unwrap_or_default();
    }
    Ok(())
}

/// The last log of a clean end, if one is left, with its END record durable.
fn clean_end(dir: &dyn Dir, outcome: &ReplayOutcome, synced: Lsn) -> Result<Option<Predecessor>> {
    let Some(info) = outcome.segments.last() else { return Ok(None) };
    let log = Predecessor { number: info.number, base: info.base, end: info.end };
    // A manifest that says so was written after the sync of the END record.
    if synced < log.end {
        make_end_durable(dir, &log)?;
    }
    Ok(Some(log))
}

/// Makes the END record of a cleanly ended log durable, before anything relies on it.
///
/// The process that wrote it may have died, or have failed, in the sync that followed. What lies
/// before the record was durable before it was written. It is written again, because a sync alone
/// says nothing of bytes whose sync failed before.
fn make_end_durable(dir: &dyn Dir, log: &Predecessor) -> Result<()> {
    let file = dir.open(&filename::log(log.number), true)?;
    let place = log.end.0 - log.base.0 - SEAL_BYTES as u64;
    let offset = SEGMENT_HEAD_BYTES + place;
    let mut record = [0; SEAL_BYTES];
    let read = file.read_at(&mut record, offset)?;
    file.write_at(record.get(..read).unwrap_or_default(), offset)?;
    file.sync()
}

/// Writes what a log holds of living keyspaces as one synced table.
fn write_table(
    env: &Env,
    dir: &dyn Dir,
    state: &State,
    log: &ReplayedLog,
    number: FileNumber,
) -> Result<Option<TableMeta>> {
    let mut keyspaces = log.entries.keyspaces(Lsn(u64::MAX));
    keyspaces.retain(|id| state.keyspaces.contains_key(id));
    if keyspaces.is_empty() {
        return Ok(None);
    }
    keyspaces.sort_unstable();
    let file = dir.create(&filename::table(number))?;
    let mut builder = TableBuilder::new(file, number, env.os.random_u64());
    for id in keyspaces {
        let Some(keyspace) = state.keyspaces.get(&id) else { continue };
        builder.start_section(id, &keyspace.options);
        let mut cursor = log.entries.cursor(id, Lsn(u64::MAX));
        cursor.seek_first()?;
        // No reader is alive: of each key only the newest version counts.
        let mut last: Option<Vec<u8>> = None;
        while let Some(entry) = cursor.entry() {
            if last.as_deref() != Some(entry.key) {
                builder.add(&entry)?;
                last = Some(entry.key.to_vec());
            }
            cursor.next()?;
        }
        builder.finish_section()?;
    }
    builder.finish().map(Some)
}
