//! The CMake package and the pkg-config file, tried as users would: a C and a C++ project are
//! configured, built and run against the build tree, an installed tree, a moved tree and the
//! sources; what the libraries export is read back.
//!
//! The library is built once, with link-time optimization, in `target/lto`, which the quickstart
//! shares. Trials whose tools are absent are ignored, with the reason.

mod pack;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
use pack::{command, ensure, package, present, run, scratch};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = |tools: &[&'static str]| -> Vec<&'static str> {
        tools.iter().copied().filter(|tool| !present(tool)).collect()
    };
    let cmake = missing(&["cmake", "make", "cc", "c++", "readelf"]);
    let both = missing(&["cmake", "make", "cc", "c++", "readelf", "pkg-config"]);
    let of = |name: &str, missing: &[&str], test: fn() -> Result<(), Failed>| -> Trial {
        pack::trial(name, missing, test)
    };
    let trials = vec![
        of("build_tree_serves_as_a_package", &cmake, build_tree),
        of("installed_tree_serves_as_a_package", &cmake, installed_tree),
        of("installed_tree_may_be_moved", &both, moved_tree),
        of("sources_serve_as_a_subdirectory", &cmake, subdirectory),
        of("another_minor_version_is_refused", &cmake, other_version),
        of("pkg_config_links_both_libraries", &both, pkg_config),
        of("shared_library_exports_versioned_api_only", &cmake, exports),
        of("shared_library_has_the_names_linkers_and_loaders_want", &cmake, names),
        of("static_library_shows_the_api_only", &cmake, isolation),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(built)) = BUILT.get() {
        // What cannot be removed is below the target directory and harms nobody.
        let _ = fs::remove_dir_all(&built.place);
    }
    conclusion.exit_code()
}

/// The package built and installed once for all trials of this process.
struct Built {
    place: PathBuf,
    build: PathBuf,
    prefix: PathBuf,
}

static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();

fn built() -> Result<&'static Built, Failed> {
    let built = BUILT.get_or_init(|| build().map_err(|failed| format!("{failed:?}")));
    built.as_ref().map_err(|problem| problem.clone().into())
}

fn build() -> Result<Built, Failed> {
    let place = scratch("install-")?.keep();
    let (build, prefix) = (place.join("build"), place.join("prefix"));
    let cargo_target = cargo_target()?;
    configure(
        package(),
        &build,
        &[cargo_target, format!("CMAKE_INSTALL_PREFIX={}", show(&prefix))],
    )?;
    run(&mut command("cmake", &["--build", &show(&build)]))?;
    run(&mut command("cmake", &["--install", &show(&build)]))?;
    Ok(Built { place, build, prefix })
}

fn cargo_target() -> Result<String, Failed> {
    Ok(format!("LSMER_CARGO_TARGET_DIR={}", show(&pack::target()?.join("lto"))))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn configure(source: &Path, build: &Path, settings: &[String]) -> Result<String, Failed> {
    let mut configure = command("cmake", &["-G", "Unix Makefiles", "-S"]);
    configure.arg(source).arg("-B").arg(build);
    configure.args(settings.iter().map(|setting| format!("-D{setting}")));
    run(&mut configure)
}

/// Configures, builds and runs both example projects, each with both libraries.
fn consume(settings: &[String]) -> Result<(), Failed> {
    for language in ["c", "cpp"] {
        let scratch = scratch("consumer-")?;
        let source = package().join("examples/consumer").join(language);
        let build = scratch.path().join("build");
        configure(&source, &build, settings)?;
        run(&mut command("cmake", &["--build", &show(&build)]))?;
        for program in ["consumer", "consumer_static"] {
            runs(&build.join(program), scratch.path())?;
        }
        let dynamic = run(&mut command("readelf", &["-d", &show(&build.join("consumer_static"))]))?;
        ensure(!dynamic.contains("liblsmer"), "the static program needs the shared library")?;
        let dynamic = run(&mut command("readelf", &["-d", &show(&build.join("consumer"))]))?;
        ensure(dynamic.contains(&format!("[{}]", soname())), dynamic)?;
    }
    Ok(())
}

/// Runs a consumer on a database of its own below `place`.
fn runs(program: &Path, place: &Path) -> Result<(), Failed> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let database = place.join(format!("{name}.db"));
    let said = run(&mut command(&show(program), &[&database]))?;
    let greeting = format!("lsmer {}: ", env!("CARGO_PKG_VERSION"));
    ensure(said.starts_with(&greeting) && said.contains("red"), said)
}

fn soname() -> String {
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    if major == "0" { format!("liblsmer.so.0.{minor}") } else { format!("liblsmer.so.{major}") }
}

fn build_tree() -> Result<(), Failed> {
    consume(&[format!("CMAKE_PREFIX_PATH={}", show(&built()?.build))])
}

fn installed_tree() -> Result<(), Failed> {
    consume(&[format!("CMAKE_PREFIX_PATH={}", show(&built()?.prefix))])
}

/// A copy with the original out of sight is the same as a move, and leaves other trials alone.
fn moved_tree() -> Result<(), Failed> {
    let scratch = scratch("moved-")?;
    let moved = scratch.path().join("elsewhere");
    run(&mut command("cp", &["-a", &show(&built()?.prefix), &show(&moved)]))?;
    let text_files = ["lib/pkgconfig/lsmer.pc", "lib/cmake/lsmer/lsmerConfig.cmake"];
    for file in text_files {
        let text = fs::read_to_string(moved.join(file))?;
        let place = show(&built()?.prefix);
        ensure(!text.contains(&place), format!("{file} names the place it was installed to"))?;
    }
    consume(&[format!("CMAKE_PREFIX_PATH={}", show(&moved))])?;
    links_by_pkg_config(&moved)
}

