//! Loom models of the pin protocol (see [`super`]).

use loom::sync::{Arc as ModelArc, Mutex};
use loom::thread;

use super::*;

struct Model {
    slot: Slot,
    /// Stands for the cache's lock, which every evictor and filler holds.
    lock: Mutex<()>,
}

impl Model {
    /// A resident block of bytes 1, not pinned.
    fn resident() -> ModelArc<Self> {
        let model = Self { slot: Slot::new(0, 0, Box::default()), lock: Mutex::new(()) };
        model.slot.fill(Box::new([1, 1]));
        model.slot.refs.fetch_sub(1, Ordering::Release);
        ModelArc::new(model)
    }

    fn evict(&self) -> bool {
        let _lock = self.lock.lock().unwrap();
        let claimed = self.slot.claim();
        if claimed {
            self.slot.empty();
        }
        claimed
    }

    /// Fills an empty slot with bytes 2, as another read of the same block would.
    fn refill(&self) {
        let _lock = self.lock.lock().unwrap();
        if self.slot.refs.load(Ordering::Relaxed) == 0 {
            self.slot.fill(Box::new([2, 2]));
            self.slot.refs.fetch_sub(1, Ordering::Release);
        }
    }

    /// Reads through a pin. Loom reports a write at the same time.
    #[allow(unsafe_code, reason = "a model of what a pin does")]
    fn read(&self) -> Option<u8> {
        if !self.slot.try_pin() {
            return None;
        }
        self.slot.touch();
        // SAFETY: pinned.
        let seen = self.slot.bytes.with(|bytes| unsafe { ((&*bytes)[0], (&*bytes)[1]) });
        assert_eq!(seen.0, seen.1);
        assert!(self.slot.refs.fetch_sub(1, Ordering::Release) > 1, "the resident counts itself");
        Some(seen.0)
    }
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
                model.slot.empty();
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
