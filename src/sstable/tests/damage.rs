//! Damaged, swapped, truncated and hostile tables: an error with its place, or the right answer.

use super::*;
use crate::base::ErrorKind;
use crate::base::checksum::crc;
use crate::sstable::format::{FOOTER_BYTES, HEADER_BYTES, TRAILER_BYTES};
use crate::sstable::section::properties_at;

/// Two sections, several blocks, versions, a block that spans pages, both encodings, all parts.
fn fixture() -> Sections {
    let mut entries = vec![Owned::put(b"", 9, b"empty key")];
    for i in 0..40_u64 {
        let key = format!("user:{:04}", i / 2);
        entries.push(Owned::put(key.as_bytes(), 1000 - i, format!("value {i}").as_bytes()));
    }
    entries[7].kind = Kind::Delete;
    entries[7].value.clear();
    entries[8].expiry_ms = 1_700_000_000_000;
    entries.push(Owned::put(b"vast", 3, &[b'x'; 700]));
    let full = KeyspaceOptions { block_bytes: 256, ..KeyspaceOptions::default() };
    let second = (0..10).map(|i| Owned::put(&[i], u64::from(i) + 1, &[i; 30])).collect();
    let filtered = KeyspaceOptions { filter_bits_x10: 100, ..plain(128) };
    vec![(KeyspaceId(0), full, entries), (KeyspaceId(5), filtered, second)]
}

/// Everything that a user could learn from a table, which is the same through a mapping, errors
/// included.
fn answers(bytes: Vec<u8>, meta: &FileMeta, sections: &Sections) -> Result<Vec<Option<Owned>>> {
    let mapped = answers_as(bytes.clone(), meta, sections, true);
    let read = answers_as(bytes, meta, sections, false);
    match (&read, &mapped) {
        (Ok(read), Ok(mapped)) => assert!(read == mapped),
        (Err(read), Err(mapped)) => {
            assert_eq!((read.kind(), read.offset()), (mapped.kind(), mapped.offset()));
        }
        (read, mapped) => panic!("read: {:?}, mapped: {:?}", read.is_ok(), mapped.is_ok()),
    }
    read
}

fn answers_as(
    bytes: Vec<u8>,
    meta: &FileMeta,
    sections: &Sections,
    mapped: bool,
) -> Result<Vec<Option<Owned>>> {
    let table = open_as(bytes, meta, mapped)?;
    let mut found = Vec::new();
    for (keyspace, _, entries) in sections {
        for entry in entries {
            found.push(get(&table, *keyspace, &entry.key, u64::MAX)?);
            found.push(get(&table, *keyspace, &entry.key, entry.number)?);
            found.push(get(&table, *keyspace, &[&entry.key[..], b"~"].concat(), u64::MAX)?);
        }
        found.extend(scan(&table, *keyspace)?.into_iter().map(Some));
        let mut cursor = table.cursor(*keyspace)?;
        cursor.seek_last()?;
        while let Some(entry) = cursor.entry() {
            found.push(Some(Owned::of(entry)));
            cursor.prev()?;
        }
    }
    Ok(found)
}

fn assert_damage(error: &Error, length: usize, what: &str) {
    let kinds = [ErrorKind::Corrupt, ErrorKind::Format, ErrorKind::Unsupported];
    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
    assert_eq!(error.file_id(), NUMBER.0, "{what}: {error:?}");
    assert!(error.offset() <= length as u64, "{what}: {error:?}");
}

#[test]
fn every_flipped_bit_is_found_and_never_gives_a_wrong_answer() {
    let sections = fixture();
    let (bytes, meta) = build(&sections);
    let right = answers(bytes.clone(), &meta.file, &sections).unwrap();
    let mut unnoticed = Vec::new();
    let mut unread = 0;

    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match answers(damaged.clone(), &meta.file, &sections) {
            Ok(found) => {
                assert!(found == right, "bit {bit} changed an answer");
                unread += 1;
            }
            Err(error) => assert_damage(&error, bytes.len(), &format!("bit {bit}")),
        }
        match open(damaged, &meta.file).and_then(|table| table.verify()) {
            Ok(()) => unnoticed.push(bit),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
                let (at, offset) = (bit / 8, usize::try_from(error.offset()).unwrap());
                assert!(offset <= at && at - offset < 1200, "bit {bit}: {error:?}");
            }
        }
    }

    println!("{} bits, {unread} in parts that no answer needs", bytes.len() * 8);
    assert_eq!(unnoticed, [0_usize; 0], "bits that verify does not see");
    // Only the filter of the section that has a hash index.
    assert!(unread < 100 * 8);
}

