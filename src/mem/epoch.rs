//! Shared pointers that are read without counting: lsmer's own epochs and the cell on top.
//!
//! A reader pins, loads a plain reference, and unpins; a writer swaps in a new `Arc`, and the old
//! one goes to a [`Garbage`] queue when every pin of that time is gone. The collector is lsmer's
//! own, so that a stranger's long pin in the same process does not hold our memory.
//!
//! Nothing blocks, calls the system or drops an object under a pin.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Garbage;
use super::atomic::{AtomicPtr, Ordering};

#[cfg(not(loom))]
mod collector;
#[cfg(loom)]
#[path = "epoch/substitute.rs"]
mod collector;

#[cfg(all(test, not(loom)))]
pub(crate) use collector::isolate_thread;
pub(crate) use collector::{Guard, help, list_collector, pin};

/// An `Arc` that is replaced as a whole and read without touching its count.
#[derive(Debug)]
pub(crate) struct EpochCell<T: Send + Sync + 'static> {
    /// From `Arc::into_raw`; the cell owns one count. Written by `compare_exchange` and `swap`
    /// (`AcqRel`), read by `load` (`Acquire`): who sees the pointer sees the object.
    current: AtomicPtr<T>,
    garbage: Arc<Garbage>,
    owns: PhantomData<Arc<T>>,
}

#[allow(unsafe_code, reason = "the cell stores a counted pointer without a count per reader")]
impl<T: Send + Sync + 'static> EpochCell<T> {
    /// A cell that holds `first`; what it held before a change goes to `garbage`.
    pub(crate) fn new(first: Arc<T>, garbage: Arc<Garbage>) -> Self {
        let current = AtomicPtr::new(Arc::into_raw(first).cast_mut());
        Self { current, garbage, owns: PhantomData }
    }

    /// The object held now. It stays valid while the guard lives, even if it is replaced.
    #[inline]
    pub(crate) fn load<'g>(&'g self, _guard: &'g Guard) -> &'g T {
        // SAFETY: the pointer came from an `Arc` of which the cell owns a count. If the cell lets
        // go of it meanwhile, that count is given to the garbage queue only after this guard, which
        // was pinned before the load, is gone.
        unsafe { &*self.current.load(Ordering::Acquire) }
    }

    /// The object held now, counted: it may outlive the guard.
    pub(crate) fn load_arc(&self, guard: &Guard) -> Arc<T> {
        let object = std::ptr::from_ref(self.load(guard));
        // SAFETY: the object is alive under the guard, and it was made by `Arc::into_raw`.
        unsafe {
            Arc::increment_strong_count(object);
            Arc::from_raw(object)
        }
    }

    /// Replaces the object if it is still `expected` (the very object, not an equal one); else
    /// gives `new` back.
    ///
    /// The object named by a live reference cannot have been freed and made anew, so an equal
    /// address is the same object.
    pub(crate) fn compare_exchange(
        &self,
        expected: &T,
        new: Arc<T>,
        guard: &Guard,
    ) -> Result<(), Arc<T>> {
        let expected = std::ptr::from_ref(expected).cast_mut();
        let new = Arc::into_raw(new).cast_mut();
        match self.current.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(old) => {
                self.retire(old, guard);
                Ok(())
            }
            // SAFETY: `new` was made by `into_raw` above and was not published.
            Err(_) => Err(unsafe { Arc::from_raw(new) }),
        }
    }

    /// Replaces the object by what `change` makes of it, unless it makes nothing. Returns whether it
    /// was replaced. `change` is asked again when another thread came first.
    pub(crate) fn update(&self, guard: &Guard, mut change: impl FnMut(&T) -> Option<T>) -> bool {
        loop {
            let current = self.load(guard);
            let Some(new) = change(current) else { return false };
            if self.compare_exchange(current, Arc::new(new), guard).is_ok() {
                return true;
            }
        }
    }

    /// Replaces the object.
    pub(crate) fn swap(&self, new: Arc<T>, guard: &Guard) {
        let old = self.current.swap(Arc::into_raw(new).cast_mut(), Ordering::AcqRel);
        self.retire(old, guard);
    }

    fn retire(&self, old: *mut T, guard: &Guard) {
        // SAFETY: the exchange took the pointer out of the cell together with the cell's count.
        let old = unsafe { Arc::from_raw(old.cast_const()) };
        self.garbage.retire(Box::new(old), guard);
    }
}

impl<T: Send + Sync + 'static> Drop for EpochCell<T> {
    #[allow(unsafe_code, reason = "gives up the cell's own count")]
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Relaxed);
        // SAFETY: the cell owns one count of what it holds. Nobody reads the cell any more, and
        // references from `load` cannot outlive it.
        drop(unsafe { Arc::from_raw(current.cast_const()) });
    }
}
