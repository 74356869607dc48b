//! The end of one generation and the installation of the next, by whoever comes first.
//!
//! 1. Nobody seals before `next` is prepared.
//! 2. One compare-and-swap moves the tail over the seal record and sets the sealed bit: from then
//!    on the final position is the same for everybody.
//! 3. Helpers freeze `next`, open it at that position, write the seal record (all store the same
//!    bytes: log first, done mark last), and install it by a compare-and-swap on the read state.
//!
//! A helper may be late: every step then finds its work done. Reserve and install never wait.

use std::sync::Arc;

use super::commit::{Filled, WriteOptions};
use super::db::{Db, ReadState};
use super::generation::{self, Follower, Generation, Next, Sealed};
use crate::base::{Error, FileNumber, Lsn, Result};
use crate::mem::atomic::Ordering;
use crate::mem::epoch::{self, Guard};
use crate::memtable::Slot;
use crate::record::{self, SEAL_BYTES, Successor};
use crate::wal::Place;

impl Db {
    /// Seals `active` at `tail`, its tail as it was seen. False when no successor is prepared.
    ///
    /// # Errors
    /// `Closed` when the database is being closed.
    pub(super) fn seal(&self, active: &Arc<Generation>, tail: u64, guard: &Guard) -> Result<bool> {
        match active.next.load(guard) {
            Next::Empty => return Ok(false),
            Next::End => return Err(Error::closed()),
            Next::Ready(_) | Next::Frozen(_) | Next::Done => {}
        }
        active.memtable.seal(tail);
        match active.memtable.sealed_at() {
            Some(end) => self.install_next(active, end, guard),
            // Somebody reserved meanwhile: try again.
            None => Ok(true),
        }
    }

    /// Makes the successor of the sealed generation `active`, which ends at `end`, the active one.
    /// False when none is prepared, which only happens after the empty generation.
    ///
    /// # Errors
    /// `Closed` when nothing follows.
    pub(super) fn install_next(
        &self,
        active: &Arc<Generation>,
        end: Lsn,
        guard: &Guard,
    ) -> Result<bool> {
        let next = match generation::freeze(&active.next, guard)? {
            Follower::Fixed(next) => next,
            Follower::Installed => return Ok(true),
            Follower::Nothing => return Ok(false),
        };
        Self::write_seal(active, end, &next);
        let predecessor = active.as_predecessor(end);
        let _ = next.place.set(Place { base: end, predecessor, synced: self.synced() });
        next.memtable.open_at(end);
        if next.is_mapped() {
            next.store_place()?;
        }
        let installed = self.state.update(guard, |state| {
            if !Arc::ptr_eq(&state.active, active) {
                return None;
            }
            let mut sealed = Vec::with_capacity(state.sealed.len() + 1);
            if !active.is_empty_one() {
                sealed.push(Sealed::Generation(Arc::clone(active)));
            }
            sealed.extend(state.sealed.iter().cloned());
            let version = Arc::clone(&state.version);
            Some(ReadState { active: Arc::clone(&next), sealed, version })
        });
        if !installed {
            return Ok(true);
        }
        // Only the winner comes here. Late helpers hold what they loaded under their pin.
        active.next.swap(Arc::new(Next::Done), guard);
        self.counters.rotations.add(1);
        self.update_stall();
        self.env.wake_worker();
        Ok(true)
    }

    fn write_seal(active: &Generation, end: Lsn, next: &Generation) {
        let Some(segment) = &active.segment else { return };
        let lsn = Lsn(end.0 - SEAL_BYTES as u64);
        let successor = Successor { number: next.log_number(), base: end };
        let words = record::encode_seal(lsn, successor, segment.salt());
        active.memtable.store_seal(lsn, &words, |place, words| {
            if segment.is_mapped() {
                segment.store_words(place, words);
            }
        });
    }

