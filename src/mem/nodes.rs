//! Memory for the nodes of lists: one region a list, filled from its start, given back as a whole.
//!
//! The lists take their nodes from the global allocator. Node by node that costs a put about a
//! tenth of its time, lets writers wait for the allocator's lock while a background thread frees a
//! frozen list, and shrinks and grows the heap (system calls) all the while. So, with the feature
//! `node-heap`, the global allocator is the system's with one exception: what a thread allocates
//! inside [`NodeHeap::scope`] comes from that heap, by moving a pointer, and is not freed singly.
//!
//! A heap that is full (it is sized so that none should be) hands out the system's memory; then the
//! list must be dropped node by node, inside a scope, and [`NodeHeap::is_whole`] says so.

#![allow(unsafe_code, reason = "an allocator")]

#[cfg(test)]
mod tests;

// Not loom's: it has no allocators, and `no_nodes` stands here under it.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::Region;
use crate::base::Result;

/// What a thread takes from a heap at once, if it also took its last node from there. A thread wastes
/// at most so much when it turns to another heap.
const PIECE_BYTES: usize = 4 << 10;
/// Alignment of every allocation; whatever asks for more goes to the system.
const ALIGN: usize = 8;
/// Regions that a pool keeps: about as many lists are filled or frozen at once.
const KEPT: usize = 6;

/// Numbers heaps, so that a thread's piece of a gone heap is not taken for a piece of one that has
/// its memory now. A counter only, hence `Relaxed`. 0 is no heap.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

#[derive(Clone, Copy)]
struct Piece {
    heap: u64,
    at: usize,
    end: usize,
}

thread_local! {
    static SCOPE: Cell<*const NodeHeap> = const { Cell::new(ptr::null()) };
    static PIECE: Cell<Piece> = const { Cell::new(Piece { heap: 0, at: 0, end: 0 }) };
}

/// The nodes of one list.
pub(crate) struct NodeHeap {
    id: u64,
    /// Taken out on drop only.
    region: Option<Region>,
    /// Bytes handed out as pieces. Moved by whoever needs one; the memory reaches other threads by
    /// the list's own links, so `Relaxed`.
    used: AtomicUsize,
    /// Set by whoever finds the heap full, read when the list goes, which orders it: `Relaxed`.
    overflowed: AtomicBool,
    pool: Arc<NodePool>,
}

impl NodeHeap {
    /// Runs `body`, whose allocations on this thread come from this heap. Not to be nested.
    #[inline]
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        SCOPE.set(self);
        let _end = ScopeEnd;
        body()
    }

    /// Whether every allocation made in scopes lies in the heap, so that forgetting what was
    /// allocated frees it.
    pub(crate) fn is_whole(&self) -> bool {
        !self.overflowed.load(Ordering::Relaxed)
    }

    fn start(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.as_ptr().addr())
    }

    /// Whether the byte at `address` lies in the heap's region.
    fn contains(&self, address: usize) -> bool {
        let len = self.region.as_ref().map_or(0, Region::len);
        address.wrapping_sub(self.start()) < len
    }

    /// Memory for `layout`, or null if it does not fit.
    #[inline]
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN || layout.size() > PIECE_BYTES {
            return self.refuse();
        }
        let bytes = (layout.size() + ALIGN - 1) & !(ALIGN - 1);
        let mut piece = PIECE.get();
        if piece.end - piece.at < bytes || piece.heap != self.id {
            // Who uses heaps in turn takes no pieces, and so leaves none behind.
            let wanted = if piece.heap == self.id { PIECE_BYTES } else { bytes };
            let Some(new) = self.new_piece(wanted) else { return self.refuse() };
            piece = new;
        }
        let at = piece.at;
        piece.at += bytes;
        PIECE.set(piece);
        match &self.region {
            Some(region) => region.as_ptr().wrapping_add(at),
            None => ptr::null_mut(),
        }
    }

    #[cold]
    fn new_piece(&self, bytes: usize) -> Option<Piece> {
        let len = self.region.as_ref().map_or(0, Region::len);
        let at = self.used.fetch_add(bytes, Ordering::Relaxed);
        let end = at.checked_add(bytes).filter(|&end| end <= len)?;
        Some(Piece { heap: self.id, at, end })
    }

    #[cold]
    fn refuse(&self) -> *mut u8 {
        self.overflowed.store(true, Ordering::Relaxed);
        ptr::null_mut()
    }
}

