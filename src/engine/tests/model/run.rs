//! One run: random operations on a database and on plain maps, compared at every step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::life::Life;
use super::draw::{Random, Setup};
use super::truth::{Map, Value, Walk};
use crate::base::options::Durability;
use crate::base::{ErrorKind, KeyspaceId, Kind, Lsn, Result};
use crate::batch::{Op, push_op};
use crate::engine::{Background, Db, Iter, ReadOptions, Snapshot, WriteOptions};
use crate::vfs::sim::{PowerLoss, SimFs};

/// Snapshots that live at once.
const SNAPSHOTS_MAX: usize = 12;
/// Iterators that live at once.
pub(super) const ITERATORS_MAX: usize = 4;
/// Keyspaces that live at once.
const SPACES_MAX: usize = 5;
/// Operations between two comparisons of everything.
const COMPARE_EVERY: u64 = 4_000;
/// How many of the last operations a failure tells.
const STORY: usize = 25;

/// All keyspaces at one moment.
type Maps = BTreeMap<KeyspaceId, Map>;

/// An iterator and what it must show.
pub(super) struct Walker {
    pub(super) iter: Iter,
    pub(super) walk: Walk,
    pub(super) space: KeyspaceId,
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: u64,
    pub(super) reopenings: u64,
    pub(super) flushes: u64,
    pub(super) compactions: u64,
    pub(super) snapshots_max: usize,
    pub(super) on_empty: u64,
    pub(super) keyspaces_made: u64,
    /// Calls that had to wait for room that the caller held.
    pub(super) refusals: u64,
}

impl Counts {
    /// Adds what another run counted.
    pub(super) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.reopenings += other.reopenings;
        self.flushes += other.flushes;
        self.compactions += other.compactions;
        self.snapshots_max = self.snapshots_max.max(other.snapshots_max);
        self.on_empty += other.on_empty;
        self.keyspaces_made += other.keyspaces_made;
        self.refusals += other.refusals;
    }
}

/// A database under test and the truth about it.
pub(super) struct Run {
    setup: Setup,
    pub(super) random: Random,
    pub(super) keys: Vec<Vec<u8>>,
    life: Life,
    db: Option<Arc<Db>>,
    pub(super) maps: Maps,
    names: BTreeMap<KeyspaceId, String>,
    pub(super) snapshots: Vec<(Arc<Snapshot>, Maps)>,
    pub(super) walkers: Vec<Walker>,
    next_value: u64,
    paused: bool,
    story: VecDeque<String>,
    pub(super) counts: Counts,
}

