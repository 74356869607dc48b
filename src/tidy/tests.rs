//! Shows every rule of `tidy` a made-up source that breaks it, and one that does not.

use super::lex::{TokenKind, lex};
use super::rules::{self, Source};
use super::scan::module_of;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn layers(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| source(path, text)).collect();
    rules::layers(&rules::parse(&sources))
}

fn words(text: &str) -> Vec<String> {
    lex(text).iter().filter_map(|token| token.word().map(str::to_owned)).collect()
}

#[track_caller]
fn assert_one(complaints: &[String], start: &str, remedy: &str) {
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(complaints[0].starts_with(start), "{}", complaints[0]);
    assert!(complaints[0].contains(remedy), "{}", complaints[0]);
}

#[test]
fn lexer_leaves_comments_out_and_keeps_lines() {
    let tokens = lex("a // unsafe\n/* b /* c */ d */ e\nf");

    let seen: Vec<_> = tokens.iter().map(|token| (token.word(), token.line)).collect();

    assert_eq!(seen, [(Some("a"), 1), (Some("e"), 2), (Some("f"), 3)]);
}

#[test]
fn lexer_does_not_look_into_literals() {
    let text = r##"x("unsafe \" y", b"z", r#"a "b" c"#, 'u', '\'', b'\\', 'l: f, r#type, 1_u8)"##;

    assert_eq!(words(text), ["x", "f", "type"]);
    assert!(lex(r##"r#"a "b" c"#"##)[0].kind == TokenKind::Text("a \"b\" c".to_owned()));
}

#[test]
fn module_paths_follow_from_file_paths() {
    assert_eq!(module_of("src/wal/mod.rs"), ["wal"]);
    assert_eq!(module_of("src/wal/replay.rs"), ["wal", "replay"]);
    assert_eq!(module_of("src/index.rs"), ["index"]);
    assert!(module_of("src/lib.rs").is_empty());
}

#[test]
fn naming_a_higher_module_is_reported_with_its_line() {
    let found = layers(&[("src/wal/mod.rs", "use crate::base::Lsn;\nuse crate::engine::Db;\n")]);

    assert_one(&found, "src/wal/mod.rs:2: `wal` (rank 3) names `engine`", "lower module");
}

#[test]
fn naming_a_module_of_the_same_rank_is_reported_outside_tests() {
    let text = "use crate::memtable::Memtable;";

    let found = layers(&[("src/wal/mod.rs", text)]);

    assert_one(&found, "src/wal/mod.rs:1: `wal` (rank 3) names `memtable`", "lower module");
}

#[test]
fn nested_groups_are_read_at_their_first_level() {
    let text = "use crate::{base::{Lsn, engine}, wal::{self, version}, engine::Db};";

    let found = layers(&[("src/memtable/mod.rs", text)]);

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("names `wal`"), "{}", found[0]);
    assert!(found[1].contains("names `engine`"), "{}", found[1]);
}

#[test]
fn paths_in_expressions_and_macros_count() {
    let found = layers(&[("src/base/mod.rs", "macro_rules! m { () => { $crate::wal::f() } }")]);

    assert_one(&found, "src/base/mod.rs:1: `base` (rank 0) names `wal`", "lower module");
}

#[test]
fn chains_of_super_that_reach_the_root_count() {
    let inline = "mod inner { fn f() { super::super::super::engine::g(); super::super::h(); } }";

    let found = layers(&[
        ("src/wal/replay.rs", "use super::super::engine::Db;\nuse super::frame;"),
        ("src/wal/frame.rs", inline),
    ]);

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|what| what.contains("names `engine`")));
}

#[test]
fn modules_without_a_rank_are_reported() {
    assert_one(&layers(&[("src/extra.rs", "")]), "src/extra.rs:1: `extra` has no rank", "LAYERS");
    let found = layers(&[("src/wal/mod.rs", "use crate::Error;")]);
    assert_one(&found, "src/wal/mod.rs:1: `crate::Error` is not", "name the module");
    let found = layers(&[("src/wal/mod.rs", "use crate::*;")]);
    assert_one(&found, "src/wal/mod.rs:1: a glob", "name the modules");
}

#[test]
fn comments_and_strings_name_nothing() {
    let text = "//! See [`crate::engine`].\n/* crate::engine */ const X: &str = \"crate::engine\";";

    assert!(layers(&[("src/wal/mod.rs", text)]).is_empty());
}

#[test]
fn tests_may_name_their_own_rank_but_nothing_higher() {
    let declared = "#[cfg(test)]\npub(crate) mod sim;\n#[cfg(all(test, loom))] mod models;";
    let files = |name: &str| {
        let text = format!("use crate::{name}::X;");
        layers(&[
            ("src/vfs/mod.rs", declared),
            ("src/vfs/sim.rs", &text),
            ("src/vfs/sim/fault.rs", &text),
            ("src/vfs/models.rs", &text),
            ("src/vfs/posix.rs", &format!("#[cfg(test)] mod tests {{ {text} }}")),
            ("src/os/mod.rs", &format!("#[cfg(test)] {text} #[cfg(test)] fn f() {{ {text} }}")),
        ])
    };

    assert!(files("merge").is_empty());
    assert_eq!(files("wal").len(), 6);
}

