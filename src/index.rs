//! `LsmIndex`: an ordered map from strings to bytes on disk, for Rust programs.
//!
//! A small face of the engine: one database, its default keyspace, keys that are UTF-8. All
//! methods take `&self` and may be called from any number of threads at once; a write is in the log
//! when it returns, so it survives the death of the process ([`LsmIndex::sync`]: power loss too).
//!
//! Here is only the translation of types and parameters; compaction by the clock is in `ticker`,
//! scans are in `scan`, the size of filters is computed in `filter_rate`.

mod filter_rate;
mod scan;
mod ticker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use crate::base::limits::{WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_BYTES_MIN};
use crate::base::options::{EnvOptions, KeyspaceOptions, OpenOptions};
use crate::base::{Error, ErrorKind, KeyspaceId, Lsn, Result};
use crate::engine::{Db, Env, Leases, ReadOptions, WriteOptions};
use crate::mem::fork;
use crate::os::Os;
use crate::os::real::RealOs;
use crate::vfs::posix::PosixVfs;

pub use scan::{Range, TryRange};
use ticker::Ticker;

/// The default keyspace, which is the one that an index uses.
const KEYSPACE: KeyspaceId = KeyspaceId::DEFAULT;
/// The keyspace's name.
const KEYSPACE_NAME: &str = "default";
/// Memory in all, as a multiple of the memtable: half of it is for memtables (the one that is
/// written, the prepared one, two that are flushed), the rest for cached blocks and indexes.
const BUDGET_MEMTABLES: u64 = 8;
/// Least memory in all, in bytes, so that small memtables leave room for a cache and for values
/// that are larger than a memtable.
const BUDGET_BYTES_MIN: u64 = 64 << 20;

/// An ordered, durable map from `String` to `Vec<u8>`.
///
/// ```
/// use lsmer::LsmIndex;
///
/// # fn main() -> lsmer::Result<()> {
/// # let temporary = tempfile::tempdir().unwrap();
/// # let base_dir = temporary.path().join("fruit");
/// // Memtables of 1 MiB, compaction by need alone, filters with one false positive in a hundred.
/// let index = LsmIndex::new(1 << 20, &base_dir, None, true, 0.01)?;
/// index.insert("apple".to_owned(), b"red".to_vec())?;
/// index.insert("banana".to_owned(), b"yellow".to_vec())?;
/// assert_eq!(index.get("apple")?.as_deref(), Some(&b"red"[..]));
///
/// index.remove("apple")?;
/// assert_eq!(index.get("apple")?, None);
/// let rest: Vec<_> = index.range("a".to_owned().."z".to_owned())?.collect();
/// assert_eq!(rest, [("banana".to_owned(), b"yellow".to_vec())]);
/// # Ok(())
/// # }
/// ```
///
/// Dropping an index closes its database and ends its threads; [`LsmIndex::close`] does the same
/// and tells the outcome. In a child of `fork` every method answers `ErrorKind::Forked`, and
/// dropping does nothing.
pub struct LsmIndex {
    /// None only at the end of the index.
    parts: Option<Parts>,
    /// The process generation that the index was made in.
    generation: u32,
}

struct Parts {
    db: Arc<Db>,
    /// What scans hold of it.
    leases: Leases,
    ticker: Option<Ticker>,
}

