//! The C header: current, complete, and accepted by every compiler here in every standard.

#![allow(clippy::disallowed_methods, reason = "tests read and write what they compile")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

// So that cargo builds all kinds of the library first.
use lsmer as _;

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic", "-pedantic-errors"];
const STRICT_C: &[&str] = &["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wc++-compat"];
const C_STANDARDS: &[&str] = &["c99", "c11", "c17"];
const CPP_STANDARDS: &[&str] = &["c++98", "c++11", "c++14", "c++17", "c++20"];

fn header_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/lsmer.h")
}

fn header() -> String {
    fs::read_to_string(header_path()).expect("include/lsmer.h is committed")
}

fn works(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Names of the functions that the header declares.
fn declared() -> BTreeSet<String> {
    header()
        .split("\nLSM_API")
        .skip(1)
        .filter_map(|part| part.split_once('(')?.0.rsplit([' ', '*', '\n']).next())
        .filter(|name| name.starts_with("lsm_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn committed_header_is_what_the_sources_say() {
    let generated = fs::read_to_string(env!("LSMER_GENERATED_HEADER")).expect("build.rs made it");

    assert!(
        header() == generated,
        "include/lsmer.h is stale. Refresh it: LSMER_BLESS=1 cargo test --test header\n\
         (what it should be: {})",
        env!("LSMER_GENERATED_HEADER")
    );
}

#[test]
fn header_is_ascii_and_declares_the_functions_of_this_release() {
    let header = header();
    let functions = declared();

    assert!(header.is_ascii());
    assert_eq!(functions.len(), 41, "{functions:?}");
    for function in &functions {
        let at = header.rfind(&format!("{function}(")).expect("it is declared");
        let before = &header[..at];
        let comment = &before[before.rfind("/**").expect("it has a comment")..];
        for line in ["- Threads:", "- Owns:", "- Valid until:", "- Blocks:", "- Errors:"] {
            assert!(comment.contains(line), "{function} lacks the line {line}");
        }
    }
}

#[test]
fn shared_library_exports_the_functions_of_the_header_and_nothing_else() {
    let deps = std::env::current_exe().expect("a path").parent().expect("a folder").to_path_buf();
    let library = deps.join("liblsmer.so");
    let bytes = fs::read(&library).expect("cargo built the shared library beside this test");

    let exported = elf::exported_functions(&bytes).expect("a 64-bit little-endian ELF file");

    assert_eq!(exported, declared());
}

#[test]
fn shared_library_has_a_versioned_name_and_stays_mapped() {
    let deps = std::env::current_exe().expect("a path").parent().expect("a folder").to_path_buf();
    let bytes = fs::read(deps.join("liblsmer.so")).expect("cargo built the shared library");
    let elf = elf::dynamic(&bytes).expect("a 64-bit little-endian ELF file");
    let soname = match (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")) {
        ("0", minor) => format!("liblsmer.so.0.{minor}"),
        (major, _) => format!("liblsmer.so.{major}"),
    };

    assert_eq!(elf.soname.as_deref(), Some(soname.as_str()));
    assert!(elf.flags_1 & 0x8 != 0, "DF_1_NODELETE is not set");
}

/// Compiles a program that includes the header twice and uses a type of each kind.
fn accepts(compiler: &str, language: &str, standard: &str, flags: &[&str]) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let source = dir.path().join("twice");
    let text = "#include <lsmer.h>\n#include <lsmer.h>\n\
        int main(void);\nint main(void) {\n    lsm_error err;\n    lsm_open_opts opts;\n\
        lsm_db *db = 0;\n    opts.struct_size = sizeof opts;\n    err.code = LSM_E_IO;\n\
        return db == 0 && err.code - LSM_E_IO == 0 && opts.struct_size == 64u && LSM_ABI == 1u ? 0 : 1;\n}\n";
    fs::write(&source, text).expect("written");
    let mut command = Command::new(compiler);
    command.arg(format!("-std={standard}")).args(STRICT).args(flags);
    command.arg("-I").arg(header_path().parent().expect("a folder"));
    command.args(["-x", language, "-c", "-o", "/dev/null"]).arg(&source);

    let output = command.output().expect("the compiler starts");

    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
}

#[test]
fn every_c_compiler_takes_the_header_twice_in_every_standard() {
    let compilers: Vec<&str> = ["cc", "gcc", "clang"].into_iter().filter(|c| works(c)).collect();
    assert!(!compilers.is_empty(), "no C compiler: the tests need one");
    for compiler in compilers {
        for standard in C_STANDARDS {
            accepts(compiler, "c", standard, STRICT_C);
        }
    }
}

#[test]
fn every_cpp_compiler_takes_the_header_twice_in_every_standard() {
    let compilers: Vec<&str> = ["c++", "g++", "clang++"].into_iter().filter(|c| works(c)).collect();
    let required = std::env::var_os("LSMER_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!(required && compilers.is_empty()), "no C++ compiler");
    for compiler in compilers {
        for standard in CPP_STANDARDS {
            // C++98 has no long long, which <stdint.h> and 64-bit constants may use.
            accepts(compiler, "c++", standard, &["-Wno-long-long"]);
        }
    }
}

/// As much of ELF as these tests read.
mod elf {
    use std::collections::BTreeSet;

    const SHT_DYNAMIC: u64 = 6;
    const SHT_DYNSYM: u64 = 11;

    pub(super) struct Dynamic {
        pub(super) soname: Option<String>,
        pub(super) flags_1: u64,
    }

    struct Section {
        kind: u64,
        offset: usize,
        size: usize,
        link: usize,
    }

    fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
        let part = bytes.get(at..at.checked_add(len)?)?;
        Some(part.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    fn index(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
        usize::try_from(number(bytes, at, len)?).ok()
    }

    fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
        if bytes.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let (table, entry, count) =
            (index(bytes, 40, 8)?, index(bytes, 58, 2)?, index(bytes, 60, 2)?);
        (0..count)
            .map(|i| {
                let at = table + i * entry;
                Some(Section {
                    kind: number(bytes, at + 4, 4)?,
                    offset: index(bytes, at + 24, 8)?,
                    size: index(bytes, at + 32, 8)?,
                    link: index(bytes, at + 40, 4)?,
                })
            })
            .collect()
    }

    fn text(bytes: &[u8], strings: &Section, at: usize) -> Option<String> {
        let rest = bytes.get(strings.offset + at..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// Names of the defined, global or weak functions and objects in the dynamic symbol table.
    pub(super) fn exported_functions(bytes: &[u8]) -> Option<BTreeSet<String>> {
        let sections = sections(bytes)?;
        let symbols = sections.iter().find(|section| section.kind == SHT_DYNSYM)?;
        let strings = sections.get(symbols.link)?;
        let mut names = BTreeSet::new();
        for i in 0..symbols.size / 24 {
            let at = symbols.offset + i * 24;
            let (info, section) = (number(bytes, at + 4, 1)?, number(bytes, at + 6, 2)?);
            if info >> 4 != 0 && section != 0 {
                names.insert(text(bytes, strings, index(bytes, at, 4)?)?);
            }
        }
        Some(names)
    }

    /// The entries of the dynamic section that these tests look at.
    pub(super) fn dynamic(bytes: &[u8]) -> Option<Dynamic> {
        let sections = sections(bytes)?;
        let table = sections.iter().find(|section| section.kind == SHT_DYNAMIC)?;
        let strings = sections.get(table.link)?;
        let mut found = Dynamic { soname: None, flags_1: 0 };
        for i in 0..table.size / 16 {
            let at = table.offset + i * 16;
            match number(bytes, at, 8)? {
                14 => found.soname = Some(text(bytes, strings, index(bytes, at + 8, 8)?)?),
                0x6fff_fffb => found.flags_1 = number(bytes, at + 8, 8)?,
                _ => {}
            }
        }
        Some(found)
    }
}
