//! A little engine for the tests: writes tables, runs jobs, and knows the whole history.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::key::compare;
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Cursor, KeyspaceId, Kind, Level, Lsn, Result};
use crate::compaction::{Busy, BusyId, Context, Job, Outcome, PickOptions, pick, run};
use crate::manifest::{RemovedSection, VersionEdit};
use crate::merge::testing::{Owned, Random, sort};
use crate::merge::{MergeCursor, Retain, VisibleCursor};
use crate::version::testing::{Store, first_edit, small_options};
use crate::version::{LevelSizes, Version};
use crate::vfs::Dir;

pub(super) const KS: KeyspaceId = KeyspaceId(0);

/// A job between picking and installing.
pub(super) struct Pending {
    pub(super) job: Job,
    pub(super) id: BusyId,
    pub(super) outcome: Option<Outcome>,
}

pub(super) struct Tree {
    pub(super) store: Store,
    pub(super) version: Arc<Version>,
    pub(super) busy: Busy,
    pub(super) options: PickOptions,
    /// Everything ever written, oldest first.
    pub(super) history: Vec<Owned>,
    /// Ascending positions that somebody holds.
    pub(super) snapshots: Vec<Lsn>,
    /// The next number: also the horizon.
    pub(super) next: u64,
    pub(super) throttled: Cell<u64>,
    /// Jobs installed by output level, and moves.
    pub(super) installed: RefCell<[u64; LEVEL_COUNT]>,
    pub(super) moves: Cell<u64>,
}

impl Tree {
    pub(super) fn new(sizes: LevelSizes, target_file_bytes: u64) -> Self {
        let store = Store::new();
        let version = Version::default().apply(&first_edit(&[0], vec![]), &store.tables).unwrap();
        let oldest = Lsn(0);
        Self {
            store,
            version,
            busy: Busy::default(),
            options: PickOptions {
                sizes,
                target_file_bytes,
                job_bytes_max: 1 << 20,
                oldest,
                leftover: None,
            },
            history: Vec::new(),
            snapshots: vec![Lsn(0)],
            next: 0,
            throttled: Cell::new(0),
            installed: RefCell::default(),
            moves: Cell::new(0),
        }
    }

    /// Writes a level-0 table of random entries over `keys` keys, as a flush does.
    pub(super) fn flush(&mut self, random: &mut Random, entries: usize, keys: usize) {
        self.flush_range(random, entries, 0..keys);
    }

    /// The same with keys of a range.
    pub(super) fn flush_range(&mut self, random: &mut Random, entries: usize, keys: Range<usize>) {
        let mut made = Vec::new();
        for _ in 0..entries {
            let key = format!("{:04}", keys.start + random.below(keys.len()));
            made.push(match random.below(3) {
                0 => Owned::delete(key.as_bytes(), self.next),
                _ => Owned::put(key.as_bytes(), self.next, &self.next.to_le_bytes()),
            });
            self.next += 1;
        }
        self.history.extend(made.iter().cloned());
        sort(&mut made);
        let mut retain = Retain::new(&self.snapshots, Lsn(self.next), false);
        made.retain(|entry| retain.keep(&entry.borrow()));
        self.place(0, made);
    }

    /// Places entries in a level as they are.
    pub(super) fn place(&mut self, level: u8, entries: Vec<Owned>) {
        let added = vec![self.store.placed(KS, level, entries)];
        let edit = VersionEdit { added, ..VersionEdit::default() };
        self.version = self.version.apply(&edit, &self.store.tables).unwrap();
    }

    /// Options as they are now: what everybody sees may have grown.
    pub(super) fn pick_options(&self) -> PickOptions {
        let oldest = self.snapshots.iter().copied().find(|s| s.0 > 0).unwrap_or(Lsn(self.next));
        PickOptions { oldest, ..self.options }
    }

    pub(super) fn pick(&mut self) -> Option<Pending> {
        let job = pick(&self.version, &self.busy, &self.pick_options())?;
        Some(self.start(job))
    }

    pub(super) fn start(&mut self, job: Job) -> Pending {
        let id = self.busy.start(&job);
        Pending { job, id, outcome: None }
    }

    pub(super) fn try_run(&self, job: &Job, cancelled: &AtomicBool) -> Result<Outcome> {
        let dir: Arc<dyn Dir> = self.store.dir.clone();
        let context = Context {
            dir: &dir,
            tables: &self.store.tables,
            new_file: &|| self.store.new_file(),
            random: &|| 42,
            options: &small_options(),
            snapshots: &self.snapshots,
            horizon: Lsn(self.next),
            cancelled,
            throttle: &|bytes| self.throttled.set(self.throttled.get() + bytes),
            between: &|| {},
        };
        run(job, &context)
    }

