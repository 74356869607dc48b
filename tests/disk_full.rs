//! A full disk: what cannot be written is refused with `ErrorKind::NoSpace`, what was acknowledged
//! stays readable, and writing goes on when there is space again, or after reopening.
//!
//! On a small ext4 and a small tmpfs of our own, filled by the index itself and by others. Needs
//! root: elsewhere the trials are ignored, or fail with LSMER_REQUIRE_ALL=1.

#![allow(clippy::disallowed_methods, reason = "tests use the machine's own files and clock")]

#[path = "pack/mod.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod pack;
mod real;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed};
use lsmer::{Error, ErrorKind, LsmIndex};
use real::counters::{Counters, Phase, THREADS};
use real::mount::{self, Mount};
use real::programs::{Case, Programs};
use real::{Chance, Outcome, rounds};

const MIB: u64 = 1 << 20;

/// What a disk is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ext4,
    Tmpfs,
}

type Test = fn(Kind) -> Outcome;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (kind, name, tools) in
        [(Kind::Ext4, "ext4", &["mkfs.ext4"][..]), (Kind::Tmpfs, "tmpfs", &[][..])]
    {
        let missing = mount::missing(tools);
        let tests: [(&str, Test); 5] = [
            ("c_threads_fill_the_disk_through_a_mapped_log", mapped_log),
            ("c_threads_fill_the_disk_through_a_written_log", written_log),
            ("index_fills_the_disk", index_fills_the_disk),
            ("others_fill_the_disk", others_fill_the_disk),
            ("full_disk_is_opened", full_disk_is_opened),
        ];
        for (test, run) in tests {
            let name = format!("disk_full::{name}::{test}");
            trials.push(pack::trial(&name, &missing, move || run(kind)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A small disk with a ballast that can be thrown off.
struct Disk {
    mount: Mount,
    chance: Chance,
    /// What is known to be in the index.
    model: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    fn new(kind: Kind, bytes: u64) -> Result<Self, Failed> {
        let mount = match kind {
            // No space is kept back for root, who runs this.
            Kind::Ext4 => Mount::on_loop("ext4", bytes, &["-m", "0"], "noatime")?,
            Kind::Tmpfs => Mount::tmpfs(bytes)?,
        };
        Ok(Self { mount, chance: Chance::new(), model: BTreeMap::new() })
    }

    fn database(&self) -> PathBuf {
        self.mount.path().join("database")
    }

    fn open(&self) -> lsmer::Result<LsmIndex> {
        LsmIndex::new(256 << 10, self.database(), None, true, 0.01)
    }

    fn ballast(&self) -> PathBuf {
        self.mount.path().join("ballast")
    }

    /// Fills the disk until not one block is left.
    fn fill(&self) -> Outcome {
        let mut file = File::options().create(true).append(true).open(self.ballast())?;
        for piece in [1 << 20, 64 << 10, 4096, 512] {
            let zeros = vec![0; piece];
            while file.write_all(&zeros).and_then(|()| file.sync_data()).is_ok() {}
        }
        Ok(())
    }

    fn throw_off(&self) -> Outcome {
        Ok(fs::remove_file(self.ballast())?)
    }

    /// Writes one entry that does not compress; notes it if it was acknowledged.
    fn write(&mut self, index: &LsmIndex) -> lsmer::Result<()> {
        let key = format!("key{:08}", self.chance.below(50_000));
        let value: Vec<u8> = (0..64).flat_map(|_| self.chance.next().to_le_bytes()).collect();
        index.insert(key.clone(), value.clone())?;
        self.model.insert(key, value);
        Ok(())
    }

    /// Writes one entry on a disk that has space. The last failure of a flush may still be told,
    /// until it is tried again.
    fn write_patiently(&mut self, index: &LsmIndex) -> Outcome {
        let start = Instant::now();
        loop {
            match self.write(index) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NoSpace && !error.is_latched() => {
                    let waited = start.elapsed();
                    pack::ensure(waited < Duration::from_secs(10), format!("{error:?}"))?;
                    sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(told(error)),
            }
        }
    }

    /// Writes until the disk is full; an error of another kind is a failure.
    fn write_until_full(&mut self, index: &LsmIndex) -> Result<Error, Failed> {
        let start = Instant::now();
        loop {
            match self.write(index) {
                Ok(()) if start.elapsed() < real::PATIENCE => {}
                Ok(()) => return Err("the disk does not fill".into()),
                Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(error),
                Err(error) => return Err(format!("not NoSpace but {error:?}").into()),
            }
        }
    }

    /// Every entry is there, by scan and by name.
    fn check(&self, index: &LsmIndex) -> Outcome {
        let mut expected = self.model.iter();
        for entry in index.try_range(..).map_err(told)? {
            let (key, value) = entry.map_err(told)?;
            // A write that failed has no effect, or all of it after the index was opened again.
            if expected.next() != Some((&key, &value)) {
                return Err(format!("the scan goes wrong at {key}").into());
            }
        }
        if let Some((key, _)) = expected.next() {
            return Err(format!("the scan ends before {key}").into());
        }
        for (key, value) in self.model.iter().step_by(17) {
            if index.get(key).map_err(told)?.as_ref() != Some(value) {
                return Err(format!("{key} has another value").into());
            }
        }
        Ok(())
    }

    /// Writes again as soon as that is possible: by itself, or after reopening. Returns the index.
    fn go_on(&mut self, mut index: LsmIndex) -> Result<LsmIndex, Failed> {
        if self.write(&index).is_err_and(|error| error.is_latched()) {
            // Reopening is the way on; how the end of the poisoned index was is no matter.
            drop(index);
            index = self.open().map_err(told)?;
        }
        self.write_patiently(&index)?;
        Ok(index)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "so that map_err takes it")]
fn told(error: Error) -> Failed {
    format!("{error:?}").into()
}

/// The index takes all there is; then the disk grows, or something else is removed.
fn index_fills_the_disk(kind: Kind) -> Outcome {
    let mut disk = Disk::new(kind, 24 * MIB)?;
    // Thrown off later.
    fs::write(disk.ballast(), vec![0; 8 << 20])?;
    let mut index = disk.open().map_err(told)?;
    disk.write_until_full(&index)?;
    disk.check(&index)?;
    for _ in 0..100 {
        // Refused again and again, and never with another effect.
        if let Err(error) = disk.write(&index) {
            pack::ensure(error.kind() == ErrorKind::NoSpace, format!("{error:?}"))?;
        }
    }
    disk.check(&index)?;

    disk.throw_off()?;
    index = disk.go_on(index)?;

    for _ in 0..2000 {
        disk.write_patiently(&index)?;
    }
    disk.check(&index)?;
    index.close().map_err(told)?;
    let index = disk.open().map_err(told)?;
    disk.check(&index)
}

/// Others fill the disk at a random moment, and make room again, many times.
fn others_fill_the_disk(kind: Kind) -> Outcome {
    let mut disk = Disk::new(kind, 128 * MIB)?;
    let mut index = disk.open().map_err(told)?;
    for round in 0..rounds(12, 200) {
        for _ in 0..disk.chance.below(4000) {
            disk.write_patiently(&index)?;
        }
        disk.fill()?;
        let error = disk.write_until_full(&index)?;
        disk.check(&index).map_err(|failed| told_in(round, &error, &failed))?;
        // Nothing can be made durable in tables, and saying so harms nothing.
        if let Err(error) = index.flush() {
            let is_right = error.kind() == ErrorKind::NoSpace;
            pack::ensure(is_right, format!("a flush answers {error:?}"))?;
        }
        disk.check(&index).map_err(|failed| told_in(round, &error, &failed))?;
        if disk.chance.coin() {
            disk.throw_off()?;
            index = disk.go_on(index)?;
        } else {
            // Closed while the disk is full: whatever the end was, nothing is lost.
            drop(index);
            disk.throw_off()?;
            index = disk.open().map_err(told)?;
        }
        disk.check(&index).map_err(|failed| told_in(round, &error, &failed))?;
    }
    Ok(())
}

fn told_in(round: u32, error: &Error, failed: &Failed) -> Failed {
    let text = failed.message().unwrap_or_default();
    format!("round {round}, after {error:?}: {text}").into()
}

/// An index is opened on a full disk, after a clean end and (on ext4) after a loss of power: it
/// opens, or says NoSpace and harms nothing.
fn full_disk_is_opened(kind: Kind) -> Outcome {
    let round = 0;
    let _ = round;
    let mut disk = Disk::new(kind, 64 * MIB)?;
    for round in 0..rounds(10, 100) {
        let index =
            disk.open().map_err(|e| Failed::from(format!("place 1 round {round}: {e:?}")))?;
        for _ in 0..disk.chance.below(3000) {
            disk.write(&index)
                .map_err(|e| Failed::from(format!("place 2 round {round}: {e:?}")))?;
        }
        if round % 2 == 0 || kind == Kind::Tmpfs {
            index.close().map_err(|e| Failed::from(format!("place 3 round {round}: {e:?}")))?;
        } else {
            index.sync().map_err(|e| Failed::from(format!("place 4 round {round}: {e:?}")))?;
            disk.mount.cut_power()?;
            // It cannot be closed well any more.
            drop(index);
            disk.mount.restart()?;
        }
        disk.fill()?;

        for _ in 0..3 {
            match disk.open() {
                Ok(index) => disk.check(&index)?,
                Err(error) => {
                    let is_right = error.kind() == ErrorKind::NoSpace;
                    pack::ensure(is_right, format!("opening answers {error:?}"))?;
                }
            }
        }

        disk.throw_off()?;
        let index =
            disk.open().map_err(|e| Failed::from(format!("place 5 round {round}: {e:?}")))?;
        disk.check(&index).map_err(|f| format!("round {round}: {:?}", f.message()))?;
        index.close().map_err(|e| Failed::from(format!("place 6 round {round}: {e:?}")))?;
    }
    Ok(())
}

fn mapped_log(kind: Kind) -> Outcome {
    fill_from_c(kind, "auto")
}

fn written_log(kind: Kind) -> Outcome {
    fill_from_c(kind, "written")
}

/// Two C threads write until `LSM_E_NO_SPACE` stops both, and are killed then: what they were told
/// was written is there, and they go on when there is space again.
fn fill_from_c(kind: Kind, log: &'static str) -> Outcome {
    const NO_SPACE: i64 = -8;
    let disk = Disk::new(kind, 40 * MIB)?;
    let case = Case { name: "full", log, durability: "buffer", write_buffer_bytes: 256 << 10 };
    let programs = Programs::compile(&["kill_writer", "checker"])?;
    let counters = Counters::new(500_000, disk.chance.seed)?;
    let database = disk.database();
    for _ in 0..rounds(3, 30) {
        fs::write(disk.ballast(), vec![0; 20 << 20])?;
        let mut writer = programs.write(&case, &database, &counters, u64::MAX >> 1)?;
        writer.until(Duration::from_millis(5), || Ok(counters.phase()? == Phase::Ended))?;
        let counts = counters.all()?;
        pack::ensure(counts.iter().all(|c| c.code == NO_SPACE), format!("{counts:?}"))?;
        writer.kill()?;

        // A recovery needs as much room as the logs that are not in tables yet.
        disk.throw_off()?;
        let bounds = counts.map(|c| c.acknowledged);
        programs.check(&case, &database, &counters, "close", bounds)?.finish()?;
        for thread in 0..THREADS {
            let found = counters.of(thread)?.least;
            // A write that was refused has no effect.
            pack::ensure(found == bounds[thread], format!("{found} instead of {bounds:?}"))?;
        }
        fs::remove_dir_all(&database)?;
        counters.forget()?;
    }
    Ok(())
}
