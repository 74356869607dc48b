//! What a reader at one position sees: of each key the newest version below the position, without
//! tombstones and expired entries, between two bounds.
//!
//! Forward, the inner cursor stands on the entry that is shown. Backward, versions of a key come
//! oldest first, so the newest is known only after the cursor has left it: small entries are shown
//! from a copy, large ones by seeking back to them. In either direction a key with many versions
//! costs a few steps and then one seek.
//!
//! Ends follow rule R8 of the C API: past the end `next` stays and `prev` gives the last entry, and
//! the mirror of it; after an error only a seek helps.
//!
//! Not here: which sources to merge, and keeping them alive.

use super::MergeCursor;
use crate::base::Lsn;
use crate::base::cursor::{STEPS_MAX, Stamp};
use crate::base::key::head_of;
use crate::base::{Cursor, Entry, Error, ErrorKind, Kind, Packed, Result};

/// Values up to this many bytes are copied on the way back; larger ones are sought again.
const COPY_BYTES_MAX: usize = 4096;

/// Where the cursor is, and where its entry lies.
enum Place {
    /// New: `next` gives the first entry, `prev` the last.
    Unset,
    /// On the entry at which the inner cursor stands.
    Inner,
    /// The same, reached backward, and it is the newest version of its key.
    Newest,
    /// On the entry in `key` and `value`; the inner cursor stands before all its visible versions.
    Saved,
    /// Before the first entry.
    Start,
    /// After the last entry.
    End,
    /// Some source failed; the error is returned until a seek.
    Failed(Error),
}

/// The version that a walk back found last.
#[derive(Clone, Copy)]
struct Found {
    number: u64,
    live: bool,
    copied: bool,
}

/// The entries that a reader sees, each key once.
pub(crate) struct VisibleCursor<C = Box<dyn Cursor>> {
    inner: MergeCursor<C>,
    read_at: u64,
    now_ms: u64,
    /// Empty is none: there is no key below it.
    lo: Vec<u8>,
    hi: Option<Vec<u8>>,
    /// Keys whose heads are below this are below `hi`.
    limit: u128,
    place: Place,
    /// In [`Place::Saved`] the entry's key; else the key that is being stepped over.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<C: Cursor> VisibleCursor<C> {
    /// Shows `inner` as seen at `read_at` and at `now_ms` (milliseconds since 1970), from `lo` up
    /// to but not including `hi`; none is no bound.
    pub(crate) fn new(
        inner: MergeCursor<C>,
        read_at: Lsn,
        now_ms: u64,
        lo: Option<Vec<u8>>,
        hi: Option<Vec<u8>>,
    ) -> Self {
        let (key, value, lo) = (Vec::new(), Vec::new(), lo.unwrap_or_default());
        let limit = hi.as_deref().map_or(u128::MAX, head_of);
        Self { inner, read_at: read_at.0, now_ms, lo, hi, limit, place: Place::Unset, key, value }
    }

    /// The cursor that this one shows, to change what it merges; this one stands nowhere then.
    #[inline]
    pub(crate) fn inner(&mut self) -> &mut MergeCursor<C> {
        self.place = Place::Unset;
        &mut self.inner
    }

    /// Makes it a new one, for another position, time and lower bound.
    #[inline]
    pub(crate) fn renew(&mut self, read_at: Lsn, now_ms: u64, lo: Option<&[u8]>) {
        (self.read_at, self.now_ms, self.place) = (read_at.0, now_ms, Place::Unset);
        self.lo.clear();
        self.lo.extend_from_slice(lo.unwrap_or_default());
    }

    /// Whether there is an entry here.
    pub(crate) fn is_positioned(&self) -> bool {
        matches!(self.place, Place::Inner | Place::Newest | Place::Saved)
    }

    /// Key and value here, or none when there is no entry. Valid until the cursor moves.
    #[inline]
    pub(crate) fn entry(&self) -> Option<(&[u8], &[u8])> {
        match self.place {
            Place::Inner | Place::Newest => self.inner.pair(),
            Place::Saved => Some((&self.key, &self.value)),
            _ => None,
        }
    }

    /// The key here; empty when there is no entry. Valid until the cursor moves.
    pub(crate) fn key(&self) -> &[u8] {
        self.entry().map_or(&[], |entry| entry.0)
    }

