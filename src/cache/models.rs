//! Loom models of the protocols of pins and guards (see [`super`]).

use loom::sync::{Arc as ModelArc, Mutex};
use loom::thread;

use crate::mem::atomic::{AtomicBool, fence};
use crate::mem::{Garbage, epoch};

use super::*;

struct Model {
    slot: Slot,
    /// Stands for the cache's lock, which every evictor and filler holds.
    lock: Mutex<()>,
}

impl Model {
    /// A resident block of bytes 1, not pinned.
    fn resident() -> ModelArc<Self> {
        let model = Self { slot: Slot::new(0, 0, None), lock: Mutex::new(()) };
        model.slot.fill(boxed(1));
        model.slot.refs.fetch_sub(1, Ordering::Release);
        ModelArc::new(model)
    }

    fn evict(&self) -> bool {
        let _lock = self.lock.lock().unwrap();
        let claimed = self.slot.claim();
        // Freed at once: these readers pin.
        claimed.then(|| self.slot.empty()).is_some()
    }

    /// Fills an empty slot with bytes 2, as another read of the same block would.
    fn refill(&self) {
        let _lock = self.lock.lock().unwrap();
        if self.slot.refs.load(Ordering::Relaxed) == 0 {
            self.slot.fill(boxed(2));
            self.slot.refs.fetch_sub(1, Ordering::Release);
        }
    }

    /// Reads through a pin. What is freed at the same time is seen by its address sanitizer only;
    /// the count is what the model looks at.
    #[allow(unsafe_code, reason = "a model of what a pin does")]
    fn read(&self) -> Option<u8> {
        if !self.slot.try_pin() {
            return None;
        }
        self.slot.touch();
        let block = self.slot.block().expect("a pinned block is there");
        // SAFETY: pinned.
        let seen = unsafe { &*bytes_at(block) };
        assert_eq!(seen[0], seen[1]);
        let seen = seen[0];
        assert!(self.slot.refs.fetch_sub(1, Ordering::Release) > 1, "the resident counts itself");
        Some(seen)
    }
}

fn boxed(byte: u8) -> Bytes {
    Bytes::boxed(Box::new([byte, byte]))
}

/// One thread empties and refills the slot, `readers` others and this one read it.
fn read_against_eviction(readers: usize) {
    let model = Model::resident();
    let evictor = thread::spawn({
        let model = model.clone();
        move || {
            if model.evict() {
                model.refill();
            }
        }
    });
    let others: Vec<_> = (0..readers)
        .map(|_| {
            let model = model.clone();
            thread::spawn(move || model.read().is_some())
        })
        .collect();

    let seen = model.read();

    assert!(seen.is_none_or(|byte| byte == 1 || byte == 2));
    evictor.join().unwrap();
    others.into_iter().for_each(|reader| _ = reader.join().unwrap());
    assert!(model.slot.claim(), "resident and pinned by nobody");
}

#[test]
fn a_pinned_block_is_never_emptied_or_refilled() {
    loom::model(|| read_against_eviction(0));
}

#[test]
fn two_readers_and_an_evictor_agree_on_the_count() {
    // All interleavings take minutes; two preemptions find what three threads can do wrong.
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| read_against_eviction(1));
}

#[test]
fn an_orphan_is_freed_by_exactly_one_last_pin() {
    loom::model(|| {
        let model = Model::resident();
        assert!(model.slot.try_pin() && model.slot.try_pin());
        let last = |model: &Model| {
            let last = model.slot.refs.fetch_sub(1, Ordering::Release) == 1;
            if last {
                fence(Ordering::Acquire);
                drop(model.slot.empty());
            }
            u32::from(last)
        };
        let pins: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || last(&model))
            })
            .collect();

        let mut freed = last(&model);

        for pin in pins {
            freed += pin.join().unwrap();
        }
        assert_eq!(freed, 1);
    });
}

/// Tells when it is dropped, in the place of bytes that are freed.
struct Freed(ModelArc<AtomicBool>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_block_seen_under_a_guard_is_not_freed_before_the_guard_goes() {
    loom::model(|| {
        let model = Model::resident();
        let freed = ModelArc::new(AtomicBool::new(false));
        let evictor = thread::spawn({
            let (model, freed) = (model.clone(), freed.clone());
            move || {
                assert!(model.slot.claim(), "nobody pins");
                let bytes = model.slot.empty();
                let garbage = Arc::new(Garbage::new());
                garbage.retire(Box::new((bytes, Freed(freed))), &epoch::pin());
                garbage.drain();
            }
        });

        let guard = epoch::pin();
        if model.slot.block().is_some() {
            assert!(!freed.load(Ordering::SeqCst), "freed under the eyes of a reader");
        }
        drop(guard);

        evictor.join().unwrap();
    });
}
