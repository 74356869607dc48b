//! What regions, epochs, parking, the fork word and budgets promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::epoch;
use super::{
    Budget, Counter, Deadline, EpochCell, Garbage, Parking, Pooled, Recycler, Region, Use, fork,
};

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Drains until nothing is pending; other tests' pins may delay that.
fn drain(garbage: &Garbage) {
    while garbage.pending() > 0 {
        garbage.drain();
        std::thread::yield_now();
    }
}

#[test]
#[allow(unsafe_code, reason = "reads and writes a region")]
fn region_is_zero_and_writable_to_its_last_byte() {
    for bytes in [1, 4096, 4097, (2 << 20) - 1, 2 << 20, (5 << 20) + 3] {
        let region = Region::new(bytes).unwrap();

        assert!(region.len() >= bytes);
        // SAFETY: the region is this long, zeroed, and nobody else's.
        let memory = unsafe { std::slice::from_raw_parts_mut(region.as_ptr(), region.len()) };
        assert!(memory.iter().all(|&byte| byte == 0));
        memory.fill(7);
        region.populate(0, region.len());
        assert!(memory.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn region_beyond_the_address_space_is_no_memory() {
    for bytes in [usize::MAX, usize::MAX - 4096, 1 << 60] {
        let error = Region::new(bytes).unwrap_err();

        assert_eq!(error.kind(), crate::base::ErrorKind::NoMemory);
    }
}

/// The bytes of a region that the test has to itself.
#[allow(unsafe_code, reason = "reads and writes a region")]
fn bytes_of(region: &mut Pooled) -> &mut [u8] {
    // SAFETY: the region is this long and initialized, and the borrow makes the slice the only one.
    unsafe { std::slice::from_raw_parts_mut(region.as_ptr(), region.len()) }
}

#[test]
fn region_that_is_used_again_is_zeros_however_much_of_it_was_written() {
    let memory = Recycler::new(1 << 20);
    for written in [64 << 10, 100, 0, 64 << 10] {
        let mut region = memory.region(Use::Arena, 64 << 10).unwrap();
        assert!(bytes_of(&mut region).iter().all(|&byte| byte == 0));
        bytes_of(&mut region)[..written].fill(7);
        region.populate(0, 64 << 10);
        if written < region.len() {
            region.note_used(written);
        }
    }

    let address = memory.region(Use::Arena, 64 << 10).unwrap().as_ptr();
    let mut again = memory.region(Use::Arena, 64 << 10).unwrap();

    assert_eq!(again.as_ptr(), address, "the region was not kept");
    assert!(bytes_of(&mut again).iter().all(|&byte| byte == 0));
}

#[test]
fn recycler_keeps_what_its_limit_allows_until_nobody_wants_it() {
    let memory = Recycler::new(100 << 10);
    let three: Vec<_> = (0..3).map(|_| memory.region(Use::Arena, 40 << 10).unwrap()).collect();
    drop(three);
    assert_eq!(memory.bytes(), 80 << 10);

    memory.trim(1);
    assert_eq!(memory.bytes(), 80 << 10);
    memory.trim(1);
    assert_eq!(memory.bytes(), 0);
}

#[test]
fn recycler_lets_go_what_was_outgrown_and_nothing_of_another_use() {
    let memory = Recycler::new(1 << 20);
    drop(memory.region(Use::Index, 4 << 10).unwrap());
    drop(memory.region(Use::Arena, 64 << 10).unwrap());

    drop(memory.region(Use::Arena, 128 << 10).unwrap());

    assert_eq!(memory.bytes(), (4 << 10) + (128 << 10));
}

#[test]
fn replaced_object_outlives_every_pin_of_its_time() {
    let drops = Arc::new(AtomicUsize::new(0));
    let garbage = Arc::new(Garbage::new());
    let cell = EpochCell::new(Arc::new(Counted(Arc::clone(&drops))), Arc::clone(&garbage));
    let reader = epoch::pin();
    let seen = cell.load(&reader);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            cell.swap(Arc::new(Counted(Arc::clone(&drops))), &epoch::pin());
            garbage.drain();
            garbage.drain();
        });
    });
    assert_eq!(seen.0.load(Ordering::SeqCst), 0);
    drop(reader);
    drain(&garbage);

    assert_eq!(drops.load(Ordering::SeqCst), 1);
    drop(cell);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn counted_reference_outlives_cell_and_queue() {
    let garbage = Arc::new(Garbage::new());
    let cell = EpochCell::new(Arc::new(41), Arc::clone(&garbage));

    let kept = cell.load_arc(&epoch::pin());
    cell.swap(Arc::new(42), &epoch::pin());
    drain(&garbage);
    drop(cell);

    assert_eq!(*kept, 41);
}

