//! What the trials of packaging share: running tools, telling absent ones, scratch directories.
//!
//! A trial whose tool is absent is listed as ignored with the reason as its kind; with
//! `LSMER_REQUIRE_ALL=1`, as in continuous integration, it fails instead.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

/// The directory of the package.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An empty directory for `name`, apart from those of other processes, removed with the value.
pub(crate) fn scratch(name: &str) -> Result<tempfile::TempDir, Failed> {
    Ok(tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Whether a program of this name is on the search path.
pub(crate) fn present(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// A trial that needs what `missing` names; with nothing missing it is an ordinary test.
pub(crate) fn trial(
    name: &str,
    missing: &[&str],
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    if missing.is_empty() {
        return Trial::test(name, test);
    }
    let reason = format!("needs {}", missing.join(" and "));
    let required = env::var_os("LSMER_REQUIRE_ALL").is_some_and(|value| value == "1");
    let failure = reason.clone();
    let trial = Trial::test(name, move || Err(failure.into()));
    if required { trial } else { trial.with_kind(reason).with_ignored_flag(true) }
}

/// Runs `command` without input and returns what it printed; its failure carries all it said.
pub(crate) fn run(command: &mut Command) -> Result<String, Failed> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}\n{}\n{said}\n{complaints}", output.status).into())
}

/// A command with its arguments.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Fails with `what` unless `holds`.
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// The directory of cargo's output, which holds the profiles.
pub(crate) fn target() -> Result<PathBuf, Failed> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("the test is not in a target directory")?;
    Ok(target.to_owned())
}
