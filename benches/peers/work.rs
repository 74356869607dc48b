//! One measured step: threads, a common start, what they count, and what comes of it.
//!
//! A closed loop: each thread begins an operation when its last one has ended, so that the time of
//! a stall is one long operation, not the many that a client on a schedule would have seen wait.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::chance::{Chance, Permutation, Zipf, mix};
use crate::clock::{ticks, to_secs, to_ticks};
use crate::engine::{Engine, Outcome};
use crate::hist::Hist;
use crate::keys::Values;
use crate::loops;
use crate::machine;
use crate::step::{Kind, Step};

/// Seconds of one point of throughput over time.
pub(crate) const SLOT_SECS: f64 = 0.05;

/// What all threads of a step share.
pub(crate) struct Bench<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) step: Step,
    /// Keys below this number were filled in.
    pub(crate) keys: u64,
    /// Keys below this number are there when the step begins.
    pub(crate) present: u64,
    pub(crate) values: &'a Values,
    /// Of the values that the step writes.
    pub(crate) version: u32,
    pub(crate) zipf: Option<&'a Zipf>,
    pub(crate) permutation: Permutation,
    /// Counts steps, so that each has other keys.
    pub(crate) salt: u64,
    /// Whether each thread stays on one processor.
    pub(crate) stays: bool,
    /// How many keys each thread has inserted. Written by that thread with Release after the put,
    /// read by all with Acquire: whoever sees the count finds the key.
    inserted: Vec<Padded>,
    /// Set once when the readers have ended; read by the writer beside them. Nothing else hangs
    /// on it, so Relaxed.
    stop: AtomicBool,
    start: Barrier,
}

#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

/// What a step came to.
pub(crate) struct Total {
    pub(crate) ops: u64,
    pub(crate) secs: f64,
    /// Reads that gave a wrong answer, or none.
    pub(crate) wrong: u64,
    pub(crate) hist: Hist,
    /// Operations in each [`SLOT_SECS`].
    pub(crate) slots: Vec<u64>,
    /// Operations of the writer beside the readers.
    pub(crate) beside: u64,
    /// As [`Bench::present`], afterwards.
    pub(crate) present: u64,
}

