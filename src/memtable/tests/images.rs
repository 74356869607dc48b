//! The log image and the bare words of records.

use super::*;
use crate::base::ErrorKind;
use crate::base::checksum::crc;
use crate::memtable::layout::{FLAG_NOLOG, TYPE_SKIP};

fn image(engine: &Engine, from: u64, to: u64) -> Vec<u8> {
    let mut out = Vec::new();
    engine.table.copy_log_image(from, to, 7, &mut out).unwrap();
    out
}

#[test]
fn log_image_has_zero_links_and_whole_entries() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    // The same key again and again, so that links are surely not zero in the arena.
    let ops = [put(b"key", b"1"), put(b"key", b"22"), delete(b"key")];
    engine.write(&ops);
    let second = engine.write(&ops) - BASE;

    let out = image(&engine, second, 2 * second);

    let mut entries = Vec::new();
    for op in &ops {
        encode(op, &mut entries);
    }
    assert_eq!(out[HEADER_BYTES..], entries);
    assert_eq!(out[..4], u32::try_from(second).unwrap().to_le_bytes());
    assert_eq!(get_u64(&out, 16), BASE + second);
    assert_eq!(image(&engine, 0, 2 * second).len(), out.len() * 2);
}

#[test]
fn record_that_is_not_logged_is_a_skip_in_the_image() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    let ops = [put(b"key", b"secret")];
    let place = engine.write_unmarked(&ops, FLAG_NOLOG);
    engine.publish(place, &ops);
    let next = engine.write(&[put(b"key", b"logged")]) - BASE;

    let out = image(&engine, 0, next);

    let (header, body) = out.split_at(HEADER_BYTES);
    assert!(body.iter().all(|&byte| byte == 0));
    assert_eq!(header[..4], u32::try_from(next).unwrap().to_le_bytes());
    assert_eq!(header[8..16], [0; 8]);
    assert_eq!(header[TYPE_AT..], [TYPE_SKIP, 0, 0, 0, 0, 0, 0, 0]);
    let mut zeroed = header.to_vec();
    zeroed[4..8].fill(0);
    assert_eq!(header[4..8], crc(7, &zeroed).to_le_bytes());
}

#[test]
fn image_of_unpublished_places_is_refused() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    let next = Engine::record_bytes(&[put(b"key", b"v")]);
    engine.write(&[put(b"key", b"v")]);

    for (from, to) in [(0, next + 8), (0, next - 8), (8, next)] {
        let error = engine.table.copy_log_image(from, to, 7, &mut Vec::new()).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}

#[test]
fn bare_record_is_marked_last_and_may_be_stored_again() {
    let engine = Engine::new(1 << 16, SPAN_BYTES);
    let mut words: Vec<u64> = (1..=8).map(|i| i << 40 | i).collect();
    words[0] = 0xABCD_0000_0000 | 64;
    words[5] = 3;

    assert_eq!(engine.table.mark(0), 0);
    engine.table.store_words(0, &words);
    engine.table.store_words(0, &words);

    assert_eq!(engine.table.mark(0), 64);
    let out = image(&engine, 0, 64);
    for (i, word) in words.iter().enumerate() {
        assert_eq!(get_u64(&out, 8 * i), *word);
    }
}

#[test]
fn nothing_is_marked_at_the_end_of_the_arena() {
    let engine = Engine::new(4096, SPAN_BYTES);

    assert_eq!(engine.table.mark(4096), 0);
    assert_eq!(engine.table.mark(1 << 40), 0);
    assert_eq!(engine.table.capacity_bytes(), 4096);
}
