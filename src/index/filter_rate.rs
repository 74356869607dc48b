//! How many filter bits a key needs for a wanted part of false positives.
//!
//! The filters of tables are blocked: all bits of a key lie in one line of 512 bits. So what
//! matters is not the mean number of keys in a line but its spread, which is Poisson's:
//!
//! rate(b) = sum over n of poisson(n; 512 / b) * (1 - (1 - 1 / 512)^(n * k))^k
//!
//! with b bits and k probes for each key. The least b whose rate is good enough is chosen.

use crate::base::{Error, Result};

/// Bits of a line, as `sstable` has them.
const LINE_BITS: f64 = 512.0;
/// Most bits for a key, in tenths, as the engine takes them.
const BITS_X10_MAX: u32 = 640;
/// Most probes for a key, as `sstable` makes them.
const PROBES_MAX: u32 = 12;

/// The least tenths of bits for a key with at most `rate` false positives, or the most that there
/// are if that is not enough.
///
/// # Errors
/// `Invalid` unless `rate` is above 0 and below 1.
pub(super) fn bits_x10(rate: f64) -> Result<u32> {
    // Written so that what is not a number is refused too.
    if !(rate > 0.0 && rate < 1.0) {
        return Err(Error::invalid(format!(
            "false_positive_rate is {rate}; it must be above 0 and below 1"
        )));
    }
    let (mut low, mut high) = (1, BITS_X10_MAX);
    while low < high {
        let middle = low.midpoint(high);
        if expected_rate(middle) <= rate {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// The part of absent keys for which a filter with so many tenths of bits for a key is mistaken.
pub(super) fn expected_rate(bits_x10: u32) -> f64 {
    // As `sstable` chooses them.
    let probes = f64::from((bits_x10 * 69 / 1000).clamp(1, PROBES_MAX));
    let mean = LINE_BITS * 10.0 / f64::from(bits_x10);
    let mut rate = 0.0;
    let mut keys = 0.0_f64;
    // In logarithms, because e^-mean is 0 for long lines.
    let mut log_poisson = -mean;
    while keys <= mean + 12.0 * mean.sqrt() + 30.0 {
        let set = 1.0 - (1.0 - 1.0 / LINE_BITS).powf(keys * probes);
        rate += log_poisson.exp() * set.powf(probes);
        keys += 1.0;
        log_poisson += (mean / keys).ln();
    }
    rate
}
