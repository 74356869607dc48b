//! Random histories against plain models, for the merging cursor and the visible cursor.

mod pack;
mod retain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::testing::{FaultyCursor, Owned, Random, VecCursor, sort, walk_quickly};
use super::{MergeCursor, VisibleCursor};
use crate::base::{Cursor, Entry, ErrorKind, Kind, Lsn, Result};

const NOW_MS: u64 = 1000;

/// Entries with increasing numbers from 0, over few keys, some of them deletes or expired.
fn history(random: &mut Random, entries: usize, keys: usize) -> Vec<Owned> {
    let mut number = 0;
    let mut made = Vec::new();
    for _ in 0..entries {
        let key = format!("{:0width$}", random.below(keys), width = 1 + random.below(2));
        let value = match random.below(8) {
            0 => vec![b'x'; 5000 + random.below(100)],
            n => format!("v{number}-{n}").into_bytes(),
        };
        let mut entry = Owned::put(key.as_bytes(), number, &value);
        match random.below(8) {
            0 | 1 => entry = Owned::delete(key.as_bytes(), number),
            2 => entry.expiry_ms = NOW_MS,
            3 => entry.expiry_ms = NOW_MS + 1,
            _ => {}
        }
        made.push(entry);
        number += 1 + random.below(3) as u64;
    }
    made
}

/// Deals entries to `count` sources; some may get none.
fn deal(random: &mut Random, entries: &[Owned], count: usize) -> Vec<Vec<Owned>> {
    let mut sources = vec![Vec::new(); count];
    for entry in entries {
        sources[random.below(count)].push(entry.clone());
    }
    sources
}

fn boxed(sources: Vec<Vec<Owned>>) -> Vec<Box<dyn Cursor>> {
    sources.into_iter().map(|s| Box::new(VecCursor::new(s)) as Box<dyn Cursor>).collect()
}

/// The same random moves on both cursors; their entries must agree after each.
fn walk_alike(random: &mut Random, a: &mut dyn Cursor, b: &mut dyn Cursor, keys: usize) {
    for _ in 0..200 {
        let key = format!("{}", random.below(keys + 2)).into_bytes();
        let number = [0, random.below(300) as u64, u64::MAX][random.below(3)];
        let choice = random.below(20);
        let step = |c: &mut dyn Cursor| match choice {
            0 => c.seek_first(),
            1 => c.seek_last(),
            2..=3 => c.seek_ge(&key, number),
            4..=5 => c.seek_lt(&key, number),
            6..=12 => c.next(),
            _ => c.prev(),
        };
        step(a).unwrap();
        step(b).unwrap();
        assert_eq!(a.entry().map(Owned::of), b.entry().map(Owned::of), "move {choice}");
    }
}

#[test]
fn merged_sources_look_like_one_in_every_direction() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (keys, count) = (1 + random.below(30), 1 + random.below(7));
        let length = random.below(120);
        let entries = history(&mut random, length, keys);
        let sources = deal(&mut random, &entries, count);
        let mut merged = MergeCursor::new(boxed(sources));
        let mut model = VecCursor::new(entries);

        walk_alike(&mut random, &mut merged, &mut model, keys);
    }
}

#[test]
fn seeks_in_stages_and_moves_by_key_go_where_single_steps_do() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (keys, count) = (1 + random.below(30), 1 + random.below(4));
        let length = random.below(120);
        let mut entries = history(&mut random, length, keys);
        let mut merged = MergeCursor::new(boxed(deal(&mut random, &entries, count)));
        sort(&mut entries);
        let shown = entries.into_iter().map(|e| (e.key, e.number, e.kind)).collect();

        walk_quickly(&mut merged, &shown, &mut random);
    }
}

#[test]
fn merge_of_nothing_has_no_entry() {
    let mut merged = MergeCursor::new(boxed(Vec::new()));

    merged.seek_first().unwrap();
    merged.next().unwrap();
    assert!(merged.entry().is_none());
    merged.seek_lt(b"x", 0).unwrap();
    assert!(merged.entry().is_none());
}