#[test]
fn every_truncation_is_found_before_and_after_opening() {
    let sections = fixture();
    let (bytes, meta) = build(&sections);

    for length in 0..bytes.len() {
        let error = open(bytes[..length].to_vec(), &meta.file).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.offset(), length as u64);

        let shorter = FileMeta { file_bytes: length as u64, ..meta.file.clone() };
        let error = open(bytes[..length].to_vec(), &shorter).err().unwrap();
        assert_damage(&error, length, "a manifest that agrees");

        let file = MemFile::new(bytes.clone());
        let table = Table::open(file.clone(), &meta.file, &BlockCache::new(0), false).unwrap();
        file.cut_off(length);
        let error = table.verify().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.offset() <= bytes.len() as u64);
    }
}

#[test]
fn blocks_and_files_in_the_wrong_place_are_found() {
    let entries: Vec<_> = (0..40).map(|i| Owned::put(&[i], u64::from(i) + 1, &[i; 30])).collect();
    let sections = vec![(KeyspaceId(0), plain(128), entries)];
    let (bytes, meta) = build(&sections);
    let (other, other_meta) = build_as(NUMBER, FILE_ID + 1, &sections);
    let table = open(bytes.clone(), &meta.file).unwrap();
    let section = table.section(KeyspaceId(0)).unwrap().unwrap();
    let places: Vec<_> =
        (0..section.index.len()).map(|i| section.index.place(i).unwrap()).collect();
    let range = |i: usize| {
        let at = HEADER_BYTES + usize::try_from(places[i].offset).unwrap();
        at..at + usize::try_from(places[i].stored_bytes).unwrap() + TRAILER_BYTES
    };
    assert_eq!(range(1).len(), range(2).len());

    let mut swapped = bytes.clone();
    swapped[range(1)].copy_from_slice(&bytes[range(2)]);
    swapped[range(2)].copy_from_slice(&bytes[range(1)]);
    let table = open(swapped, &meta.file).unwrap();
    let error = get(&table, KeyspaceId(0), &[5], u64::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(range(1).start as u64 == error.offset() || range(2).start as u64 == error.offset());

    let mut foreign = bytes.clone();
    foreign[range(1)].copy_from_slice(&other[range(1)]);
    let error = open(foreign, &meta.file).unwrap().verify().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, range(1).start as u64));

    assert_eq!(open(other, &meta.file).err().unwrap().kind(), ErrorKind::Corrupt);
    let renamed = FileMeta { number: FileNumber(8), ..meta.file };
    assert_eq!(open(bytes, &renamed).err().unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(other_meta.file.file_id, FILE_ID + 1);
}

/// Offset and stored length of every block but the directory, by their parts.
fn blocks(bytes: &[u8], meta: &TableMeta) -> Vec<(usize, usize)> {
    let table = open(bytes.to_vec(), &meta.file).unwrap();
    let mut found = Vec::new();
    for keyspace in table.sections() {
        let section = table.section(keyspace).unwrap().unwrap();
        let begin = section.place.begin;
        for i in 0..section.index.len() {
            let place = section.index.place(i).unwrap();
            found.push((begin + place.offset, place.stored_bytes));
        }
        let properties = &section.properties;
        for (at, length) in [
            (section.parts.index, properties.index_bytes),
            (section.parts.hash, properties.hash_bytes),
            (section.parts.filter, properties.filter_bytes),
            (properties_at(section.place), section.place.properties_bytes),
        ] {
            if length > 0 {
                found.push((at, u64::from(length)));
            }
        }
    }
    let usize_of = |n: u64| usize::try_from(n).unwrap();
    let directory = found.iter().map(|(at, length)| at + length).max().unwrap() + 12;
    let end = meta.file.file_bytes - FOOTER_BYTES as u64 - TRAILER_BYTES as u64;
    found.push((directory, end - directory));
    found.into_iter().map(|(at, length)| (usize_of(at), usize_of(length))).collect()
}

