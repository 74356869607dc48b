//! Packing pages: the walk forward of many entries at once.
//!
//! Most often one source has nearly all entries of a range, and a few newer ones, or newer versions,
//! lie in others. So the source that leads keeps the lead while those are packed: a change of the
//! leader and one back would cost more than all else that there is to do for such an entry.

use std::cmp::Ordering;

use super::{MergeCursor, Waiting};
use crate::base::key::{HEAD_BYTES, head_of};
use crate::base::{Cursor, Entry, Kind, Packed, Result};

/// Entries beside the leader, one after the other, that are packed before one of them may lead: it has
/// a walk of its own.
const BESIDE_MAX: usize = 4;

/// Whether every reader at `below` or later sees an entry if it is the newest that he may see.
#[inline]
fn is_plain(entry: &Entry<'_>, below: u64) -> bool {
    entry.kind == Kind::Put && entry.expiry_ms == 0 && entry.number < below
}

impl<C: Cursor> MergeCursor<C> {
    /// Packs the next entries of a walk forward and moves to the last of them, as long as they are puts
    /// without expiry, numbered below `below`, whose keys have heads less than `limit`, and there is
    /// room. Returns whether it has moved on to an entry that it did not pack, or to the end.
    pub(crate) fn pack(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) -> Result<bool> {
        while self.forward {
            if let (Some(leader), limit) = self.alone(limit) {
                let before = into.entries();
                leader.pack_plain(below, limit, into);
                if into.entries() != before {
                    self.rank = None;
                }
            }
            if into.is_complete() {
                break;
            }
            match self.leader.filter(|_| self.keeps) {
                Some(leader) => {
                    let moved = self.pack_beside(leader, (below, limit), into);
                    self.settle(leader, moved)?;
                }
                None => self.next_key()?,
            }
            let Some(entry) = self.entry() else { return Ok(true) };
            // The limit may be a bound's: keys with its head are looked at by whoever knows it.
            if !is_plain(&entry, below) || head_of(entry.key) >= limit {
                return Ok(true);
            }
            self.check_value()?;
            if !into.push(entry.key, entry.value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves the leader to its next key, and packs what others have before that, or newer versions of
    /// it, as far as that is easy. The lead is settled by the caller, and what leads then is not packed.
    fn pack_beside(
        &mut self,
        leader: usize,
        (below, limit): (u64, u128),
        into: &mut Packed<'_>,
    ) -> Result<()> {
        self.pass_waiting(leader)?;
        self.sources[leader].next_key()?;
        for _ in 0..BESIDE_MAX {
            let (Some(&runner), Some(rank)) = (self.heap.first(), self.sources[leader].rank())
            else {
                break;
            };
            let here = Waiting { rank, source: leader };
            // One more must fit: the page does not end with an entry that the cursor has left.
            if self.order(&here, &runner) != Ordering::Greater
                || self.is_keeper(runner.source)
                || runner.rank.head >= limit
                || into.left() < 2
            {
                break;
            }
            let Some(entry) = self.sources[runner.source].entry() else { break };
            if !is_plain(&entry, below) {
                break;
            }
            self.sources[runner.source].check_value()?;
            if !into.push(entry.key, entry.value) {
                break;
            }
            if runner.rank.key_bytes > HEAD_BYTES {
                self.pivot.clear();
                self.pivot.extend_from_slice(entry.key);
            }
            if self.is_one_key(&here, &runner) {
                self.sources[leader].next_key()?;
            }
            self.pass_runner(runner.source)?;
            while let Some(&next) = self.heap.first() {
                let keys = runner.rank.order_keys(&next.rank);
                let is_older =
                    keys.map_or_else(|| self.key(next.source) == self.pivot, Ordering::is_eq);
                if !is_older {
                    break;
                }
                self.pass_runner(next.source)?;
            }
        }
        Ok(())
    }
}
