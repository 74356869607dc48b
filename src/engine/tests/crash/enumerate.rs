//! Every crash of a scenario: at each call of the operating system, before it, after it, and torn
//! within it; by the death of the process and by nine ways to lose power.
//!
//! 1. A stage of a scenario runs once with its calls traced.
//! 2. For each call that changes anything it runs again on a copy of its disk and dies there.
//! 3. What each end leaves is opened, compared with what the history allows, written to once more,
//!    ended once more, opened and compared again: a *state*.
//! 4. For some of them recovery itself is traced and made to die at each of its calls, as deep as
//!    the plan says; what that leaves is checked in the same way.
//!
//! What two losses of power at one moment leave is often the same; equal disks with equal histories
//! are checked once. Everything follows from the scenario and call numbers: what fails once fails
//! again. One thread.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::history::{Content, History};
use super::super::life::{End, Life};
use super::super::look::look;
use super::super::script::{Session, Step, Stop, is_want_of_room, put, put_synced};
use crate::base::ErrorKind;
use crate::base::options::OpenOptions;
use crate::vfs::sim::{Call, CallKind, Effect, Fault, SimFs};

/// What one process does, and how it ends.
#[derive(Clone, Debug)]
pub(in super::super) struct Stage {
    pub(in super::super) steps: Vec<Step>,
    /// Whether the database is closed in the end.
    pub(in super::super) closes: bool,
    /// What happens before the next stage.
    pub(in super::super) end: End,
}

/// A life story of a database.
#[derive(Clone, Debug)]
pub(in super::super) struct Scenario {
    pub(in super::super) name: &'static str,
    pub(in super::super) stages: Vec<Stage>,
    /// Whether steps may fail for want of room.
    pub(in super::super) may_lack_room: bool,
    /// What must happen in it: so many calls of a kind on files whose names hold this.
    pub(in super::super) shows: Vec<(CallKind, &'static str, usize)>,
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Seeds for each loss of power.
    pub(super) seeds: u64,
    /// Of so many states one has its recovery crashed.
    pub(super) one_of: u64,
    /// Of so many states one has the recoveries of its crashed recoveries crashed; 0 is none.
    pub(super) deep_one_of: u64,
}

impl Plan {
    /// What every run of the tests does.
    const USUAL: Self = Self { seeds: 1, one_of: 60, deep_one_of: 0 };
    /// For hours when nobody waits.
    const LONG: Self = Self { seeds: 4, one_of: 5, deep_one_of: 2_000 };

    /// How deep the recovery of state `number`, from 1, is crashed.
    fn depth(&self, number: u64) -> u32 {
        let chosen = |one_of: u64| one_of > 0 && number % one_of == 1 % one_of;
        if chosen(self.deep_one_of) { 2 } else { u32::from(chosen(self.one_of)) }
    }

    /// The plan of this run: `LSMER_LONG=1` asks for everything.
    pub(super) fn of_this_run() -> Self {
        if super::is_long() { Self::LONG } else { Self::USUAL }
    }
}

/// What was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    /// Calls at which the process died.
    pub(super) calls: u64,
    /// What ends left, repetitions included.
    pub(super) images: u64,
    /// What was opened and checked.
    pub(super) states: u64,
    /// Those of them that were left by a recovery that died.
    pub(super) of_recovery: u64,
}

impl Tally {
    /// Adds what another one counted.
    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.images += other.images;
        self.states += other.states;
        self.of_recovery += other.of_recovery;
    }
}

/// Runs one stage on a life; tells how many steps failed for want of room.
fn run_stage(
    life: &Life,
    history: &mut History,
    stage: &Stage,
    may_lack_room: bool,
) -> Result<u64, Stop> {
    let mut session = Session::open(life, history)?;
    let mut refusals = 0;
    for step in &stage.steps {
        match session.step(step) {
            Err(Stop::Failed(error)) if may_lack_room && is_want_of_room(&error) => refusals += 1,
            outcome => outcome?,
        }
    }
    if stage.closes {
        session.close()?;
    }
    Ok(refusals)
}

/// Tries every crash of every stage.
pub(super) fn enumerate(scenario: &Scenario, options: &OpenOptions, plan: Plan) -> Tally {
    let mut tally = Tally::default();
    let mut disk = SimFs::new();
    let mut history = History::new();
    let mut calls = Vec::new();
    for (number, stage) in scenario.stages.iter().enumerate() {
        let name = format!("{} ({:?}), stage {number}", scenario.name, options.log_mode);
        let search = Search {
            stage,
            may_lack_room: scenario.may_lack_room,
            options,
            plan,
            start: (Arc::clone(&disk), history.clone()),
            name,
            known: HashSet::new(),
            tally: Tally::default(),
            firsts: 0,
            trace: Vec::new(),
        };
        let search = search.run();
        tally.add(search.tally);
        calls.extend(search.trace);
        (disk, history) = search.start;
    }
    for &(kind, name, least) in &scenario.shows {
        let found = calls.iter().filter(|call| call.kind == kind && call.file.contains(name));
        let found = found.count();
        assert!(found >= least, "{}: {found} calls {kind:?} on {name}", scenario.name);
    }
    tally
}

