//! Pins by crossbeam-epoch, with a collector of lsmer's own and one handle per thread.

use std::sync::{Arc, OnceLock};

use crossbeam_epoch::{Collector, LocalHandle};

use crate::mem::Garbage;
use crate::mem::garbage::Node;

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

thread_local! {
    static HANDLE: LocalHandle = collector().register();
}

fn collector() -> &'static Collector {
    #[cfg(test)]
    if let Some(own) = OWN.get() {
        return own;
    }
    COLLECTOR.get_or_init(Collector::new)
}

#[cfg(test)]
thread_local! {
    static OWN: std::cell::Cell<Option<&'static Collector>> = const { std::cell::Cell::new(None) };
}

/// Gives this thread a collector of its own, so that what it frees does not depend on what other
/// tests pin meanwhile. To be called before its first pin; what it makes must stay on it.
#[cfg(test)]
pub(crate) fn isolate_thread() {
    OWN.set(Some(Box::leak(Box::new(Collector::new()))));
}

/// The collector, for containers that insist on having one.
pub(crate) fn list_collector() -> Collector {
    collector().clone()
}

/// While it lives, nothing that was reachable when it was made is freed. Cheap to make, also
/// inside another one; belongs to its thread.
#[derive(Debug)]
pub(crate) struct Guard(crossbeam_epoch::Guard);

impl Guard {
    /// Runs `garbage.push(node)` when every pin that exists now is gone, on any thread.
    pub(in crate::mem) fn defer_push(&self, garbage: Arc<Garbage>, node: Box<Node>) {
        self.0.defer(move || garbage.push(node));
        // Retiring is rare; without this the node would wait for this thread to retire many more.
        self.0.flush();
    }
}

/// Pins this thread.
#[inline]
pub(crate) fn pin() -> Guard {
    // A thread that is being torn down has no handle any more; it registers for this one pin.
    Guard(HANDLE.try_with(LocalHandle::pin).unwrap_or_else(|_| collector().register().pin()))
}

/// Helps the epoch on, so that deferred work is done although nobody else pins.
pub(crate) fn help() {
    // The epoch must advance twice past a retirement; one step for each pin, one for the rest.
    for _ in 0..3 {
        pin().0.flush();
    }
}
