//! Compaction: which tables to merge, and merging them.
//!
//! Leveled, with dynamic level sizes (`version::LevelSizes`). [`pick`] and [`pick_range`] are pure
//! functions of a version, the jobs that run, and options; [`run`] takes a [`Job`] and gives a
//! version edit. The engine installs the edit, or discards it if the keyspace was dropped
//! meanwhile (`Version::accepts`, [`Outcome::discard`]).
//!
//! Invariants that every job keeps (V1 to V3 of `version`):
//!
//! * K1: a job is about one keyspace. With a section of level 0 it takes every older section of
//!   level 0 that meets the job's range.
//! * K2: it takes every section of the output level that meets its range; the levels between hold
//!   nothing in that range.
//! * K3: no two running jobs of a keyspace share an input, or write overlapping ranges of a level.
//! * K4: all versions of a user key go into one output table.
//! * K5: a version is dropped only by `merge::Retain`. For tombstones the bottom is where no level
//!   below the output level has a section around the key. What lies there when the job is picked
//!   can only sink while it runs: a section of the job's own levels in its range is its input.
//!
//! Threads: picking happens under the engine's lock, because of [`Busy`]; a job runs on any thread,
//! beside others. Not here: installing edits, deleting inputs, deciding when to run.

mod busy;
mod job;
mod level0;
mod output;
mod pick;
mod range;
mod run;
mod score;

#[cfg(test)]
mod tests;

pub(crate) use busy::{Busy, BusyId};
pub(crate) use job::{Job, Reason};
pub(crate) use pick::{Leftover, PickOptions, pick};
pub(crate) use range::{RangePick, pick_range};
pub(crate) use run::{Context, Outcome, run};
pub(crate) use score::{Score, scores};