fn subdirectory() -> Result<(), Failed> {
    consume(&[format!("LSMER_SOURCE={}", show(package())), cargo_target()?])
}

fn other_version() -> Result<(), Failed> {
    let scratch = scratch("version-")?;
    let project = "cmake_minimum_required(VERSION 3.16)\nproject(p NONE)\n\
                   find_package(lsmer 0.999 CONFIG REQUIRED)\n";
    let settings = [format!("CMAKE_PREFIX_PATH={}", show(&built()?.prefix))];
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(scratch.path().join("CMakeLists.txt"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, project.as_bytes()))?;

    let Err(failed) = configure(scratch.path(), &scratch.path().join("build"), &settings) else {
        return Err("version 0.999 was accepted".into());
    };

    let said = failed.message().unwrap_or_default();
    let wanted = format!("lsmerConfig.cmake, version: {}", env!("CARGO_PKG_VERSION"));
    ensure(said.contains(&wanted), said)
}

fn pkg_config() -> Result<(), Failed> {
    links_by_pkg_config(&built()?.prefix)
}

fn links_by_pkg_config(prefix: &Path) -> Result<(), Failed> {
    let asked = |arguments: &[&str]| -> Result<Vec<String>, Failed> {
        let mut ask = command("pkg-config", arguments);
        ask.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).arg("lsmer");
        Ok(run(&mut ask)?.split_whitespace().map(str::to_owned).collect())
    };
    ensure(asked(&["--modversion"])? == [env!("CARGO_PKG_VERSION")], "another version")?;

    let scratch = scratch("pkgconfig-")?;
    let source = package().join("examples/consumer/c/main.c");
    let shared = scratch.path().join("shared");
    run(command("cc", &["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&shared)
        .arg(&source)
        .args(asked(&["--cflags", "--libs"])?)
        .arg(format!("-Wl,-rpath,{}/lib", prefix.display())))?;
    runs(&shared, scratch.path())?;

    let fixed = scratch.path().join("static");
    let libraries = asked(&["--static", "--libs"])?;
    let archive = libraries.iter().map(|word| match word.as_str() {
        "-llsmer" => "-l:liblsmer.a",
        other => other,
    });
    run(command("cc", &["-o"]).arg(&fixed).arg(&source).args(asked(&["--cflags"])?).args(archive))?;
    runs(&fixed, scratch.path())
}

/// Functions that the header declares: a name of the API in front of an open parenthesis, outside
/// comments and types of callbacks.
fn declared() -> Result<Vec<String>, Failed> {
    let header = fs::read_to_string(package().join("include/lsmer.h"))?;
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = Vec::new();
    for line in lines {
        for (at, _) in line.match_indices('(') {
            let before = &line[..at];
            let part = |char: char| char == '_' || char.is_ascii_alphanumeric();
            let name = before.rsplit(|char| !part(char)).next().unwrap_or_default();
            if name.starts_with("lsm_") {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn exports() -> Result<(), Failed> {
    let tag = format!("LSMER_{}", soname().trim_start_matches("liblsmer.so."));
    let library = built()?.prefix.join("lib/liblsmer.so");

    let said = run(&mut command("readelf", &["--dyn-syms", "-W", &show(&library)]))?;

    let mut exported: Vec<String> = Vec::new();
    for line in said.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, kind, bind, _, section, name] = fields[..] else { continue };
        if matches!(section, "UND" | "Ndx") || bind == "LOCAL" || name == tag {
            continue;
        }
        ensure(kind == "FUNC", format!("{name} is exported and no function"))?;
        let name = name.strip_suffix(&format!("@@{tag}"));
        exported.push(name.ok_or(format!("without the version {tag}: {line}"))?.to_owned());
    }
    exported.sort();
    let declared = declared()?;
    ensure(declared.len() > 5, "the header was not understood")?;
    ensure(exported == declared, format!("exported {exported:?}\ndeclared {declared:?}"))
}

fn names() -> Result<(), Failed> {
    let lib = built()?.prefix.join("lib");
    let real = format!("liblsmer.so.{}", env!("CARGO_PKG_VERSION"));
    ensure(fs::read_link(lib.join(soname()))? == Path::new(&real), "the loader's link")?;
    ensure(fs::read_link(lib.join("liblsmer.so"))? == Path::new(&soname()), "the linker's link")?;

    let dynamic = run(&mut command("readelf", &["-d", &show(&lib.join(real))]))?;

    ensure(dynamic.contains(&format!("Library soname: [{}]", soname())), dynamic.clone())?;
    ensure(dynamic.contains("NODELETE"), "dlclose would pull code from under its threads")
}

fn isolation() -> Result<(), Failed> {
    let library = built()?.prefix.join("lib/liblsmer.a");

    let said = run(&mut command("readelf", &["-sW", &show(&library)]))?;

    let mut shown = Vec::new();
    for line in said.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, _, bind, visibility, section, name] = fields[..] else { continue };
        let hidden = bind == "LOCAL" || section == "UND" || visibility == "HIDDEN";
        if !hidden && name != "Name" {
            shown.push(name.to_owned());
        }
    }
    shown.sort();
    ensure(shown == declared()?, format!("shown {shown:?}"))
}
