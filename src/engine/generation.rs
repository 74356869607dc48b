//! A generation: one memtable and one log segment with the same layout and positions.
//!
//! A generation is prepared without a base, installed as the active one, sealed once, flushed once
//! and never used again, but for its memory and its log's file. `next` leads from a generation to
//! its successor and is only followed by threads that loaded, under their pin, a read state whose
//! active generation is this one.

use std::sync::{Arc, OnceLock};

use super::env::Env;
use crate::base::{Error, FileNumber, KeyspaceId, Lsn, Result};
use crate::mem::Budget;
use crate::mem::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::mem::epoch::Guard;
use crate::mem::{EpochCell, Garbage};
use crate::memtable::{MemCursor, Memtable, Replayed};
use crate::wal::{Place, Predecessor, Segment};

/// What follows a generation of type `G`: models put a smaller one in its place.
pub(super) enum Next<G = Generation> {
    /// Nothing is prepared yet: nobody may seal.
    Empty,
    /// Prepared; may still be exchanged for another.
    Ready(Arc<G>),
    /// Fixed: this one will be installed.
    Frozen(Arc<G>),
    /// Installed; helpers that come late find this.
    Done,
    /// The database is being closed: nothing follows.
    End,
}

/// What a helper finds behind a sealed generation.
pub(super) enum Follower<G = Generation> {
    /// Nothing is prepared.
    Nothing,
    /// This one, whatever else is tried: it is to be installed.
    Fixed(Arc<G>),
    /// One that is installed already.
    Installed,
}

/// Fixes what follows a generation that is sealed at its final position, or for a close.
///
/// # Errors
/// `Closed` when the end does.
pub(super) fn freeze<G: Send + Sync + 'static>(
    next: &EpochCell<Next<G>>,
    guard: &Guard,
) -> Result<Follower<G>> {
    loop {
        let current = next.load(guard);
        match current {
            Next::Done => return Ok(Follower::Installed),
            Next::Empty => return Ok(Follower::Nothing),
            Next::End => return Err(Error::closed()),
            Next::Frozen(next) => return Ok(Follower::Fixed(Arc::clone(next))),
            Next::Ready(ready) => {
                let frozen = Arc::new(Next::Frozen(Arc::clone(ready)));
                let _ = next.compare_exchange(current, frozen, guard);
            }
        }
    }
}

/// Puts the end in the place of a successor that is not fixed. Returns the prepared one that will
/// not be needed, if there was one.
///
/// # Errors
/// `()` when a successor is fixed: it must be installed, and the end comes behind it.
pub(super) fn put_end<G: Send + Sync + 'static>(
    next: &EpochCell<Next<G>>,
    guard: &Guard,
) -> std::result::Result<Option<Arc<G>>, ()> {
    loop {
        let current = next.load(guard);
        let unneeded = match current {
            Next::Done | Next::Frozen(_) => return Err(()),
            Next::End => return Ok(None),
            Next::Empty => None,
            Next::Ready(prepared) => Some(Arc::clone(prepared)),
        };
        if next.compare_exchange(current, Arc::new(Next::End), guard).is_ok() {
            return Ok(unneeded);
        }
    }
}

/// Puts `ours` in the place of the prepared successor `old`, which nobody has fixed. Returns the one
/// of both that will never be installed.
pub(super) fn exchange<G: Send + Sync + 'static>(
    next: &EpochCell<Next<G>>,
    old: Arc<G>,
    ours: Arc<G>,
    guard: &Guard,
) -> Arc<G> {
    let current = next.load(guard);
    let is_it = matches!(current, Next::Ready(ready) if Arc::ptr_eq(ready, &old));
    let ready = Arc::new(Next::Ready(Arc::clone(&ours)));
    // Else whoever fixes it, puts a large record before it, or closes was first.
    if is_it && next.compare_exchange(current, ready, guard).is_ok() { old } else { ours }
}

/// One memtable with its log segment.
pub(super) struct Generation {
    /// The entries.
    pub(super) memtable: Arc<Memtable>,
    /// The log; none for the empty generation a database starts with.
    pub(super) segment: Option<Arc<Segment>>,
    /// What its log's header says of its place; set by whoever installs it first, read by helpers
    /// and by the log leader.
    pub(super) place: OnceLock<Place>,
    /// For the empty generation: the cleanly ended log that it stands for, if one stays.
    pub(super) stands_for: Option<Predecessor>,
    /// The successor.
    pub(super) next: EpochCell<Next>,
    /// Set by a synced commit into this generation, read by the preparer: the next log of a
    /// database that syncs is written, not mapped. A hint, so relaxed.
    pub(super) saw_sync: AtomicBool,
    /// Up to which place pages of the mapped log were asked for. Moved by compare-and-swap by
    /// writers; relaxed, because it is a hint.
    pub(super) populated: AtomicU64,
    /// Up to which place they were brought. Raised by workers; relaxed, because it is a hint, too.
    pub(super) touched: AtomicU64,
    /// Up to which place the written log's space is initialised; the log leader's own, so relaxed.
    pub(super) zeroed: AtomicU64,
    /// Its share of the memory budget, given back when the last reader lets go.
    _charge: Charge,
}

