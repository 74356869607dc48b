//! Regions that are used again: memory of generations that nobody can see any more becomes the
//! memory of later ones.
//!
//! Fresh memory is dear: the kernel zeroes it, and on a virtual machine the host may have to find
//! it first, which was measured at up to 5 ms for a huge page. A region that was used is cleared at
//! the speed of the memory, and only where something was written.
//!
//! A [`Pooled`] region goes to its recycler when it is dropped, so whoever may look at the memory
//! keeps that, as before. A lock guards the shelf; who finds it taken gives his region to the
//! system instead, so nobody waits. Any thread.

#![allow(unsafe_code, reason = "clears what was written")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Region;
use crate::base::Result;

/// What a region is for: those of one use grow together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// The bytes of a generation.
    Arena,
    /// Its point index.
    Index,
    /// The bytes of one of which little is written: not kept.
    Sparse,
}

/// Keeps regions up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Recycler {
    shelf: Mutex<Vec<Kept>>,
    /// Bytes of memory on the shelf. Changed under the lock; read by anyone as a hint, relaxed.
    bytes: AtomicU64,
    limit: u64,
}

/// A region on the shelf.
#[derive(Debug)]
struct Kept {
    region: Region,
    purpose: Use,
    /// Beyond this it is zeros.
    used: usize,
    /// Up to here its pages are there.
    resident: usize,
    /// How often the shelf was looked through without anybody wanting it.
    idle: u32,
}

/// A region that goes to its recycler at its end.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// Taken out on drop only.
    region: Option<Region>,
    purpose: Use,
    base: *mut u8,
    home: Arc<Recycler>,
    /// Bytes from the start that its owner may have written; all of them until he says otherwise.
    /// He says so in his own drop, with nobody else left, so relaxed.
    used: AtomicUsize,
    /// Up to here pages were touched; raised by whoever populates, a hint, so relaxed.
    resident: AtomicUsize,
}

// SAFETY: as for `Region`: plain memory that no thread owns; `base` is its address.
unsafe impl Send for Pooled {}
// SAFETY: as above.
unsafe impl Sync for Pooled {}

impl Recycler {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { shelf: Mutex::new(Vec::new()), bytes: AtomicU64::new(0), limit })
    }

    /// A region as [`Region::new`] makes it: zeros.
    ///
    /// # Errors
    /// As for [`Region::new`].
    pub(crate) fn region(self: &Arc<Self>, purpose: Use, bytes: usize) -> Result<Pooled> {
        let (region, resident) = match self.take(purpose, bytes) {
            Some(Kept { region, used, resident, .. }) => {
                let used = used.min(region.len());
                // SAFETY: the region is this long, and nobody else has it.
                unsafe { region.as_ptr().write_bytes(0, used) };
                debug_assert!(is_zero(&region, resident), "memory was written that nobody owned");
                (region, resident)
            }
            None => (Region::new(bytes)?, 0),
        };
        Ok(Pooled {
            purpose,
            base: region.as_ptr(),
            used: AtomicUsize::new(region.len()),
            resident: AtomicUsize::new(resident),
            region: Some(region),
            home: Arc::clone(self),
        })
    }

    /// The same, of which only some pages will be touched: a new one without huge pages, which goes to the
    /// system at its end.
    ///
    /// # Errors
    /// As for [`Region::new`].
    pub(crate) fn sparse_region(self: &Arc<Self>, bytes: usize) -> Result<Pooled> {
        let region = Region::sparse(bytes)?;
        Ok(Pooled {
            purpose: Use::Sparse,
            base: region.as_ptr(),
            used: AtomicUsize::new(region.len()),
            resident: AtomicUsize::new(0),
            region: Some(region),
            home: Arc::clone(self),
        })
    }

    /// A kept region of exactly this length. If there is none, shorter ones are let go: whoever
    /// asks for more and more will not come back for them.
    fn take(&self, purpose: Use, bytes: usize) -> Option<Kept> {
        let len = Region::rounded(bytes)?;
        let mut shelf = self.shelf.lock();
        let wanted = |kept: &Kept| kept.purpose == purpose && kept.region.len() == len;
        let found = shelf.iter().position(wanted);
        let taken = found.map(|i| shelf.swap_remove(i));
        let outgrown = |kept: &Kept| kept.purpose == purpose && kept.region.len() < len;
        let gone = if taken.is_none() { remove(&mut shelf, outgrown) } else { Vec::new() };
        self.count(&shelf);
        drop(shelf);
        drop(gone);
        taken
    }

    fn give(&self, kept: Kept) {
        if kept.purpose == Use::Sparse || self.bytes() + kept.resident as u64 > self.limit {
            return;
        }
        let Some(mut shelf) = self.shelf.try_lock() else { return };
        shelf.push(kept);
        self.count(&shelf);
    }

    fn count(&self, shelf: &[Kept]) {
        let bytes: usize = shelf.iter().map(|kept| kept.resident).sum();
        self.bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of memory that are kept and not used.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives back what nobody wanted since `looks` calls of this; 0 gives all back.
    pub(crate) fn trim(&self, looks: u32) {
        if self.bytes() == 0 {
            return;
        }
        let mut shelf = self.shelf.lock();
        shelf.iter_mut().for_each(|kept| kept.idle += 1);
        let gone = remove(&mut shelf, |kept| kept.idle > looks);
        self.count(&shelf);
        drop(shelf);
        drop(gone);
    }
}

/// Whether the first `bytes` of a region that nobody else has are zeros.
fn is_zero(region: &Region, bytes: usize) -> bool {
    let bytes = bytes.min(region.len());
    // SAFETY: the region is this long, initialized, and the caller's.
    unsafe { std::slice::from_raw_parts(region.as_ptr(), bytes) }.iter().all(|&byte| byte == 0)
}

/// Takes those out that `is_gone` says, to be dropped when the lock is free.
fn remove(shelf: &mut Vec<Kept>, is_gone: impl Fn(&Kept) -> bool) -> Vec<Kept> {
    let (gone, stay) = std::mem::take(shelf).into_iter().partition(is_gone);
    *shelf = stay;
    gone
}

impl Pooled {
    /// The first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.base
    }

    /// Usable bytes.
    pub(crate) fn len(&self) -> usize {
        self.region.as_ref().map_or(0, Region::len)
    }

    /// As [`Region::populate`], but for what is there already.
    pub(crate) fn populate(&self, from: usize, to: usize) {
        let Some(region) = &self.region else { return };
        let to = to.min(region.len());
        let resident = self.resident.load(Ordering::Relaxed);
        if to > resident {
            region.populate(from.max(resident), to);
            if from <= resident {
                self.resident.fetch_max(to, Ordering::Relaxed);
            }
        }
    }

    /// Up to where pages were brought in.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Says that nothing was written from `bytes` on. For the owner's drop.
    pub(crate) fn note_used(&mut self, bytes: usize) {
        *self.used.get_mut() = bytes.min(self.len());
    }

    /// Says that all is zeros, of which up to `bytes` was written and cleared. For the owner's drop.
    pub(crate) fn note_cleared(&mut self, bytes: usize) {
        let touched = bytes.min(self.len()).max(*self.resident.get_mut());
        *self.resident.get_mut() = touched;
        *self.used.get_mut() = 0;
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            let used = *self.used.get_mut();
            let resident = used.max(*self.resident.get_mut());
            self.home.give(Kept { region, purpose: self.purpose, used, resident, idle: 0 });
        }
    }
}
