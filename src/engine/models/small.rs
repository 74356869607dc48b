//! A database small enough for loom: generations of a few records, without bytes.
//!
//! Reservation, what follows a generation, publication, the epoch cell and parking are the real
//! ones; [`Small::advance`], [`Small::install_next`], [`Small::write`], [`Small::write_large`] and
//! [`Small::close`] have the steps of the functions of these names in `Db`, in the same order.

use std::sync::Arc;

use crate::base::{Error, Lsn, Result};
use crate::engine::generation::{self, Follower, Next};
use crate::engine::publish::{Step, advance_over};
use crate::mem::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::mem::epoch::{self, Guard};
use crate::mem::{EpochCell, Garbage, Parking};
use crate::memtable::{Reserved, Tail};

/// Bytes of every record: as many as a SEAL has.
pub(super) const RECORD: u64 = 64;
/// Where the log begins.
pub(super) const FIRST: Lsn = Lsn(64);

/// A generation: reservation, successor, and a mark for each record.
pub(super) struct Gen {
    pub(super) tail: Tail,
    pub(super) next: EpochCell<Next<Gen>>,
    marks: Vec<AtomicU32>,
}

impl Gen {
    /// Room for so many records, the seal's included.
    pub(super) fn new(records: u64, whole: bool, garbage: &Arc<Garbage>) -> Arc<Self> {
        Arc::new(Self {
            tail: Tail::new(records * RECORD, whole),
            next: EpochCell::new(Arc::new(Next::Empty), Arc::clone(garbage)),
            marks: (0..records).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    fn mark(&self, at: Lsn) -> Option<&AtomicU32> {
        let place = at.0.checked_sub(self.tail.base().0)?;
        self.marks.get(usize::try_from(place / RECORD).ok()?)
    }

    fn publish(&self, at: Lsn) {
        let mark = self.mark(at).expect("a record lies in its generation");
        let before = mark.swap(64, Ordering::Release);
        assert_eq!(before, 0, "two records at {at}");
    }

    /// The seal's mark, which several helpers may store.
    fn store_seal(&self, end: Lsn) {
        let mark = self.mark(Lsn(end.0 - RECORD)).expect("the seal fits");
        mark.store(64, Ordering::Release);
    }
}

/// What readers and writers load first.
pub(super) struct State {
    pub(super) active: Arc<Gen>,
    /// Newest first.
    pub(super) sealed: Vec<Arc<Gen>>,
}

/// The database.
pub(super) struct Small {
    pub(super) state: EpochCell<State>,
    pub(super) visible: AtomicU64,
    pub(super) parking: Parking,
    pub(super) closed: AtomicBool,
    refill: u64,
    pub(super) garbage: Arc<Garbage>,
}

impl Small {
    /// One active generation with room for so many records, the seal's included.
    pub(super) fn new(records: u64, refill: u64) -> Arc<Self> {
        let garbage = Arc::new(Garbage::new());
        let active = Gen::new(records, false, &garbage);
        active.tail.open_at(FIRST);
        let state = State { active, sealed: Vec::new() };
        Arc::new(Self {
            state: EpochCell::new(Arc::new(state), Arc::clone(&garbage)),
            visible: AtomicU64::new(FIRST.0),
            parking: Parking::new(),
            closed: AtomicBool::new(false),
            refill,
            garbage,
        })
    }

    /// As the preparer: gives the active generation a successor, if it has none. What is prepared
    /// is made before the look, as a file takes its time.
    pub(super) fn prepare_next(&self, records: u64) -> Result<bool> {
        self.check_open()?;
        let prepared = Gen::new(records, false, &self.garbage);
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        let empty = active.next.load(&guard);
        let ready = Arc::new(Next::Ready(prepared));
        Ok(matches!(empty, Next::Empty)
            && active.next.compare_exchange(empty, ready, &guard).is_ok())
    }

    /// As `Db::trim`: exchanges a prepared successor for a smaller one. Returns the unneeded one.
    pub(super) fn exchange_next(&self, records: u64) -> Option<Arc<Gen>> {
        let old = {
            let guard = epoch::pin();
            match self.state.load(&guard).active.next.load(&guard) {
                Next::Ready(next) => Arc::clone(next),
                _ => return None,
            }
        };
        let ours = Gen::new(records, false, &self.garbage);
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        Some(generation::exchange(&active.next, old, ours, &guard))
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    pub(super) fn install_next(&self, active: &Arc<Gen>, end: Lsn, guard: &Guard) -> Result<bool> {
        let next = match generation::freeze(&active.next, guard)? {
            Follower::Fixed(next) => next,
            Follower::Installed => return Ok(true),
            Follower::Nothing => return Ok(false),
        };
        active.store_seal(end);
        next.tail.open_at(end);
        let installed = self.state.update(guard, |state| {
            if !Arc::ptr_eq(&state.active, active) {
                return None;
            }
            let mut sealed = vec![Arc::clone(active)];
            sealed.extend(state.sealed.iter().cloned());
            Some(State { active: Arc::clone(&next), sealed })
        });
        if installed {
            active.next.swap(Arc::new(Next::Done), guard);
        }
        Ok(true)
    }

    /// Seals `active` if its tail is still `word`, and installs its successor.
    fn seal(&self, active: &Arc<Gen>, word: u64, guard: &Guard) -> Result<bool> {
        match active.next.load(guard) {
            Next::Empty => return Ok(false),
            Next::End => return Err(Error::closed()),
            Next::Ready(_) | Next::Frozen(_) | Next::Done => {}
        }
        active.tail.seal(word);
        match active.tail.sealed_at() {
            Some(end) => self.install_next(active, end, guard),
            None => Ok(true),
        }
    }

    pub(super) fn advance(&self, guard: &Guard) {
        let moved = advance_over(&self.visible, |at| {
            let state = self.state.load(guard);
            let Some(here) = generation_at(state, Lsn(at)) else { return Step::Again };
            if here.tail.sealed_at() == Some(Lsn(at)) {
                return match self.install_next(here, Lsn(at), guard) {
                    Ok(true) => Step::Again,
                    Ok(false) | Err(_) => Step::Stop,
                };
            }
            match here.mark(Lsn(at)).map_or(0, |mark| mark.load(Ordering::Acquire)) {
                0 => Step::Stop,
                length => Step::To(at + u64::from(length)),
            }
        });
        if moved {
            self.parking.notify();
        }
    }

    /// Waits until everything below `end` is visible; loom reports a deadlock if that never is.
    pub(super) fn wait_visible(&self, end: Lsn) {
        let is_done = || self.visible.load(Ordering::Acquire) >= end.0;
        self.parking.wait_until(0, None, || {
            is_done() || {
                self.advance(&epoch::pin());
                is_done()
            }
        });
    }

    /// One write, from the check on; returns its position. Where a real one waits for room, this
    /// one prepares a generation of `refill` records, as one that must not stall; `Busy` with 0.
    pub(super) fn write(&self) -> Result<Lsn> {
        self.check_open()?;
        let at = self.reserve_and_fill()?;
        self.wait_visible(at.plus(RECORD));
        Ok(at)
    }

    /// Steps 2 to 4 of a write.
    pub(super) fn reserve_and_fill(&self) -> Result<Lsn> {
        loop {
            let guard = epoch::pin();
            let active = &self.state.load(&guard).active;
            match active.tail.reserve(RECORD) {
                Reserved::At(at) => {
                    active.publish(at);
                    self.advance(&guard);
                    return Ok(at);
                }
                Reserved::Full(word) if self.seal(active, word, &guard)? => {}
                Reserved::Sealed(end) if self.install_next(active, end, &guard)? => {}
                Reserved::Full(_) | Reserved::Sealed(_) => {
                    drop(guard);
                    self.wait_for_next()?;
                }
            }
        }
    }

    fn wait_for_next(&self) -> Result<()> {
        self.check_open()?;
        if self.refill > 0 {
            self.prepare_next(self.refill)?;
            let guard = epoch::pin();
            if !matches!(self.state.load(&guard).active.next.load(&guard), Next::Empty) {
                return Ok(());
            }
        }
        Err(no_room())
    }

    /// Steps 2 to 4 of a write that gets a generation of its own; `Busy` where a real one waits for
    /// a successor to put it before.
    pub(super) fn write_large(&self) -> Result<Lsn> {
        let own = Gen::new(2, true, &self.garbage);
        loop {
            let guard = epoch::pin();
            let active = Arc::clone(&self.state.load(&guard).active);
            let current = active.next.load(&guard);
            match current {
                Next::End => return Err(Error::closed()),
                Next::Done => {}
                Next::Frozen(_) => {
                    if let Some(end) = active.tail.sealed_at() {
                        self.install_next(&active, end, &guard)?;
                    }
                }
                Next::Empty => return Err(no_room()),
                Next::Ready(prepared) => {
                    own.next.swap(Arc::new(Next::Ready(Arc::clone(prepared))), &guard);
                    let mine = Arc::new(Next::Ready(Arc::clone(&own)));
                    if active.next.compare_exchange(current, mine, &guard).is_ok() {
                        return self.fill_own(&active, &own, &guard);
                    }
                }
            }
        }
    }

    fn fill_own(&self, before: &Arc<Gen>, own: &Arc<Gen>, guard: &Guard) -> Result<Lsn> {
        while before.tail.sealed_at().is_none() {
            before.tail.seal(before.tail.word());
        }
        while own.tail.sealed_at().is_none() {
            let active = &self.state.load(guard).active;
            let Some(end) = active.tail.sealed_at() else { continue };
            self.install_next(active, end, guard)?;
        }
        assert!(own.tail.take_whole());
        let at = own.tail.base();
        own.publish(at);
        self.advance(guard);
        Ok(at)
    }

    /// Closes; returns where the END record lies.
    pub(super) fn close(&self) -> Lsn {
        self.closed.store(true, Ordering::SeqCst);
        let last = self.freeze_end();
        let end = loop {
            if let Some(end) = last.tail.sealed_at() {
                break end;
            }
            last.tail.seal(last.tail.word());
        };
        let at = Lsn(end.0 - RECORD);
        self.wait_visible(at);
        let unused = last.mark(at).map_or(0, |mark| mark.load(Ordering::Acquire));
        assert_eq!(unused, 0, "somebody got the place of the END");
        self.let_go(at);
        at
    }

    fn freeze_end(&self) -> Arc<Gen> {
        loop {
            let guard = epoch::pin();
            let active = Arc::clone(&self.state.load(&guard).active);
            if generation::put_end(&active.next, &guard).is_ok() {
                return active;
            }
            if let Some(end) = active.tail.sealed_at() {
                let _ = self.install_next(&active, end, &guard);
            }
        }
    }

    fn let_go(&self, at: Lsn) {
        let active = Gen::new(0, true, &self.garbage);
        active.tail.open_at(at);
        let guard = epoch::pin();
        active.next.swap(Arc::new(Next::End), &guard);
        self.state.swap(Arc::new(State { active, sealed: Vec::new() }), &guard);
    }

    /// Checks that everything below `end` is visible, and nothing above it but perhaps a seal, and
    /// that the generations hang together: each begins where the one before it ends.
    pub(super) fn assert_chained(&self, end: Lsn) {
        let guard = epoch::pin();
        self.advance(&guard);
        let visible = Lsn(self.visible.load(Ordering::Acquire));
        assert!(visible == end || visible == end.plus(RECORD), "{visible} is not {end}");
        let state = self.state.load(&guard);
        let mut base = state.active.tail.base();
        for sealed in &state.sealed {
            assert_eq!(sealed.tail.sealed_at(), Some(base), "a hole, or one twice");
            assert!(matches!(sealed.next.load(&guard), Next::Done));
            base = sealed.tail.base();
        }
        assert_eq!(base, FIRST, "the first generation is gone");
    }
}

fn no_room() -> Error {
    Error::new(crate::base::ErrorKind::Busy, "no room")
}

/// As in `publish`.
fn generation_at(state: &State, at: Lsn) -> Option<&Arc<Gen>> {
    if state.active.tail.base() <= at {
        let end = state.active.tail.sealed_at();
        return end.is_none_or(|end| at <= end).then_some(&state.active);
    }
    state.sealed.iter().find(|sealed| sealed.tail.base() <= at)
}
