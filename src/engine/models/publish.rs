//! Models of publication and waiting (invariant W1): marks are stored in any order, `visible` passes
//! them in theirs, and nobody sleeps on a record that is done.

use loom::sync::Arc;
use loom::thread;

use super::check;
use crate::engine::publish::{Step, advance_over};
use crate::mem::Parking;
use crate::mem::atomic::{AtomicU32, AtomicU64, Ordering};

/// Records of length 1 at the positions 0, 1 and so on.
struct Log {
    visible: AtomicU64,
    parking: Parking,
    marks: Vec<AtomicU32>,
    /// What the records hold: written relaxed before the mark, so that whoever was not
    /// synchronized with it by mark and `visible` reads 0.
    content: Vec<AtomicU32>,
}

impl Log {
    fn new(records: usize) -> Arc<Self> {
        let zeros = || (0..records).map(|_| AtomicU32::new(0)).collect();
        let (visible, parking) = (AtomicU64::new(0), Parking::new());
        Arc::new(Self { visible, parking, marks: zeros(), content: zeros() })
    }

    /// What `Db::advance` does within a generation.
    fn advance(&self) {
        let moved = advance_over(&self.visible, |at| {
            let mark = self.marks.get(at as usize).map_or(0, |mark| mark.load(Ordering::Acquire));
            if mark == 0 { Step::Stop } else { Step::To(at + u64::from(mark)) }
        });
        if moved {
            self.parking.notify();
        }
    }

    /// Steps 3 to 5 of a write. Loom reports a deadlock if it never returns.
    fn write(&self, at: usize) {
        self.content[at].store(7, Ordering::Relaxed);
        self.marks[at].store(1, Ordering::Release);
        self.advance();
        let is_done = || {
            let end = at as u64 + 1;
            if self.visible.load(Ordering::Acquire) >= end {
                return true;
            }
            self.advance();
            self.visible.load(Ordering::Acquire) >= end
        };
        assert!(self.parking.wait_until(0, None, is_done));
        for content in &self.content[..=at] {
            assert_eq!(content.load(Ordering::Relaxed), 7, "a visible record is not whole");
        }
    }
}

/// Fails if a waiter does not advance once more itself, if whoever advances does not notify, if
/// `visible` is moved by a plain store, and if marks are stored relaxed.
#[test]
fn two_neighbours_do_not_wait_for_each_other() {
    check(3, || {
        let log = Log::new(2);
        let other = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.write(0))
        };

        log.write(1);
        other.join().unwrap();

        assert_eq!(log.visible.load(Ordering::Acquire), 2);
    });
}

/// As above with one more, so that somebody passes a mark that he did not wait for.
#[test]
fn three_neighbours_do_not_wait_for_each_other() {
    check(2, || {
        let log = Log::new(3);
        let others = [0, 1].map(|at| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.write(at))
        });

        log.write(2);
        for other in others {
            other.join().unwrap();
        }

        assert_eq!(log.visible.load(Ordering::Acquire), 3);
    });
}