/// What a reader at `read_at` sees, by the definition.
fn seen(entries: &[Owned], read_at: u64, lo: Option<&[u8]>, hi: Option<&[u8]>) -> Model {
    let mut sorted = entries.to_vec();
    sort(&mut sorted);
    let mut newest = BTreeMap::new();
    for entry in sorted.into_iter().filter(|e| e.number < read_at) {
        newest.entry(entry.key.clone()).or_insert(entry);
    }
    newest.retain(|key, entry| {
        entry.kind == Kind::Put
            && (entry.expiry_ms == 0 || entry.expiry_ms > NOW_MS)
            && lo.is_none_or(|lo| key.as_slice() >= lo)
            && hi.is_none_or(|hi| key.as_slice() < hi)
    });
    let entries = newest.into_iter().map(|(k, e)| (k, e.value)).collect();
    Model { entries, at: At::Unset }
}

#[derive(Clone, Copy)]
enum At {
    Unset,
    Start,
    On(usize),
    End,
}

/// Rule R8 over a sorted list.
struct Model {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    at: At,
}

impl Model {
    fn on(&mut self, index: usize) {
        self.at = if index < self.entries.len() { At::On(index) } else { At::End };
    }
    fn back_from(&mut self, index: usize) {
        self.at = index.checked_sub(1).map_or(At::Start, At::On);
    }
    fn next(&mut self) {
        match self.at {
            At::Unset | At::Start => self.on(0),
            At::On(index) => self.on(index + 1),
            At::End => {}
        }
    }
    fn prev(&mut self) {
        match self.at {
            At::Unset | At::End => self.back_from(self.entries.len()),
            At::On(index) => self.back_from(index),
            At::Start => {}
        }
    }
    fn ge(&self, key: &[u8]) -> usize {
        self.entries.partition_point(|(k, _)| k.as_slice() < key)
    }
    fn gt(&self, key: &[u8]) -> usize {
        self.entries.partition_point(|(k, _)| k.as_slice() <= key)
    }
    fn here(&self) -> Option<(&[u8], &[u8])> {
        let At::On(index) = self.at else {
            return None;
        };
        let (key, value) = &self.entries[index];
        Some((key, value))
    }
}

fn visible_step(
    cursor: &mut VisibleCursor<Box<dyn Cursor>>,
    choice: usize,
    key: &[u8],
) -> Result<bool> {
    match choice {
        0 => cursor.seek_first(),
        1 => cursor.seek_last(),
        2 => cursor.seek_ge(key),
        3 => cursor.seek_gt(key),
        4 => cursor.seek_le(key),
        5 => cursor.seek_lt(key),
        6..=14 => cursor.next(),
        _ => cursor.prev(),
    }
}

fn model_step(model: &mut Model, choice: usize, key: &[u8]) {
    match choice {
        0 => model.on(0),
        1 => model.back_from(model.entries.len()),
        2 => model.on(model.ge(key)),
        3 => model.on(model.gt(key)),
        4 => model.back_from(model.gt(key)),
        5 => model.back_from(model.ge(key)),
        6..=14 => model.next(),
        _ => model.prev(),
    }
}

fn check_visible(random: &mut Random, entries: &[Owned], keys: usize, read_at: u64) {
    let bound = |random: &mut Random| match random.below(3) {
        0 => Some(format!("{}", random.below(keys + 1)).into_bytes()),
        _ => None,
    };
    let (lo, hi) = (bound(random), bound(random));
    let count = 1 + random.below(5);
    let merged = MergeCursor::new(boxed(deal(random, entries, count)));
    let mut model = seen(entries, read_at, lo.as_deref(), hi.as_deref());
    let mut cursor = VisibleCursor::new(merged, Lsn(read_at), NOW_MS, lo, hi);
    for _ in 0..60 {
        let choice = random.below(24);
        let key = match random.below(12) {
            0 => Vec::new(),
            _ => format!("{}", random.below(keys + 2)).into_bytes(),
        };

        let found = visible_step(&mut cursor, choice, &key).unwrap();
        model_step(&mut model, choice, &key);

        let here = found.then(|| (cursor.key(), cursor.value()));
        assert_eq!(here, model.here(), "move {choice} to {key:?} at {read_at}");
        assert_eq!(found, cursor.is_positioned());
    }
}

#[test]
fn readers_at_every_position_see_what_the_definition_says() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (keys, length) = (1 + random.below(20), random.below(80));
        let entries = history(&mut random, length, keys);
        let end = entries.last().map_or(0, |e| e.number + 2);
        for read_at in 0..=end {
            check_visible(&mut random, &entries, keys, read_at);
        }
    }
}

