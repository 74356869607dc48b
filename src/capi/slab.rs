//! The slots behind handles: numbers that stay safe to look up whatever the caller does with them.
//!
//! A handle is (kind, index, generation) in 64 bits. Its slot holds one state word and one object
//! pointer. The state of a live slot *is* the handle's value, so a lookup is one load and one
//! compare. Slots are never unmapped, so a lookup of any number touches only slots.
//!
//! ```text
//! bits 63..60  phase: 9 live, 1 in use, 5 closing, 0 free (only 9 is ever handed out)
//! bits 59..56  kind of object, 1 to 15
//! bits 55..32  index of the slot
//! bits 31..0   generation, 1 and up; a free slot holds the next one
//! ```
//!
//! The value of a live handle is no canonical address, so following it as a pointer faults at once.
//!
//! Rules: rule 1 is in [`super::hazard`]. Rule 2: no value is handed out twice; a slot whose
//! generations are used up is not used again. Rule 3: a slot is reused only after many others that
//! were freed on its thread's shelf ([`super::shelf`]) or in its queue ([`QUARANTINE`]; first in, first
//! out), so stale handles meet free slots first. Rule 4: the object pointer of a slot changes only
//! while the slot is free or closing.
//!
//! Three ways of use. *Shared*: announce, check; any number of threads; closing waits until nobody
//! announces. *Exclusive*: live to "in use" by compare-and-swap; a second user is told, and closing
//! waits for the first. *Biased*: exclusive without the swap, for the thread of one record
//! (`Slot::owner`): it announces, then checks that it is still the owner. Anybody else first takes
//! the handle from the owner, for good, in the manner of a closer ([`super::hazard`]): owner to
//! "revoking", the dear barrier, a look at all announcements. Rule 5: while a slot's owner is a record, no
//! call uses the handle but one that this record announces; while it is "revoking", none begins.
//! Any thread may call anything here.

use std::collections::VecDeque;
use std::ptr;

use parking_lot::Mutex;

use super::barrier;
use super::hazard::{Hazards, Record};
use crate::base::mutant::mutant;
use crate::base::{Error, Result};
use crate::mem::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Slots in the first chunk; each further chunk has twice as many.
const FIRST_CHUNK: u32 = if cfg!(loom) { 1 } else { 64 };
/// Chunks; together with the first chunk's size this bounds the handles that are open at once.
const CHUNKS: usize = if cfg!(loom) { 2 } else { 18 };
/// Queues of freed slots that found no room on a shelf; a thread uses one, so that threads seldom
/// meet.
const QUEUES: usize = if cfg!(loom) { 1 } else { 8 };
/// Freed slots that a queue keeps back.
const QUARANTINE: usize = if cfg!(loom) { 0 } else { 64 };

const PHASE_BITS: u64 = 0xf << 60;
const LIVE: u64 = 0x9 << 60;
const IN_USE: u64 = 0x1 << 60;
const CLOSING: u64 = 0x5 << 60;

/// One slot, alone in its cache line: neighbours belong to other threads.
#[repr(align(64))]
struct Slot {
    /// See the module. Written by whoever makes, uses or closes the handle, by compare-and-swap or
    /// by the one who owns the phase; read by everybody. `Release` when it becomes live pairs with
    /// `Acquire` in lookups: whoever sees the handle sees the object.
    state: AtomicU64,
    /// The object; owned by the slot (rule 4).
    object: AtomicPtr<()>,
    /// Whose calls need no swap: generation and record, [`NOBODY`] or [`REVOKING`]. Set by
    /// `insert` (before `state`), afterwards changed by compare-and-swap only, but by whoever made
    /// it "revoking"; read by takers. The owner's announcement and this word are ordered by the two
    /// halves of [`super::barrier`]; `Release` when it becomes nobody's pairs with `Acquire` in
    /// takers: whoever sees it knows that the owner is out.
    owner: AtomicU64,
}

/// A handle that everybody takes by compare-and-swap.
const NOBODY: u64 = 0;
/// Somebody takes the handle from its owner.
const REVOKING: u64 = 1;

/// What an exclusive caller has.
pub(super) struct Taken<'a> {
    /// Valid until [`Slab::put_back`].
    pub(super) object: *mut (),
    /// The caller's announcement, if it is the owner.
    pub(super) place: Option<&'a AtomicU64>,
}

/// All slots.
pub(super) struct Slab {
    /// Chunks, made on first need. Set once (release), read by lookups (acquire).
    chunks: [AtomicPtr<Slot>; CHUNKS],
    /// Slots that were ever used. Only grows.
    fresh: AtomicU32,
    /// Freed slots that are on no shelf, oldest first.
    freed: [Mutex<VecDeque<u32>>; QUEUES],
    /// Who uses which shared handle.
    pub(super) hazards: Hazards,
}