/// What one thread counts.
pub(crate) struct Worker<'a> {
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) id: usize,
    pub(crate) chance: Chance,
    /// A value to write.
    pub(crate) value: Vec<u8>,
    pub(crate) wrong: u64,
    /// The tick at which it is to end.
    pub(crate) until: u64,
    ops: u64,
    hist: Hist,
    slots: Vec<u64>,
    slot_end: u64,
    slot_ticks: u64,
    began: u64,
    ended: u64,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
        engine: &'a dyn Engine,
        step: Step,
        keys: u64,
        values: &'a Values,
        zipf: Option<&'a Zipf>,
    ) -> Self {
        let extra = usize::from(step.kind == Kind::ReadWhileWriting);
        Self {
            engine,
            step,
            keys,
            present: keys,
            values,
            version: 1,
            zipf,
            permutation: Permutation::new(keys),
            salt: 0,
            stays: false,
            inserted: (0..step.threads).map(|_| Padded::default()).collect(),
            stop: AtomicBool::new(false),
            start: Barrier::new(step.threads + extra),
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The first operation of a thread and how many it has.
    pub(crate) fn share(&self, id: usize) -> (u64, u64) {
        let kind = self.step.kind;
        let bounded = kind.is_fill() || matches!(kind, Kind::DeleteRandom | Kind::Check);
        let ops = if bounded { self.step.ops.min(self.keys) } else { self.step.ops };
        let each = ops / self.step.threads as u64;
        (each * id as u64, each)
    }

    /// The number of the next key that a thread inserts.
    pub(crate) fn next_insert(&self, id: usize) -> u64 {
        let done = self.inserted[id].0.load(Ordering::Relaxed);
        self.present + done * self.step.threads as u64 + id as u64
    }

    pub(crate) fn has_inserted(&self, id: usize) {
        let done = self.inserted[id].0.load(Ordering::Relaxed);
        self.inserted[id].0.store(done + 1, Ordering::Release);
    }

    /// Keys below this number are there now.
    pub(crate) fn present_now(&self) -> u64 {
        let done = self.inserted.iter().map(|count| count.0.load(Ordering::Acquire));
        self.present + done.min().unwrap_or(0) * self.step.threads as u64
    }

    /// Runs the step.
    pub(crate) fn run(&self) -> Outcome<Total> {
        let (readers, beside) = thread::scope(|scope| {
            let spawn = |id| scope.spawn(move || self.thread(id));
            let readers: Vec<_> = (0..self.step.threads).map(spawn).collect();
            let writer = (self.step.kind == Kind::ReadWhileWriting)
                .then(|| scope.spawn(|| self.thread(self.step.threads)));
            let readers: Vec<_> = readers.into_iter().map(join).collect();
            self.stop.store(true, Ordering::Relaxed);
            (readers, writer.map(join))
        });
        let beside = beside.transpose()?;
        let mut workers = readers.into_iter().collect::<Outcome<Vec<_>>>()?;
        let began = workers.iter().map(|worker| worker.began).min().unwrap_or(0);
        let ended = workers.iter().map(|worker| worker.ended).max().unwrap_or(0);
        let mut hist = Hist::new();
        let mut slots = Vec::new();
        for worker in &mut workers {
            hist.merge(&worker.hist);
            slots.resize(slots.len().max(worker.slots.len()), 0);
            slots.iter_mut().zip(&worker.slots).for_each(|(sum, ops)| *sum += ops);
        }
        Ok(Total {
            ops: workers.iter().map(|worker| worker.ops).sum(),
            secs: to_secs(ended - began),
            wrong: workers.iter().map(|worker| worker.wrong).sum(),
            hist,
            slots,
            beside: beside.map_or(0, |worker| worker.ops),
            present: self.close_gaps()?,
        })
    }

    /// Inserts, outside the measured time, what slower threads have left out.
    fn close_gaps(&self) -> Outcome<u64> {
        let done: Vec<u64> =
            self.inserted.iter().map(|count| count.0.load(Ordering::Acquire)).collect();
        let most = done.iter().copied().max().unwrap_or(0);
        let mut session = self.engine.session()?;
        let mut value = vec![0; self.values.bytes()];
        for (id, &done) in done.iter().enumerate() {
            for turn in done..most {
                let number = self.present + turn * self.step.threads as u64 + id as u64;
                self.values.make(number, self.version, &mut value);
                session.put(&crate::keys::key(number), &value, false)?;
            }
        }
        Ok(self.present + most * self.step.threads as u64)
    }

    fn thread(&self, id: usize) -> Outcome<Worker<'_>> {
        if self.stays {
            machine::stay_on(id);
        }
        let mut worker = Worker::new(self, id);
        let mut session = self.engine.session();
        let writer = id == self.step.threads;
        let mut done = Ok(());
        if let (Ok(session), true, false) = (&mut session, self.warms_up(), writer) {
            worker.until = ticks() + to_ticks(self.step.secs / 8.0);
            done = loops::run(&mut worker, session.as_mut());
        }
        // Also after an error, as the others wait.
        self.start.wait();
        done?;
        worker.begin();
        if writer {
            loops::write_beside(&mut worker, session?.as_mut())?;
        } else {
            loops::run(&mut worker, session?.as_mut())?;
        }
        worker.ended = ticks();
        Ok(worker)
    }

    /// Whether an eighth of the time is spent before measuring, on caches and table handles.
    fn warms_up(&self) -> bool {
        let kind = self.step.kind;
        let scans_all = matches!(kind, Kind::ReadSeq | Kind::ReadPages | Kind::ReadReverse);
        self.step.secs > 0.0 && !kind.is_fill() && !scans_all
    }
}

fn join<'a>(handle: thread::ScopedJoinHandle<'_, Outcome<Worker<'a>>>) -> Outcome<Worker<'a>> {
    handle.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
}

impl<'a> Worker<'a> {
    fn new(bench: &'a Bench<'a>, id: usize) -> Self {
        Self {
            bench,
            id,
            chance: Chance::new(mix(bench.salt) ^ id as u64),
            value: vec![0; bench.values.bytes()],
            wrong: 0,
            until: u64::MAX,
            ops: 0,
            hist: Hist::new(),
            slots: Vec::new(),
            slot_end: ticks(),
            slot_ticks: to_ticks(SLOT_SECS),
            began: 0,
            ended: 0,
        }
    }

    fn begin(&mut self) {
        self.ops = 0;
        self.hist.clear();
        self.slots.clear();
        self.began = ticks();
        self.slot_end = self.began;
        let limit = self.bench.step.secs;
        self.until = if limit > 0.0 { self.began + to_ticks(limit) } else { u64::MAX };
    }

    /// Whether nothing is done yet.
    pub(crate) fn is_new(&self) -> bool {
        self.ops == 0
    }

    /// Notes that `ops` operations ended, the first of which began at `began`.
    pub(crate) fn note(&mut self, began: u64, ops: u64) {
        let now = ticks();
        self.hist.add(now - began);
        self.count(now, ops);
    }

    /// Counts operations without a duration.
    pub(crate) fn count(&mut self, now: u64, ops: u64) {
        self.ops += ops;
        while now >= self.slot_end {
            self.slots.push(0);
            self.slot_end += self.slot_ticks;
        }
        if let Some(slot) = self.slots.last_mut() {
            *slot += ops;
        }
    }
}
