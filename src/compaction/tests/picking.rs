//! What is picked, from versions of tables that do not exist.

use std::sync::Arc;

use crate::base::meta::{FileMeta, SectionMeta};
use crate::base::{FileNumber, KeyspaceId, Level, Lsn};
use crate::compaction::{
    Busy, Job, Leftover, PickOptions, RangePick, Reason, pick, pick_range, scores,
};
use crate::manifest::AddedSection;
use crate::version::testing::{Store, first_edit};
use crate::version::{LevelSizes, Version};

const KS: KeyspaceId = KeyspaceId(0);
const MIB: u64 = 1 << 20;

/// A section of `lo` to `hi` that nobody will read.
fn section(level: u8, file: u64, lo: &str, hi: &str, mib: u64) -> AddedSection {
    let newest = if level == 0 { 1_000_000 + file } else { 1000 };
    AddedSection {
        level: Level(level),
        file: FileMeta { number: FileNumber(file), file_id: file, file_bytes: mib * MIB + 100 },
        section: SectionMeta {
            keyspace: KS,
            smallest: lo.into(),
            largest: hi.into(),
            smallest_number: if level == 0 { newest } else { 1 },
            largest_number: newest,
            entries: 100,
            tombstones: 0,
            bytes: mib * MIB,
            raw_bytes: 10_000,
        },
    }
}

fn with_tombstones(mut added: AddedSection, tombstones: u64) -> AddedSection {
    added.section.tombstones = tombstones;
    added
}

fn version(added: Vec<AddedSection>) -> Arc<Version> {
    Version::default().apply(&first_edit(&[0, 1], added), &Store::new().tables).unwrap()
}

fn options() -> PickOptions {
    PickOptions {
        sizes: LevelSizes::default(),
        target_file_bytes: 64 << 20,
        job_bytes_max: 1 << 30,
        oldest: Lsn(2_000_000),
        leftover: None,
    }
}

fn files(job: &Job) -> Vec<u64> {
    let mut files: Vec<u64> = job.inputs().iter().map(|(_, s)| s.number().0).collect();
    files.sort_unstable();
    files
}

fn picked(version: &Version, busy: &Busy) -> Option<(Vec<u64>, u8, bool, Reason)> {
    let job = pick(version, busy, &options())?;
    Some((files(&job), job.output_level().0, job.is_move(), job.reason()))
}

#[test]
fn sections_of_long_values_may_be_four_times_as_many_before_level_0_is_due() {
    let heavy = |file: u64| {
        let mut added = section(0, file, "a", "z", 10);
        added.section.raw_bytes = 2048 * added.section.entries;
        added
    };
    let mut added: Vec<AddedSection> = (1..=12).map(heavy).collect();
    let before = version(added.clone());
    assert_eq!((before.level0_sections_max(), before.level0_load_max()), (12, 3));
    assert!(picked(&before, &Busy::default()).is_none());
    assert_eq!(before.debt_bytes(&LevelSizes::default()), 0);

    added.push(heavy(13));

    let version = version(added);
    let (files, level, ..) = picked(&version, &Busy::default()).expect("a job");
    assert_eq!((files.len(), level), (13, 6));
    let sizes = LevelSizes { level0_bytes: 40 * MIB, ..LevelSizes::default() };
    let few = PickOptions { sizes, ..options() };
    assert!(pick(&version, &Busy::default(), &few).is_none(), "a quarter of 130 MiB is less");
}

#[test]
fn level_0_is_due_at_four_sections_and_goes_to_the_base_level() {
    let mut added = vec![
        section(0, 1, "a", "m", 10),
        section(0, 2, "c", "p", 10),
        section(0, 3, "k", "z", 10),
        section(6, 9, "b", "d", 10),
    ];
    assert!(picked(&version(added.clone()), &Busy::default()).is_none());

    added.push(section(0, 4, "b", "c", 10));

    let version = version(added);
    let expected = (vec![1, 2, 3, 4, 9], 6, false, Reason::Level0);
    assert_eq!(picked(&version, &Busy::default()), Some(expected));
    let score = scores(&version, &Busy::default(), &options())[0];
    assert_eq!((score.level, score.permille), (Level(0), 1000));
    assert!(version.debt_bytes(&LevelSizes::default()) >= 40 * MIB);
}

#[test]
fn a_level_above_the_last_goes_down_whole_if_that_is_wanted_and_rewrites_little() {
    let taken = |rewrites, levels| {
        let added = vec![
            section(5, 1, "a", "c", 10),
            section(5, 2, "d", "p", 10),
            section(6, 8, "b", "e", 100),
            section(6, 9, "n", "x", 100),
        ];
        let leftover = Some(Leftover { sections: 1, rewrites, levels });
        let options = PickOptions { leftover, ..options() };
        pick(&version(added), &Busy::default(), &options).map(|job| files(&job))
    };

    assert_eq!(taken(10, true), Some(vec![1, 2, 8, 9]));
    assert_eq!(taken(9, true), None, "too much to rewrite");
    assert_eq!(taken(10, false), None, "only level 0 is wanted");
}