/// A handle that is closing: no lookup finds it any more, those before may still use the object.
#[must_use]
pub(super) struct Closing<'a> {
    slab: &'a Slab,
    slot: &'a Slot,
    handle: u64,
}

/// The number of a handle's kind, 0 for what is no handle.
pub(super) fn kind_of(handle: u64) -> u8 {
    (handle >> 56).to_le_bytes()[0] & 0xf
}

/// The index of a handle's slot.
fn index_of(handle: u64) -> u32 {
    ((handle >> 32) & 0xff_ffff) as u32
}

/// The owner word of a handle for the thread with record `id`, which is not 0.
#[inline]
fn bias(handle: u64, id: u32) -> u64 {
    (handle << 32) | u64::from(id)
}

fn with_phase(handle: u64, phase: u64) -> u64 {
    (handle & !PHASE_BITS) | phase
}

impl Slab {
    /// No slots yet.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            fresh: AtomicU32::new(0),
            freed: [const { Mutex::new(VecDeque::new()) }; QUEUES],
            hazards: Hazards::new(),
        }
    }

    /// No slots yet.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self {
            chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            fresh: AtomicU32::new(0),
            freed: std::array::from_fn(|_| Mutex::new(VecDeque::new())),
            hazards: Hazards::new(),
        }
    }

    /// Makes a handle of `kind` (1 to 15) for `object`, which the slot owns from now on. The
    /// caller's record is `mine`; with `biased` his calls are cheap.
    ///
    /// Errors: `NoMemory` when 2^24 handles are open; the object stays the caller's.
    #[inline]
    pub(super) fn insert(
        &self,
        kind: u8,
        object: *mut (),
        mine: &Record,
        biased: bool,
    ) -> Result<u64> {
        let index = match mine.shelf.take() {
            Some(index) => index,
            None => self.other_slot(mine)?,
        };
        let Some(slot) = self.slot(index) else {
            return Err(Error::no_memory("too many handles are open"));
        };
        let free = slot.state.load(Ordering::Relaxed);
        let generation = (free & 0xffff_ffff).max(1);
        let handle = LIVE | (u64::from(kind) << 56) | (u64::from(index) << 32) | generation;
        slot.object.store(object, Ordering::Relaxed);
        let owner = if biased { bias(handle, mine.id()) } else { NOBODY };
        slot.owner.store(owner, Ordering::Relaxed);
        slot.state.store(handle, Ordering::Release);
        Ok(handle)
    }

    /// A slot that is not on the caller's shelf.
    #[cold]
    fn other_slot(&self, mine: &Record) -> Result<u32> {
        match self.reuse(mine.id() as usize) {
            Some(index) => Ok(index),
            None => self.unused(),
        }
    }

    /// The oldest freed slot of the thread's own queue, or of any, that is out of quarantine.
    fn reuse(&self, queue: usize) -> Option<u32> {
        (0..QUEUES).find_map(|step| {
            let queue = self.freed.get((queue + step) % QUEUES)?;
            let mut freed = if step == 0 { queue.lock() } else { queue.try_lock()? };
            if freed.len() > QUARANTINE { freed.pop_front() } else { None }
        })
    }

    /// Puts a freed slot at the end of a queue.
    #[cold]
    fn keep_back(&self, index: u32, queue: usize) {
        if let Some(queue) = self.freed.get(queue % QUEUES) {
            queue.lock().push_back(index);
        }
    }

    /// A slot that was never used.
    fn unused(&self) -> Result<u32> {
        let full = || Error::no_memory("too many handles are open");
        let index = self.fresh.fetch_add(1, Ordering::Relaxed);
        let (chunk, _) = place_of(index).filter(|_| index < 1 << 24).ok_or_else(|| {
            self.fresh.fetch_sub(1, Ordering::Relaxed);
            full()
        })?;
        let cell = self.chunks.get(chunk).ok_or_else(full)?;
        if cell.load(Ordering::Acquire).is_null() {
            let made = make_chunk(chunk)?;
            let null = ptr::null_mut();
            let seen = cell.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire);
            if seen.is_err() {
                // SAFETY: `made` came from `make_chunk` just now and nobody saw it.
                drop(unsafe {
                    Box::from_raw(ptr::slice_from_raw_parts_mut(made, slots_in(chunk)))
                });
            }
        }
        Ok(index)
    }

    /// The slot at `index`, if its chunk exists.
    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot> {
        let (chunk, at) = place_of(index)?;
        let base = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if base.is_null() {
            return None;
        }
        // SAFETY: `at` is below the chunk's length by `place_of`; chunks are never unmapped.
        Some(unsafe { &*base.add(at) })
    }

    /// The object of a live handle that the caller has announced; `None` when it is not live.
    ///
    /// The pointer is valid until the announcement is withdrawn (rule 1).
    #[inline]
    pub(super) fn announced(&self, handle: u64) -> Option<*mut ()> {
        let slot = self.slot(index_of(handle))?;
        if slot.state.load(Ordering::Acquire) != handle || handle & PHASE_BITS != LIVE {
            return None;
        }
        Some(slot.object.load(Ordering::Relaxed))
    }

    /// Takes a live handle for this caller alone, whose record is `mine`. `None` when it is not
    /// live or is in use.
    #[inline(always)]
    pub(super) fn take<'a>(&self, handle: u64, mine: &'a Record) -> Option<Taken<'a>> {
        if handle & PHASE_BITS != LIVE {
            return None;
        }
        let slot = self.slot(index_of(handle))?;
        let owner = bias(handle, mine.id());
        if slot.owner.load(Ordering::Relaxed) == owner {
            if let Some(place) = mine.announce_alone(handle) {
                // Rule 5. The record's thread was told of the handle, so it sees the object.
                if slot.state.load(Ordering::Acquire) == handle
                    && slot.owner.load(Ordering::Acquire) == owner
                {
                    let object = slot.object.load(Ordering::Relaxed);
                    return Some(Taken { object, place: Some(place) });
                }
                Record::withdraw(place);
            }
        }
        self.take_by_swap(slot, handle)
    }

    #[inline(never)]
    fn take_by_swap<'a>(&self, slot: &Slot, handle: u64) -> Option<Taken<'a>> {
        if !self.revoke(slot, handle) {
            return None;
        }
        let in_use = with_phase(handle, IN_USE);
        slot.state
            .compare_exchange(handle, in_use, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Taken { object: slot.object.load(Ordering::Relaxed), place: None })
    }

    /// Takes a handle from its owner, if it has one. False if the owner is using it, or another
    /// thread is just doing the same. Says nothing about a handle that is not live.
    #[inline]
    fn revoke(&self, slot: &Slot, handle: u64) -> bool {
        let owner = slot.owner.load(Ordering::Acquire);
        owner == NOBODY || self.revoke_from(slot, handle, owner)
    }

    #[cold]
    fn revoke_from(&self, slot: &Slot, handle: u64, owner: u64) -> bool {
        if owner >> 32 != handle & 0xffff_ffff {
            // Revoking; or another handle's owner, and then ours is not live.
            return owner != REVOKING;
        }
        let seen =
            slot.owner.compare_exchange(owner, REVOKING, Ordering::SeqCst, Ordering::Acquire);
        if let Err(now) = seen {
            return now == NOBODY;
        }
        barrier::heavy();
        let in_use = !mutant("capi_revoke_does_not_look") && self.hazards.holds(handle);
        slot.owner.store(if in_use { owner } else { NOBODY }, Ordering::Release);
        !in_use
    }

    /// Ends what [`take`](Slab::take) began, with the `place` that it gave. Only its caller may
    /// call this, once.
    #[inline]
    pub(super) fn put_back(&self, handle: u64, place: Option<&AtomicU64>) {
        if let Some(place) = place {
            Record::withdraw(place);
        } else if let Some(slot) = self.slot(index_of(handle)) {
            slot.state.store(handle, Ordering::Release);
        }
    }

    /// The closer's part of rule 5: nobody owns the slot, which is closing, and nobody who did uses
    /// it. The closer's record is `mine`.
    fn end_bias(&self, slot: &Slot, handle: u64, mine: &Record) {
        let mut patience = Patience::new();
        loop {
            let owner = slot.owner.load(Ordering::Acquire);
            if owner == NOBODY {
                return;
            }
            let is_mine = owner == bias(handle, mine.id());
            let next = if is_mine { NOBODY } else { REVOKING };
            let swap =
                || slot.owner.compare_exchange(owner, next, Ordering::SeqCst, Ordering::Relaxed);
            if owner == REVOKING || swap().is_err() {
                patience.wait();
                continue;
            }
            if is_mine {
                // A call of this very thread that closes what it uses waits for itself.
                while mine.holds(handle) {
                    patience.wait();
                }
                return;
            }
            barrier::heavy();
            while self.hazards.holds(handle) {
                patience.wait();
            }
            slot.owner.store(NOBODY, Ordering::Release);
            return;
        }
    }

    /// Makes a live handle unfindable. `None` when it is not live: exactly one of several callers
    /// gets it. Waits while an exclusive user has it (bounded by that call). The caller's record is
    /// `mine`.
    pub(super) fn close(&self, handle: u64, mine: &Record) -> Option<Closing<'_>> {
        if handle & PHASE_BITS != LIVE {
            return None;
        }
        let slot = self.slot(index_of(handle))?;
        let closing = with_phase(handle, CLOSING);
        let mut patience = Patience::new();
        loop {
            match slot.state.compare_exchange(handle, closing, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.end_bias(slot, handle, mine);
                    return Some(Closing { slab: self, slot, handle });
                }
                Err(state) if state == with_phase(handle, IN_USE) => patience.wait(),
                Err(_) => return None,
            }
        }
    }

    /// What a handle that is not live was: whether its slot has seen it before.
    pub(super) fn was_live(&self, handle: u64) -> bool {
        if handle & PHASE_BITS != LIVE {
            return false;
        }
        let Some(slot) = self.slot(index_of(handle)) else { return false };
        let state = slot.state.load(Ordering::Acquire);
        let (now, then) = (state & 0xffff_ffff, handle & 0xffff_ffff);
        let same = with_phase(state, LIVE) == handle;
        then != 0 && (then < now || same)
    }

    /// Whether a handle that could not be taken is open: then it is or was in use.
    pub(super) fn is_open(&self, handle: u64) -> bool {
        handle & PHASE_BITS == LIVE
            && self.slot(index_of(handle)).is_some_and(|slot| {
                let state = slot.state.load(Ordering::Relaxed);
                state == handle || state == with_phase(handle, IN_USE)
            })
    }
}

