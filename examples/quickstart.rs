//! Builds the shared library, compiles `quickstart.c` against it and runs it.
//!
//! `cargo run --release --example quickstart` needs cargo and a C compiler, nothing else. All that
//! it makes is below the target directory. This file is the build recipe; the tour of the API is
//! `examples/quickstart.c`.

#![allow(clippy::print_stdout, reason = "a program that talks to the person who runs it")]

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("not started from a target directory")?;
    let place = target.join("quickstart");
    fs::remove_dir_all(&place).or_else(missing_is_fine)?;
    fs::DirBuilder::new().recursive(true).create(&place)?;

    println!("Building the shared library, once, with link-time optimization ...");
    let library = build_library(&target.join("lto"))?;
    install(&library, &place)?;
    println!("Compiling examples/quickstart.c ...\n");
    let quickstart = compile(&place)?;

    let data = Path::new(PACKAGE).join("examples/data/UnicodeData.txt");
    run(Command::new(quickstart).arg(data).arg(place.join("db")))
}

fn missing_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Builds `liblsmer.so` in a cargo target directory of its own and returns its path.
///
/// One crate type a call: with several, cargo leaves link-time optimization out without a word. The
/// directory is another than that of this build, where the same file name holds the other variant.
fn build_library(cargo_target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let arguments = ["rustc", "--lib", "--release", "--locked", "--crate-type", "cdylib"];
    run(Command::new(cargo)
        .current_dir(PACKAGE)
        .args(arguments)
        .arg("--target-dir")
        .arg(cargo_target))?;
    Ok(cargo_target.join("release/liblsmer.so"))
}

/// Puts the library beside the program to come, under the name that programs record and under the
/// name that linkers look for.
fn install(library: &Path, place: &Path) -> Result<(), Box<dyn Error>> {
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let recorded = format!("liblsmer.so.{major}.{minor}");
    fs::copy(library, place.join(&recorded))?;
    symlink(&recorded, place.join("liblsmer.so"))?;
    Ok(())
}

/// Compiles the C program with the compiler that the `cc` crate finds; CC and CFLAGS count.
fn compile(place: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let triple = host_triple()?;
    let compiler = cc::Build::new()
        .host(&triple)
        .target(&triple)
        .opt_level(2)
        .out_dir(place)
        .cargo_metadata(false)
        .try_get_compiler()?;
    let program = place.join("quickstart");
    run(compiler
        .to_command()
        .current_dir(PACKAGE)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-Iinclude"])
        .arg("examples/quickstart.c")
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(place)
        .arg("-llsmer")
        .arg(format!("-Wl,-rpath,{}", place.display())))?;
    Ok(program)
}

/// The machine this runs on, in rustc's words.
fn host_triple() -> Result<String, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

/// Runs a command to its end; its failure is ours.
fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
