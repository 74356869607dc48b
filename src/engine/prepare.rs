//! Making the next generation ahead of the writers: file, space, header, memory.
//!
//! Everything that can fail for want of space or memory fails here, before anything is reserved.

use std::sync::Arc;

use super::db::{Db, LogLevel, OPEN};
use super::generation::{Charge, Generation, Next, Sealed};
use crate::base::mutant::mutant;
use crate::base::options::LogMode;
use crate::base::{Error, ErrorKind, Result, filename};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::memtable::Memtable;
use crate::record::SEAL_BYTES;
use crate::wal::{Place, SEGMENT_HEAD_BYTES, Segment, SegmentSpec};

/// Bytes of the first generation of a database, where the option allows as much.
pub(super) const FIRST_CAPACITY: u64 = 1 << 20;
/// How much larger each further one is: to make one takes about as long as 1 MiB takes to fill.
const GROWTH: u64 = 4;
/// Pages are brought into memory this far ahead of the writers at most: a huge page, which a writer
/// would need some 200 us to zero.
const POPULATE_BYTES: u64 = 2 << 20;
/// And at least this far.
const POPULATE_BYTES_MIN: u64 = 64 << 10;
/// So much at once, so that a writer who waits for the generation has it after the first step.
const POPULATE_STEP: u64 = 256 << 10;
/// Pages of the mapped log are let go so far behind what is visible: late stores come close.
const RELEASE_BYTES: u64 = 256 << 10;
/// Logs up to this size are let go as a whole: each time other processors are interrupted.
const WHOLE_BYTES: u64 = 4 << 20;
/// Write buffers from this size on are filled
pub(super) const PARTED_BYTES_MIN: u64 = 16 << 20;
/// in so many parts.
const PARTS: u64 = 4;
/// A database that has nothing to flush gets a generation so small even beyond the budget for write
/// buffers, so that it is never starved by others that sit on theirs,
const SMALL_CAPACITY: u64 = 64 << 10;
/// as long as all that does not exceed the memory budget by more than this part of it.
const OVERDRAFT: u64 = 4;

/// A log whose generation has mostly values that stay in it is so many times as long as the memory of
/// the generation, at least and at most,
const LONG_TIMES: (u64, u64) = (if cfg!(test) { 2 } else { 3 }, 8);
/// no longer than this,
const LONG_CAPACITY_MAX: u64 = 256 << 20;
/// and only where so much was written that it tells what will be.
const LONG_SAMPLE_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };

/// What a generation is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Records as they come.
    Plain,
    /// One large record.
    Whole,
    /// Long values that stay in the log, and so many bytes of memory for the rest.
    Sparse { memory: u64 },
}

/// How far ahead of its writers a generation of `capacity` is populated: small ones belong to small
/// or idle databases, of which there may be hundreds.
fn populate_bytes(capacity: u64) -> u64 {
    (capacity / 8).clamp(POPULATE_BYTES_MIN, POPULATE_BYTES).min(capacity) & !4095
}

impl Db {
    /// Bytes of a full-grown generation: a large write buffer is filled in parts, so that the memory
    /// of one is free again while the next is filled.
    pub(super) fn generation_bytes(&self) -> u64 {
        let option = self.options.write_buffer_bytes;
        if option >= PARTED_BYTES_MIN { (option / PARTS) & !4095 } else { option }
    }

    /// Prepares a successor of the active generation, if it has none and there is room.
    ///
    /// Returns whether it did.
    pub(super) fn prepare_next(&self) -> Result<bool> {
        let Some(_one) = self.jobs.preparing.try_lock() else { return Ok(false) };
        self.prepare_locked()
    }

