//! Failing calls: every call of the operating system fails once, or from then on, and the engine
//! returns errors, loses nothing that it acknowledged, and goes on where it can.

mod room;
mod sweep;

use super::crash::Scenario;
use super::crash::scenarios;
use super::life::{alone, small};
use crate::base::options::LogMode;
use sweep::{Malice, sweep};

/// The scenarios that are swept: all but those in which steps fail anyway.
fn chosen() -> Vec<Scenario> {
    scenarios::all().into_iter().filter(|scenario| !scenario.may_lack_room).collect()
}

fn all_survive(malice: Malice) {
    let mut sum = 0;
    for scenario in chosen() {
        for log_mode in [LogMode::Auto, LogMode::Written] {
            let runs = alone(|| sweep(&scenario, &small(log_mode), malice));
            println!("{malice:?}: {:<32} {log_mode:<8?} {runs:>6} runs", scenario.name);
            sum += runs;
        }
    }
    println!("{malice:?}: {sum} runs");
    assert!(sum > 1_500, "{sum} runs are too few");
}

#[test]
fn a_call_that_fails_once_loses_nothing_acknowledged() {
    all_survive(Malice::Once);
}

#[test]
fn a_disk_that_fails_for_good_loses_nothing_acknowledged() {
    all_survive(Malice::ForGood);
}

#[test]
fn a_disk_that_is_full_from_some_call_on_loses_nothing_acknowledged() {
    all_survive(Malice::Full);
}

#[test]
fn a_failed_sync_that_drops_data_loses_nothing_acknowledged() {
    all_survive(Malice::Dropping);
}
