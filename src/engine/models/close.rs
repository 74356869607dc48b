//! Models of close against writers, sealers and preparers in flight (invariant W4).

use std::sync::Arc;

use loom::thread;

use super::check;
use super::small::Small;
use crate::base::{ErrorKind, Lsn, Result};

/// What a call that met a close may answer: a position before the END, or `Closed`.
fn assert_before(end: Lsn, written: Result<Lsn>) {
    match written {
        Ok(at) => assert!(at < end, "acknowledged at {at}, behind the end at {end}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
}

/// Fails if close does not seal the tail, or writes the END before all that is reserved is visible.
#[test]
fn what_is_acknowledged_lies_before_the_end() {
    check(2, || {
        let small = Small::new(4, 0);
        let writers = [0, 1].map(|_| {
            let small = Arc::clone(&small);
            thread::spawn(move || small.write())
        });

        let end = small.close();

        for writer in writers {
            assert_before(end, writer.join().unwrap());
        }
        assert_eq!(small.write().unwrap_err().kind(), ErrorKind::Closed);
    });
}

/// Fails if the END takes the place of a successor that is fixed: that one is installed by a helper
/// that holds it, behind the END.
#[test]
fn a_writer_who_seals_gets_the_successor_or_the_end() {
    check(2, || {
        let small = Small::new(2, 0);
        small.prepare_next(3).unwrap();
        small.write().unwrap();
        let writer = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.write())
        };

        let end = small.close();

        assert_before(end, writer.join().unwrap());
    });
}

/// Fails if the state that close leaves behind can still be given a successor.
#[test]
fn a_late_preparer_does_not_bring_a_closed_database_to_life() {
    check(2, || {
        // The writer finds no room and prepares a generation himself.
        let small = Small::new(2, 2);
        small.write().unwrap();
        let writer = {
            let small = Arc::clone(&small);
            thread::spawn(move || small.write())
        };

        let end = small.close();

        assert_before(end, writer.join().unwrap());
    });
}
