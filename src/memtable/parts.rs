//! The memtable's parts, to be measured. Entries have keys of 16 digits and values of 100 bytes.

use std::hint::black_box;
use std::sync::Arc;

use super::ordered::SpanRule;
use super::{MemCursor, Memtable, Reserve};
use crate::base::part::{ABSENT, Keys, Part, RUN, VALUE, Work, each, key, part, sweep};
use crate::base::{Cursor, KeyspaceId, Kind, Lsn};
use crate::batch::{self, Op};
use crate::mem::{Garbage, Recycler};

/// What is measured here. Entries of what changes a memtable are those that it has room for.
pub(crate) const PARTS: &[Part] = &[
    part("reserve", 300_000, |n| Filling::start(n, Step::Reserve, false)),
    part("reserve-and-encode", 300_000, |n| Filling::start(n, Step::Fill, false)),
    part("point-insert", 5_000, |n| Filling::start(n, Step::Link, false)),
    part("point-insert", 300_000, |n| Filling::start(n, Step::Link, false)),
    part("point-hit", 2_000, hit),
    part("point-hit", 300_000, hit),
    part("point-hit", 2_000_000, hit),
    part("point-miss", 2_000, miss),
    part("point-miss", 2_000_000, miss),
    part("ordered-insert-random", 300_000, |n| Filling::start(n, Step::Insert, false)),
    part("ordered-insert-sequential", 300_000, |n| Filling::start(n, Step::Insert, true)),
    part("ordered-lookup", 5_000, lookup),
    part("ordered-seek-live", 300_000, |n| seek(n, false)),
    part("ordered-seek-frozen", 300_000, |n| seek(n, true)),
    part("ordered-next-live", 10_000, |n| next(n, false)),
    part("ordered-next-frozen", 10_000, |n| next(n, true)),
    sweep("freeze", 4 * LIST_ENTRIES, |n| Freezing::start(n, false)),
    sweep("merge-arrays", 4 * LIST_ENTRIES, |n| Freezing::start(n, true)),
];

const RECORD: u64 = 192;
const BASE: Lsn = Lsn(64);
const KEYSPACE: KeyspaceId = KeyspaceId(0);
/// Everything.
const NOW: Lsn = Lsn(1 << 40);
/// Entries of a list that is frozen.
const LIST_ENTRIES: usize = 12_000;

/// A memtable with room for so many entries, whose memory was touched.
fn empty(entries: usize, rule: SpanRule, garbage: &Arc<Garbage>) -> Arc<Memtable> {
    let bytes = (entries as u64 + 2 * RUN) * RECORD;
    let memtable = match Memtable::with_rule(bytes, 0, 42, garbage, &Recycler::new(0), rule) {
        Ok(memtable) => memtable,
        Err(error) => panic!("a memtable: {error}"),
    };
    memtable.open_at(BASE);
    memtable.populate(0, bytes);
    Arc::new(memtable)
}

/// Writes the record of one put and returns its place.
fn fill(memtable: &Memtable, key: &[u8; 16]) -> u64 {
    let Reserve::Done(mut slot) = memtable.reserve(RECORD) else { panic!("there is room") };
    let op = Op { kind: Kind::Put, keyspace: KEYSPACE, expiry_ms: 0, key, value: &VALUE };
    let body = slot.body_mut();
    assert_eq!(batch::encode_entry(body, &op), body.len(), "the record of one put");
    slot.place()
}

