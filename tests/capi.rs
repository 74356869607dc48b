//! Compiles every C program in `ctests/` against the shared and the static library and runs it.
//!
//! One trial for each program, language standard and kind of library, so that each has a name, a
//! time and a verdict. The libraries lie beside this test's own executable, where `cargo test` has
//! just built them. Trials that need a tool which is absent are ignored and say so, or fail when
//! LSMER_REQUIRE_ALL=1. With LSMER_ASAN=1 the library itself is built once more, with
//! AddressSanitizer, and all programs run against that.
//!
//! Each program runs in a scratch directory under LSMER_TEST_DIR, or the system's.

#![allow(clippy::disallowed_methods, reason = "lists its own programs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};
// So that cargo builds all kinds of the library first.
use lsmer as _;

/// How much a program may be repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Runs in every variant.
    Light,
    /// Takes seconds; runs in a few variants.
    Heavy,
    /// Ends processes by signals or forks: no leak check (the child's exit would report the
    /// parent's threads).
    Forks,
}

use Weight::{Forks, Heavy, Light};

const PROGRAMS: &[(&str, Weight)] = &[
    ("first", Forks),
    ("open", Light),
    ("get_put", Light),
    ("multi_get", Light),
    ("mapped", Light),
    ("room", Light),
    ("batch", Light),
    ("iter", Light),
    ("scan", Light),
    ("snapshot", Light),
    ("keyspace", Light),
    ("background", Light),
    ("stats", Light),
    ("destroy", Light),
    ("misuse", Light),
    ("fork", Forks),
    ("lock", Forks),
    ("readonly", Forks),
    ("durability", Forks),
    ("threads", Heavy),
    ("storm", Heavy),
];

const STANDARDS: &[&str] = &["c99", "c11", "c17", "c++17"];

/// What a Rust static library needs of the system (`rustc --print native-static-libs`); a trial
/// compares.
const NATIVE_LIBS: &[&str] = &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wno-unused-function",
    "-Wno-missing-field-initializers",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Linkage {
    Shared,
    Static,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    None,
    Valgrind,
    /// Address and undefined-behaviour sanitizers in the C program, the library as it is.
    CSanitizers,
    /// The same, against a library that has AddressSanitizer too.
    Asan,
}

#[derive(Clone, Copy)]
struct Variant {
    program: &'static str,
    standard: &'static str,
    linkage: Linkage,
    tool: Tool,
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for &(program, weight) in PROGRAMS {
        for &standard in STANDARDS {
            for linkage in [Linkage::Shared, Linkage::Static] {
                if weight == Light
                    || standard == "c11"
                    || (standard == "c++17" && linkage == Linkage::Shared)
                {
                    trials.push(trial(Variant { program, standard, linkage, tool: Tool::None }));
                }
            }
        }
        let shared =
            Variant { program, standard: "c11", linkage: Linkage::Shared, tool: Tool::None };
        if weight != Forks {
            trials.push(trial(Variant { tool: Tool::Valgrind, ..shared }));
        }
        trials.push(trial(Variant { tool: Tool::CSanitizers, ..shared }));
        if asan_wanted() {
            trials.push(trial(Variant { tool: Tool::Asan, ..shared }));
        }
    }
    trials.push(Trial::test("misuse::table_has_every_pointer_of_the_header", misuse_table));
    trials.push(Trial::test("every_file_in_ctests_is_run", every_file));
    let is_ci = std::env::var_os("LSMER_REQUIRE_ALL").is_some_and(|value| value == "1");
    trials.push(
        Trial::test("native_libs_are_those_that_rustc_names", native_libs)
            .with_ignored_flag(!is_ci),
    );
    libtest_mimic::run(&arguments, trials).exit();
}

fn asan_wanted() -> bool {
    std::env::var_os("LSMER_ASAN").is_some_and(|value| value == "1")
}

