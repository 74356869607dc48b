//! Scans that pack entries, against scans step by step; and the cursors that they leave.

use std::sync::Arc;

use super::machine::{BUFFER, Machine, put, scan};
use crate::base::options::OpenOptions;
use crate::base::{ErrorKind, KeyspaceId, Packed};
use crate::engine::spare::Body;
use crate::engine::{Db, Iter, Leases, ReadOptions, SeekHow};
use crate::vfs::sim::SimFs;

const KEYS: u64 = 400;
const DEFAULT: KeyspaceId = KeyspaceId::DEFAULT;

/// Numbers that look drawn by lot.
struct Lot(u64);

impl Lot {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// Keys of many lengths, some of which are beginnings of others.
fn key(number: u64) -> String {
    match number % 5 {
        0 => format!("a{:03}", number / 5),
        1 => format!("a{:03}{}", number / 5, "b".repeat(14)),
        2 => format!("a{:03}{}", number / 5, "b".repeat(60)),
        3 => format!("a{:03}\0", number / 5),
        _ => format!("c{number:016}"),
    }
}

fn write(db: &Db, lot: &mut Lot, count: u64) {
    for _ in 0..count {
        let key = key(lot.below(KEYS));
        if lot.below(10) < 3 {
            db.delete(DEFAULT, key.as_bytes(), &BUFFER).unwrap();
        } else {
            let value = "v".repeat(usize::try_from(lot.below(300)).unwrap());
            put(db, &key, &value, &BUFFER).unwrap();
        }
    }
}

/// Old entries at the bottom, newer ones in level 0 and in memory.
fn mixed(lot: &mut Lot, layers: u64) -> (Machine, Arc<Db>) {
    let options = OpenOptions { write_buffer_bytes: 256 << 10, ..OpenOptions::default() };
    let machine = Machine::with(SimFs::new(), options);
    let db = machine.open().unwrap();
    write(&db, lot, 1500);
    db.compact(DEFAULT, None, None, 0).unwrap();
    for layer in 0..layers {
        write(&db, lot, 200);
        if layer + 1 < layers {
            db.flush().unwrap();
        }
    }
    (machine, db)
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn unpack(mut bytes: &[u8], into: &mut Pairs) {
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let len = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (key, rest) = rest.split_at(len(0));
        let (value, rest) = rest.split_at(len(4));
        into.push((key.to_vec(), value.to_vec()));
        bytes = rest;
    }
}

/// Everything from here on; with `lot` in pages of any size with single steps in between.
fn walk(iter: &mut Iter, mut lot: Option<&mut Lot>) -> (Pairs, usize) {
    let (mut pairs, mut packed) = (Vec::new(), 0);
    loop {
        let mut moved = false;
        if let Some(lot) = lot.as_mut() {
            let mut room = vec![0; usize::try_from(lot.below(2000)).unwrap()];
            let mut page = Packed::new(&mut room, usize::try_from(lot.below(12)).unwrap());
            moved = iter.pack(&mut page).unwrap();
            packed += page.entries();
            let used = page.used();
            unpack(&room[..used], &mut pairs);
        }
        let found = if moved { iter.is_positioned() } else { iter.next().unwrap() };
        if !found {
            return (pairs, packed);
        }
        pairs.push((iter.key().to_vec(), iter.value().to_vec()));
    }
}

#[test]
fn packing_entries_shows_what_single_steps_show() {
    let mut packed = 0;
    for seed in 0..30 {
        let mut lot = Lot(seed);
        let (_machine, db) = mixed(&mut lot, 1 + seed % 4);
        for _ in 0..10 {
            let options = ReadOptions::default();
            let (lo, hi) = (key(lot.below(KEYS)), key(lot.below(KEYS)));
            let lo = (lot.below(2) == 0).then_some(lo.as_bytes());
            let hi = (lot.below(2) == 0).then_some(hi.as_bytes());
            let mut steps = db.iter(DEFAULT, &options, lo, hi).unwrap();
            let mut pages = db.iter(DEFAULT, &options, lo, hi).unwrap();
            let from = key(lot.below(KEYS));
            let found = steps.seek(SeekHow::Ge, from.as_bytes()).unwrap();
            assert_eq!(pages.seek(SeekHow::Ge, from.as_bytes()).unwrap(), found);

            let (expected, _) = walk(&mut steps, None);
            let (shown, easy) = walk(&mut pages, Some(&mut lot));
            assert_eq!(shown, expected, "seed {seed}, from {from:?} in {lo:?} to {hi:?}");
            packed += easy;

            // It stands where it says: back from the end all entries come again.
            let mut back = Vec::new();
            while back.len() < expected.len() && pages.prev().unwrap() {
                back.push((pages.key().to_vec(), pages.value().to_vec()));
            }
            back.reverse();
            assert_eq!(back, expected);
        }
    }
    assert!(packed > 100, "the short way was hardly taken: {packed}");
}

#[test]
fn an_iterator_that_stands_nowhere_packs_nothing() {
    let (_machine, db) = mixed(&mut Lot(1), 1);
    let mut iter = db.iter(DEFAULT, &ReadOptions::default(), None, None).unwrap();
    let mut room = [0; 100];
    let mut page = Packed::new(&mut room, 5);
    assert!(!iter.pack(&mut page).unwrap());
    assert_eq!((page.entries(), page.used()), (0, 0));
}

#[test]
fn a_bound_of_the_highest_bytes_ends_a_page() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let high = |bytes: usize| vec![0xff; bytes];
    let keys = [b"a".to_vec(), b"b".to_vec(), high(15), high(16), high(17), high(18)];
    for key in &keys {
        db.put(DEFAULT, key, b"value", &BUFFER).unwrap();
    }
    db.flush().unwrap();
    for bound in [high(15), high(16), high(17), high(30)] {
        let options = ReadOptions::default();
        let mut iter = db.iter(DEFAULT, &options, None, Some(&bound)).unwrap();
        let mut shown = Vec::new();
        // From the first entry on: nothing is packed from nowhere.
        assert!(iter.next().unwrap());
        shown.push(iter.key().to_vec());
        shown.extend(walk(&mut iter, Some(&mut Lot(7))).0.into_iter().map(|pair| pair.0));
        let expected: Vec<_> = keys.iter().filter(|key| **key < bound).cloned().collect();
        assert_eq!(shown, expected, "up to {bound:?}");
    }
}

