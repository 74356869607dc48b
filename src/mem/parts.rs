//! Epochs, and what the machine's memory allows at best, to be measured.

use std::hint::black_box;

use super::{advise_huge, epoch, fork};
use crate::base::part::{Part, Work, each, part};

/// What is measured here. Entries of `floor-load` are cache lines: 512 KiB and 256 MiB.
pub(crate) const PARTS: &[Part] = &[
    part("loop", 0, |_| each(|| black_box(true))),
    part("epoch-pin", 0, |_| each(pin)),
    part("fork-check", 0, |_| each(|| !black_box(fork::in_child()))),
    part("floor-load", 8_192, chase),
    part("floor-load", 4 << 20, chase),
    part("floor-copy-192-bytes", 0, copy),
];

fn pin() -> bool {
    drop(black_box(epoch::pin()));
    true
}

/// Loads that depend on each other: a walk once round all lines in no order.
fn chase(lines: usize) -> Box<dyn Work> {
    let mut next: Vec<[u64; 8]> = Vec::with_capacity(lines);
    advise_huge(next.as_ptr(), lines * 64);
    next.extend((0..lines as u64).map(|i| [i; 8]));
    let mut state = 1_u64;
    // Sattolo's shuffle leaves one cycle.
    for i in (1..lines).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let Ok(other) = usize::try_from((state >> 33) % i as u64) else { continue };
        next.swap(i, other);
    }
    let mut at = 0;
    each(move || {
        let [to, ..] = next[at];
        at = usize::try_from(to).unwrap_or(0);
        at < lines
    })
}

/// Copies of one record to the next place of 32 MiB, and round again.
fn copy(_: usize) -> Box<dyn Work> {
    const RECORD: usize = 192;
    let record = [7_u8; RECORD];
    let mut to = vec![0_u8; 32 << 20];
    advise_huge(to.as_ptr(), to.len());
    let mut at = 0;
    each(move || {
        at = if at + 2 * RECORD > to.len() { 0 } else { at + RECORD };
        let to = &mut to[at..at + RECORD];
        to.copy_from_slice(black_box(&record));
        black_box(&mut *to)[0] == 7
    })
}
