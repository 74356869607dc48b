//! Which handles are being used by which thread, so that whoever closes one can wait.
//!
//! A thread announces a handle in its own record, then checks that the handle is still live; a
//! closer marks the handle, then looks through all records (hazard pointers, with the handle's
//! number in place of a pointer). Announcing costs two plain stores: the order of "announce" and
//! "check" is bought by the closer, who makes every thread of the process pass a full barrier
//! ([`super::barrier`]). Where the system cannot do that, or not yet, announcing pays with a fence.
//!
//! Rule 1: a thread that saw a handle live after it announced it keeps the object alive
//! until it withdraws the announcement. Proof: either the closer's mark precedes the check, which
//! then fails, or the announcement precedes the closer's barrier, and the closer sees it.
//!
//! Records are never freed; a record of a finished thread is taken by the next one. Any thread.

use std::cell::Cell;
use std::ptr;

use super::barrier;
use super::shelf::Shelf;
use crate::mem::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Announcements that one record can hold at once. A call needs one; calls nest only when a log
/// hook calls the library for another database.
const WORDS: usize = if cfg!(loom) { 1 } else { 6 };

/// One thread's announcements. Its own cache lines: written on every call.
#[repr(align(128))]
pub(super) struct Record {
    /// Written by the owner (release on withdrawal), read by closers (acquire); 0 is none.
    words: [AtomicU64; WORDS],
    /// Whether a thread owns the record. Taken by compare-and-swap (acquire), given back by a
    /// release store, so that the next owner sees its words at 0.
    taken: AtomicBool,
    /// The record made before this one; never changes.
    next: *const Record,
    /// Unlike every other record's; 2 and up. Never changes.
    id: u32,
    /// Slots of handles that the owner has closed.
    pub(super) shelf: Shelf,
}

/// All records.
pub(super) struct Hazards {
    /// The newest record. Pushed by compare-and-swap (release), read by closers (acquire).
    head: AtomicPtr<Record>,
    /// Records so far; counted by whoever makes one, relaxed, because only the count matters.
    made: AtomicU32,
}

// SAFETY: `next` points to a record that is never freed and never written again; the rest is
// atomic.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Hazards {
    /// No records yet.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()), made: AtomicU32::new(0) }
    }

    /// No records yet.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()), made: AtomicU32::new(0) }
    }

    /// Takes a free record, or makes one.
    pub(super) fn take(&self) -> &'static Record {
        let mut at = self.head.load(Ordering::Acquire).cast_const();
        // SAFETY: records are never freed (module invariant).
        while let Some(record) = unsafe { at.as_ref() } {
            let free =
                record.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                return record;
            }
            at = record.next;
        }
        self.add()
    }

    #[cold]
    fn add(&self) -> &'static Record {
        let record = Box::into_raw(Box::new(Record {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            taken: AtomicBool::new(true),
            next: ptr::null(),
            id: self.made.fetch_add(1, Ordering::Relaxed) + 2,
            shelf: Shelf::new(),
        }));
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            // SAFETY: nobody else knows the record before the exchange below.
            unsafe { (*record).next = head };
            match self.head.compare_exchange(head, record, Ordering::Release, Ordering::Acquire) {
                // SAFETY: records are never freed.
                Ok(_) => return unsafe { &*record },
                Err(newer) => head = newer,
            }
        }
    }

    /// Whether any thread announces `handle`. Call after [`barrier::heavy`].
    pub(super) fn holds(&self, handle: u64) -> bool {
        let mut at = self.head.load(Ordering::Acquire).cast_const();
        // SAFETY: records are never freed (module invariant).
        while let Some(record) = unsafe { at.as_ref() } {
            if record.words.iter().any(|word| word.load(Ordering::Acquire) == handle) {
                return true;
            }
            at = record.next;
        }
        false
    }
}

impl Record {
    /// Announces `handle` and orders that before every later load. Returns the place to
    /// [`withdraw`](Record::withdraw), or none when the record is full. Only the owner calls it.
    #[inline]
    pub(super) fn announce(&self, handle: u64) -> Option<&AtomicU64> {
        // Nearly always the first; a predicted branch, so that calls do not wait for each other's
        // stores as they would with a count.
        let word = self.words.iter().find(|word| word.load(Ordering::Relaxed) == 0)?;
        word.store(handle, Ordering::Relaxed);
        barrier::light();
        Some(word)
    }

    /// The same for a handle that only one call may use. None, too, if a call of this thread has
    /// announced it, which is still under way: calls of a thread nest, so it is in an earlier word.
    #[inline]
    pub(super) fn announce_alone(&self, handle: u64) -> Option<&AtomicU64> {
        let first = &self.words[0];
        if first.load(Ordering::Relaxed) == 0 {
            first.store(handle, Ordering::Relaxed);
            barrier::light();
            return Some(first);
        }
        self.announce_nested(handle)
    }

    #[cold]
    fn announce_nested(&self, handle: u64) -> Option<&AtomicU64> {
        for word in &self.words {
            let held = word.load(Ordering::Relaxed);
            if held == 0 {
                word.store(handle, Ordering::Relaxed);
                barrier::light();
                return Some(word);
            }
            if held == handle {
                return None;
            }
        }
        None
    }

    /// Whether a call of this thread has announced `handle`. Only the owner calls it.
    pub(super) fn holds(&self, handle: u64) -> bool {
        self.words.iter().any(|word| word.load(Ordering::Relaxed) == handle)
    }

    /// The number of the record.
    #[inline]
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Ends the announcement that [`announce`](Record::announce) put at `place`.
    #[inline]
    pub(super) fn withdraw(place: &AtomicU64) {
        place.store(0, Ordering::Release);
    }

    /// Gives the record to whoever takes it next. Only the owner calls it, once.
    pub(super) fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// The record of this thread, or a borrowed one where thread-locals are gone.
pub(super) enum Mine {
    /// Belongs to the thread until it ends.
    Kept(&'static Record),
    /// Belongs to this one call.
    Borrowed(&'static Record),
}

/// Gives the thread's record back when the thread ends.
struct Owner(&'static Record);

impl Drop for Owner {
    fn drop(&mut self) {
        RECORD.set(ptr::null());
        self.0.give_back();
    }
}

thread_local! {
    /// This thread's record, or null. Has no destructor, so reading it never fails.
    static RECORD: Cell<*const Record> = const { Cell::new(ptr::null()) };
    /// Filled together with `RECORD`, for its destructor.
    static OWNER: Cell<Option<Owner>> = const { Cell::new(None) };
}

/// This thread's record in `hazards`, which must always be the same object.
#[inline]
pub(super) fn mine(hazards: &Hazards) -> Mine {
    // SAFETY: null or a record, and records are never freed.
    match unsafe { RECORD.get().as_ref() } {
        Some(record) => Mine::Kept(record),
        None => first(hazards),
    }
}

#[cold]
fn first(hazards: &Hazards) -> Mine {
    let record = hazards.take();
    match OWNER.try_with(|owner| owner.set(Some(Owner(record)))) {
        Ok(()) => {
            RECORD.set(record);
            Mine::Kept(record)
        }
        // The thread is ending and its destructors have run.
        Err(_) => Mine::Borrowed(record),
    }
}