/// Bytes taken from the environment's budgets for write buffers and for values that stay in logs.
pub(super) struct Charge {
    buffers: Arc<Budget>,
    bytes: u64,
    values: Arc<Budget>,
    value_bytes: u64,
}

impl Charge {
    /// Takes `bytes` if the budget has them.
    pub(super) fn take(env: &Arc<Env>, bytes: u64) -> Option<Self> {
        env.buffers.try_take(bytes).then(|| Self::of(env, bytes))
    }

    fn of(env: &Env, bytes: u64) -> Self {
        let (buffers, values) = (Arc::clone(&env.buffers), Arc::clone(&env.values));
        Self { buffers, bytes, values, value_bytes: 0 }
    }

    /// Takes as many bytes for values that stay in the log, if they may be had.
    pub(super) fn take_values(&mut self, bytes: u64) -> bool {
        let taken = self.values.try_take(bytes);
        self.value_bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Takes `bytes` even beyond the budget.
    pub(super) fn force(env: &Arc<Env>, bytes: u64) -> Self {
        env.buffers.take(bytes);
        Self::of(env, bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.buffers.give(self.bytes);
        self.values.give(self.value_bytes);
    }
}

impl Generation {
    /// A generation that is not installed yet.
    pub(super) fn new(
        memtable: Memtable,
        segment: Option<Arc<Segment>>,
        stands_for: Option<Predecessor>,
        charge: Charge,
        garbage: &Arc<Garbage>,
    ) -> Arc<Self> {
        Arc::new(Self {
            memtable: Arc::new(memtable),
            segment,
            place: OnceLock::new(),
            stands_for,
            next: EpochCell::new(Arc::new(Next::Empty), Arc::clone(garbage)),
            saw_sync: AtomicBool::new(false),
            populated: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            zeroed: AtomicU64::new(0),
            _charge: charge,
        })
    }

    /// The empty generation at `at`: born sealed, without log, so that the first write installs a
    /// prepared one by the ordinary way.
    pub(super) fn empty(
        at: Lsn,
        last_log: Option<Predecessor>,
        env: &Arc<Env>,
    ) -> Result<Arc<Self>> {
        let memtable = Memtable::new_whole(0, 0, &env.garbage, &env.memory)?;
        memtable.open_at(at);
        Ok(Self::new(memtable, None, last_log, Charge::force(env, 0), &env.garbage))
    }

    /// Where its records begin.
    pub(super) fn base(&self) -> Lsn {
        self.memtable.start()
    }

    /// Whether ordinary writes reach its log by storing into mapped memory.
    pub(super) fn is_mapped(&self) -> bool {
        self.segment.as_ref().is_some_and(|segment| segment.is_mapped())
    }

    /// Whether its successor should be prepared. A large one that is filled through its mapping
    /// wakes the workers as it goes, and waits until it is half full: then the memory of the one
    /// before it may be free to be used again.
    pub(super) fn nears_its_end(&self) -> bool {
        let memtable = &self.memtable;
        let capacity = memtable.capacity_bytes();
        let is_far = || {
            if memtable.is_sparse() {
                // The next one takes hardly any memory.
                return memtable.reserved_bytes() >= capacity / 4
                    || memtable.written_bytes() >= memtable.memory_bytes() / 2;
            }
            memtable.reserved_bytes() >= capacity / 2
        };
        !self.is_empty_one() && (capacity <= SMALL_BYTES || !self.is_mapped() || is_far())
    }

    /// How the next log's header names this one, which ends at `end`.
    pub(super) fn as_predecessor(&self, end: Lsn) -> Option<Predecessor> {
        match &self.segment {
            Some(segment) => Some(Predecessor { number: segment.number(), base: self.base(), end }),
            None => self.stands_for,
        }
    }

    /// The number of its log; 0 without one.
    pub(super) fn log_number(&self) -> FileNumber {
        self.segment.as_ref().map(|segment| segment.number()).unwrap_or_default()
    }

    /// Its base, if its log is mapped.
    pub(super) fn mapped_base(&self) -> Option<Lsn> {
        self.is_mapped().then(|| self.base())
    }

    /// Whether nothing was ever reserved in it; true may be old by the time it is looked at.
    pub(super) fn is_unused(&self) -> bool {
        self.memtable.tail() == self.base().0
    }

    /// Whether it has no log and can hold nothing.
    pub(super) fn is_empty_one(&self) -> bool {
        self.segment.is_none()
    }

    /// Writes its place in the log into its header, once it is installed.
    ///
    /// In a mapped log this stores the same words whoever does it, and cannot fail.
    pub(super) fn store_place(&self) -> Result<()> {
        match (&self.segment, self.place.get()) {
            (Some(segment), Some(place)) => segment.store_base(place),
            _ => Ok(()),
        }
    }

    /// Notes that a synced commit went into it.
    pub(super) fn note_sync(&self) {
        if !self.saw_sync.load(Ordering::Relaxed) {
            self.saw_sync.store(true, Ordering::Relaxed);
        }
    }
}

/// Entries in memory that are not in a table yet, sealed.
#[derive(Clone)]
pub(super) enum Sealed {
    /// A generation of this process.
    Generation(Arc<Generation>),
    /// What recovery found in a cleanly ended log.
    Replayed(Arc<ReplayedLog>),
}

/// A log segment that recovery replayed into memory.
pub(super) struct ReplayedLog {
    /// The entries.
    pub(super) entries: Arc<Replayed>,
    /// The log's file.
    pub(super) number: FileNumber,
    /// The end of the log, above every entry's number.
    pub(super) end: Lsn,
    /// Bytes of log that it stands for.
    pub(super) bytes: u64,
}

/// The successor of one that has no more than this is prepared at once: to make one takes
/// milliseconds where the disk is busy, and that is as long as 4 MiB take to fill.
const SMALL_BYTES: u64 = 16 << 20;
/// Above every number.
const ALL: Lsn = Lsn(u64::MAX);

impl Sealed {
    /// The position above every entry in it.
    pub(super) fn end(&self) -> Lsn {
        match self {
            Self::Generation(generation) => {
                generation.memtable.sealed_at().unwrap_or_else(|| generation.base())
            }
            Self::Replayed(log) => log.end,
        }
    }

    /// Bytes of log that flushing it will free.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Generation(generation) => self.end().0 - generation.base().0,
            Self::Replayed(log) => log.bytes,
        }
    }

