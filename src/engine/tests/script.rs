//! Scripts: what a process does with a database, step by step, until it is done or dies.
//!
//! Every step is noted in the [`History`] before it is taken and acknowledged after it: what was
//! under way when the process died is neither. One thread; background work runs when a step waits
//! for it or asks for it.

use std::sync::Arc;

use super::history::{Being, Change, Content, History, KEY, Seen, Space};
use super::life::Life;
use super::look::{look, look_at};
use crate::base::options::{Durability, KeyspaceOptions};
use crate::base::{Error, ErrorKind, KeyspaceId, Kind, Lsn, Result};
use crate::batch::{Op, push_op};
use crate::engine::{Background, Db, ReadOptions, Snapshot, WriteOptions};

/// Bytes of an ordinary value.
pub(super) const VALUE_BYTES: usize = 200;

/// One operation of a write: keyspace, key, and the length of the value or none for a delete.
pub(super) type Put = (usize, usize, Option<usize>);

/// What a process does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One operation, or a batch of several.
    Write(Vec<Put>, Durability),
    /// Makes all that was written durable.
    Sync,
    /// Moves all that was written into tables.
    Flush,
    /// Compacts a keyspace to its deepest level.
    Compact(usize),
    /// Proves to later readers that the log is durable.
    Mark,
    /// Runs background work until there is none.
    Work,
    /// Waits until no work is left and unused space is given back.
    Idle,
    /// Holds background work back.
    Pause,
    /// Lets it go on.
    Resume,
    /// Makes a keyspace; it gets the next number.
    Create(String),
    /// Drops the keyspace of this number.
    Drop(usize),
    /// Changes how tables of a keyspace are written.
    Options(usize, KeyspaceOptions),
    /// Keeps the present moment readable until the script ends.
    Snapshot,
    /// Reads at all snapshots.
    CheckSnapshots,
    /// Drops all snapshots.
    Release,
    /// The disk has this much room from now on.
    Quota(Option<u64>),
    /// Time passes, in ns.
    Advance(u64),
}

impl Step {
    /// The keyspaces that it needs.
    fn spaces(&self) -> Vec<usize> {
        match self {
            Self::Write(puts, _) => puts.iter().map(|put| put.0).collect(),
            Self::Drop(space) | Self::Compact(space) | Self::Options(space, _) => vec![*space],
            _ => Vec::new(),
        }
    }
}

/// A put of an ordinary value into the default keyspace.
pub(super) fn put(key: usize) -> Step {
    Step::Write(vec![(0, key, Some(VALUE_BYTES))], Durability::Buffer)
}

/// The same, synced.
pub(super) fn put_synced(key: usize) -> Step {
    Step::Write(vec![(0, key, Some(VALUE_BYTES))], Durability::Sync)
}

/// The same without the log.
pub(super) fn put_unlogged(key: usize) -> Step {
    Step::Write(vec![(0, key, Some(VALUE_BYTES))], Durability::None)
}

/// A put of a long value.
pub(super) fn put_large(key: usize, bytes: usize) -> Step {
    Step::Write(vec![(0, key, Some(bytes))], Durability::Buffer)
}

/// A put into some keyspace.
pub(super) fn put_in(space: usize, key: usize) -> Step {
    Step::Write(vec![(space, key, Some(VALUE_BYTES))], Durability::Buffer)
}

/// A delete from the default keyspace.
pub(super) fn delete(key: usize) -> Step {
    Step::Write(vec![(0, key, None)], Durability::Buffer)
}

/// `n` puts, over the keys in turn from `key` on.
pub(super) fn puts(key: usize, n: usize) -> impl Iterator<Item = Step> {
    (key..key + n).map(|key| put(key % KEY.len()))
}

/// Why a script ended early.
pub(super) enum Stop {
    /// The process died.
    Crashed,
    /// A step gave this error.
    Failed(Error),
    /// What was read is wrong.
    Wrong(String),
}

/// As tests that fail show it.
impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crashed => f.write_str("the process died"),
            Self::Failed(error) => write!(f, "a step failed: {error:?}"),
            Self::Wrong(text) => f.write_str(text),
        }
    }
}

/// What a step comes to.
pub(super) type Outcome<T> = std::result::Result<T, Stop>;

/// Background jobs that one script can possibly need.
const JOBS_MAX: usize = 10_000;

/// A process with an open database.
pub(super) struct Session<'a> {
    pub(super) life: &'a Life,
    pub(super) db: Arc<Db>,
    pub(super) history: &'a mut History,
    snapshots: Vec<(Arc<Snapshot>, Content, Vec<Option<KeyspaceId>>)>,
    /// How often background work was held back.
    paused: u32,
}

impl<'a> Session<'a> {
    /// Opens the database and makes what it shows the certain content.
    pub(super) fn open(life: &'a Life, history: &'a mut History) -> Outcome<Self> {
        let opened = life.open();
        if life.fs.has_crashed() {
            return Err(Stop::Crashed);
        }
        let db = opened.map_err(Stop::Failed)?;
        let seen = look(&db, history)?;
        Self::adopt(life, db, history, &seen)
    }