#[test]
fn of_a_level_above_the_last_as_much_goes_down_as_one_job_may_take() {
    let version = version(vec![
        section(5, 1, "a", "c", 100),
        section(5, 2, "d", "p", 100),
        section(6, 8, "b", "c", 600),
        section(6, 9, "n", "x", 600),
    ]);
    let leftover = Some(Leftover { sections: 1, rewrites: 20, levels: true });
    let options = PickOptions { leftover, ..options() };

    let job = pick(&version, &Busy::default(), &options).unwrap();
    assert_eq!((files(&job), job.reason()), (vec![1, 8], Reason::Reads));
    let mut busy = Busy::default();
    busy.start(&job);
    let beside = pick(&version, &busy, &options).unwrap();
    assert_eq!(files(&beside), [2, 9]);
}

#[test]
fn a_part_of_a_level_that_would_rewrite_too_much_is_passed() {
    let version = version(vec![
        section(5, 1, "a", "y", 1),
        section(5, 2, "za", "zb", 99),
        section(6, 9, "a", "y", 1900),
    ]);
    let leftover = Some(Leftover { sections: 1, rewrites: 20, levels: true });
    let options = PickOptions { leftover, ..options() };

    let job = pick(&version, &Busy::default(), &options).unwrap();
    assert_eq!(files(&job), [2]);
}

#[test]
fn in_quiet_times_level_0_goes_down_if_that_rewrites_little() {
    let quiet = |sections, base_mib| {
        let added = vec![
            section(0, 1, "a", "m", 10),
            section(0, 2, "c", "p", 10),
            section(6, 9, "b", "d", base_mib),
        ];
        let options = PickOptions {
            leftover: Some(Leftover { sections, rewrites: 10, levels: false }),
            ..options()
        };
        pick(&version(added), &Busy::default(), &options).map(|job| files(&job))
    };

    assert_eq!(quiet(2, 200), Some(vec![1, 2, 9]));
    assert_eq!(quiet(3, 200), None, "too few sections");
    assert_eq!(quiet(2, 201), None, "too much to rewrite");
}

#[test]
fn sections_of_level_0_that_meet_nothing_are_moved_oldest_first() {
    let version = version(vec![
        section(0, 1, "a", "b", 40),
        section(0, 2, "c", "d", 40),
        section(0, 3, "e", "f", 40),
        section(0, 4, "g", "h", 40),
        section(6, 9, "i", "j", 100),
    ]);

    let expected = (vec![1], 6, true, Reason::Level0);
    assert_eq!(picked(&version, &Busy::default()), Some(expected));
}

#[test]
fn small_sections_of_level_0_are_merged_with_their_small_neighbours_and_not_moved() {
    let version = version(vec![
        section(0, 1, "a", "b", 1),
        section(0, 2, "c", "d", 1),
        section(0, 3, "e", "f", 1),
        section(0, 4, "g", "h", 1),
        section(6, 9, "9", "9a", 3),
        section(6, 8, "8", "8a", 3),
        section(6, 7, "7", "7a", 30),
    ]);

    let expected = (vec![1, 2, 3, 4, 8, 9], 6, false, Reason::Level0);
    assert_eq!(picked(&version, &Busy::default()), Some(expected));
}

#[test]
fn files_with_sections_of_several_keyspaces_are_not_moved() {
    let mut added = vec![
        section(0, 1, "a", "b", 40),
        section(0, 2, "c", "d", 40),
        section(0, 3, "e", "f", 40),
        section(0, 4, "g", "h", 40),
    ];
    let mut others = added.clone();
    for other in &mut others {
        other.section.keyspace = KeyspaceId(1);
    }
    added.extend(others);

    let expected = (vec![1], 6, false, Reason::Level0);
    assert_eq!(picked(&version(added), &Busy::default()), Some(expected));
}

#[test]
fn what_was_written_in_order_is_moved_in_small_files_and_smaller_ones_wait() {
    let version = version(vec![
        section(0, 1, "a", "b", 2),
        section(0, 2, "c", "d", 10),
        section(0, 3, "e", "f", 10),
        section(0, 4, "d", "d", 10),
    ]);

    let expected = (vec![3], 6, true, Reason::Level0);
    assert_eq!(picked(&version, &Busy::default()), Some(expected));
}

