//! Models of the log leader (invariant W2): one sync for many, and a disk that forgets what a failed
//! sync did not make durable, while the next sync reports success.

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::check;
use crate::base::{Error, ErrorKind, Lsn, Result};
use crate::engine::poison::Poison;
use crate::engine::sync::{Leader, settle};
use crate::mem::Parking;
use crate::mem::atomic::{AtomicU64, Ordering};

/// What the file system does with a log file: a write-back error is reported once, and the pages it
/// was about count as clean from then on.
#[derive(Default)]
struct Disk {
    /// Everything below it is durable.
    durable: u64,
    /// Everything below it was handed to a sync.
    tried: u64,
    /// How many of the next syncs fail.
    failures: u32,
    /// How many syncs there were.
    syncs: u32,
    /// Whether something between was lost, so that nothing above is a prefix any more.
    holed: bool,
}

impl Disk {
    fn sync(&mut self, to: u64) -> Result<()> {
        self.syncs += 1;
        if self.failures > 0 {
            self.failures -= 1;
            self.holed |= to > self.tried;
            self.tried = self.tried.max(to);
            return Err(Error::new(ErrorKind::Io, "the sync failed"));
        }
        self.tried = self.tried.max(to);
        if !self.holed {
            self.durable = self.durable.max(to);
        }
        Ok(())
    }
}

struct Log {
    visible: AtomicU64,
    synced: AtomicU64,
    leader: Leader,
    parking: Parking,
    poison: Poison,
    disk: Mutex<Disk>,
}

impl Log {
    fn new(failures: u32) -> Arc<Self> {
        Arc::new(Self {
            visible: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            leader: Leader::new(),
            parking: Parking::new(),
            poison: Poison::new(),
            disk: Mutex::new(Disk { failures, ..Disk::default() }),
        })
    }

    /// What `Db::lead_sync` does.
    fn lead(&self) -> Result<()> {
        let target = self.visible.load(Ordering::Acquire);
        let outcome = self.disk.lock().unwrap().sync(target);
        let poison = |cause| {
            self.poison.set(cause);
            self.parking.notify();
        };
        settle(outcome, &self.synced, Lsn(target), poison, || self.poison.check())?;
        self.parking.notify();
        Ok(())
    }

    /// One write with SYNC, from its publication on; checks what its acknowledgement promises.
    fn commit(&self) -> Result<()> {
        let end = self.visible.fetch_add(1, Ordering::AcqRel) + 1;
        let outcome = self.leader.ride(
            &self.synced,
            end,
            || self.poison.check(),
            || self.lead(),
            |done| {
                self.parking.wait_until(0, None, done);
                Ok(())
            },
            || self.parking.notify(),
        );
        if outcome.is_ok() {
            let disk = self.disk.lock().unwrap();
            assert!(disk.durable >= end, "acknowledged, and not durable");
        }
        outcome
    }
}

/// Commits once on each of `threads` threads and here; returns the outcomes and the disk.
fn commit_all(log: &Arc<Log>, threads: usize) -> Vec<Result<()>> {
    let others: Vec<_> = (0..threads)
        .map(|_| {
            let log = Arc::clone(log);
            thread::spawn(move || log.commit())
        })
        .collect();
    let mut outcomes = vec![log.commit()];
    outcomes.extend(others.into_iter().map(|other| other.join().unwrap()));
    outcomes
}

/// Fails (by a deadlock) if the leader does not notify, or if waiters do not look at the token.
#[test]
fn every_commit_is_acknowledged_once_it_is_durable() {
    check(3, || {
        let log = Log::new(0);

        let outcomes = commit_all(&log, 1);

        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(log.synced.load(Ordering::Acquire), 2);
        assert!(log.disk.lock().unwrap().syncs <= 2, "nobody leads without need");
    });
}

/// As above with three writers.
#[test]
fn three_commits_share_their_syncs() {
    check(2, || {
        let log = Log::new(0);

        let outcomes = commit_all(&log, 2);

        assert!(outcomes.iter().all(Result::is_ok));
        assert!(log.disk.lock().unwrap().syncs <= 3);
    });
}

/// Fails if the cause is not stored, or only after the token was passed: the second sync then
/// "succeeds" for bytes that the first one lost. (If nobody looks at the cause, they turn for ever.)
#[test]
fn after_a_failed_sync_nobody_is_acknowledged() {
    check(3, || {
        let log = Log::new(1);

        let outcomes = commit_all(&log, 1);

        assert!(outcomes.iter().all(Result::is_err), "the first sync failed");
        assert!(log.poison.check().is_err());
        assert_eq!(log.synced.load(Ordering::Acquire), 0);
    });
}

/// As above, when one commit was acknowledged before.
#[test]
fn what_was_acknowledged_before_a_failed_sync_stays_durable() {
    check(2, || {
        let log = Log::new(0);
        assert!(log.commit().is_ok());
        log.disk.lock().unwrap().failures = 1;

        let outcomes = commit_all(&log, 2);

        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(log.disk.lock().unwrap().durable, 1);
        assert_eq!(log.synced.load(Ordering::Acquire), 1);
    });
}