    /// Makes what was `seen` of the database that was just opened the certain content.
    pub(super) fn adopt(
        life: &'a Life,
        db: Arc<Db>,
        history: &'a mut History,
        seen: &Seen,
    ) -> Outcome<Self> {
        history.settle(seen).map_err(Stop::Wrong)?;
        Ok(Self { life, db, history, snapshots: Vec::new(), paused: 0 })
    }

    /// Takes all steps.
    pub(super) fn run(&mut self, steps: &[Step]) -> Outcome<()> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    /// Takes one step. After an error the history knows what of it may be seen.
    ///
    /// A step that needs a keyspace which does not live, because making it failed, does nothing.
    pub(super) fn step(&mut self, step: &Step) -> Outcome<()> {
        if !step.spaces().iter().all(|space| self.lives(*space)) {
            return Ok(());
        }
        match step {
            Step::Write(puts, durability) => self.write(puts, *durability),
            Step::Create(name) => self.create(name),
            Step::Drop(space) => self.drop_space(*space),
            Step::Snapshot => self.snapshot(),
            Step::CheckSnapshots => self.check_snapshots(),
            Step::Release => {
                self.snapshots.clear();
                Ok(())
            }
            Step::Quota(quota) => {
                self.life.fs.set_quota(*quota);
                Ok(())
            }
            Step::Advance(ns) => {
                self.life.os.advance_ns(*ns);
                Ok(())
            }
            Step::Work => {
                if (0..JOBS_MAX).all(|_| self.life.env.step()) {
                    return Err(Stop::Wrong("background work does not end".to_owned()));
                }
                self.end_of(Ok(()))
            }
            Step::Idle => {
                let idle = self.db.background(Background::WaitIdle, u64::MAX);
                self.end_of(idle)
            }
            Step::Pause => {
                self.paused += 1;
                let paused = self.db.background(Background::Pause, u64::MAX);
                self.end_of(paused)
            }
            Step::Resume => {
                self.paused = self.paused.saturating_sub(1);
                let resumed = self.db.background(Background::Resume, 0);
                self.end_of(resumed)
            }
            Step::Options(space, options) => {
                let name = self.history.spaces[*space].name.clone();
                let changed = self.db.keyspace_open(&name, Some(options)).map(|_| ());
                self.end_of(changed)
            }
            Step::Sync | Step::Flush | Step::Compact(_) | Step::Mark => self.make_durable(step),
        }
    }

    /// Reads everything and compares.
    pub(super) fn check(&self) -> Outcome<()> {
        let seen = look(&self.db, self.history)?;
        self.history.check_present(&seen).map_err(Stop::Wrong)
    }

    /// Closes the database.
    pub(super) fn close(&mut self) -> Outcome<()> {
        self.snapshots.clear();
        let closed = self.db.close();
        self.end_of(closed)?;
        self.history.ack_sync();
        Ok(())
    }

    fn lives(&self, space: usize) -> bool {
        self.history.spaces.get(space).is_some_and(|space| space.being == Being::Lives)
    }

    /// Lets background work go on, however often it was held back.
    pub(super) fn resume(&mut self) -> Outcome<()> {
        while self.paused > 0 {
            self.step(&Step::Resume)?;
        }
        Ok(())
    }

    fn end_of<T>(&self, result: Result<T>) -> Outcome<T> {
        if self.life.fs.has_crashed() {
            return Err(Stop::Crashed);
        }
        result.map_err(Stop::Failed)
    }

    fn make_durable(&mut self, step: &Step) -> Outcome<()> {
        let done = match step {
            Step::Flush => self.db.flush(),
            Step::Compact(space) => {
                let id = self.history.spaces[*space].id.unwrap_or_default();
                self.db.compact(id, None, None, 0)
            }
            Step::Mark => self.db.mark(),
            _ => self.db.sync(Lsn(0)).map(|_| ()),
        };
        self.end_of(done)?;
        match step {
            Step::Flush | Step::Compact(_) => self.history.ack_flush(),
            // A mark does nothing when the log ends with one already: it promises nothing.
            Step::Mark => {}
            _ => self.history.ack_sync(),
        }
        Ok(())
    }

    fn write(&mut self, puts: &[Put], durability: Durability) -> Outcome<()> {
        let changes: Vec<Change> = puts
            .iter()
            .map(|&(space, key, len)| {
                let id = len.map_or(0, |len| self.history.new_value(len));
                Change { space, key, id }
            })
            .collect();
        self.history.begin(changes.clone(), durability != Durability::None);
        let options = WriteOptions { durability: Some(durability), ..WriteOptions::default() };
        let written = self.write_changes(&changes, &options);
        if self.life.fs.has_crashed() {
            return Err(Stop::Crashed);
        }
        match written {
            Ok(end) => self.history.told(end.0).map_err(Stop::Wrong)?,
            Err(error) => {
                self.judge_failed_write(&changes)?;
                return Err(Stop::Failed(error));
            }
        }
        match durability {
            Durability::None => {}
            Durability::Buffer => self.history.ack(),
            Durability::Sync => self.history.ack_sync(),
        }
        Ok(())
    }