    /// The same for the holder of `preparing`.
    pub(super) fn prepare_locked(&self) -> Result<bool> {
        if self.check_writable().is_err() || self.has_next() {
            return Ok(false);
        }
        let option = self.generation_bytes();
        let usual = self.next_capacity.load(Ordering::Relaxed).min(option);
        let small = self.jobs.small_next.load(Ordering::Relaxed);
        let wanted = if small { self.small_capacity() } else { usual };
        let Some((capacity, charge)) = self.charge(wanted) else { return Ok(false) };
        let generation = match self.build_next(capacity, charge, !small && wanted == option) {
            Ok(generation) => generation,
            Err(error) => {
                self.note_background_error(&error.clone().during("no log could be prepared"));
                return Err(error);
            }
        };
        if let Err(error) = self.follow_clean_end(&generation) {
            // Its head may name the clean end all the same, and no other log may do so as well.
            let error = error.during("the log could not be made durable");
            self.poison(error.clone());
            return Err(error);
        }
        if small {
            self.jobs.small_next.store(false, Ordering::Relaxed);
        } else {
            self.next_capacity.store((usual * GROWTH).min(option), Ordering::Relaxed);
        }
        let ahead = generation.touched.load(Ordering::Relaxed);
        let begun = self.populate(&generation, (0, ahead), true);
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        let empty = active.next.load(&guard);
        let ready = Arc::new(Next::Ready(Arc::clone(&generation)));
        if !matches!(empty, Next::Empty)
            || active.next.compare_exchange(empty, ready, &guard).is_err()
        {
            // Closed meanwhile.
            self.discard(&generation);
        }
        drop(guard);
        self.jobs.wanted.store(false, Ordering::Relaxed);
        self.clear_background_error();
        self.room_parking.notify();
        self.populate(&generation, (begun, ahead), false);
        Ok(true)
    }

    /// After a clean end nothing but the next log's header says that the log goes on: it is made
    /// durable before that log can have a record.
    fn follow_clean_end(&self, next: &Generation) -> Result<()> {
        let (predecessor, base) = {
            let guard = epoch::pin();
            let active = &self.state.load(&guard).active;
            (active.stands_for, active.base())
        };
        let Some(segment) = next.segment.as_ref().filter(|_| predecessor.is_some()) else {
            return Ok(());
        };
        let _ = next.place.set(Place { base, predecessor, synced: self.synced() });
        next.store_place()?;
        segment.sync(0, 0)
    }

    /// A generation for one record of `bytes`, born sealed, prepared by the writer himself.
    ///
    /// # Errors
    /// `NoMemory` when it cannot fit the budget; nothing is reserved then.
    pub(super) fn prepare_whole(&self, bytes: u64) -> Result<Arc<Generation>> {
        self.check_fits(bytes)?;
        let capacity = bytes + SEAL_BYTES as u64;
        let charge = Charge::force(&self.env, capacity);
        self.build(capacity, Form::Whole, charge)
    }

