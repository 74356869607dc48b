//! lsmer: an embedded, ordered, durable key-value engine behind a C ABI.
//!
//! The design is told in `docs/architecture.md`, the bytes on disk in `docs/format.md`. C programs
//! see only [`capi`]; Rust programs use [`LsmIndex`]. Modules name only modules of a lower rank;
//! `tidy` holds the table and tests it.

pub(crate) mod base;
pub(crate) mod batch;
pub(crate) mod cache;
pub mod capi;
pub(crate) mod compaction;
pub(crate) mod engine;
mod index;
pub(crate) mod manifest;
pub(crate) mod mem;
pub(crate) mod memtable;
pub(crate) mod merge;
pub(crate) mod os;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
#[doc(hidden)]
pub mod parts;
pub(crate) mod record;
pub(crate) mod sstable;
pub(crate) mod version;
pub(crate) mod vfs;
pub(crate) mod wal;

#[cfg(test)]
mod tidy;

pub use base::{Error, ErrorKind, Result};
pub use index::{LsmIndex, Range, TryRange};
