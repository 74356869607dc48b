//! The names of the files in a database directory.

use super::FileNumber;

/// Names the current manifest.
pub(crate) const CURRENT: &str = "CURRENT";
/// Where the next `CURRENT` is written before it is renamed into place.
pub(crate) const CURRENT_TEMP: &str = "CURRENT.tmp";
/// Locked while the database is open; holds the owner's process id.
pub(crate) const LOCK: &str = "LOCK";

/// What a name in a database directory stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileName {
    /// A log segment.
    Log(FileNumber),
    /// A table.
    Table(FileNumber),
    /// A manifest.
    Manifest(FileNumber),
    /// `CURRENT`.
    Current,
    /// `CURRENT.tmp`.
    CurrentTemp,
    /// `LOCK`.
    Lock,
}

/// The name of a log segment: `000042.wal`.
pub(crate) fn log(number: FileNumber) -> String {
    format!("{number}.wal")
}

/// The name of a table: `000042.sst`.
pub(crate) fn table(number: FileNumber) -> String {
    format!("{number}.sst")
}

/// The name of a manifest: `MANIFEST-000042`.
pub(crate) fn manifest(number: FileNumber) -> String {
    format!("MANIFEST-{number}")
}

/// Reads a name. Anything that lsmer would not have written is none, and is left alone.
pub(crate) fn parse(name: &str) -> Option<FileName> {
    match name {
        CURRENT => return Some(FileName::Current),
        CURRENT_TEMP => return Some(FileName::CurrentTemp),
        LOCK => return Some(FileName::Lock),
        _ => {}
    }
    if let Some(digits) = name.strip_prefix("MANIFEST-") {
        return number(digits).map(FileName::Manifest);
    }
    let (digits, extension) = name.split_once('.')?;
    match extension {
        "wal" => number(digits).map(FileName::Log),
        "sst" => number(digits).map(FileName::Table),
        _ => None,
    }
}

fn number(digits: &str) -> Option<FileNumber> {
    if digits.len() < 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = FileNumber(digits.parse().ok()?);
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_what_they_were_written_for() {
        for n in [0, 1, 42, 999_999, 1_000_000, u64::MAX] {
            let n = FileNumber(n);

            assert_eq!(parse(&log(n)), Some(FileName::Log(n)));
            assert_eq!(parse(&table(n)), Some(FileName::Table(n)));
            assert_eq!(parse(&manifest(n)), Some(FileName::Manifest(n)));
        }
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in ["1.wal", "0000001.wal", "000001.log", "00001a.sst", "MANIFEST", ".DS_Store"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