impl Closing<'_> {
    /// The object, valid until [`finish`](Closing::finish): only the closer frees it.
    pub(super) fn object(&self) -> *mut () {
        self.slot.object.load(Ordering::Relaxed)
    }

    /// Waits until no thread announces the handle. Needed for shared handles only.
    pub(super) fn wait_for_users(&self) {
        if mutant("capi_close_does_not_wait") {
            return;
        }
        barrier::heavy();
        let mut patience = Patience::new();
        while self.slab.hazards.holds(self.handle) {
            patience.wait();
        }
    }

    /// Frees the slot and returns the object, now the caller's, whose record is `mine`. Call after
    /// [`wait_for_users`](Closing::wait_for_users) if the handle was shared.
    #[inline]
    pub(super) fn finish(self, mine: &Record) -> *mut () {
        let object = self.slot.object.load(Ordering::Relaxed);
        self.slot.object.store(ptr::null_mut(), Ordering::Relaxed);
        let old = self.handle & 0xffff_ffff;
        let generation = if mutant("capi_slot_keeps_its_generation") { old } else { old + 1 };
        let index = index_of(self.handle);
        self.slot.state.store((u64::from(index) << 32) | generation, Ordering::Release);
        // Rule 2: a slot whose generations are used up would repeat itself.
        if generation < 0xffff_ffff {
            if let Some(other) = mine.shelf.put(index) {
                self.slab.keep_back(other, mine.id() as usize);
            }
        }
        object
    }
}