#[test]
fn cursors_left_of_an_older_version_are_not_taken() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    db.flush().unwrap();
    let old = db.version();
    let left = Body::open(Arc::clone(&old), DEFAULT, None, None).unwrap();
    put(&db, "b", "2", &BUFFER).unwrap();
    db.flush().unwrap();

    // As by an iterator that closes while the version changes.
    assert!(db.spare.leave(left, &old).is_none());

    assert_eq!(scan(&db).len(), 2);
}

#[test]
fn what_an_iterator_leaves_serves_others_with_other_bounds_and_moments() {
    let mut lot = Lot(3);
    let (machine, db) = mixed(&mut lot, 2);
    let other = db.keyspace_open("other", None).unwrap().id;
    db.put(other, b"a0", b"other", &BUFFER).unwrap();
    db.flush().unwrap();
    let options = ReadOptions::default();
    for round in 0..200 {
        if lot.below(4) == 0 {
            write(&db, &mut lot, 3);
        }
        if lot.below(40) == 0 {
            db.flush().unwrap();
            machine.settle();
        }
        let bytes = |(key, value): (String, String)| (key.into_bytes(), value.into_bytes());
        let all: Pairs = scan(&db).into_iter().map(bytes).collect();
        let bound = |lot: &mut Lot| (lot.below(2) == 0).then(|| key(lot.below(KEYS)).into_bytes());
        let (lo, hi) = (bound(&mut lot), bound(&mut lot).filter(|_| round % 3 == 0));
        let moment = ReadOptions { snapshot: Some(db.snapshot().unwrap()), keys_only: false };
        write(&db, &mut lot, 1);
        // The first leaves what it has to the second, and that to the third.
        for again in 0..3 {
            let mut iter = db.iter(DEFAULT, &moment, lo.as_deref(), hi.as_deref()).unwrap();
            let mut shown = Vec::new();
            while iter.next().unwrap() {
                shown.push((iter.key().to_vec(), iter.value().to_vec()));
            }
            let is_inside = |key: &[u8]| {
                lo.as_deref().is_none_or(|lo| key >= lo) && hi.as_deref().is_none_or(|hi| key < hi)
            };
            let expected = all.iter().filter(|pair| is_inside(&pair.0)).cloned();
            assert_eq!(shown, expected.collect::<Vec<_>>(), "round {round}, {again}");
            if again == 1 {
                let mut strange = db.iter(other, &options, None, None).unwrap();
                assert!(strange.next().unwrap());
                assert_eq!(strange.value(), b"other");
                assert!(!strange.next().unwrap());
            }
        }
    }
}

#[test]
fn iterators_hold_a_database_by_leases_and_what_they_leave_does_not() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    db.flush().unwrap();
    let (leases, weak) = (Leases::new(&db), Arc::downgrade(&db));
    let open = || Iter::open(leases.mine(), DEFAULT, &ReadOptions::default(), None, None).unwrap();
    let mut iters: Vec<Iter> = (0..3).map(|_| open()).collect();
    assert_eq!(leases.held(), 3);
    assert!(iters[0].next().unwrap());
    drop(iters.pop());
    assert_eq!(leases.held(), 2);
    db.close().unwrap();
    drop((db, leases));
    assert!(weak.upgrade().is_some(), "an iterator is there");
    assert_eq!(iters[0].next().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(iters[0].key(), b"a");
    drop(iters);
    assert!(weak.upgrade().is_none(), "what iterators have left holds the database");
}
