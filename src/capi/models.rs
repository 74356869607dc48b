//! loom models of the slab: every interleaving of closing with calls in flight, and of reuse.

use loom::sync::Arc;
use loom::thread;

use super::barrier::Phase;
use super::hazard::Record;
use super::slab::Slab;
use crate::mem::atomic::{AtomicUsize, Ordering, fence};

/// Stands for an object: says whether it was freed. Never freed itself.
struct Probe {
    freed: AtomicUsize,
}

fn probe() -> *mut () {
    Box::into_raw(Box::new(Probe { freed: AtomicUsize::new(0) })).cast()
}

fn is_freed(object: *mut ()) -> bool {
    // SAFETY: probes are never freed.
    unsafe { (*object.cast::<Probe>()).freed.load(Ordering::Relaxed) != 0 }
}

fn free(object: *mut ()) {
    // SAFETY: as above.
    unsafe { (*object.cast::<Probe>()).freed.store(1, Ordering::Relaxed) }
}

/// One call on a shared handle. Whether it found the object, which must be alive then.
fn shared_call(slab: &Slab, handle: u64, object: *mut ()) -> bool {
    let record = slab.hazards.take();
    let Some(place) = record.announce(handle) else { panic!("a record has room for one") };
    let found = slab.announced(handle);
    if let Some(found) = found {
        assert_eq!(found, object, "the handle led to another object");
        assert!(!is_freed(found), "the object was freed under a call");
        loom::thread::yield_now();
        assert!(!is_freed(found), "the object was freed under a call");
    }
    Record::withdraw(place);
    record.give_back();
    found.is_some()
}

/// A handle of a thread that has no record yet.
fn strangers_handle(slab: &Slab, kind: u8, object: *mut ()) -> u64 {
    let mine = slab.hazards.take();
    let handle = slab.insert(kind, object, mine, false).expect("room");
    mine.give_back();
    handle
}

fn close_shared(slab: &Slab, handle: u64, mine: &Record) -> bool {
    let Some(closing) = slab.close(handle, mine) else { return false };
    closing.wait_for_users();
    free(closing.finish(mine));
    true
}

/// [`close_shared`] by a thread that has no record yet.
fn strangers_close(slab: &Slab, handle: u64) -> bool {
    let mine = slab.hazards.take();
    let closed = close_shared(slab, handle, mine);
    mine.give_back();
    closed
}

/// One call on an exclusive handle by the thread with record `mine`. Whether it got the object,
/// which must be alive then and nobody else's.
fn exclusive_call(slab: &Slab, handle: u64, mine: &Record, users: &AtomicUsize) -> bool {
    let Some(taken) = slab.take(handle, mine) else { return false };
    assert_eq!(users.fetch_add(1, Ordering::Relaxed), 0, "two users at once");
    assert!(!is_freed(taken.object), "the object was freed under a call");
    users.fetch_sub(1, Ordering::Relaxed);
    slab.put_back(handle, taken.place);
    true
}

/// [`exclusive_call`] by a thread that has no record yet.
fn strangers_call(slab: &Slab, handle: u64, users: &AtomicUsize) -> bool {
    let mine = slab.hazards.take();
    let served = exclusive_call(slab, handle, mine, users);
    mine.give_back();
    served
}

fn close_exclusive(slab: &Slab, handle: u64, mine: &Record, users: &AtomicUsize) -> bool {
    let Some(closing) = slab.close(handle, mine) else { return false };
    assert_eq!(users.load(Ordering::Relaxed), 0, "closed under a user");
    free(closing.finish(mine));
    true
}

/// Objects are raw pointers only here; the model passes them between threads.
#[derive(Clone, Copy)]
struct Word(usize);

impl Word {
    fn of(object: *mut ()) -> Self {
        Self(object.expose_provenance())
    }

    fn object(self) -> *mut () {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

#[test]
fn closing_waits_for_calls_that_found_the_object() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let object = probe();
        let handle = strangers_handle(&slab, 2, object);
        let word = Word::of(object);
        let caller = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || shared_call(&slab, handle, word.object()))
        };

        assert!(strangers_close(&slab, handle));

        caller.join().expect("no panic");
        assert!(!shared_call(&slab, handle, object));
        assert!(slab.was_live(handle));
    });
}

#[test]
fn one_of_two_closers_gets_the_object() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let handle = strangers_handle(&slab, 2, probe());
        let other = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || strangers_close(&slab, handle))
        };

        let mine = strangers_close(&slab, handle);

        assert!(mine ^ other.join().expect("no panic"));
    });
}

#[test]
fn a_reused_slot_never_answers_to_the_old_handle() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let (first, second) = (probe(), probe());
        let mine = slab.hazards.take();
        let old = slab.insert(2, first, mine, false).expect("room");
        let word = Word::of(first);
        let caller = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || shared_call(&slab, old, word.object()))
        };

        assert!(close_shared(&slab, old, mine));
        let new = slab.insert(2, second, mine, false).expect("room");

        assert_ne!(old, new);
        assert!(shared_call(&slab, new, second));
        caller.join().expect("no panic");
    });
}

