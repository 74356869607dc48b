//! Crashes at every call of the operating system, in every state of a database.
//!
//! [`scenarios`] are what processes do, [`enumerate`] ends them. `LSMER_LONG=1` tries more seeds and
//! crashes recoveries of recoveries; both print what they counted.

mod destroy;
mod enumerate;
pub(super) mod scenarios;

use super::life::{alone, small};
use crate::base::options::LogMode;
use enumerate::{Plan, Tally, enumerate};
pub(super) use enumerate::{Scenario, Stage, fingerprint};

/// Whether this run is to try everything: `LSMER_LONG=1`.
pub(super) fn is_long() -> bool {
    std::env::var("LSMER_LONG").is_ok_and(|value| value == "1")
}

/// Tries all crashes of these scenarios with both kinds of log; there are at least `least` states.
fn survives(scenarios: &[Scenario], least: u64) {
    let mut tally = Tally::default();
    for scenario in scenarios {
        for log_mode in [LogMode::Auto, LogMode::Written] {
            let one = alone(|| enumerate(scenario, &small(log_mode), Plan::of_this_run()));
            println!("{:<32} {log_mode:<8?} {one:?}", scenario.name);
            tally.add(one);
        }
    }
    println!("{tally:?}");
    assert!(tally.states >= least, "{} states are fewer than {least}", tally.states);
}

#[test]
fn crashes_while_writing_lose_nothing_acknowledged() {
    survives(&scenarios::writes(), 20_000);
}

#[test]
fn crashes_among_unlogged_writes_lose_at_most_those() {
    survives(&scenarios::unlogged(), 4_000);
}

#[test]
fn crashes_of_flush_and_compaction_lose_nothing_acknowledged() {
    survives(&scenarios::tables(), 25_000);
}

#[test]
fn crashes_while_keyspaces_come_and_go_bring_nothing_back() {
    survives(&scenarios::keyspaces(), 18_000);
}

#[test]
fn crashes_of_close_lose_nothing_acknowledged() {
    survives(&scenarios::closing(), 25_000);
}

#[test]
fn crashes_of_recovery_lose_nothing_acknowledged() {
    survives(&scenarios::recovery(), 40_000);
}

#[test]
fn crashes_in_extremes_lose_nothing_acknowledged() {
    survives(&scenarios::extremes(), 40_000);
}

#[test]
fn crashes_while_space_is_given_back_lose_nothing_acknowledged() {
    survives(&scenarios::idling(), 10_000);
}
