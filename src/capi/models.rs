//! loom models of the slab: every interleaving of closing with calls in flight, and of reuse.

use loom::sync::Arc;
use loom::thread;

use super::hazard::Record;
use super::slab::Slab;
use crate::mem::atomic::{AtomicUsize, Ordering};

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

fn close_shared(slab: &Slab, handle: u64) -> bool {
    let Some(closing) = slab.close(handle) else { return false };
    closing.wait_for_users();
    free(closing.finish(0));
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
        let handle = slab.insert(2, object, 0).expect("room");
        let word = Word::of(object);
        let caller = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || shared_call(&slab, handle, word.object()))
        };

        assert!(close_shared(&slab, handle));

        caller.join().expect("no panic");
        assert!(!shared_call(&slab, handle, object));
        assert!(slab.was_live(handle));
    });
}

#[test]
fn one_of_two_closers_gets_the_object() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let handle = slab.insert(2, probe(), 0).expect("room");
        let other = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || close_shared(&slab, handle))
        };

        let mine = close_shared(&slab, handle);

        assert!(mine ^ other.join().expect("no panic"));
    });
}

#[test]
fn a_reused_slot_never_answers_to_the_old_handle() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let (first, second) = (probe(), probe());
        let old = slab.insert(2, first, 0).expect("room");
        let word = Word::of(first);
        let caller = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || shared_call(&slab, old, word.object()))
        };

        assert!(close_shared(&slab, old));
        let new = slab.insert(2, second, 0).expect("room");

        assert_ne!(old, new);
        assert!(shared_call(&slab, new, second));
        caller.join().expect("no panic");
    });
}

#[test]
fn an_exclusive_object_is_used_by_one_and_closed_after() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let object = probe();
        let handle = slab.insert(5, object, 0).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let user = {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || {
                let Some(found) = slab.take(handle) else { return };
                assert_eq!(users.fetch_add(1, Ordering::Relaxed), 0, "two users at once");
                assert!(!is_freed(found));
                users.fetch_sub(1, Ordering::Relaxed);
                slab.put_back(handle);
            })
        };

        if let Some(closing) = slab.close(handle) {
            assert_eq!(users.load(Ordering::Relaxed), 0, "closed under a user");
            free(closing.finish(0));
        }

        user.join().expect("no panic");
        assert!(slab.take(handle).is_none());
    });
}

#[test]
fn two_exclusive_users_exclude_each_other() {
    loom::model(|| {
        let slab = Arc::new(Slab::new());
        let handle = slab.insert(5, probe(), 0).expect("room");
        let users = Arc::new(AtomicUsize::new(0));
        let both = [0, 1].map(|_| {
            let (slab, users) = (Arc::clone(&slab), Arc::clone(&users));
            thread::spawn(move || {
                if slab.take(handle).is_none() {
                    return 0;
                }
                assert_eq!(users.fetch_add(1, Ordering::Relaxed), 0, "two users at once");
                users.fetch_sub(1, Ordering::Relaxed);
                slab.put_back(handle);
                1
            })
        });

        let served: usize = both.map(|user| user.join().expect("no panic")).iter().sum();

        assert!(served >= 1);
        assert!(slab.take(handle).is_some());
    });
}
