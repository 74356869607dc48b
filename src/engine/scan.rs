//! Scans: a cursor over everything that one moment shows, forward and backward, within bounds.
//!
//! An iterator holds counted references to what it reads, no pin and no registration: what its
//! moment needs is in the sources it captured. It belongs to one thread at a time.

use std::sync::Arc;

use super::db::Db;
use super::lease::Lease;
use super::read::ReadOptions;
use super::read_debt::WAKE_EVERY;
use super::snapshot::Snapshot;
use super::spare::Body;
use crate::base::{Error, ErrorKind, KeyspaceId, Lsn, Packed, Result};
use crate::mem::epoch;
use crate::merge::VisibleCursor;
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
    db: Lease,
    keyspace: KeyspaceId,
    keys_only: bool,
    /// Seeks that the database's counters do not know of.
    seeks: u32,
    /// There until it is dropped.
    body: Option<Box<Body>>,
    /// Kept so that droppers respect the moment while tables are opened late.
    _snapshot: Option<Arc<Snapshot>>,
}

impl Db {
    /// What a reader with these options reads now, if `left` is of the current version; it has
    /// cursors over memory then. Else they are added to `memory`, and the version is returned.
    ///
    /// # Errors
    /// `Busy` where a freeze passed the position before its lists were captured.
    fn capture(
        &self,
        keyspace: KeyspaceId,
        options: &ReadOptions,
        left: &mut Option<Box<Body>>,
        memory: &mut Vec<AnyCursor>,
    ) -> Result<(Option<Arc<Version>>, Lsn)> {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        let mut at = self.position(options.snapshot.as_deref())?;
        // What is above the end of the captured generations is not captured.
        if let Some(end) = state.active.memtable.sealed_at() {
            at = at.min(end);
        }
        if let Some(left) = left.as_mut().filter(|left| left.is_of(&state.version, keyspace)) {
            left.capture(state, at)?;
            return Ok((None, at));
        }
        if !state.active.memtable.is_void(at) {
            memory.push(AnyCursor::Memory(state.active.memtable.cursor(keyspace, at)?));
        }
        for sealed in &state.sealed {
            memory.push(AnyCursor::Memory(sealed.cursor(keyspace, at)?));
        }
        Ok((Some(Arc::clone(&state.version)), at))
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        body.let_go();
        let (unneeded, late) = {
            let guard = epoch::pin();
            let version = &self.db.state.load(&guard).version;
            let unneeded = self.db.spare.leave(body, version);
            // Whoever installs changes the state first and takes what was left afterwards. If that was
            // before ours was left, we see his state now.
            let is_late = !Arc::ptr_eq(version, &self.db.state.load(&guard).version);
            (unneeded, is_late.then(|| self.db.spare.take()))
        };
        drop((unneeded, late));
        if self.db.check_open().is_err() {
            // A close that ran meanwhile has cleared it before.
            self.db.spare.clear();
        }
    }
}

