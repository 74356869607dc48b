//! Models of snapshots against a dropper (invariant S4).

use loom::sync::Arc;
use loom::thread;

use super::check;
use crate::base::Lsn;
use crate::engine::snapshot::Snapshots;
use crate::mem::atomic::{AtomicU64, Ordering};

/// Positions below this are taken.
const FIRST: u64 = 64;

struct Positions {
    visible: AtomicU64,
    snapshots: Snapshots,
}

impl Positions {
    fn new() -> Arc<Self> {
        Arc::new(Self { visible: AtomicU64::new(FIRST), snapshots: Snapshots::new() })
    }

    fn advance(&self) {
        self.visible.fetch_add(1, Ordering::SeqCst);
    }
}

/// Fails if either fence is missing, if the scan does not wait while a slot is pending, and if
/// `visible` is loaded before the slot is taken.
#[test]
fn a_dropper_sees_every_snapshot_below_its_horizon() {
    check(3, || {
        let positions = Positions::new();
        let writer = {
            let positions = Arc::clone(&positions);
            thread::spawn(move || positions.advance())
        };
        let dropper = {
            let positions = Arc::clone(&positions);
            thread::spawn(move || positions.snapshots.positions(&positions.visible))
        };

        let (_, seq) = positions.snapshots.register(&positions.visible, 0);

        writer.join().unwrap();
        let (horizon, found) = dropper.join().unwrap();
        assert!(seq >= horizon || found.contains(&seq), "{seq} is below {horizon} and unseen");
    });
}

/// Fails if a slot is taken without an exchange. The first chunk has one slot here.
#[test]
fn no_two_snapshots_share_a_slot() {
    check(3, || {
        let positions = Positions::new();
        let other = {
            let positions = Arc::clone(&positions);
            thread::spawn(move || positions.snapshots.register(&positions.visible, 0))
        };

        let (here, seq) = positions.snapshots.register(&positions.visible, 0);
        let (there, _) = other.join().unwrap();

        assert_ne!(here, there);
        positions.snapshots.release(there);
        positions.advance();
        let (horizon, found) = positions.snapshots.positions(&positions.visible);
        assert_eq!((horizon, found), (Lsn(FIRST + 1), vec![seq]), "one is left");
    });
}

/// As the first, with a slot that is given back and taken again while the dropper scans.
#[test]
fn a_snapshot_in_a_used_slot_is_seen_too() {
    check(2, || {
        let positions = Positions::new();
        let (slot, _) = positions.snapshots.register(&positions.visible, 0);
        let dropper = {
            let positions = Arc::clone(&positions);
            thread::spawn(move || {
                positions.advance();
                positions.snapshots.positions(&positions.visible)
            })
        };

        positions.snapshots.release(slot);
        let (_, seq) = positions.snapshots.register(&positions.visible, 0);

        let (horizon, found) = dropper.join().unwrap();
        assert!(seq >= horizon || found.contains(&seq), "{seq} is below {horizon} and unseen");
    });
}
