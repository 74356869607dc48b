//! One level of one keyspace: its sections in search order, and their key ranges side by side.
//!
//! The smallest and largest keys of all sections lie in one buffer, so that a search touches few
//! cache lines and never the sections it passes.
//!
//! Not here: what levels mean to each other.

use std::cmp::Ordering;

use super::Section;
use super::plan::{Wanted, head_of};
use crate::base::{Error, Level, Result, filename};

/// The sections of one level of one keyspace; never changes.
#[derive(Default)]
pub(crate) struct Run {
    sections: Vec<Section>,
    /// Smallest key of section 0, largest key of section 0, smallest key of section 1, ...
    fences: Vec<u8>,
    /// Where each of those keys ends.
    ends: Vec<usize>,
    /// What a point lookup looks at first, a section each.
    gates: Vec<Gate>,
}

/// Who may pass to a section: by the heads of its smallest and largest keys and by its oldest
/// entry.
struct Gate {
    smallest: u128,
    largest: u128,
    smallest_number: u64,
}

impl Run {
    /// Sorts the sections of a level and checks V1 and V2; a violation is `Corrupt`.
    pub(crate) fn new(level: Level, mut sections: Vec<Section>) -> Result<Self> {
        for section in &sections {
            let meta = section.meta();
            if meta.smallest > meta.largest || meta.smallest_number > meta.largest_number {
                return Err(violation(level, section, "its smallest key or number is the larger"));
            }
        }
        if level == Level(0) {
            sections.sort_by(newest_first);
            check_level0(&sections)?;
        } else {
            sections.sort_by(|a, b| a.meta().smallest.cmp(&b.meta().smallest));
            check_deeper(level, &sections)?;
        }
        let (mut fences, mut ends) = (Vec::new(), Vec::with_capacity(2 * sections.len()));
        for section in &sections {
            for key in [&section.meta().smallest, &section.meta().largest] {
                fences.extend_from_slice(key);
                ends.push(fences.len());
            }
        }
        let gate = |section: &Section| Gate {
            smallest: head_of(&section.meta().smallest),
            largest: head_of(&section.meta().largest),
            smallest_number: section.meta().smallest_number,
        };
        let gates = sections.iter().map(gate).collect();
        Ok(Self { sections, fences, ends, gates })
    }

    /// The sections: level 0 newest first, others by key.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The smallest key of section `index`, which exists.
    pub(crate) fn smallest(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[2 * index - 1] };
        &self.fences[start..self.ends[2 * index]]
    }

    /// The largest key of section `index`, which exists.
    pub(crate) fn largest(&self, index: usize) -> &[u8] {
        &self.fences[self.ends[2 * index]..self.ends[2 * index + 1]]
    }

    /// Whether `key` lies in the key range of section `index`.
    #[cold]
    pub(crate) fn covers(&self, index: usize, key: &[u8]) -> bool {
        self.smallest(index) <= key && key <= self.largest(index)
    }

    /// Whether a lookup must look into section `index`: by key range and numbers.
    #[inline(always)]
    pub(super) fn may_hold(&self, index: usize, wanted: &Wanted<'_>) -> bool {
        let Some(gate) = self.gates.get(index) else { return false };
        let outside = wanted.head < gate.smallest || wanted.head > gate.largest;
        if outside || gate.smallest_number >= wanted.below.0 {
            return false;
        }
        // Heads that are alike say nothing about the rest.
        let is_inside = gate.smallest < wanted.head && wanted.head < gate.largest;
        is_inside || self.covers(index, wanted.key)
    }

    /// The first section whose largest key is at or after `key`. For levels below 0.
    pub(crate) fn first_reaching(&self, key: &[u8]) -> usize {
        self.first_reaching_head(head_of(key), key)
    }

    /// The one section of a level below 0 that may hold what is wanted.
    #[inline]
    pub(super) fn candidate(&self, wanted: &Wanted<'_>) -> Option<&Section> {
        let index = match self.gates.len() {
            0 | 1 => 0,
            _ => self.first_reaching_head(wanted.head, wanted.key),
        };
        if self.may_hold(index, wanted) { self.sections.get(index) } else { None }
    }

    #[inline]
    fn first_reaching_head(&self, head: u128, key: &[u8]) -> usize {
        self.partition(|index| match self.gates[index].largest.cmp(&head) {
            Ordering::Less => true,
            Ordering::Equal => self.largest(index) < key,
            Ordering::Greater => false,
        })
    }

    /// The first section whose smallest key is after `key`. For levels below 0.
    pub(crate) fn first_beyond(&self, key: &[u8]) -> usize {
        self.partition(|index| self.smallest(index) <= key)
    }

    #[inline]
    fn partition(&self, before: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.sections.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Descending by number. Sections with equal numbers share no key (V2); the file decides then.
fn newest_first(a: &Section, b: &Section) -> Ordering {
    let key = |s: &Section| (s.meta().largest_number, s.meta().smallest_number, s.number());
    key(b).cmp(&key(a))
}

/// V2: sections that overlap in numbers do not overlap in keys.
fn check_level0(sections: &[Section]) -> Result<()> {
    for (index, newer) in sections.iter().enumerate() {
        let rivals = sections[index + 1..]
            .iter()
            .filter(|older| older.meta().largest_number >= newer.meta().smallest_number);
        for older in rivals {
            if newer.meets(&older.meta().smallest, &older.meta().largest) {
                return Err(violation(Level(0), older, "it mixes with a newer table of the level"));
            }
        }
    }
    Ok(())
}

/// V1: sections are apart from each other.
fn check_deeper(level: Level, sections: &[Section]) -> Result<()> {
    let mut pairs = sections.iter().zip(sections.iter().skip(1));
    match pairs.find(|(left, right)| left.meta().largest >= right.meta().smallest) {
        Some((_, right)) => Err(violation(level, right, "it overlaps another table of the level")),
        None => Ok(()),
    }
}

/// An error for a section that cannot be where the manifest places it.
pub(crate) fn violation(level: Level, section: &Section, what: &str) -> Error {
    let number = section.number();
    let text = format!(
        "the manifest places keyspace {} of it in level {}, but {what}; restore a checkpoint",
        section.meta().keyspace.0,
        level.0
    );
    Error::corrupt(&filename::table(number), number.0, 0, text)
}