    /// The value here; empty when there is no entry. Valid until the cursor moves.
    pub(crate) fn value(&self) -> &[u8] {
        self.entry().map_or(&[], |entry| entry.1)
    }

    /// Fails, as a move does, if the value here is not what was written. Else true, if there is one.
    #[inline]
    pub(crate) fn check_value(&mut self) -> Result<bool> {
        let is_inner = matches!(self.place, Place::Inner | Place::Newest);
        let checked = if is_inner { self.inner.check_value() } else { Ok(()) };
        self.arrive(checked)
    }

    /// Moves to the first entry; false when there is none.
    pub(crate) fn seek_first(&mut self) -> Result<bool> {
        let moved = self.go_first();
        self.arrive(moved)
    }

    /// Moves to the last entry; false when there is none.
    pub(crate) fn seek_last(&mut self) -> Result<bool> {
        let moved = self.go_last();
        self.arrive(moved)
    }

    /// Moves to the first entry whose key is `key` or later.
    pub(crate) fn seek_ge(&mut self, key: &[u8]) -> Result<bool> {
        let moved = if self.is_below(key) { self.go_first() } else { self.go_ge(key) };
        self.arrive(moved)
    }

    /// Moves to the first entry whose key is later than `key`.
    pub(crate) fn seek_gt(&mut self, key: &[u8]) -> Result<bool> {
        let moved = if self.is_below(key) { self.go_first() } else { self.go_after(key) };
        self.arrive(moved)
    }

    /// Moves to the last entry whose key is `key` or earlier.
    pub(crate) fn seek_le(&mut self, key: &[u8]) -> Result<bool> {
        let moved = if self.is_above(key) { self.go_last() } else { self.go_upto(key) };
        self.arrive(moved)
    }

    /// Moves to the last entry whose key is earlier than `key`.
    pub(crate) fn seek_lt(&mut self, key: &[u8]) -> Result<bool> {
        let moved = if self.is_above(key) { self.go_last() } else { self.go_before(key) };
        self.arrive(moved)
    }

    /// The short way of [`Self::next`]; false if it is not to be had, and nothing has happened.
    #[inline]
    pub(crate) fn next_plain(&mut self) -> bool {
        matches!(self.place, Place::Inner) && self.inner.next_plain(self.read_at, self.limit)
    }

    /// From an entry on, packs the next ones and moves to the last of them, as far as that is easy.
    /// Returns whether it has moved on to one that it did not pack, or to the end.
    pub(crate) fn pack(&mut self, into: &mut Packed<'_>) -> Result<bool> {
        if !matches!(self.place, Place::Inner) {
            return Ok(false);
        }
        let moved = match self.inner.pack(self.read_at, self.limit, into) {
            Ok(false) => return Ok(false),
            Ok(true) => self.find_on(false),
            Err(error) => Err(error),
        };
        self.arrive(moved)?;
        Ok(true)
    }

    /// Moves one entry on; the first when unpositioned. False at the end, where it stays.
    pub(crate) fn next(&mut self) -> Result<bool> {
        if self.next_plain() { Ok(true) } else { self.next_in_general() }
    }

    /// [`Self::next`] where the short way is known not to be had.
    pub(crate) fn next_in_general(&mut self) -> Result<bool> {
        let moved = match &self.place {
            Place::Unset | Place::Start => self.go_first(),
            Place::End => Ok(()),
            Place::Failed(error) => Err(error.clone()),
            Place::Inner | Place::Newest => self.step_on(),
            Place::Saved => self.leave_saved(),
        };
        self.arrive(moved)
    }

    /// Moves one entry back; the last when unpositioned. False at the start, where it stays.
    pub(crate) fn prev(&mut self) -> Result<bool> {
        let moved = match &self.place {
            Place::Unset | Place::End => self.go_last(),
            Place::Start => Ok(()),
            Place::Failed(error) => Err(error.clone()),
            Place::Inner => self.step_back(),
            Place::Newest => self.leave_newest(),
            Place::Saved => self.find_back(),
        };
        self.arrive(moved)
    }

    fn arrive(&mut self, moved: Result<()>) -> Result<bool> {
        if let Err(error) = moved {
            self.place = Place::Failed(error.clone());
            return Err(error);
        }
        Ok(self.is_positioned())
    }

    fn is_below(&self, key: &[u8]) -> bool {
        key < self.lo.as_slice()
    }

