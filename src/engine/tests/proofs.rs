//! What the log says of itself is true at every moment: whatever is left of it after a loss of
//! power, no claim outlives what it claims.

use super::life::{End, Life, small};
use super::machine::{BUFFER, put, scan};
use crate::base::options::LogMode;
use crate::engine::Db;
use crate::vfs::sim::{Fault, PowerLoss, SimFs};

const WRITES: usize = 12;

/// Writes over several sectors, none synced; then the process dies at each call that `act` makes,
/// and power is lost in every way.
fn power_is_lost_during(log_mode: LogMode, act: impl Fn(&Db)) {
    let options = small(log_mode);
    for call in 0.. {
        let life = Life::on(SimFs::new(), &options);
        let db = life.open().unwrap();
        for i in 0..WRITES {
            put(&db, &format!("key{i:02}"), &"v".repeat(200), &BUFFER).unwrap();
        }
        life.fs.arm(Fault::crash_after(life.fs.calls() + call));
        act(&db);
        // What is left of single sectors is what most claims outlive: that is tried more often.
        let torn = (0..16).map(|seed| End::Power(PowerLoss::Independent, seed));
        for end in End::all(call).chain(torn) {
            let life = Life::on(end.of(&life.fs), &options);
            let db = life.open().unwrap_or_else(|error| {
                panic!("{log_mode:?}, call {call}, {end:?}: {error:?}");
            });
            let keys: Vec<_> = scan(&db).into_iter().map(|(key, _)| key).collect();
            let all: Vec<_> = (0..WRITES).map(|i| format!("key{i:02}")).collect();
            assert_eq!(keys, all[..keys.len()], "{log_mode:?}, call {call}, {end:?}");
            assert!(end != End::Death || keys.len() == WRITES);
        }
        if !life.fs.has_crashed() {
            assert!(call >= 2, "{call} calls are too few");
            return;
        }
    }
}

#[test]
fn a_mark_is_stored_after_what_it_proves_is_durable() {
    for log_mode in [LogMode::Auto, LogMode::Written] {
        power_is_lost_during(log_mode, |db| drop(db.mark()));
    }
}

#[test]
fn an_end_is_stored_after_what_it_proves_is_durable() {
    for log_mode in [LogMode::Auto, LogMode::Written] {
        power_is_lost_during(log_mode, |db| drop(db.close()));
    }
}
