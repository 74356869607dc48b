//! Segments that are missing, swapped, unnamed or below the floor.

use super::*;

fn name(number: u64) -> String {
    filename::log(FileNumber(number))
}

fn without(dir: &MemDir, number: u64) -> MemDir {
    MemDir::of(dir.files().into_iter().filter(|(file, _)| *file != name(number)))
}

fn three_logs() -> TestLog {
    let mut log = TestLog::new(true);
    log.put(&["a"]).seal().put(&["b"]).seal().put(&["c"]);
    log
}

#[test]
fn a_missing_log_with_a_later_one_is_corruption() {
    let log = three_logs();
    for number in [10, 11, 12] {
        assert_eq!(refused(replay_elsewhere(&without(&log.dir, number))).kind(), {
            ErrorKind::Corrupt
        });
    }
    let without_first_two = without(&without(&log.dir, 10), 11);
    assert_eq!(refused(replay_elsewhere(&without_first_two)).kind(), ErrorKind::Corrupt);
}

#[test]
fn an_emptied_log_with_a_later_one_never_gives_the_later_writes() {
    let log = three_logs();
    for number in [10, 11] {
        for cut in [0, 100, 512, 4096, 8192, 8200] {
            let dir = log.dir.after_process_death();
            let bytes = dir.bytes(&name(number));
            dir.set(&name(number), bytes[..cut].to_vec());

            if let Ok(replayed) = replay_elsewhere(&dir) {
                let wanted: &[&str] = if number == 10 { &[] } else { &["a"] };
                assert_eq!(replayed.keys, wanted, "log {number} cut at {cut}");
                assert!(cut >= 512, "a log whose head is gone is corruption");
            }
        }
    }
}

#[test]
fn a_predecessor_below_the_floor_may_be_gone() {
    let log = three_logs();
    let floor = log.places[1].1.base;
    let dir = without(&log.dir, 10);
    let logs = logs_in(&dir);

    let replayed = replay_with(&dir, &ReplayInput { floor, ..input(&logs, BOOT) }).unwrap();

    assert_eq!(replayed.keys, ["b", "c"]);
}

#[test]
fn logs_below_the_floor_are_obsolete_and_not_read() {
    let log = three_logs();
    let floor = log.places[2].1.base;
    flip(&log.dir, &name(10), HEAD + 5);
    flip(&log.dir, &name(11), HEAD + 60);
    let logs = logs_in(&log.dir);

    let replayed = replay_with(&log.dir, &ReplayInput { floor, ..input(&logs, BOOT) }).unwrap();

    assert_eq!(replayed.keys, ["c"]);
    assert_eq!(replayed.outcome.obsolete, [FileNumber(10), FileNumber(11)]);
    assert_eq!(replayed.outcome.segments.len(), 1);
}

#[test]
fn a_successor_without_part_two_has_its_base_from_the_seal() {
    let mut empty = TestLog::new(true);
    empty.put(&["a"]).seal_without_base();
    let replayed = replay_here(&empty.dir).unwrap();
    assert_eq!((replayed.keys.len(), replayed.outcome.end), (1, empty.tail));
    assert_eq!(replayed.outcome.segments.len(), 2);

    let mut filled = TestLog::new(true);
    filled.put(&["a"]).seal_without_base().put(&["b"]).put(&["c"]);
    assert_eq!(replay_here(&filled.dir).unwrap().keys, ["a", "b", "c"]);
    flip(&filled.dir, &name(11), filled.written[2].offset);
    assert_eq!(corrupt_at(replay_here(&filled.dir)).0, 11);
    assert_eq!(replay_elsewhere(&filled.dir).unwrap().keys, ["a"]);
}

#[test]
fn a_lone_log_without_part_two_has_its_base_from_its_first_record() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).put(&["b"]);
    let mut bytes = log.dir.bytes(&name(10));
    bytes[512..560].fill(0);
    bytes[4096 + 512..4096 + 560].fill(0);
    log.dir.set(&name(10), bytes);

    assert_eq!(replay_elsewhere(&log.dir).unwrap().keys, ["a", "b"]);
}

