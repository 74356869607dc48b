//! The rules themselves: each takes sources and returns complaints that say what to do instead.
//!
//! Pure functions over text, so that `tests` can show every rule a source that breaks it. The
//! tables are here; reading the tree is the parent's work. Any thread.

use std::collections::BTreeSet;

use super::lex::{Token, TokenKind, lex};
use super::scan::{Scan, module_of, scan};

/// Lowest first. A module may name itself and modules of earlier rows; its tests may also name
/// modules of its own row.
pub(super) const LAYERS: &[&[&str]] = &[
    &["base"],
    &["vfs", "os", "mem", "merge"],
    &["record", "batch", "cache"],
    &["wal", "memtable", "sstable", "manifest"],
    &["version"],
    &["compaction"],
    &["engine"],
    &["txn"],
    &["index", "capi"],
    &["parts"],
];

/// Test code below these paths joins the parts, so it may name every module.
const JOINING_TESTS: &[&str] = &["src/engine/tests"];

/// Beginnings of the paths of files that may hold `unsafe`.
pub(super) const UNSAFE_PATHS: &[&str] = &[
    "src/cache/",
    "src/capi/",
    "src/mem/",
    "src/memtable/arena",
    "src/memtable/layout",
    "src/memtable/ordered",
    "src/memtable/point",
    "src/memtable/slot",
    "src/os/real",
    "src/vfs/mapped",
    "src/vfs/posix",
];

/// Pages that define the numbered invariants.
pub(super) const PAGES: &[&str] = &["docs/format.md", "docs/architecture.md"];

/// The longest file, in lines.
const LINES_MAX: usize = 500;

/// Words that may not stand in a source, spelt so that this file may hold them.
const BANNED: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it, or leave it out and say so in README.md, \"Limits\""),
    (concat!("FIX", "ME"), "repair it now"),
    (concat!("X", "XX"), "say in a sentence what the reader must know"),
    (concat!("HA", "CK"), "say in a sentence why it must be so"),
    (concat!("db", "g!"), "use an assertion or the log hook"),
    (concat!("to", "do!"), "return Error::unsupported, or write the code"),
    (concat!("unimplemented", "!"), "return Error::unsupported, or write the code"),
];

/// A file of the package; `path` is relative to the package and uses `/`.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Where it is.
    pub(super) path: String,
    /// What it holds.
    pub(super) text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        std::path::Path::new(&self.path).extension().is_some_and(|ending| ending == "rs")
    }

    fn complain(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// A file below `src/` with its tokens and what they say about modules.
pub(super) struct Parsed<'a> {
    source: &'a Source,
    module: Vec<String>,
    tokens: Vec<Token>,
    scan: Scan,
}

/// Parses the files below `src/`; others are left out.
pub(super) fn parse(sources: &[Source]) -> Vec<Parsed<'_>> {
    let inside = sources.iter().filter(|s| s.is_rust() && s.path.starts_with("src/"));
    inside
        .map(|source| {
            let module = module_of(&source.path);
            let tokens = lex(&source.text);
            let scan = scan(&module, &tokens);
            Parsed { source, module, tokens, scan }
        })
        .collect()
}

