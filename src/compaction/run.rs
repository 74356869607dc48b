//! Running a job: from its inputs to the tables and the edit that replace them.
//!
//! 1. Merge all inputs in internal order; count what comes.
//! 2. Ask `merge::Retain` about each entry; append what must stay to the output.
//! 3. End a table at a new user key when it is long enough.
//! 4. The count must be what the manifest says of the inputs: an input that ended early is an
//!    error, like one that fails.
//! 5. Sync tables and directory, open each output, and only then return the edit.
//!
//! An error at any point removes the outputs and leaves the inputs as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Job;
use super::output::{Output, remove};
use crate::base::mutant::mutant;
use crate::base::options::KeyspaceOptions;
use crate::base::{Cursor, Error, ErrorKind, FileNumber, Level, Lsn, Result, filename};
use crate::manifest::{AddedSection, RemovedSection, VersionEdit};
use crate::merge::{MergeCursor, Retain};
use crate::version::{AnyCursor, LevelCursor, Run, Section, Tables};
use crate::vfs::Dir;

/// Entries, or bytes of them, between two looks at the cancel flag and at other work.
const CHECK_ENTRIES: u64 = 256;
const CHECK_BYTES: usize = 512 << 10;

/// What a job needs of the engine.
pub(crate) struct Context<'a> {
    /// The database directory.
    pub(crate) dir: &'a Arc<dyn Dir>,
    /// Its tables.
    pub(crate) tables: &'a Tables,
    /// Gives a number that no file ever had. The engine records that in the manifest.
    pub(crate) new_file: &'a dyn Fn() -> FileNumber,
    /// Random bits for file ids.
    pub(crate) random: &'a dyn Fn() -> u64,
    /// How the outputs are written.
    pub(crate) options: &'a KeyspaceOptions,
    /// The positions of all snapshots, ascending; read after `horizon`, none of them pending.
    pub(crate) snapshots: &'a [Lsn],
    /// The lowest position at which a reader without a snapshot reads from now on.
    pub(crate) horizon: Lsn,
    /// Written by whoever wants the job to stop; a relaxed flag that nothing else hangs on.
    pub(crate) cancelled: &'a AtomicBool,
    /// Told how many bytes were written since the last time; may wait, to keep to a rate.
    pub(crate) throttle: &'a dyn Fn(u64),
    /// Called every few hundred entries or KiB, for what cannot wait until the job is done.
    pub(crate) between: &'a dyn Fn(),
}

/// What a job has done: an edit to be installed, or to be discarded.
pub(crate) struct Outcome {
    /// Inputs out, outputs in. File numbers and positions are left to the engine.
    pub(crate) edit: VersionEdit,
    /// The outputs, open; held until a version holds them.
    pub(crate) outputs: Vec<Section>,
    /// Entries read.
    pub(crate) entries_in: u64,
    /// Entries written.
    pub(crate) entries_out: u64,
    /// Bytes of the output files; none for a move.
    pub(crate) bytes_out: u64,
}

impl Outcome {
    /// Removes the outputs of a job that will not be installed, as well as that is possible.
    ///
    /// Not after the manifest may have named them: a failed append may be found on disk later.
    pub(crate) fn discard(self, dir: &dyn Dir) {
        let written: Vec<FileNumber> = self.outputs.iter().map(Section::number).collect();
        drop(self.outputs);
        remove(dir, &written);
    }
}

/// Runs a job. The outputs are durable when this returns; nothing is installed.
///
/// # Errors
/// `Busy` when it was cancelled; `Corrupt`, `Io`, `NoSpace` and others from inputs and outputs.
/// Outputs are then removed, inputs are as they were, and the same job can be tried again.
pub(crate) fn run(job: &Job, context: &Context<'_>) -> Result<Outcome> {
    if context.cancelled.load(Ordering::Relaxed) {
        return Err(cancelled());
    }
    if job.is_move() {
        return Ok(moved(job));
    }
    let mut output = Output::new(context, job);
    let outcome = merge(job, context, &mut output).and_then(|(entries_in, entries_out)| {
        let outputs = output.finish()?;
        Ok(Outcome {
            edit: edit(job, job.output_level(), &outputs),
            bytes_out: outputs.iter().map(|s| s.handle().meta().file_bytes).sum(),
            outputs,
            entries_in,
            entries_out,
        })
    });
    if outcome.is_err() {
        output.discard();
    }
    outcome
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Busy, "the compaction was cancelled; its inputs are as they were")
}

