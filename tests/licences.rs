//! Every crate that ends up in the library may be passed on under permissive terms.
//!
//! Asks cargo for the tree of ordinary dependencies on this machine and reads their licence
//! expressions. Crates that only run while building may also be under the MPL, as cbindgen is.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

/// Terms under which the library may be linked into anything.
const LINKED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Further terms for what runs at build time and is not passed on.
const BUILDING: &[&str] = &["MPL-2.0"];

/// Whether an SPDX expression can be met with the allowed terms alone. `/` is the old way to write
/// OR; AND binds more tightly; what cannot be read is not allowed.
fn acceptable(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = all_of(words, allowed)?;
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= all_of(words, allowed)?;
    }
    Some(met)
}

fn all_of(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = term(words, allowed)?;
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= term(words, allowed)?;
    }
    Some(met)
}

fn term(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let met = any_of(words, allowed)?;
        let (close, rest) = words.split_first()?;
        *words = rest;
        return (*close == ")").then_some(met);
    }
    let mut name = (*first).to_owned();
    if let ["WITH", exception, rest @ ..] = *words {
        name = format!("{name} WITH {exception}");
        *words = rest;
    }
    Some(allowed.contains(&name.as_str()))
}

/// The crates below ours along `edges`, as (crate and version, licence expression).
fn dependencies(edges: &str) -> BTreeSet<(String, String)> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .args(["--edges", edges])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let pairs = text.lines().filter_map(|line| line.split_once('|'));
    pairs
        .map(|(name, licence)| (name.to_owned(), licence.to_owned()))
        .filter(|(name, _)| !name.starts_with("lsmer "))
        .collect()
}

fn refused(found: &BTreeSet<(String, String)>, allowed: &[&str]) -> Vec<String> {
    let refused = found.iter().filter(|(_, licence)| !acceptable(licence, allowed));
    refused.map(|(name, licence)| format!("{name}: {licence:?}")).collect()
}

#[test]
fn linked_crates_are_under_permissive_terms() {
    let found = dependencies("normal,no-proc-macro");

    assert!(found.iter().any(|(name, _)| name.starts_with("libc ")), "{found:?}");
    let refused = refused(&found, LINKED);
    assert!(refused.is_empty(), "replace, or argue for a new row of LINKED: {refused:#?}");
}

#[test]
fn crates_used_while_building_are_under_known_terms() {
    let found = dependencies("normal,build");
    let allowed = [LINKED, BUILDING].concat();

    assert!(found.iter().any(|(name, _)| name.starts_with("cbindgen ")), "{found:?}");
    let refused = refused(&found, &allowed);
    assert!(refused.is_empty(), "replace, or argue for a new row of BUILDING: {refused:#?}");
}

#[test]
fn crates_of_tests_and_benchmarks_are_under_known_terms() {
    let found = dependencies("all");
    let allowed = [LINKED, BUILDING].concat();

    assert!(found.iter().any(|(name, _)| name.starts_with("divan ")), "{found:?}");
    let refused = refused(&found, &allowed);
    assert!(refused.is_empty(), "replace, or argue for a new row of BUILDING: {refused:#?}");
}

#[test]
fn expressions_are_met_by_one_side_of_or_and_both_sides_of_and() {
    let allowed = &["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"][..];

    for expression in [
        "MIT",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only/MIT",
        "(MIT OR GPL-3.0-only) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only AND MIT",
    ] {
        assert!(acceptable(expression, allowed), "{expression}");
    }
    for expression in [
        "",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "GPL-3.0-only AND MIT OR ISC",
        "Apache-2.0 WITH Other-exception",
        "(MIT",
        "MIT MIT",
        "OR MIT",
    ] {
        assert!(!acceptable(expression, allowed), "{expression}");
    }
}
