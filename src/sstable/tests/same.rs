//! The bytes of tables do not change by accident: checksums of what earlier builders wrote.
//!
//! A change of these is a change of the format, or of where blocks end; `docs/format.md` says which.

use super::model::{random_entries, random_options};
use super::*;
use crate::base::checksum::crc;

/// The checksum of the bytes of some tables of random entries with random options.
fn sum_of_random(seeds: std::ops::Range<u64>) -> u32 {
    seeds.fold(0, |sum, seed| {
        let mut random = Random(seed);
        let sections = (0..=random.below(2)).map(|i| {
            let options = random_options(&mut random);
            (KeyspaceId(u32::try_from(i).unwrap()), options, random_entries(&mut random))
        });
        crc(sum, &build(&sections.collect()).0)
    })
}

/// The same of one table of `count` short entries, `versions` of each key, with every index.
fn sum_of_many(count: u64, versions: u64, compression: Compression) -> u32 {
    let options =
        KeyspaceOptions { compression, filter_bits_x10: 100, block_bytes: 4096, hash_index: true };
    let mut random = Random(count);
    let entries = (0..count).map(|i| {
        let bytes = random.below(120);
        let (key, number) = (format!("{:016}", i / versions * 7919), (1 << 40) - i * 5);
        let mut put = Owned::put(key.as_bytes(), number, &random.bytes(bytes, 256));
        if random.chance(9) {
            (put.kind, put.value) = (Kind::Delete, Vec::new());
        }
        put.expiry_ms = u64::from(random.chance(50)) * random.next();
        put
    });
    crc(0, &build(&vec![(KeyspaceId(3), options, entries.collect())]).0)
}

#[test]
fn tables_of_the_same_entries_have_the_bytes_that_they_always_had() {
    let found = [
        sum_of_random(0..20),
        sum_of_random(100..120),
        sum_of_random(200..220),
        sum_of_many(60_000, 1, Compression::None),
        sum_of_many(60_000, 3, Compression::None),
        sum_of_many(60_000, 1, Compression::Lz4),
    ];

    let expected = [0x6ff8_c737, 0x72f2_2460, 0x4033_b6a5, 0xb697_f387, 0xf571_320e, 0x2eaf_e0e6];
    assert_eq!(found, expected, "{found:#x?}");
}
