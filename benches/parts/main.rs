//! What each part of the engine costs, in nanoseconds and in instructions:
//! `cargo bench --profile release --features parts --bench parts -- [--ns] [word...]`.
//!
//! Divan takes the time (200 samples of 1,000 operations, or as many as fit into a third of a
//! second); callgrind counts instructions of one run, with little data, because it is slow. Both
//! are this program again, started as a child. Words choose the parts whose names have one of them;
//! `--ns` leaves the instructions out. What the parts are is in `src/*/parts.rs`, and how they add
//! up to whole operations in `docs/performance.md`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program that uses the machine's own files, and tells people what it does"
)]

mod table;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use divan::Bencher;
use lsmer::parts::{Part, Work, all};

/// The words that choose parts, for the children.
const CHOSEN: &str = "LSMER_PARTS";
const TIMED: &str = "--child-timed";
const COUNTED: &str = "--child-counted";
/// [`measured_part`] as callgrind calls it.
const MEASURED: &str = "parts::measured_part";
/// Entries that a part has at most while instructions are counted.
const COUNTED_ENTRIES: usize = 20_000;

/// What a program that does not work says.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(TIMED) => {
            divan::Divan::default().color(false).run_benches();
            Ok(())
        }
        Some(COUNTED) => {
            count();
            Ok(())
        }
        _ if !arguments.iter().any(|word| word == "--bench") => {
            println!("a benchmark, not a test: cargo bench --bench parts");
            Ok(())
        }
        _ => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The parts that are asked for.
fn chosen() -> Vec<&'static Part> {
    let words = env::var(CHOSEN).unwrap_or_default();
    let is_wanted =
        |part: &&Part| words.is_empty() || words.split(' ').any(|word| part.label().contains(word));
    all().filter(is_wanted).collect()
}

fn labels() -> Vec<String> {
    chosen().into_iter().map(Part::label).collect()
}

#[divan::bench(args = labels(), sample_size = 1, sample_count = 200, max_time = 0.35)]
fn part(bencher: Bencher<'_, '_>, label: &str) {
    let Some(part) = all().find(|part| part.label() == label) else { return };
    let work = RefCell::new((part.make)(part.entries));
    let ready = || work.borrow_mut().ready();
    let count = (part.count)(part.entries);
    bencher.with_inputs(ready).bench_local_values(|()| run(work.borrow_mut().as_mut(), count));
}

fn run(work: &mut dyn Work, count: u64) {
    assert_eq!(work.run(), count, "an operation came out wrong");
}

/// Where callgrind counts: each return from here writes a file.
#[inline(never)]
fn measured_part(work: &mut dyn Work, count: u64) {
    run(work, count);
}

fn count() {
    for part in chosen() {
        let entries = part.entries.min(COUNTED_ENTRIES);
        let mut work = (part.make)(entries);
        let count = (part.count)(entries);
        // The first runs find what is set up when it is first used.
        for _ in 0..2 {
            work.ready();
            run(work.as_mut(), count);
        }
        work.ready();
        measured_part(work.as_mut(), count);
        println!("{} {count}", part.label());
    }
}

fn measure(arguments: &[String]) -> Outcome<()> {
    let words: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    let words = words.join(" ");
    let timed = child(&words, &[], TIMED)?;
    let counted = if arguments.iter().any(|word| word == "--ns") {
        Vec::new()
    } else {
        instructions(&words).unwrap_or_else(|error| {
            eprintln!("no instructions: {error}");
            Vec::new()
        })
    };
    let times = table::times(&timed);
    let mut rows = Vec::new();
    // Divan sorts by name.
    for part in all() {
        let label = part.label();
        let Some((_, time)) = times.iter().find(|(name, _)| *name == label) else { continue };
        let counted = counted.iter().find(|(name, _)| *name == label).map(|(_, count)| *count);
        let operations = table::float((part.count)(part.entries));
        rows.push((label, *time, operations, counted));
    }
    if rows.is_empty() {
        return Err(format!("no part has a name with {words}"));
    }
    println!("{}", table::table(&rows));
    Ok(())
}

/// Starts this program again, behind `tool` if that is not empty, and returns what it prints.
fn child(words: &str, tool: &[String], mode: &str) -> Outcome<String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let own = own.to_string_lossy().into_owned();
    let line: Vec<&str> = tool.iter().map(String::as_str).chain([own.as_str(), mode]).collect();
    let [program, arguments @ ..] = &line[..] else { return Err("no program".to_owned()) };
    let output = Command::new(program)
        .args(arguments)
        .env(CHOSEN, words)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", line.join(" "), output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// Instructions of one operation of each part.
fn instructions(words: &str) -> Outcome<Vec<(String, f64)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts/counted");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let out = folder.join("out");
    let tool = [
        "valgrind".to_owned(),
        "-q".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--toggle-collect={MEASURED}"),
        format!("--dump-after={MEASURED}"),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let said = child(words, &tool, COUNTED)?;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(said.lines()) {
        let (label, operations) = line.rsplit_once(' ').ok_or("a line without a count")?;
        let operations: u64 = operations.parse().map_err(|_| "a count that is no number")?;
        let dump = PathBuf::from(format!("{}.{number}", out.display()));
        let text = fs::read_to_string(&dump).map_err(|e| format!("{}: {e}", dump.display()))?;
        let total = table::total(&text).ok_or("a dump of callgrind without a sum")?;
        found.push((label.to_owned(), total / table::float(operations)));
    }
    let _ = fs::remove_dir_all(&folder);
    Ok(found)
}
