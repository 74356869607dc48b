//! A disk that fills up: at every amount of room, and what happens when there is room again.

use super::super::history::History;
use super::super::life::{End, Life, alone, small};
use super::super::script::{Session, Step, Stop, delete, is_want_of_room, put, put_synced, puts};
use crate::base::options::LogMode;
use crate::vfs::sim::SimFs;

/// What is written, with room or without.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = puts(0, 20).collect();
    steps.extend([Step::Flush, put_synced(1), delete(2), Step::Compact(0)]);
    steps.extend(puts(1, 20));
    steps.extend([Step::Work, put_synced(5), Step::Flush, Step::Idle, put(6)]);
    steps
}

/// Runs the steps with this much room; returns how many failed for want of it.
fn run_with(quota: Option<u64>, log_mode: LogMode) -> Result<(u64, u64), Stop> {
    let options = small(log_mode);
    let mut history = History::new();
    let life = Life::on(SimFs::new(), &options);
    let mut session = Session::open(&life, &mut history)?;
    session.step(&put(0))?;
    life.fs.set_quota(quota);
    let mut refusals = 0;
    for step in steps() {
        match session.step(&step) {
            Err(Stop::Failed(error)) if is_want_of_room(&error) => refusals += 1,
            outcome => outcome?,
        }
    }
    session.check()?;
    let used = life.fs.files().iter().map(|(_, bytes)| bytes).sum();
    // There is room again: writing goes on by itself, or after the reopening that every error of a
    // stopped database asks for.
    life.fs.set_quota(None);
    life.os.advance_ns(1 << 30);
    if session.takes_writes() {
        for step in [Step::Work, put(7), put_synced(0), Step::Flush, Step::Compact(0), put(1)] {
            session.step(&step)?;
        }
        session.check()?;
    }
    drop(session);
    for end in End::all(refusals) {
        let mut history = history.clone();
        history.suffer(end != End::Death);
        let life = Life::on(end.of(&life.fs), &options);
        let mut session = Session::open(&life, &mut history)?;
        session.step(&put_synced(2))?;
        session.check()?;
    }
    Ok((refusals, used))
}

#[test]
fn a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room_again() {
    for log_mode in [LogMode::Auto, LogMode::Written] {
        let (refusals, _) = alone(|| run_with(None, log_mode)).unwrap();
        assert_eq!(refusals, 0);
        let mut met = 0;
        for quota in (12_000..80_000).step_by(257) {
            let ran = alone(|| run_with(Some(quota), log_mode));
            let (refusals, used) =
                ran.unwrap_or_else(|stop| panic!("{log_mode:?}, {quota} bytes: {stop:?}"));
            assert!(used <= quota.max(21_000), "{used} bytes are used of {quota}");
            met += refusals;
        }
        assert!(met > 100, "{log_mode:?}: the disk was full only {met} times");
    }
}
