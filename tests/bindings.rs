//! The Go and the Zig example, built and run against the shared library of this very build.
//!
//! Both write, read, batch, snapshot and scan by pages from eight threads at once and check every
//! value themselves; here their exit code and their last line count. Without the tools the trials
//! are ignored, with the reason.

mod pack;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

// Without this cargo would not build the shared library for this test.
use lsmer as _;

use libtest_mimic::{Arguments, Failed};
use pack::{command, ensure, package, present, run, scratch};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let without_go: &[&str] = if present("go") { &[] } else { &["go"] };
    let without_zig: &[&str] = if zig().is_some() { &[] } else { &["zig or pip's ziglang"] };
    let trials = vec![
        pack::trial("go_program_uses_the_library_from_many_goroutines", without_go, go),
        pack::trial("zig_program_uses_the_library_from_many_threads", without_zig, zig_build),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Puts the library of this build below `place` under both of its names; returns the directory.
///
/// It lies beside the test programs. One directory up, where `cargo build` puts it, it may be old.
fn library(place: &Path) -> Result<PathBuf, Failed> {
    let program = std::env::current_exe()?;
    let built = program.with_file_name("liblsmer.so");
    ensure(built.is_file(), format!("{} is missing", built.display()))?;
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    for name in ["liblsmer.so".to_owned(), format!("liblsmer.so.{major}.{minor}")] {
        symlink(&built, place.join(name))?;
    }
    Ok(place.to_owned())
}

fn go() -> Result<(), Failed> {
    let scratch = scratch("go-")?;
    let lib = library(scratch.path())?;
    let program = scratch.path().join("lsmer-go");

    run(command("go", &["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(package().join("examples/go"))
        .env("CGO_ENABLED", "1")
        .env("CGO_CFLAGS", format!("-I{}", package().join("include").display()))
        .env("CGO_LDFLAGS", format!("-L{0} -Wl,-rpath,{0}", lib.display())))?;
    // The second check finds Go memory with Go pointers in it that is handed to C.
    let mut checked = Command::new(&program);
    let said = run(checked.arg(scratch.path().join("db")).env("GODEBUG", "cgocheck=2"))?;

    ensure(said.contains("8 goroutines, 2000 keys each, all values as expected"), said)
}

/// Zig's program with its first arguments, if there is one.
fn zig() -> Option<Vec<&'static str>> {
    if present("zig") {
        return Some(vec!["zig"]);
    }
    let python = ["python3", "-m", "ziglang"];
    let asked = run(command(python[0], &python[1..]).arg("version"));
    asked.is_ok().then(|| python.to_vec())
}

fn zig_build() -> Result<(), Failed> {
    let zig = zig().ok_or("zig is gone")?;
    let scratch = scratch("zig-")?;
    let lib = library(scratch.path())?;

    let mut build = command(zig[0], &zig[1..]);
    build
        .args(["build", "run", "--cache-dir"])
        .arg(pack::target()?.join("zig"))
        .arg("--prefix")
        .arg(scratch.path().join("out"))
        .arg(format!("-Dinclude={}", package().join("include").display()))
        .arg(format!("-Dlib={}", lib.display()))
        .arg("--")
        .arg(scratch.path().join("db"))
        .current_dir(package().join("examples/zig"));

    // The program prints to the standard error stream; its exit code tells all.
    run(&mut build).map(drop)
}
