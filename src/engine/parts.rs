//! Publishing, to be measured.

use std::sync::Arc;

use super::publish::{Step, advance_over};
use crate::base::Lsn;
use crate::base::part::{Part, RUN, Work, part};
use crate::mem::atomic::{AtomicU64, Ordering};
use crate::mem::{Garbage, Recycler};
use crate::memtable::{Memtable, Reserve};

/// What is measured here.
pub(crate) const PARTS: &[Part] = &[part("publish", 0, |_| Box::new(Publish::new()))];

/// The done mark of a record, and `visible` moved over it.
struct Publish {
    memtable: Memtable,
    /// Written and read by this thread alone.
    visible: AtomicU64,
    next: Vec<u64>,
}

const RECORD: u64 = 192;
const BASE: Lsn = Lsn(64);

impl Publish {
    fn new() -> Self {
        let (garbage, memory) = (Arc::new(Garbage::new()), Recycler::new(0));
        let memtable = match Memtable::new(16 << 20, 0, 42, &garbage, &memory) {
            Ok(memtable) => memtable,
            Err(error) => panic!("a memtable: {error}"),
        };
        memtable.open_at(BASE);
        memtable.populate(0, 16 << 20);
        Self { memtable, visible: AtomicU64::new(BASE.0), next: Vec::new() }
    }
}

impl Work for Publish {
    fn ready(&mut self) {
        self.next.clear();
        let room = self.memtable.capacity_bytes() - (self.memtable.tail() - BASE.0);
        if room < RECORD * (RUN + 1) {
            *self = Self::new();
        }
        for _ in 0..RUN {
            if let Reserve::Done(slot) = self.memtable.reserve(RECORD, true) {
                self.next.push(slot.place());
            }
        }
    }

    fn run(&mut self) -> u64 {
        let mut moved = 0;
        for place in &self.next {
            self.memtable.set_mark(*place, 192);
            let advanced = advance_over(&self.visible, |at| match self.memtable.mark_at(Lsn(at)) {
                Some(length) => Step::To(at + u64::from(length)),
                None => Step::Stop,
            });
            let at = self.visible.load(Ordering::Acquire);
            moved += u64::from(advanced && at == BASE.0 + place + RECORD);
        }
        moved
    }
}