/// The edit that replaces a job's inputs.
fn edit(job: &Job, level: Level, outputs: &[Section]) -> VersionEdit {
    let keyspace = job.keyspace();
    let removed = |(level, section): &(Level, Section)| RemovedSection {
        level: *level,
        file: section.number(),
        keyspace,
    };
    let added = |section: &Section| AddedSection {
        level,
        file: section.handle().meta().clone(),
        section: section.meta().clone(),
    };
    VersionEdit {
        removed: job.inputs().iter().map(removed).collect(),
        added: outputs.iter().map(added).collect(),
        ..VersionEdit::default()
    }
}

/// The outcome of a move: the same section in another level, and no file of its own.
fn moved(job: &Job) -> Outcome {
    let sections: Vec<Section> = job.inputs().iter().map(|(_, s)| s.clone()).collect();
    let edit = edit(job, job.output_level(), &sections);
    Outcome { edit, outputs: Vec::new(), entries_in: 0, entries_out: 0, bytes_out: 0 }
}

/// Feeds the output with all that must stay; counts entries read and written.
fn merge(job: &Job, context: &Context<'_>, output: &mut Output<'_>) -> Result<(u64, u64)> {
    let (levels, level) = (job.levels(), job.output_level());
    let mut retain = Retain::new(context.snapshots, context.horizon, false);
    let mut inputs = MergeCursor::new(cursors(job)?);
    let (mut read, mut written, mut bytes) = (0, 0, 0);
    inputs.seek_first()?;
    loop {
        // Not moved: an entry that was just written in pieces is slow to be copied in larger ones.
        let entry = inputs.entry();
        let Some(entry) = &entry else { break };
        bytes += entry.value.len();
        if read % CHECK_ENTRIES == 0 || bytes > CHECK_BYTES {
            bytes = 0;
            if context.cancelled.load(Ordering::Relaxed) {
                return Err(cancelled());
            }
            (context.between)();
        }
        read += 1;
        let is_new_key = retain.turn_to(entry.key) || mutant("split_key_over_tables");
        if is_new_key && output.is_full(entry.key) {
            output.cut()?;
        }
        if retain.keep_if(entry, |key| !levels.lies_deeper(level, key)) {
            output.add(entry)?;
            written += 1;
        }
        if let Err(error) = inputs.next() {
            if mutant("compaction_error_is_end") {
                return Ok((read, written));
            }
            return Err(error);
        }
    }
    check_count(job, read)?;
    Ok((read, written))
}

/// A cursor for each section of level 0 and for each level below.
fn cursors(job: &Job) -> Result<Vec<AnyCursor>> {
    let keyspace = job.keyspace();
    let mut cursors = Vec::new();
    let mut deeper: Vec<(Level, Vec<Section>)> = Vec::new();
    for (level, section) in job.inputs() {
        if *level == Level(0) {
            let cursor = section.table()?.cursor_with(keyspace, false)?;
            cursors.push(AnyCursor::Table(Box::new(cursor)));
            continue;
        }
        match deeper.iter_mut().find(|(there, _)| there == level) {
            Some((_, sections)) => sections.push(section.clone()),
            None => deeper.push((*level, vec![section.clone()])),
        }
    }
    for (level, sections) in deeper {
        let run = Arc::new(Run::new(level, sections)?);
        let all = 0..run.sections().len();
        cursors.push(AnyCursor::Level(LevelCursor::new(keyspace, run, all, false)));
    }
    Ok(cursors)
}

/// An input that gave fewer or more entries than it was made of must not be replaced.
pub(super) fn check_count(job: &Job, read: u64) -> Result<()> {
    let expected: u64 = job.inputs().iter().map(|(_, s)| s.meta().entries).sum();
    if read == expected {
        return Ok(());
    }
    let number = job.inputs().first().map_or(FileNumber(0), |(_, section)| section.number());
    let files: Vec<String> =
        job.inputs().iter().map(|(_, section)| section.number().to_string()).collect();
    let what = format!(
        "tables {} gave {read} entries, expected {expected}; they are kept; restore a checkpoint",
        files.join(", ")
    );
    Err(Error::corrupt(&filename::table(number), number.0, 0, what))
}
