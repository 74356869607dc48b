//! What the tests with real processes share: the C programs of `ctests/real`, the counters that
//! they keep in shared memory, chance, and the machine's file systems.
//!
//! The counters are read and written here through the file, which Linux keeps the same as what the
//! programs have mapped.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

pub(crate) mod counters;
pub(crate) mod mount;
pub(crate) mod programs;

use std::env;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::Failed;

/// What a trial answers.
pub(crate) type Outcome = Result<(), Failed>;

/// Longer than anything takes that does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Whether the long forms of the tests are asked for.
pub(crate) fn is_long() -> bool {
    env::var_os("LSMER_LONG").is_some_and(|value| value == "1")
}

/// `short` in an ordinary run, `long` with LSMER_LONG=1.
pub(crate) fn rounds(short: u32, long: u32) -> u32 {
    if is_long() { long } else { short }
}

/// Where small files outlive the processes of a test, in memory where possible.
pub(crate) fn memory_folder() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { env::temp_dir() }
}

/// A directory for databases, removed with the value.
pub(crate) fn scratch() -> Result<tempfile::TempDir, Failed> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("lsmer-real-");
    Ok(match env::var_os("LSMER_TEST_DIR") {
        Some(parent) => builder.tempdir_in(parent)?,
        None => builder.tempdir_in(env!("CARGO_TARGET_TMPDIR"))?,
    })
}

/// Chance that can be repeated: LSMER_SEED, or the time.
#[derive(Debug)]
pub(crate) struct Chance {
    /// For messages.
    pub(crate) seed: u64,
    state: u64,
}

impl Chance {
    pub(crate) fn new() -> Self {
        let given = env::var("LSMER_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ (since.as_secs() << 30)
        });
        Self { seed, state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A time up to `limit`.
    pub(crate) fn up_to(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos))
    }
}
