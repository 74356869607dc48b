//! The queue to which retired objects go, so that no reader pays for freeing them.
//!
//! A stack that anyone pushes to and that is only ever emptied as a whole, so that the usual
//! trouble of lock-free stacks (a node that comes back) cannot arise.

use std::ptr;

#[cfg(test)]
use super::atomic::AtomicUsize;
use super::atomic::{AtomicBool, AtomicPtr, Ordering};
use super::epoch::{self, Guard};

/// Objects that no reader can reach any more, waiting for a background thread.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    /// The newest node. Pushed by whoever runs deferred work, taken as a whole by `drain`, which
    /// then owns all nodes. Both `SeqCst`, because of `closed`.
    head: AtomicPtr<Node>,
    /// Objects retired and not yet dropped. Written by retirers and `drain`, read by tests; orders
    /// nothing.
    #[cfg(test)]
    pending: AtomicUsize,
    /// Set by `close`, read by `push` after it has pushed (both `SeqCst`): either `push` sees it,
    /// or `close` finds the node.
    closed: AtomicBool,
    /// Whether objects are queued without a grace period: see [`Garbage::stepped`].
    stepped: bool,
}

/// One retired object.
pub(super) struct Node {
    next: *mut Node,
    item: Box<dyn Send>,
}

// SAFETY: the object is `Send`, and `next` is used only by the thread that owns the node.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Send for Node {}

impl Garbage {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A queue for one thread that drains it while it holds no pin: no grace period is needed, and
    /// what is freed when does not depend on what other threads of the process do.
    #[cfg(test)]
    pub(crate) fn stepped() -> Self {
        let mut queue = Self::default();
        queue.stepped = true;
        queue
    }

    /// Hands over an object that was just made unreachable. It is queued once every pin that
    /// exists now is gone, and dropped by [`Garbage::drain`] after that.
    ///
    /// Deferred work only moves the node that is allocated here: it neither allocates nor drops.
    pub(crate) fn retire(self: &std::sync::Arc<Self>, item: Box<dyn Send>, guard: &Guard) {
        #[cfg(test)]
        self.pending.fetch_add(1, Ordering::Relaxed);
        let node = Box::new(Node { next: ptr::null_mut(), item });
        if self.stepped {
            return self.push(node);
        }
        guard.defer_push(std::sync::Arc::clone(self), node);
    }

    /// Puts a node on the stack. Called when its grace period has passed.
    #[allow(unsafe_code, reason = "the node is written through the pointer that is published")]
    pub(super) fn push(&self, node: Box<Node>) {
        let node = Box::into_raw(node);
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is ours until the exchange below publishes it.
            unsafe { (*node).next = head };
            match self.head.compare_exchange_weak(head, node, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        if self.closed.load(Ordering::SeqCst) {
            self.drop_queued();
        }
    }

    /// Drops what is queued, and from now on whatever comes, at once and wherever it comes.
    ///
    /// For the end: retired objects hold the queue, and the queue holds them, so what came after
    /// the last `drain` would never go.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.drain();
    }

    /// Drops what is queued and returns how many objects that was. Also helps grace periods to
    /// end. For background threads, which hold no pin while they call it.
    pub(crate) fn drain(&self) -> usize {
        epoch::help();
        self.drop_queued()
    }

    /// Objects retired and not yet dropped.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    #[allow(unsafe_code, reason = "takes back what push published")]
    fn drop_queued(&self) -> usize {
        let mut next = self.head.swap(ptr::null_mut(), Ordering::SeqCst);
        let mut count = 0;
        while !next.is_null() {
            // SAFETY: the swap made this thread the owner of the whole stack; every node was made
            // by `Box::into_raw` in `push` and is visited once.
            let node = unsafe { Box::from_raw(next) };
            next = node.next;
            drop(node.item);
            count += 1;
        }
        #[cfg(test)]
        self.pending.fetch_sub(count, Ordering::Relaxed);
        count
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        // Deferred work owns a reference, so nothing can still be on its way here.
        self.drop_queued();
    }
}