/// The search through one stage.
struct Search<'a> {
    stage: &'a Stage,
    may_lack_room: bool,
    options: &'a OpenOptions,
    plan: Plan,
    /// The disk and the history before the stage; in the end, behind it.
    start: (Arc<SimFs>, History),
    name: String,
    known: HashSet<u64>,
    tally: Tally,
    /// States that were not left by a recovery.
    firsts: u64,
    /// The calls of the stage.
    trace: Vec<Call>,
}

impl Search<'_> {
    /// Searches, and goes on to the end of the stage.
    fn run(mut self) -> Self {
        let (life, mut history) = self.fresh();
        life.fs.start_trace();
        match run_stage(&life, &mut history, self.stage, self.may_lack_room) {
            Ok(0) if self.may_lack_room => panic!("{}: there is room for everything", self.name),
            Ok(_) => {}
            Err(stop) => panic!("{}: without any crash the script stops: {stop:?}", self.name),
        }
        self.trace = life.fs.trace();
        for call in self.trace.clone().iter().filter(|call| call.kind.changes()) {
            self.tally.calls += 1;
            for effect in effects(call) {
                self.crash_at(call, effect);
            }
        }
        let next = self.stage.end.of(&life.fs);
        history.suffer(self.stage.end != End::Death);
        self.start = (next, history);
        self
    }

    fn fresh(&self) -> (Life, History) {
        (Life::on(self.start.0.process_death(), self.options), self.start.1.clone())
    }

    fn crash_at(&mut self, call: &Call, effect: Effect) {
        let (life, mut history) = self.fresh();
        life.fs.arm(Fault::crash_before(call.index).with_effect(effect));
        let stopped = run_stage(&life, &mut history, self.stage, self.may_lack_room);
        let place = format!("{}, call {} ({call:?}) does {effect:?}", self.name, call.index);
        match stopped {
            Err(Stop::Crashed) => {}
            // The last store of a script is not followed by anything that can fail.
            Ok(_) if life.fs.has_crashed() => {}
            other => panic!("{place}: the process should have died, but {other:?}"),
        }
        for end in ends(call.index, self.plan.seeds) {
            self.tally.images += 1;
            let mut history = history.clone();
            history.suffer(end != End::Death);
            let image = end.of(&life.fs);
            if !self.is_new(end, &image, &history) {
                continue;
            }
            let place = || format!("{place}, then {end:?}");
            self.firsts += 1;
            self.crash_recovery(&image, &history, self.plan.depth(self.firsts), &place);
            self.check(&image, &history, &place);
        }
    }
}

/// The ends that are tried at call `index`.
fn ends(index: u64, seeds: u64) -> impl Iterator<Item = End> {
    let more = (1..seeds).flat_map(move |seed| End::all(index * seeds + seed).skip(1));
    End::all(index * seeds).chain(more)
}

/// How much of a call is done before the process dies: nothing, all, and for calls that store bytes
/// quarters and, of longer ones, whole sectors.
fn effects(call: &Call) -> Vec<Effect> {
    let mut effects = vec![Effect::Nothing, Effect::Everything];
    if matches!(call.kind, CallKind::Write | CallKind::Store) && call.bytes > 1 {
        let mut cuts: Vec<u64> = (1..4).map(|quarter| call.bytes * quarter / 4).collect();
        cuts.extend((512..call.bytes).step_by(512));
        cuts.sort_unstable();
        cuts.dedup();
        effects.extend(cuts.into_iter().filter(|cut| *cut > 0).map(Effect::Bytes));
    }
    effects
}

/// What decides the outcome of everything that follows.
pub(in super::super) fn fingerprint(image: &SimFs, history: &History) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in image.files() {
        path.hash(&mut hasher);
        bytes.hash(&mut hasher);
        let content = image.read_file(&path).unwrap_or_default();
        hasher.write_u64(xxhash_rust::xxh3::xxh3_64(&content));
    }
    history.requirement().hash(&mut hasher);
    hasher.finish()
}

