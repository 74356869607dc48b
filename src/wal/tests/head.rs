//! Preparing a segment, and the two copies of its head.

use super::*;

fn name() -> String {
    filename::log(FileNumber(10))
}

#[test]
fn a_prepared_segment_is_durable_and_names_no_base() {
    for mapped in BOTH_WAYS {
        let dir = MemDir::default();
        let segment = Segment::prepare(&dir, spec(10, 1024), mapped).unwrap();

        assert_eq!(segment.is_mapped(), mapped);
        assert_eq!(segment.map().is_some(), mapped);
        assert_eq!(segment.number(), FileNumber(10));
        assert_eq!(dir.bytes(&name()).len(), HEAD + 1024);
        let replayed = replay_here(&dir.after_power_loss()).unwrap();
        assert_eq!(replayed.outcome.obsolete, [FileNumber(10)]);
        assert_eq!(replayed.outcome.highest, FLOOR.plus(1024));
        assert!(!replayed.outcome.clean, "it may have been installed");
    }
}

#[test]
fn a_preparation_that_fails_at_any_call_leaves_nothing_in_the_way() {
    for call in 1..=6 {
        let dir = MemDir::default();
        dir.fail_call(call);
        let result = Segment::prepare(&dir, spec(10, 1024), true);

        assert_eq!(result.is_err(), call <= 6, "call {call}");
        for dir in [dir.after_power_loss(), dir.after_process_death()] {
            let replayed = replay_here(&dir).unwrap();
            assert!(replayed.keys.is_empty() && replayed.outcome.segments.is_empty());
        }
    }
}

#[test]
fn a_cut_preparation_is_obsolete() {
    let dir = MemDir::default();
    Segment::prepare(&dir, spec(10, 1024), true).unwrap();
    let whole = dir.bytes(&name());
    for cut in [0, 1, 100, 511, 512, 4095, 4096, 5000, 8191, 8192, 9000] {
        let dir = MemDir::of([(name(), whole[..cut].to_vec())]);

        let replayed = replay_here(&dir).unwrap();

        assert_eq!(replayed.outcome.obsolete, [FileNumber(10)], "cut at {cut}");
    }
}

#[test]
fn part_two_is_durable_with_the_first_sync() {
    for mapped in BOTH_WAYS {
        let mut log = TestLog::new(mapped);
        log.put(&["a"]).sync();

        let dir = log.dir.after_power_loss();

        assert_eq!(replay_elsewhere(&dir).unwrap().keys, ["a"]);
        let head = &dir.bytes(&name())[..HEAD];
        assert_eq!(*head, log.dir.bytes(&name())[..HEAD]);
        assert_ne!(head[512..560], [0; 48]);
    }
}

#[test]
fn one_copy_of_the_head_is_enough() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).seal().put(&["b"]).mark();
    for copy in [0, 4096] {
        for at in [0, 9, 21, 40, 70, 511, 512, 555, 1000, 4000] {
            let dir = log.dir.after_process_death();
            flip(&dir, &name(), copy + at);

            assert_eq!(replay_here(&dir).unwrap().keys, ["a", "b"], "byte {at}");
        }
    }
}

#[test]
fn a_head_lost_twice_is_corruption_when_the_log_was_used() {
    let mut log = TestLog::new(true);
    log.put(&["a"]).seal().put(&["b"]);
    for number in [10, 11] {
        let dir = log.dir.after_process_death();
        let name = filename::log(FileNumber(number));
        flip(&dir, &name, 20);
        flip(&dir, &name, 4096 + 20);

        assert_eq!(corrupt_at(replay_here(&dir)), (number, 0));
    }
}

#[test]
fn heads_that_disagree_are_corruption() {
    let dir = MemDir::default();
    Segment::prepare(&dir, spec(10, 1024), true).unwrap();
    let mut bytes = dir.bytes(&name());
    let other = MemDir::default();
    Segment::prepare(&other, SegmentSpec { salt: 1, ..spec(10, 1024) }, true).unwrap();
    bytes[4096..8192].copy_from_slice(&other.bytes(&name())[..4096]);
    dir.set(&name(), bytes);

    assert_eq!(corrupt_at(replay_here(&dir)), (10, 0));
}

#[test]
fn a_newer_version_or_feature_is_a_matter_of_format() {
    for at in [8, 12] {
        let dir = MemDir::default();
        Segment::prepare(&dir, spec(10, 1024), true).unwrap();
        let mut bytes = dir.bytes(&name());
        bytes[at] += 1;
        let crc = crate::base::checksum::crc(0, &bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_le_bytes());
        dir.set(&name(), bytes);

        assert_eq!(refused(replay_here(&dir)).kind(), ErrorKind::Format);
    }
}

#[test]
fn zeros_ahead_fill_the_range_and_nothing_else() {
    let dir = MemDir::default();
    let segment = Segment::prepare(&dir, spec(10, 200_000), false).unwrap();
    let before = dir.bytes(&name());
    segment.write_at(0, &vec![7; 200_000]).unwrap();

    segment.zero_ahead(8, 150_000).unwrap();

    let bytes = dir.bytes(&name());
    assert_eq!(bytes[..HEAD], before[..HEAD]);
    assert_eq!(bytes[HEAD..HEAD + 8], [7; 8]);
    assert!(bytes[HEAD + 8..HEAD + 150_000].iter().all(|&byte| byte == 0));
    assert!(bytes[HEAD + 150_000..].iter().all(|&byte| byte == 7));
}

#[test]
fn helpers_may_store_the_same_seal_by_words() {
    let mut log = TestLog::new(true);
    log.put(&["a"]);
    let place = log.tail.0 - log.base().0;
    let old = Arc::clone(&log.segment);
    log.seal();
    let offset = HEAD + usize::try_from(place).unwrap();
    let before = log.dir.bytes(&name());
    let seal = before[offset..].first_chunk().unwrap();

    old.store_words(place, &[0; 8]);
    old.store_words(place, &record::seal_words(seal));

    assert_eq!(log.dir.bytes(&name()), before);
}
