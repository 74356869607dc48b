//! Scans: a cursor over everything that one moment shows, forward and backward, within bounds.
//!
//! An iterator holds counted references to what it reads, no pin and no registration: what its
//! moment needs is in the sources it captured. It belongs to one thread at a time.

use std::sync::Arc;

use super::db::Db;
use super::read::ReadOptions;
use super::read_debt::WAKE_EVERY;
use super::snapshot::Snapshot;
use super::spare::Sources;
use crate::base::{ErrorKind, KeyspaceId, Lsn, Packed, Result};
use crate::mem::epoch;
use crate::merge::{MergeCursor, VisibleCursor};
use crate::version::{AnyCursor, Version};

/// Where a seek goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SeekHow {
    /// The first entry in bounds.
    First,
    /// The last entry in bounds.
    Last,
    /// The first entry at or after the key.
    Ge,
    /// The first entry after the key.
    Gt,
    /// The last entry at or before the key.
    Le,
    /// The last entry before the key.
    Lt,
}

/// Seeks that an iterator counts together.
pub(super) const RESEEKS: u32 = 64;

/// An ordered walk over one keyspace at one moment.
pub(crate) struct Iter {
    db: Arc<Db>,
    keyspace: KeyspaceId,
    cursor: VisibleCursor<AnyCursor>,
    keys_only: bool,
    /// Seeks that the database's counters do not know of.
    seeks: u32,
    /// What the cursors over tables go back to.
    sources: Option<Box<Sources>>,
    /// Kept so that droppers respect the moment while tables are opened late.
    _snapshot: Option<Arc<Snapshot>>,
}

/// What an iterator reads.
struct Captured {
    memory: Vec<AnyCursor>,
    /// Cursors over tables that were left, or the version to open them in.
    tables: std::result::Result<Box<Sources>, Arc<Version>>,
    at: Lsn,
}

impl Db {
    /// An iterator over [`lo`, `hi`) of a keyspace; none is no bound. It is unpositioned.
    pub(crate) fn iter(
        self: &Arc<Self>,
        keyspace: KeyspaceId,
        options: &ReadOptions,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> Result<Iter> {
        self.check_open()?;
        self.keyspaces.check(keyspace)?;
        let mut left = if hi.is_none() { self.spare.take() } else { None };
        let Captured { mut memory, tables, at } = loop {
            match self.capture(keyspace, options, &mut left) {
                // A freeze passed the position before its lists were captured: take a newer one.
                Err(error) if error.kind() == ErrorKind::Busy && options.snapshot.is_none() => {}
                captured => break captured?,
            }
        };
        let (sources, merge) = match tables {
            Err(version) if hi.is_some() => {
                version.add_cursors(keyspace, lo, hi, &mut memory)?;
                (None, MergeCursor::new(memory))
            }
            tables => {
                let mut sources = match tables {
                    Ok(left) => left,
                    Err(version) => Sources::open(version, keyspace)?,
                };
                let merge = sources.lend(memory);
                (Some(sources), merge)
            }
        };
        let lo = lo.map(<[u8]>::to_vec);
        let hi = hi.map(<[u8]>::to_vec);
        let now_ms = self.env.os.unix_ms();
        if self.counters.iterators.add(1) % WAKE_EVERY == 0 {
            self.env.wake_workers();
        }
        Ok(Iter {
            db: Arc::clone(self),
            keyspace,
            cursor: VisibleCursor::new(merge, at, now_ms, lo, hi),
            keys_only: options.keys_only,
            seeks: 0,
            sources,
            _snapshot: options.snapshot.clone(),
        })
    }
}

impl Db {
    /// What a reader with these options reads now. Cursors are taken out of `left` if they
    /// serve.
    fn capture(
        &self,
        keyspace: KeyspaceId,
        options: &ReadOptions,
        left: &mut Option<Box<Sources>>,
    ) -> Result<Captured> {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        let mut at = self.position(options.snapshot.as_deref())?;
        // What is above the end of the captured generations is not captured.
        if let Some(end) = state.active.memtable.sealed_at() {
            at = at.min(end);
        }
        let mut memory = Vec::new();
        if !state.active.memtable.is_void(at) {
            memory.push(AnyCursor::Memory(state.active.memtable.cursor(keyspace, at)?));
        }
        for sealed in &state.sealed {
            memory.push(AnyCursor::Memory(sealed.cursor(keyspace, at)?));
        }
        let left = left.take_if(|left| left.are_of(&state.version, keyspace));
        let tables = left.ok_or_else(|| Arc::clone(&state.version));
        Ok(Captured { memory, tables, at })
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        let Some(mut sources) = self.sources.take() else { return };
        sources.take_back(self.cursor.take_inner());
        let unneeded = {
            let guard = epoch::pin();
            self.db.spare.leave(sources, &self.db.state.load(&guard).version)
        };
        drop(unneeded);
    }
}

impl Iter {
    /// Moves to where `how` and `key` say. Returns whether there is an entry.
    pub(crate) fn seek(&mut self, how: SeekHow, key: &[u8]) -> Result<bool> {
        self.check()?;
        self.seeks += 1;
        if self.seeks == RESEEKS {
            self.db.counters.reseeks.add(u64::from(RESEEKS));
            self.seeks = 0;
        }
        match how {
            SeekHow::First => self.cursor.seek_first(),
            SeekHow::Last => self.cursor.seek_last(),
            SeekHow::Ge => self.cursor.seek_ge(key),
            SeekHow::Gt => self.cursor.seek_gt(key),
            SeekHow::Le => self.cursor.seek_le(key),
            SeekHow::Lt => self.cursor.seek_lt(key),
        }
    }