impl LsmIndex {
    /// Opens the index in `base_dir`, and creates it, with missing directories, if there is none.
    ///
    /// - `memtable_capacity_bytes`: bytes of keys, values and their headers that are collected in
    ///   memory before they are written as a table; 1 to 2^30, rounded up to 4 KiB. The memory in
    ///   use is at most eight times as much, or 64 MiB if that is more. A single entry may be
    ///   larger than a memtable.
    /// - `compaction_interval_secs`: whenever so many seconds have passed, everything that was
    ///   inserted or removed is moved to tables and merged into one sorted run, so that removed and
    ///   overwritten bytes leave the disk. At least 1. `None`: tables are merged only as reading
    ///   and space ask for it, which writes far less. Either way all that is in the background.
    /// - `use_bloom_filters`: whether tables that are written from now on have filters, which
    ///   answer for most absent keys without a look at the table's blocks.
    /// - `false_positive_rate`: the part of absent keys for which a filter may be mistaken, above 0
    ///   and below 1; not looked at without filters. The less it is, the more bits the filters
    ///   have, up to 64 for a key: less than about one in 10^8 is not to be had.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let base_dir = temporary.path();
    /// let wrong = lsmer::LsmIndex::new(1 << 20, base_dir, None, true, 1.5);
    /// assert_eq!(wrong.unwrap_err().kind(), lsmer::ErrorKind::Invalid);
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a parameter out of its range (nothing is created then) and for a directory
    /// that holds something else; `Locked` if it is open already; `Corrupt`, `Format`, `Io`,
    /// `NoSpace`, `NoMemory`.
    pub fn new(
        memtable_capacity_bytes: usize,
        base_dir: impl AsRef<Path>,
        compaction_interval_secs: Option<u64>,
        use_bloom_filters: bool,
        false_positive_rate: f64,
    ) -> Result<Self> {
        let capacity_bytes = check_capacity(memtable_capacity_bytes)?;
        if compaction_interval_secs == Some(0) {
            return Err(Error::invalid("compaction_interval_secs is 0; it must be at least 1"));
        }
        let filter_bits_x10 =
            if use_bloom_filters { filter_rate::bits_x10(false_positive_rate)? } else { 0 };
        let generation = fork::generation();
        let os: Arc<dyn Os> = Arc::new(RealOs::new());
        let budget = (BUDGET_MEMTABLES * capacity_bytes).max(BUDGET_BYTES_MIN);
        let env_options = EnvOptions { memory_budget_bytes: budget, ..EnvOptions::default() };
        let env = Env::create(env_options, Arc::new(PosixVfs), Arc::clone(&os))?;
        let options = OpenOptions { write_buffer_bytes: capacity_bytes, ..OpenOptions::default() };
        let db = Db::open(&env, base_dir.as_ref(), options, None)?;
        // Without a hash index, which would answer for absent keys in the filter's place.
        let tables =
            KeyspaceOptions { filter_bits_x10, hash_index: false, ..KeyspaceOptions::default() };
        db.keyspace_open(KEYSPACE_NAME, Some(&tables))?;
        let ticker = match compaction_interval_secs {
            None => None,
            Some(secs) => Some(Ticker::start(Arc::clone(&db), &os, secs)?),
        };
        let leases = Leases::new(&db);
        Ok(Self { parts: Some(Parts { db, leases, ticker }), generation })
    }

    /// Gives `key` the value `value`, in place of the one that it may have.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let index = lsmer::LsmIndex::new(1 << 20, temporary.path(), None, true, 0.01).unwrap();
    /// index.insert("k".to_owned(), vec![1]).unwrap();
    /// index.insert("k".to_owned(), vec![2]).unwrap();
    /// assert_eq!(index.get("k").unwrap(), Some(vec![2]));
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a key above 65,535 bytes or a value above 1 GiB, `NoMemory` for a value that
    /// does not fit the memory in use; `NoSpace`, `Io`. A failed insert has no effect, unless the
    /// error is latched: then nothing is written until the index is opened again, and this entry
    /// is whole or absent after that.
    #[allow(clippy::needless_pass_by_value, reason = "the signature says who owns the entry")]
    pub fn insert(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.db()?.put(KEYSPACE, key.as_bytes(), &value, &WriteOptions::default()).map(drop)
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// `Corrupt` or `Io` when a table cannot be read: an absent key is never an error.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let found = self.db()?.get(KEYSPACE, key.as_bytes(), &ReadOptions::default())?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// Takes the value of `key` away. Nothing happens if it has none.
    ///
    /// # Errors
    /// As [`LsmIndex::insert`].
    pub fn remove(&self, key: &str) -> Result<()> {
        self.db()?.delete(KEYSPACE, key.as_bytes(), &WriteOptions::default()).map(drop)
    }

    /// The entries whose keys lie in `keys`, in order of their bytes, as they are at this moment:
    /// what is written later is not seen. Bounds that leave no room give nothing.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let index = lsmer::LsmIndex::new(1 << 20, temporary.path(), None, true, 0.01).unwrap();
    /// for key in ["a", "b", "c", "d"] {
    ///     index.insert(key.to_owned(), key.as_bytes().to_vec()).unwrap();
    /// }
    /// let middle = index.range("b".to_owned().."d".to_owned()).unwrap();
    /// assert_eq!(middle.map(|(key, _)| key).collect::<Vec<_>>(), ["b", "c"]);
    /// assert_eq!(index.range(..).unwrap().count(), 4);
    /// ```
    ///
    /// # Errors
    /// `Corrupt` or `Io` when a table cannot be opened.
    ///
    /// # Panics
    /// The iterator panics when an entry cannot be read, so that a scan that was cut short is never
    /// taken for a whole one. [`LsmIndex::try_range`] gives the error instead.
    pub fn range(&self, keys: impl RangeBounds<String>) -> Result<Range<'_>> {
        self.try_range(keys).map(Range::new)
    }

