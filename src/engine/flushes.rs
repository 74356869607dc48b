//! Who writes which sealed generation into a table, and in which order the tables are installed.
//!
//! Two may be written at once, so that the processor is used while one waits for the disk, and twice
//! as much where writers wait for flushes. Tables are installed oldest first, by whoever has finished
//! the oldest: nobody waits for another. All of it is under a lock that is held for a moment.
//!
//! Any thread.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::base::Lsn;
use crate::base::mutant::mutant;

/// So many are claimed at once, whether they are written or wait for their turn.
const CLAIMS_MAX: usize = 2;

/// Claims on generations, by their ends, and what was made of them.
pub(super) struct Flushes<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// From the claim until it is installed or given up.
    claimed: Vec<Lsn>,
    /// Of those, what is complete and waits for its turn.
    written: BTreeMap<Lsn, T>,
    /// Somebody installs.
    installing: bool,
}

impl<T> Flushes<T> {
    /// Nothing is claimed.
    pub(super) fn new() -> Self {
        let (claimed, written) = (Vec::new(), BTreeMap::new());
        Self { state: Mutex::new(State { claimed, written, installing: false }) }
    }

    /// Claims the first of `waiting`, oldest first, whose end nobody has claimed, unless enough are
    /// under way. `waiting` is asked under the lock, so that nothing is in it that was installed; and
    /// so is `number`, in the order of claims.
    pub(super) fn claim<G, N>(
        &self,
        waiting: impl FnOnce() -> Vec<(Lsn, G)>,
        number: impl FnOnce() -> N,
    ) -> Option<(Lsn, G, N)> {
        let mut state = self.state.lock();
        if state.claimed.len() >= CLAIMS_MAX {
            return None;
        }
        let is_free = |(end, _): &(Lsn, G)| !state.claimed.contains(end);
        let (end, generation) = waiting().into_iter().find(is_free)?;
        state.claimed.push(end);
        Some((end, generation, number()))
    }

    /// Takes a claim back: it failed, and may be tried again.
    pub(super) fn give_up(&self, end: Lsn) {
        self.state.lock().claimed.retain(|claimed| *claimed != end);
    }

    /// What was claimed is complete. Returns what the caller is to install now: that of the oldest
    /// generation, if it is complete and nobody else installs. He says when that is over, well or
    /// not, by [`Flushes::done`].
    pub(super) fn put(
        &self,
        end: Lsn,
        written: T,
        oldest: impl FnOnce() -> Option<Lsn>,
    ) -> Option<(Lsn, T)> {
        let mut state = self.state.lock();
        state.written.insert(end, written);
        if state.installing { None } else { state.begin(oldest()) }
    }

    /// The installation of `end` is over. Returns the next one, as [`Flushes::put`] does.
    pub(super) fn done(&self, end: Lsn, oldest: impl FnOnce() -> Option<Lsn>) -> Option<(Lsn, T)> {
        let mut state = self.state.lock();
        state.claimed.retain(|claimed| *claimed != end);
        state.begin(oldest())
    }

    /// Whether somebody writes or installs.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.claimed.len() > state.written.len()
    }

    /// Whether one more could be claimed, if it is there.
    pub(super) fn has_room(&self) -> bool {
        self.state.lock().claimed.len() < CLAIMS_MAX
    }

    /// Takes what is complete and will never be installed. Nobody writes any more.
    pub(super) fn abandon(&self) -> impl Iterator<Item = T> {
        let mut state = self.state.lock();
        state.claimed.clear();
        std::mem::take(&mut state.written).into_values()
    }
}

impl<T> State<T> {
    /// For who may install: takes what the oldest generation became, if it is complete.
    fn begin(&mut self, oldest: Option<Lsn>) -> Option<(Lsn, T)> {
        let next = if mutant("newest_flush_is_installed_first") {
            self.written.pop_last()
        } else {
            oldest.and_then(|end| Some((end, self.written.remove(&end)?)))
        };
        self.installing = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(flushes: &Flushes<&str>, ends: &[u64]) -> Option<u64> {
        let waiting = || ends.iter().map(|&end| (Lsn(end), ())).collect();
        flushes.claim(waiting, || ()).map(|(end, (), ())| end.0)
    }

    #[test]
    fn each_generation_is_claimed_once_and_two_at_a_time() {
        let flushes = Flushes::new();
        assert_eq!(claim(&flushes, &[64, 128, 192]), Some(64));
        assert_eq!(claim(&flushes, &[64, 128, 192]), Some(128));
        assert_eq!(claim(&flushes, &[64, 128, 192]), None);
        flushes.give_up(Lsn(64));
        assert_eq!(claim(&flushes, &[64, 128, 192]), Some(64));
    }

    #[test]
    fn what_is_newer_waits_until_the_oldest_is_installed() {
        let flushes = Flushes::new();
        claim(&flushes, &[64, 128]);
        claim(&flushes, &[64, 128]);
        assert!(flushes.put(Lsn(128), "newer", || Some(Lsn(64))).is_none());
        let older = flushes.put(Lsn(64), "older", || Some(Lsn(64)));
        assert_eq!(older, Some((Lsn(64), "older")));
        assert!(flushes.is_busy());
        assert_eq!(flushes.done(Lsn(64), || Some(Lsn(128))), Some((Lsn(128), "newer")));
        assert!(flushes.is_busy());
        assert!(flushes.done(Lsn(128), || None).is_none());
        assert!(!flushes.is_busy());
    }

    #[test]
    fn one_installs_at_a_time_and_goes_on_with_what_came_meanwhile() {
        let flushes = Flushes::new();
        claim(&flushes, &[64, 128]);
        claim(&flushes, &[64, 128]);
        assert!(flushes.put(Lsn(64), "older", || Some(Lsn(64))).is_some());
        // Though the state of the database may say already that this one is the oldest.
        assert!(flushes.put(Lsn(128), "newer", || Some(Lsn(128))).is_none());
        assert_eq!(flushes.done(Lsn(64), || Some(Lsn(128))), Some((Lsn(128), "newer")));
    }

    #[test]
    fn what_waits_behind_a_failure_is_not_work_under_way() {
        let flushes = Flushes::new();
        claim(&flushes, &[64, 128]);
        claim(&flushes, &[64, 128]);
        assert!(flushes.put(Lsn(128), "newer", || Some(Lsn(64))).is_none());
        assert!(flushes.is_busy());
        flushes.give_up(Lsn(64));
        assert!(!flushes.is_busy());
        assert!(flushes.has_room());
        assert_eq!(flushes.abandon().collect::<Vec<_>>(), ["newer"]);
    }
}