    /// Waits until a successor is prepared for `full`, the generation that the caller found without
    /// room, or somebody has installed one: then there may be room without any further successor.
    ///
    /// # Errors
    /// `Busy` with `no_stall`, `Timeout`, or why it cannot be had.
    pub(super) fn wait_for_next(&self, full: FileNumber, options: &WriteOptions) -> Result<()> {
        self.jobs.wanted.store(true, Ordering::Relaxed);
        // The seal of the last generation may have been stored on our way here; until `visible` has
        // passed it, that generation cannot be flushed to make room.
        self.advance(&epoch::pin());
        self.env.wake_workers();
        if options.no_stall && !self.is_followed(full) {
            // Making a file is not waiting for room; whoever is at it is soon done.
            let preparing = self.jobs.preparing.lock();
            self.prepare_locked()?;
            drop(preparing);
            // Who wanted to prepare meanwhile found it locked.
            self.env.wake_worker();
            return if self.is_followed(full) { Ok(()) } else { Err(self.no_room()) };
        }
        let until = match options.deadline_ns {
            0 => None,
            ns => self.deadline(ns),
        };
        let waited = self.wait_on(&self.room_parking, until, || {
            self.is_followed(full) || self.no_hope().is_some() || self.check_writable().is_err()
        });
        self.check_writable()?;
        if self.is_followed(full) {
            return Ok(());
        }
        if let Some(cause) = self.no_hope() {
            return Err(cause);
        }
        waited.map_err(|error| Error::new(error.kind(), self.no_room().message().to_owned()))
    }

    /// Whether the generation whose log has this number has a successor, prepared or installed.
    fn is_followed(&self, full: FileNumber) -> bool {
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        active.log_number() != full || !matches!(active.next.load(&guard), Next::Empty)
    }

    pub(super) fn has_next(&self) -> bool {
        let guard = epoch::pin();
        !matches!(self.state.load(&guard).active.next.load(&guard), Next::Empty)
    }

    /// Writes one large record into a generation of its own, which is born sealed.
    ///
    /// Its successor is the generation that was prepared anyway, so nobody waits for the fill.
    pub(super) fn commit_oversized(
        &self,
        bytes: u64,
        options: &WriteOptions,
        fill: impl FnOnce(&Arc<Generation>, Slot<'_>, &Guard),
    ) -> Result<Filled> {
        let own = self.prepare_whole(bytes)?;
        loop {
            let guard = epoch::pin();
            let state = self.state.load(&guard);
            let active = Arc::clone(&state.active);
            let current = active.next.load(&guard);
            match current {
                Next::End => {
                    self.discard(&own);
                    return Err(Error::closed());
                }
                Next::Done => {}
                Next::Frozen(_) => {
                    if let Some(end) = active.memtable.sealed_at() {
                        self.install_next(&active, end, &guard)?;
                    }
                }
                Next::Empty => {
                    drop(guard);
                    if let Err(error) = self.wait_for_next(active.log_number(), options) {
                        self.discard(&own);
                        return Err(error);
                    }
                }
                Next::Ready(prepared) => {
                    let after = Arc::new(Next::Ready(Arc::clone(prepared)));
                    own.next.swap(after, &guard);
                    let mine = Arc::new(Next::Ready(Arc::clone(&own)));
                    if active.next.compare_exchange(current, mine, &guard).is_ok() {
                        drop(guard);
                        return self.fill_own(&active, &own, bytes, fill);
                    }
                }
            }
        }
    }

    fn fill_own(
        &self,
        before: &Arc<Generation>,
        own: &Arc<Generation>,
        bytes: u64,
        fill: impl FnOnce(&Arc<Generation>, Slot<'_>, &Guard),
    ) -> Result<Filled> {
        let guard = epoch::pin();
        while before.memtable.sealed_at().is_none() {
            before.memtable.seal(before.memtable.tail());
        }
        // Other large records may have put theirs in front of ours meanwhile; all of those are born
        // sealed, too. Ours is opened when it is sealed: then it has its base.
        while own.memtable.sealed_at().is_none() {
            let active = &self.state.load(&guard).active;
            let Some(end) = active.memtable.sealed_at() else { continue };
            // Only a close can come between: it puts the end in the place of ours.
            if let Err(closed) = self.install_next(active, end, &guard) {
                self.discard(own);
                return Err(closed);
            }
        }
        let slot = own.memtable.take_whole(bytes);
        let filled = Filled { end: slot.lsn().plus(bytes), mapped_base: own.mapped_base() };
        fill(own, slot, &guard);
        // Nobody else has a reason to end it, and until then it cannot be flushed. A close may have
        // come between, which ends it, too.
        if let Some(end) = own.memtable.sealed_at() {
            let _ = self.install_next(own, end, &guard);
            self.advance(&guard);
        }
        Ok(filled)
    }
}
