//! Moving `visible` over consecutive done marks, and waiting for it.
//!
//! Whoever finishes a record helps everybody: there is no owner and no queue. A record's mark is
//! its length word in the arena, stored last (release); beyond what is reserved the arena is zeros.

use std::sync::Arc;

use super::db::{Db, ReadState};
use super::generation::{Generation, Sealed};
use crate::base::{Lsn, Result};
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::mem::epoch::{self, Guard};

/// What lies at a position.
pub(super) enum Step {
    /// A done record that ends here.
    To(u64),
    /// Nothing is done yet.
    Stop,
    /// The position is old, or something was installed: look again.
    Again,
}

/// Moves `visible` as far as `look` finds done records; returns whether it moved.
///
/// Whoever published a record calls it *after* its mark is stored, and calls it again before he
/// sleeps: two neighbours may each miss the other's mark, but not twice.
pub(super) fn advance_over(visible: &AtomicU64, mut look: impl FnMut(u64) -> Step) -> bool {
    let mut moved = false;
    loop {
        let at = visible.load(Ordering::Acquire);
        match look(at) {
            Step::Stop => return moved,
            Step::Again => {}
            Step::To(next) => {
                moved |=
                    visible.compare_exchange(at, next, Ordering::SeqCst, Ordering::Relaxed).is_ok();
            }
        }
    }
}

impl Db {
    /// Moves `visible` as far as marks allow.
    pub(super) fn advance(&self, guard: &Guard) {
        let moved = advance_over(&self.visible, |at| {
            // The state is loaded after `at`: if it does not hold that position any more, then
            // `visible` has moved on meanwhile.
            let state = self.state.load(guard);
            let Some(generation) = generation_at(state, Lsn(at)) else { return Step::Again };
            if generation.memtable.sealed_at() == Some(Lsn(at)) {
                // The end of the active one: its successor must be installed before we go on.
                return match self.install_next(generation, Lsn(at), guard) {
                    Ok(true) => Step::Again,
                    Ok(false) | Err(_) => Step::Stop,
                };
            }
            match generation.memtable.mark_at(Lsn(at)) {
                Some(length) => Step::To(at + u64::from(length)),
                None => Step::Stop,
            }
        });
        if moved {
            self.visible_parking.notify();
        }
    }

    /// Waits until everything below `end` is visible.
    ///
    /// # Errors
    /// The standing cause, when a record before `end` will never be published.
    pub(super) fn wait_visible(&self, end: Lsn) -> Result<()> {
        if self.visible.load(Ordering::Acquire) >= end.0 {
            return Ok(());
        }
        self.wait_on(&self.visible_parking, None, || {
            if self.visible.load(Ordering::Acquire) >= end.0 || self.poison.is_stuck() {
                return true;
            }
            // The writer before us may have published just before our mark was there.
            self.advance(&epoch::pin());
            self.visible.load(Ordering::Acquire) >= end.0
        })?;
        if self.visible.load(Ordering::Acquire) >= end.0 { Ok(()) } else { self.poison.check() }
    }
}

/// The generation of `state` whose positions hold `at`: base at or below it, end at or above it;
/// the newest if two share the boundary.
fn generation_at(state: &ReadState, at: Lsn) -> Option<&Arc<Generation>> {
    if state.active.base() <= at {
        let end = state.active.memtable.sealed_at();
        return end.is_none_or(|end| at <= end).then_some(&state.active);
    }
    state.sealed.iter().find_map(|sealed| match sealed {
        Sealed::Generation(generation) if generation.base() <= at => Some(generation),
        _ => None,
    })
}