impl Drop for NodeHeap {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            self.pool.give(region);
        }
    }
}

/// Ends a scope, also when it unwinds.
struct ScopeEnd;

impl Drop for ScopeEnd {
    fn drop(&mut self) {
        SCOPE.set(ptr::null());
    }
}

/// Makes heaps of one size, and keeps the regions of a few that are gone: their pages need no
/// zeroing anew.
#[derive(Debug)]
pub(crate) struct NodePool {
    heap_bytes: usize,
    /// Swapped whole: who takes a region owns it, who gives one gives it up. `AcqRel` on both.
    kept: [AtomicPtr<Region>; KEPT],
}

impl NodePool {
    /// An empty pool of heaps of `heap_bytes`, which are address space: pages come when touched.
    pub(crate) fn new(heap_bytes: usize) -> Arc<Self> {
        Arc::new(Self { heap_bytes, kept: Default::default() })
    }

    /// Address space of a heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// An empty heap. One without memory, which hands out the system's, where none is to be had.
    pub(crate) fn heap(self: &Arc<Self>) -> NodeHeap {
        let region = self.region().ok();
        NodeHeap {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            region,
            used: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            pool: Arc::clone(self),
        }
    }

    fn region(&self) -> Result<Region> {
        for slot in &self.kept {
            let kept = slot.swap(ptr::null_mut(), Ordering::AcqRel);
            if !kept.is_null() {
                // SAFETY: it came from `Box::into_raw` in `give`, and the swap made it ours.
                return Ok(*unsafe { Box::from_raw(kept) });
            }
        }
        Region::of_small_pages(self.heap_bytes)
    }

    fn give(&self, region: Region) {
        let given = Box::into_raw(Box::new(region));
        for slot in &self.kept {
            let none = ptr::null_mut();
            if slot.compare_exchange(none, given, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        // SAFETY: no slot took it.
        drop(unsafe { Box::from_raw(given) });
    }
}

impl Drop for NodePool {
    fn drop(&mut self) {
        for slot in &mut self.kept {
            let kept = *slot.get_mut();
            if !kept.is_null() {
                // SAFETY: it came from `Box::into_raw` in `give`, and nobody else is left.
                drop(unsafe { Box::from_raw(kept) });
            }
        }
    }
}

/// The system's allocator, but for scopes.
pub(crate) struct ScopedAllocator;

#[global_allocator]
static ALLOCATOR: ScopedAllocator = ScopedAllocator;

// SAFETY: what lies in a heap is handed out once, aligned, and lives as long as the heap; all else
// is the system's, and goes back to it.
unsafe impl GlobalAlloc for ScopedAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let heap = SCOPE.get();
        if !heap.is_null() {
            // SAFETY: whoever entered the scope borrows the heap until its end.
            let taken = unsafe { &*heap }.take(layout);
            if !taken.is_null() {
                return taken;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let heap = SCOPE.get();
        // SAFETY: as in `alloc`.
        if !heap.is_null() && unsafe { &*heap }.contains(address.addr()) {
            return;
        }
        // SAFETY: the caller's promise; outside of scopes nobody frees what lies in a heap.
        unsafe { System.dealloc(address, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if SCOPE.get().is_null() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise; the memory is new and of that size.
        unsafe {
            let taken = self.alloc(layout);
            if !taken.is_null() {
                ptr::write_bytes(taken, 0, layout.size());
            }
            taken
        }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if SCOPE.get().is_null() {
            // SAFETY: the caller's promise.
            return unsafe { System.realloc(address, layout, bytes) };
        }
        // SAFETY: the caller's promise: `bytes` is not 0 and fits the alignment.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(address, new, layout.size().min(bytes));
                self.dealloc(address, layout);
            }
            new
        }
    }
}
