//! Models of sealing and installing by several helpers (invariants W3 and S5).

use std::sync::Arc;

use loom::thread;

use super::check;
use super::small::{FIRST, RECORD, Small};
use crate::mem::epoch;

/// Fails if a helper installs without looking at the active generation, and if the successor is
/// opened only after it is installed.
#[test]
fn two_writers_without_room_install_one_successor() {
    check(2, || {
        // Room for one record; the other one goes to the successor, whoever seals.
        let small = Small::new(2, 0);
        small.prepare_next(3).unwrap();
        let other = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.reserve_and_fill().unwrap())
        };

        let mut positions = [small.reserve_and_fill().unwrap(), other.join().unwrap()];

        positions.sort_unstable();
        assert_eq!(positions, [FIRST, FIRST.plus(2 * RECORD)]);
        small.assert_chained(FIRST.plus(3 * RECORD));
    });
}

/// As above, when both have to seal. Fails, too, if the seal's mark is not stored.
#[test]
fn helpers_of_a_full_generation_install_one_successor() {
    check(2, || {
        let small = Small::new(2, 0);
        small.prepare_next(4).unwrap();
        small.reserve_and_fill().unwrap();
        let other = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.reserve_and_fill().unwrap())
        };

        let mut positions = [small.reserve_and_fill().unwrap(), other.join().unwrap()];

        positions.sort_unstable();
        assert_eq!(positions, [FIRST.plus(2 * RECORD), FIRST.plus(3 * RECORD)]);
        small.assert_chained(FIRST.plus(4 * RECORD));
    });
}

/// Fails if a large record fills its generation after installing only what follows the generation
/// that it was put behind: the other one's may stand between.
#[test]
fn two_large_records_get_a_generation_each() {
    check(1, || {
        let small = Small::new(2, 0);
        small.prepare_next(2).unwrap();
        let other = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.write_large().unwrap())
        };

        let mut positions = [small.write_large().unwrap(), other.join().unwrap()];

        // The first generation holds nothing but its seal.
        positions.sort_unstable();
        assert_eq!(positions, [FIRST.plus(RECORD), FIRST.plus(3 * RECORD)]);
        small.assert_chained(FIRST.plus(4 * RECORD));
    });
}

/// Fails if a large record is put in the place of a successor that is fixed.
#[test]
fn a_large_record_and_a_writer_without_room_agree_on_what_follows() {
    check(1, || {
        let small = Small::new(2, 0);
        small.prepare_next(3).unwrap();
        small.reserve_and_fill().unwrap();
        let other = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.write_large())
        };

        let ordinary = small.reserve_and_fill().unwrap();
        // Without a prepared successor it finds no room.
        let large = other.join().unwrap();

        match large {
            Ok(large) => {
                assert_eq!((large, ordinary), (FIRST.plus(2 * RECORD), FIRST.plus(4 * RECORD)));
                small.assert_chained(FIRST.plus(5 * RECORD));
            }
            Err(_) => {
                assert_eq!(ordinary, FIRST.plus(2 * RECORD));
                small.assert_chained(FIRST.plus(3 * RECORD));
            }
        }
    });
}

/// Fails if the successor is exchanged although it is fixed.
#[test]
fn an_exchange_of_the_successor_and_a_writer_without_room_agree_on_what_follows() {
    check(2, || {
        let small = Small::new(2, 0);
        small.prepare_next(4).unwrap();
        small.reserve_and_fill().unwrap();
        let other = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.exchange_next(2))
        };

        let ordinary = small.reserve_and_fill().unwrap();
        let unneeded = other.join().unwrap();

        assert_eq!(ordinary, FIRST.plus(2 * RECORD));
        small.assert_chained(FIRST.plus(3 * RECORD));
        let guard = epoch::pin();
        let active = &small.state.load(&guard).active;
        assert!(unneeded.is_none_or(|unneeded| !Arc::ptr_eq(&unneeded, active)));
    });
}
