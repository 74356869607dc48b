//! `LsmIndex` as programs use it: from tasks and threads, through reopening, compaction by the
//! clock and the death of the process, with every parameter shown to have its effect.
//!
//! Nothing here knows what is inside: only the public face, and the files in the directory. The
//! parts are in `tests/index/`, one for each activity.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

#[path = "index/crash.rs"]
mod crash;
#[path = "index/crud.rs"]
mod crud;
#[path = "index/parameters.rs"]
mod parameters;
#[cfg(not(loom))] // tokio does not build under loom.
#[path = "index/tasks.rs"]
mod tasks;
#[path = "index/ticks.rs"]
mod ticks;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lsmer::LsmIndex;
use tempfile::TempDir;

/// A memtable that none of the small tests fills, in bytes.
const MEMTABLE_BYTES: usize = 1 << 20;

/// A new directory, and the place for an index in it.
fn place() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("index");
    (temporary, path)
}

/// An index with usual parameters that compacts by need alone.
fn open(path: &Path) -> LsmIndex {
    LsmIndex::new(MEMTABLE_BYTES, path, None, true, 0.01).unwrap()
}

fn key(i: usize) -> String {
    format!("key{i:06}")
}

fn value(i: usize) -> Vec<u8> {
    format!("value {i} {}", "x".repeat(i % 100)).into_bytes()
}

/// Bytes that do not compress and stand nowhere else: `count` of them, from `seed`.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Waits until `done`, looking often; false if it takes longer than `limit`.
fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    done()
}

/// Whether any file in the directory holds these bytes.
fn is_on_disk(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        // A file may be removed between the listing and the look.
        let content = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}
