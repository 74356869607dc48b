//! Random histories: after every compaction each snapshot reads what it read before.

use std::collections::BTreeMap;

use super::tree::{KS, Pending, Tree};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Kind, Level, Lsn, filename};
use crate::compaction::{RangePick, pick_range};
use crate::merge::testing::Random;
use crate::merge::{MergeCursor, VisibleCursor};
use crate::version::{AnyCursor, LevelSizes};
use crate::vfs::Dir;

fn tiny_sizes(random: &mut Random) -> LevelSizes {
    LevelSizes {
        base_bytes: [1, 300, 2000][random.below(3)],
        multiplier: 2,
        level0_sections: 1 + random.below(3),
        level0_bytes: [0, 500][random.below(2)],
    }
}

fn keep_snapshots(tree: &mut Tree, random: &mut Random) {
    if random.below(2) == 0 && tree.snapshots.len() < 14 {
        tree.snapshots.push(Lsn(tree.next));
    }
    if tree.snapshots.len() > 9 && random.below(3) == 0 {
        let at = 1 + random.below(tree.snapshots.len() - 1);
        tree.snapshots.remove(at);
    }
}

/// Advances some pending job by a step, or picks another one.
fn advance(tree: &mut Tree, random: &mut Random, pending: &mut Vec<Pending>) {
    if pending.len() < 3 && random.below(2) == 0 {
        pending.extend(tree.pick());
        return;
    }
    if pending.is_empty() {
        return;
    }
    let at = random.below(pending.len());
    if pending[at].outcome.is_none() {
        tree.run(&mut pending[at]);
        return;
    }
    tree.install(pending.swap_remove(at));
    tree.check_reads();
    tree.check_order();
}

fn manual(tree: &mut Tree, random: &mut Random) {
    let bound = |random: &mut Random| format!("{:04}", random.below(5)).into_bytes();
    let lo = (random.below(2) == 0).then(|| bound(random));
    let hi = (random.below(2) == 0).then(|| bound(random));
    let options = tree.pick_options();
    let range = pick_range(&tree.version, &tree.busy, &options, KS, lo.as_deref(), hi.as_deref());
    if let RangePick::Job(job) = range {
        let mut pending = tree.start(*job);
        tree.run(&mut pending);
        tree.install(pending);
        tree.check_reads();
        tree.check_order();
    }
}

#[test]
fn every_snapshot_reads_the_same_after_every_compaction() {
    let (mut by_level, mut moves, mut dropped) = ([0; LEVEL_COUNT], 0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let sizes = tiny_sizes(&mut random);
        let target = [1, 200, 5000][random.below(3)];
        let mut tree = Tree::new(sizes, target);
        let mut pending = Vec::new();
        for _ in 0..8 {
            tree.flush(&mut random, 2, 4);
            tree.snapshots.push(Lsn(tree.next));
        }
        for _ in 0..150 {
            match random.below(8) {
                0 => tree.flush(&mut random, 2, 4),
                1 => keep_snapshots(&mut tree, &mut random),
                2 => manual(&mut tree, &mut random),
                _ => advance(&mut tree, &mut random, &mut pending),
            }
        }
        for (sum, count) in by_level.iter_mut().zip(*tree.installed.borrow()) {
            *sum += count;
        }
        moves += tree.moves.get();
        dropped += tree.history.len() - tree.stored().len();
    }
    assert!(by_level[1..].iter().all(|&jobs| jobs > 0), "every level was written: {by_level:?}");
    assert!(moves > 0 && dropped > 500, "{moves} moves, {dropped} versions dropped");
}

#[test]
fn jobs_side_by_side_do_not_disturb_each_other() {
    let mut most = 0;
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut tree = Tree::new(tiny_sizes(&mut random), [100, 400][random.below(2)]);
        let mut pending = Vec::new();
        for _ in 0..250 {
            match random.below(9) {
                0 | 1 => {
                    let (first, keys) = (random.below(60), 1 + random.below(8));
                    tree.flush_range(&mut random, 4, first..first + keys);
                }
                2 => keep_snapshots(&mut tree, &mut random),
                3..=5 if pending.len() < 6 => pending.extend(tree.pick()),
                _ => advance(&mut tree, &mut random, &mut pending),
            }
            most = most.max(pending.len());
        }
    }
    assert!(most > 3, "{most} at once");
}

