//! What freezing keeps, drops and frees.

use super::*;
use crate::base::ErrorKind;
use crate::memtable::ordered::MERGE_WIDTH;

/// Versions 0 to 9 of one key; what is left of them after all was frozen.
fn left_after(ops: &[Op], snapshots: &[usize], horizon: usize) -> Vec<usize> {
    let engine = Engine::new(1 << 16, SHORT_SPANS);
    let numbers: Vec<u64> = ops.iter().map(|op| engine.write(std::slice::from_ref(op))).collect();
    // Position i sees versions 0 to i - 1.
    let position = |i: usize| Lsn(numbers.get(i).copied().unwrap_or(engine.visible().0));
    let snapshots: Vec<Lsn> = snapshots.iter().map(|&i| position(i)).collect();
    let horizon = position(horizon);
    engine.complete_span();

    engine.freeze(&snapshots, horizon);

    let left = collect(&mut engine.cursor(0, engine.visible()));
    let index = |number| numbers.iter().position(|&n| n == number).unwrap();
    let mut left: Vec<usize> = left.into_iter().map(|(_, number)| index(number)).collect();
    left.sort_unstable();
    left
}

fn puts(n: u8) -> Vec<Op> {
    (0..n).map(|i| put(b"key", &[i])).collect()
}

#[test]
fn only_the_newest_put_below_each_snapshot_and_the_horizon_is_kept() {
    assert_eq!(left_after(&puts(10), &[], 10), [9]);
    assert_eq!(left_after(&puts(10), &[3], 10), [2, 9]);
    assert_eq!(left_after(&puts(10), &[3, 7], 10), [2, 6, 9]);
    assert_eq!(left_after(&puts(10), &[0, 1, 10], 10), [0, 9]);
    assert_eq!(left_after(&puts(10), &[], 5), [4, 5, 6, 7, 8, 9]);
    assert_eq!(left_after(&puts(10), &[2], 5), [1, 4, 5, 6, 7, 8, 9]);
    assert_eq!(left_after(&puts(10), &[], 0), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn deletes_and_merge_operands_and_their_base_are_kept() {
    let mut ops = puts(6);
    ops[2] = delete(b"key");
    ops[4].kind = Kind::Merge;

    // 0 and 1 are hidden by the delete; 3 is the base of the operand; 5 hides all of them, and
    // with them the put 3, but never the operand and the delete.
    assert_eq!(left_after(&ops, &[], 6), [2, 4, 5]);
    assert_eq!(left_after(&ops[..5], &[], 5), [2, 3, 4]);
}

#[test]
fn versions_of_other_keys_hide_nothing() {
    let ops = [put(b"key", b"1"), put(b"keys", b"2"), put(b"ke", b"3"), put_in(1, b"key", b"4")];

    assert_eq!(left_after(&ops, &[], 4), [0, 1, 2]);
}

#[test]
fn merging_runs_drops_by_the_same_rule() {
    // One version per list, so that only merges can drop anything.
    let engine = Engine::new(1 << 18, SHORT_SPANS);
    let mut numbers = Vec::new();
    for i in 0..4 * MERGE_WIDTH {
        numbers.push(engine.write(&[put(b"key", &i.to_le_bytes())]));
        engine.complete_span();
    }
    let snapshot = Lsn(numbers[5] + 1);

    engine.freeze(&[snapshot], engine.visible());

    let left = collect(&mut engine.cursor(0, engine.visible()));
    assert!(left.len() < numbers.len());
    assert_eq!(left.first().map(|(_, number)| *number), numbers.last().copied());
    assert!(left.contains(&(b"key".to_vec(), numbers[5])));
    assert_eq!(collect(&mut engine.cursor(0, snapshot)).first().unwrap().1, numbers[5]);
}

#[test]
fn reader_between_snapshot_and_horizon_gets_the_truth_or_is_told_to_come_back() {
    let engine = Engine::new(1 << 18, SHORT_SPANS);
    let numbers: Vec<u64> = (0..100_u8).map(|i| engine.write(&[put(b"key", &[i])])).collect();
    let snapshot = Lsn(numbers[10]);
    engine.complete_span();
    engine.freeze(&[snapshot], engine.visible());

    for (i, number) in (0_u8..).zip(&numbers) {
        assert_eq!(engine.value(b"key", number + 1), Some(vec![i]));
    }
    let refused = engine.table.cursor(KeyspaceId(0), Lsn(numbers[50])).err();
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Busy));
    assert_eq!(collect(&mut engine.cursor(0, snapshot)).len(), 1);
    // At most two of each run: the newest, and the one that the snapshot sees.
    let left = collect(&mut engine.cursor(0, engine.visible())).len();
    assert!(left <= engine.runs() + 1);
}

