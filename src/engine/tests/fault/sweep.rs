//! One fault at every call of a scenario, without a crash.
//!
//! A script goes on after errors. Whatever fails: nothing panics or hangs; errors are those of the
//! failed call; a database that still takes writes serves them again when the fault is over; one
//! that stopped names the first cause in every later write; reads go on and show all that was
//! published; and after reopening nothing is lost that was acknowledged. One thread.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::crash::{Scenario, Stage, fingerprint, is_long};
use super::super::history::History;
use super::super::life::{End, Life};
use super::super::look::look;
use super::super::script::{Outcome, Session, Step, Stop, put, put_synced};
use crate::base::options::OpenOptions;
use crate::base::{Error, ErrorKind};
use crate::vfs::sim::{Call, CallKind, Fault, Repeat, SimFs};

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Malice {
    /// The chosen call fails.
    Once,
    /// The chosen call and every later one fail.
    ForGood,
    /// The chosen call, which takes room, and all later ones of its kind find the disk full.
    Full,
    /// The chosen sync fails and forgets what it should have made durable.
    Dropping,
}

impl Malice {
    /// The fault at this call, if there is one of this kind.
    ///
    /// A directory that was just made is not among the syncs that forget: a later one cannot make
    /// up for that, and an opener cannot know.
    fn at(self, call: &Call, is_inside: bool) -> Option<Fault> {
        use CallKind::{Allocate, Create, Sync, SyncDir, SyncMap, Write};
        let Call { index, kind, .. } = *call;
        match self {
            Self::Once => Some(Fault::fail(index, libc::EIO)),
            Self::ForGood => Some(Fault::fail(index, libc::EIO).repeated(Repeat::Always)),
            Self::Full if matches!(kind, Write | Allocate | Create) => {
                Some(Fault::fail(index, libc::ENOSPC).repeated(Repeat::SameKind))
            }
            Self::Dropping if matches!(kind, Sync | SyncMap) || kind == SyncDir && is_inside => {
                Some(Fault::fail_dropping(index, libc::EIO))
            }
            Self::Full | Self::Dropping => None,
        }
    }
}

/// Sweeps over all stages of a scenario; returns how many runs there were.
pub(super) fn sweep(scenario: &Scenario, options: &OpenOptions, malice: Malice) -> u64 {
    let mut disk = SimFs::new();
    let mut history = History::new();
    let mut runs = 0;
    for (number, stage) in scenario.stages.iter().enumerate() {
        let life = Life::on(disk.process_death(), options);
        life.fs.start_trace();
        let mut sound = history.clone();
        let mut events = Events::default();
        let ran = run(&life, &mut sound, stage, &mut events).map(drop);
        let name = format!("{} ({:?}), stage {number}", scenario.name, options.log_mode);
        assert!(ran.is_ok() && events.failures == 0, "{name}: {ran:?} without a fault");
        let calls = life.fs.trace();
        let mut known = HashSet::new();
        let mut is_inside = false;
        for call in &calls {
            is_inside |= call.kind == CallKind::List;
            let Some(fault) = malice.at(call, is_inside) else { continue };
            runs += 1;
            let life = Life::on(disk.process_death(), options);
            life.fs.arm(fault);
            let outcome = suffer(&life, history.clone(), stage, call.index, &mut known);
            if let Err(stop) = outcome {
                panic!("{name}, {malice:?} at {call:?}: {stop:?}");
            }
        }
        disk = stage.end.of(&life.fs);
        sound.suffer(stage.end != End::Death);
        history = sound;
    }
    runs
}

/// What happened in a script that goes on after errors.
#[derive(Debug, Default)]
struct Events {
    /// Steps that failed.
    failures: u64,
    /// Whether the database is open in the end.
    is_open: bool,
}

/// Runs a stage that meets a fault, and everything that must be true behind it.
fn suffer(
    life: &Life,
    mut history: History,
    stage: &Stage,
    number: u64,
    known: &mut HashSet<u64>,
) -> Outcome<()> {
    let mut events = Events::default();
    let mut session = run(life, &mut history, stage, &mut events)?;
    life.fs.disarm();
    life.os.advance_ns(1 << 40);
    if !events.is_open {
        drop(session);
        return reopen(&life.fs, &history, number, known, &life.options);
    }
    // Reads go on, whatever failed.
    session.check()?;
    go_on(&mut session)?;
    if !session.takes_writes() {
        refused(&mut session, &Step::Sync)?;
        refused(&mut session, &put(3))?;
        refused(&mut session, &put_synced(3))?;
        session.check()?;
    }
    reopen(&life.fs, session.history, number, known, &life.options)?;
    if session.takes_writes() {
        session.close()?;
    } else {
        assert!(session.db.close().is_err());
    }
    drop(session);
    reopen(&life.fs, &history, number + 1, known, &life.options)
}

