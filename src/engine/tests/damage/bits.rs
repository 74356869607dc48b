//! Every bit of every file, one at a time.

use std::ops::Range;

use super::fixture::{Ending, Fixture};
use super::{Sweep, is_long, word_of};
use crate::base::options::LogMode;

/// In areas that are all alike one bit of so many bytes is tried.
const SPARSE_BYTES: usize = 37;

/// Flips the bits of every file: all, or of `sparse` files one bit of each eighth byte, and of the
/// bodies of records one bit of each byte.
fn flip(sweep: &mut Sweep, sparse: &[&str]) {
    for (path, before) in sweep.fixture.files.clone() {
        let mut after = before.clone();
        let word = word_of(&path);
        let dense = sweep.oracle.dense(&path, before.len());
        let bodies = sweep.oracle.bodies(&path);
        let within = |ranges: &[Range<usize>], byte| ranges.iter().any(|r| r.contains(&byte));
        for byte in 0..before.len() {
            let step = match () {
                () if is_long() => 0,
                () if !within(&dense, byte) => SPARSE_BYTES,
                () if sparse.contains(&word) && word == "table" => 8,
                () if sparse.contains(&word) && within(&bodies, byte) => 1,
                () => 0,
            };
            let bits = match step {
                0 => 0..8,
                _ if byte % step != 0 => continue,
                _ => byte / step % 8..byte / step % 8 + 1,
            };
            for bit in bits {
                after[byte] ^= 1 << bit;
                sweep.damage(&path, Some(&after), &|| format!("bit {bit} of byte {byte}"));
                after[byte] ^= 1 << bit;
            }
        }
    }
}

/// Sweeps one database, prints the counts, and checks what each kind of file must have come to.
fn sweep(ending: Ending, log_mode: LogMode, sparse: &[&str]) {
    let mut sweep = Sweep::new(Fixture::new(ending, log_mode));
    flip(&mut sweep, sparse);

    let tally = &sweep.tally;
    tally.print(&format!("flipped bits, {ending:?}, {log_mode:?}"));
    for ((word, outcome), count) in &tally.0 {
        let is_fine = match *word {
            "CURRENT" => outcome == "corrupt",
            "table" => outcome == "corrupt" || outcome == "same: a table that nothing names",
            "LOCK" => outcome == "same: LOCK",
            "manifest" => outcome == "corrupt" || outcome == "same: DONE frame",
            _ => ending != Ending::Closed || !outcome.contains("cut"),
        };
        assert!(is_fine, "{count} bits of {word}: {outcome}");
    }
}

#[test]
fn every_bit_after_a_kill_is_reported_or_does_not_matter() {
    sweep(Ending::Killed, LogMode::Auto, &["table", "log"]);
}

#[test]
fn every_bit_after_a_power_loss_is_reported_or_does_not_matter() {
    sweep(Ending::PowerLost, LogMode::Written, &["table", "log"]);
}

#[test]
fn every_bit_of_a_closed_database_is_reported_or_does_not_matter() {
    sweep(Ending::Closed, LogMode::Auto, &[]);
}
