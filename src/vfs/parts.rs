//! A folder for parts that need files, and the price of making bytes durable, to be measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::posix::PosixVfs;
use super::{Dir, File, Vfs};
use crate::base::part::{Part, Work, part};

/// What is measured here.
pub(crate) const PARTS: &[Part] =
    &[Part { count: |_| SYNCS, ..part("floor-fdatasync", 0, |_| Box::new(Sync::new())) }];

/// Syncs of one run.
const SYNCS: u64 = 8;

/// A folder below the build's, gone when this is dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    pub(crate) dir: Arc<dyn Dir>,
}

impl Scratch {
    /// # Panics
    /// When the folder cannot be made: nothing can be measured then.
    pub(crate) fn new() -> Self {
        /// Tells folders of one process apart; only counted up, so Relaxed.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("target/parts/{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        match PosixVfs.open_dir(&path, true) {
            Ok(dir) => Self { path, dir },
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the folder of builds, and goes with it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// `pwrite` of a record into space that is there, and fdatasync.
struct Sync {
    file: Arc<dyn File>,
    at: u64,
    _scratch: Scratch,
}

impl Sync {
    fn new() -> Self {
        let scratch = Scratch::new();
        let file = scratch.dir.create("log").and_then(|file| {
            file.allocate(1 << 20)?;
            file.write_at(&vec![1; 1 << 20], 0)?;
            file.sync()?;
            Ok(file)
        });
        match file {
            Ok(file) => Self { file, at: 0, _scratch: scratch },
            Err(error) => panic!("a file for syncs: {error}"),
        }
    }
}

impl Work for Sync {
    fn run(&mut self) -> u64 {
        let mut synced = 0;
        for _ in 0..SYNCS {
            self.at = (self.at + 192) % (1 << 19);
            let done = self.file.write_at(&[7; 192], self.at).and_then(|()| self.file.sync());
            synced += u64::from(done.is_ok());
        }
        synced
    }
}
