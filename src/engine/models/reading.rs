//! Models of readers against a dropper (invariants S3 and S4): a live key is always found, and a
//! snapshot sees what it saw, whatever flush leaves out.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::base::{Entry, Kind, Lsn};
use crate::engine::snapshot::Snapshots;
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::mem::epoch;
use crate::mem::{EpochCell, Garbage};
use crate::merge::Retain;

/// The numbers of the two versions of the one key, and the end of their generation.
const OLD: u64 = 64;
const NEW: u64 = 65;
const END: u64 = 66;

/// Where readers look: the numbers of the versions in it, newest first.
enum State {
    /// The generation, which holds both, the newer one perhaps not published.
    Memory,
    /// The table that a flush made of it.
    Table(Vec<u64>),
}

impl State {
    /// The newest version below `at`, as a point read finds it.
    fn find(&self, at: Lsn) -> Option<u64> {
        let versions = match self {
            Self::Memory => [NEW, OLD].to_vec(),
            Self::Table(versions) => versions.clone(),
        };
        versions.into_iter().find(|number| *number < at.0)
    }
}

struct Store {
    state: EpochCell<State>,
    visible: AtomicU64,
    snapshots: Snapshots,
    garbage: Arc<Garbage>,
}

impl Store {
    /// The old version is visible.
    fn new() -> Arc<Self> {
        let garbage = Arc::new(Garbage::new());
        Arc::new(Self {
            state: EpochCell::new(Arc::new(State::Memory), Arc::clone(&garbage)),
            visible: AtomicU64::new(NEW),
            snapshots: Snapshots::new(),
            garbage,
        })
    }

    fn publish_new(&self) {
        let moved = self.visible.compare_exchange(NEW, END, Ordering::SeqCst, Ordering::Relaxed);
        assert!(moved.is_ok());
    }

    /// What `Db::flush_one` does with the versions of a key.
    fn flush(&self) {
        let (horizon, snapshots) = self.snapshots.positions(&self.visible);
        if horizon < Lsn(END) {
            return;
        }
        let mut retain = Retain::new(&snapshots, horizon, false);
        let mut kept = vec![NEW, OLD];
        kept.retain(|number| {
            let kind = Kind::Put;
            retain.keep(&Entry { key: b"k", number: *number, kind, expiry_ms: 0, value: b"" })
        });
        let guard = epoch::pin();
        self.state.swap(Arc::new(State::Table(kept)), &guard);
    }

    /// What `Db::read` does: the state first, the position second.
    fn read_now(&self) -> Option<u64> {
        let guard = epoch::pin();
        let state = self.state.load(&guard);
        let at = Lsn(self.visible.load(Ordering::Acquire));
        state.find(at)
    }

    fn read_at(&self, at: Lsn) -> Option<u64> {
        let guard = epoch::pin();
        self.state.load(&guard).find(at)
    }
}

/// Fails if the position is loaded before the state.
#[test]
fn a_reader_finds_a_live_key_whatever_a_flush_drops() {
    check(3, || {
        let store = Store::new();
        let other = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.publish_new();
                store.flush();
                store.garbage.drain();
            })
        };

        let found = store.read_now();

        other.join().unwrap();
        assert!(matches!(found, Some(OLD | NEW)), "the key was there all the time");
    });
}

/// Fails like the models of snapshots, seen from the reader.
#[test]
fn a_snapshot_sees_the_same_before_and_after_a_flush() {
    check(3, || {
        let store = Store::new();
        let other = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.publish_new();
                store.flush();
            })
        };

        let (slot, seq) = store.snapshots.register(&store.visible, 0);
        let first = store.read_at(seq);
        other.join().unwrap();
        let second = store.read_at(seq);

        assert_eq!(first, Some(seq.0 - 1), "the newest version below the snapshot");
        assert_eq!(first, second);
        store.snapshots.release(slot);
    });
}