    fn is_above(&self, key: &[u8]) -> bool {
        self.hi.as_deref().is_some_and(|hi| key >= hi)
    }

    fn go_first(&mut self) -> Result<()> {
        if self.lo.is_empty() {
            self.inner.seek_first()?;
        } else {
            self.inner.seek_ge(&self.lo, u64::MAX)?;
        }
        self.find_on(false)
    }

    fn go_last(&mut self) -> Result<()> {
        match &self.hi {
            Some(hi) => self.inner.seek_lt(hi, u64::MAX)?,
            None => self.inner.seek_last()?,
        }
        self.find_back()
    }

    fn go_ge(&mut self, key: &[u8]) -> Result<()> {
        // Versions that are too new for this reader are not even visited.
        self.inner.seek_ge(key, self.read_at.saturating_sub(1))?;
        self.find_on(false)
    }

    fn go_after(&mut self, key: &[u8]) -> Result<()> {
        self.remember(key);
        self.inner.seek_ge(key, 0)?;
        self.find_on(true)
    }

    fn go_before(&mut self, key: &[u8]) -> Result<()> {
        self.inner.seek_lt(key, u64::MAX)?;
        self.find_back()
    }

    fn go_upto(&mut self, key: &[u8]) -> Result<()> {
        // The key with a zero byte behind it is the very next key: all versions of `key`, number
        // 0 too, come before it.
        self.remember(key);
        self.key.push(0);
        self.inner.seek_lt(&self.key, u64::MAX)?;
        self.find_back()
    }