#[test]
fn code_after_a_test_module_is_production_code_again() {
    let text = "#[cfg(test)] mod tests { fn f() {} }\nuse crate::memtable::X;";

    assert_one(&layers(&[("src/wal/mod.rs", text)]), "src/wal/mod.rs:2:", "lower module");
}

#[test]
fn code_for_other_builds_than_tests_is_production_code() {
    let text = "#[cfg(not(test))] use crate::memtable::X;";
    assert_eq!(layers(&[("src/wal/mod.rs", text)]).len(), 1);
    let text = "#[cfg(any(test, loom))] use crate::memtable::X;";
    assert_eq!(layers(&[("src/wal/mod.rs", text)]).len(), 1);
}

#[test]
fn tests_of_the_engine_may_name_every_module() {
    let files = [
        ("src/engine/mod.rs", "#[cfg(test)] mod tests;"),
        ("src/engine/tests/crash.rs", "use crate::{capi, wal};"),
    ];

    assert!(layers(&files).is_empty());
    assert_eq!(layers(&files[1..]).len(), 1, "without the cfg it is production code");
}

#[test]
fn unsafe_outside_the_list_is_reported() {
    let text = "// unsafe in a comment\nfn f() { unsafe { g() } }";
    let sources = [source("src/wal/mod.rs", text), source("src/mem/region.rs", text)];

    let found = rules::unsafe_list(&rules::parse(&sources));

    assert_one(&found, "src/wal/mod.rs:2:", "offer a safe function");
    let allowed = [source("src/wal/mod.rs", "#[allow(unsafe_code)] fn f() {}")];
    assert!(rules::unsafe_list(&rules::parse(&allowed)).is_empty());
}

#[test]
fn c_functions_outside_capi_are_reported() {
    let text = "pub unsafe extern \"C\" fn lsm_get() {}";
    let sources = [
        source("src/index.rs", text),
        source("src/capi/db.rs", text),
        source("src/os/real.rs", "type Hook = extern \"C\" fn(u32);"),
        source("src/lib.rs", "extern \"C-unwind\" fn f() {}"),
    ];

    let found = rules::c_functions(&rules::parse(&sources));

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("src/index.rs:1:") && found[0].contains("guard()"));
    assert!(found[1].starts_with("src/lib.rs:1:"));
}

#[test]
fn long_files_are_reported() {
    let lines = |count: usize| source("src/wal/mod.rs", &"//!\n".repeat(count));

    assert!(rules::texts(&[lines(500)]).is_empty());
    assert_one(&rules::texts(&[lines(501)]), "src/wal/mod.rs:501: 501 lines", "split it");
}

#[test]
fn files_without_a_header_are_reported() {
    let found = rules::texts(&[source("src/wal/mod.rs", "// Log.\n")]);

    assert_one(&found, "src/wal/mod.rs:1: no `//!` header", "say what the file is");
    assert!(rules::texts(&[source("ctests/db.c", "/* Log. */\n")]).is_empty());
}

#[test]
fn foreign_characters_are_reported() {
    let found = rules::texts(&[source("src/wal/mod.rs", "//! Log.\n// 1 \u{2264} 2\n")]);

    assert_one(&found, "src/wal/mod.rs:2: U+2264", "as an escape");
}

#[test]
fn banned_words_are_reported_as_whole_words() {
    let todo = concat!("TO", "DO");
    let line = |text: &str| rules::texts(&[source("src/a.rs", &format!("//! A.\n{text}\n"))]);

    assert_one(&line(&format!("// {todo}: sync")), "src/a.rs:2:", "finish it");
    assert_one(&line(concat!("db", "g!(x);")), "src/a.rs:2:", "assertion");
    assert_eq!(line(concat!("// FIX", "ME X", "XX HA", "CK")).len(), 3);
    assert!(line(&format!("let {todo}_LIST = \"/tmp/{0}{0}\";", concat!("X", "XX"))).is_empty());
}

#[test]
fn cited_invariants_must_stand_in_a_page() {
    let text = "// By invariant D1 and by\n// invariant T12; invariants S1, S2\n// and V3 hold.";
    let code = [source("src/wal/mod.rs", text)];
    let page = "| **D1** | durable |\n| T12 | tables |\nS1: S2: V3:".to_owned();

    assert!(rules::invariants(&code, std::slice::from_ref(&page)).is_empty());
    assert_eq!(rules::invariants(&code, &[]).len(), 5, "no page, no definition");
    let found = rules::invariants(&code, &[page.replace("T12", "T1")]);
    assert_one(&found, "src/wal/mod.rs:2: cites invariant T12", "define it there");
}

#[test]
fn citations_are_told_from_ordinary_prose() {
    let prose = "// The invariant of U64 arithmetic is in D; invariant: x > 1 and invariant d1.";

    let found = rules::invariants(&[source("src/wal/mod.rs", prose)], &[]);

    assert!(found.is_empty(), "{found:#?}");
}
