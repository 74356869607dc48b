//! Test doubles: cursors over vectors, a faulty cursor, and a small random number generator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::cursor::APPROACH_STAGES;
use crate::base::key::{compare, head_of};
use crate::base::{Cursor, Entry, Error, ErrorKind, Kind, Result};

/// An owned entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Owned {
    pub(crate) key: Vec<u8>,
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) expiry_ms: u64,
    pub(crate) value: Vec<u8>,
}

impl Owned {
    pub(crate) fn put(key: &[u8], number: u64, value: &[u8]) -> Self {
        let (key, value) = (key.to_vec(), value.to_vec());
        Self { key, number, kind: Kind::Put, expiry_ms: 0, value }
    }

    pub(crate) fn delete(key: &[u8], number: u64) -> Self {
        Self { kind: Kind::Delete, ..Self::put(key, number, b"") }
    }

    pub(crate) fn of(entry: Entry<'_>) -> Self {
        let Entry { key, number, kind, expiry_ms, value } = entry;
        Self { key: key.to_vec(), number, kind, expiry_ms, value: value.to_vec() }
    }

    pub(crate) fn borrow(&self) -> Entry<'_> {
        let Self { key, number, kind, expiry_ms, value } = self;
        Entry { key, number: *number, kind: *kind, expiry_ms: *expiry_ms, value }
    }
}

/// Sorts into internal order.
pub(crate) fn sort(entries: &mut [Owned]) {
    entries.sort_by(|a, b| compare((&a.key, a.number), (&b.key, b.number)));
}

/// A cursor over a sorted vector.
pub(crate) struct VecCursor {
    entries: Vec<Owned>,
    at: Option<usize>,
}

impl VecCursor {
    pub(crate) fn new(mut entries: Vec<Owned>) -> Self {
        sort(&mut entries);
        Self { entries, at: None }
    }

    fn place(&self, key: &[u8], number: u64) -> usize {
        self.entries.partition_point(|e| compare((&e.key, e.number), (key, number)).is_lt())
    }

    fn stand(&mut self, at: Option<usize>) {
        self.at = at.filter(|&at| at < self.entries.len());
    }
}

impl Cursor for VecCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.stand(Some(0));
        Ok(())
    }
    fn seek_last(&mut self) -> Result<()> {
        self.stand(self.entries.len().checked_sub(1));
        Ok(())
    }
    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.stand(Some(self.place(key, number)));
        Ok(())
    }
    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.stand(self.place(key, number).checked_sub(1));
        Ok(())
    }
    fn next(&mut self) -> Result<()> {
        self.stand(self.at.map(|at| at + 1));
        Ok(())
    }
    fn prev(&mut self) -> Result<()> {
        self.stand(self.at.and_then(|at| at.checked_sub(1)));
        Ok(())
    }
    fn entry(&self) -> Option<Entry<'_>> {
        self.at.map(|at| self.entries[at].borrow())
    }
}

/// Counts moves of a cursor, and fails the one that makes the count reach `fail_at`.
pub(crate) struct FaultyCursor {
    pub(crate) inner: VecCursor,
    pub(crate) moves: Arc<AtomicU64>,
    pub(crate) fail_at: u64,
}

impl FaultyCursor {
    fn step(&mut self, step: impl FnOnce(&mut VecCursor) -> Result<()>) -> Result<()> {
        if self.moves.fetch_add(1, Ordering::Relaxed) + 1 == self.fail_at {
            self.inner.at = None;
            return Err(Error::new(ErrorKind::Io, "injected"));
        }
        step(&mut self.inner)
    }
}

impl Cursor for FaultyCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.step(VecCursor::seek_first)
    }
    fn seek_last(&mut self) -> Result<()> {
        self.step(VecCursor::seek_last)
    }
    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.step(|inner| inner.seek_ge(key, number))
    }
    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.step(|inner| inner.seek_lt(key, number))
    }
    fn next(&mut self) -> Result<()> {
        self.step(VecCursor::next)
    }
    fn prev(&mut self) -> Result<()> {
        self.step(VecCursor::prev)
    }
    fn entry(&self) -> Option<Entry<'_>> {
        self.inner.entry()
    }
}

