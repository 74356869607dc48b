//! Whole files that are missing, exchanged, or there twice, and files of newer formats.

use super::fixture::{Ending, Fixture};
use super::oracle::{Expect, kind_of};
use super::{Seen, Sweep, look};
use crate::base::coding::Put;
use crate::base::filename::{self, FileName};
use crate::base::options::LogMode;
use crate::base::{ErrorKind, FileNumber, checksum};

fn sweeps() -> impl Iterator<Item = Sweep> {
    let modes = [LogMode::Auto, LogMode::Written].into_iter();
    let all = modes.flat_map(|mode| Ending::ALL.map(|ending| (ending, mode)));
    all.map(|(ending, mode)| Sweep::new(Fixture::new(ending, mode)))
}

#[test]
fn a_missing_file_is_reported_unless_nothing_proves_that_it_was_there() {
    for mut sweep in sweeps() {
        let paths: Vec<String> = sweep.fixture.files.keys().cloned().collect();
        for path in &paths {
            sweep.damage(path, None, &|| "removed".to_owned());
        }
        sweep.tally.print(&format!("removed, {:?}", sweep.fixture.ending));
    }
}

#[test]
fn exchanged_files_are_reported() {
    for sweep in sweeps() {
        let fixture = &sweep.fixture;
        let mut reported = 0;
        for (left, left_bytes) in &fixture.files {
            for (right, right_bytes) in fixture.files.range::<String, _>(left..).skip(1) {
                let expects = [
                    sweep.oracle.expect(left, left_bytes, Some(right_bytes)),
                    sweep.oracle.expect(right, right_bytes, Some(left_bytes)),
                ];
                let fs = fixture.with([
                    (left.as_str(), Some(right_bytes.as_slice())),
                    (right.as_str(), Some(left_bytes.as_slice())),
                ]);
                let what = format!("{:?}: {left} and {right}: {expects:?}", fixture.ending);
                match look(&fs, fixture, fixture.whole()) {
                    Seen::Error(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
                        reported += 1;
                    }
                    Seen::Same => {
                        let does_matter = |expect: &Expect| expect.contents.is_empty();
                        assert!(!expects.iter().any(does_matter), "{what}");
                    }
                    Seen::Wrong(wrong) => panic!("{what}: {wrong}"),
                }
            }
        }
        println!("exchanged, {:?}: {reported} reported", fixture.ending);
        assert!(reported > 20);
    }
}

#[test]
fn a_copy_of_a_file_under_another_number_changes_nothing_or_is_reported() {
    for sweep in sweeps() {
        let fixture = &sweep.fixture;
        let mut counts = [0; 2];
        for (path, bytes) in &fixture.files {
            for number in [1, 2, 3, 900, 1 << 40].map(FileNumber) {
                let name = match kind_of(path) {
                    FileName::Log(_) => filename::log(number),
                    FileName::Table(_) => filename::table(number),
                    FileName::Manifest(_) => filename::manifest(number),
                    FileName::Current => filename::CURRENT_TEMP.to_owned(),
                    FileName::CurrentTemp | FileName::Lock => continue,
                };
                let copy = format!("{}/{name}", super::PATH);
                if fixture.files.contains_key(&copy) {
                    continue;
                }
                let fs = fixture.with([(copy.as_str(), Some(bytes.as_slice()))]);
                let what = format!("{:?}: {path} as {name}", fixture.ending);
                match look(&fs, fixture, fixture.whole()) {
                    Seen::Same => {
                        let again = look(&fs.process_death(), fixture, fixture.whole());
                        assert!(matches!(again, Seen::Same), "{what}: {again:?}");
                        counts[0] += 1;
                    }
                    Seen::Error(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
                        assert_eq!(error.file_id(), number.0, "{what}: {error:?}");
                        counts[1] += 1;
                    }
                    Seen::Wrong(wrong) => panic!("{what}: {wrong}"),
                }
            }
        }
        println!("copies, {:?}: same and reported {counts:?}", fixture.ending);
        assert!(counts[0] > 10);
    }
}

/// Stores `word` at `at`, and the checksum of `from..crc_at` at `crc_at`.
fn raise(bytes: &mut [u8], at: usize, word: u32, from: usize, crc_at: usize) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    let mut crc = Vec::new();
    crc.put_u32(checksum::crc(0, &bytes[from..crc_at]));
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
}

/// The file as a newer lsmer might write it: with version 2 (then it says so), or with a feature.
fn newer(path: &str, bytes: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let end = bytes.len();
    // Offset of the version, of the features, and the range under the checksum.
    let places = match kind_of(path) {
        FileName::Current | FileName::Manifest(_) => vec![(8, 12, 0, 60)],
        FileName::Log(_) => vec![(8, 12, 0, 508), (4104, 4108, 4096, 4604)],
        FileName::Table(_) => vec![(24, 28, 0, 36), (end - 16, end - 24, end - 64, end - 12)],
        FileName::CurrentTemp | FileName::Lock => vec![],
    };
    let raised = |is_version: bool| {
        let mut newer = bytes.to_vec();
        for &(version_at, features_at, from, crc_at) in &places {
            let (at, word) = if is_version { (version_at, 2) } else { (features_at, 0x80) };
            raise(&mut newer, at, word, from, crc_at);
        }
        (newer, is_version)
    };
    if places.is_empty() { Vec::new() } else { vec![raised(true), raised(false)] }
}

#[test]
fn files_of_newer_formats_are_refused_as_such() {
    for sweep in sweeps() {
        let fixture = &sweep.fixture;
        let mut refused = 0;
        for (path, bytes) in &fixture.files {
            let number = match kind_of(path) {
                FileName::Table(number) if !sweep.oracle.tables.contains(&number) => continue,
                FileName::Table(number) | FileName::Log(number) | FileName::Manifest(number) => {
                    number.0
                }
                _ => 0,
            };
            for (newer, is_version) in newer(path, bytes) {
                let fs = fixture.with([(path.as_str(), Some(newer.as_slice()))]);
                let seen = look(&fs, fixture, fixture.whole());
                let Seen::Error(error) = seen else { panic!("{path}: {seen:?}") };
                assert_eq!(error.kind(), ErrorKind::Format, "{path}: {error:?}");
                assert_eq!(error.file_id(), number, "{path}: {error:?}");
                assert!(!is_version || error.detail0() == 2, "{path}: {error:?}");
                refused += 1;
            }
        }
        assert!(refused >= 2 * (1 + 1 + 2 + 2), "{refused}");
    }
}
