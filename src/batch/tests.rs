//! Batches: round trips of both forms, limits, and bytes nobody meant as a batch.

use super::*;
use crate::base::ErrorKind;

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
    Op { kind: Kind::Put, keyspace: KeyspaceId(3), expiry_ms: 0, key, value }
}

fn delete(key: &[u8]) -> Op<'_> {
    Op { kind: Kind::Delete, value: b"", ..put(key, b"") }
}

/// A packed operation head with these lengths and nothing behind it.
fn head(op: u8, flags: u8, key_len: u32, value_len: u32) -> Vec<u8> {
    let mut out = vec![op, flags, 0, 0];
    out.put_u32(0);
    out.put_u32(key_len);
    out.put_u32(value_len);
    out
}

fn samples() -> Vec<Op<'static>> {
    vec![
        put(b"fox", b"red"),
        put(b"", b""),
        put(b"", b"value of the empty key"),
        put(b"empty value", b""),
        delete(b"fox"),
        delete(b""),
        Op { expiry_ms: 1, ..put(b"k", b"v") },
        Op { kind: Kind::Merge, ..put(b"count", b"+1") },
        Op { kind: Kind::RangeDelete, ..put(b"a", b"b") },
    ]
}

#[test]
fn packed_operations_read_back_as_they_were_pushed() {
    let mut packed = Vec::new();
    for op in samples() {
        push_op(&mut packed, &op);
    }

    let read: Vec<_> = ops(&packed).map(Result::unwrap).collect();

    assert_eq!(read, samples());
}

#[test]
fn entries_read_back_and_cover_every_byte() {
    for op in samples() {
        let mut out = vec![0xee; entry_bytes(&op) + 8];

        let total = encode_entry(&mut out, &op);

        assert_eq!(total, entry_bytes(&op));
        assert_eq!(total % 8, 0);
        assert_eq!(out[..8], [0; 8]);
        assert_eq!(out[total..], [0xee; 8]);
        assert_eq!(decode_entry(&out[..total]), Some((op, total)));
        let mut packed = Vec::new();
        push_op(&mut packed, &op);
        let (body, padding) = out[8..total].split_at(packed.len());
        assert_eq!(body, packed);
        assert!(padding.len() < 8 && padding.iter().all(|&b| b == 0));
    }
}

#[test]
fn an_entry_is_read_whatever_its_link_holds() {
    let op = put(b"fox", b"red");
    let mut out = vec![0; entry_bytes(&op)];
    encode_entry(&mut out, &op);
    out[..8].fill(0xff);

    assert_eq!(decode_entry(&out), Some((op, out.len())));
}

#[test]
fn an_entry_cut_anywhere_is_none() {
    for op in samples() {
        let mut out = vec![0; entry_bytes(&op)];
        encode_entry(&mut out, &op);

        for cut in 0..out.len() {
            assert_eq!(decode_entry(&out[..cut]), None, "{op:?} cut at {cut}");
        }
    }
}

#[test]
fn shape_counts_operations_and_the_bytes_of_their_entries() {
    let mut packed = Vec::new();
    let wanted = [put(b"fox", b"red"), delete(b""), put(b"", b"")];
    for op in &wanted {
        push_op(&mut packed, op);
    }

    let shape = validate(&packed).unwrap();

    assert_eq!(shape.ops, 3);
    assert_eq!(shape.log_bytes, wanted.iter().map(entry_bytes).sum::<usize>());
    assert_eq!(validate(b"").unwrap(), Shape::default());
}

#[test]
fn lengths_are_refused_before_any_byte_behind_them_is_read() {
    for (key_len, value_len) in [
        (65_536, 0),
        (u32::MAX, 0),
        (0, (1 << 30) + 1),
        (0, u32::MAX),
        (1 << 31, 1 << 31),
        (u32::MAX, u32::MAX),
        (1, 0),
        (0, 1),
        (65_535, 1 << 30),
    ] {
        let error = validate(&head(1, 0, key_len, value_len)).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Invalid, "{key_len} {value_len}");
        let mut entry = vec![0; 8];
        entry.extend(head(1, 0, key_len, value_len));
        assert_eq!(decode_entry(&entry), None);
    }
}

#[test]
fn longest_key_is_accepted_and_one_more_byte_is_not() {
    let key = vec![7; KEY_BYTES_MAX + 1];
    let mut packed = Vec::new();
    push_op(&mut packed, &put(&key[1..], b""));

    assert_eq!(validate(&packed).unwrap().ops, 1);
    packed.clear();
    push_op(&mut packed, &put(&key, b""));
    assert_eq!(validate(&packed).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn unknown_forms_are_invalid_and_kept_places_unsupported() {
    let invalid = [head(0, 0, 0, 0), head(5, 0, 0, 0), head(255, 0, 0, 0), head(1, 4, 0, 0)];
    for packed in invalid.iter().chain([&head(1, 0x80, 0, 0), &head(2, 0, 0, 1)]) {
        assert_eq!(validate(packed).unwrap_err().kind(), ErrorKind::Invalid, "{packed:?}");
    }
    let mut reserved = head(1, 0, 0, 0);
    reserved[3] = 1;
    assert_eq!(validate(&reserved).unwrap_err().kind(), ErrorKind::Invalid);
    let mut zero_expiry = head(1, FLAG_EXPIRY, 0, 0);
    zero_expiry.put_u64(0);
    assert_eq!(validate(&zero_expiry).unwrap_err().kind(), ErrorKind::Invalid);

    let mut expiry = head(1, FLAG_EXPIRY, 0, 0);
    expiry.put_u64(1);
    for packed in [head(3, 0, 0, 0), head(4, 0, 0, 0), head(1, FLAG_BLOB, 0, 0), expiry] {
        assert_eq!(validate(&packed).unwrap_err().kind(), ErrorKind::Unsupported, "{packed:?}");
    }
}

#[test]
fn iteration_stops_at_the_first_error() {
    let mut packed = Vec::new();
    push_op(&mut packed, &put(b"a", b"1"));
    packed.extend(head(9, 0, 0, 0));
    push_op(&mut packed, &put(b"b", b"2"));

    let read: Vec<_> = ops(&packed).collect();

    assert_eq!(read.len(), 2);
    assert!(read[0].is_ok() && read[1].is_err());
}

#[test]
fn random_bytes_never_panic_and_what_is_valid_reads_back_the_same() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..200_000 {
        let mut packed = vec![0; usize::try_from(random() % 64).unwrap()];
        for byte in &mut packed {
            // Small bytes make plausible heads likely.
            *byte = (random() & 3).to_le_bytes()[0];
        }

        let mut again = Vec::new();
        let mut whole = true;
        for op in ops(&packed) {
            match op {
                Ok(op) => push_op(&mut again, &op),
                Err(_) => whole = false,
            }
        }

        assert!(packed.starts_with(&again));
        assert_eq!(whole, again.len() == packed.len());
        let _ = decode_entry(&packed);
    }
}