impl Run {
    /// An empty database.
    pub(super) fn new(setup: &Setup) -> Self {
        let life = Life::with_env(SimFs::new(), &setup.open, setup.env.clone());
        let db = Some(life.open().expect("an empty directory"));
        let default = (KeyspaceId::DEFAULT, Map::default());
        Self {
            random: Random::new(setup.seed.rotate_left(32)),
            keys: setup.key_list(),
            setup: setup.clone(),
            life,
            db,
            maps: Maps::from([default]),
            names: BTreeMap::from([(KeyspaceId::DEFAULT, "default".to_owned())]),
            snapshots: Vec::new(),
            walkers: Vec::new(),
            next_value: 1,
            paused: false,
            story: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Does `operations` operations and compares everything in the end.
    pub(super) fn go(&mut self, operations: u64) {
        self.take_snapshot();
        for number in 0..operations {
            self.step();
            if number % COMPARE_EVERY == COMPARE_EVERY - 1 {
                self.compare_all();
            }
        }
        self.compare_all();
        self.reopen();
        self.compare_all();
        self.counts.operations += operations;
        self.gather();
    }

    /// What it did last, for a failure.
    pub(super) fn story(&self) -> String {
        self.story.iter().fold(String::new(), |story, line| story + "\n  " + line)
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        self.story.push_back(line());
    }

    pub(super) fn db(&self) -> Arc<Db> {
        Arc::clone(self.db.as_ref().expect("the database is open"))
    }

    fn step(&mut self) {
        let setup = &self.setup;
        let random = &mut self.random;
        if random.one_in(setup.job_one_in) {
            self.life.env.step();
        }
        if self.random.one_in(self.setup.reopen_one_in) {
            return self.reopen();
        }
        if self.random.one_in(self.setup.flush_one_in) {
            self.tell(|| "flush".to_owned());
            return self.with_room(Db::flush);
        }
        if self.random.one_in(self.setup.compact_one_in) {
            return self.compact();
        }
        match self.random.below(100) {
            0..=44 => self.write_one(),
            45..=54 => self.write_batch(),
            55..=70 => self.get(),
            71..=74 => self.get_many(),
            75..=92 => self.walk(),
            93..=95 => self.take_snapshot(),
            96 => self.drop_snapshot(),
            97..=98 => self.read_snapshot(),
            _ => self.rarely(),
        }
    }

    fn rarely(&mut self) {
        match self.random.below(8) {
            0 => self.make_space(),
            1 => self.drop_space(),
            2 => {
                self.tell(|| "work".to_owned());
                while self.life.env.step() {}
            }
            3 if !self.paused => {
                self.db().background(Background::Pause, u64::MAX).unwrap();
                self.paused = true;
                self.tell(|| "pause".to_owned());
            }
            3 | 4 => self.resume(),
            5 => drop(self.db().sync(Lsn(0)).unwrap()),
            6 => {
                self.tell(|| "mark".to_owned());
                self.db().mark().unwrap();
            }
            _ => self.change_options(),
        }
    }

    fn resume(&mut self) {
        if self.paused {
            self.tell(|| "resume".to_owned());
            self.db().background(Background::Resume, 0).unwrap();
            self.paused = false;
        }
    }

    pub(super) fn some_space(&mut self) -> KeyspaceId {
        let ids: Vec<KeyspaceId> = self.maps.keys().copied().collect();
        self.random.of(&ids)
    }

    pub(super) fn some_key(&mut self) -> usize {
        // A third of the accesses goes to few keys.
        let among = if self.random.one_in(3) { self.keys.len().min(3) } else { self.keys.len() };
        self.random.below(among)
    }

    fn some_value(&mut self) -> Value {
        let long = self.random.one_in(self.setup.long_one_in);
        let len = self.random.below(if long { 30_000 } else { self.setup.value_bytes });
        self.next_value += 1;
        Value { id: self.next_value, len }
    }

    fn write_options(&mut self) -> WriteOptions {
        let mut durability = self.setup.durability;
        if self.random.one_in(200) {
            durability = Durability::Sync;
        }
        WriteOptions {
            durability: Some(durability),
            no_stall: self.random.one_in(20),
            deadline_ns: 0,
        }
    }

    /// A random change of the truth, to be made in the database as well.
    fn some_change(&mut self) -> (KeyspaceId, usize, Option<Value>) {
        let (space, key) = (self.some_space(), self.some_key());
        let deletes = self.random.below(10) < self.setup.deletes_of_10;
        (space, key, if deletes { None } else { Some(self.some_value()) })
    }

    fn apply(&mut self, (space, key, value): (KeyspaceId, usize, Option<Value>)) {
        let map = Arc::make_mut(self.maps.entry(space).or_default());
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }

    fn write_one(&mut self) {
        let change = self.some_change();
        let options = self.write_options();
        self.tell(|| format!("write {change:?}, {options:?}"));
        let (space, key, value) = change;
        let key = self.keys[key].clone();
        self.with_room(|db| match value {
            Some(value) => db.put(space, &key, &value.bytes(), &options),
            None => db.delete(space, &key, &options),
        });
        self.apply(change);
    }

    /// Does something that may be refused for want of room, as long as background work is paused or
    /// iterators hold memory: then it lets all of that go and must succeed.
    fn with_room<T>(&mut self, act: impl Fn(&Db) -> Result<T>) -> T {
        match act(&self.db()) {
            Err(error) if error.kind() == ErrorKind::Busy => {
                self.counts.refusals += 1;
                self.tell(|| "refused".to_owned());
                self.resume();
                self.walkers.clear();
                while self.life.env.step() {}
                act(&self.db()).unwrap()
            }
            outcome => outcome.unwrap(),
        }
    }

    fn write_batch(&mut self) {
        let changes: Vec<_> = (0..=self.random.below(8)).map(|_| self.some_change()).collect();
        let options = self.write_options();
        self.tell(|| format!("batch {changes:?}, {options:?}"));
        let mut packed = Vec::new();
        for (keyspace, key, value) in &changes {
            let kind = if value.is_some() { Kind::Put } else { Kind::Delete };
            let value = value.map(Value::bytes).unwrap_or_default();
            let (keyspace, key, value) = (*keyspace, &self.keys[*key][..], &value[..]);
            push_op(&mut packed, &Op { kind, keyspace, expiry_ms: 0, key, value });
        }
        self.with_room(|db| db.write(&packed, &options));
        for change in changes {
            self.apply(change);
        }
    }

    fn get(&mut self) {
        let (space, key) = (self.some_space(), self.some_key());
        let wanted = self.maps[&space].get(&key).copied();
        self.get_one(space, key, &ReadOptions::default(), wanted);
    }

    fn get_one(&self, space: KeyspaceId, key: usize, options: &ReadOptions, wanted: Option<Value>) {
        let found = self.db().get(space, &self.keys[key], options).unwrap();
        let wanted = wanted.map(Value::bytes);
        assert_eq!(found.as_deref(), wanted.as_deref(), "key {key} of {space:?}");
    }

    /// Some keys at once, now or at a snapshot, perhaps not all of those asked for.
    fn get_many(&mut self) {
        let space = self.some_space();
        let keys: Vec<usize> = (0..self.random.below(40)).map(|_| self.some_key()).collect();
        let mut options = ReadOptions::default();
        let mut map = self.maps[&space].clone();
        if self.random.one_in(3) && !self.snapshots.is_empty() {
            let (snapshot, maps) = &self.snapshots[self.random.below(self.snapshots.len())];
            options.snapshot = Some(Arc::clone(snapshot));
            map = maps.get(&space).cloned().unwrap_or_default();
        }
        let most = self.random.below(3) * keys.len().div_ceil(2);
        let mut seen = 0;
        let check = |i: usize, found: Result<Option<&[u8]>>| {
            assert_eq!(i, seen, "outcomes come in the order of the keys");
            if seen == most {
                return false;
            }
            let wanted = map.get(&keys[i]).copied().map(Value::bytes);
            assert_eq!(found.unwrap(), wanted.as_deref(), "key {} of {space:?}", keys[i]);
            seen += 1;
            true
        };
        let key = |i: usize| &*self.keys[keys[i]];

        let done = self.db().multi_get(space, (keys.len(), key), &options, check).unwrap();

        assert_eq!(done, keys.len().min(most));
        assert_eq!(done, seen);
    }

    fn take_snapshot(&mut self) {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            return self.drop_snapshot();
        }
        let snapshot = self.db().snapshot().unwrap();
        self.tell(|| format!("snapshot at {}", snapshot.seq()));
        self.counts.on_empty += u64::from(self.maps.values().all(|map| map.is_empty()));
        self.snapshots.push((snapshot, self.maps.clone()));
        self.counts.snapshots_max = self.counts.snapshots_max.max(self.snapshots.len());
    }

    /// Drops any but the first, which shows the database when it was opened.
    fn drop_snapshot(&mut self) {
        if self.snapshots.len() > 1 {
            let place = 1 + self.random.below(self.snapshots.len() - 1);
            let (snapshot, _) = self.snapshots.swap_remove(place);
            self.tell(|| format!("drop the snapshot at {}", snapshot.seq()));
        }
    }

    fn read_snapshot(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let place = self.random.below(self.snapshots.len());
        let (space, key) = (self.some_space(), self.some_key());
        let (snapshot, maps) = &self.snapshots[place];
        let options = ReadOptions { snapshot: Some(Arc::clone(snapshot)), keys_only: false };
        let map = maps.get(&space).cloned().unwrap_or_default();
        self.get_one(space, key, &options, map.get(&key).copied());
        if self.random.one_in(4) {
            self.compare(space, &options, &map);
        }
    }

    fn compact(&mut self) {
        let space = self.some_space();
        let (a, b) = (self.some_bound(), self.some_bound());
        self.tell(|| format!("compact {space:?} {a:?} {b:?}"));
        self.with_room(|db| db.compact(space, a.as_deref(), b.as_deref(), 0));
    }

    fn make_space(&mut self) {
        if self.maps.len() == SPACES_MAX {
            return;
        }
        self.counts.keyspaces_made += 1;
        let name = format!("space {}", self.random.below(3 * SPACES_MAX));
        let options = Setup::keyspace_options(&mut self.random);
        let space = self.db().keyspace_open(&name, Some(&options)).unwrap();
        self.tell(|| format!("keyspace {name} {space:?}"));
        if self.names.insert(space.id, name).is_none() {
            assert!(self.maps.insert(space.id, Map::default()).is_none());
        }
    }

    fn drop_space(&mut self) {
        let space = self.some_space();
        if space == KeyspaceId::DEFAULT {
            return;
        }
        let name = self.names.remove(&space).unwrap();
        self.tell(|| format!("drop keyspace {name} {space:?}"));
        self.db().keyspace_drop(&name).unwrap();
        self.maps.remove(&space);
        for (_, maps) in &mut self.snapshots {
            maps.remove(&space);
        }
        self.walkers.retain_mut(|walker| {
            let gone = walker.space == space;
            assert!(!gone || walker.iter.next().is_err(), "an iterator outlives its keyspace");
            !gone
        });
        let gone = self.db().get(space, b"", &ReadOptions::default());
        assert_eq!(gone.err().unwrap().kind(), ErrorKind::Invalid);
    }

    fn change_options(&mut self) {
        let space = self.some_space();
        let options = Setup::keyspace_options(&mut self.random);
        let name = self.names[&space].clone();
        let found = self.db().keyspace_open(&name, Some(&options)).unwrap();
        assert_eq!((found.id, found.options), (space, options));
    }

    /// Ends the process, by a close or not, and opens the database again.
    fn reopen(&mut self) {
        self.walkers.clear();
        self.snapshots.clear();
        self.resume();
        self.gather();
        let db = self.db.take().expect("the database is open");
        if self.setup.durability == Durability::None {
            // What is not in the log survives in tables only.
            db.flush().unwrap();
        }
        let how = self.random.below(3);
        self.tell(|| format!("reopen, {}", ["after close", "after death", "after loss"][how]));
        let fs = match how {
            0 => {
                db.close().unwrap();
                self.life.fs.process_death()
            }
            1 => self.life.fs.process_death(),
            _ => {
                if self.setup.durability != Durability::None {
                    db.sync(Lsn(0)).unwrap();
                }
                let how = self.random.of(&PowerLoss::ALL);
                self.life.fs.power_loss(how, self.random.word())
            }
        };
        self.life.fs.crash();
        drop(db);
        self.counts.reopenings += 1;
        self.life = Life::with_env(fs, &self.setup.open, self.setup.env.clone());
        self.db = Some(self.life.open().unwrap());
        let listed: BTreeMap<_, _> =
            self.db().keyspace_list().into_iter().map(|(name, id)| (id, name)).collect();
        assert_eq!(listed, self.names);
        self.take_snapshot();
    }

    /// Keeps what the database counted in this life.
    fn gather(&mut self) {
        if let Some(db) = &self.db {
            self.counts.flushes += db.stat("flushes").unwrap_or(0);
            self.counts.compactions += db.stat("compactions").unwrap_or(0);
        }
    }
}
