//! The run: rounds, scenarios, steps, and within each step the engines one after the other, in an
//! order that turns, so that what else the machine does meets all of them alike.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::artefact::Artefact;
use crate::child::Orders;
use crate::engine::{Outcome, Settings};
use crate::json::Record;
use crate::machine;
use crate::plan::Scenario;
use crate::process::Process;
use crate::step::{Kind, Step};

/// Filter bits for each key.
const FILTER_BITS: u32 = 10;

pub(crate) struct Run<'a> {
    pub(crate) artefacts: &'a [Artefact],
    /// Where databases are made and wiped.
    pub(crate) databases: PathBuf,
    pub(crate) results: File,
    pub(crate) records: Vec<Record>,
}

impl Run<'_> {
    pub(crate) fn round(&mut self, round: usize, scenarios: &[Scenario]) -> Outcome<()> {
        for scenario in scenarios {
            println!(
                "== round {round}: {} ({} keys, values of {} bytes, write buffer {} MiB, \
                 cache {} MiB{})",
                scenario.name,
                scenario.keys,
                scenario.value_bytes,
                scenario.write_buffer >> 20,
                scenario.cache >> 20,
                if scenario.durable { ", synced" } else { "" },
            );
            // An engine that failed has no database for the later parts.
            let mut failed: Vec<bool> =
                self.artefacts.iter().map(|a| !scenario.includes(a.engine)).collect();
            for (part, steps) in scenario.parts.iter().enumerate() {
                self.part(round, scenario, part, steps, &mut failed)?;
            }
            for artefact in self.artefacts {
                let _ = fs::remove_dir_all(self.folder(artefact));
            }
        }
        Ok(())
    }

    fn folder(&self, artefact: &Artefact) -> PathBuf {
        self.databases.join(artefact.engine.name)
    }

    fn part(
        &mut self,
        round: usize,
        scenario: &Scenario,
        part: usize,
        steps: &[Step],
        failed: &mut [bool],
    ) -> Outcome<()> {
        let limit = scenario.memory_limit.filter(|_| part > 0);
        let mut processes: Vec<Option<Process>> = Vec::new();
        for (index, artefact) in self.artefacts.iter().enumerate() {
            if failed[index] {
                processes.push(None);
                continue;
            }
            if limit.is_some() {
                machine::forget_pages(&self.folder(artefact));
            }
            let orders = orders(artefact, scenario, &self.folder(artefact));
            let process = Process::start(&orders, limit);
            if let Err(error) = &process {
                println!("   {}: {error}", artefact.engine.name);
                failed[index] = true;
            }
            processes.push(process.ok());
        }
        for (at, step) in steps.iter().enumerate() {
            if step.kind.is_work() {
                machine::sync();
            }
            let mut said = String::new();
            for turn in 0..processes.len() {
                let index = (turn + at + round) % processes.len();
                let Some(process) = &mut processes[index] else { continue };
                let answer = process.ask(step);
                let told = self.keep(round, scenario, index, step, answer)?;
                let _ = write!(said, "  {} {told}", self.artefacts[index].engine.name);
                if told.starts_with("FAILED") {
                    processes[index] = None;
                    failed[index] = true;
                }
            }
            if step.kind != Kind::Fresh && step.kind != Kind::Crash {
                println!("   {:<18}{said}", step.label());
            }
        }
        Ok(())
    }

    /// Writes an answer into the results, and says it in short.
    fn keep(
        &mut self,
        round: usize,
        scenario: &Scenario,
        index: usize,
        step: &Step,
        answer: Outcome<Option<Record>>,
    ) -> Outcome<String> {
        let mut record = match answer {
            Ok(None) => return Ok("crashed".to_owned()),
            Ok(Some(record)) => record,
            Err(error) => {
                let mut record = Record::default();
                record.set_text("error", &error);
                record
            }
        };
        record.set_text("engine", self.artefacts[index].engine.name);
        record.set_text("scenario", scenario.name);
        record.set_text("label", &step.label());
        record.set("round", round as f64);
        record.set("threads", step.threads as f64);
        record.set("width", step.width as f64);
        record.set("keys", scenario.keys as f64);
        record.set("value_bytes", scenario.value_bytes as f64);
        writeln!(self.results, "{}", record.line()).map_err(|error| error.to_string())?;
        let told = match (record.text("error"), record.text("absent"), record.number("rate")) {
            ("", "", Some(rate)) if record.number("wrong") == Some(0.0) => human(rate),
            ("", "", Some(_)) => {
                format!("WRONG in {} reads", record.number("wrong").unwrap_or_default())
            }
            ("", "", None) => {
                format!("{:.4} s", record.number("secs").unwrap_or_default())
            }
            ("", _, _) => "-".to_owned(),
            (error, _, _) => format!("FAILED: {error}"),
        };
        self.records.push(record);
        Ok(told)
    }
}

fn orders(artefact: &Artefact, scenario: &Scenario, folder: &Path) -> Orders {
    Orders {
        engine: artefact.engine.name.to_owned(),
        folder: folder.to_owned(),
        keys: scenario.keys,
        value_bytes: scenario.value_bytes,
        settings: Settings {
            write_buffer: scenario.write_buffer,
            cache: scenario.cache,
            filter_bits: FILTER_BITS,
            durable: scenario.durable,
            library: artefact.path.clone(),
        },
        group: String::new(),
    }
}

/// A rate for people: three figures.
pub(crate) fn human(rate: f64) -> String {
    let (value, unit) = match rate {
        rate if rate >= 1e6 => (rate / 1e6, " M"),
        rate if rate >= 1e3 => (rate / 1e3, " k"),
        rate => (rate, ""),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}
