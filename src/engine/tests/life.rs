//! One life of a process on a simulated disk: what opens a database, until it ends.
//!
//! Unlike [`super::machine`] it keeps the simulated operating system at hand, and copies of it cost
//! little: sweeps make hundreds of thousands. One thread.

use std::path::Path;
use std::sync::Arc;

use super::machine::PATH;
use crate::base::Result;
use crate::base::options::{EnvOptions, LogMode, OpenOptions};
use crate::engine::{Db, Env};
use crate::mem::epoch;
use crate::os::sim::SimOs;
use crate::vfs::sim::{PowerLoss, SimFs};

/// Bytes of the write buffers of small databases: some ten writes fill one.
pub(super) const BUFFER_BYTES: u64 = 4 << 10;

/// How databases of sweeps are opened. Those with a written log read their tables through mappings,
/// so that sweeps over both kinds of log do both kinds of reads.
pub(super) fn small(log_mode: LogMode) -> OpenOptions {
    OpenOptions {
        write_buffer_bytes: BUFFER_BYTES,
        log_mode,
        mapped_reads: log_mode == LogMode::Written,
        ..OpenOptions::default()
    }
}

/// Runs `body` on a thread with epochs of its own: when memory is freed, and files that only old
/// readers need, then depends on nothing but `body`, and every run makes the same calls.
pub(super) fn alone<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            epoch::isolate_thread();
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A disk, a machine and an environment.
pub(super) struct Life {
    pub(super) fs: Arc<SimFs>,
    pub(super) os: Arc<SimOs>,
    pub(super) env: Arc<Env>,
    pub(super) options: OpenOptions,
}

impl Life {
    /// A process that uses `fs` and opens databases so.
    pub(super) fn on(fs: Arc<SimFs>, options: &OpenOptions) -> Self {
        let env_options = EnvOptions { memory_budget_bytes: 1 << 20, ..EnvOptions::default() };
        Self::with_env(fs, options, env_options)
    }

    /// The same with other limits for its environment.
    pub(super) fn with_env(fs: Arc<SimFs>, options: &OpenOptions, env: EnvOptions) -> Self {
        let os = Arc::new(SimOs::new(1, fs.boot_id()));
        let env = Env::create(env, Arc::clone(&fs) as _, Arc::clone(&os) as _).unwrap();
        Self { fs, os, env, options: options.clone() }
    }

    /// Opens the database.
    pub(super) fn open(&self) -> Result<Arc<Db>> {
        Db::open(&self.env, Path::new(PATH), self.options.clone(), None)
    }
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The process dies; every stored byte stays.
    Death,
    /// The power is lost, in this way, with this seed.
    Power(PowerLoss, u64),
}

impl End {
    /// The ten ends, the nine losses of power with this seed.
    pub(super) fn all(seed: u64) -> impl Iterator<Item = Self> {
        let losses = PowerLoss::ALL.into_iter().map(move |how| Self::Power(how, seed));
        std::iter::once(Self::Death).chain(losses)
    }

    /// The one of the ten that `number` chooses.
    pub(super) fn chosen(number: u64) -> Self {
        let ends: Vec<Self> = Self::all(number).collect();
        ends[usize::try_from(number % ends.len() as u64).unwrap()]
    }

    /// What the next process finds when this one ends now.
    pub(super) fn of(self, fs: &SimFs) -> Arc<SimFs> {
        match self {
            Self::Death => fs.process_death(),
            Self::Power(how, seed) => fs.power_loss(how, seed),
        }
    }
}
