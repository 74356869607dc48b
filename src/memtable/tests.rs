//! A small engine around one memtable, and the tests that use it.

mod cursors;
mod freezing;
mod images;
mod long;
mod points;
mod replays;
mod threads;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::coding::{Put, align8, get_u64};
use crate::base::{Cursor, Entry, KeyspaceId, Kind, Lsn};
use crate::mem::{Garbage, Recycler};

use super::layout::{FLAGS_AT, HEADER_BYTES, TYPE_AT, TYPE_BATCH};
use super::ordered::SPAN_BYTES;
use super::{MemFound, Memtable};

/// Where the tests' generations start: not at 0, so that bases matter.
const BASE: u64 = 1 << 20;

/// Many short arrays.
const SHORT_SPANS: usize = 1024;

/// One operation of a batch.
#[derive(Clone, Debug)]
struct Op {
    kind: Kind,
    keyspace: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    expiry_ms: u64,
}

fn put(key: &[u8], value: &[u8]) -> Op {
    put_in(0, key, value)
}

fn put_in(keyspace: u32, key: &[u8], value: &[u8]) -> Op {
    Op { kind: Kind::Put, keyspace, key: key.to_vec(), value: value.to_vec(), expiry_ms: 0 }
}

fn delete(key: &[u8]) -> Op {
    Op { kind: Kind::Delete, keyspace: 0, key: key.to_vec(), value: Vec::new(), expiry_ms: 0 }
}

/// The entry of an operation as log and arena hold it.
fn encode(op: &Op, out: &mut Vec<u8>) {
    out.put_u64(0);
    out.put_u8(op.kind as u8);
    out.put_u8(u8::from(op.expiry_ms != 0));
    out.put_u16(0);
    out.put_u32(op.keyspace);
    out.put_u32(u32::try_from(op.key.len()).unwrap());
    out.put_u32(u32::try_from(op.value.len()).unwrap());
    if op.expiry_ms != 0 {
        out.put_u64(op.expiry_ms);
    }
    out.extend_from_slice(&op.key);
    out.extend_from_slice(&op.value);
    out.resize(align8(out.len()), 0);
}

/// All tests' generations use each other's memory again.
fn recycler() -> Arc<Recycler> {
    static MEMORY: std::sync::OnceLock<Arc<Recycler>> = std::sync::OnceLock::new();
    Arc::clone(MEMORY.get_or_init(|| Recycler::new(64 << 20)))
}

/// A generation, its tail, and `visible`.
struct Engine {
    table: Arc<Memtable>,
    garbage: Arc<Garbage>,
    tail: AtomicU64,
    visible: AtomicU64,
    span_bytes: usize,
}

impl Engine {
    fn new(capacity: u64, span_bytes: usize) -> Self {
        let garbage = Arc::new(Garbage::new());
        let memory = recycler();
        let table = Memtable::with_spans(capacity, 0, 42, &garbage, &memory, span_bytes).unwrap();
        table.set_base(Lsn(BASE));
        Self {
            table: Arc::new(table),
            garbage,
            tail: AtomicU64::new(0),
            visible: AtomicU64::new(BASE),
            span_bytes,
        }
    }

    fn visible(&self) -> Lsn {
        Lsn(self.visible.load(Ordering::Acquire))
    }

    /// Writes a batch and returns the number of its first entry.
    fn write(&self, ops: &[Op]) -> u64 {
        let place = self.write_unmarked(ops, 0);
        self.publish(place, ops);
        BASE + place
    }

    fn record_bytes(ops: &[Op]) -> u64 {
        let mut bytes = Vec::new();
        for op in ops {
            encode(op, &mut bytes);
        }
        (HEADER_BYTES + bytes.len()) as u64
    }

    fn write_unmarked(&self, ops: &[Op], flags: u8) -> u64 {
        let place = self.tail.fetch_add(Self::record_bytes(ops), Ordering::AcqRel);
        self.write_at(place, ops, flags);
        place
    }

    /// Everything but the mark. The place is reserved.
    fn write_at(&self, place: u64, ops: &[Op], flags: u8) {
        let mut record = vec![0; HEADER_BYTES];
        let mut places = Vec::new();
        for op in ops {
            places.push(place + record.len() as u64);
            encode(op, &mut record);
        }
        record[12..16].copy_from_slice(&u32::try_from(ops.len()).unwrap().to_le_bytes());
        record[16..24].copy_from_slice(&(BASE + place).to_le_bytes());
        record[TYPE_AT] = TYPE_BATCH;
        record[FLAGS_AT] = flags;
        self.table.fill_reserved(place + 4, &record[4..]);
        for (index, &entry) in (0..).zip(&places) {
            self.table.link(place, index, entry);
        }
    }