#[test]
fn a_job_joins_no_whole_level_of_small_files() {
    let small = |file: u64| {
        let (smallest, largest) = (format!("k{file:02}a"), format!("k{file:02}z"));
        section(6, file, &smallest, &largest, 11)
    };
    let mut added: Vec<AddedSection> = (10..30).map(small).collect();
    added.extend((91..=94).map(|file| section(0, file, "k20b", "k20c", 10)));

    let job = pick(&version(added), &Busy::default(), &options()).unwrap();
    let bytes: u64 = job.inputs().iter().map(|(_, section)| section.meta().bytes).sum();
    assert!(!job.is_move() && (100 * MIB..=128 * MIB).contains(&bytes), "{} MiB", bytes / MIB);
}

#[test]
fn small_files_are_moved_from_level_0_and_merged_below() {
    let small = |file: u64| {
        let (smallest, largest) = (format!("k{file:02}a"), format!("k{file:02}z"));
        section(5, file, &smallest, &largest, 15)
    };
    let mut added: Vec<AddedSection> = (10..90).map(small).collect();
    added.push(section(6, 5, "z", "zz", 4000));

    let job = pick(&version(added), &Busy::default(), &options()).unwrap();
    assert!(job.reason() == Reason::Size && !job.is_move());
}

#[test]
fn the_largest_excess_goes_first_and_rewrites_the_least() {
    let version = version(vec![
        section(5, 1, "a", "c", 200),
        section(5, 2, "d", "f", 200),
        section(5, 3, "g", "i", 200),
        section(6, 11, "a", "c", 2000),
        section(6, 12, "d", "e", 100),
        section(6, 13, "g", "i", 400),
    ]);

    let expected = (vec![2, 12], 6, false, Reason::Size);
    assert_eq!(picked(&version, &Busy::default()), Some(expected));
}

#[test]
fn tombstones_raise_the_priority_of_their_section() {
    let tree = |tombstones| {
        let first = with_tombstones(section(5, 1, "a", "c", 300), tombstones);
        version(vec![
            first,
            section(5, 2, "d", "f", 300),
            section(6, 11, "a", "c", 400),
            section(6, 12, "d", "e", 300),
        ])
    };

    let job = |version: &Version| pick(version, &Busy::default(), &options()).unwrap();
    assert_eq!(files(&job(&tree(0))), [2, 12]);
    assert_eq!(files(&job(&tree(40))), [1, 11]);
}

#[test]
fn needless_tombstones_are_compacted_until_they_are_gone() {
    let first = with_tombstones(section(5, 1, "a", "c", 10), 60);
    let beneath = version(vec![first.clone(), section(6, 11, "b", "d", 10)]);
    let expected = (vec![1, 11], 6, false, Reason::Tombstones);
    assert_eq!(picked(&beneath, &Busy::default()), Some(expected));

    let alone = version(vec![first, section(6, 11, "d", "e", 10)]);
    let expected = (vec![1], 5, false, Reason::Tombstones);
    assert_eq!(picked(&alone, &Busy::default()), Some(expected));

    let held = PickOptions { oldest: Lsn(1000), ..options() };
    assert!(pick(&alone, &Busy::default(), &held).is_none(), "a snapshot may need them");
    let few = with_tombstones(section(6, 1, "a", "c", 10), 49);
    assert_eq!(picked(&version(vec![few]), &Busy::default()), None);
}

#[test]
fn a_file_that_is_mostly_dead_is_rewritten() {
    let mut wasted = section(0, 1, "a", "b", 1);
    wasted.file.file_bytes = 4 * MIB + 10;
    let meeting = section(0, 2, "b", "c", 1);

    let expected = (vec![1, 2], 6, false, Reason::Waste);
    assert_eq!(picked(&version(vec![wasted.clone(), meeting]), &Busy::default()), Some(expected));
    wasted.file.file_bytes = 4 * MIB - 10;
    assert_eq!(picked(&version(vec![wasted]), &Busy::default()), None);
}

#[test]
fn running_jobs_share_no_input_and_no_output_range() {
    let version = version(vec![
        section(5, 1, "a", "c", 300),
        section(5, 2, "d", "f", 300),
        section(5, 3, "x", "z", 300),
        section(6, 11, "b", "e", 400),
        section(6, 13, "x", "y", 400),
    ]);
    let mut busy = Busy::default();

    let first = pick(&version, &busy, &options()).unwrap();
    let id = busy.start(&first);
    let second = pick(&version, &busy, &options());

    assert_eq!(files(&first), [1, 2, 11], "widened without taking more of the lower level");
    assert_eq!(second.as_ref().map(files), Some(vec![3, 13]));
    busy.start(&second.unwrap());
    assert!(pick(&version, &busy, &options()).is_none());
    busy.finish(id);
    assert_eq!(pick(&version, &busy, &options()).as_ref().map(files), Some(vec![1, 2, 11]));
}

