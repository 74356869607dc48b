//! Reading ahead of a walk: several blocks by one call, more of them the longer the walk goes on.
//!
//! A walk that goes from block to block and finds one that is not in memory reads that and the next
//! ones: one at first, because most walks are short, and twice as many each time. The blocks are held until the walk has come to
//! them, so that they are not pushed out again by each other. In a mapped file the system is told
//! what is wanted soon instead.
//!
//! Past the page cache a read of two blocks takes no longer than one of one. So where the walks of a
//! section often go on into a second block, a seek reads two ([`Pairs`]).
//!
//! A seek that is not the only one to wait for the disk asks for its block before it waits.
//!
//! One thread; [`Pairs`]: any.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::Result;
use crate::cache::Pin;

use super::format::TRAILER_BYTES;
use super::read::Source;
use super::section::{For, Section, is_one_page};
use super::spots::Spots;

/// Most blocks that are read by one call, and most bytes of them (on disk) but for the first.
pub(super) const BLOCKS_MAX: usize = 64;
pub(super) const BYTES_MAX: u64 = 256 << 10;
/// Most bytes that the system is told of at once.
const TOLD_BYTES_MAX: u64 = 1 << 20;

/// The number of no block.
const NONE: usize = usize::MAX;

/// Seeks after which it is known how often walks go on.
const SEEKS_MIN: u32 = 64;
/// At so many the counts are halved, so that what was long ago counts less.
const SEEKS_MAX: u32 = 1024;
/// Two blocks are read if so many seeks or fewer have one walk that goes on.
const SEEKS_PER_CROSSING: u32 = 16;

/// How often walks in a section that is read past the page cache wait for a first block, and for a
/// second one. All relaxed: hints.
#[derive(Default)]
pub(super) struct Pairs {
    /// Seeks that waited, counted by them.
    seeks: AtomicU32,
    /// Walks that went on into a block that was not in the cache before the seek, counted by them.
    crossings: AtomicU32,
}

impl Pairs {
    fn sought(&self) {
        if self.seeks.fetch_add(1, Ordering::Relaxed) >= SEEKS_MAX {
            self.seeks.store(SEEKS_MAX / 2, Ordering::Relaxed);
            let crossings = self.crossings.load(Ordering::Relaxed);
            self.crossings.store(crossings / 2, Ordering::Relaxed);
        }
    }

    fn crossed(&self) {
        self.crossings.fetch_add(1, Ordering::Relaxed);
    }

    fn pay(&self) -> bool {
        let seeks = self.seeks.load(Ordering::Relaxed);
        let crossings = self.crossings.load(Ordering::Relaxed);
        seeks >= SEEKS_MIN && crossings.saturating_mul(SEEKS_PER_CROSSING) >= seeks
    }
}

/// Blocks ahead of one walk.
pub(super) struct Ahead {
    /// Neighbouring blocks, in order.
    held: VecDeque<(usize, Pin)>,
    /// The block that the walk comes to next if it goes on.
    next: usize,
    /// How many blocks were read or told of last.
    window: usize,
    /// The system was told of the blocks before this one.
    told: usize,
    /// The block that the system was asked for last, until another one is wanted.
    asked: usize,
}

impl Ahead {
    /// No walk yet.
    pub(super) fn new() -> Self {
        Self { held: VecDeque::new(), next: NONE, window: 0, told: 0, asked: NONE }
    }

    /// Lets go of all blocks: the walk goes on elsewhere.
    pub(super) fn let_go(&mut self) {
        self.held.clear();
        (self.next, self.asked) = (NONE, NONE);
    }

    /// Block `i`, which may have been read ahead.
    pub(super) fn block(
        &mut self,
        (section, source): (&Section, &Source),
        i: usize,
        keep: bool,
    ) -> Result<Pin> {
        let is_asked = std::mem::replace(&mut self.asked, NONE) == i;
        match self.take(i) {
            Some(pin) => Ok(pin),
            None if is_asked && !section.is_mapped() => section.asked_block(source, i, keep),
            None => match section.resident(i, keep) {
                Some(pin) => Ok(pin),
                None => self.absent_block((section, source), i, keep),
            },
        }
    }

