//! Choosing sections of level 0 that may leave it together (K1).
//!
//! Sections whose key ranges meet, directly or by way of others, form a group. The oldest members
//! of a group, down to any age, may leave: everything older that meets them is among them.

use super::job::{Range, bytes_of};
use super::{Busy, PickOptions};
use crate::base::Level;
use crate::version::{Levels, Section};

/// The group of `seed`, oldest first, at most about `job_bytes_max` of its oldest; enlarged by
/// other groups, oldest first, while it is smaller than a quarter of an output table. None if a
/// running job reads one of its members.
pub(super) fn group(
    levels: &Levels,
    seed: &Section,
    busy: &Busy,
    options: &PickOptions,
) -> Option<Vec<Section>> {
    let mut chosen = closure(levels, std::slice::from_ref(seed))?;
    if chosen.iter().any(|section| busy.holds(section)) {
        return None;
    }
    for next in levels.sections(Level(0)).iter().rev() {
        if bytes_of(&chosen) >= options.target_file_bytes / 4 {
            break;
        }
        if chosen.iter().any(|section| section.number() == next.number()) {
            continue;
        }
        let mut wider = chosen.clone();
        wider.push(next.clone());
        let wider = closure(levels, &wider)?;
        if wider.iter().all(|section| !busy.holds(section)) {
            chosen = wider;
        }
    }
    let mut bytes = 0;
    let fits = |section: &&Section| {
        let first = bytes == 0;
        bytes += section.meta().bytes;
        first || bytes <= options.job_bytes_max
    };
    Some(chosen.iter().take_while(fits).cloned().collect())
}

/// Whether the section meets no other of level 0.
pub(super) fn is_alone(levels: &Levels, section: &Section) -> bool {
    let (smallest, largest) = (&section.meta().smallest, &section.meta().largest);
    levels.overlaps(Level(0), smallest, largest).len() == 1
}

/// Every section of level 0 that meets the range of `sections`, or of those, and so on; oldest
/// first.
fn closure(levels: &Levels, sections: &[Section]) -> Option<Vec<Section>> {
    let mut range = Range::of(sections)?;
    let mut count = 0;
    loop {
        let mut met = levels.overlaps(Level(0), &range.smallest, &range.largest);
        if met.len() == count {
            met.reverse();
            return Some(met);
        }
        count = met.len();
        range.extend(&met);
    }
}
