//! Checksums, to be measured.

use std::hint::black_box;

use super::{Header, RecordKind, encode_header, payload_crc};
use crate::base::Lsn;
use crate::base::part::{Part, Work, each, part};

/// What is measured here. `floor-crc` is over 64 KiB.
pub(crate) const PARTS: &[Part] = &[
    part("header-with-crc", 0, header),
    part("crc-144-bytes", 0, |_| crc_of(144)),
    part("floor-crc-64-kib", 0, |_| crc_of(64 << 10)),
];

fn header(_: usize) -> Box<dyn Work> {
    let mut lsn = 64;
    each(move || {
        lsn += 192;
        let header = Header {
            length: 192,
            entries: 1,
            lsn: Lsn(lsn),
            synced: Lsn(64),
            completed: Lsn(64),
            kind: RecordKind::Batch,
            flags: 0,
            payload_crc: 12,
        };
        let bytes = black_box(encode_header(black_box(&header), 34));
        bytes[12] == 1
    })
}

fn crc_of(bytes: usize) -> Box<dyn Work> {
    let body = vec![7; bytes];
    let right = payload_crc(5, &body);
    each(move || payload_crc(black_box(5), black_box(&body)) == right)
}
