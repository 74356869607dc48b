//! What is measured: builds the libraries that are not installed, and tells what they are.
//!
//! lsmer is built as its users build it, the shared library alone: with several crate types at
//! once, cargo leaves link-time optimization out without a word.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::adapters;
use crate::engine::Outcome;

/// The folder of the package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const NOT_OPTIMIZED: &str = "NOT link-time optimized: has units of ";

/// Where everything that a run makes goes.
pub(crate) fn place() -> PathBuf {
    root().join("target/peers")
}

/// A library that will be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Artefact {
    pub(crate) engine: &'static adapters::Known,
    pub(crate) path: String,
    /// For a person: path, size, whether optimized as a whole.
    pub(crate) told: String,
}

/// Finds or builds the library of an engine.
pub(crate) fn artefact(engine: &'static adapters::Known) -> Outcome<Artefact> {
    let library = engine.variant_of.unwrap_or(engine.name);
    let own = format!("LSMER_PEER_{}", library.to_uppercase());
    let built = engine.library.is_none() && env::var_os(own).is_none();
    let path = match library {
        "lsmer" if built => build_lsmer()?,
        "fjall" if built => build_fjall()?,
        _ => adapters::find(engine).ok_or("not installed")?,
    };
    let real = fs::canonicalize(&path).map_err(|error| format!("{path}: {error}"))?;
    let bytes = fs::metadata(&real).map_or(0, |meta| meta.len());
    let mut told = format!("{}, {bytes} bytes", real.display());
    if let ("lsmer" | "fjall", Ok(image)) = (library, fs::read(&real)) {
        let left = foreign_units(&image, library);
        told.push_str(", ");
        told.push_str(if left.is_empty() { "link-time optimized" } else { NOT_OPTIMIZED });
        told.push_str(&left.join(", "));
    }
    Ok(Artefact { engine, path, told })
}

fn cargo(arguments: &[&str]) -> Outcome<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    // What cargo sets for this program is not meant for the one that it builds.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_PROFILE_") {
            command.env_remove(name);
        }
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {}: {status}", arguments.join(" "))) }
}

fn build_lsmer() -> Outcome<String> {
    let place = place().to_string_lossy().into_owned();
    println!("building the shared library of lsmer as users do, alone, in {place}");
    let call = ["rustc", "--lib", "--release", "--locked", "--crate-type", "cdylib"];
    cargo(&[&call[..], &["--target-dir", &place]].concat())?;
    Ok(format!("{place}/release/liblsmer.so"))
}

fn build_fjall() -> Outcome<String> {
    let place = place().join("fjall").to_string_lossy().into_owned();
    println!("building fjall in {place}");
    let manifest = "benches/peers/fjall/Cargo.toml";
    let call = ["build", "--release", "--locked", "--manifest-path", manifest];
    cargo(&[&call[..], &["--target-dir", &place]].concat())?;
    Ok(format!("{place}/release/libpeer_fjall.so"))
}

/// Crates whose compilation units are in the image as they were compiled, from the names of units
/// (`crate.hash-cgu.0`) in its symbol table. Optimization at link time leaves those of the last
/// crate alone, and a stripped image none.
fn foreign_units(image: &[u8], own: &str) -> Vec<String> {
    const MARK: &[u8] = b"-cgu.";
    let mut found = BTreeSet::new();
    for at in 0..image.len().saturating_sub(MARK.len()) {
        if &image[at..at + MARK.len()] != MARK {
            continue;
        }
        let start = image[..at].iter().rposition(|&byte| byte == 0).map_or(0, |zero| zero + 1);
        let name = String::from_utf8_lossy(&image[start..at]);
        let mut parts = name.split('.');
        let (unit, hash) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is_unit = hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Rust's stand-in for libgcc is always linked as it is.
        if is_unit && !unit.contains(own) && unit != "compiler_builtins" {
            found.insert(unit.to_owned());
        }
    }
    found.into_iter().collect()
}
