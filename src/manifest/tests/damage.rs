//! Damage sweeps over a small manifest: flips, cuts, zeroed sectors, stale sectors, strangers.
//!
//! An outcome is the same state, an error that names the file, or, for a cut alone, an earlier
//! state: what a cut takes away looks as if it had never been written, and only the logs can prove
//! otherwise (`wal::replay` compares edit counts).

use super::*;

const NAME: &str = "MANIFEST-000002";

/// What came of a damaged directory: the number of edits that were found, or none for an error.
fn outcome(dir: &MemDir, allowed: impl Fn(usize) -> bool, what: &str) -> Option<usize> {
    match recover(dir) {
        Ok(recovered) => {
            let recovered = recovered.unwrap_or_else(|| panic!("{what}: the database vanished"));
            let n = usize::try_from(recovered.edit_count).unwrap() - 1;
            assert!(allowed(n), "{what}: {n} edits");
            assert_eq!(recovered.state, state_after(n), "{what}");
            Some(n)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert!(error.message().starts_with("corruption in "), "{what}: {error}");
            None
        }
    }
}

fn with_bytes(dir: &MemDir, name: &str, bytes: Vec<u8>) -> MemDir {
    let copy = MemDir::of(dir.files());
    copy.set(name, bytes);
    copy
}

#[test]
fn every_flipped_bit_is_reported_or_redundant() {
    let dir = full_dir();
    let mut unnoticed_bits = 0;
    for name in [NAME, "CURRENT"] {
        let bytes = dir.bytes(name);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);

            let damaged = with_bytes(&dir, name, damaged);
            let found = outcome(&damaged, |n| n == 4, &format!("{name} bit {bit}"));

            unnoticed_bits += usize::from(found.is_some());
        }
    }
    // Exactly the DONE frames of five edits: proofs, of which each is redundant.
    assert_eq!(unnoticed_bits, 5 * FRAME_BYTES * 8);
}

#[test]
fn a_cut_anywhere_leaves_a_prefix_or_an_error() {
    let dir = full_dir();
    let bytes = dir.bytes(NAME);
    let mut prefixes = [0; 5];
    for cut in 0..bytes.len() {
        let damaged = with_bytes(&dir, NAME, bytes[..cut].to_vec());

        match outcome(&damaged, |n| n <= 4, &format!("cut at {cut}")) {
            Some(n) => prefixes[n] += 1,
            None => assert!(cut < bytes.len() - 100, "cut at {cut}"),
        }
    }
    assert!(prefixes.iter().all(|&n| n > 0), "{prefixes:?}");
    for cut in 0..64 {
        let current = dir.bytes("CURRENT")[..cut].to_vec();
        assert_eq!(outcome(&with_bytes(&dir, "CURRENT", current), |_| false, "CURRENT"), None);
    }
}

#[test]
fn a_torn_last_append_is_dropped_and_a_zero_tail_is_no_harm() {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    manifest.append(&history()[0]).unwrap();
    let before = dir.bytes(NAME);
    manifest.append(&history()[1]).unwrap();
    let after = dir.bytes(NAME);

    for cut in before.len()..after.len() - FRAME_BYTES {
        for tail in [0, 8, 600] {
            let mut torn = after[..cut].to_vec();
            torn.resize(cut + tail, 0);
            // A payload that ends in zeros may be whole although its bytes were cut.
            let is_whole =
                torn.get(..after.len() - FRAME_BYTES) == Some(&after[..after.len() - FRAME_BYTES]);

            let found = recovered(&with_bytes(&dir, NAME, torn));

            assert_eq!(found.state, state_after(if is_whole { 2 } else { 1 }), "{cut} {tail}");
            if !is_whole && cut + tail > before.len() {
                assert_eq!(found.torn, Some(before.len() as u64));
            }
        }
    }
}

