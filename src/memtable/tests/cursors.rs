//! Cursors against a sorted map, before, during and after freezing.

use super::*;
use crate::merge::testing::{self, walk_quickly};

/// Random batches over hard keys in two keyspaces, with some freezing in between.
fn random_table(seed: u64, freezing: bool) -> (Engine, History) {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    let mut history = History::new();
    let mut random = Random(seed);
    let keys = hard_keys();
    for i in 0..300_u32 {
        let ops: Vec<Op> = (0..=random.below(4))
            .map(|_| {
                let mut op =
                    put_in(u32::from(random.below(3) == 0), random.pick(&keys), &i.to_le_bytes());
                if random.below(5) == 0 {
                    op.kind = Kind::Delete;
                    op.value.clear();
                }
                op.expiry_ms = random.below(2) * 77;
                op
            })
            .collect();
        record(&mut history, engine.write(&ops), &ops);
        if freezing && random.below(10) == 0 {
            engine.table.freeze_step(engine.visible(), &[], Lsn(0));
            if random.below(10) == 0 {
                engine.table.gather_step(u64::MAX, &[], Lsn(0));
            }
        }
    }
    (engine, history)
}

/// The entries of a keyspace below a position, as cursors show them.
fn shown(history: &History, keyspace: u32, below: u64) -> Vec<(Vec<u8>, u64, Op)> {
    let all = history.iter().filter(|((at, _, number), _)| *at == keyspace && number.0 < below);
    all.map(|((_, key, number), op)| (key.clone(), number.0, op.clone())).collect()
}

fn assert_at(entry: Option<Entry<'_>>, expected: Option<&(Vec<u8>, u64, Op)>, what: &str) {
    match (entry, expected) {
        (None, None) => {}
        (Some(entry), Some((key, number, op))) => {
            assert_eq!((entry.key, entry.number), (key.as_slice(), *number), "{what}");
            assert_eq!((entry.kind, entry.expiry_ms), (op.kind, op.expiry_ms), "{what}");
            assert_eq!(entry.value, op.value, "{what}");
        }
        (entry, expected) => panic!("{what}: at {entry:?}, expected {expected:?}"),
    }
}

/// Walks a cursor at random beside an index into the expected entries.
fn walk(cursor: &mut dyn Cursor, expected: &[(Vec<u8>, u64, Op)], random: &mut Random) {
    let keys = hard_keys();
    // None is off either end, for good until the next seek.
    let mut at: Option<usize> = None;
    assert!(cursor.entry().is_none());
    for step in 0..2_000 {
        let what = format!("step {step}");
        let key = random.pick(&keys);
        let number = match random.below(3) {
            0 => u64::MAX,
            1 => 0,
            _ => BASE + random.below(30_000),
        };
        let before = |(k, n, _): &(Vec<u8>, u64, Op)| {
            crate::base::key::compare((k, *n), (key, number)).is_lt()
        };
        match random.below(14) {
            0 => {
                cursor.seek_first().unwrap();
                at = Some(0);
            }
            1 => {
                cursor.seek_last().unwrap();
                at = expected.len().checked_sub(1);
            }
            2 => {
                cursor.seek_ge(key, number).unwrap();
                at = Some(expected.partition_point(before));
            }
            3 => {
                cursor.seek_lt(key, number).unwrap();
                at = expected.partition_point(before).checked_sub(1);
            }
            4..=8 => {
                cursor.next().unwrap();
                at = at.map(|at| at + 1);
            }
            _ => {
                cursor.prev().unwrap();
                at = at.and_then(|at| at.checked_sub(1));
            }
        }
        at = at.filter(|at| *at < expected.len());
        assert_at(cursor.entry(), at.map(|at| &expected[at]), &what);
    }
}

#[test]
fn cursor_moves_like_a_sorted_map_over_any_mix_of_arrays_and_newer_records() {
    for seed in 0..6 {
        let (engine, history) = random_table(seed, seed % 2 == 0);
        let mut random = Random(seed + 100);
        for frozen in [false, true] {
            if frozen {
                engine.freeze_all_kept();
            }
            for keyspace in [0, 1, 2] {
                for below in [BASE + random.below(20_000), engine.visible().0] {
                    let expected = shown(&history, keyspace, below);
                    walk(&mut engine.cursor(keyspace, Lsn(below)), &expected, &mut random);
                    let shown = expected.into_iter().map(|(k, n, op)| (k, n, op.kind)).collect();
                    let mut random = testing::Random::new(seed);
                    walk_quickly(&mut engine.cursor(keyspace, Lsn(below)), &shown, &mut random);
                }
            }
        }
    }
}

#[test]
fn cursor_shows_the_same_while_all_freezes_under_it_and_its_table_is_let_go() {
    let (engine, history) = random_table(7, false);
    let expected = shown(&history, 0, engine.visible().0);
    let mut cursor = engine.cursor(0, engine.visible());
    let mut random = Random(1);

    walk(&mut cursor, &expected, &mut random);
    let mut cursor = engine.cursor(0, engine.visible());
    engine.freeze(&[], engine.visible());
    drop(engine);

    walk(&mut cursor, &expected, &mut random);
}