#[test]
fn cursor_at_the_end_of_a_generation_works_although_freezing_saw_a_later_horizon() {
    let engine = Engine::new(1 << 18, SHORT_SPANS);
    for i in 0..100_u8 {
        engine.write(&[put(b"key", &[i])]);
    }
    engine.complete_span();
    let end = engine.visible();

    while engine.table.freeze_step(end.plus(1 << 30), &[], end.plus(1 << 30)) {}

    let cursor = engine.table.cursor(KeyspaceId(0), end);
    assert!(!collect(&mut cursor.unwrap()).is_empty());
}

#[test]
fn long_entry_makes_no_row_of_empty_arrays() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    engine.write(&[put(b"a", b"1")]);
    engine.write(&[put(b"b", &vec![1; 500_000])]);
    engine.write(&[put(b"c", b"3")]);

    engine.freeze_all_kept();

    assert_eq!(engine.runs(), 1);
    assert_eq!(collect(&mut engine.cursor(0, engine.visible())).len(), 3);
    assert_eq!(engine.value(b"c", u64::MAX), Some(b"3".to_vec()));
}

#[test]
fn what_is_not_published_is_not_frozen() {
    let engine = Engine::new(1 << 16, SHORT_SPANS);
    engine.write(&[put(b"a", b"1")]);
    let ops = [put(b"b", b"2")];
    let unmarked = engine.write_unmarked(&ops, 0);
    engine.complete_span();

    engine.freeze_all_kept();
    assert_eq!(engine.frozen_to(), 0);
    assert_eq!(collect(&mut engine.cursor(0, Lsn(u64::MAX))).len(), 1);
    engine.publish(unmarked, &ops);
    engine.freeze_all_kept();

    assert!(engine.frozen_to() > 0);
    assert_eq!(collect(&mut engine.cursor(0, engine.visible())).len(), 2);
}

#[test]
fn runs_stay_few_and_what_they_replace_is_freed() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    for i in 0..4_000_u32 {
        engine.write(&[put(&i.to_be().to_le_bytes(), b"value")]);
    }
    let spans = engine.unfrozen();

    engine.freeze_all_kept();

    assert!(spans > 60, "{spans} spans");
    assert!(engine.unfrozen() <= 1);
    assert!(engine.runs() <= 4 * (MERGE_WIDTH - 1), "{} runs", engine.runs());
    assert_eq!(engine.garbage.pending(), 0);
    assert!(engine.table.ordered.memory_bytes() < 4_000 * 44);
    assert_eq!(collect(&mut engine.cursor(0, engine.visible())).len(), 4_000);
}

#[test]
fn what_a_reader_had_to_sort_is_there_for_the_next_one() {
    let engine = Engine::new(1 << 20, SPAN_BYTES);
    let write = |from: u32, to: u32| {
        for i in from..to {
            engine.write(&[put(&i.to_be().to_le_bytes(), b"value")]);
        }
        collect(&mut engine.cursor(0, engine.visible())).len()
    };

    // Few entries are sorted again with those that follow; many become an array.
    assert_eq!(write(0, 100), 100);
    assert_eq!((engine.runs(), engine.frozen_to()), (0, 0));
    assert_eq!(write(100, 200), 200);
    assert_eq!(write(200, 2_000), 2_000);
    assert_eq!(engine.runs(), 1);
    assert_eq!(engine.unfrozen(), 0);
    assert_eq!(write(2_000, 2_010), 2_010);
    assert_eq!(engine.runs(), 1);
    assert_eq!(engine.table.entry_count(), 2_010);
}

#[test]
fn reader_at_an_old_position_sees_the_same_beside_what_a_newer_one_sorted() {
    let engine = Engine::new(1 << 20, SPAN_BYTES);
    let numbers: Vec<u64> = (0..100_u8).map(|i| engine.write(&[put(&[i], &[i])])).collect();
    let seen = |at: u64| collect(&mut engine.cursor(0, Lsn(at))).len();

    assert_eq!(seen(numbers[50]), 50);
    assert_eq!(seen(engine.visible().0), 100);
    assert_eq!(seen(numbers[50]), 50);
    assert_eq!(seen(numbers[50] + 1), 51);
    assert_eq!(seen(numbers[0]), 0);
}