    fn remember(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// From the shown entry of the inner cursor to the one after it.
    #[inline]
    fn step_on(&mut self) -> Result<()> {
        self.inner.next_key()?;
        self.find_on(false)
    }

    /// From the newest version of a key to the entry before it.
    fn leave_newest(&mut self) -> Result<()> {
        self.inner.prev()?;
        self.find_back()
    }

    /// From the shown entry of the inner cursor to the one before it.
    fn step_back(&mut self) -> Result<()> {
        if let Some(entry) = self.inner.entry() {
            self.key.clear();
            self.key.extend_from_slice(entry.key);
        }
        self.inner.seek_lt(&self.key, u64::MAX)?;
        self.find_back()
    }

    /// From a copied entry to the one after it.
    fn leave_saved(&mut self) -> Result<()> {
        self.inner.seek_ge(&self.key, 0)?;
        self.find_on(true)
    }

    /// Finds the first visible entry at or after the inner cursor. With `over`, versions of `key`
    /// are stepped over first.
    fn find_on(&mut self, mut over: bool) -> Result<()> {
        let mut steps = 0;
        while let Some(stamp) = self.inner.stamp() {
            if over && self.inner.entry().is_some_and(|entry| entry.key == self.key) {
                self.pass_older(&mut steps)?;
                continue;
            }
            if self.is_past_end() || self.read_at == 0 {
                break;
            }
            over = false;
            if stamp.number >= self.read_at {
                self.pass_newer()?;
                continue;
            }
            if is_live(&stamp, self.now_ms)? {
                self.place = Place::Inner;
                return Ok(());
            }
            if stamp.kind == Kind::Delete {
                self.inner.pass_deletes(self.read_at, self.hi.as_deref())?;
            } else {
                self.inner.next_key()?;
            }
        }
        self.place = Place::End;
        Ok(())
    }

    /// Whether the inner entry lies at or behind the upper bound.
    #[inline]
    fn is_past_end(&self) -> bool {
        let Some(hi) = self.hi.as_deref() else { return false };
        self.inner.entry().is_some_and(|entry| entry.key >= hi)
    }

    /// Steps over one more version of `key`, or over all that are left.
    fn pass_older(&mut self, steps: &mut u32) -> Result<()> {
        *steps += 1;
        if *steps == STEPS_MAX {
            return self.inner.seek_ge(&self.key, 0);
        }
        self.inner.next()
    }

    /// Steps over the versions of the current key that are too new for this reader.
    fn pass_newer(&mut self) -> Result<()> {
        let Some(entry) = self.inner.entry() else { return Ok(()) };
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        for _ in 1..STEPS_MAX {
            self.inner.next()?;
            let same = |e: Entry<'_>| e.key == self.key && e.number >= self.read_at;
            if !self.inner.entry().is_some_and(same) {
                return Ok(());
            }
        }
        self.inner.seek_ge(&self.key, self.read_at - 1)
    }

    /// Finds the last visible entry at or before the inner cursor.
    fn find_back(&mut self) -> Result<()> {
        while let Some(entry) = self.inner.entry() {
            if entry.key < self.lo.as_slice() || self.read_at == 0 {
                break;
            }
            if entry.number >= self.read_at {
                self.pass_newer_back()?;
                continue;
            }
            if self.inner.is_newest() == Some(true) {
                if is_live(&Stamp::of(&entry), self.now_ms)? {
                    self.place = Place::Newest;
                    return Ok(());
                }
                self.inner.prev()?;
            } else if self.newest_back()? {
                return Ok(());
            }
        }
        self.place = Place::Start;
        Ok(())
    }

    /// Steps back over the versions of the current key that are too new for this reader.
    fn pass_newer_back(&mut self) -> Result<()> {
        let Some(entry) = self.inner.entry() else { return Ok(()) };
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        for _ in 1..STEPS_MAX {
            self.inner.prev()?;
            if self.inner.entry().is_none_or(|e| e.key != self.key) {
                return Ok(());
            }
        }
        self.inner.seek_lt(&self.key, u64::MAX)
    }

    /// From the oldest version of a key, which is visible, walks to the newest visible one and
    /// shows it. False, and before that key's visible versions, when that one is not live.
    fn newest_back(&mut self) -> Result<bool> {
        let Some(mut found) = self.save()? else {
            return Ok(false);
        };
        let mut steps = 0;
        loop {
            self.inner.prev()?;
            let newer = |e: Entry<'_>| e.key == self.key && e.number < self.read_at;
            if !self.inner.entry().is_some_and(newer) {
                break;
            }
            steps += 1;
            if steps == STEPS_MAX {
                return self.newest_by_seek();
            }
            let Some(next) = self.save()? else {
                break;
            };
            found = next;
        }
        if !found.live {
            return Ok(false);
        }
        if !found.copied {
            return self.show_by_seek(found.number);
        }
        self.place = Place::Saved;
        Ok(true)
    }

    /// Copies the inner entry, its value only if it may be shown and is small.
    fn save(&mut self) -> Result<Option<Found>> {
        let Some(entry) = self.inner.entry() else {
            return Ok(None);
        };
        let live = is_live(&Stamp::of(&entry), self.now_ms)?;
        // One that is not what was written is looked at where it is shown.
        let copied = entry.value.len() <= COPY_BYTES_MAX && self.inner.check_value().is_ok();
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        self.value.clear();
        if live && copied {
            self.value.extend_from_slice(entry.value);
        }
        Ok(Some(Found { number: entry.number, live, copied }))
    }

    /// Seeks the newest visible version of `key`; as [`Self::newest_back`] from there.
    fn newest_by_seek(&mut self) -> Result<bool> {
        self.inner.seek_ge(&self.key, self.read_at - 1)?;
        let Some(entry) = self.inner.entry().filter(|e| e.key == self.key) else {
            return Err(lost_entry());
        };
        if is_live(&Stamp::of(&entry), self.now_ms)? {
            self.place = Place::Inner;
            return Ok(true);
        }
        self.inner.seek_lt(&self.key, u64::MAX)?;
        Ok(false)
    }

    /// Seeks the version `number` of `key` again, to show it where it is stored.
    fn show_by_seek(&mut self, number: u64) -> Result<bool> {
        self.inner.seek_ge(&self.key, number)?;
        let exact = |e: Entry<'_>| e.key == self.key && e.number == number;
        if !self.inner.entry().is_some_and(exact) {
            return Err(lost_entry());
        }
        self.place = Place::Inner;
        Ok(true)
    }
}

/// Whether the newest visible version of a key means that the key has a value.
#[inline]
fn is_live(stamp: &Stamp, now_ms: u64) -> Result<bool> {
    match stamp.kind {
        Kind::Put => Ok(stamp.expiry_ms == 0 || stamp.expiry_ms > now_ms),
        Kind::Delete => Ok(false),
        Kind::Merge | Kind::RangeDelete => Err(Error::unsupported(
            "the range holds merge operands or range deletes; a newer lsmer wrote them",
        )),
    }
}

/// A source broke its promise to keep what it has shown.
fn lost_entry() -> Error {
    Error::new(ErrorKind::Internal, "an entry vanished from under an iterator")
}
