//! Failing calls: every call of the operating system fails once, or from then on, and the engine
//! returns errors, loses nothing that it acknowledged, and goes on where it can.

mod room;
mod sweep;

use super::crash::scenarios;
use super::crash::{Scenario, is_long};
use super::life::{alone, small};
use crate::base::options::LogMode;
use sweep::{Malice, sweep};

/// The scenarios that are swept: all of them in a long run.
fn chosen() -> Vec<Scenario> {
    let mut all = scenarios::all();
    all.retain(|scenario| !scenario.may_lack_room);
    if is_long() {
        return all;
    }
    let names = [
        "creation and close",
        "batches",
        "synced writes",
        "rotation under sync",
        "unlogged writes and close",
        "compaction",
        "compaction in the background",
        "snapshot",
        "keyspace dropped",
        "manifest written anew",
        "flush after a clean close",
        "close after a close, unsynced",
        "recovery beside tables",
        "oversized batch",
        "marks and close",
    ];
    let chosen: Vec<Scenario> = all.into_iter().filter(|s| names.contains(&s.name)).collect();
    assert_eq!(chosen.len(), names.len(), "a scenario has another name now");
    chosen
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
    assert!(sum > 500, "{sum} runs are too few");
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
