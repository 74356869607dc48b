//! The memtable's parts, to be measured. Entries have keys of 16 digits and values of 100 bytes.

use std::hint::black_box;
use std::sync::Arc;

use super::layout::ENTRIES_AT;
use super::ordered::SPAN_BYTES;
use super::{MemCursor, Memtable, Reserve};
use crate::base::part::{ABSENT, Keys, Part, RUN, VALUE, Work, each, key, part, sweep};
use crate::base::{Cursor, KeyspaceId, Kind, Lsn};
use crate::batch::{self, Op};
use crate::mem::{Garbage, Recycler};

/// What is measured here. Entries of what changes a memtable are those that it has room for.
pub(crate) const PARTS: &[Part] = &[
    part("reserve", 300_000, |n| Filling::start(n, Step::Reserve)),
    part("reserve-and-encode", 300_000, |n| Filling::start(n, Step::Fill)),
    part("point-insert", 5_000, |n| Filling::start(n, Step::Link)),
    part("point-insert", 300_000, |n| Filling::start(n, Step::Link)),
    part("point-hit", 2_000, hit),
    part("point-hit", 300_000, hit),
    part("point-hit", 2_000_000, hit),
    part("point-miss", 2_000, miss),
    part("point-miss", 2_000_000, miss),
    part("ordered-lookup", 5_000, lookup),
    part("ordered-seek", 300_000, seek),
    part("ordered-next", 10_000, next),
    sweep("freeze", 4 * SPAN_ENTRIES, |n| Freezing::start(n, false)),
    sweep("merge-arrays", 4 * SPAN_ENTRIES, |n| Freezing::start(n, true)),
];

const RECORD: u64 = 192;
const BASE: Lsn = Lsn(64);
const KEYSPACE: KeyspaceId = KeyspaceId(0);
/// Everything.
const NOW: Lsn = Lsn(1 << 40);
/// Entries of a span that is frozen.
const SPAN_ENTRIES: usize = 12_000;

/// A memtable with room for so many entries, whose memory was touched.
fn empty(entries: usize, span: usize, garbage: &Arc<Garbage>) -> Arc<Memtable> {
    let bytes = (entries as u64 + 2 * RUN) * RECORD;
    let memtable = match Memtable::with_spans(bytes, 0, 42, garbage, &Recycler::new(0), span) {
        Ok(memtable) => memtable,
        Err(error) => panic!("a memtable: {error}"),
    };
    memtable.open_at(BASE);
    memtable.populate(0, bytes);
    Arc::new(memtable)
}

/// Writes the record of one put and returns its place.
fn fill(memtable: &Memtable, key: &[u8; 16]) -> u64 {
    let Reserve::Done(mut slot) = memtable.reserve(RECORD, true) else { panic!("there is room") };
    let op = Op { kind: Kind::Put, keyspace: KEYSPACE, expiry_ms: 0, key, value: &VALUE };
    let body = slot.body_mut();
    assert_eq!(batch::encode_entry(body, &op), body.len(), "the record of one put");
    let header = slot.header_mut();
    header[ENTRIES_AT - 4..ENTRIES_AT].copy_from_slice(&1_u32.to_le_bytes());
    slot.place()
}

/// A memtable with the keys `0 .. count`, all published.
fn filled(count: usize, span: usize, garbage: &Arc<Garbage>) -> Arc<Memtable> {
    let memtable = empty(count, span, garbage);
    for i in 0..count as u64 {
        let place = fill(&memtable, &key(i));
        memtable.link(place, 0, place + 48);
        memtable.set_mark(place, 192);
    }
    memtable
}

/// What is done to entries that were written and not measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Reserve,
    Fill,
    Link,
}

struct Filling {
    memtable: Arc<Memtable>,
    garbage: Arc<Garbage>,
    entries: usize,
    step: Step,
    written: u64,
    keys: Vec<[u8; 16]>,
    places: Vec<u64>,
}

impl Filling {
    fn start(entries: usize, step: Step) -> Box<dyn Work> {
        let garbage = Arc::new(Garbage::new());
        let memtable = empty(entries, SPAN_BYTES, &garbage);
        let (keys, places) = (Vec::new(), Vec::new());
        Box::new(Self { memtable, garbage, entries, step, written: 0, keys, places })
    }
}