/// A trial that is ignored, with the reason in its name's kind, when its tool is absent.
fn trial(variant: Variant) -> Trial {
    let linkage = if variant.linkage == Linkage::Shared { "shared" } else { "static" };
    let tool = match variant.tool {
        Tool::None => "",
        Tool::Valgrind => "::valgrind",
        Tool::CSanitizers => "::sanitizers",
        Tool::Asan => "::asan",
    };
    let name = format!("{}::{}::{linkage}{tool}", variant.program, variant.standard);
    match missing(variant) {
        None => Trial::test(name, move || run(variant)),
        Some(reason) if required() => Trial::test(name, move || Err(reason.into())),
        Some(reason) => Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true),
    }
}

fn required() -> bool {
    std::env::var_os("LSMER_REQUIRE_ALL").is_some_and(|value| value == "1")
}

fn missing(variant: Variant) -> Option<&'static str> {
    let works = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if variant.standard.starts_with("c++") && !works("c++") {
        return Some("no C++ compiler");
    }
    match variant.tool {
        Tool::Valgrind if !works("valgrind") => Some("no valgrind"),
        _ => None,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory for one trial, removed with the value.
fn scratch() -> Result<tempfile::TempDir, Failed> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("lsmer-ctest-");
    let dir = match std::env::var_os("LSMER_TEST_DIR") {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    Ok(dir?)
}

/// Where cargo put the libraries of this profile.
fn libraries(tool: Tool) -> Result<PathBuf, Failed> {
    if tool == Tool::Asan {
        return asan_library();
    }
    let executable = std::env::current_exe()?;
    let deps = executable.parent().ok_or("the test lies nowhere")?;
    Ok(deps.to_path_buf())
}

/// Builds the shared library with AddressSanitizer, once.
fn asan_library() -> Result<PathBuf, Failed> {
    static BUILT: std::sync::OnceLock<Result<PathBuf, String>> = std::sync::OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let target = env!("LSMER_TARGET");
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root());
        command.args(["rustc", "--lib", "--locked", "--crate-type", "cdylib"]);
        command.args(["--config", "profile.dev.opt-level=1"]);
        command.args(["--target", target, "--target-dir", "target/asan"]);
        command.env("RUSTC_BOOTSTRAP", "1");
        command.env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes");
        checked(command).map_err(|failed| failed.message().unwrap_or_default().to_owned())?;
        Ok(root().join("target/asan").join(target).join("debug"))
    });
    built.clone().map_err(Failed::from)
}