    /// Block `i`, which is not in memory; perhaps with the next one, if the walk begins here.
    #[cold]
    fn absent_block(
        &mut self,
        (section, source): (&Section, &Source),
        i: usize,
        keep: bool,
    ) -> Result<Pin> {
        if keep && source.direct.is_some() && self.next != i + 1 {
            section.pairs.sought();
            if section.pairs.pay() && section.may_pair(source, i) {
                // What cannot be read is told by the read of one.
                let pins = section.read_run(source, (i, i + 2), For::Neighbour);
                let mut pins = pins.unwrap_or_default().into_iter();
                if let Some(first) = pins.next() {
                    section.slots.missed();
                    self.held = (i + 1..).zip(pins).collect();
                    (self.next, self.window, self.told) = (i + 1, 0, i + 1);
                    return Ok(first);
                }
            }
        }
        section.absent_block(source, i, keep)
    }

    /// Block `i`, which is not in memory, if it can be read without waiting for the disk; else the
    /// system begins to read it, and [`Self::block`] takes it from there.
    pub(super) fn ask(
        &mut self,
        (section, source): (&Section, &Source),
        i: usize,
        keep: bool,
    ) -> Option<Pin> {
        let pin = section.read_now(source, i, keep);
        if pin.is_none() {
            self.asked = i;
        }
        pin
    }

    /// Block `i`, if it was read ahead; those before it are let go.
    fn take(&mut self, i: usize) -> Option<Pin> {
        while let Some((at, _)) = self.held.front() {
            match *at {
                at if at < i => drop(self.held.pop_front()),
                at if at == i => return self.held.pop_front().map(|(_, pin)| pin),
                _ => return None,
            }
        }
        None
    }

    /// The walk crosses into block `i` from the one before; `is_here`: the caller has it.
    pub(super) fn cross(
        &mut self,
        (section, source): (&Section, &Source),
        i: usize,
        (keep, is_here): (bool, bool),
    ) -> Result<()> {
        if std::mem::replace(&mut self.next, i + 1) != i {
            self.held.clear();
            (self.window, self.told) = (0, i + 1);
            if section.spots.is_some() && keep {
                return Ok(());
            }
        }
        match &section.spots {
            Some(spots) if keep => self.tell(section, spots, i),
            _ if is_here || i >= section.index.len() => {}
            _ if self.held.front().is_some_and(|(at, _)| *at == i) => {
                if self.window == 0 {
                    section.pairs.crossed();
                }
            }
            _ if section.resident(i, keep).is_some() => {}
            _ => self.read(section, source, i, keep)?,
        }
        Ok(())
    }

    fn read(&mut self, section: &Section, source: &Source, i: usize, keep: bool) -> Result<()> {
        if self.window == 0 {
            section.pairs.crossed();
        }
        self.window = (2 * self.window).clamp(1, BLOCKS_MAX);
        let to = section.index.reach(i, self.window, BYTES_MAX);
        // What is in the cache need not be read again.
        let to = (i + 1..to).find(|at| section.is_cached(*at)).unwrap_or(to);
        if to > i + 1 {
            let pins = section.read_run(source, (i, to), For::of(keep))?;
            self.held = (i..).zip(pins).collect();
        }
        Ok(())
    }

    fn tell(&mut self, section: &Section, spots: &Spots, i: usize) {
        if i + self.window / 2 < self.told {
            return;
        }
        let from = self.told.max(i);
        self.window = (2 * self.window).clamp(4, 4 * BLOCKS_MAX);
        self.told = section.index.reach(from, self.window, TOLD_BYTES_MAX);
        spots.will_need(section, from, self.told);
    }
}

impl Section {
    /// Block `i`, which is not in memory, if it can be read without waiting for the disk; else the
    /// system begins to read it. Only a hint: whatever is wrong shows when the block is read.
    fn read_now(&self, source: &Source, i: usize, keep: bool) -> Option<Pin> {
        let place = self.index.place(i)?;
        if let (Some(spots), true) = (&self.spots, keep) {
            spots.will_need(self, i, i + 1);
            return None;
        }
        let (which, one_page) = ((self.offset_of(place), place.stored_bytes), is_one_page(place));
        let mut draft = source.room_for(&self.slots, which, one_page).ok()?;
        let stored = usize::try_from(place.stored_bytes).ok()?.checked_add(TRAILER_BYTES)?;
        if !source.file.read_now(draft.room().get_mut(..stored)?, which.0) {
            return None;
        }
        let fits = |decoded: usize| self.fits(place, decoded);
        let block = source.decode(&self.slots, draft, which, one_page, fits).ok()?;
        let page = usize::try_from(place.pages.0).ok()?;
        Some(self.enter(page, self.checked(source, i, block).ok()?, For::of(keep)))
    }
}
