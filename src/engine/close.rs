//! Closing: the last acknowledged write is as safe as the first, and the log says that it ended.
//!
//! 1. A large log is flushed while the database still lives.
//! 2. New calls are refused; jobs under way end.
//! 3. The end takes the place of the successor; the tail is sealed, so nothing can be reserved.
//! 4. When all that was reserved is visible: sync, *then* write the end record, sync again, and
//!    say in the manifest that everything is durable.
//!
//! A poisoned database gets no end record: the next open recovers.

use std::sync::Arc;

use super::db::{CLOSED, CLOSING, Db, LogLevel, OPEN, ReadState};
use super::generation::{self, Generation, Next};
use crate::base::mutant::mutant;
use crate::base::{Error, Lsn, Result, filename};
use crate::manifest::VersionEdit;
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::record::{self, SEAL_BYTES};
use crate::version::Version;
use crate::wal::SEGMENT_HEAD_BYTES;

/// A log larger than this is flushed by close, so that the next open has little to replay.
const FLUSH_BYTES: u64 = 1 << 20;

impl Db {
    /// Closes the database. Its memory lives on while children hold it; they answer `Closed`.
    ///
    /// # Errors
    /// `Closed` when it was closed before. Any other error says that the end could not be made
    /// durable: the database is closed all the same, and the next open recovers.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_open()?;
        self.close_now()
    }

    pub(super) fn close_now(&self) -> Result<()> {
        let mut outcome = Ok(());
        if self.is_live() && self.poison.check().is_ok() && self.unflushed_bytes() > FLUSH_BYTES {
            // What cannot be flushed stays in the log, and the log decides.
            if let Err(error) = self.flush() {
                self.log(LogLevel::Warn, || format!("not flushed before the close: {error}"));
            }
        }
        if self.life.compare_exchange(OPEN, CLOSING, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return Err(Error::closed());
        }
        self.leave_children();
        self.wake_all();
        self.wait_for_jobs();
        if !self.options.read_only {
            self.abandon_flushes();
            // Before the directory is synced.
            self.clear_shelf();
            outcome = outcome.and(self.end_log());
        }
        self.let_go();
        if let Err(error) = &outcome {
            self.log(LogLevel::Error, || format!("closed without a clean end: {error}"));
        }
        outcome
    }

    fn unflushed_bytes(&self) -> u64 {
        self.visible().0.saturating_sub(self.floor().0)
    }

    fn wait_for_jobs(&self) {
        for cancelled in &self.compaction.lock().running {
            cancelled.store(true, Ordering::Relaxed);
        }
        let _ = self.wait_on(&self.jobs.parking, None, || self.jobs.running() == 0);
    }

    fn end_log(&self) -> Result<()> {
        self.poison.check()?;
        let Some(last) = self.freeze_end() else { return Ok(()) };
        let Some(segment) = last.segment.clone() else { return Ok(()) };
        let end = loop {
            if let Some(end) = last.memtable.sealed_at() {
                break end;
            }
            last.memtable.seal(last.memtable.tail());
        };
        let at = Lsn(end.0 - SEAL_BYTES as u64);
        self.wait_visible(at)?;
        if at == last.base() && at == self.floor() {
            // Nothing was ever written to it, and all before it is in tables: no log is as clean
            // an end, and it leaves no allocated space behind.
            self.dir.remove(&filename::log(segment.number()))?;
            return self.dir.sync();
        }
        if !mutant("end_before_sync") {
            self.ensure_synced(at)?;
        }
        let record = record::encode_end(at, segment.salt());
        let place = at.0 - last.base().0;
        if let Some(map) = segment.map() {
            map.store(SEGMENT_HEAD_BYTES + place, &record);
        } else {
            if place == 0 {
                // Nothing was written to it, so no leader has stored its place.
                last.store_place()?;
            }
            segment.write_at(place, &record)?;
        }
        segment.sync(place, place + SEAL_BYTES as u64)?;
        // The manifest says so, too: nothing of the log can be cut off or missing unnoticed now.
        self.install(VersionEdit { synced: Some(end), ..VersionEdit::default() }, None)
    }

    /// Puts the end in the place of the active generation's successor, and returns that
    /// generation; none when it is the empty one.
    fn freeze_end(&self) -> Option<Arc<Generation>> {
        loop {
            let guard = epoch::pin();
            let active = Arc::clone(&self.state.load(&guard).active);
            if let Ok(unneeded) = generation::put_end(&active.next, &guard) {
                if let Some(unneeded) = unneeded {
                    self.discard(&unneeded);
                }
                return (!active.is_empty_one()).then_some(active);
            }
            if let Some(end) = active.memtable.sealed_at() {
                let _ = self.install_next(&active, end, &guard);
            }
        }
    }

    /// Frees what only an open database needs. Children keep what they hold themselves.
    fn let_go(&self) {
        *self.catalogue.lock() = None;
        if let Ok(active) = Generation::empty(self.visible(), None, &self.env) {
            let guard = epoch::pin();
            // A preparer that comes late must not bring it to life.
            active.next.swap(Arc::new(Next::End), &guard);
            let version = Arc::new(Version::default());
            let state = ReadState { active, sealed: Vec::new(), version };
            self.state.swap(Arc::new(state), &guard);
        }
        self.life.store(CLOSED, Ordering::SeqCst);
        self.spare.clear();
        *self.lock.lock() = None;
        self.wake_all();
        self.env.rebalance();
        self.env.garbage.drain();
    }
}