/// Writing goes on when the fault is over, unless it stopped, which a late failure may still tell:
/// a manifest that could not be finished is not written to again.
fn go_on(session: &mut Session<'_>) -> Outcome<()> {
    if !session.takes_writes() {
        return Ok(());
    }
    session.resume()?;
    for step in [Step::Work, put(3), Step::Flush, Step::Work, put_synced(4), Step::Compact(0)] {
        match session.step(&step) {
            Err(Stop::Failed(error)) if !session.takes_writes() => return is_honest(&error),
            outcome => outcome?,
        }
    }
    session.check()
}

/// Opens the database, if need be again without the fault, and runs the steps of a stage; goes on
/// after errors.
fn run<'a>(
    life: &'a Life,
    history: &'a mut History,
    stage: &Stage,
    events: &mut Events,
) -> Outcome<Session<'a>> {
    // After a failed open nothing is open and nothing is lost.
    let db = match life.open() {
        Ok(db) => db,
        Err(error) => {
            is_honest(&error)?;
            events.failures += 1;
            life.fs.disarm();
            life.open().map_err(Stop::Failed)?
        }
    };
    let seen = match look(&db, history) {
        Err(Stop::Failed(error)) => {
            is_honest(&error)?;
            events.failures += 1;
            life.fs.disarm();
            look(&db, history)?
        }
        seen => seen?,
    };
    let mut session = Session::adopt(life, db, history, &seen)?;
    events.is_open = true;
    for step in &stage.steps {
        let stopped = !session.takes_writes();
        let cause = session.db.health().cause;
        match session.step(step) {
            Ok(()) => {}
            Err(Stop::Failed(error)) => {
                events.failures += 1;
                is_honest(&error)?;
                if stopped && matches!(step, Step::Write(..)) {
                    is_cause(&error, cause.as_ref())?;
                }
                // Background work that failed is tried again after a while.
                life.os.advance_ns(1 << 30);
            }
            Err(stop) => return Err(stop),
        }
    }
    if stage.closes {
        events.is_open = false;
        match session.close() {
            Err(Stop::Failed(error)) => is_honest(&error)?,
            outcome => outcome?,
        }
    }
    Ok(session)
}

/// A step that a stopped database must refuse, with its cause.
fn refused(session: &mut Session<'_>, step: &Step) -> Outcome<()> {
    let cause = session.db.health().cause;
    match session.step(step) {
        Err(Stop::Failed(error)) => is_cause(&error, cause.as_ref()),
        Ok(()) => Err(Stop::Wrong(format!("{step:?} was done by a database that stopped"))),
        Err(stop) => Err(stop),
    }
}

/// The error of a later write is the standing cause.
fn is_cause(error: &Error, cause: Option<&Error>) -> Outcome<()> {
    match cause {
        Some(cause) if error.is_latched() && error.message() == cause.message() => Ok(()),
        _ => Err(Stop::Wrong(format!("{error:?} is not the standing cause {cause:?}"))),
    }
}

/// An error tells what failed: the operating system, not lsmer and not the stored bytes.
fn is_honest(error: &Error) -> Outcome<()> {
    match error.kind() {
        ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Busy => Ok(()),
        _ => Err(Stop::Wrong(format!("a failed call gives {error:?}"))),
    }
}

/// Opens what several ends leave; a write goes through each.
fn reopen(
    fs: &SimFs,
    history: &History,
    number: u64,
    known: &mut HashSet<u64>,
    options: &OpenOptions,
) -> Outcome<()> {
    let all: Vec<End> = if is_long() {
        End::all(number).collect()
    } else {
        vec![End::Death, End::chosen(number), End::chosen(number + 5)]
    };
    for end in all {
        let mut history = history.clone();
        history.suffer(end != End::Death);
        let image: Arc<SimFs> = end.of(fs);
        if end != End::Death && !known.insert(fingerprint(&image, &history)) {
            continue;
        }
        image.set_quota(None);
        let life = Life::on(image, options);
        let opened = Session::open(&life, &mut history).and_then(|mut session| {
            session.step(&put_synced(1))?;
            session.check()
        });
        opened.map_err(|stop| Stop::Wrong(format!("after {end:?}: {stop:?}")))?;
        life.fs.crash();
    }
    Ok(())
}