#[test]
fn an_exclusive_object_is_used_by_one_and_closed_after() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let handle = strangers_handle(&slab, 5, probe());
        let users = Arc::new(AtomicUsize::new(0));
        let user = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || strangers_call(&slab, handle, &users))
        };

        let mine = slab.hazards.take();
        assert!(close_exclusive(&slab, handle, mine, &users));

        user.join().expect("no panic");
        assert!(slab.take(handle, mine).is_none());
    });
}

#[test]
fn two_exclusive_users_exclude_each_other() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let handle = strangers_handle(&slab, 5, probe());
        let users = Arc::new(AtomicUsize::new(0));
        let other = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || strangers_call(&slab, handle, &users))
        };

        let served = strangers_call(&slab, handle, &users);

        assert!(served | other.join().expect("no panic"));
        assert!(strangers_call(&slab, handle, &users));
    });
}

#[test]
fn an_owner_and_a_stranger_exclude_each_other() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let mine = slab.hazards.take();
        let handle = slab.insert(5, probe(), mine, true).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let stranger = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || strangers_call(&slab, handle, &users))
        };

        // Both may be told that there are two.
        exclusive_call(&slab, handle, mine, &users);

        stranger.join().expect("no panic");
        assert!(exclusive_call(&slab, handle, mine, &users));
        assert!(strangers_call(&slab, handle, &users));
    });
}

#[test]
fn two_strangers_take_a_handle_from_its_owner_one_at_a_time() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let owner = slab.hazards.take();
        let handle = slab.insert(5, probe(), owner, true).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let stranger = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || strangers_call(&slab, handle, &users))
        };

        let served = strangers_call(&slab, handle, &users);

        assert!(served | stranger.join().expect("no panic"));
        assert!(strangers_call(&slab, handle, &users));
    });
}

#[test]
fn a_stranger_who_closes_waits_for_the_owner() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let mine = slab.hazards.take();
        let handle = slab.insert(5, probe(), mine, true).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let closer = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || {
                let record = slab.hazards.take();
                let closed = close_exclusive(&slab, handle, record, &users);
                record.give_back();
                closed
            })
        };

        exclusive_call(&slab, handle, mine, &users);

        assert!(closer.join().expect("no panic"));
        assert!(slab.take(handle, mine).is_none());
    });
}

#[test]
fn a_stale_handle_takes_nothing_from_the_next_owner_of_its_slot() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let mine = slab.hazards.take();
        let old = slab.insert(5, probe(), mine, true).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let stranger = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || strangers_call(&slab, old, &users))
        };

        assert!(close_exclusive(&slab, old, mine, &users));
        let object = probe();
        let new = slab.insert(5, object, mine, true).expect("room");
        let taken = slab.take(new, mine).expect("a new handle is its owner's");

        assert_eq!(taken.object, object);
        assert!(taken.place.is_some(), "the stranger took what is not his");
        slab.put_back(new, taken.place);
        stranger.join().expect("no panic");
    });
}

/// What a caller and a closer meet at while a third thread registers the process. The kernel's
/// `membarrier` is a question that every other thread answers by a fence, wherever it stands: the
/// caller looks for it between any two of its steps, and when it ends.
struct Meeting {
    phase: Phase,
    marked: AtomicUsize,
    announced: AtomicUsize,
    freed: AtomicUsize,
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl Meeting {
    fn new() -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            phase: Phase::new(),
            marked: zero(),
            announced: zero(),
            freed: zero(),
            asked: zero(),
            answered: zero(),
        }
    }

    fn may_be_interrupted(&self) {
        if self.asked.load(Ordering::Relaxed) == 1 {
            self.end();
        }
    }

    /// A thread that does not run has passed a barrier.
    fn end(&self) {
        fence(Ordering::SeqCst);
        self.answered.store(1, Ordering::Release);
    }

    fn call(&self) {
        self.announced.store(1, Ordering::Relaxed);
        self.may_be_interrupted();
        self.phase.light();
        self.may_be_interrupted();
        if self.marked.load(Ordering::Acquire) == 0 {
            self.may_be_interrupted();
            assert_eq!(self.freed.load(Ordering::Relaxed), 0, "the object was freed under a call");
        }
        self.announced.store(0, Ordering::Release);
        self.end();
    }

    fn close(&self) {
        self.marked.store(1, Ordering::SeqCst);
        self.phase.heavy(|| {
            self.asked.store(1, Ordering::Relaxed);
            while self.answered.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            fence(Ordering::SeqCst);
            true
        });
        if self.announced.load(Ordering::Acquire) == 0 {
            self.freed.store(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_closer_finds_calls_however_far_the_process_is_registered() {
    loom::model(|| {
        let meeting = Arc::new(Meeting::new());
        let caller = {
            let meeting = Arc::clone(&meeting);
            thread::spawn(move || meeting.call())
        };
        let registering = {
            let meeting = Arc::clone(&meeting);
            thread::spawn(move || meeting.phase.registered())
        };

        meeting.close();

        caller.join().expect("no panic");
        registering.join().expect("no panic");
    });
}
