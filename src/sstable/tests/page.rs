//! The bytes in `docs/format.md` are those that the builder writes and the reader reads.

use super::*;

const PAGE: &str = include_str!("../../../docs/format.md");

/// The table that the page shows.
fn example() -> Sections {
    let options = KeyspaceOptions {
        compression: Compression::None,
        filter_bits_x10: 100,
        block_bytes: 64,
        hash_index: true,
    };
    let mut entries = vec![
        Owned::put(b"fowl", 4096, b"hen"),
        Owned::put(b"fox", 4201, b"red"),
        Owned::put(b"fox", 4097, b""),
    ];
    entries[1].expiry_ms = 1_767_225_600_000;
    entries[2].kind = Kind::Delete;
    vec![(KeyspaceId(0), options, entries)]
}

const EXAMPLE_ID: u64 = 0x1122_3344_5566_7788;

/// The bytes of the page: in each line of the block that begins with four hex digits, the pairs
/// of hex digits up to the bar.
fn page_bytes() -> Vec<u8> {
    let start = PAGE.find("```hex table").expect("the page has a hex block");
    let block = PAGE[start + 12..].split("```").next().unwrap();
    block
        .lines()
        .filter(|line| line.contains('|'))
        .flat_map(|line| line.split('|').next().unwrap().split_whitespace().skip(1))
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

#[test]
fn the_worked_bytes_are_what_the_builder_writes() {
    let (bytes, _) = build_as(FileNumber(42), EXAMPLE_ID, &example());

    if page_bytes() != bytes {
        for (i, line) in bytes.chunks(16).enumerate() {
            let pairs: Vec<_> = line.iter().map(|b| format!("{b:02x}")).collect();
            println!("{:04x}  {} |", i * 16, pairs.join(" "));
        }
        panic!("the page shows other bytes than those above");
    }
}

#[test]
fn the_worked_bytes_decode_to_the_entries_that_the_page_names() {
    let bytes = page_bytes();
    let file_bytes = bytes.len() as u64;
    let meta = FileMeta { number: FileNumber(42), file_id: EXAMPLE_ID, file_bytes };
    let table = open(bytes, &meta).unwrap();

    table.verify().unwrap();
    assert_eq!(scan(&table, KeyspaceId(0)).unwrap(), example()[0].2);
}
