//! Counts of a database that threads do not share.
//!
//! Whoever holds a database counts itself. Iterators are opened and closed millions of times a second,
//! by all threads at once, and would meet on that count's cache line; so they hold a *lease*, which
//! counts once for all of them, and each counts itself with the lease of its thread's shard.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::db::Db;
use crate::mem::counter;

/// Holds a database. Its count has a cache line of its own.
pub(crate) type Lease = Arc<CachePadded<Arc<Db>>>;

/// A lease for each shard of threads.
pub(crate) struct Leases {
    shards: [Lease; counter::SHARDS],
}

impl Leases {
    /// Leases of `db`, which they hold.
    pub(crate) fn new(db: &Arc<Db>) -> Self {
        Self { shards: std::array::from_fn(|_| lease(db)) }
    }

    /// The one of this thread.
    #[inline]
    pub(crate) fn mine(&self) -> &Lease {
        &self.shards[counter::shard()]
    }

    /// How many iterators hold them now.
    pub(crate) fn held(&self) -> usize {
        self.shards.iter().map(|lease| Arc::strong_count(lease) - 1).sum()
    }
}

/// A lease of its own.
fn lease(db: &Arc<Db>) -> Lease {
    Arc::new(CachePadded::new(Arc::clone(db)))
}

#[cfg(all(test, not(loom)))]
impl Db {
    /// See [`super::Iter::open`].
    pub(crate) fn iter(
        self: &Arc<Self>,
        keyspace: crate::base::KeyspaceId,
        options: &super::ReadOptions,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> crate::base::Result<super::Iter> {
        super::Iter::open(&lease(self), keyspace, options, lo, hi)
    }
}