/// xorshift64*: repeatable by its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from((self.next() >> 33) % n as u64).unwrap()
    }
}

/// What a cursor shows: key, number and kind of each entry, in order.
pub(crate) type Shown = Vec<(Vec<u8>, u64, Kind)>;

/// Where the key after that of entry `at` begins.
fn next_key(entries: &Shown, at: usize) -> usize {
    at + entries[at..].iter().take_while(|entry| entry.0 == entries[at].0).count()
}

/// Checks all that a cursor says about where it stands.
fn assert_stands(cursor: &dyn Cursor, entries: &Shown, at: Option<usize>) {
    let expected = at.map(|at| &entries[at]);
    let shown = cursor.entry().map(|e| (e.key.to_vec(), e.number, e.kind));
    assert_eq!(shown.as_ref(), expected);
    assert_eq!(cursor.stamp().map(|s| (s.number, s.kind)), expected.map(|e| (e.1, e.2)));
    let rank = |e: &(Vec<u8>, u64, Kind)| (head_of(&e.0), e.0.len(), e.1);
    assert_eq!(cursor.rank().map(|r| (r.head, r.key_bytes, r.number)), expected.map(rank));
    if let (Some(true), Some(at)) = (cursor.is_newest(), at) {
        assert!(at == 0 || entries[at - 1].0 != entries[at].0, "{:?}", entries[at]);
    }
}

/// Passes deletes from entry `at`, which is one, and returns where the cursor then stands.
fn pass_deletes(
    cursor: &mut dyn Cursor,
    entries: &Shown,
    at: usize,
    random: &mut Random,
) -> Option<usize> {
    let below = entries[at].1.saturating_add(1 + random.below(2000) as u64);
    let other = &entries[random.below(entries.len())].0;
    let limit = Some(other.as_slice()).filter(|limit| *limit > entries[at].0.as_slice());
    cursor.pass_deletes(below, limit).unwrap();
    let end = cursor.entry().map_or(entries.len(), |entry| {
        entries.partition_point(|e| compare((&e.0, e.1), (entry.key, entry.number)).is_lt())
    });
    let mut group = next_key(entries, at);
    assert!(group <= end, "it passed the key");
    while group < end {
        let (key, number, kind) = &entries[group];
        assert!(*kind == Kind::Delete && *number < below, "{:?} was passed", entries[group]);
        assert!(limit.is_none_or(|limit| key.as_slice() < limit), "{key:?} is behind {limit:?}");
        group = next_key(entries, group);
    }
    assert_eq!(group, end, "it stands on the first entry of a key");
    Some(end).filter(|end| *end < entries.len())
}

/// Drives a cursor over `entries` by seeks in stages and by the moves that have quick ways.
pub(crate) fn walk_quickly(cursor: &mut dyn Cursor, entries: &Shown, random: &mut Random) {
    for _ in 0..if entries.is_empty() { 0 } else { 200 } {
        let (mut key, mut number, _) = entries[random.below(entries.len())].clone();
        if random.below(3) == 0 {
            key.push(b'0');
        }
        number = [u64::MAX, 0, number, number.saturating_add(1)][random.below(4)];
        let place = entries.partition_point(|e| compare((&e.0, e.1), (&key, number)).is_lt());
        for stage in 0..APPROACH_STAGES.min(u32::try_from(random.below(6)).unwrap()) {
            cursor.approach(&key, number, stage);
        }
        let mut at = if random.below(2) == 0 {
            cursor.seek_ge(&key, number).unwrap();
            Some(place)
        } else {
            cursor.seek_lt(&key, number).unwrap();
            place.checked_sub(1)
        };
        for _ in 0..random.below(12) {
            at = at.filter(|at| *at < entries.len());
            assert_stands(cursor, entries, at);
            let Some(here) = at else { break };
            at = match random.below(6) {
                0 => {
                    cursor.next().unwrap();
                    Some(here + 1)
                }
                1 | 2 => {
                    cursor.prev().unwrap();
                    here.checked_sub(1)
                }
                _ if entries[here].2 == Kind::Delete => pass_deletes(cursor, entries, here, random),
                _ => {
                    cursor.next_key().unwrap();
                    Some(next_key(entries, here))
                }
            };
        }
    }
}
