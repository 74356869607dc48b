//! The cursor: a position in a sorted sequence of entries of one keyspace.
//!
//! Memtables, tables and their merge all implement it. A cursor belongs to one thread at a time.

use super::{Entry, Result};

/// A seekable position among entries in internal order (key ascending, number descending).
///
/// A new cursor is unpositioned. After an error it is unpositioned too, and only a seek helps.
/// A cursor never ends as if it were complete when something could not be read: that is an error.
pub(crate) trait Cursor: Send {
    /// Moves to the first entry.
    fn seek_first(&mut self) -> Result<()>;
    /// Moves to the last entry.
    fn seek_last(&mut self) -> Result<()>;
    /// Moves to the first entry at or after (`key`, `number`) in internal order.
    /// `number` = `u64::MAX` is before every version of `key`, 0 is after all but number 0.
    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()>;
    /// Moves to the last entry strictly before (`key`, `number`) in internal order.
    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()>;
    /// Moves one entry on. Unpositioned cursors stay so.
    fn next(&mut self) -> Result<()>;
    /// Moves one entry back. Unpositioned cursors stay so.
    fn prev(&mut self) -> Result<()>;
    /// The entry here, or none when the cursor is unpositioned or past either end.
    ///
    /// The bytes stay where they are until the cursor moves or is dropped.
    fn entry(&self) -> Option<Entry<'_>>;
}
