//! Record frames: round trips, and that nothing but the bytes that were written passes.

use super::*;

const SALT: u32 = 0x5a17_0001;

fn sample() -> Header {
    Header {
        length: 96,
        entries: 2,
        lsn: Lsn(4096),
        synced: Lsn(1024),
        completed: Lsn(2048),
        kind: RecordKind::Batch,
        flags: 0,
        payload_crc: 0x1234_5678,
    }
}

#[test]
fn header_reads_back_as_it_was_written() {
    for kind in 0..=255 {
        let header = Header { kind: RecordKind::from_u8(kind), ..sample() };

        let decoded = decode_header(&encode_header(&header, SALT), SALT);

        assert_eq!(decoded, Some(header));
        assert_eq!(header.kind.to_u8(), kind);
    }
    assert_eq!(sample().end(), Lsn(4192));
}

#[test]
fn every_bit_of_a_header_is_covered() {
    let bytes = encode_header(&sample(), SALT);

    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);

        assert_eq!(decode_header(&damaged, SALT), None, "bit {bit}");
    }
}

#[test]
fn header_of_another_segment_is_not_valid() {
    let bytes = encode_header(&sample(), SALT);

    assert_eq!(decode_header(&bytes, SALT ^ 1), None);
    assert_eq!(decode_header(&[0; 48], SALT), None);
}

#[test]
fn short_or_misaligned_lengths_are_refused() {
    for length in [0, 8, 40, 47, 49, 95, 100, u32::MAX] {
        let bytes = encode_header(&Header { length, ..sample() }, SALT);

        assert_eq!(decode_header(&bytes, SALT), None, "length {length}");
    }
    let bytes = encode_header(&sample(), SALT);
    for cut in 0..HEADER_BYTES {
        assert_eq!(decode_header(&bytes[..cut], SALT), None);
    }
}

#[test]
fn probe_wants_the_position_to_fit() {
    let bytes = encode_header(&sample(), SALT);

    assert_eq!(probe_header(&bytes, Lsn(4096), SALT), Some(sample()));
    assert_eq!(probe_header(&bytes, Lsn(4104), SALT), None);
    assert_eq!(probe_header(&bytes[..47], Lsn(4096), SALT), None);
}

#[test]
fn seal_names_its_successor_and_proves_nothing() {
    let successor = Successor { number: FileNumber(9), base: Lsn(704) };

    let bytes = encode_seal(Lsn(640), successor, SALT);

    let header = decode_header(&bytes, SALT).unwrap();
    assert_eq!(header.kind, RecordKind::Seal);
    assert_eq!(header.end(), Lsn(704));
    assert_eq!((header.synced, header.completed), (Lsn(0), Lsn(0)));
    assert_eq!(header.payload_crc, payload_crc(SALT, &bytes[HEADER_BYTES..]));
    assert_eq!(decode_successor(&bytes[HEADER_BYTES..]), Some(successor));
    assert_eq!(decode_successor(&bytes[HEADER_BYTES + 1..]), None);
}

#[test]
fn end_and_mark_prove_what_lies_before_them() {
    let end = decode_header(&encode_end(Lsn(640), SALT), SALT).unwrap();
    let mark = decode_header(&encode_mark(Lsn(640), SALT), SALT).unwrap();

    assert_eq!((end.kind, end.synced, end.length), (RecordKind::End, Lsn(640), 64));
    assert_eq!((mark.kind, mark.synced, mark.length), (RecordKind::Mark, Lsn(640), 48));
}
