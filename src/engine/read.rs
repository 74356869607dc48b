//! Point reads: point index of each generation, newest first; then tables.
//!
//! The read state is loaded first and the position second (invariant S3). Nothing blocks under a
//! pin: a read that must go to tables takes a counted reference to the version first.

use std::ops::Deref;
use std::sync::Arc;

use super::db::{Db, ReadState};
use super::generation::Sealed;
use super::snapshot::Snapshot;
use crate::base::mutant::{dawdle, mutant};
use crate::base::{Error, KeyspaceId, Kind, Lsn, Result};
use crate::mem::epoch;
use crate::memtable::MemFound;
use crate::sstable::BlockSlice;

/// How something is read.
#[derive(Clone, Default)]
pub(crate) struct ReadOptions {
    /// The moment to read at; none is now.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// Scans yield empty values.
    pub(crate) keys_only: bool,
}

/// A value that stays valid as long as this lives, whatever happens to the database.
pub(crate) enum Pinned {
    /// Copied out of memory.
    Owned(Vec<u8>),
    /// Borrowed from a cached block.
    Block(BlockSlice),
}

impl Deref for Pinned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Block(slice) => slice,
        }
    }
}

impl Db {
    /// The value of `key`, if it has one.
    pub(crate) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Pinned>> {
        self.read(keyspace, key, options, |bytes| Pinned::Owned(bytes.to_vec()), Pinned::Block)
    }

    /// Copies the value of `key` into `buf` as far as it fits; returns its full length.
    pub(crate) fn get_into(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &ReadOptions,
        buf: &mut [u8],
    ) -> Result<Option<usize>> {
        let buf = std::cell::RefCell::new(buf);
        let copy = |bytes: &[u8]| {
            let mut buf = buf.borrow_mut();
            if bytes.len() <= buf.len() {
                buf[..bytes.len()].copy_from_slice(bytes);
            }
            bytes.len()
        };
        self.read(keyspace, key, options, copy, |slice| copy(&slice))
    }

    fn read<T>(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &ReadOptions,
        from_memory: impl FnOnce(&[u8]) -> T,
        from_block: impl FnOnce(BlockSlice) -> T,
    ) -> Result<Option<T>> {
        self.check_open()?;
        self.keyspaces.check(keyspace)?;
        self.counters.gets.add(1);
        let (version, at) = {
            let guard = epoch::pin();
            let is_early = mutant("visible_before_state") && options.snapshot.is_none();
            let early = is_early.then(|| {
                let visible = self.visible();
                dawdle();
                visible
            });
            let state = self.state.load(&guard);
            let at = match early {
                Some(early) => early,
                None => self.position(options.snapshot.as_deref())?,
            };
            if let Some(found) = in_memory(state, keyspace, key, at) {
                let value = self.is_value(found.kind, found.expiry_ms)?;
                return Ok(value.then(|| from_memory(found.value)));
            }
            (Arc::clone(&state.version), at)
        };
        let Some(found) = version.get(keyspace, key, at)? else { return Ok(None) };
        let value = self.is_value(found.kind, found.expiry_ms)?;
        Ok(value.then(|| from_block(found.value)))
    }

    /// Whether an entry gives its key a value now.
    fn is_value(&self, kind: Kind, expiry_ms: u64) -> Result<bool> {
        match kind {
            Kind::Put => Ok(expiry_ms == 0 || expiry_ms > self.env.os.unix_ms()),
            Kind::Delete => Ok(false),
            Kind::RangeDelete | Kind::Merge => {
                Err(Error::unsupported("the entry needs a feature that this version does not have"))
            }
        }
    }

    /// The position to read at. The caller has loaded the read state already (invariant S3).
    pub(super) fn position(&self, snapshot: Option<&Snapshot>) -> Result<Lsn> {
        match snapshot {
            None => Ok(self.visible()),
            Some(snapshot) if snapshot.is_of(self) => Ok(snapshot.seq()),
            Some(_) => Err(Error::invalid("the snapshot is of another database")),
        }
    }
}

fn in_memory<'a>(
    state: &'a ReadState,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Lsn,
) -> Option<MemFound<'a>> {
    let newest = state.active.memtable.get(keyspace, key, at);
    newest.or_else(|| state.sealed.iter().find_map(|sealed| in_sealed(sealed, keyspace, key, at)))
}

fn in_sealed<'a>(
    sealed: &'a Sealed,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Lsn,
) -> Option<MemFound<'a>> {
    match sealed {
        Sealed::Generation(generation) => generation.memtable.get(keyspace, key, at),
        Sealed::Replayed(log) => log.entries.get(keyspace, key, at),
    }
}
