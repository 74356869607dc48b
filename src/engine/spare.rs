//! Cursors over tables that closed iterators leave to later ones.
//!
//! Opening cursors counts references to the version, its runs, tables and sections: a dozen shared
//! lines, some of them met by every thread. So an iterator that closes leaves what it has, if it is
//! of the current version; the next one of the keyspace takes it and adds cursors over memory. What
//! is left pins no block. It does hold its version, so it is dropped when the version is replaced,
//! and once more before tables are looked through for those that nobody needs: an iterator may close
//! while the version changes.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

use crate::base::{KeyspaceId, Result};
use crate::mem::counter;
use crate::merge::MergeCursor;
use crate::version::{AnyCursor, Version};

/// The cursors over all tables of a keyspace in one version.
pub(super) struct Sources {
    version: Arc<Version>,
    keyspace: KeyspaceId,
    /// How many there are.
    tables: usize,
    /// The cursors, while no iterator uses them.
    merge: MergeCursor<AnyCursor>,
}

impl Sources {
    /// New ones.
    pub(super) fn open(version: Arc<Version>, keyspace: KeyspaceId) -> Result<Box<Self>> {
        let mut cursors = Vec::new();
        version.add_cursors(keyspace, None, None, &mut cursors)?;
        let tables = cursors.len();
        Ok(Box::new(Self { version, keyspace, tables, merge: MergeCursor::new(cursors) }))
    }

    /// Whether they are for `keyspace` in `version`.
    pub(super) fn are_of(&self, version: &Arc<Version>, keyspace: KeyspaceId) -> bool {
        Arc::ptr_eq(&self.version, version) && self.keyspace == keyspace
    }

    /// The cursors, and `memory`.
    pub(super) fn lend(&mut self, memory: Vec<AnyCursor>) -> MergeCursor<AnyCursor> {
        let mut merge = std::mem::take(&mut self.merge);
        merge.add(memory);
        merge
    }

    /// Takes back what [`Self::lend`] gave.
    pub(super) fn take_back(&mut self, mut merge: MergeCursor<AnyCursor>) {
        merge.retain_first(self.tables, AnyCursor::let_go);
        self.merge = merge;
    }
}

/// One place for each shard of threads.
#[derive(Default)]
pub(super) struct Spare {
    /// Filled by iterators that close, emptied by those that open and whoever changes the version.
    /// Swapped as a whole (acquire and release): who takes cursors sees them as they were left.
    places: [CachePadded<AtomicCell<Option<Box<Sources>>>>; counter::SHARDS],
}

impl Spare {
    /// What an iterator has left for this thread.
    pub(super) fn take(&self) -> Option<Box<Sources>> {
        self.places[counter::shard()].take()
    }

    /// Leaves cursors, if they are of the current `version`. Returns what nobody needs any more.
    #[must_use]
    pub(super) fn leave(
        &self,
        sources: Box<Sources>,
        version: &Arc<Version>,
    ) -> Option<Box<Sources>> {
        if Arc::ptr_eq(&sources.version, version) {
            self.places[counter::shard()].swap(Some(sources))
        } else {
            Some(sources)
        }
    }

    /// Drops what was left.
    pub(super) fn clear(&self) {
        for place in &self.places {
            drop(place.take());
        }
    }
}