#[test]
fn power_loss_may_take_all_of_the_first_log_and_leave_a_later_one() {
    // Nothing was ever synced: of the first segment only part 1 is left, of the second part 2 or
    // its records.
    let log = three_logs();
    let mut first = log.dir.bytes(&name(10));
    first[512..4096].fill(0);
    first[4096 + 512..].fill(0);
    for (number, lost) in [(11, 512..560), (11, HEAD..HEAD + 200), (12, 512..560)] {
        let dir = log.dir.after_process_death();
        dir.set(&name(10), first.clone());
        let mut bytes = dir.bytes(&name(number));
        bytes[lost.clone()].fill(0);
        if lost.start == 512 {
            bytes[4096 + 512..4096 + 560].fill(0);
        }
        dir.set(&name(number), bytes);

        let replayed = replay_elsewhere(&dir).unwrap();

        assert_eq!((replayed.keys.len(), replayed.outcome.end), (0, FLOOR));
        assert!(replayed.outcome.cut.is_some());
        assert!(replayed.outcome.highest >= log.base().plus(1024));
    }
}

#[test]
fn a_log_that_nobody_names_after_a_clean_end_is_obsolete_only_without_base() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).end();
    Segment::prepare(&log.dir, spec(20, 4096), true).unwrap();
    let replayed = replay_here(&log.dir).unwrap();
    assert!(replayed.outcome.clean);
    assert_eq!(replayed.outcome.obsolete, [FileNumber(20)]);

    let stray = Segment::prepare(&log.dir, spec(21, 4096), true).unwrap();
    stray.store_base(&Place { base: Lsn(1 << 20), predecessor: None, synced: Lsn(0) }).unwrap();
    assert_eq!(corrupt_at(replay_here(&log.dir)), (21, 512));
}

#[test]
fn a_log_that_lies_about_its_place_is_corruption() {
    let places = |end: u64, base: u64| {
        let predecessor = Some(Predecessor { number: FileNumber(10), base: FLOOR, end: Lsn(end) });
        Place { base: Lsn(base), predecessor, synced: Lsn(0) }
    };
    let mut log = TestLog::new(true);
    log.put(&["a"]).seal_without_base();
    let base = log.tail.0;
    for place in [places(base, base + 8), places(base - 8, base), {
        Place { predecessor: None, ..places(base, base) }
    }] {
        log.segment.store_base(&place).unwrap();

        assert_eq!(corrupt_at(replay_here(&log.dir)).0, 11, "{place:?}");
    }
    log.segment.store_base(&places(base, base)).unwrap();
    assert!(replay_here(&log.dir).is_ok());
}

#[test]
fn a_wrong_link_behind_a_clean_end_is_corruption() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).end().reopen();
    let (_, mut place) = log.places[1];
    place.predecessor.as_mut().unwrap().end.0 -= 8;
    log.segment.store_base(&place).unwrap();

    assert_eq!(corrupt_at(replay_here(&log.dir)), (11, 512));
}

#[test]
fn swapped_or_doubled_files_are_corruption() {
    let log = three_logs();
    let (ten, eleven) = (log.dir.bytes(&name(10)), log.dir.bytes(&name(11)));

    let swapped = log.dir.after_process_death();
    swapped.set(&name(10), eleven.clone());
    swapped.set(&name(11), ten);
    assert_eq!(refused(replay_here(&swapped)).kind(), ErrorKind::Corrupt);

    let doubled = log.dir.after_process_death();
    doubled.set(&name(30), eleven);
    assert_eq!(corrupt_at(replay_here(&doubled)), (30, 0));
}

#[test]
fn an_older_manifest_is_noticed() {
    let log = three_logs();
    let logs = logs_in(&log.dir);

    let result =
        replay_with(&log.dir, &ReplayInput { edit_count: EDITS - 1, ..input(&logs, BOOT) });

    let error = refused(result);
    assert_eq!((error.kind(), error.file_id()), (ErrorKind::Corrupt, 3));
    assert!(error.message().contains("MANIFEST-000003"), "{error}");
}

#[test]
fn a_log_that_vanished_is_noticed_by_the_manifest() {
    let dir = MemDir::default();

    let result = replay_with(&dir, &ReplayInput { synced: Lsn(65), ..input(&[], BOOT) });

    assert_eq!(refused(result).kind(), ErrorKind::Corrupt);
}
