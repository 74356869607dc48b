//! The death of the process through the C interface: two C threads write 2 million puts, deletes
//! and batches of 16-byte keys and 100-byte values, and are killed at a random moment; what
//! recovers from that is killed too, at a random moment of its recovery. Then every key and value
//! is checked: nothing acknowledged is missing, no batch is torn.
//!
//! All rounds of a trial use one directory. 5 rounds, 50 with LSMER_LONG=1; a failure prints the
//! seed, which LSMER_SEED takes, and keeps the database.

#![allow(clippy::print_stdout, reason = "tells what was counted")]
#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

#[path = "pack/mod.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod pack;
mod real;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed};
use real::counters::{Counters, Phase};
use real::programs::{Case, Programs, keep};
use real::{Chance, Outcome, rounds, scratch};

/// Pieces of work that a writer may do before it is killed, all threads together.
const WORK: u64 = 2_000_000;
/// Keys of each thread.
const KEYS: u64 = 200_000;
/// Attempts to meet a recovery before it is over, for each round.
const ATTEMPTS: u32 = 20;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = [
        Case { name: "mapped_log", log: "auto", durability: "buffer", write_buffer_bytes: 4 << 20 },
        Case {
            name: "written_log",
            log: "written",
            durability: "buffer",
            write_buffer_bytes: 4 << 20,
        },
    ];
    let missing: Vec<&str> = if pack::present("cc") { Vec::new() } else { vec!["cc"] };
    let trials = cases
        .map(|case| pack::trial(&format!("kill::{}", case.name), &missing, move || trial(&case)));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn trial(case: &Case) -> Outcome {
    let mut chance = Chance::new();
    let seed = chance.seed;
    let dir = scratch()?;
    let mut test = Test {
        case: *case,
        database: dir.path().join("database"),
        programs: Programs::compile(&["kill_writer", "checker"])?,
        counters: Counters::new(KEYS, chance.next())?,
        recovery: Duration::from_millis(20),
        kills: (0, 0),
    };
    for round in 0..rounds(5, 50) {
        if let Err(failed) = test.round(&mut chance) {
            let text = failed.message().unwrap_or_default();
            let kept = keep(&test.database, &test.counters);
            return Err(format!("round {round}, LSMER_SEED={seed}: {text}\n{kept}").into());
        }
    }
    let (writing, recovering) = test.kills;
    println!("{}: {writing} kills while writing, {recovering} during recovery", case.name);
    Ok(())
}

struct Test {
    case: Case,
    database: std::path::PathBuf,
    programs: Programs,
    counters: Counters,
    /// About how long a recovery takes.
    recovery: Duration,
    /// While writing, and during recovery.
    kills: (u32, u32),
}

impl Test {
    fn round(&mut self, chance: &mut Chance) -> Outcome {
        self.kill_while_writing(chance)?;
        // A recovery that was killed is recovered from, and so on.
        for _ in 0..=chance.below(2) {
            self.kill_during_recovery(chance)?;
        }
        let end = if chance.coin() { "close" } else { "die" };
        let counts = self.counters.all()?;
        let bounds = counts.map(|c| c.acknowledged);
        let check = self.programs.check(&self.case, &self.database, &self.counters, end, bounds)?;
        check.finish().map(drop)
    }

    fn kill_while_writing(&mut self, chance: &mut Chance) -> Outcome {
        let mut writer = self.programs.write(&self.case, &self.database, &self.counters, WORK)?;
        let moment = chance.below(WORK);
        let counters = &self.counters;
        writer.until(Duration::from_micros(200), || {
            if counters.phase()? == Phase::Ended {
                return Err(format!("a write failed: {:?}", counters.all()?).into());
            }
            Ok(counters.phase()? == Phase::Writing && counters.progress()? >= moment)
        })?;
        sleep(chance.up_to(Duration::from_millis(2)));
        writer.kill()?;
        self.kills.0 += 1;
        Ok(())
    }

    /// Starts writers, which have to recover first, until one was killed before it could write.
    fn kill_during_recovery(&mut self, chance: &mut Chance) -> Outcome {
        for _ in 0..ATTEMPTS {
            let mut writer =
                self.programs.write(&self.case, &self.database, &self.counters, WORK)?;
            writer.until_opening(&self.counters)?;
            let moment = Instant::now() + chance.up_to(self.recovery);
            while Instant::now() < moment && self.counters.phase()? == Phase::Opening {
                std::hint::spin_loop();
            }
            let met = self.counters.phase()? == Phase::Opening;
            writer.kill()?;
            // It may have begun to write between the look and its death: then that is a kill too.
            let met = met && self.counters.phase()? == Phase::Opening;
            if met {
                self.kills.1 += 1;
                // Looks later next time, until recoveries are over before.
                self.recovery = self.recovery * 5 / 4;
                return Ok(());
            }
            self.kills.0 += 1;
            self.recovery = (self.recovery * 3 / 4).max(Duration::from_micros(200));
        }
        Err(Failed::from("no recovery could be met before it was over"))
    }
}
