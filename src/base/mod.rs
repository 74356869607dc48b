//! The shared words: keys, positions, errors, options, limits, names, coding, checksums, cursors.
//!
//! Rank 0: every module may name this one, and it names none. No I/O and no state live here.

pub(crate) mod checksum;
pub(crate) mod coding;
pub(crate) mod cursor;
pub(crate) mod error;
pub(crate) mod filename;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod meta;
pub(crate) mod mutant;
pub(crate) mod options;
pub(crate) mod packed;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod part;

pub(crate) use cursor::Cursor;
pub use error::{Error, ErrorKind, Result};
pub(crate) use key::{Entry, FileNumber, KeyspaceId, Kind, Level, Lsn};
pub(crate) use packed::{Packed, Stem};
