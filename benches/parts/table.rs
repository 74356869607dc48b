//! What divan and callgrind say, read, and the table that comes of it.

use std::fmt::Write;

/// What divan's tree is drawn with.
const COLUMN: char = '\u{2502}';

/// Nanoseconds of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub(crate) least: f64,
    pub(crate) median: f64,
}

/// The rows of divan's tree that have times.
pub(crate) fn times(tree: &str) -> Vec<(String, Time)> {
    tree.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(String, Time)> {
    let mut columns = line.split(COLUMN);
    // A line of the last branch begins without a column, one of another with an empty one.
    let first = columns.find(|column| column.contains(|c: char| c.is_ascii_alphanumeric()))?;
    let mut words = first.split_whitespace().skip_while(|word| !word.is_ascii());
    let label = words.next()?.to_owned();
    let least = nanoseconds(words.next()?, words.next()?)?;
    let _slowest = columns.next()?;
    let mut words = columns.next()?.split_whitespace();
    let median = nanoseconds(words.next()?, words.next()?)?;
    Some((label, Time { least, median }))
}

fn nanoseconds(number: &str, unit: &str) -> Option<f64> {
    let scale = match unit {
        "ns" => 1.0,
        "\u{b5}s" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

/// The sum of a dump of callgrind.
pub(crate) fn total(dump: &str) -> Option<f64> {
    let sum = dump.lines().find_map(|line| line.strip_prefix("summary: "))?;
    sum.trim().parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Rows of label, time of a run, operations of a run, instructions of an operation.
pub(crate) fn table(rows: &[(String, Time, f64, Option<f64>)]) -> String {
    let mut text =
        String::from("| part / entries | ns | least | instructions |\n|---|---:|---:|---:|\n");
    for (label, time, operations, instructions) in rows {
        let instructions = instructions.map_or("-".to_owned(), |count| format!("{count:.0}"));
        let [median, least] = [time.median / operations, time.least / operations].map(shown);
        let _ = writeln!(text, "| {label} | {median} | {least} | {instructions} |");
    }
    text.push_str("\nns: median and least of the samples of one operation, its loop included.");
    text
}

fn shown(ns: f64) -> String {
    if ns < 10.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}
