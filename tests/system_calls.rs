//! What a put costs in system calls: 2 million puts of two C threads, counted by strace. A put into a
//! mapped log makes none; what is counted is waking and waiting at the ends of generations.

#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

#[path = "pack/mod.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod pack;
mod real;

use std::process::{Command, ExitCode};

use libtest_mimic::Arguments;
use real::Outcome;
use real::programs::Programs;

const PUTS: u64 = 2_000_000;
/// Writes to files, sleeping and waking, and giving way.
const CALLS: &[&str] =
    &["write", "writev", "pwrite64", "pwritev", "pwritev2", "futex", "sched_yield"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing: Vec<&str> =
        ["cc", "strace"].into_iter().filter(|tool| !pack::present(tool)).collect();
    let name = "system_calls::hundred_puts_make_less_than_one";
    libtest_mimic::run(&arguments, vec![pack::trial(name, &missing, trial)]).exit_code()
}

fn trial() -> Outcome {
    let programs = Programs::compile(&["put_cost"])?;
    let counted = programs.path("counted");
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-o"]).arg(&counted).arg(programs.path("put_cost"));
    command.arg(programs.path("database")).arg(PUTS.to_string());
    pack::run(&mut command)?;

    let table = std::fs::read_to_string(&counted)?;
    let calls: u64 = table.lines().filter_map(calls_of).sum();

    pack::ensure(calls > 0, format!("strace has counted nothing:\n{table}"))?;
    pack::ensure(calls * 100 < PUTS, format!("{calls} calls for {PUTS} puts:\n{table}"))
}

/// The number of calls that a line of strace's table tells, if it is one of those that count:
/// `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn calls_of(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = fields.last()?;
    CALLS.contains(name).then(|| fields.get(3)?.parse().ok()).flatten()
}