    /// Like [`LsmIndex::range`], but an entry that cannot be read is an item: the last one.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let index = lsmer::LsmIndex::new(1 << 20, temporary.path(), None, true, 0.01).unwrap();
    /// # index.insert("a".to_owned(), vec![1]).unwrap();
    /// let entries: lsmer::Result<Vec<_>> = index.try_range(..)?.collect();
    /// assert_eq!(entries?, [("a".to_owned(), vec![1])]);
    /// # lsmer::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// `Corrupt` or `Io` when a table cannot be opened. The items' errors are the same kinds, and
    /// `Invalid` for a key that is not UTF-8, as only the C interface can have written.
    pub fn try_range(&self, keys: impl RangeBounds<String>) -> Result<TryRange<'_>> {
        TryRange::open(&self.parts()?.leases, keys.start_bound(), keys.end_bound())
    }

    /// Moves everything written so far into tables, and returns when it is there, durable.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: nothing is lost then, and a later flush tries again.
    pub fn flush(&self) -> Result<()> {
        self.db()?.flush()
    }

    /// Makes everything written so far survive the loss of power.
    ///
    /// # Errors
    /// `Io`, `NoSpace`. A failure is final: nothing is written until the index is opened again.
    pub fn sync(&self) -> Result<()> {
        self.db()?.sync(Lsn(0)).map(drop)
    }

    /// Moves everything written so far to tables and merges them into one sorted run.
    ///
    /// # Errors
    /// As [`LsmIndex::flush`].
    pub fn compact(&self) -> Result<()> {
        self.db()?.compact(KEYSPACE, None, None, 0)
    }

    /// One of the engine's numbers, such as `table_bytes`, `flushes` or `cache_misses`.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let index = lsmer::LsmIndex::new(1 << 20, temporary.path(), None, true, 0.01).unwrap();
    /// index.insert("a".to_owned(), vec![1]).unwrap();
    /// assert_eq!(index.stat("writes").unwrap(), 1);
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a name that there is not.
    pub fn stat(&self, name: &str) -> Result<u64> {
        self.db()?.stat(name)
    }

    /// Closes the index, as dropping it does, and tells the outcome.
    ///
    /// # Errors
    /// Why the end could not be made durable. The index is closed all the same, and opening it
    /// again recovers what was written.
    pub fn close(mut self) -> Result<()> {
        self.end()
    }

    fn db(&self) -> Result<&Arc<Db>> {
        self.parts().map(|parts| &parts.db)
    }

    fn parts(&self) -> Result<&Parts> {
        if fork::generation() != self.generation {
            return Err(Error::new(ErrorKind::Forked, "the index was opened before a fork"));
        }
        self.parts.as_ref().ok_or_else(Error::closed)
    }

    fn end(&mut self) -> Result<()> {
        let Some(parts) = self.parts.take() else { return Ok(()) };
        if fork::generation() != self.generation {
            // The parent's threads do not run here, and its arenas are not mapped: leave all of it.
            std::mem::forget(parts);
            return Err(Error::new(ErrorKind::Forked, "the index was opened before a fork"));
        }
        let Parts { db, ticker, .. } = parts;
        if let Some(ticker) = &ticker {
            ticker.stop();
        }
        // The database first: it calls off a compaction that the ticker runs.
        let outcome = db.close();
        if let Some(ticker) = ticker {
            ticker.join();
        }
        outcome
    }
}

impl Drop for LsmIndex {
    fn drop(&mut self) {
        // Who wants to know the outcome calls `close`.
        let _ = self.end();
    }
}

impl fmt::Debug for LsmIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LsmIndex").finish_non_exhaustive()
    }
}

fn check_capacity(bytes: usize) -> Result<u64> {
    let asked = bytes as u64;
    if asked == 0 || asked > WRITE_BUFFER_BYTES_MAX {
        return Err(Error::invalid(format!(
            "memtable_capacity_bytes is {asked}; it must be 1 to {WRITE_BUFFER_BYTES_MAX}"
        )));
    }
    Ok(asked.next_multiple_of(WRITE_BUFFER_BYTES_MIN))
}
