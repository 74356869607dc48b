//! Making the next generation ahead of the writers: file, space, header, memory.
//!
//! Everything that can fail for want of space or memory fails here, before anything is reserved.

use std::sync::Arc;

use super::db::{Db, LogLevel, OPEN};
use super::generation::{Charge, Generation, Next};
use crate::base::options::LogMode;
use crate::base::{Error, ErrorKind, Result, filename};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::memtable::Memtable;
use crate::record::SEAL_BYTES;
use crate::wal::{Place, SEGMENT_HEAD_BYTES, Segment, SegmentSpec};

/// Bytes of the first generation of a database, where the option allows as much.
pub(super) const FIRST_CAPACITY: u64 = 1 << 20;
/// Pages are brought into memory this far ahead of the writers: a huge page, which a writer would
/// need some 200 us to zero.
const POPULATE_BYTES: u64 = 2 << 20;

impl Db {
    /// Prepares a successor of the active generation, if it has none and there is room.
    ///
    /// Returns whether it did.
    pub(super) fn prepare_next(&self) -> Result<bool> {
        let Some(_one) = self.jobs.preparing.try_lock() else { return Ok(false) };
        if self.check_writable().is_err() || self.has_next() {
            return Ok(false);
        }
        let option = self.options.write_buffer_bytes;
        let capacity = self.next_capacity.load(Ordering::Relaxed).min(option);
        let Some(charge) = self.charge(capacity) else { return Ok(false) };
        let generation = match self.build(capacity, false, charge) {
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
        self.next_capacity.store((capacity * 2).min(option), Ordering::Relaxed);
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
        let capacity = bytes + SEAL_BYTES as u64;
        if capacity > self.env.options.memory_budget_bytes {
            return Err(Error::no_memory(format!(
                "a write of {bytes} bytes does not fit the memory budget"
            )));
        }
        let charge = Charge::force(&self.env, capacity);
        self.build(capacity, true, charge)
    }

    fn build(&self, capacity: u64, whole: bool, charge: Charge) -> Result<Arc<Generation>> {
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
        let memtable = if whole {
            Memtable::new_whole(capacity, seed, &self.env.garbage)?
        } else {
            Memtable::new(capacity, 0, seed, &self.env.garbage)?
        };
        memtable.populate(0, POPULATE_BYTES.min(capacity));
        let name = filename::log(spec.number);
        let segment =
            Segment::prepare(&*self.dir, spec, self.wants_mapped()).inspect_err(|_| {
                let _ = self.dir.remove(&name);
            })?;
        if let Some(map) = segment.map() {
            map.populate(0, SEGMENT_HEAD_BYTES + POPULATE_BYTES.min(capacity));
        }
        Ok(Generation::new(memtable, Some(segment), None, charge, &self.env.garbage))
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
    fn charge(&self, bytes: u64) -> Option<Charge> {
        if let Some(charge) = Charge::take(&self.env, bytes) {
            return Some(charge);
        }
        let guard = epoch::pin();
        let must = self.state.load(&guard).sealed.is_empty();
        let within = self.env.buffers.used() + bytes <= self.env.options.memory_budget_bytes;
        (must && within).then(|| Charge::force(&self.env, bytes))
    }

    /// Whether a writer who waits for a generation waits in vain, and why.
    pub(super) fn no_hope(&self) -> Option<Error> {
        if let Some(error) = self.background_error.lock().clone() {
            return Some(error);
        }
        if self.jobs.is_paused() && !self.could_prepare() {
            return Some(self.no_room());
        }
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        (state.sealed.is_empty() && !self.could_prepare()).then(|| self.no_room())
    }

    pub(super) fn could_prepare(&self) -> bool {
        let capacity =
            self.next_capacity.load(Ordering::Relaxed).min(self.options.write_buffer_bytes);
        self.charge(capacity).is_some()
    }

    pub(super) fn no_room(&self) -> Error {
        let used = self.env.buffers.used();
        let held = if self.jobs.is_paused() { "background work is paused" } else { "it is held" };
        Error::new(
            ErrorKind::Busy,
            format!("no room for a write buffer: {used} bytes are in use and {held}"),
        )
    }

    /// Removes the file of a generation that was never installed.
    pub(super) fn discard(&self, generation: &Generation) {
        if let Some(segment) = &generation.segment {
            let _ = self.dir.remove(&filename::log(segment.number()));
        }
    }

    /// Asks for pages ahead of `place`, once for each window.
    pub(super) fn populate_ahead(&self, generation: &Generation, place: u64) {
        let populated = generation.populated.load(Ordering::Relaxed);
        if place + POPULATE_BYTES / 2 < populated
            || populated >= generation.memtable.capacity_bytes()
        {
            return;
        }
        let next = populated + POPULATE_BYTES;
        if generation
            .populated
            .compare_exchange(populated, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.jobs.populate_to.fetch_max(next, Ordering::Relaxed);
            self.env.wake_workers();
        }
    }

    /// As a worker: brings the window that was asked for into memory.
    pub(super) fn populate_job(&self) -> bool {
        if self.jobs.populate_to.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let to = self.jobs.populate_to.swap(0, Ordering::Relaxed);
        if to == 0 {
            return false;
        }
        let (active, visible) = {
            let guard = epoch::pin();
            (Arc::clone(&self.state.load(&guard).active), self.visible())
        };
        let to = to.min(active.memtable.capacity_bytes());
        active.memtable.populate(to.saturating_sub(POPULATE_BYTES).max(1), to);
        if let Some(map) = active.segment.as_ref().and_then(|segment| segment.map()) {
            let header = SEGMENT_HEAD_BYTES;
            map.populate(header + to.saturating_sub(POPULATE_BYTES), header + to);
            let behind = visible.0.saturating_sub(active.base().0);
            map.release((header + behind).saturating_sub(POPULATE_BYTES));
        }
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
