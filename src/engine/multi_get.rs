//! Many point reads in one call, at one position.
//!
//! The keys are looked up in groups. A lookup is a chain of waits for memory, and the chains of
//! one group are independent: each step is begun for all of its keys before the next one is taken
//! for any. What the steps are is told in [`super::read`].
//!
//! The read state is counted for the length of the call, so that all keys are read in it; guards
//! are held for a group at most, and never while the disk is read.

use super::db::{Db, ReadState};
use super::generation::Sealed;
use super::read::{ReadOptions, found_sound, in_memory};
use crate::base::{KeyspaceId, Kind, Lsn, Result};
use crate::mem::epoch;
use crate::memtable::{MemFound, Memtable};
use crate::sstable::{Glance, Place};
use crate::version::Plan;

/// Keys that are looked up together.
const GROUP: usize = 16;

/// One key on its way.
struct Task<'s, 'k> {
    key: &'k [u8],
    /// The hash in the memtables; none if there is nothing in the active one.
    hash: Option<u64>,
    plan: Plan<'s, 'k>,
    memory: Option<MemFound<'s>>,
    place: Option<Place>,
}

impl Db {
    /// Looks up `count` keys, of which `key` tells the one at an index, all at one position, and
    /// gives each outcome to `take` in order: a value, or none, or why the key cannot be read.
    /// `take` says whether to go on. Returns how many outcomes it accepted.
    ///
    /// # Errors
    /// What concerns all keys: `Closed`, `Invalid` for a keyspace or a snapshot.
    pub(crate) fn multi_get<'k>(
        &self,
        keyspace: KeyspaceId,
        (count, key): (usize, impl Fn(usize) -> &'k [u8]),
        options: &ReadOptions,
        mut take: impl FnMut(usize, Result<Option<&[u8]>>) -> bool,
    ) -> Result<usize> {
        self.check_open()?;
        self.keyspaces.check(keyspace)?;
        self.counters.gets.add(count as u64);
        let state = self.state.load_arc(&epoch::pin());
        let at = self.position(options.snapshot.as_deref())?;
        let mut done = 0;
        let mut tasks: [Task<'_, 'k>; GROUP] = std::array::from_fn(|_| Task::idle());
        while done < count {
            let Some(group) = tasks.get_mut(..GROUP.min(count - done)) else { break };
            for (i, task) in group.iter_mut().enumerate() {
                task.begin(&state, keyspace, key(done + i), at);
            }
            find(&state, group, keyspace, at);
            let size = group.len();
            let take = |i, outcome: Result<Option<&[u8]>>| take(done + i, outcome);
            let accepted = self.answer(&state, group, (keyspace, at), take);
            done += accepted;
            if accepted < size {
                break;
            }
        }
        Ok(done)
    }

    /// Gives the outcomes of a group to `take`, until it refuses one; returns how many it took.
    fn answer(
        &self,
        state: &ReadState,
        tasks: &mut [Task<'_, '_>],
        (keyspace, at): (KeyspaceId, Lsn),
        mut take: impl FnMut(usize, Result<Option<&[u8]>>) -> bool,
    ) -> usize {
        let mut done = 0;
        loop {
            let guard = epoch::pin();
            let unclear = loop {
                let Some(task) = tasks.get_mut(done) else { return done };
                let found = match task.memory {
                    Some(found) => match found_sound(&found, state, (keyspace, task.key, at)) {
                        Ok(()) => Some((found.kind, found.expiry_ms, found.value)),
                        Err(error) => {
                            if !take(done, Err(error)) {
                                return done;
                            }
                            done += 1;
                            continue;
                        }
                    },
                    None => match task.plan.glance(&guard) {
                        Glance::Entry(seen) => Some((seen.kind, seen.expiry_ms, seen.value)),
                        Glance::Absent => None,
                        Glance::Unclear => break task,
                    },
                };
                let is_value = |(kind, expiry_ms, value): (Kind, u64, _)| {
                    self.is_value(kind, expiry_ms).map(|is_value| is_value.then_some(value))
                };
                if !take(done, found.map_or(Ok(None), is_value)) {
                    return done;
                }
                done += 1;
            };
            drop(guard);
            let accepted = match self.read_tables(&state.version, keyspace, unclear.key, at) {
                Ok(value) => take(done, Ok(value.as_deref())),
                Err(error) => take(done, Err(error)),
            };
            if !accepted {
                return done;
            }
            done += 1;
        }
    }
}

impl<'s, 'k> Task<'s, 'k> {
    /// No key yet.
    fn idle() -> Self {
        Self { key: &[], hash: None, plan: Plan::idle(&[]), memory: None, place: None }
    }

    /// Begins the first step of a key: buckets, and what decides in the tables.
    #[inline]
    fn begin(&mut self, state: &'s ReadState, keyspace: KeyspaceId, key: &'k [u8], at: Lsn) {
        self.key = key;
        let active = &state.active.memtable;
        self.hash = (!active.is_void(at)).then(|| active.hash(keyspace, key));
        self.hash.inspect(|hash| active.prefetch_hash(*hash));
        for memtable in sealed(state) {
            memtable.prefetch_bucket(keyspace, key);
        }
        state.version.plan(&mut self.plan, keyspace, key, at);
        (self.memory, self.place) = (None, None);
    }
}

/// Takes the further steps of a group, up to the entries.
fn find<'s>(state: &'s ReadState, tasks: &mut [Task<'s, '_>], keyspace: KeyspaceId, at: Lsn) {
    let active = &state.active.memtable;
    for task in &*tasks {
        task.hash.inspect(|hash| active.prefetch_entry(*hash));
        for memtable in sealed(state) {
            memtable.prefetch_entry(memtable.hash(keyspace, task.key));
        }
    }
    for task in &mut *tasks {
        task.memory = in_memory(state, task.hash, keyspace, task.key, at);
        if task.memory.is_none() {
            task.place = task.plan.advance();
        }
    }
    for task in &*tasks {
        task.place.inspect(|place| task.plan.prefetch(*place));
    }
}

/// The sealed memtables that have a point index.
fn sealed(state: &ReadState) -> impl Iterator<Item = &Memtable> {
    state.sealed.iter().filter_map(|sealed| match sealed {
        Sealed::Generation(generation) => Some(&*generation.memtable),
        Sealed::Replayed(_) => None,
    })
}
