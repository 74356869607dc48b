//! Reading a memtable: by key through the point index, by range through the ordered index.
//!
//! Readers take no lock. A position covers published entries only, so all that it covers is linked
//! (P2) and has marks.

use std::sync::Arc;

use crate::base::{Error, KeyspaceId, Lsn, Result};

use super::ordered::keyspaces_of;
use super::point::{Found, WALK_MAX};
use super::{MemCursor, MemFound, Memtable};

impl Memtable {
    /// Whether a reader at `below` finds nothing here, as far as that is known without a look at
    /// the indexes.
    #[inline]
    pub(crate) fn is_void(&self, below: Lsn) -> bool {
        // Nothing is visible before the first record is whole.
        self.base().is_none_or(|base| below <= base) || self.arena.mark(0) == 0
    }

    /// Where a key belongs in the point index, for the calls that take a hash. The same in all
    /// memtables of one seed.
    #[inline]
    pub(crate) fn hash(&self, keyspace: KeyspaceId, key: &[u8]) -> u64 {
        self.points.hash(keyspace, key)
    }

    /// Begins to bring the bucket of a key into the cache.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, keyspace: KeyspaceId, key: &[u8]) {
        self.prefetch_hash(self.hash(keyspace, key));
    }

    /// The same for a key that will be linked.
    #[inline]
    pub(crate) fn expect_link(&self, keyspace: KeyspaceId, key: &[u8]) {
        self.points.prefetch_to_write(self.hash(keyspace, key));
    }

    /// The same by hash.
    #[inline]
    pub(crate) fn prefetch_hash(&self, hash: u64) {
        self.points.prefetch(hash);
    }

    /// Begins to bring the newest entry of a bucket into the cache, unless the bucket says that
    /// the key is not here. The bucket should be in the cache by now.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        self.points.prefetch_entry(&self.arena, hash);
    }

    /// The newest entry of `key` numbered below `below`.
    #[inline]
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8], below: Lsn) -> Option<MemFound<'_>> {
        self.get_hashed(self.hash(keyspace, key), keyspace, key, below)
    }

    /// The same for a key whose hash is known.
    #[inline]
    pub(crate) fn get_hashed(
        &self,
        hash: u64,
        keyspace: KeyspaceId,
        key: &[u8],
        below: Lsn,
    ) -> Option<MemFound<'_>> {
        match self.find(hash, (keyspace, key), below, WALK_MAX) {
            Found::Entry(found) => Some(found),
            Found::Absent => None,
            Found::TooLong => self.get_ordered(hash, (keyspace, key), below),
        }
    }

    #[inline]
    fn find(
        &self,
        hash: u64,
        key: (KeyspaceId, &[u8]),
        below: Lsn,
        steps_max: usize,
    ) -> Found<MemFound<'_>> {
        let Some(base) = self.base() else { return Found::Absent };
        let below = u32::try_from(below.0.saturating_sub(base.0)).unwrap_or(u32::MAX);
        let found = self.points.find(&self.arena, hash, key, below, steps_max);
        found.map(|(view, number)| MemFound::from((view, base.0 + u64::from(number))))
    }

    /// Why the newest entry of `key` numbered below `below` is not [`MemFound::is_sound`], if it is not.
    pub(crate) fn why_unsound(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        below: Lsn,
    ) -> Option<Error> {
        let base = self.base()?;
        let below = u32::try_from(below.0.saturating_sub(base.0)).unwrap_or(u32::MAX);
        let hash = self.hash(keyspace, key);
        // Chains lose nothing, however long they are.
        match self.points.find(&self.arena, hash, (keyspace, key), below, usize::MAX) {
            Found::Entry((view, _)) if !view.is_sound() => Some(self.value_lost(view.key)),
            _ => None,
        }
    }

    #[cold]
    fn get_ordered(&self, hash: u64, key: (KeyspaceId, &[u8]), below: Lsn) -> Option<MemFound<'_>> {
        let base = self.base()?;
        if let Ok(found) = self.ordered.get(&self.arena, base.0, key, below.0) {
            return found.map(MemFound::from);
        }
        // Overtaken by a freeze, which is rare. Chains lose nothing, however long they are.
        match self.find(hash, key, below, usize::MAX) {
            Found::Entry(found) => Some(found),
            Found::Absent | Found::TooLong => None,
        }
    }

    /// An unpositioned cursor over the entries of a keyspace numbered below `below`, all of which
    /// are published.
    ///
    /// # Errors
    /// `Busy` if a freeze has already dropped entries that a reader at `below` may see, which
    /// happens only to positions that are no registered snapshot: load `visible` again.
    pub(crate) fn cursor(self: &Arc<Self>, keyspace: KeyspaceId, below: Lsn) -> Result<MemCursor> {
        let sources = self.sources(below)?;
        Ok(MemCursor::new(Arc::clone(self) as _, keyspace, below.0, sources))
    }

    /// Makes `cursor` what [`Self::cursor`] would give, if it was over this memtable before; else false.
    ///
    /// # Errors
    /// As for [`Self::cursor`].
    pub(crate) fn renew(
        self: &Arc<Self>,
        cursor: &mut MemCursor,
        keyspace: KeyspaceId,
        below: Lsn,
    ) -> Result<bool> {
        let Some(base) = self.base().filter(|_| cursor.is_of(self)) else { return Ok(false) };
        cursor.renew(keyspace, below.0, |sources| {
            self.ordered.renew(&self.arena, base.0, below.0, sources)
        })?;
        Ok(true)
    }

    /// The keyspaces that have entries numbered below `below`, ascending.
    ///
    /// # Errors
    /// As for [`Memtable::cursor`].
    pub(crate) fn keyspaces(&self, below: Lsn) -> Result<Vec<KeyspaceId>> {
        Ok(keyspaces_of(self.sources(below)?, below))
    }

    fn sources(&self, below: Lsn) -> Result<Vec<super::ordered::Source>> {
        match self.base() {
            // Of one that is sealed few entries, too, are sorted once for all.
            Some(base) => {
                let is_last = self.sealed_at().is_some_and(|end| below >= end);
                self.ordered.sources(&self.arena, base.0, below.0, is_last)
            }
            None => Ok(Vec::new()),
        }
    }
}
