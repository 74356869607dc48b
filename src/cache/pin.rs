//! Pins: blocks that stay while somebody holds them. How they are got is told in [`super::slots`].

use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::BlockCache;
use super::anchor::Anchor;
use super::bytes::{Bytes, bytes_at};
use super::slots::{ANCHOR, CHUNK_BYTES, CHUNK_CHARGE_BYTES, Chunk, SOLO, Slot, Solo};
use crate::mem::atomic::{Ordering, fence};

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// A held block. Dropping it lets go; cloning holds it once more. It may outlive its table.
pub(crate) struct Pin {
    slot: NonNull<Slot>,
    bytes: *const [u8],
}

// SAFETY: the bytes are immutable while the pin lives, and counting is atomic.
#[allow(unsafe_code, reason = "the bytes are shared and immutable")]
unsafe impl Send for Pin {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "the bytes are shared and immutable")]
unsafe impl Sync for Pin {}

#[allow(unsafe_code, reason = "the count keeps slot and bytes, which no lifetime shows")]
impl Pin {
    /// # Safety
    /// The caller owns one count of the slot, which passes to the pin. `slot` was made from a
    /// pointer to the whole chunk or solo.
    pub(super) unsafe fn new(slot: NonNull<Slot>) -> Self {
        // SAFETY: the slot lives while it is counted.
        let block = unsafe { slot.as_ref() }.block();
        // SAFETY: counted, so the block is there and stays (C3).
        let bytes = block.map_or(ptr::from_ref::<[u8]>(&[]), |block| unsafe { bytes_at(block) });
        Self { slot, bytes }
    }

    /// # Safety
    /// The caller owns one count of the slot, which passes to the pin. `bytes` stay as long as it
    /// is counted.
    #[inline]
    pub(super) unsafe fn of_bytes(slot: NonNull<Slot>, bytes: *const [u8]) -> Self {
        Self { slot, bytes }
    }
}

impl Deref for Pin {
    type Target = [u8];

    #[inline]
    #[allow(unsafe_code, reason = "the count keeps the bytes, which no lifetime shows")]
    fn deref(&self) -> &[u8] {
        // SAFETY: this pin keeps the count above 0, so the bytes are neither dropped nor moved.
        unsafe { &*self.bytes }
    }
}

impl Clone for Pin {
    #[allow(unsafe_code, reason = "the count keeps the slot, which no lifetime shows")]
    fn clone(&self) -> Self {
        // SAFETY: counted, so the slot lives. Relaxed: the count is above 0 already, and this
        // thread got the block through it.
        unsafe { self.slot.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot, bytes: self.bytes }
    }
}

impl Drop for Pin {
    #[inline]
    #[allow(unsafe_code, reason = "the count keeps the slot, which no lifetime shows")]
    fn drop(&mut self) {
        // SAFETY: counted until here, so the slot lives.
        if unsafe { self.slot.as_ref() }.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last count.
            unsafe { last_unpin(self.slot) };
        }
    }
}

/// Frees a block that no table holds any more, and its chunk after the last one.
///
/// # Safety
/// The caller took the count of `slot` to 0 by dropping a pin, so the slot is that of a solo, of an
/// orphaned chunk or of an anchor: residents of open tables, and anchors of open tables, count
/// themselves.
#[cold]
#[allow(unsafe_code, reason = "orphans are owned by their pins")]
unsafe fn last_unpin(slot: NonNull<Slot>) {
    // SAFETY: nobody frees it before this function does.
    let here = unsafe { slot.as_ref() };
    if here.place() == ANCHOR as usize {
        // SAFETY: made by `Anchors::new` from a box; the slot is its first field.
        drop(unsafe { Box::from_raw(slot.cast::<Anchor>().as_ptr()) });
        return;
    }
    // No guard looks at these bytes: those of solos are in no table's slots, and the slots of
    // orphans were dropped, which nobody can do who has them borrowed.
    let (is_solo, bytes) = (here.place() == SOLO as usize, here.empty());
    let charge = bytes.as_ref().map_or(0, Bytes::charge);
    drop(bytes);
    if is_solo {
        // SAFETY: made by `solo` from a box; the slot is its first field.
        let solo = unsafe { Box::from_raw(slot.cast::<Solo>().as_ptr()) };
        solo.home.uncharge(charge);
        return;
    }
    let behind = slot.addr().get() % CHUNK_BYTES;
    // SAFETY: a slot of the array that a chunk begins with, which is aligned to its size; the
    // pointer was made from that of the whole chunk.
    let chunk = unsafe { slot.byte_sub(behind) }.cast::<Chunk>();
    // SAFETY: the chunk lives until `orphans` is 0, and this slot still counts there. `home` was
    // written before the resident's count was dropped.
    let home = unsafe { clone_home(&chunk.as_ref().home) };
    let Some(home) = home else { return };
    home.uncharge(charge);
    let lock = home.ring.lock();
    // SAFETY: as above.
    let left = unsafe { chunk.as_ref() }.orphans.fetch_sub(1, Ordering::Relaxed) - 1;
    drop(lock);
    if left == 0 {
        home.uncharge(CHUNK_CHARGE_BYTES);
        // SAFETY: made by `slot_made` from a box; no slot of it is counted any more.
        drop(unsafe { Box::from_raw(chunk.as_ptr()) });
    }
}

/// # Safety
/// `home` is not written at the same time.
#[allow(unsafe_code, reason = "written once, before it can be read")]
unsafe fn clone_home(home: &UnsafeCell<Option<Arc<BlockCache>>>) -> Option<Arc<BlockCache>> {
    #[cfg(not(loom))]
    // SAFETY: the caller's promise.
    return unsafe { (*home.get()).clone() };
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    return home.with(|p| unsafe { (*p).clone() });
}

/// # Safety
/// `home` is neither read nor written at the same time.
#[allow(unsafe_code, reason = "written once, before it can be read")]
pub(super) unsafe fn set_home(home: &UnsafeCell<Option<Arc<BlockCache>>>, cache: Arc<BlockCache>) {
    #[cfg(not(loom))]
    // SAFETY: the caller's promise.
    unsafe {
        *home.get() = Some(cache);
    }
    #[cfg(loom)]
    // SAFETY: the caller's promise.
    home.with_mut(|p| unsafe { *p = Some(cache) });
}