    fn write_changes(&self, changes: &[Change], options: &WriteOptions) -> Result<Lsn> {
        let id_of = |space: usize| self.history.spaces[space].id.unwrap_or(KeyspaceId(u32::MAX));
        if let [Change { space, key, id }] = changes {
            return if *id == 0 {
                self.db.delete(id_of(*space), KEY[*key], options)
            } else {
                self.db.put(id_of(*space), KEY[*key], &self.history.bytes(*id), options)
            };
        }
        let mut packed = Vec::new();
        for Change { space, key, id } in changes {
            let value = if *id == 0 { Vec::new() } else { self.history.bytes(*id) };
            let kind = if *id == 0 { Kind::Delete } else { Kind::Put };
            let (keyspace, key, value) = (id_of(*space), KEY[*key], &value[..]);
            push_op(&mut packed, &Op { kind, keyspace, expiry_ms: 0, key, value });
        }
        self.db.write(&packed, options)
    }

    /// A write that failed is either not visible, and then it must never be, or visible, and then
    /// nothing is written any more and it is there or not after reopening (D4).
    fn judge_failed_write(&mut self, changes: &[Change]) -> Outcome<()> {
        let (with, without) = (self.history.present(), self.history.present_without_last());
        let mut published = false;
        for Change { space, key, .. } in changes {
            let (new, old) = (with.get(*space, *key), without.get(*space, *key));
            if new == old {
                continue;
            }
            let id = self.history.spaces[*space].id.unwrap_or_default();
            // What was just published is in memory: a failing read means that it was not.
            let found = match self.db.get(id, KEY[*key], &ReadOptions::default()) {
                Ok(found) => found.map_or(Some(0), |value| self.history.name(&value)),
                Err(_) => continue,
            };
            match found {
                Some(id) if id == new => published = true,
                Some(id) if id == old && !published => {}
                found => {
                    let text = format!("after a failed write key {key} is {found:?}: {changes:?}");
                    return Err(Stop::Wrong(text));
                }
            }
        }
        if !published {
            self.history.take_back();
        } else if self.takes_writes() {
            return Err(Stop::Wrong("a write failed, is seen, and writing goes on".to_owned()));
        }
        Ok(())
    }

    fn create(&mut self, name: &str) -> Outcome<()> {
        let has_it = |space: &Space| space.name == name && space.being != Being::Gone;
        if self.history.spaces.iter().any(has_it) {
            // Dropping it failed.
            return Ok(());
        }
        let space = Space { name: name.to_owned(), being: Being::Begun, id: None };
        self.history.spaces.push(space);
        let was_stopped = !self.takes_writes();
        let made = self.db.keyspace_open(name, None);
        let is_certain = was_stopped || self.takes_writes();
        if made.is_err() && !self.life.fs.has_crashed() && is_certain {
            self.history.spaces.pop();
        }
        let made = self.end_of(made)?;
        if let Some(space) = self.history.spaces.last_mut() {
            (space.being, space.id) = (Being::Lives, Some(made.id));
        }
        Ok(())
    }

    fn drop_space(&mut self, space: usize) -> Outcome<()> {
        let name = self.history.spaces[space].name.clone();
        self.history.spaces[space].being = Being::Ending;
        let was_stopped = !self.takes_writes();
        let dropped = self.db.keyspace_drop(&name);
        let is_certain = was_stopped || self.takes_writes();
        if dropped.is_err() && !self.life.fs.has_crashed() && is_certain {
            self.history.spaces[space].being = Being::Lives;
        }
        self.end_of(dropped)?;
        self.history.spaces[space].being = Being::Gone;
        self.history.ack_sync();
        Ok(())
    }

    /// Whether nothing stands against writing.
    pub(super) fn takes_writes(&self) -> bool {
        use crate::engine::HealthState;
        matches!(self.db.health().state, HealthState::Ok | HealthState::Degraded)
    }

    fn snapshot(&mut self) -> Outcome<()> {
        let snapshot = self.db.snapshot();
        let snapshot = self.end_of(snapshot)?;
        let live = |space: &Space| space.id.filter(|_| space.being == Being::Lives);
        let ids = self.history.spaces.iter().map(live).collect();
        self.snapshots.push((snapshot, self.history.present(), ids));
        Ok(())
    }

    fn check_snapshots(&mut self) -> Outcome<()> {
        for (snapshot, wanted, ids) in &self.snapshots {
            let seen = look_at(&self.db, self.history, ids, snapshot);
            if self.life.fs.has_crashed() {
                return Err(Stop::Crashed);
            }
            let seen = seen?;
            if !wanted.is_same(&seen) {
                let text = format!("a snapshot shows {seen:?} instead of {wanted:?} (D6)");
                return Err(Stop::Wrong(text));
            }
        }
        Ok(())
    }
}

/// Whether an error is one of a full disk or a full database: nothing is wrong but the room.
pub(super) fn is_want_of_room(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Busy)
}