impl Search<'_> {
    /// Makes recovery die at each of its calls, and checks what that leaves; deeper ones first.
    fn crash_recovery(
        &mut self,
        image: &Arc<SimFs>,
        history: &History,
        depth: u32,
        place: &dyn Fn() -> String,
    ) {
        if depth == 0 {
            return;
        }
        let traced = image.process_death();
        traced.start_trace();
        // What dropping the database calls comes after the open and counts as well: its close.
        drop(Life::on(Arc::clone(&traced), self.options).open());
        for call in traced.trace().iter().filter(|call| call.kind.changes()) {
            for effect in effects(call) {
                let life = Life::on(image.process_death(), self.options);
                life.fs.arm(Fault::crash_before(call.index).with_effect(effect));
                drop(life.open());
                assert!(life.fs.has_crashed(), "{}: recovery did not die at {call:?}", place());
                for end in ends(call.index, 1) {
                    self.tally.images += 1;
                    let mut history = history.clone();
                    history.suffer(end != End::Death);
                    let left = end.of(&life.fs);
                    if !self.is_new(end, &left, &history) {
                        continue;
                    }
                    self.tally.of_recovery += 1;
                    let inner = || format!("recovery: {call:?} does {effect:?}, {end:?}");
                    let place = || format!("{}, {}", place(), inner());
                    self.crash_recovery(&left, &history, depth - 1, &place);
                    self.check(&left, &history, &place);
                }
            }
        }
    }

    /// Whether this was not checked before. The death of a process leaves what may yet be lost.
    fn is_new(&mut self, end: End, image: &SimFs, history: &History) -> bool {
        end == End::Death || self.known.insert(fingerprint(image, history))
    }

    /// Opens what is left, writes once more, ends that life too, and opens again.
    fn check(&mut self, image: &Arc<SimFs>, history: &History, place: &dyn Fn() -> String) {
        let number = self.tally.states;
        self.tally.states += 1;
        let check = || check_twice(image, history, self.options, number);
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(())) => {}
            Ok(Err(stop)) => panic!("{}: {stop:?}", place()),
            Err(panic) => panic!("{}: a panic (above), {:?}", place(), panic.type_id()),
        }
    }
}

fn check_twice(
    image: &Arc<SimFs>,
    history: &History,
    options: &OpenOptions,
    number: u64,
) -> Result<(), Stop> {
    let key = usize::try_from(number % 8).unwrap_or(0);
    let mut history = history.clone();
    let end = End::chosen(number);
    let shown = if number % 4 == 0 { Some(read_only(image, &history, options)?) } else { None };
    let second = {
        let life = Life::on(image.process_death(), options);
        life.fs.set_quota(None);
        let mut session = Session::open(&life, &mut history)?;
        if shown.is_some_and(|shown| shown != *session.history.certain()) {
            return Err(Stop::Wrong("a read-only open showed something else".to_owned()));
        }
        session.step(&put_synced(key))?;
        match number / 10 % 4 {
            0 => session.step(&put((key + 1) % 8))?,
            1 => session.close()?,
            2 => session.step(&Step::Flush)?,
            _ => {}
        }
        let second = end.of(&life.fs);
        life.fs.crash();
        second
    };
    history.suffer(end != End::Death);
    let life = Life::on(second, options);
    let session = Session::open(&life, &mut history)?;
    session.check()?;
    no_litter(&life.fs, &session)
}

/// What a read-only open shows. It changes nothing.
fn read_only(
    image: &Arc<SimFs>,
    history: &History,
    options: &OpenOptions,
) -> Result<Content, Stop> {
    let read_only = OpenOptions { read_only: true, ..options.clone() };
    let life = Life::on(image.process_death(), &read_only);
    life.fs.start_trace();
    let db = match life.open() {
        // The creation was cut short: there is nothing to read.
        Err(error) if error.kind() == ErrorKind::Invalid => return Ok(Content::default()),
        opened => opened.map_err(Stop::Failed)?,
    };
    let seen = look(&db, history)?;
    drop(db);
    let is_change = |call: &Call| call.kind.changes() && call.kind != CallKind::Lock;
    match life.fs.trace().into_iter().find(is_change) {
        None => Ok(seen.content),
        Some(call) => Err(Stop::Wrong(format!("a read-only open calls {call:?}"))),
    }
}

/// After an open nothing is left in the directory but what the database needs.
fn no_litter(fs: &SimFs, session: &Session<'_>) -> Result<(), Stop> {
    let files = fs.files();
    let count = |part: &str| files.iter().filter(|(path, _)| path.contains(part)).count() as u64;
    let tables = session.db.stat("tables").map_err(Stop::Failed)?;
    if count(".sst") != tables || count("MANIFEST-") != 1 || count(".tmp") != 0 {
        return Err(Stop::Wrong(format!("{tables} tables and one manifest need {files:?}")));
    }
    Ok(())
}
