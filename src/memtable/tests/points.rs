//! Point reads: positions, chains, versions.

use super::*;

#[test]
fn reader_sees_exactly_the_entries_below_its_position() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    let first = engine.write(&[put(b"fox", b"red")]);
    let second = engine.write(&[put(b"fox", b"grey")]);

    assert_eq!(engine.value(b"fox", first), None);
    assert_eq!(engine.value(b"fox", first + 1), Some(b"red".to_vec()));
    assert_eq!(engine.value(b"fox", second), Some(b"red".to_vec()));
    assert_eq!(engine.value(b"fox", second + 1), Some(b"grey".to_vec()));
    assert_eq!(engine.value(b"fox", u64::MAX), Some(b"grey".to_vec()));
    assert_eq!(engine.value(b"fox", 0), None);
    assert_eq!(engine.value(b"cat", u64::MAX), None);
}

#[test]
fn later_entry_of_a_key_in_one_batch_is_newer() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    let first = engine.write(&[put(b"a", b"1"), put(b"b", b"2"), put(b"a", b"3"), delete(b"b")]);

    assert_eq!(engine.value(b"a", u64::MAX), Some(b"3".to_vec()));
    assert_eq!(engine.value(b"a", first + 2), Some(b"1".to_vec()));
    let found = engine.table.get(KeyspaceId(0), b"b", engine.visible()).unwrap();
    assert_eq!((found.kind, found.number), (Kind::Delete, first + 3));
}

#[test]
fn keyspaces_do_not_see_each_other() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    engine.write(&[put_in(0, b"k", b"0"), put_in(7, b"k", b"7"), put_in(u32::MAX, b"k", b"max")]);

    for (keyspace, value) in
        [(0, Some(&b"0"[..])), (7, Some(b"7")), (u32::MAX, Some(b"max")), (1, None)]
    {
        let found = engine.table.get(KeyspaceId(keyspace), b"k", engine.visible());

        assert_eq!(found.map(|found| found.value), value);
    }
    let keyspaces = engine.table.keyspaces(engine.visible()).unwrap();
    assert_eq!(keyspaces, [0, 7, u32::MAX].map(KeyspaceId));
    assert!(engine.table.keyspaces(Lsn(BASE)).unwrap().is_empty());
}

#[test]
fn old_version_behind_a_long_chain_is_found() {
    let engine = Engine::new(1 << 18, SHORT_SPANS);
    let firsts: Vec<u64> =
        (0..400_u32).map(|i| engine.write(&[put(b"hot", &i.to_le_bytes())])).collect();

    for frozen in [false, true] {
        if frozen {
            engine.complete_span();
            engine.freeze_all_kept();
        }
        for (i, first) in (0_u32..).zip(&firsts) {
            assert_eq!(engine.value(b"hot", first + 1), Some(i.to_le_bytes().to_vec()));
        }
        assert_eq!(engine.value(b"hot", firsts[0]), None);
    }
}

#[test]
fn inserts_may_arrive_in_any_order_of_places() {
    // 30 versions of one key reserved first, then written from the newest to the oldest, then odd
    // ones first: chains must come out in order of number every time.
    let orders: [&dyn Fn(usize) -> usize; 3] =
        [&|i| 29 - i, &|i| (i * 7) % 30, &|i| (i * 2 + i / 15) % 30];
    for order in orders {
        let engine = Engine::new(1 << 16, SHORT_SPANS);
        let ops: Vec<[Op; 1]> = (0..30_u8).map(|i| [put(b"key", &[i])]).collect();
        let reserve = |op| engine.tail.fetch_add(Engine::record_bytes(op), Ordering::AcqRel);
        let places: Vec<u64> = ops.iter().map(|op| reserve(op)).collect();

        for i in 0..30 {
            engine.write_at(places[order(i)], &ops[order(i)], 0);
        }
        for (place, op) in places.iter().zip(&ops) {
            engine.publish(*place, op);
        }

        for (i, place) in (0..30_u8).zip(&places) {
            assert_eq!(engine.value(b"key", BASE + place + 1), Some(vec![i]));
        }
    }
}

#[test]
fn keys_that_are_hard_to_tell_apart_are_told_apart() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    let mut history = History::new();
    for round in 0..20_u8 {
        for key in hard_keys() {
            let ops = [put(&key, &[round])];
            record(&mut history, engine.write(&ops), &ops);
        }
    }

    for key in hard_keys() {
        for below in (BASE..engine.visible().0).step_by(777) {
            let found = engine.table.get(KeyspaceId(0), &key, Lsn(below));

            assert_same(found, newest(&history, 0, &key, below), &format!("{key:?} at {below}"));
        }
    }
}

#[test]
fn generation_without_a_base_is_empty() {
    let garbage = Arc::new(Garbage::new());
    let table = Arc::new(Memtable::new(4096, 0, 1, &garbage, &Recycler::new(0)).unwrap());

    assert!(table.base().is_none());
    assert!(table.get(KeyspaceId(0), b"k", Lsn(u64::MAX)).is_none());
    assert!(collect(&mut table.cursor(KeyspaceId(0), Lsn(u64::MAX)).unwrap()).is_empty());
    assert!(!table.freeze_step(Lsn(u64::MAX), &[], Lsn(u64::MAX)));
    table.set_base(Lsn(5));
    table.set_base(Lsn(5));
    assert_eq!(table.base(), Some(Lsn(5)));
}

#[test]
fn memtable_is_full_when_its_entries_reach_their_limit() {
    let garbage = Arc::new(Garbage::new());
    let table =
        Memtable::with_spans(1 << 20, 100, 42, &garbage, &Recycler::new(0), SHORT_SPANS).unwrap();
    table.set_base(Lsn(BASE));
    let engine = Engine { table: Arc::new(table), ..Engine::new(4096, SHORT_SPANS) };

    for i in 0..90_u32 {
        engine.write(&[put(&i.to_le_bytes(), b"v")]);
    }
    assert!(!engine.table.is_full_hint());
    assert_eq!(engine.table.entry_count(), 90);
    for i in 0..60_u32 {
        engine.write(&[put(&i.to_le_bytes(), b"v")]);
    }

    assert_eq!(engine.table.entry_count(), 150);
    engine.freeze(&[], engine.visible());
    assert!(engine.table.is_full_hint());
    assert_eq!(engine.table.entry_count(), 150);
}
