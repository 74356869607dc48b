//! Random histories compared with plain maps: every option, every operation, many snapshots.
//!
//! A run is drawn whole from its seed; `LSMER_SEED=n` runs that one alone. A failure tells the
//! seed, what was drawn, and the last operations.

mod draw;
mod run;
mod scan;
mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::life::alone;
use draw::Setup;
use run::{Counts, Run};

/// Operations of one run.
const OPERATIONS: u64 = 25_000;
/// Runs of each of the two tests.
const RUNS: u64 = 40;

/// Runs the history of one seed.
fn run(seed: u64) -> Counts {
    alone(|| run_here(seed))
}

fn run_here(seed: u64) -> Counts {
    let setup = Setup::draw(seed);
    let mut run = Run::new(&setup);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.go(OPERATIONS)));
    if let Err(panic) = outcome {
        println!("LSMER_SEED={seed} fails.\n{setup:#?}\nits last operations:{}", run.story());
        // What is left of the database may be in any state.
        std::mem::forget(run);
        resume_unwind(panic);
    }
    run.counts
}

/// Runs these seeds, or the one that the environment names.
fn run_all(seeds: std::ops::Range<u64>) {
    if let Some(seed) = std::env::var("LSMER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("{:?}", run(seed));
        return;
    }
    let mut sum = Counts::default();
    for seed in seeds {
        let counts = run(seed);
        println!("seed {seed}: {counts:?}");
        sum.add(counts);
    }
    println!("{sum:?}");
    assert!(sum.operations >= RUNS * OPERATIONS && sum.snapshots_max >= 8 && sum.on_empty > 0);
    assert!(sum.flushes > 1_000 && sum.compactions > 100 && sum.reopenings > 100, "{sum:?}");
}

#[test]
fn random_histories_read_as_plain_maps_do() {
    run_all(1..1 + RUNS);
}

#[test]
fn more_random_histories_read_as_plain_maps_do() {
    run_all(1001..1001 + RUNS);
}