impl Iter {
    /// An iterator over [`lo`, `hi`) of a keyspace; none is no bound. It is unpositioned.
    pub(crate) fn open(
        db: &Lease,
        keyspace: KeyspaceId,
        options: &ReadOptions,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> Result<Self> {
        db.check_open()?;
        db.keyspaces.check(keyspace)?;
        let mut left = if hi.is_none() { db.spare.take() } else { None };
        let mut memory = Vec::new();
        let (version, at) = loop {
            match db.capture(keyspace, options, &mut left, &mut memory) {
                // Take a newer position.
                Err(error) if error.kind() == ErrorKind::Busy && options.snapshot.is_none() => {
                    memory.clear();
                    if let Some(left) = &mut left {
                        left.let_go_of_memory();
                    }
                }
                captured => break captured?,
            }
        };
        let mut body = match (left, version) {
            (Some(left), None) => left,
            (None, None) => return Err(Error::new(ErrorKind::Internal, "nothing was captured")),
            (_, Some(version)) => {
                let mut body = Body::open(version, keyspace, lo, hi)?;
                body.add(memory);
                body
            }
        };
        body.cursor.renew(at, db.env.os.unix_ms(), lo);
        if db.counters.iterators.add(1) % WAKE_EVERY == 0 {
            db.env.wake_workers();
        }
        let snapshot = options.snapshot.clone();
        let (db, keys_only, body) = (Arc::clone(db), options.keys_only, Some(body));
        Ok(Self { db, keyspace, keys_only, seeks: 0, body, _snapshot: snapshot })
    }

    /// The database.
    #[inline]
    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// What it walks with, while the database is open.
    #[inline]
    fn cursor(&mut self) -> Result<&mut VisibleCursor<AnyCursor>> {
        self.db.check_children()?;
        self.db.keyspaces.check(self.keyspace)?;
        match &mut self.body {
            Some(body) => Ok(&mut body.cursor),
            None => Err(Error::closed()),
        }
    }

    /// Moves to where `how` and `key` say. Returns whether there is an entry.
    pub(crate) fn seek(&mut self, how: SeekHow, key: &[u8]) -> Result<bool> {
        self.seeks += 1;
        if self.seeks == RESEEKS {
            self.db.counters.reseeks.add(u64::from(RESEEKS));
            self.seeks = 0;
        }
        let cursor = self.cursor()?;
        let found = match how {
            SeekHow::First => cursor.seek_first(),
            SeekHow::Last => cursor.seek_last(),
            SeekHow::Ge => cursor.seek_ge(key),
            SeekHow::Gt => cursor.seek_gt(key),
            SeekHow::Le => cursor.seek_le(key),
            SeekHow::Lt => cursor.seek_lt(key),
        }?;
        self.arrive(found)
    }

    /// After a move: whether there is an entry, whose value, if it is wanted, is what was written.
    #[inline]
    fn arrive(&mut self, found: bool) -> Result<bool> {
        match &mut self.body {
            Some(body) if found && !self.keys_only => body.cursor.check_value(),
            _ => Ok(found),
        }
    }

    /// Moves one entry on; from nowhere, to the first. Returns whether there is an entry.
    pub(crate) fn next(&mut self) -> Result<bool> {
        let found = self.cursor()?.next()?;
        self.arrive(found)
    }

    /// [`Self::next`] where the short way is known not to be had.
    pub(crate) fn next_in_general(&mut self) -> Result<bool> {
        let found = self.cursor()?.next_in_general()?;
        self.arrive(found)
    }

    /// The short way of [`Self::next`], which is the common one; false if it is not to be had, and
    /// nothing has happened. It never leads to an entry in memory, so values need no look.
    #[inline]
    pub(crate) fn next_plain(&mut self) -> Result<bool> {
        Ok(self.cursor()?.next_plain())
    }

    /// Packs the next entries and moves to the last of them, as far as that is easy; a scan of keys
    /// packs none. Returns whether it has moved on to an entry that it did not pack, or to the end.
    pub(crate) fn pack(&mut self, into: &mut Packed<'_>) -> Result<bool> {
        let keys_only = self.keys_only;
        let cursor = self.cursor()?;
        if keys_only || !cursor.pack(into)? {
            return Ok(false);
        }
        let found = self.is_positioned();
        self.arrive(found)?;
        Ok(true)
    }

    /// Whether it stands on an entry.
    pub(crate) fn is_positioned(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.cursor.is_positioned())
    }

    /// Moves one entry back; from nowhere, to the last. Returns whether there is an entry.
    pub(crate) fn prev(&mut self) -> Result<bool> {
        let found = self.cursor()?.prev()?;
        self.arrive(found)
    }

    /// The key here; empty where there is no entry.
    pub(crate) fn key(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| body.cursor.key())
    }

    /// The value here; empty where there is no entry, and in a scan of keys.
    pub(crate) fn value(&self) -> &[u8] {
        let body = self.body.as_ref().filter(|_| !self.keys_only);
        body.map_or(&[], |body| body.cursor.value())
    }

    /// Key and value here; empty where there is no entry, and the value in a scan of keys.
    #[inline]
    pub(crate) fn entry(&self) -> (&[u8], &[u8]) {
        let entry = self.body.as_ref().and_then(|body| body.cursor.entry());
        let (key, value) = entry.unwrap_or_default();
        (key, if self.keys_only { &[] } else { value })
    }
}
