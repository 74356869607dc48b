//! The cursor: a position in a sorted sequence of entries of one keyspace.
//!
//! Memtables, tables and their merge all implement it. A cursor belongs to one thread at a time.

use std::cmp::Ordering;

use super::key::{HEAD_BYTES, head_of};
use super::{Entry, Kind, Packed, Result};

/// Stages of [`Cursor::approach`].
pub(crate) const APPROACH_STAGES: u32 = 4;
/// One more stage, for cursors of which several wait for the disk: see [`Cursor::is_waiting`].
pub(crate) const APPROACH_DISK: u32 = APPROACH_STAGES;

/// Steps over versions of one key before a seek is cheaper.
pub(crate) const STEPS_MAX: u32 = 8;

/// What decides whether an entry is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// As in [`Entry`].
    pub(crate) number: u64,
    /// As in [`Entry`].
    pub(crate) kind: Kind,
    /// As in [`Entry`].
    pub(crate) expiry_ms: u64,
}

impl Stamp {
    /// The stamp of an entry.
    #[inline]
    pub(crate) fn of(entry: &Entry<'_>) -> Self {
        Self { number: entry.number, kind: entry.kind, expiry_ms: entry.expiry_ms }
    }
}

/// What places an entry among others: most often enough without its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rank {
    /// [`head_of`] the key.
    pub(crate) head: u128,
    /// Length of the key.
    pub(crate) key_bytes: usize,
    /// As in [`Entry`].
    pub(crate) number: u64,
}

impl Rank {
    /// The rank of an entry.
    #[inline]
    pub(crate) fn of(entry: &Entry<'_>) -> Self {
        Self { head: head_of(entry.key), key_bytes: entry.key.len(), number: entry.number }
    }

    /// How the keys order, if that can be told without them.
    #[inline]
    pub(crate) fn order_keys(&self, other: &Self) -> Option<Ordering> {
        match self.head.cmp(&other.head) {
            // The longer has zeros where the shorter was padded with them.
            Ordering::Equal if self.key_bytes.min(other.key_bytes) <= HEAD_BYTES => {
                Some(self.key_bytes.cmp(&other.key_bytes))
            }
            Ordering::Equal => None,
            order => Some(order),
        }
    }
}

/// A seekable position among entries in internal order (key ascending, number descending).
///
/// A new cursor is unpositioned. After an error it is unpositioned too, and only a seek helps.
/// A cursor never ends as if it were complete when something could not be read: that is an error.
pub(crate) trait Cursor: Send {
    /// Moves to the first entry.
    fn seek_first(&mut self) -> Result<()>;
    /// Moves to the last entry.
    fn seek_last(&mut self) -> Result<()>;
    /// Moves to the first entry at or after (`key`, `number`) in internal order.
    /// `number` = `u64::MAX` is before every version of `key`, 0 is after all but number 0.
    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()>;
    /// Moves to the last entry strictly before (`key`, `number`) in internal order.
    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()>;
    /// Begins what `seek_ge` and `seek_lt` do for the same place: called with `stage` 0, 1, 2, ...
    /// up to `APPROACH_STAGES`, with the same stages of other cursors in between, so that the
    /// memory that each of them needs next arrives at the same time. The seek itself must follow.
    /// Only a hint: the cursor may do nothing, and an error shows in the seek.
    fn approach(&mut self, _key: &[u8], _number: u64, _stage: u32) {}
    /// Whether the seek that has come through all stages needs something that is not in memory.
    /// If it is not the only one, stage `APPROACH_DISK` gets it if that can be had at once, or
    /// asks the system for it, so that the disk works on all of them at the same time.
    fn is_waiting(&self) -> bool {
        false
    }
    /// Moves to the first entry of the next key, past all versions of the key here. Unpositioned
    /// cursors stay so.
    fn next_key(&mut self) -> Result<()> {
        let Some(entry) = self.entry() else { return Ok(()) };
        let key = entry.key.to_vec();
        pass_versions(self, &key)
    }
    /// The short way of [`Self::next_key`], for the common case: moves to the next entry if that is
    /// at hand, a put without expiry, numbered below `below`, of another key, whose head is less than
    /// `limit`. Else, and in cursors that know no short way, it does nothing and returns false.
    fn next_plain(&mut self, _below: u64, _limit: u128) -> bool {
        false
    }
    /// The same for many: packs entries as long as [`Self::next_plain`] would move to them and they
    /// have room, and moves to the last of them.
    fn pack_plain(&mut self, _below: u64, _limit: u128, _into: &mut Packed<'_>) {}
    /// From a delete numbered below `below` on, as [`Self::next_key`], and perhaps further: over
    /// keys before `limit` whose newest entry from here is such a delete too.
    fn pass_deletes(&mut self, _below: u64, _limit: Option<&[u8]>) -> Result<()> {
        self.next_key()
    }
    /// Whether the entry just before this one is of another key, or there is none: none when that
    /// takes more than a look.
    fn is_newest(&self) -> Option<bool> {
        None
    }
    /// The rank of the entry here, or none when there is no entry.
    fn rank(&self) -> Option<Rank> {
        self.entry().map(|entry| Rank::of(&entry))
    }
    /// The entry here without key and value, or none when there is no entry.
    fn stamp(&self) -> Option<Stamp> {
        self.entry().map(|entry| Stamp::of(&entry))
    }
    /// Moves one entry on. Unpositioned cursors stay so.
    fn next(&mut self) -> Result<()>;
    /// Moves one entry back. Unpositioned cursors stay so.
    fn prev(&mut self) -> Result<()>;
    /// The entry here, or none when the cursor is unpositioned or past either end.
    ///
    /// The bytes stay where they are until the cursor moves or is dropped.
    fn entry(&self) -> Option<Entry<'_>>;
    /// Looks whether the value of the entry here is what was written, where that was not done when it
    /// was read. To be asked before a value is shown; the cursor stays.
    ///
    /// # Errors
    /// `Corrupt` if it is not.
    fn check_value(&self) -> Result<()> {
        Ok(())
    }
    /// Key and value of [`Self::entry`].
    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        self.entry().map(|entry| (entry.key, entry.value))
    }
}

