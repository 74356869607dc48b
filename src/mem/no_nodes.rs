//! In the place of `nodes` where nodes of lists are the global allocator's: without the feature
//! `node-heap`, and under loom.

#![allow(clippy::unused_self, reason = "the calls of the heaps that `nodes` makes")]

use std::sync::Arc;

/// Nothing: nodes are allocated and freed one by one.
pub(crate) struct NodeHeap;

impl NodeHeap {
    /// Runs `body`.
    #[inline]
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        body()
    }

    /// No node lies in a heap.
    pub(crate) fn is_whole(&self) -> bool {
        false
    }
}

/// Makes heaps that are none.
#[derive(Debug)]
pub(crate) struct NodePool(usize);

impl NodePool {
    /// A pool that keeps nothing.
    pub(crate) fn new(heap_bytes: usize) -> Arc<Self> {
        Arc::new(Self(heap_bytes))
    }

    /// What was asked for.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0
    }

    /// A heap that is none.
    pub(crate) fn heap(self: &Arc<Self>) -> NodeHeap {
        NodeHeap
    }
}
