//! The chains of the point index, over any kind of word: the same code serves arena and models.
//!
//! A bucket is one word: the unit (place / 8) of its newest entry and 32 filter bits over the keys
//! of its chain, so that a miss usually costs this one access. Entries chain through their link
//! bytes: the unit of the next older entry and this entry's own number (less the base).
//!
//! Invariants:
//! * P1: units descend along a chain. Places and numbers rise together, so numbers descend too.
//! * P2: nothing is ever removed; an entry is linked when its insert returns. So a reader at a
//!   position finds every entry below it: all of those were linked before `visible` passed them.
//! * P3: filter bits of an entry are set before its insert returns, and never cleared.
//!
//! Any number of threads insert and look up. Inserts of one bucket meet in compare-and-swap, on
//! the bucket or on the link of the newer neighbour.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::mutant::mutant;

/// A word of a bucket or of link bytes. The standard atomic, or loom's in models: arena memory
/// cannot hold those.
pub(in crate::memtable) trait Word {
    /// Pairs with the `Release` in the other two: who sees a unit sees its entry and its link.
    fn load(&self) -> u64;
    /// Stores into a word that nobody else can reach yet.
    fn set(&self, value: u64);
    /// Replaces `old`; else returns what is there.
    fn exchange(&self, old: u64, new: u64) -> std::result::Result<(), u64>;
    /// Sets bits.
    fn add_bits(&self, bits: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Acquire)
    }
    #[inline]
    fn set(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
    #[inline]
    fn exchange(&self, old: u64, new: u64) -> std::result::Result<(), u64> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
    fn add_bits(&self, bits: u64) {
        self.fetch_or(bits, Ordering::AcqRel);
    }
}

/// Both kinds of word hold a unit below and 32 bits above: filter bits or a number.
#[inline]
fn pack(unit: u32, above: u32) -> u64 {
    u64::from(above) << 32 | u64::from(unit)
}

#[allow(clippy::cast_possible_truncation, reason = "takes the low half")]
#[inline]
fn unit_of(word: u64) -> u32 {
    word as u32
}

#[inline]
fn above_of(word: u64) -> u32 {
    unit_of(word >> 32)
}

/// Puts the entry at `unit`, numbered `number`, into the chain of `bucket` and `tag` into its
/// filter. `word_at` finds the link word of a unit.
#[inline]
pub(in crate::memtable) fn link<'a, W: Word + 'a>(
    bucket: &'a W,
    word_at: impl Fn(u32) -> &'a W,
    unit: u32,
    number: u32,
    tag: u32,
) {
    let own = word_at(unit);
    let mut head = bucket.load();
    while unit_of(head) < unit || mutant("point_chain_order") {
        own.set(pack(unit_of(head), number));
        match bucket.exchange(head, pack(unit, above_of(head) | tag)) {
            Ok(()) => return,
            Err(now) => head = now,
        }
    }
    // A newer entry is in front (P1). Filter bits first: they are never cleared, so the order of
    // the two steps does not matter once this returns (P3).
    if above_of(head) & tag != tag {
        bucket.add_bits(pack(0, tag));
    }
    let mut newer = word_at(unit_of(head));
    let mut link = newer.load();
    loop {
        let next = unit_of(link);
        if next > unit {
            newer = word_at(next);
            link = newer.load();
            continue;
        }
        own.set(pack(next, number));
        match newer.exchange(link, pack(unit, above_of(link))) {
            Ok(()) => return,
            Err(now) => link = now,
        }
    }
}

/// What a lookup found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::memtable) enum Found<T> {
    /// The newest entry below the position.
    Entry(T),
    /// There is none.
    Absent,
    /// The walk was given up after the steps that were allowed.
    TooLong,
}

impl<T> Found<T> {
    /// The same with what was found turned into something else.
    #[inline]
    pub(in crate::memtable) fn map<U>(self, turn: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Entry(entry) => Found::Entry(turn(entry)),
            Self::Absent => Found::Absent,
            Self::TooLong => Found::TooLong,
        }
    }
}

/// Looks for the newest entry numbered below `below` that `is_match` accepts; finds its unit and
/// its number.
#[inline]
pub(in crate::memtable) fn find<'a, W: Word + 'a>(
    bucket: &'a W,
    word_at: impl Fn(u32) -> &'a W,
    tag: u32,
    below: u32,
    steps_max: usize,
    mut is_match: impl FnMut(u32) -> bool,
) -> Found<(u32, u32)> {
    let head = bucket.load();
    if above_of(head) & tag != tag {
        return Found::Absent;
    }
    let mut unit = unit_of(head);
    let mut steps = 0;
    while unit != 0 {
        if steps == steps_max {
            return Found::TooLong;
        }
        let link = word_at(unit).load();
        let number = above_of(link);
        let is_below = number < below || (mutant("get_le") && number == below);
        if is_below && is_match(unit) {
            return Found::Entry((unit, number));
        }
        unit = unit_of(link);
        steps += 1;
    }
    Found::Absent
}