#[test]
fn a_job_is_not_widened_by_what_another_job_reads() {
    let version = version(vec![
        section(4, 1, "a", "c", 600),
        section(5, 2, "b", "c", 100),
        section(5, 3, "d", "e", 300),
        section(6, 11, "a", "f", 400),
    ]);
    let mut busy = Busy::default();

    let first = pick(&version, &busy, &options()).unwrap();
    busy.start(&first);
    let second = pick(&version, &busy, &options());

    assert_eq!(files(&first), [1, 2]);
    assert_eq!(second.as_ref().map(files), Some(vec![3, 11]));
}

#[test]
fn a_job_waits_for_one_that_writes_around_it() {
    let version = version(vec![
        section(0, 1, "a", "b", 1),
        section(0, 2, "y", "z", 1),
        section(0, 3, "a", "z", 1),
        section(0, 4, "m", "n", 1),
    ]);
    let whole = pick(&version, &Busy::default(), &options()).unwrap();
    assert_eq!((whole.smallest(), whole.largest()), (&b"a"[..], &b"z"[..]));
    let mut busy = Busy::default();
    busy.start(&whole);

    let inside = self::version((5..9).map(|file| section(0, file, "m", "n", 40)).collect());

    assert!(pick(&inside, &Busy::default(), &options()).is_some());
    assert!(pick(&inside, &busy, &options()).is_none());
}

#[test]
fn neighbours_that_join_a_job_widen_its_range() {
    let version = version(vec![
        section(0, 1, "d", "e", 1),
        section(0, 2, "d", "e", 1),
        section(0, 3, "d", "e", 1),
        section(0, 4, "d", "e", 1),
        section(6, 11, "a", "b", 1),
        section(6, 12, "x", "z", 1),
    ]);

    let job = pick(&version, &Busy::default(), &options()).unwrap();

    assert_eq!(files(&job), [1, 2, 3, 4, 11, 12]);
    assert_eq!((job.smallest(), job.largest()), (&b"a"[..], &b"z"[..]));
}

#[test]
fn new_sections_of_level_0_wait_for_older_ones_that_they_meet() {
    let older = vec![
        section(0, 1, "a", "m", 40),
        section(0, 2, "a", "m", 40),
        section(0, 3, "a", "m", 40),
        section(0, 4, "a", "m", 40),
    ];
    let mut busy = Busy::default();
    let job = pick(&version(older.clone()), &busy, &options()).unwrap();
    assert_eq!(files(&job), [1, 2, 3, 4]);
    busy.start(&job);

    let mut later = older.clone();
    later.extend((5..9).map(|file| section(0, file, "c", "d", 40)));
    assert!(pick(&version(later), &busy, &options()).is_none());

    let mut later = older;
    later.extend((5..9).map(|file| section(0, file, "n", "z", 40)));
    let job = pick(&version(later), &busy, &options()).unwrap();
    assert_eq!(files(&job), [5, 6, 7, 8]);
}

#[test]
fn a_large_level_0_leaves_oldest_first() {
    let version = version((1..=20).map(|file| section(0, file, "a", "z", 100)).collect());

    let job = pick(&version, &Busy::default(), &options()).unwrap();

    assert_eq!(files(&job), (1..=10).collect::<Vec<u64>>(), "the oldest gibibyte");
}

#[test]
fn a_range_is_compacted_level_by_level_to_the_last() {
    let version = version(vec![
        section(0, 1, "a", "b", 1),
        section(4, 2, "c", "d", 1),
        section(5, 3, "c", "e", 1),
        with_tombstones(section(6, 4, "c", "d", 1), 1),
        section(6, 5, "x", "y", 1),
    ]);
    let busy = Busy::default();
    let ask = |lo: &str, hi: &str, busy: &Busy| {
        let bounds = (Some(lo.as_bytes()), Some(hi.as_bytes()));
        match pick_range(&version, busy, &options(), KS, bounds.0, bounds.1) {
            RangePick::Job(job) => Some((files(&job), job.output_level().0)),
            RangePick::Busy => Some((Vec::new(), 99)),
            RangePick::Done => None,
        }
    };

    assert_eq!(ask("x", "z", &busy), None);
    assert_eq!(ask("b", "c", &busy).map(|(_, level)| level), Some(4));
    assert_eq!(ask("c", "d", &busy), Some((vec![2, 3], 5)));
    assert_eq!(ask("e", "f", &busy).map(|(files, _)| files), Some(vec![3, 4, 5]));
    let mut running = Busy::default();
    let RangePick::Job(job) = pick_range(&version, &busy, &options(), KS, None, None) else {
        panic!("there is something to do");
    };
    running.start(&job);
    assert_eq!(ask("a", "b", &running), Some((Vec::new(), 99)), "it has to wait");
}
