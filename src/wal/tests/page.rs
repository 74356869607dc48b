//! The worked bytes of `docs/format.md`, chapters Segment, Record and Batch.

use super::*;
use crate::manifest::testing::{assert_page_shows, page_bytes};
use crate::wal::header::{decode_head, encode_copy, encode_place};

const NUMBER: FileNumber = FileNumber(4);

fn spec_of_the_page() -> SegmentSpec {
    SegmentSpec {
        number: NUMBER,
        salt: 0x5a17_0004,
        capacity: 1 << 20,
        boot_id: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        mount_id: MOUNT_ID,
        edit_count: 1,
    }
}

fn ops_of_the_page() -> [Op<'static>; 2] {
    let put =
        Op { kind: Kind::Put, keyspace: KeyspaceId(0), expiry_ms: 0, key: b"fox", value: b"red" };
    [put, Op { kind: Kind::Delete, key: b"hen", value: b"", ..put }]
}

fn encode_record(ops: &[Op<'_>], salt: u32) -> Vec<u8> {
    let mut body = vec![0; ops.iter().map(batch::entry_bytes).sum()];
    let mut at = 0;
    for op in ops {
        at += batch::encode_entry(&mut body[at..], op);
    }
    let header = Header {
        length: u32::try_from(HEADER_BYTES + body.len()).unwrap(),
        entries: u32::try_from(ops.len()).unwrap(),
        lsn: Lsn(0),
        synced: Lsn(0),
        completed: Lsn(0),
        kind: RecordKind::Batch,
        flags: 0,
        payload_crc: record::payload_crc(salt, &body),
    };
    [record::encode_header(&header, salt).to_vec(), body].concat()
}

#[test]
fn the_writers_make_the_bytes_of_the_page() {
    let dir = MemDir::default();
    let spec = spec_of_the_page();
    let segment = Segment::prepare(&dir, spec, true).unwrap();
    let place = Place { base: Lsn(0), predecessor: None, synced: Lsn(0) };
    segment.store_base(&place).unwrap();
    let bytes = dir.bytes(&filename::log(NUMBER));
    let next = Successor { number: FileNumber(6), base: Lsn(176) };
    let mut packed = Vec::new();
    for op in ops_of_the_page() {
        batch::push_op(&mut packed, &op);
    }

    assert_page_shows("segment", &bytes[..4096]);
    assert_eq!(bytes[..4096], bytes[4096..8192]);
    let written = encode_record(&ops_of_the_page(), spec.salt);
    assert_eq!(written.len(), 112);
    assert_page_shows("record", &written);
    assert_page_shows("mark", &record::encode_mark(Lsn(112), spec.salt));
    assert_page_shows("seal", &record::encode_seal(Lsn(112), next, spec.salt));
    assert_page_shows("end", &record::encode_end(Lsn(112), spec.salt));
    assert_page_shows("batch", &packed);
}

#[test]
fn the_bytes_of_the_page_decode_and_encode_to_themselves() {
    let salt = spec_of_the_page().salt;
    let copy = page_bytes("segment");
    let head = decode_head(&copy, NUMBER).unwrap().unwrap();
    assert_eq!(head.spec, spec_of_the_page());
    let mut again = encode_copy(&head.spec);
    for (word, slot) in
        encode_place(&head.place.unwrap(), salt).iter().zip(again[512..].chunks_exact_mut(8))
    {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    assert_eq!(again, copy);

    for name in ["record", "mark", "seal", "end"] {
        let bytes = page_bytes(name);
        let header = record::decode_header(&bytes, salt).unwrap();
        assert_eq!(record::encode_header(&header, salt), bytes[..HEADER_BYTES], "{name}");
        assert_eq!(record::payload_crc(salt, &bytes[HEADER_BYTES..]), header.payload_crc);
    }

    let packed = page_bytes("batch");
    let ops: Vec<_> = batch::ops(&packed).map(Result::unwrap).collect();
    assert_eq!(ops, ops_of_the_page());
    assert_eq!(encode_record(&ops, salt), page_bytes("record"));
}

#[test]
fn a_log_of_the_page_replays() {
    let dir = MemDir::default();
    let copy = page_bytes("segment");
    let mut bytes = [copy.clone(), copy, page_bytes("record")].concat();
    bytes.resize(8192 + (1 << 20), 0);
    dir.set(&filename::log(NUMBER), bytes);
    let logs = [NUMBER];

    let replayed = replay_with(&dir, &ReplayInput { floor: Lsn(0), ..input(&logs, BOOT) }).unwrap();

    assert_eq!(replayed.keys, ["fox", "hen"]);
}