    /// Refuses a record that could never have a generation.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(super) fn check_fits(&self, bytes: u64) -> Result<()> {
        let budget = self.env.options.memory_budget_bytes;
        if bytes + SEAL_BYTES as u64 <= budget {
            return Ok(());
        }
        Err(Error::no_memory(format!(
            "a write of {bytes} bytes does not fit the memory budget of {budget}"
        )))
    }

    /// Makes the next generation with `memory` bytes of memory: where values stay in the log, with a
    /// larger log, if it is to be `full` grown.
    fn build_next(&self, memory: u64, mut charge: Charge, full: bool) -> Result<Arc<Generation>> {
        if let Some(capacity) = self.long_capacity(memory).filter(|_| full) {
            if charge.take_values(capacity - memory) {
                match self.build(capacity, Form::Sparse { memory }, charge) {
                    // A smaller one may fit.
                    Err(_) => charge = Charge::force(&self.env, memory),
                    built => return built,
                }
            }
        }
        self.build(memory, Form::Plain, charge)
    }

    /// Bytes of the next log, if most of what was written lately stays in logs: then a generation of
    /// `memory` bytes can have a log of several times as many, and all that a generation costs but its
    /// memory is paid less often.
    fn long_capacity(&self, memory: u64) -> Option<u64> {
        let times = {
            let guard = epoch::pin();
            let state = self.state.load(&guard);
            let newest = state.sealed.first().and_then(|sealed| match sealed {
                Sealed::Generation(generation) => Some(&**generation),
                Sealed::Replayed(_) => None,
            });
            let seen = [Some(&*state.active), newest].into_iter().flatten();
            let mut enough = seen.filter(|g| g.memtable.reserved_bytes() >= LONG_SAMPLE_BYTES);
            let memtable = &enough.next()?.memtable;
            memtable.reserved_bytes() / memtable.written_bytes().max(1)
        };
        let most = (2 * self.options.write_buffer_bytes).min(self.values_max() / 2);
        let capacity = (times.min(LONG_TIMES.1) * memory).min(most).min(LONG_CAPACITY_MAX) & !4095;
        (capacity >= LONG_TIMES.0 * memory && self.wants_mapped()).then_some(capacity)
    }

    /// Makes file, space, header and memory of a generation, whose first pages the caller then brings
    /// into memory: those up to `touched`.
    pub(super) fn build(
        &self,
        capacity: u64,
        form: Form,
        charge: Charge,
    ) -> Result<Arc<Generation>> {
        self.check_free_space(capacity)?;
        let spec = SegmentSpec {
            number: self.new_file_number(),
            salt: (self.env.os.random_u64() & 0xffff_ffff) as u32,
            capacity,
            boot_id: self.boot_id,
            mount_id: self.mount_id,
            edit_count: self.edit_count.load(Ordering::Acquire),
        };
        let seed = self.env.os.random_u64();
        let (garbage, memory) = (&self.env.garbage, &self.env.memory);
        let mut memtable = match form {
            Form::Whole => Memtable::new_whole(capacity, seed, garbage, memory)?,
            Form::Plain => Memtable::new(capacity, 0, seed, garbage, memory)?,
            Form::Sparse { memory: bytes } => {
                Memtable::new_sparse(capacity, bytes, seed, garbage, memory)?
            }
        };
        let ahead = if form == Form::Whole { 0 } else { populate_bytes(capacity) };
        let ahead = (3 * ahead).min(capacity & !4095);
        let (segment, filled) = self.segment(spec)?;
        if let Some(map) = segment.map() {
            memtable.set_log(Arc::clone(map), SEGMENT_HEAD_BYTES, segment.number());
        }
        let generation = Generation::new(memtable, Some(segment), None, charge, &self.env.garbage);
        generation.populated.store(ahead, Ordering::Relaxed);
        generation.touched.store(ahead, Ordering::Relaxed);
        // Whoever prepared a written log has written out all that the file held.
        generation.zeroed.store(filled, Ordering::Relaxed);
        Ok(generation)
    }

    /// Makes a log, of one that is not needed any more if there is such a one, and says up to where
    /// that one was filled.
    fn segment(&self, mut spec: SegmentSpec) -> Result<(Arc<Segment>, u64)> {
        let mapped = self.wants_mapped();
        if let Some(used) = self.shelf.take(spec.capacity) {
            if spec.salt == used.salt {
                spec.salt ^= 1;
            }
            if mutant("reused_log_keeps_its_salt") {
                spec.salt = used.salt;
            }
            match Segment::reuse(&*self.dir, used.number, spec, mapped) {
                Ok(segment) => return Ok((segment, used.filled)),
                Err(error) => self.log(LogLevel::Warn, || format!("a log is made anew: {error}")),
            }
        }
        Ok((Segment::prepare(&*self.dir, spec, mapped)?, 0))
    }

    /// Whether the log is written by calls at present, though it is mapped: the values are long.
    fn prefers_calls(&self) -> bool {
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        active.segment.as_ref().is_some_and(|segment| segment.prefers_calls())
    }

    fn wants_mapped(&self) -> bool {
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        self.mapped_ok
            && self.options.log_mode == LogMode::Auto
            && !active.saw_sync.load(Ordering::Relaxed)
    }

    fn check_free_space(&self, bytes: u64) -> Result<()> {
        let low = self.options.low_space_bytes;
        if low > 0 && self.dir.free_bytes()? < low.saturating_add(bytes) {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("less than low_space_bytes ({low}) would stay free"),
            ));
        }
        Ok(())
    }

    /// Budget for a write buffer: what is asked for, or what a database must have to go on.
    pub(super) fn charge(&self, bytes: u64) -> Option<(u64, Charge)> {
        if let Some(charge) = Charge::take(&self.env, bytes) {
            return Some((bytes, charge));
        }
        if !self.has_nothing_sealed() {
            return None;
        }
        let budget = self.env.options.memory_budget_bytes;
        let used = self.env.buffers.used();
        let small = bytes.min(SMALL_CAPACITY);
        let granted = if used + bytes <= budget {
            bytes
        } else if used + small <= budget + budget / OVERDRAFT {
            small
        } else {
            return None;
        };
        Some((granted, Charge::force(&self.env, granted)))
    }

    fn has_nothing_sealed(&self) -> bool {
        let guard = epoch::pin();
        self.state.load(&guard).sealed.is_empty()
    }

    /// Whether a writer who waits for a generation waits in vain, and why.
    pub(super) fn no_hope(&self) -> Option<Error> {
        if let Some(error) = self.background_error.lock().clone() {
            return Some(error);
        }
        if self.jobs.is_paused() && !self.could_prepare() {
            return Some(self.no_room());
        }
        (self.has_nothing_sealed() && !self.could_prepare()).then(|| self.no_room())
    }

    pub(super) fn could_prepare(&self) -> bool {
        let capacity = self.next_capacity.load(Ordering::Relaxed).min(self.generation_bytes());
        self.charge(capacity).is_some()
    }

    pub(super) fn no_room(&self) -> Error {
        let used = self.env.buffers.used();
        let why = if self.jobs.is_paused() {
            "background work is paused"
        } else {
            "they wait for their flush or are held by snapshots, cursors or other databases"
        };
        Error::new(
            ErrorKind::Busy,
            format!("no room for a write buffer: {used} bytes of buffers are in use; {why}"),
        )
    }

    /// Removes the file of a generation that was never installed.
    pub(super) fn discard(&self, generation: &Generation) {
        if let Some(segment) = &generation.segment {
            let _ = self.dir.remove(&filename::log(segment.number()));
        }
    }

    /// Brings the pages of `generation` in `[from, to)` into memory, a step at a time. With `hurry` only
    /// the first step, if somebody waits for it. Returns how far it came.
    pub(super) fn populate(
        &self,
        generation: &Generation,
        (from, to): (u64, u64),
        hurry: bool,
    ) -> u64 {
        let by_calls = self.prefers_calls();
        let is_sparse = generation.memtable.is_sparse();
        let segment = generation.segment.as_ref().filter(|_| !by_calls || !is_sparse);
        let mut at = from;
        while at < to {
            if hurry && at > from && self.jobs.wanted.load(Ordering::Relaxed) {
                break;
            }
            let next = (at + POPULATE_STEP).min(to);
            // Of a sparse one little is touched but the point index, which goes with place 0.
            generation.memtable.populate(at, if is_sparse { at } else { next });
            if let Some(segment) = segment {
                segment.populate(at, next, !by_calls);
            }
            at = next;
        }
        at
    }

    /// Asks for pages ahead of `place`, once for each window.
    pub(super) fn populate_ahead(&self, generation: &Generation, place: u64) {
        let populated = generation.populated.load(Ordering::Relaxed);
        let ahead = populate_bytes(generation.memtable.capacity_bytes());
        if place + 2 * ahead < populated || populated >= generation.memtable.capacity_bytes() {
            return;
        }
        let next = populated + ahead;
        if generation
            .populated
            .compare_exchange(populated, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.jobs.populate.store(true, Ordering::Relaxed);
            self.env.wake_worker();
        }
    }

    /// As a worker: brings the windows that were asked for into memory.
    pub(super) fn populate_job(&self) -> bool {
        if !self.jobs.populate.load(Ordering::Relaxed)
            || !self.jobs.populate.swap(false, Ordering::Relaxed)
        {
            return false;
        }
        let (active, sealed, visible) = {
            let guard = epoch::pin();
            let state = self.state.load(&guard);
            (Arc::clone(&state.active), state.sealed.clone(), self.visible())
        };
        let to = active.populated.load(Ordering::Relaxed).min(active.memtable.capacity_bytes());
        let from = active.touched.fetch_max(to, Ordering::Relaxed);
        self.populate(&active, (from.max(1), to), false);
        if let Some(map) = active.segment.as_ref().and_then(|segment| segment.map()) {
            if active.memtable.capacity_bytes() > WHOLE_BYTES {
                let behind = visible.0.saturating_sub(active.base().0);
                map.release((SEGMENT_HEAD_BYTES + behind).saturating_sub(RELEASE_BYTES));
            }
        }
        // Nobody stores there any more, however long they wait for their flush.
        sealed.iter().filter(|sealed| sealed.end() <= visible).for_each(Sealed::release_log);
        true
    }

    /// Whether the database still lives for background work.
    pub(super) fn is_live(&self) -> bool {
        self.life.load(Ordering::Acquire) == OPEN && !self.options.read_only
    }

    /// Keeps why background work failed, for writers who wait for it.
    pub(super) fn note_background_error(&self, error: &Error) {
        self.log(LogLevel::Error, || format!("{error}"));
        *self.background_error.lock() = Some(error.clone());
        self.room_parking.notify();
    }

    pub(super) fn clear_background_error(&self) {
        *self.background_error.lock() = None;
    }
}