#[test]
fn exchange_with_another_object_gives_the_new_one_back() {
    let cell = EpochCell::new(Arc::new(1), Arc::new(Garbage::new()));
    let guard = epoch::pin();

    let refused = cell.compare_exchange(&1, Arc::new(2), &guard);

    assert_eq!(*refused.unwrap_err(), 2);
    assert_eq!(*cell.load(&guard), 1);
    cell.compare_exchange(cell.load(&guard), Arc::new(3), &guard).unwrap();
    assert_eq!(*cell.load(&guard), 3);
}

#[test]
fn what_was_retired_stays_as_long_as_the_oldest_pin() {
    let pinned = epoch::pin();
    let garbage = Arc::new(Garbage::new());
    garbage.retire(Box::new(()), &epoch::pin());

    for _ in 0..10 {
        assert_eq!(garbage.drain(), 0);
    }
    drop(pinned);

    while garbage.drain() == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn pin_works_while_the_thread_is_torn_down() {
    struct PinsLate;
    impl Drop for PinsLate {
        fn drop(&mut self) {
            drop(epoch::pin());
        }
    }
    std::thread_local! {
        static LATE: PinsLate = const { PinsLate };
    }

    std::thread::scope(|scope| {
        scope.spawn(|| {
            LATE.with(|_| ());
            drop(epoch::pin());
        });
    });
}

#[test]
fn waiters_see_every_step_of_a_notifier() {
    let parking = Parking::new();
    let position = AtomicU64::new(0);

    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for step in 1..=2_000 {
                    assert!(
                        parking
                            .wait_until(0, None, || { position.load(Ordering::Acquire) >= step })
                    );
                }
            });
        }
        for step in 1..=2_000 {
            position.store(step, Ordering::Release);
            parking.notify();
        }
    });
}

#[test]
fn each_change_told_to_one_waiter_finds_one() {
    const WAITERS: u64 = 3;
    let parking = Parking::new();
    let changes = AtomicU64::new(0);
    let take = || {
        let take_one = |left: u64| left.checked_sub(1);
        changes.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_one).is_ok()
    };

    std::thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| assert!(parking.wait_until(0, None, take)));
        }
        for _ in 0..WAITERS {
            changes.fetch_add(1, Ordering::AcqRel);
            parking.notify_one();
        }
    });

    assert_eq!(changes.load(Ordering::Acquire), 0);
}

#[test]
fn wait_ends_at_its_deadline() {
    let parking = Parking::new();
    let clock = AtomicU64::new(0);
    // Each look at the clock moves it on by a millisecond.
    let now = || clock.fetch_add(1_000_000, Ordering::Relaxed);

    let met = parking.wait_until(100, Some(Deadline { at_ns: 3_000_000, now: &now }), || false);

    assert!(!met);
}

#[test]
fn generation_stays_the_same_within_a_process() {
    assert_ne!(fork::generation(), 0);
    assert_eq!(fork::generation(), fork::generation());
    assert!(!fork::in_child());
}

#[test]
#[allow(unsafe_code, reason = "forks")]
fn forked_child_has_another_generation() {
    let parent = fork::generation();

    // SAFETY: the child calls nothing but the functions under test, which take no lock once they
    // were called before, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let differs = fork::in_child() && fork::generation() != parent;
        let stays = fork::generation() == fork::generation();
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!(differs && stays))) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };

    assert_eq!(status, 0);
    assert!(!fork::in_child());
}

#[test]
fn budget_is_never_exceeded_by_takers() {
    let budget = Budget::new(1000);

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for bytes in 1..500 {
                    if budget.try_take(bytes) {
                        assert!(budget.used() <= budget.limit());
                        budget.give(bytes);
                    }
                }
            });
        }
    });

    assert_eq!(budget.used(), 0);
    assert!(!budget.try_take(1001));
    assert!(budget.try_take(1000));
    assert!(!budget.try_take(u64::MAX));
}

#[test]
fn counters_lose_nothing_of_more_threads_than_they_have_shards() {
    let counter = Counter::default();
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1000).map(|_| counter.add(1)).max());
            }
        });
    }
    assert_eq!(counter.get(), 60_000);
}