/// A memtable with the keys `0 .. count`, all published.
fn filled(count: usize, rule: SpanRule, garbage: &Arc<Garbage>, ordered: bool) -> Arc<Memtable> {
    let memtable = empty(count, rule, garbage);
    for i in 0..count as u64 {
        let place = fill(&memtable, &key(i));
        memtable.link(place, 0, place + 48);
        if ordered {
            memtable.insert(place, 0, place + 48);
        }
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
    Insert,
}

struct Filling {
    memtable: Arc<Memtable>,
    garbage: Arc<Garbage>,
    entries: usize,
    step: Step,
    /// Whether keys ascend.
    ascending: bool,
    written: u64,
    keys: Vec<[u8; 16]>,
    places: Vec<u64>,
}

impl Filling {
    fn start(entries: usize, step: Step, ascending: bool) -> Box<dyn Work> {
        let garbage = Arc::new(Garbage::new());
        let memtable = empty(entries, SpanRule::default(), &garbage);
        let (keys, places) = (Vec::new(), Vec::new());
        Box::new(Self { memtable, garbage, entries, step, ascending, written: 0, keys, places })
    }

    fn key(&self) -> [u8; 16] {
        if !self.ascending {
            return key(self.written);
        }
        let mut key = [b'0'; 16];
        let text = self.written.to_string();
        key[16 - text.len()..].copy_from_slice(text.as_bytes());
        key
    }
}

impl Work for Filling {
    fn ready(&mut self) {
        if self.written >= self.entries as u64 {
            self.memtable = empty(self.entries, SpanRule::default(), &self.garbage);
            self.written = 0;
        }
        self.keys.clear();
        for _ in 0..RUN {
            self.keys.push(self.key());
            self.written += 1;
        }
        self.places.clear();
        if matches!(self.step, Step::Link | Step::Insert) {
            self.places.extend(self.keys.iter().map(|key| fill(&self.memtable, key)));
        }
    }

    fn run(&mut self) -> u64 {
        let memtable = &*self.memtable;
        match self.step {
            Step::Reserve => {
                let done = |_: &u64| matches!(memtable.reserve(RECORD), Reserve::Done(_));
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
            Step::Insert => {
                let before = memtable.entry_count();
                self.places.iter().for_each(|place| memtable.insert(*place, 0, *place + 48));
                (memtable.entry_count() - before) as u64
            }
        }
    }
}

fn hit(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SpanRule::default(), &Arc::new(Garbage::new()), false);
    let (mut keys, mut to) = (Keys::drawn(0, entries), VALUE);
    each(move || {
        let found = memtable.get(KEYSPACE, black_box(keys.draw_after(to[99])), NOW);
        found.inspect(|found| black_box(&mut to).copy_from_slice(found.value));
        found.is_some() && to[99] == VALUE[99]
    })
}

fn miss(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SpanRule::default(), &Arc::new(Garbage::new()), false);
    let mut keys = Keys::drawn(ABSENT, entries);
    each(move || memtable.get(KEYSPACE, black_box(keys.draw()), NOW).is_none())
}

/// Through the ordered index alone, which point reads fall back to.
fn lookup(entries: usize) -> Box<dyn Work> {
    let memtable = filled(entries, SpanRule::default(), &Arc::new(Garbage::new()), true);
    let mut keys = Keys::drawn(0, entries);
    each(move || {
        let key = (KEYSPACE, &black_box(keys.draw())[..]);
        let found = memtable.ordered.get(&memtable.arena, key, NOW.0);
        found.is_ok_and(|found| found.is_some())
    })
}

/// A cursor over a memtable, all of which is frozen if so asked.
fn cursor(entries: usize, frozen: bool) -> MemCursor {
    let garbage = Arc::new(Garbage::new());
    let memtable = filled(entries, SpanRule::default(), &garbage, true);
    let all = Lsn(BASE.0 + memtable.capacity_bytes());
    // The end of the last list is the arena's.
    while frozen && memtable.freeze_step(all, &[], all) {}
    match memtable.cursor(KEYSPACE, NOW) {
        Ok(cursor) => cursor,
        Err(error) => panic!("a cursor: {error}"),
    }
}

fn seek(entries: usize, frozen: bool) -> Box<dyn Work> {
    let mut cursor = cursor(entries, frozen);
    let mut keys = Keys::drawn(0, entries);
    each(move || {
        let key = black_box(keys.draw());
        cursor.seek_ge(key, u64::MAX).is_ok() && cursor.entry().is_some_and(|e| e.key == key)
    })
}

fn next(entries: usize, frozen: bool) -> Box<dyn Work> {
    let mut cursor = cursor(entries, frozen);
    each(move || {
        let mut moved = cursor.next();
        if cursor.entry().is_none() {
            moved = moved.and_then(|()| cursor.seek_first());
        }
        moved.is_ok() && cursor.entry().is_some_and(|entry| entry.value[0] == VALUE[0])
    })
}

/// Four complete lists; either they are frozen, or the arrays of them are merged.
struct Freezing {
    memtable: Arc<Memtable>,
    garbage: Arc<Garbage>,
    entries: usize,
    merges: bool,
}

impl Freezing {
    fn start(entries: usize, merges: bool) -> Box<dyn Work> {
        let garbage = Arc::new(Garbage::new());
        let memtable = empty(0, SpanRule::default(), &garbage);
        Box::new(Self { memtable, garbage, entries: entries / 4 * 4, merges })
    }

    fn step(&self) -> bool {
        let end = Lsn(BASE.0 + self.entries as u64 * RECORD);
        self.memtable.freeze_step(end, &[], end)
    }
}

impl Work for Freezing {
    fn ready(&mut self) {
        let entries = self.entries / 4;
        let bytes = entries * 192;
        let rule = SpanRule { entries, bytes_min: bytes, bytes_max: bytes, bytes_first: bytes };
        self.memtable = filled(self.entries, rule, &self.garbage, true);
        self.garbage.drain();
        if self.merges {
            (0..4).for_each(|_| assert!(self.step(), "a list is complete"));
        }
    }

    fn run(&mut self) -> u64 {
        let steps = if self.merges { 1 } else { 4 };
        let done = (0..steps).filter(|_| self.step()).count();
        (done * self.entries / steps) as u64
    }
}