#[test]
fn keys_with_hundreds_of_versions_are_passed_by_seeking() {
    let versions = 1000_u64;
    let mut entries = Vec::new();
    for number in 0..versions {
        for key in [b"a", b"b", b"c"] {
            let offset = u64::from(key[0] - b'a');
            entries.push(Owned::put(key, 3 * number + offset, b"v"));
        }
    }
    let moves = Arc::new(AtomicU64::new(0));
    let inner = VecCursor::new(entries);
    let faulty = FaultyCursor { inner, moves: moves.clone(), fail_at: 0 };
    let merged = MergeCursor::new(vec![Box::new(faulty)]);
    let mut cursor = VisibleCursor::new(merged, Lsn(3 * versions / 2), 0, None, None);

    let mut shown = Vec::new();
    while cursor.next().unwrap() {
        shown.push(cursor.key().to_vec());
    }
    while cursor.prev().unwrap() {
        shown.push(cursor.key().to_vec());
    }

    assert_eq!(shown.concat(), b"abccba");
    assert!(moves.load(Ordering::Relaxed) < 160, "{moves:?}");
}

#[test]
fn merge_operands_are_refused_and_not_guessed_at() {
    let operand = Owned { kind: Kind::Merge, ..Owned::put(b"k", 5, b"1") };
    let merged = MergeCursor::new(boxed(vec![vec![operand, Owned::put(b"k", 4, b"2")]]));
    let mut cursor = VisibleCursor::new(merged, Lsn(9), 0, None, None);

    assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(cursor.seek_last().unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Walks one way to the end and back, failing one move; every entry shown must be right, and the
/// walk may not end before its end.
fn walk_with_fault(fail_at: u64) -> bool {
    let mut random = Random::new(7);
    let entries = history(&mut random, 60, 12);
    let moves = Arc::new(AtomicU64::new(0));
    let faulty = |inner| -> Box<dyn Cursor> {
        let inner = VecCursor::new(inner);
        Box::new(FaultyCursor { inner, moves: moves.clone(), fail_at })
    };
    let sources = deal(&mut random, &entries, 3).into_iter().map(faulty).collect();
    let mut model = seen(&entries, 90, None, None);
    let mut cursor = VisibleCursor::new(MergeCursor::new(sources), Lsn(90), NOW_MS, None, None);
    for step in 0..3 * model.entries.len() {
        let forward = step < model.entries.len() + 1 || step % 3 == 0;
        let found = if forward { cursor.next() } else { cursor.prev() };
        let Ok(found) = found else {
            assert!(!cursor.is_positioned());
            assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Io, "errors stay");
            assert_eq!(cursor.prev().unwrap_err().kind(), ErrorKind::Io, "errors stay");
            assert!(cursor.seek_first().unwrap(), "a seek helps");
            assert_eq!(cursor.key(), model.entries[0].0);
            return true;
        };
        if forward {
            model.next();
        } else {
            model.prev();
        }
        assert_eq!(found.then(|| (cursor.key(), cursor.value())), model.here());
    }
    false
}

#[test]
fn a_failed_source_fails_the_walk_at_every_move() {
    let mut fail_at = 1;
    while walk_with_fault(fail_at) {
        fail_at += 1;
    }
    assert!(fail_at > 100, "{fail_at}");
}

#[test]
fn an_error_leaves_the_merge_unpositioned() {
    let moves = Arc::new(AtomicU64::new(0));
    let inner = VecCursor::new(vec![Owned::put(b"a", 1, b""), Owned::put(b"c", 2, b"")]);
    let faulty = FaultyCursor { inner, moves, fail_at: 2 };
    let sound = VecCursor::new(vec![Owned::put(b"b", 3, b"")]);
    let sources: Vec<Box<dyn Cursor>> = vec![Box::new(faulty), Box::new(sound)];
    let mut merged = MergeCursor::new(sources);
    merged.seek_first().unwrap();

    assert!(merged.next().is_err());

    assert_eq!(merged.entry().map(|e: Entry<'_>| e.number), None);
    merged.next().unwrap();
    assert!(merged.entry().is_none());
    merged.seek_first().unwrap();
    assert_eq!(merged.entry().map(|e| e.number), Some(1));
}