/// Runs a command; its output becomes the failure's text.
fn checked(mut command: Command) -> Result<Output, Failed> {
    // Not the command itself, which would print the whole environment.
    let name = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    let line = format!("{name} {}", arguments.join(" "));
    let output = command.output().map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = format!(
        "{line}\nended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(text.into())
}

fn run(variant: Variant) -> Result<(), Failed> {
    let dir = scratch()?;
    let program = compile(variant, dir.path())?;
    let mut command = match variant.tool {
        Tool::Valgrind => {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
            command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
            command.env("LSMER_TEST_SLOWNESS", "20");
            command.arg(&program);
            command
        }
        Tool::Asan | Tool::CSanitizers => {
            let mut command = Command::new(&program);
            command.env("LSMER_TEST_SLOWNESS", "4");
            // A forked child's exit would report what the parent's threads own.
            let forks = PROGRAMS.iter().any(|&(p, weight)| p == variant.program && weight == Forks);
            let leaks = u8::from(!forks);
            let options = format!("detect_leaks={leaks}:abort_on_error=0:exitcode=98");
            command.env("ASAN_OPTIONS", options);
            command
        }
        Tool::None => Command::new(&program),
    };
    command.arg(dir.path());
    let output = checked(command)?;
    // The library prints nothing, and neither do tests that pass.
    if variant.tool == Tool::None && !(output.stdout.is_empty() && output.stderr.is_empty()) {
        return Err(format!(
            "something was printed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(())
}

/// Compiles and links one program into `dir`; compiler and flags as the environment says (CC,
/// CFLAGS, CXX, CXXFLAGS).
fn compile(variant: Variant, dir: &Path) -> Result<PathBuf, Failed> {
    let is_cpp = variant.standard.starts_with("c++");
    let compiler = cc::Build::new()
        .cpp(is_cpp)
        .target(env!("LSMER_TARGET"))
        .host(env!("LSMER_TARGET"))
        .opt_level(1)
        .debug(true)
        .warnings(false)
        .out_dir(dir)
        .cargo_metadata(false)
        .get_compiler();
    let libraries = libraries(variant.tool)?;
    let out = dir.join(variant.program);
    let mut command = compiler.to_command();
    command.arg(format!("-std={}", variant.standard)).args(WARNINGS);
    command.arg("-I").arg(root().join("include")).arg("-pthread");
    if matches!(variant.tool, Tool::CSanitizers | Tool::Asan) {
        command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    }
    if is_cpp {
        command.args(["-x", "c++"]);
    }
    command.arg(root().join("ctests").join(variant.program).with_extension("c"));
    command.args(["-x", "none", "-o"]).arg(&out);
    match variant.linkage {
        Linkage::Static => {
            command.arg(libraries.join("liblsmer.a")).args(NATIVE_LIBS);
        }
        Linkage::Shared => {
            // The file has no version in its name, its SONAME has: the loader wants that.
            let file = libraries.join("liblsmer.so");
            let version = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
            let name = match version {
                ("0", minor) => format!("liblsmer.so.0.{minor}"),
                (major, _) => format!("liblsmer.so.{major}"),
            };
            std::os::unix::fs::symlink(&file, dir.join("liblsmer.so"))?;
            std::os::unix::fs::symlink(&file, dir.join(name))?;
            command.arg("-L").arg(dir).arg("-llsmer");
            command.arg(format!("-Wl,-rpath,{}", dir.display()));
        }
    }
    checked(command)?;
    Ok(out)
}

/// The misuse table of `ctests/misuse.c` has a row for every pointer argument of every function, so
/// that a new function without rows fails here.
fn misuse_table() -> Result<(), Failed> {
    let dir = scratch()?;
    let linkage = Linkage::Shared;
    let program = compile(
        Variant { program: "misuse", standard: "c11", linkage, tool: Tool::None },
        dir.path(),
    )?;
    let mut command = Command::new(program);
    command.arg("--list");
    let output = checked(command)?;
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    let header = fs::read_to_string(root().join("include/lsmer.h"))?;
    let mut absent = Vec::new();
    for (function, arguments) in functions(&header) {
        for argument in arguments {
            let Some((_, name)) = argument.rsplit_once('*') else { continue };
            let row = format!("{function} {}", name.trim());
            if !rows.lines().any(|line| line == row) {
                absent.push(row);
            }
        }
    }
    if absent.is_empty() {
        return Ok(());
    }
    Err(format!("ctests/misuse.c has no row for: {}", absent.join(", ")).into())
}

/// The functions of the header: name and arguments.
fn functions(header: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for part in header.split("\nLSM_API").skip(2) {
        let Some((declaration, _)) = part.split_once(';') else { continue };
        let Some((before, after)) = declaration.split_once('(') else { continue };
        let name = before.rsplit([' ', '*', '\n']).next().unwrap_or_default().to_owned();
        let arguments =
            after.trim_end_matches(')').split(',').map(|a| a.trim().to_owned()).collect();
        found.push((name, arguments));
    }
    found
}

fn every_file() -> Result<(), Failed> {
    for entry in fs::read_dir(root().join("ctests"))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let is_program = path.extension().is_some_and(|extension| extension == "c");
        if is_program && !PROGRAMS.iter().any(|(program, _)| *program == stem) {
            return Err(format!("{} is not in PROGRAMS", path.display()).into());
        }
    }
    Ok(())
}

/// Slow (a second build of the library), so in continuous integration, or on request:
/// `cargo test --test capi -- --ignored native`.
fn native_libs() -> Result<(), Failed> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["rustc", "--lib", "--locked", "--crate-type", "staticlib"]);
    command.args(["--target-dir", "target/native", "--", "--print", "native-static-libs"]);
    let output = checked(command)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find_map(|line| line.split_once("native-static-libs: "))
        .ok_or("rustc named no libraries")?;
    let wanted: Vec<&str> = line.1.split_whitespace().collect();
    if wanted.iter().all(|library| NATIVE_LIBS.contains(library)) {
        return Ok(());
    }
    Err(format!("rustc names {wanted:?}, the tests link {NATIVE_LIBS:?}").into())
}
