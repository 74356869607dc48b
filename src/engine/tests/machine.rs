//! A simulated machine for tests: a disk, an operating system, and an environment on both.

use std::path::Path;
use std::sync::Arc;

use crate::base::options::{Durability, EnvOptions, OpenOptions};
use crate::base::{KeyspaceId, Lsn, Result};
use crate::engine::{Db, Env, ReadOptions, WriteOptions};
use crate::os::sim::SimOs;
use crate::vfs::sim::{PowerLoss, SimFs};

/// Where the database lives.
pub(super) const PATH: &str = "/data/db";

/// Survives the death of the process.
pub(super) const BUFFER: WriteOptions =
    WriteOptions { durability: Some(Durability::Buffer), no_stall: false, deadline_ns: 0 };
/// Survives power loss.
pub(super) const SYNC: WriteOptions =
    WriteOptions { durability: Some(Durability::Sync), no_stall: false, deadline_ns: 0 };

/// One life of a machine: what opens databases.
pub(super) struct Machine {
    pub(super) fs: Arc<SimFs>,
    pub(super) env: Arc<Env>,
    pub(super) options: OpenOptions,
}

impl Machine {
    /// A new machine with small write buffers.
    pub(super) fn new() -> Self {
        Self::on(SimFs::new())
    }

    /// A machine with this disk.
    pub(super) fn on(fs: Arc<SimFs>) -> Self {
        Self::with(fs, OpenOptions { write_buffer_bytes: 4096, ..OpenOptions::default() })
    }

    /// A machine with this disk that opens databases so.
    pub(super) fn with(fs: Arc<SimFs>, options: OpenOptions) -> Self {
        let os = Arc::new(SimOs::new(1, fs.boot_id()));
        let env_options = EnvOptions { memory_budget_bytes: 1 << 20, ..EnvOptions::default() };
        let env = Env::create(env_options, Arc::clone(&fs) as _, os).unwrap();
        Self { fs, env, options }
    }

    /// A machine whose background work has threads: what is stepped may have one only.
    pub(super) fn threaded(memory_budget_bytes: u64, write_buffer_bytes: u64) -> Self {
        let fs = SimFs::new();
        let os = Arc::new(SimOs::with_threads(1, fs.boot_id()));
        let env_options = EnvOptions { memory_budget_bytes, ..EnvOptions::default() };
        let env = Env::create(env_options, Arc::clone(&fs) as _, os).unwrap();
        Self { fs, env, options: OpenOptions { write_buffer_bytes, ..OpenOptions::default() } }
    }

    /// Opens the database.
    pub(super) fn open(&self) -> Result<Arc<Db>> {
        Db::open(&self.env, Path::new(PATH), self.options.clone(), None)
    }

    /// Runs background work until there is none.
    pub(super) fn settle(&self) {
        // Other tests hold pins, too: retired objects wait for them.
        for _ in 0..10_000 {
            while self.env.step() {}
            if self.env.garbage.pending() == 0 {
                break;
            }
            std::thread::yield_now();
        }
        while self.env.step() {}
    }

    /// The machine after the process died.
    pub(super) fn process_death(&self) -> Self {
        Self::with(self.fs.process_death(), self.options.clone())
    }

    /// The machine after the power was lost.
    pub(super) fn power_loss(&self, how: PowerLoss, seed: u64) -> Self {
        Self::with(self.fs.power_loss(how, seed), self.options.clone())
    }
}

/// The value of a key of the default keyspace.
pub(super) fn get(db: &Db, key: &str) -> Option<String> {
    let found = db.get(KeyspaceId::DEFAULT, key.as_bytes(), &ReadOptions::default()).unwrap();
    found.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Sets a key of the default keyspace.
pub(super) fn put(db: &Db, key: &str, value: &str, options: &WriteOptions) -> Result<Lsn> {
    db.put(KeyspaceId::DEFAULT, key.as_bytes(), value.as_bytes(), options)
}

/// All keys and values of the default keyspace, in order.
pub(super) fn scan(db: &Arc<Db>) -> Vec<(String, String)> {
    let mut iter = db.iter(KeyspaceId::DEFAULT, &ReadOptions::default(), None, None).unwrap();
    let mut all = Vec::new();
    while iter.next().unwrap() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        all.push((text(iter.key()), text(iter.value())));
    }
    all
}
