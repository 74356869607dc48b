//! Loom models of what the engine does without locks: the very functions, over loom's words.
//!
//! Each file is about one invariant of `docs/architecture.md`, "Commit" and "Positions". What is
//! too large for loom (arenas, files) is replaced by [`small`], which has the same steps
//! in the same order around the real ones. Every model was seen to fail when the order that it is
//! about was broken; each says which.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib models`

mod close;
mod group_commit;
mod install;
mod publish;
mod reading;
mod small;
mod snapshots;

use crate::mem::epoch;

/// Checks all executions with at most so many preemptions (`LOOM_MAX_PREEMPTIONS` overrides it): more
/// find no other bugs in practice, and there are too many executions otherwise.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    builder.check(move || {
        model();
        // What was retired goes while loom still runs.
        epoch::help();
    });
}