    fn publish(&self, place: u64, ops: &[Op]) {
        self.table.set_mark(place, u32::try_from(Self::record_bytes(ops)).unwrap());
        loop {
            let now = self.visible.load(Ordering::Acquire);
            let length = self.table.mark(now - BASE);
            if length == 0 {
                return;
            }
            let next = now + u64::from(length);
            let _ = self.visible.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Freezes and merges all that can be.
    fn freeze(&self, snapshots: &[Lsn], horizon: Lsn) {
        while self.table.freeze_step(self.visible(), snapshots, horizon) {}
        while self.garbage.pending() > 0 {
            self.garbage.drain();
            std::thread::yield_now();
        }
    }

    /// Freezes and merges all that can be, and drops nothing.
    fn freeze_all_kept(&self) {
        self.freeze(&[], Lsn(0));
    }

    /// Writes fillers in keyspace 9 until no span has both what came before and what comes after.
    fn complete_span(&self) {
        let end = self.tail.load(Ordering::Acquire) + self.span_bytes as u64;
        while self.tail.load(Ordering::Acquire) < end {
            self.write(&[put_in(9, b"filler", &[0; 100])]);
        }
    }

    /// Spans that are written, at least in part, and not frozen.
    fn unfrozen(&self) -> u64 {
        // First what never passes the other.
        let frozen_to = self.frozen_to();
        (self.tail.load(Ordering::Acquire) - frozen_to).div_ceil(self.span_bytes as u64)
    }

    /// The place up to which all is frozen.
    fn frozen_to(&self) -> u64 {
        self.table.ordered.frozen_to() as u64
    }

    /// Arrays.
    fn runs(&self) -> usize {
        self.table.ordered.run_count()
    }

    fn value(&self, key: &[u8], below: u64) -> Option<Vec<u8>> {
        let found = self.table.get(KeyspaceId(0), key, Lsn(below))?;
        (found.kind == Kind::Put).then(|| found.value.to_vec())
    }

    fn cursor(&self, keyspace: u32, below: Lsn) -> super::MemCursor {
        self.table.cursor(KeyspaceId(keyspace), below).unwrap()
    }
}

/// All entries that a cursor shows, by moving forward.
fn collect(cursor: &mut dyn Cursor) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    cursor.seek_first().unwrap();
    while let Some(entry) = cursor.entry() {
        all.push((entry.key.to_vec(), entry.number));
        cursor.next().unwrap();
    }
    all
}

/// What was written, in internal order: the reference.
type History = BTreeMap<(u32, Vec<u8>, Reverse<u64>), Op>;

fn record(history: &mut History, first: u64, ops: &[Op]) {
    for (number, op) in (first..).zip(ops) {
        history.insert((op.keyspace, op.key.clone(), Reverse(number)), op.clone());
    }
}

/// The newest entry of a key below a position.
fn newest<'a>(
    history: &'a History,
    keyspace: u32,
    key: &[u8],
    below: u64,
) -> Option<(u64, &'a Op)> {
    let from = (keyspace, key.to_vec(), Reverse(below.checked_sub(1)?));
    let ((at, found, number), op) = history.range(from..).next()?;
    (*at == keyspace && found == key).then_some((number.0, op))
}

fn assert_same(found: Option<MemFound<'_>>, expected: Option<(u64, &Op)>, what: &str) {
    match (found, expected) {
        (None, None) => {}
        (Some(found), Some((number, op))) => {
            assert_eq!(found.number, number, "{what}");
            assert_eq!(found.kind, op.kind, "{what}");
            assert_eq!(found.expiry_ms, op.expiry_ms, "{what}");
            assert_eq!(found.value, op.value, "{what}");
        }
        (found, expected) => panic!("{what}: found {found:?}, expected {expected:?}"),
    }
}

/// A small generator of numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }

    fn pick<'a>(&mut self, of: &'a [Vec<u8>]) -> &'a [u8] {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// Keys that are hard to tell apart: empty, prefixes of each other, alike for 16 bytes and more,
/// with zeros where padding would be.
fn hard_keys() -> Vec<Vec<u8>> {
    let mut keys = vec![vec![], vec![0], vec![0, 0], vec![255; 16], vec![255; 40]];
    for len in [1, 2, 7, 8, 9, 15, 16, 17, 18, 31, 32, 33] {
        keys.push(vec![b'k'; len]);
        let mut zeros = vec![b'k'; len];
        zeros.push(0);
        keys.push(zeros);
        let mut other = vec![b'k'; len];
        other.push(b'a');
        keys.push(other);
    }
    keys.sort();
    keys.dedup();
    keys
}