    /// Moves one entry on; from nowhere, to the first. Returns whether there is an entry.
    pub(crate) fn next(&mut self) -> Result<bool> {
        self.check()?;
        self.cursor.next()
    }

    /// [`Self::next`] where the short way is known not to be had.
    pub(crate) fn next_in_general(&mut self) -> Result<bool> {
        self.check()?;
        self.cursor.next_in_general()
    }

    /// The short way of [`Self::next`], which is the common one; false if it is not to be had, and
    /// nothing has happened.
    #[inline]
    pub(crate) fn next_plain(&mut self) -> Result<bool> {
        self.check()?;
        Ok(self.cursor.next_plain())
    }

    /// Packs the next entries and moves to the last of them, as far as that is easy; a scan of keys
    /// packs none. Returns whether it has moved on to an entry that it did not pack, or to the end.
    pub(crate) fn pack(&mut self, into: &mut Packed<'_>) -> Result<bool> {
        self.check()?;
        if self.keys_only { Ok(false) } else { self.cursor.pack(into) }
    }

    /// Whether it stands on an entry.
    pub(crate) fn is_positioned(&self) -> bool {
        self.cursor.is_positioned()
    }

    /// Moves one entry back; from nowhere, to the last. Returns whether there is an entry.
    pub(crate) fn prev(&mut self) -> Result<bool> {
        self.check()?;
        self.cursor.prev()
    }

    /// The key here; empty where there is no entry.
    pub(crate) fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    /// The value here; empty where there is no entry, and in a scan of keys.
    pub(crate) fn value(&self) -> &[u8] {
        if self.keys_only { &[] } else { self.cursor.value() }
    }

    /// Key and value here; empty where there is no entry, and the value in a scan of keys.
    #[inline]
    pub(crate) fn entry(&self) -> (&[u8], &[u8]) {
        let (key, value) = self.cursor.entry().unwrap_or_default();
        (key, if self.keys_only { &[] } else { value })
    }

    #[inline]
    fn check(&self) -> Result<()> {
        self.db.check_open()?;
        self.db.keyspaces.check(self.keyspace)
    }
}
