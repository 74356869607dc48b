//! The parts of the comparison with other engines whose errors would show only as wrong figures:
//! chance, keys and values, the histogram, the lines between its processes.

#![allow(dead_code, reason = "the benchmark uses the rest")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "as in the benchmark"
)]

#[path = "../benches/peers/chance.rs"]
mod chance;
#[path = "../benches/peers/hist.rs"]
mod hist;
#[path = "../benches/peers/json.rs"]
mod json;
#[path = "../benches/peers/keys.rs"]
mod keys;
#[path = "../benches/peers/step.rs"]
mod step;

use chance::{Chance, Permutation, Zipf};
use hist::Hist;
use json::Record;
use keys::{Expected, Values};
use step::{Kind, Step};

#[test]
fn a_permutation_meets_every_number_once() {
    for count in [1, 2, 3, 100, 1023, 4096, 10_007] {
        let order = Permutation::new(count);

        let mut met: Vec<u64> = (0..count).map(|at| order.at(at)).collect();

        met.sort_unstable();
        assert!(met.iter().copied().eq(0..count), "{count} numbers");
    }
}

#[test]
fn a_permutation_has_no_order() {
    for count in [10_007, 500_000] {
        let order = Permutation::new(count);
        let numbers: Vec<u64> = (0..count).map(|at| order.at(at)).collect();

        let steps = || numbers.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        let rising = numbers.windows(2).filter(|pair| pair[0] < pair[1]).count() as f64;
        let mean = steps().sum::<u64>() as f64 / count as f64;
        let near = steps().filter(|&step| step < count / 100).count() as f64;
        let share = |part: f64| part / count as f64;

        // What independent numbers do: a half, a third, a fiftieth.
        assert!((0.48..0.52).contains(&share(rising)), "{count}: {} rise", share(rising));
        assert!((0.31..0.36).contains(&share(mean)), "{count}: mean step {}", share(mean));
        assert!((0.01..0.03).contains(&share(near)), "{count}: {} are near", share(near));
    }
}

#[test]
fn the_most_frequent_ranks_of_the_zipfian_distribution_have_their_share() {
    const DRAWS: u32 = 200_000;
    const COUNT: u64 = 10_000;
    let (zipf, mut chance) = (Zipf::new(COUNT), Chance::new(1));

    let mut seen = vec![0_u32; COUNT as usize];
    for _ in 0..DRAWS {
        seen[zipf.rank(&mut chance) as usize] += 1;
    }

    let zeta: f64 = (1..=COUNT).map(|i| (i as f64).powf(-0.99)).sum();
    for (rank, &seen) in seen.iter().enumerate().take(2) {
        let wanted = ((rank + 1) as f64).powf(-0.99) / zeta;
        let share = f64::from(seen) / f64::from(DRAWS);
        assert!((share / wanted - 1.0).abs() < 0.05, "rank {rank}: {share}, wanted {wanted}");
    }
    assert!(seen.iter().filter(|&&seen| seen > 0).count() > 5_000, "the tail is met, too");
}

#[test]
fn numbers_below_a_limit_are_spread_over_it() {
    let mut chance = Chance::new(7);
    let mut seen = [0_u32; 10];

    for _ in 0..100_000 {
        seen[chance.below(10) as usize] += 1;
    }

    assert!(seen.iter().all(|&seen| (9_500..10_500).contains(&seen)), "{seen:?}");
}

#[test]
fn keys_are_ordered_as_their_numbers_and_missing_ones_lie_between() {
    for number in [0, 1, 4, 5, 49, 50, 999_999, 5_000_000_000] {
        assert!(keys::key(number) < keys::missing_key(number), "{number}");
        assert!(keys::missing_key(number) < keys::key(number + 1), "{number}");
    }
    assert_eq!(&keys::key(61), b"0000000000000122");
}

#[test]
fn keys_are_the_digits_of_twice_their_numbers() {
    let mut chance = Chance::new(3);
    let drawn = (0..100_000).map(|i| chance.next() >> (12 + i % 50));
    for number in (0..20_000).chain(drawn).map(|number| number % 5_000_000_000_000_000) {
        let text = format!("{:016}", 2 * number);
        assert_eq!(keys::key(number), *text.as_bytes(), "{number}");
    }
}

#[test]
fn expected_keys_count_forward_and_backward() {
    let mut expected = Expected::at(0);
    for number in 0..2_500 {
        assert_eq!((expected.number, expected.key), (number, keys::key(number)));
        expected.advance();
    }
    for number in (0..2_500).rev() {
        expected.retreat();
        assert_eq!((expected.number, expected.key), (number, keys::key(number)));
    }
}

#[test]
fn a_value_is_known_and_a_changed_one_is_not() {
    for bytes in [16, 17, 100, 4096] {
        let values = Values::new(bytes);
        let mut value = vec![0; bytes];
        values.make(77, 3, &mut value);
        assert!(values.check(77, &value));
        assert!(!values.check(78, &value), "of another number");
        assert!(!values.check(77, &value[1..]), "too short");

        // Of long values eight bytes of each 64 are looked at.
        let step = if bytes > 272 { 64 } else { 1 };
        for at in (0..16).chain((16..bytes).step_by(step)) {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(!values.check(77, &changed), "{bytes} bytes, changed at {at}");
        }
    }
}

#[test]
fn percentiles_are_within_a_thirtieth_of_the_truth_and_never_below() {
    let mut hist = Hist::new();
    for value in 1..=100_000_u64 {
        hist.add(value * 7);
    }

    for (part, truth) in [(0.5, 350_000.0), (0.99, 693_000.0), (0.999, 699_300.0)] {
        let told = hist.percentile(part) as f64;
        assert!(told >= truth && told <= truth * (1.0 + 1.0 / 30.0), "{part}: {told}");
    }
    assert_eq!(hist.max(), 700_000);
    assert_eq!(hist.percentile(1.0), 700_000);
}

#[test]
fn a_histogram_takes_every_value_and_adds_up() {
    let (mut one, mut other) = (Hist::new(), Hist::new());
    assert_eq!(one.percentile(0.5), 0, "of nothing");
    for bits in 0..64 {
        one.add(1 << bits);
        other.add(u64::MAX >> bits);
    }

    one.merge(&other);

    assert_eq!(one.max(), u64::MAX);
    assert_eq!(one.percentile(1.0), u64::MAX);
    assert_eq!(one.percentile(0.001), 1);
    one.clear();
    assert_eq!((one.max(), one.percentile(0.9)), (0, 0));
}

#[test]
fn records_and_steps_come_back_from_their_lines() {
    let mut record = Record::default();
    record.set("rate", 1234.5);
    record.set("ops", 3e15);
    record.set_text("said", "a \"quoted\" \\ line\nand, more: {}");
    record.set_text("nothing", "");

    assert_eq!(Record::parse(&record.line()), Some(record));
    assert_eq!(Record::parse("{}"), Some(Record::default()));
    for broken in ["", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1 \"b\":2}", "{\"a\":\"b}"] {
        assert_eq!(Record::parse(broken), None, "{broken}");
    }

    let step = Step::new(Kind::Seek, 2, 50).secs(1.5);
    assert_eq!(Step::parse(&step.line()), Some(step));
    assert_eq!(step.label(), "seekrandom+50/2");
}
