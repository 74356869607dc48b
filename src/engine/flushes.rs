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

    /// What was claimed is complete.
    pub(super) fn put(&self, end: Lsn, written: T) {
        self.state.lock().written.insert(end, written);
    }

    /// What is to be installed now: that of the oldest generation, if it is complete and nobody else
    /// installs. Whoever got something asks again when that is over, well or not: `done`.
    pub(super) fn next(
        &self,
        done: Option<Lsn>,
        oldest: impl FnOnce() -> Option<Lsn>,
    ) -> Option<(Lsn, T)> {
        let mut state = self.state.lock();
        if done.is_some() {
            state.installing = false;
            state.claimed.retain(|claimed| Some(*claimed) != done);
        }
        if state.installing {
            return None;
        }
        let end = oldest()?;
        let written = state.written.remove(&end)?;
        state.installing = true;
        Some((end, written))
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
        flushes.put(Lsn(128), "newer");
        assert!(flushes.next(None, || Some(Lsn(64))).is_none());
        flushes.put(Lsn(64), "older");
        assert_eq!(flushes.next(None, || Some(Lsn(64))), Some((Lsn(64), "older")));
        assert!(flushes.next(None, || Some(Lsn(128))).is_none(), "one installs at a time");
        assert_eq!(flushes.next(Some(Lsn(64)), || Some(Lsn(128))), Some((Lsn(128), "newer")));
        assert!(flushes.is_busy());
        assert!(flushes.next(Some(Lsn(128)), || None).is_none());
        assert!(!flushes.is_busy());
    }

    #[test]
    fn what_waits_behind_a_failure_is_not_work_under_way() {
        let flushes = Flushes::new();
        claim(&flushes, &[64, 128]);
        claim(&flushes, &[64, 128]);
        flushes.put(Lsn(128), "newer");
        assert!(flushes.is_busy());
        flushes.give_up(Lsn(64));
        assert!(!flushes.is_busy());
        assert!(flushes.has_room());
        assert_eq!(flushes.abandon().collect::<Vec<_>>(), ["newer"]);
    }
}
