//! Point reads: point index of each generation, newest first; then tables.
//!
//! The read state is loaded first and the position second (invariant S3). What is in memory is
//! found under an epoch guard, without counting or locking anything. Nothing blocks under a guard:
//! a read that must go to the disk takes a counted reference to the version first.
//!
//! A read takes steps that each wait for memory: bucket, entry, lines of the tables. They are
//! begun together, so that the waits overlap; [`super::multi_get`] does so for many keys.

use std::ops::Deref;
use std::sync::Arc;

use super::db::{Db, ReadState};
use super::generation::{Generation, Sealed};
use super::snapshot::Snapshot;
use crate::base::mutant::{dawdle, mutant};
use crate::base::{Error, KeyspaceId, Kind, Lsn, Result};
use crate::mem::epoch;
use crate::memtable::MemFound;
use crate::sstable::{BlockSlice, Glance, Seen};
use crate::version::{Plan, Version};

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

/// Where a caller wants a value.
struct Room<'a>(&'a mut [u8]);

impl Room<'_> {
    /// Copies the value if it fits; returns its length.
    #[inline]
    fn take(&mut self, value: &[u8]) -> usize {
        if let Some(room) = self.0.get_mut(..value.len()) {
            room.copy_from_slice(value);
        }
        value.len()
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
        let copy = |(): &mut (), bytes: &[u8]| Pinned::Owned(bytes.to_vec());
        let hold = |(): &mut (), seen: &Seen<'_>| seen.hold().map(Pinned::Block);
        self.read(keyspace, key, options, (), (copy, hold, |(), slice| Pinned::Block(slice)))
    }

    /// Copies the value of `key` into `buf` as far as it fits; returns its full length.
    pub(crate) fn get_into(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &ReadOptions,
        buf: &mut [u8],
    ) -> Result<Option<usize>> {
        let copy = |room: &mut Room<'_>, bytes: &[u8]| room.take(bytes);
        let from_cache = |room: &mut Room<'_>, seen: &Seen<'_>| Some(room.take(seen.value));
        let from_block = |mut room: Room<'_>, slice: BlockSlice| room.take(&slice);
        self.read(keyspace, key, options, Room(buf), (copy, from_cache, from_block))
    }

    /// Reads a key; what becomes of the value depends on where it is: in a memtable, in a cached
    /// block (none: it cannot be had there after all), or in a block of our own.
    #[inline]
    fn read<S, T>(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &ReadOptions,
        mut sink: S,
        (from_memory, from_cache, from_block): (
            impl FnOnce(&mut S, &[u8]) -> T,
            impl FnOnce(&mut S, &Seen<'_>) -> Option<T>,
            impl FnOnce(S, BlockSlice) -> T,
        ),
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
            let active = &state.active.memtable;
            let hash = (!active.is_void(at)).then(|| active.hash(keyspace, key));
            hash.inspect(|hash| active.prefetch_hash(*hash));
            let mut plan = Plan::idle(key);
            state.version.plan(&mut plan, keyspace, key, at);
            let has_memory = hash.is_some() || !state.sealed.is_empty();
            let in_memory = || in_memory(state, hash, keyspace, key, at);
            if let Some(found) = if has_memory { in_memory() } else { None } {
                let value = self.is_value(found.kind, found.expiry_ms)?;
                found_sound(&found, state, (keyspace, key, at))?;
                return Ok(value.then(|| from_memory(&mut sink, found.value)));
            }
            match plan.glance(&guard) {
                Glance::Absent => return Ok(None),
                Glance::Entry(seen) if !self.is_value(seen.kind, seen.expiry_ms)? => {
                    return Ok(None);
                }
                Glance::Entry(seen) => {
                    if let Some(value) = from_cache(&mut sink, &seen) {
                        return Ok(Some(value));
                    }
                }
                Glance::Unclear => {}
            }
            (Arc::clone(&state.version), at)
        };
        let found = self.read_tables(&version, keyspace, key, at)?;
        Ok(found.map(|slice| from_block(sink, slice)))
    }

    /// Reads a key from tables, from the disk if need be. The caller holds no guard.
    pub(super) fn read_tables(
        &self,
        version: &Version,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Lsn,
    ) -> Result<Option<BlockSlice>> {
        let Some(found) = version.get(keyspace, key, at)? else { return Ok(None) };
        let value = self.is_value(found.kind, found.expiry_ms)?;
        Ok(value.then_some(found.value))
    }

    /// Whether an entry gives its key a value now.
    #[inline]
    pub(super) fn is_value(&self, kind: Kind, expiry_ms: u64) -> Result<bool> {
        if kind == Kind::Put && expiry_ms == 0 {
            Ok(true)
        } else {
            self.is_rare_value(kind, expiry_ms)
        }
    }

    #[cold]
    fn is_rare_value(&self, kind: Kind, expiry_ms: u64) -> Result<bool> {
        match kind {
            Kind::Put => Ok(expiry_ms > self.env.os.unix_ms()),
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

/// Whether `found`, which is what [`in_memory`] finds there, has the value that was written.
///
/// # Errors
/// `Corrupt` if the log that has the value does not hold it any more.
#[inline]
pub(super) fn found_sound(
    found: &MemFound<'_>,
    state: &ReadState,
    wanted: (KeyspaceId, &[u8], Lsn),
) -> Result<()> {
    if found.is_sound() { Ok(()) } else { value_lost(state, wanted) }
}

#[cold]
fn value_lost(state: &ReadState, (keyspace, key, at): (KeyspaceId, &[u8], Lsn)) -> Result<()> {
    let why = |generation: &Generation| generation.memtable.why_unsound(keyspace, key, at);
    let sealed = state.sealed.iter().filter_map(|sealed| match sealed {
        Sealed::Generation(generation) => Some(&**generation),
        Sealed::Replayed(_) => None,
    });
    let why = std::iter::once(&*state.active).chain(sealed).find_map(why);
    // None: meanwhile the page came back as it was.
    why.map_or(Ok(()), Err)
}

/// The newest entry of a key in memory. `hash` is the one of the active memtable; none if there is
/// nothing in it.
#[inline]
pub(super) fn in_memory<'a>(
    state: &'a ReadState,
    hash: Option<u64>,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Lsn,
) -> Option<MemFound<'a>> {
    if let Some(hash) = hash {
        let found = state.active.memtable.get_hashed(hash, keyspace, key, at);
        if found.is_some() {
            return found;
        }
    }
    state.sealed.iter().find_map(|sealed| in_sealed(sealed, keyspace, key, at))
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