#[test]
fn readers_who_fill_the_list_at_once_see_all_and_leave_each_entry_once() {
    for _ in 0..20 {
        let engine = Engine::new(1 << 20, SPAN_BYTES);
        for step in 1..=4_u32 {
            for i in 0..200_u32 {
                engine.write(&[put(&(i * 4 + step).to_be().to_le_bytes(), b"value")]);
            }
            let (at, want) = (engine.visible(), step as usize * 200);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(collect(&mut engine.cursor(0, at)).len(), want));
                }
            });
            assert_eq!((engine.runs(), engine.table.ordered.listed()), (0, want));
        }
    }
}

/// A generation of some thousand keys, frozen into several runs.
fn some_runs() -> Engine {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    for i in 0..4_000_u32 {
        engine.write(&[put(&(i % 1_000).to_be().to_le_bytes(), &i.to_le_bytes())]);
    }
    engine.freeze_all_kept();
    assert!(engine.runs() > 1);
    engine
}

#[test]
fn seeks_that_cost_more_than_a_merge_make_one_run_of_all() {
    let engine = some_runs();
    let before = collect(&mut engine.cursor(0, engine.visible()));
    let runs = engine.runs();

    assert!(!engine.table.gather_step(10, &[], Lsn(0)), "a few seeks pay for nothing");
    assert_eq!(engine.runs(), runs);
    assert!(engine.table.gather_step(1_000_000, &[], Lsn(0)));

    assert_eq!(engine.runs(), 1);
    assert_eq!(collect(&mut engine.cursor(0, engine.visible())), before);
}

#[test]
fn one_run_is_never_merged_however_many_seeks_there_were() {
    let engine = some_runs();
    assert!(engine.table.gather_step(u64::MAX, &[], Lsn(0)));

    assert!(!engine.table.gather_step(u64::MAX, &[], Lsn(0)));
    engine.freeze_all_kept();
    assert!(!engine.table.gather_step(u64::MAX, &[], Lsn(0)));
}

#[test]
fn gathering_drops_by_the_same_rule_as_freezing() {
    let engine = Engine::new(1 << 18, SHORT_SPANS);
    let mut numbers = Vec::new();
    for i in 0..MERGE_WIDTH - 1 {
        numbers.push(engine.write(&[put(b"key", &i.to_le_bytes())]));
        engine.complete_span();
    }
    let snapshot = Lsn(numbers[0] + 1);
    engine.freeze(&[snapshot], engine.visible());
    assert_eq!(collect(&mut engine.cursor(0, engine.visible())).len(), numbers.len());

    assert!(engine.table.gather_step(u64::MAX, &[snapshot], engine.visible()));

    let left = collect(&mut engine.cursor(0, engine.visible()));
    let left: Vec<u64> = left.into_iter().map(|(_, number)| number).collect();
    assert_eq!(left, [numbers[MERGE_WIDTH - 2], numbers[0]]);
    let refused = engine.table.cursor(KeyspaceId(0), Lsn(numbers[1])).err();
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Busy));
}

#[test]
fn runs_that_follow_a_gathered_one_are_merged_by_rank_again() {
    let engine = Engine::new(1 << 22, SHORT_SPANS);
    for round in 0..40_u32 {
        for i in 0..400_u32 {
            engine.write(&[put(&i.to_be().to_le_bytes(), &round.to_le_bytes())]);
        }
        engine.freeze_all_kept();
        engine.table.gather_step(u64::MAX, &[], Lsn(0));
        assert_eq!(engine.runs(), 1);
    }
    for i in 0..4_000_u32 {
        engine.write(&[put(&i.to_be().to_le_bytes(), b"last")]);
    }

    engine.freeze_all_kept();

    assert!(engine.runs() <= 4 * (MERGE_WIDTH - 1), "{} runs", engine.runs());
}

#[test]
fn beside_a_freeze_a_reader_puts_a_little_into_the_list_and_sorts_much_for_himself() {
    let engine = Engine::new(1 << 20, SPAN_BYTES);
    let seen = || collect(&mut engine.cursor(0, engine.visible())).len();
    let counts = || (engine.runs(), engine.table.ordered.listed());
    let write = |from: u32, to: u32| {
        for i in from..to {
            engine.write(&[put(&i.to_be().to_le_bytes(), b"value")]);
        }
    };
    let freezing = engine.table.ordered.hold_freezing();

    write(0, 2_000);
    assert_eq!((seen(), counts()), (2_000, (0, 2_000)));
    write(2_000, 8_000);
    assert_eq!((seen(), counts()), (8_000, (0, 2_000)));
    drop(freezing);

    assert_eq!((seen(), engine.runs(), engine.unfrozen()), (8_000, 1, 0));
}
