//! Replayed records answer like the memtable that they came from.

use super::*;
use crate::base::ErrorKind;
use crate::memtable::Replayed;

#[test]
fn replayed_records_answer_like_the_memtable() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    let mut history = History::new();
    let mut records = Vec::new();
    let mut random = Random(3);
    let keys = hard_keys();
    for i in 0..500_u32 {
        let ops: Vec<Op> = (0..=random.below(3))
            .map(|_| put_in(u32::from(random.below(4) == 0), random.pick(&keys), &i.to_le_bytes()))
            .collect();
        let first = engine.write(&ops);
        record(&mut history, first, &ops);
        let mut bytes = Vec::new();
        for op in &ops {
            encode(op, &mut bytes);
        }
        records.push((Lsn(first), bytes));
    }

    let replayed = Arc::new(Replayed::build(records).unwrap());

    assert_eq!(replayed.keyspaces(engine.visible()), [KeyspaceId(0), KeyspaceId(1)]);
    for below in [BASE, BASE + 1, BASE + 9_999, engine.visible().0] {
        for keyspace in [0, 1] {
            for key in &keys {
                let found = replayed.get(KeyspaceId(keyspace), key, Lsn(below));
                assert_same(found, newest(&history, keyspace, key, below), "replayed");
            }
            let mut cursor = replayed.cursor(KeyspaceId(keyspace), Lsn(below));
            let mut other = engine.cursor(keyspace, Lsn(below));
            assert_eq!(collect(&mut cursor), collect(&mut other));
        }
    }
}

#[test]
fn malformed_entries_are_corruption() {
    let mut bytes = Vec::new();
    encode(&put(b"key", b"value"), &mut bytes);
    encode(&put(b"other", b""), &mut bytes);
    let build = |bytes: &[u8]| Replayed::build(vec![(Lsn(64), bytes.to_vec())]);
    assert!(build(&bytes).is_ok());

    for cut in (1..bytes.len()).filter(|cut| *cut != 32) {
        assert_eq!(build(&bytes[..cut]).err().map(|e| e.kind()), Some(ErrorKind::Corrupt), "{cut}");
    }
    for at in [8, 9, 18, 19, 22, 23] {
        let mut broken = bytes.clone();
        broken[at] = 255;
        assert_eq!(build(&broken).err().map(|e| e.offset()), Some(64), "{at}");
    }
}

#[test]
fn nothing_replayed_is_empty() {
    let replayed = Arc::new(Replayed::build(Vec::new()).unwrap());

    assert!(replayed.get(KeyspaceId(0), b"", Lsn(u64::MAX)).is_none());
    assert!(collect(&mut replayed.cursor(KeyspaceId(0), Lsn(u64::MAX))).is_empty());
    assert!(replayed.keyspaces(Lsn(u64::MAX)).is_empty());
}
