//! One open database: recovery, commit, read, scan, snapshots, flush, background work, health.
//!
//! [`Db`] is what `capi` and `index` call; every method may be called from any thread. Writes and
//! reads take no lock on their common path: see `docs/architecture.md`, "The write path" and "The
//! read path". Each file here holds one activity:
//!
//! | file | activity |
//! | --- | --- |
//! | `db` | the shared state of one database and small accessors |
//! | `env` | what several databases share: memory, cache, threads |
//! | `commit` | reserve, fill, publish: one write |
//! | `seal` | the end of one generation and the installation of the next |
//! | `publish` | moving `visible`, and waiting for it |
//! | `sync` | the log leader: write-out and durability |
//! | `prepare`, `trim` | making the next generation ahead of the writers; giving it back |
//! | `stall` | smooth back-pressure |
//! | `open`, `recover`, `close` | the life of a database |
//! | `flush`, `compact`, `worker`, `obsolete`, `warm` | background work |
//! | `read`, `scan`, `spare`, `lease`, `snapshot` | reading |
//! | `read_debt` | what scans pay for |
//! | `keyspace`, `install`, `mark` | keyspaces; version edits; proof that the log is durable |
//! | `health` | statistics |

mod check;
mod close;
mod commit;
mod compact;
mod db;
mod env;
mod flush;
mod flushes;
mod generation;
mod health;
mod install;
mod keyspace;
mod lease;
mod mark;
mod multi_get;
mod obsolete;
mod open;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod poison;
mod prepare;
mod publish;
mod read;
mod read_debt;
mod recover;
mod scan;
mod seal;
mod shelf;
mod snapshot;
mod spare;
mod stall;
mod sync;
mod trim;
mod wait;
mod warm;
mod worker;

pub(crate) use commit::WriteOptions;
pub(crate) use compact::Background;
pub(crate) use db::{Db, LogHook, LogLevel};
pub(crate) use env::Env;
pub(crate) use health::{Health, HealthState, StatsFormat};
pub(crate) use lease::Leases;
pub(crate) use read::{Pinned, ReadOptions};
pub(crate) use scan::{Iter, SeekHow};
pub(crate) use snapshot::Snapshot;

#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
#[cfg(test)]
mod tests;
