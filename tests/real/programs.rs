//! The C programs: compiled against the shared library that cargo has just built, and run.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use super::PATIENCE;
use super::counters::{Counters, Phase, THREADS};

/// How a database is opened and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// For the trial's name.
    pub(crate) name: &'static str,
    /// `auto` (mapped on ext4 and tmpfs) or `written`.
    pub(crate) log: &'static str,
    /// `buffer`, `sync`, or a number: about so many writes for each lsm_sync.
    pub(crate) durability: &'static str,
    pub(crate) write_buffer_bytes: u64,
}

/// The compiled programs, in a directory that goes with the value.
#[derive(Debug)]
pub(crate) struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    /// Compiles these programs.
    pub(crate) fn compile(programs: &[&str]) -> Result<Self, Failed> {
        let dir = super::scratch()?;
        let deps = std::env::current_exe()?;
        let library = deps.parent().ok_or("the test lies nowhere")?.join("liblsmer.so");
        // The file has no version in its name, its SONAME has: the loader wants that.
        let soname = match (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")) {
            ("0", minor) => format!("liblsmer.so.0.{minor}"),
            (major, _) => format!("liblsmer.so.{major}"),
        };
        // A copy, so that a build beside a long run does not change what it runs.
        std::fs::copy(&library, dir.path().join(&soname))?;
        std::os::unix::fs::symlink(&soname, dir.path().join("liblsmer.so"))?;
        for program in programs {
            compile(dir.path(), program)?;
        }
        Ok(Self { dir })
    }

    /// Where a program is, and room for what it makes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str, case: &Case, database: &Path, counters: &Counters) -> Command {
        let mut command = Command::new(self.path(program));
        command.arg(database).arg(counters.path());
        command.arg(case.write_buffer_bytes.to_string()).arg(case.log);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a writer whose threads do at most `limit` pieces of work.
    pub(crate) fn write(
        &self,
        case: &Case,
        database: &Path,
        counters: &Counters,
        limit: u64,
    ) -> Result<Running, Failed> {
        counters.reset_phase()?;
        let mut command = self.command("kill_writer", case, database, counters);
        command.arg(case.durability).arg(limit.to_string());
        Running::start(command)
    }

    /// Starts a checker, which ends by `close` or by `die`; from `bounds` on, states are accepted.
    pub(crate) fn check(
        &self,
        case: &Case,
        database: &Path,
        counters: &Counters,
        end: &str,
        bounds: [u64; THREADS],
    ) -> Result<Running, Failed> {
        let mut command = self.command("checker", case, database, counters);
        command.arg(end).args(bounds.map(|bound| bound.to_string()));
        Running::start(command)
    }
}

fn compile(dir: &Path, program: &str) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = cc::Build::new()
        .target(env!("LSMER_TARGET"))
        .host(env!("LSMER_TARGET"))
        .opt_level(2)
        .debug(true)
        .warnings(false)
        .out_dir(dir)
        .cargo_metadata(false)
        .get_compiler();
    let mut command = compiler.to_command();
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread"]);
    command.arg("-I").arg(root.join("include"));
    command.arg(root.join("ctests/real").join(program).with_extension("c"));
    command.arg("-o").arg(dir.join(program)).arg("-L").arg(dir).arg("-llsmer");
    command.arg(format!("-Wl,-rpath,{}", dir.display()));
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A program that runs; killed if it is dropped.
pub(crate) struct Running {
    child: Child,
    command: String,
    started: Instant,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, Failed> {
        let text = format!("{command:?}");
        let child = command.spawn().map_err(|error| format!("{text}: {error}"))?;
        Ok(Self { child, command: text, started: Instant::now() })
    }

    /// Waits until `done`, looking every `pause`. An error when the program ends before.
    pub(crate) fn until(
        &mut self,
        pause: Duration,
        mut done: impl FnMut() -> Result<bool, Failed>,
    ) -> Result<(), Failed> {
        while !done()? {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complain(&format!("ended by itself: {status}")));
            }
            if self.started.elapsed() > PATIENCE {
                return Err(self.complain("does nothing any more"));
            }
            sleep(pause);
        }
        Ok(())
    }

    /// Waits until the writer is opening the database, or is beyond that.
    pub(crate) fn until_opening(&mut self, counters: &Counters) -> Result<(), Failed> {
        self.until(Duration::from_micros(50), || Ok(counters.phase()? != Phase::Starting))
    }

    /// SIGKILL, and waits for the end of the process.
    pub(crate) fn kill(mut self) -> Result<(), Failed> {
        self.child.kill()?;
        let status = self.child.wait()?;
        match status.code() {
            None => Ok(()),
            Some(_) => Err(self.complain(&format!("had ended by itself: {status}"))),
        }
    }

    /// Waits for the end and returns what was printed. An error if it tells of one.
    pub(crate) fn finish(mut self) -> Result<String, Failed> {
        let mut ended = None;
        while ended.is_none() {
            ended = self.child.try_wait()?;
            if self.started.elapsed() > PATIENCE {
                return Err(self.complain("does nothing any more"));
            }
            sleep(Duration::from_millis(1));
        }
        match ended {
            Some(status) if status.success() => {
                let mut said = String::new();
                if let Some(mut out) = self.child.stdout.take() {
                    out.read_to_string(&mut said)?;
                }
                Ok(said)
            }
            status => Err(self.complain(&format!("failed: {status:?}"))),
        }
    }

    fn complain(&mut self, what: &str) -> Failed {
        // Ends the program, so that the end of its output is reached.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut said = String::new();
        if let Some(err) = &mut self.child.stderr {
            let _ = err.read_to_string(&mut said);
        }
        format!("{}\n{what}\n{said}", self.command).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)
    }
}

/// Copies a database aside after a failure, for a look; the place, or why it could not be done.
pub(crate) fn keep(database: &Path, counters: &Counters) -> String {
    let place: PathBuf = std::env::temp_dir().join(format!("lsmer-failed-{}", std::process::id()));
    let copied = Command::new("cp").arg("-r").arg(database).arg(&place).status();
    let _ = Command::new("cp").arg(counters.path()).arg(place.with_extension("counters")).status();
    match copied {
        Ok(status) if status.success() => format!("the database is kept in {}", place.display()),
        other => format!("the database could not be kept: {other:?}"),
    }
}
