//! Compares lsmer with other engines: `cargo bench --bench peers -- [options]`.
//!
//! Each engine is used through the C interface of its shared library, found when the program runs;
//! those that are not installed are told and left out. The parent ([`run`]) starts a process for
//! each engine ([`child`]) and has them do the same steps ([`plan`]) in turn; every value that is
//! read is checked. Results, tables and plots go to `target/peers/report`. How to read them, and
//! what misleads, is in `docs/performance.md`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people, and lengths of C interfaces on 64-bit machines"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program that uses the machine's own files and clock, and tells people what it does"
)]
#![allow(unsafe_code, reason = "calls other engines' C interfaces")]
#![allow(clippy::borrow_as_ptr, reason = "results of C calls go to locals")]

mod adapters;
mod artefact;
mod chance;
mod child;
mod clock;
mod dl;
mod engine;
mod figures;
mod hist;
mod json;
mod keys;
mod loops;
mod machine;
mod options;
mod plan;
mod plot;
mod process;
mod report;
mod rows;
mod run;
mod step;
mod targets;
mod work;

use std::env;
use std::fs::{self, File};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use artefact::Artefact;
use engine::Outcome;
use figures::Figures;
use json::Record;
use options::Options;
use report::Report;
use run::Run;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [mark, orders] if mark == process::CHILD => child::main(orders),
        _ if !arguments.iter().any(|word| word == "--bench") => {
            println!("a benchmark, not a test: cargo bench --bench peers");
            Ok(())
        }
        _ => Options::parse(&arguments).and_then(|options| compare(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Outcome<()> {
    let scenarios = plan::plan(options.form, &options.only);
    if scenarios.is_empty() {
        return Err(format!("no workload is called {}", options.only.join(" or ")));
    }
    let mut artefacts = Vec::new();
    for name in &options.engines {
        let known = adapters::known(name).ok_or_else(|| format!("no engine is called {name}"))?;
        match artefact::artefact(known) {
            Ok(artefact) => {
                println!("{name}: {}", artefact.told);
                artefacts.push(artefact);
            }
            Err(error) => println!("{name} is absent: {error}"),
        }
    }
    fs::create_dir_all(&options.out).map_err(|error| error.to_string())?;
    let results = File::create(options.out.join("results.jsonl")).map_err(|e| e.to_string())?;
    let databases = options.databases.clone();
    fs::create_dir_all(&databases).map_err(|error| error.to_string())?;
    let mut run = Run { artefacts: &artefacts, databases, results, records: Vec::new() };
    machine::sync();
    // What the disk does for a build goes on for a moment after it has answered.
    thread::sleep(Duration::from_secs(2));
    let load = machine::load();
    for round in 1..=options.rounds {
        run.round(round, &scenarios)?;
    }
    let mut head = head(options, &artefacts, &run.records);
    head.push(format!("load average before: {load}; after: {}", machine::load()));
    write_report(options, &artefacts, &run.records, &head)
}

/// What was run, where, and with which libraries.
fn head(options: &Options, artefacts: &[Artefact], records: &[Record]) -> Vec<String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut head = vec![format!(
        "{}, {cores} processors, {:.0} GB of memory; {}",
        machine::processor(),
        machine::memory_bytes() / 1e9,
        machine::kernel()
    )];
    head.push(format!("{:?} form, rounds: {}", options.form, options.rounds));
    for artefact in artefacts {
        let name = artefact.engine.name;
        let version = records
            .iter()
            .find(|record| record.text("engine") == name && !record.text("version").is_empty())
            .map_or("of unknown version", |record| record.text("version"));
        head.push(format!("{name} {version}: {}", artefact.told));
    }
    let absent = adapters::KNOWN.iter().map(|known| known.name);
    let absent: Vec<&str> =
        absent.filter(|name| artefacts.iter().all(|a| a.engine.name != *name)).collect();
    if !absent.is_empty() {
        head.push(format!("not in this run: {}", absent.join(", ")));
    }
    head
}

fn write_report(
    options: &Options,
    artefacts: &[Artefact],
    records: &[Record],
    head: &[String],
) -> Outcome<()> {
    let figures = Figures::new(records);
    let engines: Vec<&'static str> = artefacts.iter().map(|a| a.engine.name).collect();
    let report = Report { figures: &figures, engines: &engines, head };
    let files = [
        ("report.md", report.markdown(records)),
        ("throughput.svg", plot::throughput(&report)),
        ("latency.svg", plot::latency(&report)),
        ("over-time.svg", plot::over_time(&report)),
    ];
    for (name, text) in files {
        fs::write(options.out.join(name), text).map_err(|error| error.to_string())?;
    }
    println!("{}", report.markdown(records));
    println!("results, this report and plots are in {}", options.out.display());
    Ok(())
}