impl Work for Filling {
    fn ready(&mut self) {
        if self.written >= self.entries as u64 {
            self.memtable = empty(self.entries, SPAN_BYTES, &self.garbage);
            self.written = 0;
        }
        self.keys.clear();
        for _ in 0..RUN {
            self.keys.push(key(self.written));
            self.written += 1;
        }
        self.places.clear();
        if self.step == Step::Link {
            self.places.extend(self.keys.iter().map(|key| fill(&self.memtable, key)));
        }
    }

    fn run(&mut self) -> u64 {
        let memtable = &*self.memtable;
        match self.step {
            Step::Reserve => {
                let done = |_: &u64| matches!(memtable.reserve(RECORD, true), Reserve::Done(_));
                (0..RUN).filter(done).count() as u64
            }
            Step::Fill => {
                let is_new = |place: &u64| memtable.mark(*place) == 0;
                self.keys.iter().map(|key| fill(memtable, key)).filter(is_new).count() as u64
            }
            Step::Link => {
                self.places.iter().for_each(|place| memtable.link(*place, 0, *place + 48));
                self.places.len() as u64
            }
        }
    }
}

fn hit(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SPAN_BYTES, &Arc::new(Garbage::new()));
    let (mut keys, mut to) = (Keys::drawn(0, entries), VALUE);
    each(move || {
        let found = memtable.get(KEYSPACE, black_box(keys.draw_after(to[99])), NOW);
        found.inspect(|found| black_box(&mut to).copy_from_slice(found.value));
        found.is_some() && to[99] == VALUE[99]
    })
}

fn miss(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SPAN_BYTES, &Arc::new(Garbage::new()));
    let mut keys = Keys::drawn(ABSENT, entries);
    each(move || memtable.get(KEYSPACE, black_box(keys.draw()), NOW).is_none())
}

/// Through the ordered index alone, which point reads fall back to.
fn lookup(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SPAN_BYTES, &Arc::new(Garbage::new()));
    let mut keys = Keys::drawn(0, entries);
    each(move || {
        let key = (KEYSPACE, &black_box(keys.draw())[..]);
        let found = memtable.ordered.get(&memtable.arena, BASE.0, key, NOW.0);
        found.is_ok_and(|found| found.is_some())
    })
}

/// A cursor over a memtable, all of which is frozen.
fn cursor(entries: usize) -> MemCursor {
    let memtable = filled(entries, SPAN_BYTES, &Arc::new(Garbage::new()));
    let all = Lsn(BASE.0 + entries as u64 * RECORD);
    while memtable.freeze_step(all, &[], all) {}
    match memtable.cursor(KEYSPACE, NOW) {
        Ok(cursor) => cursor,
        Err(error) => panic!("a cursor: {error}"),
    }
}

fn seek(entries: usize) -> Box<dyn Work> {
    let mut cursor = cursor(entries);
    let mut keys = Keys::drawn(0, entries);
    each(move || {
        let key = black_box(keys.draw());
        cursor.seek_ge(key, u64::MAX).is_ok() && cursor.entry().is_some_and(|e| e.key == key)
    })
}

fn next(entries: usize) -> Box<dyn Work> {
    let mut cursor = cursor(entries);
    each(move || {
        let mut moved = cursor.next();
        if cursor.entry().is_none() {
            moved = moved.and_then(|()| cursor.seek_first());
        }
        moved.is_ok() && cursor.entry().is_some_and(|entry| entry.value[0] == VALUE[0])
    })
}

/// Four spans; either they are frozen, or the arrays of them are merged.
struct Freezing {
    memtable: Arc<Memtable>,
    garbage: Arc<Garbage>,
    entries: usize,
    merges: bool,
}

impl Freezing {
    fn start(entries: usize, merges: bool) -> Box<dyn Work> {
        let garbage = Arc::new(Garbage::new());
        let memtable = empty(0, SPAN_BYTES, &garbage);
        Box::new(Self { memtable, garbage, entries: entries / 4 * 4, merges })
    }

    fn step(&self) -> bool {
        let end = Lsn(BASE.0 + self.entries as u64 * RECORD);
        self.memtable.freeze_step(end, &[], end)
    }
}

impl Work for Freezing {
    fn ready(&mut self) {
        let span = self.entries / 4 * 192;
        self.memtable = filled(self.entries, span, &self.garbage);
        self.garbage.drain();
        if self.merges {
            (0..4).for_each(|_| assert!(self.step(), "a span is written"));
        }
    }

    fn run(&mut self) -> u64 {
        let steps = if self.merges { 1 } else { 4 };
        let done = (0..steps).filter(|_| self.step()).count();
        (done * self.entries / steps) as u64
    }
}