/// A module names only modules of a lower rank.
pub(super) fn layers(files: &[Parsed<'_>]) -> Vec<String> {
    let test_modules: BTreeSet<&[String]> =
        files.iter().flat_map(|f| &f.scan.test_modules).map(Vec::as_slice).collect();
    let mut complaints = Vec::new();
    for file in files {
        let Some(own) = file.module.first() else { continue };
        let test_file =
            (1..=file.module.len()).any(|parts| test_modules.contains(&file.module[..parts]));
        if test_file && (own == "tidy" || joins(&file.source.path)) {
            continue;
        }
        let Some(own_rank) = rank(own) else {
            complaints.push(file.source.complain(1, &unknown(own)));
            continue;
        };
        for reference in &file.scan.references {
            let test = test_file || reference.test;
            if let Some(why) = forbidden(own, own_rank, &reference.name, test) {
                complaints.push(file.source.complain(reference.line, &why));
            }
        }
    }
    complaints
}

fn joins(path: &str) -> bool {
    JOINING_TESTS.iter().any(|start| path.starts_with(start))
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn unknown(name: &str) -> String {
    format!("`{name}` has no rank; give it a row of LAYERS in src/tidy/rules.rs")
}

/// Why `own` may not name `other`, if so.
fn forbidden(own: &str, own_rank: usize, other: &str, test: bool) -> Option<String> {
    if other == own {
        return None;
    }
    if other == "*" {
        return Some("a glob of the crate root hides what is used; name the modules".to_owned());
    }
    let Some(other_rank) = rank(other) else {
        return Some(format!(
            "`crate::{other}` is not a module with a rank; name the module that defines it, or add \
             it to LAYERS in src/tidy/rules.rs"
        ));
    };
    if other_rank < own_rank || (test && other_rank == own_rank) {
        return None;
    }
    let remedy = "move what both need to a lower module, or pass it in from engine";
    Some(format!(
        "`{own}` (rank {own_rank}) names `{other}` (rank {other_rank}); only lower ranks may be \
         named: {remedy}"
    ))
}

/// `unsafe` stands only in the files of the list.
pub(super) fn unsafe_list(files: &[Parsed<'_>]) -> Vec<String> {
    let outside = files.iter().filter(|file| !starts_with_any(&file.source.path, UNSAFE_PATHS));
    outside
        .filter_map(|file| {
            let found = file.tokens.iter().find(|token| token.word() == Some("unsafe"))?;
            let what = "`unsafe` outside the list; offer a safe function in src/mem, src/vfs/posix \
                        or src/vfs/mapped and call that, or argue for a new row of UNSAFE_PATHS";
            Some(file.source.complain(found.line, what))
        })
        .collect()
}

fn starts_with_any(path: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| path.starts_with(start))
}

/// Functions with the C calling convention are defined in `capi` alone.
pub(super) fn c_functions(files: &[Parsed<'_>]) -> Vec<String> {
    let outside = files.iter().filter(|file| file.module.first().is_none_or(|own| own != "capi"));
    let mut complaints = Vec::new();
    for file in outside {
        for window in file.tokens.windows(4) {
            let [first, abi, function, name] = window else { continue };
            if first.word() == Some("extern")
                && matches!(&abi.kind, TokenKind::Text(text) if text.starts_with('C'))
                && function.word() == Some("fn")
                && name.word().is_some()
            {
                let what = "`extern \"C\"` function outside src/capi; put it there, behind guard()";
                complaints.push(file.source.complain(first.line, what));
            }
        }
    }
    complaints
}

/// What holds for every file: length, header, alphabet, words.
pub(super) fn texts(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            let what = format!(
                "{lines} lines, {LINES_MAX} allowed; split it by activity, and move tests to \
                 tests.rs beside it"
            );
            complaints.push(source.complain(lines, &what));
        }
        if source.is_rust() && !source.text.starts_with("//!") {
            let what = "no `//!` header; say what the file is, what it is not, its invariants, and \
                        who calls it from which threads";
            complaints.push(source.complain(1, what));
        }
        for (index, line) in source.text.lines().enumerate() {
            complaints.extend(line_words(line).map(|what| source.complain(index + 1, &what)));
        }
    }
    complaints
}

fn line_words(line: &str) -> impl Iterator<Item = String> {
    let foreign = line.chars().find(|char| !char.is_ascii()).map(|char| {
        format!("U+{:04X} is not ASCII; write it in words or as an escape", u32::from(char))
    });
    let banned = BANNED
        .iter()
        .filter(|(word, _)| has_word(line, word))
        .map(|(word, remedy)| format!("`{word}`: {remedy}"));
    foreign.into_iter().chain(banned)
}

/// Whether `word` stands in `line` with no letter, digit or `_` on either side.
fn has_word(line: &str, word: &str) -> bool {
    let part = |char: char| char == '_' || char.is_alphanumeric();
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Every cited invariant stands in a page; `pages` are the texts of those that exist.
pub(super) fn invariants(sources: &[Source], pages: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for id in cited(&source.text) {
            if !pages.iter().any(|page| has_word(page, &id)) {
                let line = source.text.lines().position(|line| has_word(line, &id));
                let what = format!(
                    "cites invariant {id}, which neither {} defines; define it there or correct \
                     the number",
                    PAGES.join(" nor ")
                );
                complaints.push(source.complain(line.map_or(1, |index| index + 1), &what));
            }
        }
    }
    complaints
}

/// The ids in citations such as `invariant D1`, `invariants D1, D2 and T4`; a citation may run
/// over the end of a comment line.
fn cited(text: &str) -> BTreeSet<String> {
    let words: Vec<&str> = text
        .split(|char: char| char.is_whitespace() || "(),;:.`'\"[]/!*".contains(char))
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if !matches!(*word, "invariant" | "invariants" | "Invariant" | "Invariants") {
            continue;
        }
        let list = words[at + 1..].iter().take_while(|word| **word == "and" || is_id(word));
        found.extend(list.filter(|word| is_id(word)).map(|word| (*word).to_owned()));
    }
    found
}

/// One or two capitals and a number: `D1`, `T12`.
fn is_id(word: &str) -> bool {
    let capitals = word.chars().take_while(char::is_ascii_uppercase).count();
    let digits = &word[capitals..];
    (1..=2).contains(&capitals)
        && !digits.is_empty()
        && digits.chars().all(|char| char.is_ascii_digit())
}
