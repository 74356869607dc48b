//! Failing reads, failing writes, cancelling, and keyspaces dropped meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use super::tree::{KS, Tree};
use crate::base::{ErrorKind, Level, Lsn, Result};
use crate::compaction::run::check_count;
use crate::compaction::{Job, Outcome};
use crate::manifest::VersionEdit;
use crate::merge::testing::{Owned, Random};
use crate::version::{LevelSizes, Version};

fn sizes() -> LevelSizes {
    LevelSizes { base_bytes: 1 << 20, multiplier: 10, level0_sections: 2, level0_bytes: 0 }
}

/// A tree with data in level 6 and a due level 0, nothing of it open, and the job for it.
fn tree_with_job() -> (Tree, Job) {
    let mut random = Random::new(11);
    let mut tree = Tree::new(sizes(), 300);
    for _ in 0..6 {
        tree.flush(&mut random, 12, 15);
    }
    tree.snapshots.push(Lsn(tree.next));
    tree.settle();
    for _ in 0..3 {
        tree.flush(&mut random, 12, 15);
    }
    reopen(&mut tree);
    let job = tree.pick().unwrap().job;
    assert!(job.inputs().len() > 4 && !job.is_move());
    (tree, job)
}

/// Closes every table, so that a job has to read everything again.
fn reopen(tree: &mut Tree) {
    tree.store.reopen_tables();
    let created = crate::version::testing::first_edit(&[0], Vec::new());
    let place = |(level, section): (Level, &crate::version::Section)| {
        let (file, section) = (section.handle().meta().clone(), section.meta().clone());
        crate::manifest::AddedSection { level, file, section }
    };
    let added = tree.version.sections().map(place).collect();
    let edit = VersionEdit { added, ..created };
    tree.version = Version::default().apply(&edit, &tree.store.tables).unwrap();
    tree.busy = crate::compaction::Busy::default();
}

fn attempt(tree: &Tree, job: &Job) -> Result<Outcome> {
    tree.try_run(job, &AtomicBool::new(false))
}

fn entries_after(tree: &mut Tree, outcome: &Outcome) -> Vec<(usize, Owned)> {
    tree.version = tree.version.apply(&outcome.edit, &tree.store.tables).unwrap();
    tree.stored()
}

/// Fails every call of a kind in turn: outputs are discarded, inputs kept, and a retry gives the
/// same data as a job that never failed.
fn fail_each(reads: bool) {
    let (mut sound, job) = tree_with_job();
    let outcome = attempt(&sound, &job).unwrap();
    let expected = entries_after(&mut sound, &outcome);
    let mut failures = 0;
    for fail_at in 1.. {
        let (mut tree, job) = tree_with_job();
        let faults = tree.store.dir.faults.clone();
        let (calls, fail) = if reads {
            (&faults.reads, &faults.fail_read_at)
        } else {
            (&faults.writes, &faults.fail_write_at)
        };
        let files = tree.store.dir.names();
        fail.store(calls.load(Ordering::Relaxed) + fail_at, Ordering::Relaxed);

        let failed = attempt(&tree, &job);

        let reached = calls.load(Ordering::Relaxed) >= fail.load(Ordering::Relaxed);
        fail.store(0, Ordering::Relaxed);
        let Err(error) = failed else {
            assert!(!reached, "call {fail_at} failed in silence");
            break;
        };
        failures += 1;
        assert_eq!(error.kind(), ErrorKind::Io, "call {fail_at}");
        assert_eq!(tree.store.dir.names(), files, "call {fail_at}");
        tree.check_reads();
        let outcome = attempt(&tree, &job).unwrap();
        assert!(tree.store.dir.synced.load(Ordering::Relaxed), "names are durable");
        assert_eq!(entries_after(&mut tree, &outcome), expected, "call {fail_at}");
        tree.check_reads();
    }
    assert!(failures > 3, "{failures}");
}

#[test]
fn a_failed_read_discards_outputs_keeps_inputs_and_a_retry_gives_the_same() {
    fail_each(true);
}

#[test]
fn a_failed_write_discards_outputs_keeps_inputs_and_a_retry_gives_the_same() {
    fail_each(false);
}

#[test]
fn a_cancelled_job_leaves_nothing_behind() {
    let (tree, job) = tree_with_job();
    let files = tree.store.dir.names();
    tree.throttled.set(0);
    let cancelled = AtomicBool::new(true);

    let stopped = tree.try_run(&job, &cancelled);

    assert_eq!(stopped.err().map(|e| e.kind()), Some(ErrorKind::Busy));
    assert_eq!(tree.store.dir.names(), files);
    assert_eq!(tree.throttled.get(), 0);
}

#[test]
fn a_job_is_cancelled_while_it_runs() {
    let mut tree = Tree::new(sizes(), 1 << 20);
    let mut random = Random::new(2);
    for half in 0..2 {
        let mut noise = || (0..125).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>();
        let entries =
            (0..400).map(|n| Owned::put(format!("{n:04}").as_bytes(), half * 400 + n, &noise()));
        tree.place(0, entries.collect());
    }
    tree.next = 800;
    let job = tree.pick().unwrap().job;
    let files = tree.store.dir.names();
    let cancelled = AtomicBool::new(false);
    let dir: std::sync::Arc<dyn crate::vfs::Dir> = tree.store.dir.clone();
    let context = crate::compaction::Context {
        dir: &dir,
        tables: &tree.store.tables,
        new_file: &|| tree.store.new_file(),
        random: &|| 1,
        options: &crate::version::testing::small_options(),
        snapshots: &[Lsn(1)],
        horizon: Lsn(800),
        cancelled: &cancelled,
        between: &|| {},
        throttle: &|bytes| {
            assert!(bytes > 0);
            cancelled.store(true, Ordering::Relaxed);
        },
    };

    let stopped = crate::compaction::run(&job, &context);

    assert!(cancelled.load(Ordering::Relaxed), "the throttle was told");
    assert_eq!(stopped.err().map(|e| e.kind()), Some(ErrorKind::Busy));
    assert_eq!(tree.store.dir.names(), files);
}

#[test]
fn the_throttle_hears_of_every_byte() {
    let (tree, job) = tree_with_job();
    tree.throttled.set(0);

    let outcome = attempt(&tree, &job).unwrap();

    assert_eq!(tree.throttled.get(), outcome.bytes_out);
    assert_eq!(outcome.edit.added.len(), outcome.outputs.len());
    assert!(outcome.entries_out < outcome.entries_in);
}

#[test]
fn the_result_for_a_dropped_keyspace_is_not_accepted_and_can_be_discarded() {
    let (mut tree, job) = tree_with_job();
    let files = tree.store.dir.names();
    let drop = VersionEdit { dropped: vec![KS], ..VersionEdit::default() };
    tree.version = tree.version.apply(&drop, &tree.store.tables).unwrap();

    let outcome = attempt(&tree, &job).unwrap();

    assert!(!tree.version.accepts(&outcome.edit));
    assert!(tree.store.dir.names().len() > files.len());
    outcome.discard(tree.store.dir.as_ref());
    assert_eq!(tree.store.dir.names(), files);
}

#[test]
fn an_input_with_fewer_entries_than_the_manifest_says_is_corrupt() {
    let mut tree = Tree::new(sizes(), 300);
    tree.flush(&mut Random::new(1), 5, 50);
    tree.flush(&mut Random::new(2), 5, 50);
    let job = tree.pick().unwrap().job;
    let short = check_count(&job, 9);

    assert_eq!(short.err().map(|e| e.kind()), Some(ErrorKind::Corrupt));
    assert!(check_count(&job, 10).is_ok());
}
