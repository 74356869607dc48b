//! Torn or rotten: which proofs make a bad record corruption, and what a cut drops.

use super::*;

/// Offsets of the records of log 10, for damage.
fn offset(log: &TestLog, n: usize) -> usize {
    log.written[n].offset
}

fn log_name() -> String {
    filename::log(FileNumber(10))
}

#[test]
fn a_bad_record_without_proof_is_the_cut() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.put(&["a"]).put(&["b"]).put(&["c"]);
        let dir = log.dir.after_process_death();
        flip(&dir, &log_name(), offset(&log, 1) + 60);

        let replayed = replay_elsewhere(&dir).unwrap();

        assert_eq!(replayed.keys, ["a"]);
        assert_eq!(replayed.outcome.end, log.written[1].header.lsn);
        let cut = replay::Cut { file: FileNumber(10), offset: offset(&log, 1) as u64 };
        assert_eq!(replayed.outcome.cut, Some(cut));
        assert_eq!(replayed.outcome.highest, FLOOR.plus(1024));
    }
}

#[test]
fn synced_of_a_later_record_proves() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]).sync().put(&["c"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 1) + 60);

    assert_eq!(corrupt_at(replay_elsewhere(&dir)), (10, offset(&log, 1) as u64));
}

#[test]
fn synced_of_a_torn_record_with_a_valid_header_proves() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]).sync().put(&["c"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 1));
    flip(&dir, &log_name(), offset(&log, 2) + 60);

    assert_eq!(corrupt_at(replay_elsewhere(&dir)), (10, offset(&log, 1) as u64));
}

#[test]
fn synced_of_a_record_in_a_later_log_proves() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).sync().seal().put(&["b"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 0));

    assert_eq!(corrupt_at(replay_elsewhere(&dir)), (10, offset(&log, 0) as u64));
}

#[test]
fn completed_proves_on_the_same_boot_and_mount_only() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]).put(&["c"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 1) + 60);

    let logs = logs_in(&dir);
    let other_mount = ReplayInput { mount_id: MOUNT_ID + 1, ..input(&logs, BOOT) };
    assert_eq!(corrupt_at(replay_here(&dir)), (10, offset(&log, 1) as u64));
    assert_eq!(replay_elsewhere(&dir).unwrap().keys, ["a"]);
    assert_eq!(replay_with(&dir, &other_mount).unwrap().keys, ["a"]);
}

#[test]
fn two_unknown_boots_are_not_the_same() {
    let mut log = TestLog::new(true);
    let unknown = SegmentSpec { boot_id: 0, ..spec(12, 1024) };
    log.dir = MemDir::default();
    log.segment = Segment::prepare(&log.dir, unknown, true).unwrap();
    log.places[0].0 = FileNumber(12);
    log.segment.store_base(&log.places[0].1).unwrap();
    log.put(&["a"]).put(&["b"]).put(&["c"]);
    flip(&log.dir, "000012.wal", offset(&log, 1));

    let logs = logs_in(&log.dir);
    assert_eq!(replay_with(&log.dir, &input(&logs, 0)).unwrap().keys, ["a"]);
}

#[test]
fn a_mark_and_an_end_prove_all_before_them() {
    let mut marked = TestLog::new(true);
    marked.put(&["a"]).mark();
    let mut ended = TestLog::new(true);
    ended.put(&["a"]).end();
    for log in [marked, ended] {
        flip(&log.dir, &log_name(), offset(&log, 0) + 50);

        assert_eq!(corrupt_at(replay_elsewhere(&log.dir)), (10, HEAD as u64));
    }
}

#[test]
fn the_manifest_proves_what_it_says_is_synced() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 1));
    let bad = log.written[1].header.lsn;
    let logs = logs_in(&dir);

    let at_bad = ReplayInput { synced: bad, ..input(&logs, OTHER_BOOT) };
    let above_bad = ReplayInput { synced: bad.plus(1), ..input(&logs, OTHER_BOOT) };

    assert_eq!(replay_with(&dir, &at_bad).unwrap().keys, ["a"]);
    assert_eq!(corrupt_at(replay_with(&dir, &above_bad)), (10, offset(&log, 1) as u64));
}

#[test]
fn the_head_of_a_log_made_after_a_clean_end_proves_that_end() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).end().reopen();
    for (record, at) in [(0, 0), (0, 60), (1, 0), (1, 50)] {
        let dir = log.dir.after_process_death();
        flip(&dir, &log_name(), offset(&log, record) + at);

        let place = (10, offset(&log, record) as u64);
        assert_eq!(corrupt_at(replay_elsewhere(&dir)), place);
    }
}

#[test]
fn a_seal_and_its_own_claims_prove_nothing() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).seal();
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 0));

    assert_eq!(replay_elsewhere(&dir).unwrap().outcome.end, FLOOR);
    assert_eq!(replay_here(&dir).unwrap().outcome.end, FLOOR);
}

