//! Loom models of the point index: the very functions, over loom's words.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;

use super::point::{Found, Word, find, link};

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }
    fn set(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
    fn add_bits(&self, bits: u64) {
        self.fetch_or(bits, Ordering::AcqRel);
    }
}

const TAG_A: u32 = 1;
const TAG_B: u32 = 2;

/// One bucket, the links of four entries (unit and number are alike), and the key each one holds.
struct Table {
    bucket: AtomicU64,
    links: Vec<AtomicU64>,
    /// Written `Relaxed` before the entry is linked: a reader that was not synchronized with by
    /// the links reads 0.
    keys: Vec<AtomicU32>,
}

impl Table {
    fn new() -> Self {
        Self {
            bucket: AtomicU64::new(0),
            links: (0..4).map(|_| AtomicU64::new(0)).collect(),
            keys: (0..4).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn insert(&self, unit: u32, tag: u32) {
        self.keys[unit as usize].store(tag, Ordering::Relaxed);
        link(&self.bucket, |unit| &self.links[unit as usize], unit, unit, tag);
    }

    /// The unit that is found.
    fn find(&self, tag: u32, below: u32) -> Found<u32> {
        let is_match = |unit: u32| {
            let key = self.keys[unit as usize].load(Ordering::Relaxed);
            assert_ne!(key, 0, "the entry is linked before it is written");
            key == tag
        };
        find(&self.bucket, |unit| &self.links[unit as usize], tag, below, 16, is_match)
            .map(|(unit, _)| unit)
    }
}

/// Three threads: all executions with at most three preemptions.
#[test]
fn published_entries_are_found_whatever_order_inserts_meet_in() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let table = Arc::new(Table::new());
        // What a record's mark says: which of the entries are published.
        let marks = Arc::new(AtomicU32::new(0));
        let writers: Vec<_> = [(2, TAG_A), (1, TAG_B)]
            .into_iter()
            .map(|(unit, tag)| {
                let (table, marks) = (Arc::clone(&table), Arc::clone(&marks));
                thread::spawn(move || {
                    table.insert(unit, tag);
                    marks.fetch_or(tag, Ordering::AcqRel);
                })
            })
            .collect();

        let published = marks.load(Ordering::Acquire);
        let (a, b) = (table.find(TAG_A, 4), table.find(TAG_B, 4));

        if published & TAG_A != 0 {
            assert_eq!(a, Found::Entry(2));
        }
        if published & TAG_B != 0 {
            assert_eq!(b, Found::Entry(1));
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(table.find(TAG_A, 4), Found::Entry(2));
        assert_eq!(table.find(TAG_B, 4), Found::Entry(1));
        assert_eq!(table.find(TAG_A, 2), Found::Absent);
    });
}

#[test]
fn versions_of_one_key_stand_newest_first_whatever_order_inserts_meet_in() {
    loom::model(|| {
        let table = Arc::new(Table::new());
        table.insert(2, TAG_A);
        let writers: Vec<_> = [3, 1]
            .into_iter()
            .map(|unit| {
                let table = Arc::clone(&table);
                thread::spawn(move || table.insert(unit, TAG_A))
            })
            .collect();

        // Entry 2 was published before: a reader at 3 gets it, whatever is being linked around it.
        assert_eq!(table.find(TAG_A, 3), Found::Entry(2));

        for writer in writers {
            writer.join().unwrap();
        }
        for below in 2..=4 {
            assert_eq!(table.find(TAG_A, below), Found::Entry(below - 1));
        }
        assert_eq!(table.find(TAG_A, 1), Found::Absent);
    });
}

#[test]
fn three_inserts_behind_each_other_lose_none() {
    loom::model(|| {
        let table = Arc::new(Table::new());
        table.insert(3, TAG_B);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.insert(1, TAG_A))
        };

        table.insert(2, TAG_A);
        other.join().unwrap();

        assert_eq!(table.find(TAG_A, 4), Found::Entry(2));
        assert_eq!(table.find(TAG_A, 2), Found::Entry(1));
        assert_eq!(table.find(TAG_B, 4), Found::Entry(3));
    });
}
