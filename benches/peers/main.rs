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
mod hist;
mod json;
mod keys;
mod loops;
mod machine;
mod options;
mod plan;
mod process;
mod run;
mod step;
mod work;

use std::env;
use std::fs::{self, File};
use std::process::ExitCode;

use engine::Outcome;
use options::Options;
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
    for round in 1..=options.rounds {
        run.round(round, &scenarios)?;
    }
    Ok(())
}
