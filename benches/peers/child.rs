//! The child process: one engine, told what to do line by line on its input, answering each step
//! with one line of JSON. Memory, processor time and crashes are thus the engine's own.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::adapters;
use crate::chance::Zipf;
use crate::clock::{ticks_per_sec, to_micros};
use crate::engine::{Engine, Feature, Outcome, Settings};
use crate::json::Record;
use crate::keys::Values;
use crate::machine::{self, Meter};
use crate::step::{Kind, Step};
use crate::work::{Bench, SLOT_SECS, Total};

/// What the parent says once, as the child's argument.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) engine: String,
    pub(crate) folder: PathBuf,
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) settings: Settings,
    /// The memory cgroup to enter; "" for none.
    pub(crate) group: String,
}

impl Orders {
    pub(crate) fn line(&self) -> String {
        let mut record = Record::default();
        record.set_text("engine", &self.engine);
        record.set_text("folder", &self.folder.to_string_lossy());
        record.set_text("library", &self.settings.library);
        record.set_text("group", &self.group);
        record.set("keys", self.keys as f64);
        record.set("value_bytes", self.value_bytes as f64);
        record.set("write_buffer", self.settings.write_buffer as f64);
        record.set("cache", self.settings.cache as f64);
        record.set("filter_bits", f64::from(self.settings.filter_bits));
        record.set("durable", f64::from(u8::from(self.settings.durable)));
        record.line()
    }

    fn parse(line: &str) -> Option<Self> {
        let record = Record::parse(line)?;
        Some(Self {
            engine: record.text("engine").to_owned(),
            folder: PathBuf::from(record.text("folder")),
            keys: record.number("keys")? as u64,
            value_bytes: record.number("value_bytes")? as usize,
            settings: Settings {
                write_buffer: record.number("write_buffer")? as u64,
                cache: record.number("cache")? as u64,
                filter_bits: record.number("filter_bits")? as u32,
                durable: record.number("durable")? > 0.0,
                library: record.text("library").to_owned(),
            },
            group: record.text("group").to_owned(),
        })
    }
}

/// Works until the input ends.
pub(crate) fn main(orders: &str) -> Outcome<()> {
    // SAFETY: a number as argument; the child shall not outlive its parent, even while stopped.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let orders = Orders::parse(orders).ok_or("orders that cannot be read")?;
    if !orders.group.is_empty() {
        let place = Path::new(&orders.group).join("cgroup.procs");
        fs::write(place, process::id().to_string()).map_err(|error| error.to_string())?;
    }
    ticks_per_sec();
    let known = adapters::known(&orders.engine).ok_or("an unknown engine")?;
    let values = Values::new(orders.value_bytes);
    let present = orders.keys;
    let mut child =
        Child { known, orders, values, db: None, zipf: None, present, version: 0, salt: 0 };
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let step = Step::parse(&line).ok_or("a step that cannot be read")?;
        let record = child.step(step).unwrap_or_else(|error| {
            let mut record = Record::default();
            record.set_text("error", &error);
            record
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{}", record.line()).and_then(|()| out.flush()).map_err(|e| e.to_string())?;
    }
    child.close()
}

struct Child {
    known: &'static adapters::Known,
    orders: Orders,
    values: Values,
    db: Option<Box<dyn Engine>>,
    zipf: Option<Zipf>,
    present: u64,
    version: u32,
    salt: u64,
}

impl Child {
    fn open(&mut self) -> Outcome<()> {
        if self.db.is_none() {
            self.db = Some((self.known.open)(&self.orders.folder, &self.orders.settings)?);
        }
        Ok(())
    }

    fn close(&mut self) -> Outcome<()> {
        self.db.take().map_or(Ok(()), Engine::close)
    }

    fn step(&mut self, step: Step) -> Outcome<Record> {
        machine::reset_peak();
        match step.kind {
            Kind::Fresh => {
                self.close()?;
                let _ = fs::remove_dir_all(&self.orders.folder);
                self.open()?;
                self.present = self.orders.keys;
                let mut record = Record::default();
                if let Some(db) = &self.db {
                    record.set_text("version", &db.version());
                }
                Ok(record)
            }
            // SAFETY: ends the process at once, as kill would: nothing is closed or flushed.
            Kind::Crash => unsafe { libc::_exit(9) },
            Kind::Reopen => {
                self.close()?;
                self.control(Self::open)
            }
            Kind::Close => self.control(Self::close),
            Kind::Settle => {
                self.open()?;
                self.control(|child| child.db.as_ref().map_or(Ok(()), |db| db.settle()))
            }
            _ => self.work(step),
        }
    }

    /// A step without operations: only its time counts.
    fn control(&mut self, act: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<Record> {
        let (meter, began) = (Meter::now(), Instant::now());
        act(self)?;
        let secs = began.elapsed().as_secs_f64();
        let mut record = Record::default();
        record.set("secs", secs);
        self.costs(&mut record, meter, secs);
        Ok(record)
    }

    fn work(&mut self, step: Step) -> Outcome<Record> {
        self.open()?;
        self.version += 1;
        self.salt += 1;
        let is_skewed = step.kind.name().starts_with("ycsb");
        if is_skewed && self.zipf.is_none() {
            self.zipf = Some(Zipf::new(self.orders.keys));
        }
        let Some(db) = &self.db else { return Err("closed".to_owned()) };
        let needed = match step.kind {
            Kind::MultiGet => Some(Feature::MultiGet),
            Kind::ReadPages | Kind::Scan => Some(Feature::Pages),
            _ => None,
        };
        let mut record = Record::default();
        if needed.is_some_and(|feature| !db.has(feature)) {
            record.set_text("absent", "not in the interface");
            return Ok(record);
        }
        let zipf = self.zipf.as_ref();
        let mut bench = Bench::new(db.as_ref(), step, self.orders.keys, &self.values, zipf);
        bench.present = self.present;
        bench.version = self.version;
        bench.salt = self.salt;
        // Where it is the disk that is waited for.
        bench.stays = !self.orders.group.is_empty() || step.kind == Kind::FillSync;
        let meter = Meter::now();
        let total = bench.run()?;
        self.present = total.present;
        figures(&mut record, &total);
        self.costs(&mut record, meter, total.secs);
        Ok(record)
    }

    fn costs(&self, record: &mut Record, before: Meter, secs: f64) {
        let now = Meter::now();
        let cpu = now.cpu - before.cpu;
        record.set("cpu_secs", rounded(cpu, 3));
        let others = (now.busy - before.busy - cpu).max(0.0);
        record.set("other_cpus", rounded(others / secs.max(0.01), 2));
        record.set("peak_bytes", machine::peak_bytes());
        record.set("called_bytes", now.called - before.called);
        record.set("dirtied_bytes", now.dirtied - before.dirtied);
        record.set("disk_bytes", machine::disk_bytes(&self.orders.folder));
    }
}

fn figures(record: &mut Record, total: &Total) {
    record.set("ops", total.ops as f64);
    record.set("secs", total.secs);
    record.set("rate", rounded(total.ops as f64 / total.secs.max(1e-9), 1));
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        record.set(name, rounded(to_micros(total.hist.percentile(part)), 3));
    }
    record.set("max", rounded(to_micros(total.hist.max()), 1));
    record.set("wrong", total.wrong as f64);
    if total.beside > 0 {
        record.set("beside_rate", rounded(total.beside as f64 / total.secs, 0));
    }
    record.set("slot_secs", SLOT_SECS);
    let slots: Vec<String> = total.slots.iter().map(u64::to_string).collect();
    record.set_text("slots", &slots.join(" "));
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