#[test]
fn cursor_does_not_show_what_is_written_after_it() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    engine.write(&[put(b"b", b"1"), put(b"d", b"1")]);
    let mut cursor = engine.cursor(0, engine.visible());
    cursor.seek_first().unwrap();

    engine.write(&[put(b"a", b"2"), put(b"b", b"2"), put(b"c", b"2"), put(b"e", b"2")]);

    let keys: Vec<Vec<u8>> = collect(&mut cursor).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"b", b"d"]);
    cursor.seek_last().unwrap();
    assert_eq!(cursor.entry().map(|entry| entry.key), Some(&b"d"[..]));
    cursor.prev().unwrap();
    assert_eq!(cursor.entry().map(|entry| entry.number), Some(BASE));
}

#[test]
fn cursor_reaches_both_ends_of_the_last_keyspace() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    engine.write(&[put_in(u32::MAX, b"a", b"1"), put_in(u32::MAX - 1, b"z", b"1")]);
    engine.write(&[put_in(u32::MAX, &[255; 100], b"1")]);

    let mut cursor = engine.cursor(u32::MAX, engine.visible());

    cursor.seek_last().unwrap();
    assert_eq!(cursor.entry().map(|entry| entry.key), Some(&[255; 100][..]));
    assert_eq!(collect(&mut cursor).len(), 2);
    assert_eq!(collect(&mut engine.cursor(u32::MAX - 1, engine.visible())).len(), 1);
}

#[test]
fn a_cursor_that_is_renewed_shows_what_a_new_one_does() {
    for seed in 0..8 {
        let engine = Engine::new(1 << 21, SHORT_SPANS << (seed % 3));
        let mut history = History::new();
        let mut random = Random(seed);
        let keys = hard_keys();
        let mut cursor = engine.table.cursor(KeyspaceId(0), engine.visible()).unwrap();
        let other = Engine::new(1 << 20, SHORT_SPANS);
        let below = other.visible();
        assert!(!other.table.renew(&mut cursor, KeyspaceId(0), below).unwrap(), "of another one");
        for round in 0..150_u32 {
            // Now and then more than a reader leaves to the list.
            let batches = if round % 40 == 39 { 1100 } else { random.below(8) };
            for _ in 0..batches {
                let keyspace = u32::from(random.below(4) == 0);
                let ops = [put_in(keyspace, random.pick(&keys), &round.to_le_bytes())];
                record(&mut history, engine.write(&ops), &ops);
            }
            match random.below(12) {
                0 => drop(engine.table.freeze_step(engine.visible(), &[], Lsn(0))),
                1 => drop(engine.table.gather_step(u64::MAX, &[], Lsn(0))),
                _ => {}
            }
            let keyspace = u32::from(random.below(4) == 0);
            let visible = engine.visible().0;
            let below = if random.below(3) == 0 { visible - random.below(500) } else { visible };
            let below = Lsn(below.max(BASE));
            assert!(engine.table.renew(&mut cursor, KeyspaceId(keyspace), below).unwrap());
            let expected = shown(&history, keyspace, below.0);
            if round % 10 == 9 {
                walk(&mut cursor, &expected, &mut random);
                continue;
            }
            // Left where it is, or in the middle of a seek.
            let key = random.pick(&keys);
            cursor.approach(key, u64::MAX, 0);
            if random.below(2) == 0 {
                cursor.approach(key, u64::MAX, 1);
            }
            if random.below(4) > 0 {
                cursor.seek_ge(key, u64::MAX).unwrap();
                let at = expected.partition_point(|(own, ..)| own.as_slice() < key);
                assert_at(cursor.entry(), expected.get(at), "after a seek");
            }
        }
    }
}

#[test]
fn a_cursor_is_not_renewed_at_a_position_that_a_freeze_has_passed() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    for i in 0..100_u32 {
        engine.write(&[put(b"key", &i.to_le_bytes())]);
    }
    let early = engine.visible();
    let mut cursor = engine.table.cursor(KeyspaceId(0), early).unwrap();
    for i in 0..100_u32 {
        engine.write(&[put(b"key", &i.to_le_bytes())]);
    }
    while engine.table.freeze_step(engine.visible(), &[], engine.visible()) {}

    let error = engine.table.renew(&mut cursor, KeyspaceId(0), early).unwrap_err();

    assert_eq!(error.kind(), crate::base::ErrorKind::Busy);
    assert!(engine.table.renew(&mut cursor, KeyspaceId(0), engine.visible()).unwrap());
    cursor.seek_first().unwrap();
    assert_eq!(cursor.entry().unwrap().value, 99_u32.to_le_bytes());
}
