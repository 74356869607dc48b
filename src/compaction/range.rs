//! Manual compaction: brings a range of keys to the last level, job by job.

use std::sync::Arc;

use super::pick::{PickOptions, Picker};
use super::{Busy, Job, Reason};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{KeyspaceId, Level};
use crate::version::{Levels, Section, Version};

/// What is to be done next for a range.
pub(crate) enum RangePick {
    /// Run and install this, then ask again.
    Job(Box<Job>),
    /// Running jobs are in the way: ask again when one has finished.
    Busy,
    /// Everything of the range is in the last level, without needless tombstones.
    Done,
}

/// The next job that brings `lo` up to but not including `hi` to the last level; none is no bound.
/// An unknown keyspace is done.
///
/// Asked again after each job it comes to an end, if what is flushed meanwhile is bounded: a job
/// moves sections down, or drops all tombstones of its inputs.
pub(crate) fn pick_range(
    version: &Version,
    busy: &Busy,
    options: &PickOptions,
    keyspace: KeyspaceId,
    lo: Option<&[u8]>,
    hi: Option<&[u8]>,
) -> RangePick {
    let Some(levels) = version.levels(keyspace) else {
        return RangePick::Done;
    };
    let picker = Picker { version, busy, options, live: version.level0_live() };
    let inside = |section: &&Section| {
        let meta = section.meta();
        lo.is_none_or(|lo| meta.largest.as_slice() >= lo)
            && hi.is_none_or(|hi| meta.smallest.as_slice() < hi)
    };
    let last = LEVEL_COUNT - 1;
    let mut blocked = false;
    for level in (0..).map(Level).take(LEVEL_COUNT) {
        let shed = |section: &&Section| {
            let meta = section.meta();
            meta.tombstones > 0 && meta.largest_number < options.oldest.0
        };
        let sections = levels.sections(level).iter().filter(inside);
        let sections: Vec<&Section> = if usize::from(level.0) == last {
            sections.filter(shed).collect()
        } else {
            sections.collect()
        };
        for section in sections.iter().rev() {
            match try_section(&picker, levels, level, section) {
                Some(job) => return RangePick::Job(Box::new(job)),
                None => blocked = true,
            }
        }
        if blocked && level == Level(0) {
            break;
        }
    }
    if blocked { RangePick::Busy } else { RangePick::Done }
}

/// A job that begins with `section`.
fn try_section(
    picker: &Picker<'_>,
    levels: &Arc<Levels>,
    level: Level,
    section: &Section,
) -> Option<Job> {
    if level == Level(0) {
        return picker.level0(levels, section, Reason::Manual);
    }
    let seeds = vec![section.clone()];
    if usize::from(level.0) == LEVEL_COUNT - 1 {
        return picker.again(levels, level, seeds, Reason::Manual);
    }
    picker.down(levels, level, seeds, Reason::Manual)
}