/// A scan that began some time ago, and what it has yet to show.
struct Reader {
    cursor: VisibleCursor<AnyCursor>,
    rest: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[test]
fn scans_go_on_while_everything_below_them_is_compacted_and_deleted() {
    let mut random = Random::new(9);
    let mut tree = Tree::new(tiny_sizes(&mut random), 300);
    let mut readers: Vec<Reader> = Vec::new();
    let mut finished = 0;
    for _ in 0..300 {
        tree.flush(&mut random, 6, 40);
        tree.settle();
        if readers.len() < 12 {
            let merged = MergeCursor::new(tree.version.cursors_in(KS, None, None).unwrap());
            let cursor = VisibleCursor::new(merged, Lsn(tree.next), 0, None, None);
            readers.push(Reader { cursor, rest: tree.expected(tree.next) });
        }
        for reader in &mut readers {
            let found = reader.cursor.next().unwrap();
            let here =
                found.then(|| (reader.cursor.key().to_vec(), reader.cursor.value().to_vec()));
            assert_eq!(here, reader.rest.pop_first());
        }
        let before = readers.len();
        readers.retain(|reader| reader.cursor.is_positioned());
        finished += before - readers.len();
    }

    assert!(finished > 50, "{finished}");
    drop(readers);
    for number in tree.store.tables.take_unused() {
        tree.store.dir.remove(&filename::table(number)).unwrap();
    }
    let files = tree.store.dir.names().len();
    assert_eq!(files, tree.version.live_files().len(), "nothing is left over");
}

#[test]
fn without_readers_nothing_is_left_but_the_newest_values() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let sizes = tiny_sizes(&mut random);
        let mut tree = Tree::new(sizes, 200);
        for _ in 0..60 {
            tree.flush(&mut random, 2, 4);
            if random.below(4) == 0 {
                tree.settle();
            }
        }

        loop {
            let options = tree.pick_options();
            match pick_range(&tree.version, &tree.busy, &options, KS, None, None) {
                RangePick::Job(job) => {
                    let mut pending = tree.start(*job);
                    tree.run(&mut pending);
                    tree.install(pending);
                }
                RangePick::Busy => panic!("nothing runs"),
                RangePick::Done => break,
            }
        }

        let stored = tree.stored();
        assert!(stored.iter().all(|(_, e)| e.kind == Kind::Put), "{stored:?}");
        assert_eq!(stored.len(), tree.expected(tree.next).len());
        let stats = tree.version.stats();
        assert!(stats[..LEVEL_COUNT - 1].iter().all(|level| level.files == 0), "{stats:?}");
        tree.check_reads();
        tree.check_order();
    }
}

#[test]
fn compaction_comes_to_rest_in_shape() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let sizes =
            LevelSizes { base_bytes: 2000, multiplier: 3, level0_sections: 4, level0_bytes: 0 };
        let mut tree = Tree::new(sizes, 500);
        for _ in 0..120 {
            tree.flush(&mut random, 10, 300);
            if random.below(3) == 0 {
                tree.settle();
            }
        }

        tree.settle();

        let levels = tree.version.levels(KS).unwrap();
        let bytes = levels.level_bytes();
        let targets = sizes.targets(&bytes);
        assert!(levels.sections(Level(0)).len() < 4);
        assert!(bytes.iter().zip(&targets.bytes).all(|(have, most)| have <= most), "{bytes:?}");
        assert_eq!(tree.version.debt_bytes(&sizes), 0);
        assert!(tree.busy.is_empty());
        tree.check_reads();
        tree.check_order();
    }
}

#[test]
fn versions_of_one_key_stay_in_one_table() {
    let mut random = Random::new(3);
    let mut tree = Tree::new(LevelSizes { level0_sections: 1, ..LevelSizes::default() }, 1);
    for _ in 0..20 {
        tree.flush(&mut random, 4, 2);
        tree.snapshots.push(Lsn(tree.next));
    }

    tree.settle();

    let sections = tree.version.levels(KS).unwrap().sections(Level(6));
    let keys: Vec<_> = sections.iter().map(|s| (&s.meta().smallest, &s.meta().largest)).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(sections.iter().all(|s| s.meta().entries > 5), "{keys:?}");
    tree.check_reads();
}
