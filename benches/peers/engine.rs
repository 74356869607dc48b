//! What every engine can do here: the seam between the measured loops and the adapters.

use std::path::Path;

use crate::keys::Key;

/// An error is told, never handled: the engine's run ends with it.
pub(crate) type Outcome<T> = Result<T, String>;

/// Settings that all engines share.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Bytes of one write buffer (memtable).
    pub(crate) write_buffer: u64,
    /// Bytes of block cache.
    pub(crate) cache: u64,
    /// Filter bits for each key.
    pub(crate) filter_bits: u32,
    /// Whether every write of this database will be synced (LMDB and WiredTiger are told at open).
    pub(crate) durable: bool,
    /// Where the engine's own library is, for those that are built here.
    pub(crate) library: String,
}

/// What only some interfaces have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Many keys in one call.
    MultiGet,
    /// Cursor moves that fill a buffer with many entries, and scans without a cursor.
    Pages,
}

/// A place that a cursor is moved to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    First,
    Last,
    /// The first entry at or after the key.
    At(&'a Key),
}

/// Key and value, lent.
pub(crate) type Entry<'a> = (&'a [u8], &'a [u8]);

/// An open database. Any thread.
pub(crate) trait Engine: Send + Sync {
    /// As its library tells it.
    fn version(&self) -> String;
    fn has(&self, feature: Feature) -> bool;
    /// What a thread works with.
    fn session(&self) -> Outcome<Box<dyn Session + '_>>;
    /// Writes out what is in memory and waits until no background work is due.
    fn settle(&self) -> Outcome<()>;
    fn close(self: Box<Self>) -> Outcome<()>;
}

/// One thread's work with a database.
pub(crate) trait Session {
    fn put(&mut self, key: &Key, value: &[u8], durable: bool) -> Outcome<()>;
    fn delete(&mut self, key: &Key) -> Outcome<()>;
    /// Puts all keys or none; the values lie one behind the other, each of `value_bytes` bytes.
    fn batch(&mut self, keys: &[Key], values: &[u8], value_bytes: usize) -> Outcome<()>;
    /// The value holds until [`Session::release`], which must follow each value.
    fn get(&mut self, key: &Key) -> Outcome<Option<&[u8]>>;
    fn release(&mut self);
    /// Calls `seen` with the place of each key and its value.
    fn multi_get(
        &mut self,
        keys: &[Key],
        seen: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Outcome<()> {
        let _ = (keys, seen);
        Err("no reads of many keys".to_owned())
    }
    /// A cursor that sees all earlier writes.
    fn cursor(&mut self) -> Outcome<Box<dyn Cursor + '_>>;
    /// Up to `max` packed entries from `from` on, without a cursor.
    fn scan(&mut self, from: &Key, max: usize) -> Outcome<&[u8]> {
        let _ = (from, max);
        Err("no scans without a cursor".to_owned())
    }
}

/// A place in the order of keys.
pub(crate) trait Cursor {
    fn seek(&mut self, place: Place<'_>) -> Outcome<Option<Entry<'_>>>;
    fn next(&mut self) -> Outcome<Option<Entry<'_>>>;
    fn prev(&mut self) -> Outcome<Option<Entry<'_>>>;
    /// The next entries, packed: u32 key length, u32 value length, key, value. Empty at the end.
    fn page(&mut self) -> Outcome<&[u8]> {
        Err("no pages".to_owned())
    }
}

/// Opens or creates a database.
pub(crate) type Open = fn(&Path, &Settings) -> Outcome<Box<dyn Engine>>;
