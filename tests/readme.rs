//! README.md says what is there: its C program is the one that the tests run, the paths that it
//! names exist, and so do the names of the API.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backquotes within a line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn readme_shows_the_c_program_that_the_install_trials_run() {
    let program = read("examples/consumer/c/main.c");

    assert!(
        read("README.md").contains(&format!("```c\n{program}```\n")),
        "copy examples/consumer/c/main.c into the C block of README.md"
    );
}

#[test]
fn paths_in_the_readme_exist() {
    let readme = read("README.md");
    let starts = ["docs/", "examples/", "include/", "src/", "tests/", "LICENSE-", ".ci/"];
    let paths: Vec<&str> =
        quoted(&readme).filter(|path| starts.iter().any(|start| path.starts_with(start))).collect();

    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        assert!(place.exists(), "README.md names `{path}`, which does not exist");
    }
}

#[test]
fn names_of_the_api_in_the_readme_are_in_the_header() {
    let (readme, header) = (read("README.md"), read("include/lsmer.h"));
    let part = |char: char| char == '_' || char.is_ascii_alphanumeric();
    let names = quoted(&readme)
        .flat_map(|text| text.split(|char| !part(char)))
        .filter(|word| word.starts_with("lsm_") || word.starts_with("LSM_"));

    let missing: Vec<&str> = names.filter(|name| !header.contains(name)).collect();

    assert!(missing.is_empty(), "README.md names what lsmer.h does not have: {missing:?}");
}