    pub(super) fn run(&self, pending: &mut Pending) {
        pending.outcome = Some(self.try_run(&pending.job, &AtomicBool::new(false)).unwrap());
    }

    /// Installs an outcome and removes the files that nobody needs any more.
    pub(super) fn install(&mut self, pending: Pending) {
        let Pending { job, id, outcome } = pending;
        let outcome = outcome.unwrap();
        assert!(self.version.accepts(&outcome.edit));
        self.version = self.version.apply(&outcome.edit, &self.store.tables).unwrap();
        self.busy.finish(id);
        self.installed.borrow_mut()[usize::from(job.output_level().0)] += 1;
        self.moves.set(self.moves.get() + u64::from(job.is_move()));
        let removed: Vec<RemovedSection> = outcome.edit.removed.clone();
        drop((job, outcome));
        let live = self.version.live_files();
        for removed in removed.iter().filter(|r| !live.contains(&r.file)) {
            self.store.tables.retire(removed.file);
        }
        for number in self.store.tables.take_unused() {
            self.store.dir.remove(&crate::base::filename::table(number)).unwrap();
        }
    }

    /// Picks, runs and installs until nothing is due; returns the number of jobs.
    pub(super) fn settle(&mut self) -> u64 {
        for jobs in 0..1000 {
            let Some(mut pending) = self.pick() else {
                return jobs;
            };
            self.run(&mut pending);
            self.install(pending);
        }
        panic!("compaction does not come to an end");
    }

    /// What a reader at `position` sees, from the history.
    pub(super) fn expected(&self, position: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut state = BTreeMap::new();
        for entry in self.history.iter().filter(|e| e.number < position) {
            match entry.kind {
                Kind::Put => state.insert(entry.key.clone(), entry.value.clone()),
                _ => state.remove(&entry.key),
            };
        }
        state
    }

    /// Reads at every snapshot and at the horizon, by lookup and by scan, and compares.
    pub(super) fn check_reads(&self) {
        let positions = self.snapshots.iter().map(|s| s.0).chain([self.next]);
        for position in positions {
            let expected = self.expected(position);
            for entry in &self.history {
                let found = self.version.get(KS, &entry.key, Lsn(position)).unwrap();
                let found = found.filter(|f| f.kind == Kind::Put).map(|f| f.value.to_vec());
                let key = String::from_utf8_lossy(&entry.key);
                assert_eq!(found.as_ref(), expected.get(&entry.key), "{key} at {position}");
            }
            let merged = MergeCursor::new(self.version.cursors_in(KS, None, None).unwrap());
            let mut cursor = VisibleCursor::new(merged, Lsn(position), 0, None, None);
            let mut scanned = BTreeMap::new();
            while cursor.next().unwrap() {
                scanned.insert(cursor.key().to_vec(), cursor.value().to_vec());
            }
            assert_eq!(scanned, expected, "scan at {position}");
        }
    }

    /// Every entry with the place in the search order of the section that it is in.
    pub(super) fn stored(&self) -> Vec<(usize, Owned)> {
        let mut stored = Vec::new();
        let levels = self.version.levels(KS).unwrap();
        for (order, (level, section)) in levels.all_sections().enumerate() {
            let order = if level == Level(0) { order } else { 1000 + usize::from(level.0) };
            let mut cursor = section.table().unwrap().cursor(KS).unwrap();
            cursor.seek_first().unwrap();
            while let Some(entry) = cursor.entry() {
                stored.push((order, Owned::of(entry)));
                cursor.next().unwrap();
            }
        }
        stored
    }

    /// V3 by brute force, and nothing stored that was never written.
    pub(super) fn check_order(&self) {
        let mut stored = self.stored();
        stored.sort_by(|(_, a), (_, b)| compare((&a.key, a.number), (&b.key, b.number)));
        for pair in stored.windows(2) {
            let [(upper, newer), (lower, older)] = pair else { continue };
            assert!(newer.key != older.key || upper <= lower, "V3: {newer:?} under {older:?}");
            assert!(newer.key != older.key || newer.number != older.number, "twice: {newer:?}");
        }
        for (_, entry) in &stored {
            assert!(self.history.contains(entry), "never written: {entry:?}");
        }
    }
}