    /// Bytes of memory that flushing it will free, about.
    pub(super) fn memory_bytes(&self) -> u64 {
        match self {
            // Others lie on huge pages, which are there as a whole.
            Self::Generation(generation) if generation.memtable.is_sparse() => {
                generation.memtable.written_bytes()
            }
            _ => self.bytes(),
        }
    }

    /// Bytes of values that are in its log instead of memory, about.
    pub(super) fn value_bytes(&self) -> u64 {
        match self {
            Self::Generation(generation) if generation.memtable.is_sparse() => {
                generation.memtable.spared_bytes()
            }
            _ => 0,
        }
    }

    /// The number of its log file, if it has one.
    pub(super) fn log_number(&self) -> Option<FileNumber> {
        match self {
            Self::Generation(generation) => generation.segment.as_ref().map(|s| s.number()),
            Self::Replayed(log) => Some(log.number),
        }
    }

    /// Unmaps the pages of its log. All of it is visible.
    pub(super) fn release_log(&self) {
        if let Self::Generation(generation) = self {
            if let Some(map) = generation.segment.as_ref().and_then(|segment| segment.map()) {
                map.release(u64::MAX);
            }
        }
    }

    /// The keyspaces that have entries in it.
    pub(super) fn keyspaces(&self) -> Result<Vec<KeyspaceId>> {
        match self {
            Self::Generation(generation) => generation.memtable.keyspaces(ALL),
            Self::Replayed(log) => Ok(log.entries.keyspaces(ALL)),
        }
    }

    /// A cursor over one keyspace's entries numbered below `below`.
    ///
    /// # Errors
    /// `Busy` when `below` lies inside, is no snapshot, and is too old: read at a newer position.
    pub(super) fn cursor(&self, keyspace: KeyspaceId, below: Lsn) -> Result<MemCursor> {
        // From the end on every position sees the same.
        let below = if below >= self.end() { ALL } else { below };
        Ok(match self {
            Self::Generation(generation) => generation.memtable.cursor(keyspace, below)?,
            Self::Replayed(log) => log.entries.cursor(keyspace, below),
        })
    }

    /// Makes `cursor` what [`Self::cursor`] would give, if it was over this before; else false.
    ///
    /// # Errors
    /// As for [`Self::cursor`].
    pub(super) fn renew(
        &self,
        cursor: &mut MemCursor,
        keyspace: KeyspaceId,
        below: Lsn,
    ) -> Result<bool> {
        let below = if below >= self.end() { ALL } else { below };
        match self {
            Self::Generation(generation) => generation.memtable.renew(cursor, keyspace, below),
            // It is replaced soon.
            Self::Replayed(_) => Ok(false),
        }
    }
}
