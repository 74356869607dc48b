//! The point index: a keyed hash table over the entries of the arena.
//!
//! Who gives an entry to [`PointIndex::link`] has written it whole, and nobody writes it again
//! (M4); so what a chain leads to can be read. Lengths are checked once, when an entry is linked.

#![allow(unsafe_code, reason = "buckets are words of a region; entries are reached by address")]

mod chain;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::base::coding::u32_of;
use crate::base::{KeyspaceId, Result};
use crate::mem::{Pooled, Recycler, Use, prefetch, prefetch_to_write};

use super::arena::Arena;
use super::layout::{self, View};

#[cfg(all(test, loom))]
pub(super) use chain::Word;
pub(super) use chain::{Found, find, link};

/// The number of chain steps after which a lookup gives up and the ordered index is asked: another
/// key's many versions must not make this one slow.
pub(super) const WALK_MAX: usize = 16;

/// The buckets of one generation.
#[derive(Debug)]
pub(super) struct PointIndex {
    region: Pooled,
    mask: usize,
    seed: u64,
}

#[allow(clippy::cast_ptr_alignment, reason = "regions begin at a page")]
impl PointIndex {
    /// At least `count` buckets (rounded up to a power of two), all empty. `seed` is secret, so
    /// that nobody can choose keys that meet in one bucket.
    ///
    /// # Errors
    /// `NoMemory` when the memory cannot be had.
    pub(super) fn new(count: usize, seed: u64, memory: &Arc<Recycler>) -> Result<Self> {
        let count = count.max(64).next_power_of_two();
        let region = memory.region(Use::Index, count * size_of::<u64>())?;
        Ok(Self { region, mask: count - 1, seed })
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> usize {
        self.mask + 1
    }

    /// Touches all pages.
    pub(super) fn populate(&self) {
        self.region.populate(0, self.region.len());
    }

    /// Where a key belongs: bucket and filter bits come from this.
    #[inline]
    pub(super) fn hash(&self, keyspace: KeyspaceId, key: &[u8]) -> u64 {
        /// Spreads keyspace ids over the seed (2^64 divided by the golden ratio).
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let seed = self.seed ^ u64::from(keyspace.0).wrapping_mul(SPREAD);
        xxhash_rust::xxh3::xxh3_64_with_seed(key, seed)
    }

    /// The bucket of a hash.
    #[inline]
    fn bucket(&self, hash: u64) -> &AtomicU64 {
        let at = self.index(hash);
        // SAFETY: masked, so inside the region; zeroed at first, aligned, used atomically only.
        unsafe { AtomicU64::from_ptr(self.region.as_ptr().cast::<u64>().add(at)) }
    }

    /// Begins to bring a bucket into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.region.as_ptr().cast::<u64>().wrapping_add(self.index(hash)));
    }

    /// The same for one that will be linked into.
    #[inline]
    pub(super) fn prefetch_to_write(&self, hash: u64) {
        prefetch_to_write(self.region.as_ptr().cast::<u64>().wrapping_add(self.index(hash)));
    }

    /// Links the entry at `place`, numbered `number` less the base, into the chain of its key.
    #[inline]
    pub(super) fn link(&self, arena: &Arena, place: usize, number: u32) {
        let (op, shape) = arena.written(place);
        // SAFETY: `written` checked that the key lies inside the arena; it is not written again
        // (M4).
        let key = unsafe { std::slice::from_raw_parts(op.add(shape.key_at()), shape.key_bytes) };
        let hash = self.hash(shape.keyspace, key);
        let unit = u32_of(place / 8);
        link(self.bucket(hash), |unit| arena.link_word(unit), unit, number, tag(hash));
    }

    /// Looks for the newest entry of `key` numbered below `below` less the base.
    #[inline]
    pub(super) fn find<'a>(
        &self,
        arena: &'a Arena,
        hash: u64,
        key: (KeyspaceId, &[u8]),
        below: u32,
        steps_max: usize,
    ) -> Found<(View<'a>, u32)> {
        let op = |unit| arena.operation(unit);
        // SAFETY: what is linked was whole and inside the arena, and is not written again (M4).
        let is_match = |unit| unsafe { layout::is_about(op(unit), key.0, key.1) };
        let word_at = |unit| arena.link_word(unit);
        find(self.bucket(hash), word_at, tag(hash), below, steps_max, is_match)
            // SAFETY: as above; the bytes live as long as the arena.
            .map(|(unit, number)| (unsafe { layout::view(op(unit)) }, number))
    }

    /// Begins to bring the newest entry of a bucket into the cache, unless the bucket says that
    /// the key is not here.
    #[inline]
    pub(super) fn prefetch_entry(&self, arena: &Arena, hash: u64) {
        if let Some(unit) = chain::head(self.bucket(hash), tag(hash)) {
            prefetch(arena.operation(unit));
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "masked: the low bits are what is wanted")]
    #[inline]
    fn index(&self, hash: u64) -> usize {
        hash as usize & self.mask
    }
}

/// Two of the 32 filter bits, from the top of the hash, which buckets do not use.
#[inline]
fn tag(hash: u64) -> u32 {
    1 << (hash >> 59) | 1 << (hash >> 54 & 31)
}
