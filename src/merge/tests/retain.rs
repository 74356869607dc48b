//! The rule of retention against its definition, by brute force.

use crate::base::{Kind, Lsn};
use crate::merge::Retain;
use crate::merge::testing::{Owned, Random, sort};

/// The newest version of `key` that a reader at `position` sees, deletes as none.
fn read<'a>(entries: &'a [Owned], key: &[u8], position: u64) -> Option<&'a Owned> {
    entries.iter().find(|e| e.key == key && e.number < position).filter(|e| e.kind != Kind::Delete)
}

fn filter(entries: &[Owned], retain: &mut Retain) -> Vec<Owned> {
    entries.iter().filter(|e| retain.keep(&e.borrow())).cloned().collect()
}

fn random_versions(random: &mut Random) -> Vec<Owned> {
    let mut entries = Vec::new();
    for number in 0..=random.below(40) as u64 {
        let key = [b'a' + u8::try_from(random.below(4)).unwrap()];
        entries.push(match random.below(3) {
            0 => Owned::delete(&key, number),
            _ => Owned::put(&key, number, &number.to_le_bytes()),
        });
    }
    sort(&mut entries);
    entries
}

fn random_snapshots(random: &mut Random, below: usize) -> Vec<Lsn> {
    let mut snapshots: Vec<Lsn> =
        (0..random.below(9)).map(|_| Lsn(random.below(below + 1) as u64)).collect();
    if random.below(3) == 0 {
        snapshots.push(Lsn(0));
    }
    snapshots.sort();
    snapshots
}

#[test]
fn every_snapshot_and_every_later_reader_sees_the_same_after_dropping() {
    for seed in 0..4000 {
        let mut random = Random::new(seed);
        let entries = random_versions(&mut random);
        let horizon = random.below(45);
        let snapshots = random_snapshots(&mut random, horizon);
        let bottom = random.below(2) == 0;

        let kept = filter(&entries, &mut Retain::new(&snapshots, Lsn(horizon as u64), bottom));

        let readers = snapshots.iter().map(|s| s.0).chain(horizon as u64..50);
        for position in readers {
            for key in [b"a", b"b", b"c", b"d"] {
                let (before, after) = (read(&entries, key, position), read(&kept, key, position));
                assert_eq!(before, after, "seed {seed}, reader at {position}, {snapshots:?}");
            }
        }
    }
}

#[test]
fn without_a_bottom_every_reader_keeps_its_newest_version_even_a_delete() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let entries = random_versions(&mut random);
        let horizon = random.below(45);
        let snapshots = random_snapshots(&mut random, horizon);

        let kept = filter(&entries, &mut Retain::new(&snapshots, Lsn(horizon as u64), false));

        let needed = |e: &Owned| {
            let newer = entries.iter().filter(|o| o.key == e.key && o.number > e.number);
            let end = newer.map(|o| o.number).min().unwrap_or(u64::MAX);
            let reads = |v: u64| e.number < v && v <= end;
            end >= horizon as u64 || snapshots.iter().any(|s| reads(s.0))
        };
        let expected: Vec<Owned> = entries.iter().filter(|e| needed(e)).cloned().collect();
        assert_eq!(kept, expected, "seed {seed}: nothing needed goes, nothing else stays");
    }
}

#[test]
fn a_reader_at_the_number_of_a_version_does_not_see_it() {
    let entries = [Owned::put(b"k", 7, b"new"), Owned::put(b"k", 3, b"old")];

    let kept = |snapshot, horizon| {
        filter(&entries, &mut Retain::new(&[Lsn(snapshot)], Lsn(horizon), false)).len()
    };

    assert_eq!(kept(7, 20), 2, "the snapshot at 7 reads version 3");
    assert_eq!(kept(8, 20), 1, "the snapshot at 8 reads version 7");
    assert_eq!(kept(4, 20), 2, "the snapshot at 4 reads version 3");
    assert_eq!(kept(3, 20), 1, "the snapshot at 3 reads nothing");
    assert_eq!(kept(0, 7), 2, "a reader at the horizon 7 reads version 3");
    assert_eq!(kept(0, 8), 1);
}

#[test]
fn tombstones_go_only_from_the_bottom_and_below_the_oldest_snapshot() {
    let entries = [Owned::delete(b"k", 7), Owned::put(b"k", 3, b"old")];

    let kept = |snapshots: &[Lsn], horizon, bottom| {
        filter(&entries, &mut Retain::new(snapshots, Lsn(horizon), bottom)).len()
    };

    assert_eq!(kept(&[], 20, true), 0);
    assert_eq!(kept(&[], 20, false), 1);
    assert_eq!(kept(&[], 7, true), 2);
    assert_eq!(kept(&[Lsn(8)], 20, true), 0);
    assert_eq!(kept(&[Lsn(7)], 20, true), 2);
    assert_eq!(kept(&[Lsn(0)], 20, true), 0, "the empty database needs no tombstone");
}

#[test]
fn operands_and_the_entry_under_them_stay() {
    let operand = |number| Owned { kind: Kind::Merge, ..Owned::put(b"k", number, b"+1") };
    let entries = [
        operand(9),
        operand(8),
        Owned::put(b"k", 7, b"base"),
        Owned::put(b"k", 6, b"hidden"),
        operand(5),
        Owned::put(b"k", 4, b"base"),
        Owned::delete(b"k", 3),
    ];

    let kept = filter(&entries, &mut Retain::new(&[], Lsn(20), true));

    let numbers: Vec<u64> = kept.iter().map(|e| e.number).collect();
    assert_eq!(numbers, [9, 8, 7, 5, 4]);
}

#[test]
fn an_operand_under_a_dropped_tombstone_does_not_come_back() {
    let operand = Owned { kind: Kind::Merge, ..Owned::put(b"k", 5, b"+1") };
    let entries = [Owned::delete(b"k", 7), operand];

    assert_eq!(filter(&entries, &mut Retain::new(&[], Lsn(20), true)), []);
    assert_eq!(filter(&entries, &mut Retain::new(&[], Lsn(20), false)).len(), 2);
}

#[test]
fn the_bottom_is_asked_only_for_tombstones_that_could_go() {
    let entries = [
        Owned::delete(b"a", 30),
        Owned::put(b"b", 6, b""),
        Owned::delete(b"c", 7),
        Owned::delete(b"d", 8),
    ];
    let mut asked = Vec::new();
    let mut retain = Retain::new(&[], Lsn(20), false);

    let kept: Vec<bool> = entries
        .iter()
        .map(|e| {
            retain.turn_to(e.borrow().key);
            retain.keep_if(&e.borrow(), |key| {
                asked.push(key.to_vec());
                key == b"d"
            })
        })
        .collect();

    assert_eq!(kept, [true, true, true, false]);
    assert_eq!(asked, [b"c", b"d"]);
}
