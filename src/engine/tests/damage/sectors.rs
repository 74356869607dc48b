//! Files cut off at every length, and sectors that are lost, old, or in the wrong place.

use super::fixture::{Ending, Fixture};
use super::{Sweep, is_long};
use crate::base::options::LogMode;

const SECTOR: usize = 512;
/// In areas of zeros one of so many lengths is tried.
const SPARSE_LENGTHS: usize = 97;

/// Cuts every file off at every length, and makes each longer.
fn cut_off(sweep: &mut Sweep, step: usize) {
    for (path, before) in sweep.fixture.files.clone() {
        let dense = sweep.oracle.dense(&path, before.len());
        for length in 0..before.len() {
            let is_dense = dense.iter().any(|range| range.contains(&length));
            let step = if is_dense { step } else { SPARSE_LENGTHS };
            if is_long() || length % step == 0 {
                sweep.damage(&path, Some(&before[..length]), &|| format!("cut to {length}"));
            }
        }
        for junk in [&[0; 1][..], &[0; 8], &[0; 600], &[0xa5; 600], &before] {
            let longer = [&before, junk].concat();
            sweep.damage(&path, Some(&longer), &|| format!("longer by {}", junk.len()));
        }
    }
}

/// The file with the sector at `to` replaced.
fn with_sector(before: &[u8], to: usize, sector: &[u8]) -> Vec<u8> {
    let mut after = before.to_vec();
    let bytes = sector.len().min(before.len() - to);
    after[to..to + bytes].copy_from_slice(&sector[..bytes]);
    after
}

fn sector(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at..bytes.len().min(at + SECTOR)]
}

/// Loses each sector, and puts each in the place of each other one of the file.
fn replace_sectors(sweep: &mut Sweep) {
    for (path, before) in sweep.fixture.files.clone() {
        for to in (0..before.len()).step_by(SECTOR) {
            for fill in [[0; SECTOR], [0xff; SECTOR]] {
                let after = with_sector(&before, to, &fill);
                sweep.damage(&path, Some(&after), &|| format!("sector at {to}: {}", fill[0]));
            }
            for from in (to + SECTOR..before.len()).step_by(SECTOR) {
                let (left, right) = (sector(&before, to), sector(&before, from));
                if left != right {
                    let after = with_sector(&before, from, left);
                    sweep.damage(&path, Some(&after), &|| format!("sector {to} copied to {from}"));
                    let after = with_sector(&after, to, right);
                    sweep.damage(&path, Some(&after), &|| format!("sectors {to} and {from}"));
                }
            }
        }
    }
}

/// Replaces each sector, and all behind it, by what the file held at an earlier moment.
fn age_sectors(sweep: &mut Sweep) {
    let mut aged = 0;
    for (moment, older) in std::mem::take(&mut sweep.fixture.older).into_iter().enumerate() {
        for (path, old) in older {
            let Some(before) = sweep.fixture.files.get(&path).cloned() else { continue };
            for to in (0..old.len().min(before.len())).step_by(SECTOR) {
                let after = with_sector(&before, to, sector(&old, to));
                let rest = [&before[..to], &old[to..]].concat();
                for (after, what) in [(after, "one sector"), (rest, "all sectors")] {
                    if after != before {
                        let what = || format!("{what} from {to} as at moment {moment}");
                        sweep.damage(&path, Some(&after), &what);
                        aged += 1;
                    }
                }
            }
        }
    }
    assert!(aged > 20, "{aged} old sectors are few");
}

fn all(log_mode: LogMode, title: &str, damage: impl Fn(&mut Sweep)) {
    for ending in Ending::ALL {
        let mut sweep = Sweep::new(Fixture::new(ending, log_mode));
        damage(&mut sweep);
        sweep.tally.print(&format!("{title}, {ending:?}, {log_mode:?}"));
        // Of a closed database nothing at all may be missing unnoticed.
        let cut = sweep.tally.count("log", "cut");
        assert!(cut == 0 || ending != Ending::Closed, "{cut} cuts of a closed database");
    }
}

#[test]
fn a_file_that_was_cut_off_is_reported_unless_nothing_proves_what_is_missing() {
    all(LogMode::Auto, "cut off", |sweep| cut_off(sweep, 3));
}

#[test]
fn a_sector_that_is_lost_or_elsewhere_is_reported_unless_nothing_proves_it() {
    all(LogMode::Written, "sectors", replace_sectors);
}

#[test]
fn a_sector_that_is_old_is_reported_unless_nothing_proves_the_new_one() {
    all(LogMode::Auto, "old sectors", age_sectors);
}
