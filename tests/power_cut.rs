//! The loss of power on a real file system: ext4 and xfs on a loop device are told to forget what
//! is not on the device (`EXT4_IOC_SHUTDOWN` without the journal), while two C threads write.
//!
//! Only what was known to be durable *before* the cut binds: a sync that is under way at the moment
//! may return success although it was lost. Every state is checked as after a kill: each thread's
//! pieces of work up to some point, at or behind the bound, and nothing else; no hole, no torn
//! batch. Recovery is cut too, and what a recovery has shown must stay through the next cut.
//!
//! Needs root and loop devices: elsewhere the trials are ignored, or fail with LSMER_REQUIRE_ALL=1.

#![allow(clippy::print_stdout, reason = "tells what was counted")]
#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

#[path = "pack/mod.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod pack;
mod real;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Arguments;
use real::counters::{Counters, Phase, THREADS};
use real::mount::{self, Mount};
use real::programs::{Case, Programs, keep};
use real::{Chance, Outcome, rounds};

/// Keys of each thread: few, so that every one is written again and again.
const KEYS: u64 = 3000;
/// Bytes of a write buffer: small, so that flushes and compactions are cut as often as writes.
const BUFFER: u64 = 128 << 10;
const IMAGE: u64 = 384 << 20;

/// A file system and how it is made and mounted.
#[derive(Clone, Copy)]
struct Disk {
    name: &'static str,
    kind: &'static str,
    mkfs: &'static [&'static str],
    options: &'static str,
}

const DISKS: &[Disk] = &[
    // Nothing is written back behind our back, so all that is not synced is lost.
    Disk { name: "ext4", kind: "ext4", mkfs: &[], options: "commit=600,noauto_da_alloc" },
    Disk {
        name: "ext4_writeback",
        kind: "ext4",
        mkfs: &[],
        options: "commit=600,noauto_da_alloc,data=writeback",
    },
    Disk {
        name: "ext4_without_journal",
        kind: "ext4",
        mkfs: &["-O", "^has_journal"],
        options: "noauto_da_alloc",
    },
    Disk { name: "xfs", kind: "xfs", mkfs: &[], options: "noatime" },
];

const CASES: &[Case] = &[
    case("synced_writes", "auto", "sync"),
    case("synced_now_and_then", "auto", "64"),
    case("synced_rarely", "auto", "4096"),
    case("written_log_synced_writes", "written", "sync"),
    case("written_log_synced_now_and_then", "written", "64"),
    case("written_log_synced_rarely", "written", "4096"),
];

const fn case(name: &'static str, log: &'static str, durability: &'static str) -> Case {
    Case { name, log, durability, write_buffer_bytes: BUFFER }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for disk in DISKS {
        let tool = if disk.kind == "xfs" { "mkfs.xfs" } else { "mkfs.ext4" };
        let mut missing = mount::missing(&[tool]);
        if !pack::present("cc") {
            missing.push("cc");
        }
        for case in CASES {
            let name = format!("power_cut::{}::{}", disk.name, case.name);
            trials.push(pack::trial(&name, &missing, move || trial(*disk, *case)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(disk: Disk, case: Case) -> Outcome {
    let mut chance = Chance::new();
    let seed = chance.seed;
    let mut test = Test {
        case,
        mount: Mount::on_loop(disk.kind, IMAGE, disk.mkfs, disk.options)?,
        programs: Programs::compile(&["kill_writer", "checker"])?,
        counters: Counters::new(KEYS, chance.next())?,
        cuts: 0,
        lost: 0,
    };
    for round in 0..rounds(25, 400) {
        if let Err(failed) = test.round(&mut chance) {
            let text = failed.message().unwrap_or_default();
            let kept = keep(&test.database(), &test.counters);
            return Err(format!("round {round}, LSMER_SEED={seed}: {text}\n{kept}").into());
        }
    }
    println!("{}, {}: {} cuts, {} unsynced lost", disk.name, case.name, test.cuts, test.lost);
    if test.lost == 0 && case.durability != "sync" {
        return Err("no cut has lost anything: nothing was tested".into());
    }
    Ok(())
}

struct Test {
    case: Case,
    mount: Mount,
    programs: Programs,
    counters: Counters,
    cuts: u32,
    /// Pieces of work that were acknowledged, not synced, and lost.
    lost: u64,
}

impl Test {
    fn database(&self) -> std::path::PathBuf {
        // Two folders that are missing at first: their names must be made durable too.
        self.mount.path().join("folder/database")
    }

    fn round(&mut self, chance: &mut Chance) -> Outcome {
        let bounds = self.cut_while_writing(chance)?;
        if chance.below(4) == 0 {
            self.cut_during_recovery(chance)?;
        }
        let before = self.counters.all()?;
        self.check(chance, bounds)?;
        let after = self.counters.all()?;
        for thread in 0..THREADS {
            let (before, after) = (before[thread].acknowledged, after[thread].next);
            self.lost += before.saturating_sub(after);
        }
        if chance.below(4) == 0 {
            // Nothing was written since: what was shown must be shown again.
            self.cut()?;
            self.check(chance, after.map(|c| c.next))?;
        }
        Ok(())
    }

    fn check(&self, chance: &mut Chance, bounds: [u64; THREADS]) -> Outcome {
        let end = if chance.coin() { "close" } else { "die" };
        let check =
            self.programs.check(&self.case, &self.database(), &self.counters, end, bounds)?;
        check.finish().map(drop)
    }

    fn cut(&mut self) -> Outcome {
        self.mount.cut_power()?;
        self.mount.restart()?;
        self.cuts += 1;
        Ok(())
    }

    /// Returns what binds: what was durable before the cut.
    fn cut_while_writing(
        &mut self,
        chance: &mut Chance,
    ) -> Result<[u64; THREADS], libtest_mimic::Failed> {
        let mut writer =
            self.programs.write(&self.case, &self.database(), &self.counters, u64::MAX >> 1)?;
        // Synced writes are a hundred times slower.
        let most = if self.case.durability == "sync" { 3000 } else { 60_000 };
        let most = chance.below(most) + 1;
        let moment = chance.below(most);
        let counters = &self.counters;
        writer.until(Duration::from_micros(100), || {
            if counters.phase()? == Phase::Ended {
                return Err(format!("a write failed: {:?}", counters.all()?).into());
            }
            Ok(counters.phase()? == Phase::Writing && counters.progress()? >= moment)
        })?;
        sleep(chance.up_to(Duration::from_millis(3)));
        let bounds = counters.all()?.map(|c| c.synced);
        self.mount.cut_power()?;
        // It may write on for a while: what it is told then binds nobody.
        sleep(chance.up_to(Duration::from_millis(3)));
        writer.kill()?;
        self.mount.restart()?;
        self.cuts += 1;
        Ok(bounds)
    }

    /// What the recovery says binds nobody: a sync of its own may be under way.
    fn cut_during_recovery(&mut self, chance: &mut Chance) -> Outcome {
        let mut idle = self.programs.write(&self.case, &self.database(), &self.counters, 0)?;
        idle.until_opening(&self.counters)?;
        sleep(chance.up_to(Duration::from_millis(15)));
        self.mount.cut_power()?;
        // It may have failed to open: the disk has gone under it.
        drop(idle);
        self.mount.restart()?;
        self.cuts += 1;
        Ok(())
    }
}
