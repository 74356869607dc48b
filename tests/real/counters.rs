//! The counters of `ctests/real/work.h`, seen from outside.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use libtest_mimic::Failed;
use tempfile::NamedTempFile;

use super::memory_folder;

/// Threads of a writer.
pub(crate) const THREADS: usize = 2;

const HEAD_WORDS: u64 = 8;
const MODEL_AT: u64 = 4096;

/// What a writer is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// It has not come to lsm_open.
    Starting,
    /// It is in lsm_open.
    Opening,
    /// Its threads write.
    Writing,
    /// All its threads have got errors, or done all their work.
    Ended,
}

/// The counters of one thread: numbers of pieces of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    /// Where the last check found the database.
    pub(crate) next: u64,
    pub(crate) issued: u64,
    pub(crate) acknowledged: u64,
    pub(crate) synced: u64,
    /// The code of the error that ended the thread; 0 without one.
    pub(crate) code: i64,
    /// Like `next`, but the first of several states that look the same.
    pub(crate) least: u64,
}

/// The shared file.
#[derive(Debug)]
pub(crate) struct Counters {
    named: NamedTempFile,
    file: File,
}

impl Counters {
    /// New counters for threads that own `keys` keys each.
    pub(crate) fn new(keys: u64, seed: u64) -> Result<Self, Failed> {
        let named =
            tempfile::Builder::new().prefix("lsmer-counters-").tempfile_in(memory_folder())?;
        let file = OpenOptions::new().read(true).write(true).open(named.path())?;
        file.set_len(MODEL_AT + THREADS as u64 * keys * 8)?;
        let counters = Self { named, file };
        counters.set(1, keys)?;
        counters.set(2, seed)?;
        Ok(counters)
    }

    pub(crate) fn path(&self) -> &Path {
        self.named.path()
    }

    fn word(&self, index: u64) -> Result<u64, Failed> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, index * 8)?;
        Ok(u64::from_le_bytes(word))
    }

    fn set(&self, index: u64, value: u64) -> Result<(), Failed> {
        Ok(self.file.write_all_at(&value.to_le_bytes(), index * 8)?)
    }

    pub(crate) fn phase(&self) -> Result<Phase, Failed> {
        Ok(match self.word(0)? {
            0 => Phase::Starting,
            1 => Phase::Opening,
            2 => Phase::Writing,
            _ => Phase::Ended,
        })
    }

    /// Before a writer is started.
    pub(crate) fn reset_phase(&self) -> Result<(), Failed> {
        self.set(0, 0)
    }

    pub(crate) fn of(&self, thread: usize) -> Result<Counts, Failed> {
        let at = HEAD_WORDS + thread as u64 * 8;
        Ok(Counts {
            next: self.word(at)?,
            issued: self.word(at + 1)?,
            acknowledged: self.word(at + 2)?,
            synced: self.word(at + 3)?,
            code: -i64::try_from(self.word(at + 4)?).unwrap_or(0),
            least: self.word(at + 5)?,
        })
    }

    pub(crate) fn all(&self) -> Result<[Counts; THREADS], Failed> {
        Ok([self.of(0)?, self.of(1)?])
    }

    /// Pieces of work that were acknowledged since the last check.
    pub(crate) fn progress(&self) -> Result<u64, Failed> {
        Ok(self.all()?.iter().map(|c| c.acknowledged - c.next).sum())
    }

    /// Begins anew, for an empty database.
    pub(crate) fn forget(&self) -> Result<(), Failed> {
        let (keys, seed) = (self.word(1)?, self.word(2)?);
        let bytes = self.file.metadata()?.len();
        // What a file grows by reads as zeros.
        self.file.set_len(0)?;
        self.file.set_len(bytes)?;
        self.set(1, keys)?;
        self.set(2, seed)
    }
}
