//! Makes the C header, names the shared library, and tells the tests where things are.
//!
//! The header goes to OUT_DIR; `include/lsmer.h` is committed and written only with LSMER_BLESS=1,
//! because `cargo publish` refuses a build that changes the sources. `tests/header.rs` compares.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where exported items are, in the order of the header.
const SOURCES: &[&str] = &[
    "constants.rs",
    "types.rs",
    "library.rs",
    "db.rs",
    "keyspace.rs",
    "read.rs",
    "write.rs",
    "batch.rs",
    "snapshot.rs",
    "iter.rs",
    "admin.rs",
];

fn main() {
    println!("cargo::rerun-if-changed=src/capi");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rerun-if-changed=include/lsmer.h");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LSMER_BLESS");
    header();
    link();
    let target = var("TARGET");
    println!("cargo::rustc-env=LSMER_TARGET={target}");
}

fn header() {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let generated = PathBuf::from(var("OUT_DIR")).join("lsmer.h");
    println!("cargo::rustc-env=LSMER_GENERATED_HEADER={}", generated.display());
    let text = match generate(&root) {
        Ok(text) => text,
        // A syntax error: rustc tells it better.
        Err(error) => {
            println!("cargo::warning=the header was not generated: {error}");
            return;
        }
    };
    write(&generated, &text);
    let committed = root.join("include/lsmer.h");
    if fs::read_to_string(&committed).is_ok_and(|old| old == text) {
        return;
    }
    if env::var_os("LSMER_BLESS").is_some_and(|value| value == "1") {
        write(&committed, &text);
    } else {
        println!("cargo::warning=include/lsmer.h is stale: LSMER_BLESS=1 cargo test --test header");
    }
}

fn generate(root: &Path) -> Result<String, cbindgen::Error> {
    let mut config = cbindgen::Config::from_root_or_default(root);
    config.header = Some(include_str!("src/capi/header.txt").trim_end().to_owned());
    config.after_includes = Some(prelude());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root.join("src/capi").join(source));
    }
    let mut text = Vec::new();
    builder.generate()?.write(&mut text);
    Ok(finish(&String::from_utf8_lossy(&text)))
}

/// What C needs before the first declaration.
fn prelude() -> String {
    format!(
        "\n#define LSMER_VERSION_MAJOR {}\n#define LSMER_VERSION_MINOR {}\n\
         #define LSMER_VERSION_PATCH {}\n#define LSMER_VERSION \"{}\"\n\n\
         /* Marks every function of the library. */\n#ifndef LSM_API\n#define LSM_API\n#endif",
        var("CARGO_PKG_VERSION_MAJOR"),
        var("CARGO_PKG_VERSION_MINOR"),
        var("CARGO_PKG_VERSION_PATCH"),
        var("CARGO_PKG_VERSION"),
    )
}

/// Puts negative constants in parentheses, which cbindgen does not, so that `x -LSM_E_IO` means
/// what it says.
fn finish(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix("#define ").and_then(|rest| rest.split_once(" -")) {
            Some((name, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                out.extend(["#define ", name, " (-", digits, ")"]);
            }
            _ => match line.split_once("//") {
                // The only line comments are cbindgen's own, in its last lines.
                Some((code, comment)) if !line.trim_start().starts_with('*') => {
                    out.extend([code.trim_end(), " /*", comment, " */"]);
                }
                _ => out.push_str(line.trim_end()),
            },
        }
        out.push('\n');
    }
    out
}

/// Gives the shared library its name and keeps it mapped: its threads and thread-locals outlive
/// `dlclose`.
fn link() {
    // cargo-c sets a name of its own.
    if env::var_os("CARGO_FEATURE_CAPI").is_some() || var("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let (major, minor) = (var("CARGO_PKG_VERSION_MAJOR"), var("CARGO_PKG_VERSION_MINOR"));
    // Before 1.0 every minor version may change the ABI.
    let version = if major == "0" { format!("0.{minor}") } else { major };
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,liblsmer.so.{version}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

#[allow(clippy::disallowed_methods, reason = "a build script has no engine's files to write")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}
