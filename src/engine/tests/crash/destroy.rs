//! Crashes while a database is destroyed: it is there whole, or gone, and destroying it again ends
//! what was begun.

use std::path::Path;
use std::sync::Arc;

use super::super::history::History;
use super::super::life::{End, Life, alone, small};
use super::super::look::look;
use super::super::machine::PATH;
use super::super::script::{Session, Step, put, put_synced, puts};
use crate::base::ErrorKind;
use crate::base::options::{LogMode, OpenOptions};
use crate::engine::Db;
use crate::vfs::sim::{Fault, SimFs};

/// A closed database with logs, tables and a manifest, all durable.
fn closed(options: &OpenOptions) -> (Arc<SimFs>, History) {
    let mut history = History::new();
    let life = Life::on(SimFs::new(), options);
    {
        let mut session = Session::open(&life, &mut history).unwrap();
        let steps: Vec<Step> = puts(0, 20).chain([Step::Flush, put(1), put_synced(2)]).collect();
        session.run(&steps).unwrap();
        session.close().unwrap();
    }
    (life.fs.process_death(), history)
}

fn destroy(life: &Life) -> crate::base::Result<()> {
    Db::destroy(&life.env, Path::new(PATH))
}

/// What is left must be the whole database or none, and room for a new one.
fn check(image: Arc<SimFs>, mut history: History, options: &OpenOptions, place: &str) {
    let must_exist = OpenOptions { must_exist: true, ..options.clone() };
    let life = Life::on(image.process_death(), &must_exist);
    match life.open() {
        Ok(db) => {
            let seen = look(&db, &history).unwrap();
            let settled = history.settle(&seen);
            settled.unwrap_or_else(|text| panic!("{place}: {text}"));
        }
        Err(error) => {
            let kinds = [ErrorKind::Invalid, ErrorKind::Corrupt];
            assert!(kinds.contains(&error.kind()), "{place}: {error:?}");
        }
    }
    let life = Life::on(image, options);
    match destroy(&life) {
        Ok(()) => {}
        // There is nothing left to destroy.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{place}: {error:?}"),
    }
    let mut empty = History::new();
    let opened = Session::open(&life, &mut empty).map(drop);
    assert!(opened.is_ok(), "{place}: a new database: {opened:?}");
}

fn all_crashes(log_mode: LogMode) -> u64 {
    let options = small(log_mode);
    let (disk, history) = closed(&options);
    let traced = Life::on(disk.process_death(), &options);
    traced.fs.start_trace();
    destroy(&traced).unwrap();
    let mut states = 0;
    for call in traced.fs.trace().iter().filter(|call| call.kind.changes()) {
        for fault in [Fault::crash_before(call.index), Fault::crash_after(call.index)] {
            let life = Life::on(disk.process_death(), &options);
            life.fs.arm(fault);
            assert!(destroy(&life).is_err() || life.fs.has_crashed());
            for end in End::all(call.index) {
                let place = format!("{log_mode:?}, {fault:?} ({call:?}), then {end:?}");
                check(end.of(&life.fs), history.clone(), &options, &place);
                states += 1;
            }
        }
    }
    states
}

#[test]
fn a_database_whose_destruction_was_cut_short_is_whole_or_gone() {
    for log_mode in [LogMode::Auto, LogMode::Written] {
        let states = alone(|| all_crashes(log_mode));
        assert!(states > 100, "{states} states are few");
    }
}
