//! Stands for the collector under loom, which crossbeam-epoch cannot run under.
//!
//! It keeps the one promise that the cell relies on (deferred work runs after all pins of that
//! time are gone) in the bluntest way: it runs when nobody is pinned. So the models prove the use
//! that lsmer makes of epochs, not the epochs.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::mem::Garbage;
use crate::mem::garbage::Node;

struct Substitute {
    /// Read by read-modify-write only, so that nobody acts on an old count.
    pinned: AtomicUsize,
    waiting: Mutex<Vec<(Arc<Garbage>, Box<Node>)>>,
}

loom::lazy_static! {
    static ref SUBSTITUTE: Substitute =
        Substitute { pinned: AtomicUsize::new(0), waiting: Mutex::new(Vec::new()) };
}

/// See the real one. No model uses a container that needs it.
pub(crate) fn list_collector() -> crossbeam_epoch::Collector {
    crossbeam_epoch::Collector::new()
}

/// See the real one.
#[derive(Debug)]
pub(crate) struct Guard(());

impl Guard {
    pub(in crate::mem) fn defer_push(&self, garbage: Arc<Garbage>, node: Box<Node>) {
        SUBSTITUTE.waiting.lock().unwrap().push((garbage, node));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        SUBSTITUTE.pinned.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Pins this thread.
pub(crate) fn pin() -> Guard {
    SUBSTITUTE.pinned.fetch_add(1, Ordering::SeqCst);
    Guard(())
}

/// Runs the deferred work if nobody is pinned. What is in the list was unreachable before it was
/// put there, under the lock; so a pin made after the count was zero cannot find it.
pub(crate) fn help() {
    let mut waiting = SUBSTITUTE.waiting.lock().unwrap();
    if SUBSTITUTE.pinned.fetch_add(0, Ordering::SeqCst) == 0 {
        for (garbage, node) in waiting.drain(..) {
            garbage.push(node);
        }
    }
}