/// Slots of chunk `chunk`.
fn slots_in(chunk: usize) -> usize {
    (FIRST_CHUNK as usize) << chunk
}

/// The chunk of slot `index` and its place there.
#[inline]
fn place_of(index: u32) -> Option<(usize, usize)> {
    let scaled = index / FIRST_CHUNK + 1;
    let chunk = scaled.ilog2();
    let before = FIRST_CHUNK * ((1u32 << chunk) - 1);
    let chunk = chunk as usize;
    (chunk < CHUNKS).then_some((chunk, (index - before) as usize))
}

/// Makes a chunk of free slots at generation 1.
#[cold]
fn make_chunk(chunk: usize) -> Result<*mut Slot> {
    let mut slots = Vec::new();
    let count = slots_in(chunk);
    slots.try_reserve_exact(count).map_err(|_| Error::no_memory("no memory for handles"))?;
    let before = FIRST_CHUNK as usize * ((1 << chunk) - 1);
    slots.extend((0..count).map(|at| Slot {
        state: AtomicU64::new((((before + at) as u64) << 32) | 1),
        object: AtomicPtr::new(ptr::null_mut()),
        owner: AtomicU64::new(NOBODY),
    }));
    Ok(Box::into_raw(slots.into_boxed_slice()).cast())
}

/// Waiting without anybody who would wake us: users leave by a plain store. Spins, then gives the
/// processor away, then sleeps in short naps; only closing waits like this.
struct Patience {
    rounds: u32,
}

impl Patience {
    fn new() -> Self {
        Self { rounds: 0 }
    }

    #[cfg(loom)]
    fn wait(&mut self) {
        self.rounds += 1;
        loom::thread::yield_now();
    }

    #[cfg(not(loom))]
    fn wait(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        match self.rounds {
            0..=100 => std::hint::spin_loop(),
            101..=200 => std::thread::yield_now(),
            _ => std::thread::park_timeout(std::time::Duration::from_micros(200)),
        }
    }
}