#[test]
fn nothing_behind_a_cut_is_replayed() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]).seal().put(&["c"]).seal().put(&["d"]);
    let dir = log.dir.after_process_death();
    flip(&dir, &log_name(), offset(&log, 1));

    let replayed = replay_elsewhere(&dir).unwrap();

    assert_eq!(replayed.keys, ["a"]);
    assert_eq!(replayed.outcome.obsolete, [FileNumber(11), FileNumber(12)]);
    assert_eq!(replayed.outcome.highest, log.base().plus(1024));
}

#[test]
fn a_hole_between_records_is_the_cut_on_the_same_boot_if_nothing_completed_behind_it() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]);
    let hole = log.tail;
    log.tail = hole.plus(64);
    // A writer beside the hole: what it knows to be complete ends at the hole.
    let body = key_bytes("c");
    let mut header = log.header(RecordKind::Batch, &body);
    (header.completed, header.entries) = (hole, 1);
    log.store(header, &body, &["c"]);

    let replayed = replay_here(&log.dir).unwrap();

    assert_eq!((replayed.keys, replayed.outcome.end), (vec!["a".into(), "b".into()], hole));
}

#[test]
fn values_that_look_like_records_prove_nothing() {
    let mut log = TestLog::with_capacity(true, 4096);
    log.put(&["a"]);
    let bad = log.tail;
    // A valid header of this place and time, but of another salt: all that a program can forge.
    let forged = record::encode_mark(bad.plus(48 + 24 + 8), log.segment.salt() ^ 1);
    let forged: String = forged.iter().map(|&byte| char::from(byte & 0x7f)).collect();
    log.put(&[&forged, &forged]);
    flip(&log.dir, &log_name(), offset(&log, 1));

    assert_eq!(replay_here(&log.dir).unwrap().keys, ["a"]);
}

#[test]
fn old_bytes_behind_the_end_are_not_looked_at() {
    let mut older = TestLog::new(true);
    older.put(&["old", "older"]).put(&["oldest"]);
    let mut log = TestLog::new(true);
    log.put(&["a"]).end();
    let mut bytes = log.dir.bytes(&log_name());
    let end = usize::try_from(log.tail.0 - FLOOR.0).unwrap() + HEAD;
    let old = older.dir.bytes(&log_name());
    bytes.truncate(end);
    bytes.extend(&old[HEAD..]);
    bytes.extend(old.repeat(3));
    log.dir.set(&log_name(), bytes);

    let replayed = replay_here(&log.dir).unwrap();

    assert!(replayed.outcome.clean);
    assert_eq!(replayed.keys, ["a"]);
}

#[test]
fn records_of_an_older_log_at_the_same_places_are_not_replayed() {
    let mut older = TestLog::new(true);
    older.put(&["a"]).put(&["old"]).mark();
    let old = older.dir.bytes(&log_name());
    let dir = MemDir::default();
    let segment = Segment::prepare(&dir, SegmentSpec { salt: 9, ..spec(10, 1024) }, true).unwrap();
    segment.store_base(&older.places[0].1).unwrap();
    let mut bytes = dir.bytes(&log_name());
    bytes[HEAD..].copy_from_slice(&old[HEAD..]);
    dir.set(&log_name(), bytes);

    assert_eq!(replay_here(&dir).unwrap().outcome.end, FLOOR);
}

#[test]
fn a_record_type_that_is_kept_for_later_is_a_matter_of_format() {
    for kind in [6, 7, 8, 9, 10, 255, 0] {
        let mut log = TestLog::new(true);
        log.put(&["a"]);
        let header = log.header(RecordKind::from_u8(kind), &[]);
        log.store(header, &[], &[]);

        let error = refused(replay_here(&log.dir));
        assert_eq!((error.kind(), error.file_id()), (ErrorKind::Format, 10), "{kind}");
    }
}

#[test]
fn a_sound_checksum_over_a_wrong_form_is_corruption() {
    let mut bodies = vec![(vec![0xff; 16], 1), (key_bytes("a"), 2), (key_bytes("a"), 0)];
    let mut delete_with_value = key_bytes("a");
    delete_with_value[8] = 2;
    bodies.push((delete_with_value, 1));
    for (body, entries) in bodies {
        let mut log = TestLog::new(true);
        let header = Header { entries, ..log.header(RecordKind::Batch, &body) };
        log.store(header, &body, &[]);

        assert_eq!(corrupt_at(replay_here(&log.dir)).0, 10);
    }
    let mut merge = key_bytes("a");
    merge[8] = 4;
    let mut log = TestLog::new(true);
    let header = Header { entries: 1, ..log.header(RecordKind::Batch, &merge) };
    log.store(header, &merge, &[]);
    assert_eq!(refused(replay_here(&log.dir)).kind(), ErrorKind::Format);
}