/// Makes the checksum of a block right again.
fn repair(bytes: &mut [u8], at: usize, stored: usize) {
    let trailer = at + stored;
    let mut place = FILE_ID.to_le_bytes().to_vec();
    place.extend_from_slice(&(at as u64).to_le_bytes());
    place.extend_from_slice(&bytes[trailer..trailer + 8]);
    let sum = crc(crc(0, &place), &bytes[at..trailer]);
    bytes[trailer + 8..trailer + 12].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn hostile_blocks_with_right_checksums_do_no_harm() {
    let sections = fixture();
    let (bytes, meta) = build(&sections);
    let blocks = blocks(&bytes, &meta);
    let mut random = Random(17);
    let mut refused = 0;

    for round in 0..30_000 {
        let mut hostile = bytes.clone();
        let (at, stored) = blocks[random.below(blocks.len())];
        for _ in 0..=random.below(3) {
            // The eight bytes of the trailer before the checksum belong to it.
            let place = at + random.below(stored + 8);
            hostile[place] = match random.below(4) {
                0 => 0xff,
                1 => 0,
                2 => hostile[place] ^ (1 << random.below(8)),
                _ => u8::try_from(random.below(256)).unwrap(),
            };
        }
        repair(&mut hostile, at, stored);

        if let Err(error) = answers(hostile.clone(), &meta.file, &sections) {
            assert_damage(&error, bytes.len(), &format!("round {round}"));
            refused += 1;
        }
        if let Err(error) = open(hostile, &meta.file).and_then(|table| table.verify()) {
            assert_damage(&error, bytes.len(), &format!("round {round}"));
        }
    }

    assert!(refused > 10_000, "{refused}");
}

#[test]
fn hostile_headers_and_footers_with_right_checksums_do_no_harm() {
    let sections = fixture();
    let (bytes, meta) = build(&sections);
    let right = answers(bytes.clone(), &meta.file, &sections).unwrap();
    let footer = bytes.len() - FOOTER_BYTES;

    for at in (0..HEADER_BYTES - 4).chain(footer..bytes.len() - 12) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut hostile = bytes.clone();
            hostile[at] = value;
            let sum = crc(0, &hostile[..HEADER_BYTES - 4]).to_le_bytes();
            hostile[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&sum);
            let end = bytes.len() - 12;
            let sum = crc(0, &hostile[footer..end]).to_le_bytes();
            hostile[end..end + 4].copy_from_slice(&sum);

            match answers(hostile, &meta.file, &sections) {
                Ok(found) => assert!(found == right && bytes[at] == value, "{at} {value}"),
                Err(error) => assert_damage(&error, bytes.len(), &format!("{at} {value}")),
            }
        }
    }
}

#[test]
fn a_newer_version_or_an_unknown_feature_is_told_as_such() {
    let sections = fixture();
    let (bytes, meta) = build(&sections);
    let footer = bytes.len() - FOOTER_BYTES;
    for at in [footer + 40, footer + 48] {
        let mut newer = bytes.clone();
        newer[at] = 2;
        let end = bytes.len() - 12;
        let sum = crc(0, &newer[footer..end]).to_le_bytes();
        newer[end..end + 4].copy_from_slice(&sum);

        let error = open(newer, &meta.file).err().unwrap();

        assert_eq!(error.kind(), ErrorKind::Format);
    }
}

#[test]
fn a_cursor_that_meets_damage_says_so_and_is_unpositioned() {
    let sections = fixture();
    let (mut bytes, meta) = build(&sections);
    let (at, _) = blocks(&bytes, &meta)[2];
    bytes[at + 3] ^= 1;
    let table = open(bytes, &meta.file).unwrap();
    let mut cursor = table.cursor(KeyspaceId(0)).unwrap();
    cursor.seek_first().unwrap();

    let error = loop {
        if let Err(error) = cursor.next() {
            break error;
        }
        assert!(cursor.entry().is_some(), "the walk ended without an error");
    };

    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, at as u64));
    assert!(cursor.entry().is_none());
    cursor.next().unwrap();
    assert!(cursor.entry().is_none());
    cursor.seek_last().unwrap();
    assert!(cursor.entry().is_some());
}