#[test]
fn a_torn_append_in_any_order_of_sectors_is_dropped_or_whole() {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    let keys = ("k".repeat(1500), "l".repeat(1500));
    let before = dir.bytes(NAME);
    let edit = VersionEdit {
        next_file: Some(FileNumber(9)),
        added: vec![section(0, 4, 0, (&keys.0, &keys.1))],
        ..VersionEdit::default()
    };
    dir.fail_call(2);
    assert!(manifest.append(&edit).is_err());
    let after = dir.bytes(NAME);

    let sectors = after.len().div_ceil(512);
    for choice in 0..1_u32 << sectors {
        let mut mixed = before.clone();
        mixed.resize(after.len(), 0);
        for sector in (0..sectors).filter(|sector| choice & (1 << sector) != 0) {
            let range = sector * 512..after.len().min(sector * 512 + 512);
            mixed[range.clone()].copy_from_slice(&after[range]);
        }

        let found = recovered(&with_bytes(&dir, NAME, mixed.clone()));

        assert_eq!(found.edit_count, if mixed == after { 2 } else { 1 }, "{choice:b}");
    }
}

#[test]
fn zeroed_and_stale_sectors_are_reported() {
    let dir = full_dir();
    let bytes = dir.bytes(NAME);
    let older = {
        let dir = MemDir::default();
        let mut manifest = created(&dir);
        manifest.append(&history()[0]).unwrap();
        dir.bytes(NAME)
    };
    for begin in (0..bytes.len()).step_by(512) {
        let end = bytes.len().min(begin + 512);
        let is_last = end == bytes.len();
        let mut zeroed = bytes.clone();
        zeroed[begin..end].fill(0);
        let what = format!("sector at {begin}");
        // Without the last sector the last edit and its proof are gone together.
        outcome(&with_bytes(&dir, NAME, zeroed), |n| is_last && n < 4, &what);

        let mut stale = bytes.clone();
        for (at, byte) in stale.iter_mut().enumerate().take(end).skip(begin) {
            *byte = older.get(at).copied().unwrap_or(0);
        }
        outcome(&with_bytes(&dir, NAME, stale), |n| is_last && n < 4, &what);
    }
}

#[test]
fn a_missing_or_foreign_file_is_reported() {
    let dir = full_dir();
    let files = |skip: &'static str| dir.files().into_iter().filter(move |(name, _)| name != skip);

    assert_eq!(outcome(&MemDir::of(files(NAME)), |_| false, "no manifest"), None);
    assert_eq!(outcome(&MemDir::of(files("CURRENT")), |_| false, "no CURRENT"), None);
    let table = ("000004.sst".to_owned(), vec![]);
    assert_eq!(outcome(&MemDir::of([table]), |_| false, "table alone"), None);
    let log = ("000004.wal".to_owned(), vec![]);
    assert_eq!(outcome(&MemDir::of([log]), |_| false, "log alone"), None);

    let stranger = MemDir::default();
    Manifest::create(&stranger, NUMBER, SALT + 1, 1, &first_edit()).unwrap();
    let swapped = with_bytes(&dir, NAME, stranger.bytes(NAME));
    assert_eq!(outcome(&swapped, |_| false, "another database's manifest"), None);
}

#[test]
fn a_newer_version_is_a_matter_of_format() {
    let dir = full_dir();
    for name in [NAME, "CURRENT"] {
        for at in [8, 12] {
            let mut newer = dir.bytes(name);
            newer[at] += 1;
            let crc = crate::base::checksum::crc(0, &newer[..60]);
            newer[60..64].copy_from_slice(&crc.to_le_bytes());

            let error = recover(&with_bytes(&dir, name, newer)).unwrap_err();

            assert_eq!(error.kind(), ErrorKind::Format, "{name} byte {at}");
        }
    }
}

#[test]
fn a_frame_is_valid_in_its_own_place_only() {
    let dir = full_dir();
    let bytes = dir.bytes(NAME);
    // The first edit once more, as a second frame: the number and the place are both wrong.
    let (frame, done_at) = {
        let frame = frame::decode_frame(&bytes, SALT, HEAD_BYTES).unwrap();
        let (_, done_at) = frame::edit_payload(&bytes, SALT, HEAD_BYTES, &frame).unwrap();
        (bytes[HEAD_BYTES..done_at].to_vec(), done_at)
    };
    let at = done_at + FRAME_BYTES;
    let mut moved = bytes[..at].to_vec();
    moved.extend(&frame);

    assert!(frame::decode_frame(&moved, SALT, at).is_none());
    assert_eq!(recovered(&with_bytes(&dir, NAME, moved)).edit_count, 1);
}
