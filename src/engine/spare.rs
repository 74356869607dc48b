//! Cursors that closed iterators leave to later ones.
//!
//! Opening cursors over tables counts references to the version, its runs, tables and sections: a
//! dozen shared lines, some of them met by every thread. So an iterator that closes leaves what it is
//! made of, if that is of the current version; the next one of the keyspace takes it, renews its cursors
//! over memory and adds those that it lacks. What is left pins no block. It does hold its version and
//! the generations that were in memory, so it is dropped when the version is replaced, as it is when one
//! of them goes, and once more before tables are looked through for those that nobody needs: an
//! iterator may close while the version changes.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

use super::db::ReadState;
use crate::base::{KeyspaceId, Lsn, Result};
use crate::mem::counter;
use crate::memtable::MemCursor;
use crate::merge::{MergeCursor, VisibleCursor};
use crate::version::{AnyCursor, Version};

/// What an iterator walks with: cursors over a keyspace, first those over tables.
pub(super) struct Body {
    /// None if the cursors over tables are not all that the version has.
    version: Option<Arc<Version>>,
    keyspace: KeyspaceId,
    /// How many cursors there are over tables.
    tables: usize,
    pub(super) cursor: VisibleCursor<AnyCursor>,
}

impl Body {
    /// Over what `version` has of a keyspace in [`lo`, `hi`), at no moment yet.
    pub(super) fn open(
        version: Arc<Version>,
        keyspace: KeyspaceId,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> Result<Box<Self>> {
        // Without an upper bound others will use them.
        let from = lo.filter(|_| hi.is_some());
        let mut cursors = Vec::new();
        version.add_cursors(keyspace, from, hi, &mut cursors)?;
        let tables = cursors.len();
        let version = Some(version).filter(|_| hi.is_none());
        let hi = hi.map(<[u8]>::to_vec);
        let cursor = VisibleCursor::new(MergeCursor::new(cursors), Lsn(0), 0, None, hi);
        Ok(Box::new(Self { version, keyspace, tables, cursor }))
    }

    /// Whether it is for all of `keyspace` in `version`.
    #[inline]
    pub(super) fn is_of(&self, version: &Arc<Version>, keyspace: KeyspaceId) -> bool {
        self.is_in(version) && self.keyspace == keyspace
    }

    #[inline]
    fn is_in(&self, version: &Arc<Version>) -> bool {
        self.version.as_ref().is_some_and(|own| Arc::ptr_eq(own, version))
    }

    /// Its cursors, those over memory behind `tables`.
    fn sources(&mut self) -> &mut Vec<AnyCursor> {
        self.cursor.inner().sources()
    }

    /// Lets go of blocks.
    pub(super) fn let_go(&mut self) {
        self.sources().iter_mut().for_each(AnyCursor::let_go);
    }

    /// Lets go of memory.
    pub(super) fn let_go_of_memory(&mut self) {
        let tables = self.tables;
        self.sources().truncate(tables);
    }

    /// Adds cursors over memory, where it has none.
    pub(super) fn add(&mut self, memory: Vec<AnyCursor>) {
        self.sources().extend(memory);
    }

    /// Makes its cursors over memory those of a reader of `state` at `at`.
    ///
    /// # Errors
    /// As of [`crate::memtable::Memtable::cursor`].
    pub(super) fn capture(&mut self, state: &ReadState, at: Lsn) -> Result<()> {
        let (keyspace, mut next) = (self.keyspace, self.tables);
        let sources = self.sources();
        let mut count = |sources: &mut Vec<AnyCursor>,
                         renew: &dyn Fn(&mut MemCursor) -> Result<bool>,
                         open: &dyn Fn() -> Result<MemCursor>| {
            let is_renewed = match sources.get_mut(next) {
                Some(AnyCursor::Memory(cursor)) => renew(cursor)?,
                _ => false,
            };
            if !is_renewed {
                sources.truncate(next);
                sources.push(AnyCursor::Memory(open()?));
            }
            next += 1;
            Ok(())
        };
        let active = &state.active.memtable;
        if !active.is_void(at) {
            count(sources, &|cursor| active.renew(cursor, keyspace, at), &|| {
                active.cursor(keyspace, at)
            })?;
        }
        for sealed in &state.sealed {
            count(sources, &|cursor| sealed.renew(cursor, keyspace, at), &|| {
                sealed.cursor(keyspace, at)
            })?;
        }
        sources.truncate(next);
        Ok(())
    }
}

/// One place for each shard of threads.
#[derive(Default)]
pub(super) struct Spare {
    /// Filled by iterators that close, emptied by those that open and whoever changes the version.
    /// Swapped as a whole (acquire and release): who takes cursors sees them as they were left.
    places: [CachePadded<AtomicCell<Option<Box<Body>>>>; counter::SHARDS],
}

impl Spare {
    /// What an iterator has left for this thread.
    #[inline]
    pub(super) fn take(&self) -> Option<Box<Body>> {
        self.places[counter::shard()].take()
    }

    /// Leaves cursors, if they are of the current `version`. Returns what nobody needs any more.
    #[must_use]
    #[inline]
    pub(super) fn leave(&self, body: Box<Body>, version: &Arc<Version>) -> Option<Box<Body>> {
        if body.is_in(version) {
            self.places[counter::shard()].swap(Some(body))
        } else {
            Some(body)
        }
    }

    /// Drops what was left.
    pub(super) fn clear(&self) {
        for place in &self.places {
            drop(place.take());
        }
    }
}