/// From a version of `key` to the first entry of the next key: a few steps, then a seek.
pub(crate) fn pass_versions<C: Cursor + ?Sized>(cursor: &mut C, key: &[u8]) -> Result<()> {
    for _ in 0..STEPS_MAX {
        cursor.next()?;
        if cursor.entry().is_none_or(|entry| entry.key != key) {
            return Ok(());
        }
    }
    cursor.seek_ge(key, 0)?;
    if cursor.entry().is_some_and(|entry| entry.key == key) { cursor.next() } else { Ok(()) }
}

impl<C: Cursor + ?Sized> Cursor for Box<C> {
    fn seek_first(&mut self) -> Result<()> {
        (**self).seek_first()
    }
    fn seek_last(&mut self) -> Result<()> {
        (**self).seek_last()
    }
    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        (**self).seek_ge(key, number)
    }
    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        (**self).seek_lt(key, number)
    }
    fn approach(&mut self, key: &[u8], number: u64, stage: u32) {
        (**self).approach(key, number, stage);
    }
    fn is_waiting(&self) -> bool {
        (**self).is_waiting()
    }
    fn next_key(&mut self) -> Result<()> {
        (**self).next_key()
    }
    fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        (**self).next_plain(below, limit)
    }
    fn pack_plain(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) {
        (**self).pack_plain(below, limit, into);
    }
    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        (**self).pass_deletes(below, limit)
    }
    fn is_newest(&self) -> Option<bool> {
        (**self).is_newest()
    }
    fn rank(&self) -> Option<Rank> {
        (**self).rank()
    }
    fn stamp(&self) -> Option<Stamp> {
        (**self).stamp()
    }
    fn next(&mut self) -> Result<()> {
        (**self).next()
    }
    fn prev(&mut self) -> Result<()> {
        (**self).prev()
    }
    fn entry(&self) -> Option<Entry<'_>> {
        (**self).entry()
    }
    fn check_value(&self) -> Result<()> {
        (**self).check_value()
    }
    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        (**self).pair()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_like_keys_wherever_they_tell() {
        let long = |end: &str| format!("0123456789abcdef{end}").into_bytes();
        let keys = [
            b"".to_vec(),
            b"\0".to_vec(),
            b"a".to_vec(),
            b"a\0".to_vec(),
            b"a\0\0b".to_vec(),
            b"0123456789abcde".to_vec(),
            b"0123456789abcde\0".to_vec(),
            b"0123456789abcde\0\0".to_vec(),
            long(""),
            long("\0"),
            long("x"),
            long("y"),
            long("xx"),
        ];
        let rank = |key: &Vec<u8>| Rank { head: head_of(key), key_bytes: key.len(), number: 1 };
        let mut untold = 0;
        for a in &keys {
            for b in &keys {
                match rank(a).order_keys(&rank(b)) {
                    Some(order) => assert_eq!(order, a.cmp(b), "{a:?} {b:?}"),
                    None => untold += 1,
                }
            }
        }
        assert_eq!(untold, 17, "of keys that go on behind one head");
    }
}
