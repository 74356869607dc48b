//! Loom models of parking and of the epoch cell (over the substitute collector).

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use super::{EpochCell, Garbage, Parking, epoch};

/// Checks all executions with at most three preemptions: more find no other bugs in practice, and
/// sleeping threads have too many executions otherwise.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn no_wake_up_is_lost() {
    check(|| {
        let parking = Arc::new(Parking::new());
        let position = Arc::new(AtomicU64::new(0));
        let waiter = {
            let (parking, position) = (Arc::clone(&parking), Arc::clone(&position));
            thread::spawn(move || {
                // Loom reports a deadlock if this never returns.
                parking.wait_until(0, None, || position.load(Ordering::Acquire) >= 1)
            })
        };

        position.store(1, Ordering::Release);
        parking.notify();

        assert!(waiter.join().unwrap());
    });
}

#[test]
fn every_waiter_wakes_when_two_advance() {
    check(|| {
        let parking = Arc::new(Parking::new());
        let position = Arc::new(AtomicU64::new(0));
        let advance = |by: u64| {
            let (parking, position) = (Arc::clone(&parking), Arc::clone(&position));
            thread::spawn(move || {
                position.fetch_add(by, Ordering::AcqRel);
                parking.notify();
            })
        };

        let (one, two) = (advance(1), advance(1));
        assert!(parking.wait_until(0, None, || position.load(Ordering::Acquire) == 2));

        one.join().unwrap();
        two.join().unwrap();
    });
}

/// Says when it is dropped, so that a reader of a freed object is caught.
struct Tracked {
    gone: StdArc<AtomicBool>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_freed_while_a_reader_is_pinned() {
    check(|| {
        let gone = [StdArc::new(AtomicBool::new(false)), StdArc::new(AtomicBool::new(false))];
        let garbage = StdArc::new(Garbage::new());
        let first = StdArc::new(Tracked { gone: StdArc::clone(&gone[0]) });
        let cell = StdArc::new(EpochCell::new(first, StdArc::clone(&garbage)));
        let reader = {
            let cell = StdArc::clone(&cell);
            thread::spawn(move || {
                let guard = epoch::pin();
                let seen = cell.load(&guard);
                thread::yield_now();
                assert!(!seen.gone.load(Ordering::SeqCst));
            })
        };

        {
            let guard = epoch::pin();
            cell.swap(StdArc::new(Tracked { gone: StdArc::clone(&gone[1]) }), &guard);
        }
        garbage.drain();
        reader.join().unwrap();
        garbage.drain();

        assert!(gone[0].load(Ordering::SeqCst));
        assert!(!gone[1].load(Ordering::SeqCst));
    });
}

#[test]
fn only_one_of_two_exchanges_from_the_same_object_wins() {
    check(|| {
        let garbage = StdArc::new(Garbage::new());
        let cell = StdArc::new(EpochCell::new(StdArc::new(0_u64), StdArc::clone(&garbage)));
        let exchange = |value: u64| {
            let cell = StdArc::clone(&cell);
            move || {
                let guard = epoch::pin();
                let seen = cell.load(&guard);
                *seen == 0 && cell.compare_exchange(seen, StdArc::new(value), &guard).is_ok()
            }
        };

        let other = thread::spawn(exchange(1));
        let here = exchange(2)();
        let there = other.join().unwrap();

        assert!(here != there);
        garbage.drain();
        assert_eq!(garbage.pending(), 0);
    });
}
