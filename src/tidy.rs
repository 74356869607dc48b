//! Checks of style that neither the compiler nor clippy makes, run as tests over the whole tree.
//!
//! Layers, the list of files with `unsafe`, file lengths, headers, ASCII, banned words, where C
//! functions are defined, and that every cited invariant exists. The rules and their tables are in
//! [`rules`]; [`tests`] shows each rule a source that breaks it. Reads the package's files only.

mod lex;
mod rules;
mod scan;
#[cfg(test)]
mod tests;

use std::path::Path;

use rules::{LAYERS, PAGES, Source};

/// Folders whose files are held to the rules, and the endings that count.
const FOLDERS: &[&str] = &["src", "tests", "examples", "benches", "ctests", "fuzz", "include"];
const ENDINGS: &[&str] = &["rs", "c", "h", "cc", "cpp", "hpp", "go", "zig"];

/// Files that a program wrote.
const GENERATED: &[&str] = &["include/lsmer.h"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the tree that the rules hold for, in order of path.
fn tree() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut sources);
    }
    collect_file(&root().join("build.rs"), &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[allow(clippy::disallowed_methods, reason = "reads the sources, not a database")]
fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the tree can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "zig-out" {
            collect(&path, sources);
        } else {
            collect_file(&path, sources);
        }
    }
}

fn collect_file(path: &Path, sources: &mut Vec<Source>) {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let relative = path.strip_prefix(root()).expect("below the package");
    let relative = relative.to_string_lossy().into_owned();
    if !path.is_file()
        || !ENDINGS.contains(&ending.as_ref())
        || GENERATED.contains(&relative.as_str())
    {
        return;
    }
    let text = std::fs::read_to_string(path).expect("a source is readable UTF-8");
    sources.push(Source { path: relative, text });
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_name_only_modules_of_lower_ranks() {
    let sources = tree();

    let files = rules::parse(&sources);

    assert!(files.len() > 10, "the tree was not found at {}", root().display());
    assert_none(&rules::layers(&files));
}

#[test]
fn every_module_of_the_crate_has_one_rank() {
    let mut ranked: Vec<&str> = LAYERS.iter().copied().flatten().copied().collect();
    let count = ranked.len();

    ranked.sort_unstable();
    ranked.dedup();

    assert_eq!(ranked.len(), count, "a module stands twice in LAYERS");
}

#[test]
fn unsafe_stands_only_in_listed_files() {
    assert_none(&rules::unsafe_list(&rules::parse(&tree())));
}

#[test]
fn c_functions_are_defined_in_capi_only() {
    assert_none(&rules::c_functions(&rules::parse(&tree())));
}

#[test]
fn files_are_short_headed_ascii_and_finished() {
    assert_none(&rules::texts(&tree()));
}

#[test]
fn every_cited_invariant_is_defined_in_a_page() {
    let pages: Vec<String> =
        PAGES.iter().filter_map(|page| std::fs::read_to_string(root().join(page)).ok()).collect();
    let sources: Vec<Source> =
        tree().into_iter().filter(|source| !source.path.starts_with("src/tidy")).collect();

    assert_none(&rules::invariants(&sources, &pages));
}
