//! Asking for memory before it is needed: by a walk for the next block, and by a seek in stages, so that
//! what several cursors need next comes into the cache together.

use super::{AHEAD_BYTES, Block, NEAR, Section, Source, Visited, Walk};
use crate::base::cursor::APPROACH_DISK;
use crate::cache::Pin;
use crate::sstable::index::Window;

/// How far a seek in stages has come.
#[derive(Clone, Copy)]
pub(super) enum Approach {
    None,
    Window(Window),
    Block(usize),
    /// The block and the number of entries in it that come before.
    Entry(usize, usize),
}

impl Walk {
    /// Asks for block `i`, into which the walk is about to cross.
    #[cold]
    pub(super) fn expect(
        ahead: &mut Option<(usize, Pin)>,
        section: &Section,
        i: usize,
        keep: bool,
    ) {
        if ahead.is_none() {
            *ahead = section.resident(i, keep).map(|pin| (i, pin));
            if let Some((_, pin)) = ahead {
                Block::prefetch_begin(pin, AHEAD_BYTES / 64);
            }
        }
    }

    /// Asks for the block that the walk comes to next, and for the slot of the one after that.
    pub(super) fn look_ahead(
        &mut self,
        section: &Section,
        next: Option<usize>,
        after: Option<usize>,
    ) {
        let Some(next) = next else { return };
        self.ahead = section.resident(next, self.keep).map(|pin| (next, pin));
        if let Some((_, pin)) = &self.ahead {
            Block::prefetch_search(pin, section.spots.is_none());
            Block::prefetch_begin(pin, AHEAD_BYTES / 64);
        }
        if let Some(after) = after {
            section.prefetch_slot(after);
        }
    }

    /// See [`crate::base::Cursor::approach`].
    pub(super) fn approach(
        &mut self,
        section: &Section,
        source: &Source,
        (key, number): (&[u8], u64),
        stage: u32,
    ) {
        self.approach = match (stage, self.approach) {
            (0, _) => {
                self.positioned = false;
                let window = section.index.window(key);
                section.expect_slots(window.from);
                Approach::Window(window)
            }
            (1, Approach::Window(window)) => {
                let i = section.index.seek_in(window, key, number);
                section.prefetch_slot(i);
                Approach::Block(i)
            }
            (2, Approach::Block(i)) => {
                if self.visited.as_ref().is_none_or(|visited| visited.i != i) {
                    section.expect_ends(i);
                    self.ahead = section.resident(i, self.keep).map(|pin| (i, pin));
                    if let Some((_, pin)) = &self.ahead {
                        Block::prefetch_search(pin, section.spots.is_none());
                    }
                }
                Approach::Block(i)
            }
            (3, Approach::Block(i)) => self.approach_entry(section, source, i, (key, number)),
            (APPROACH_DISK, Approach::Block(i)) if self.lacks(section, i) => {
                self.ahead = self.run.ask((section, source), i, self.keep).map(|pin| (i, pin));
                Approach::Block(i)
            }
            (_, approach) => approach,
        };
    }

    /// Whether a visit of block `i`, if there is one, must read it.
    pub(super) fn lacks(&self, section: &Section, i: usize) -> bool {
        self.visited.as_ref().is_none_or(|visited| visited.i != i)
            && self.ahead.as_ref().is_none_or(|(at, _)| *at != i)
            && i < section.index.len()
    }

    /// The last stage, if block `i` is in memory.
    fn approach_entry(
        &mut self,
        section: &Section,
        source: &Source,
        i: usize,
        (key, number): (&[u8], u64),
    ) -> Approach {
        let is_here = self.visited.as_ref().is_some_and(|visited| visited.i == i);
        let is_ahead = self.ahead.as_ref().is_some_and(|(at, _)| *at == i);
        if (is_here || is_ahead) && self.visit(section, source, i).is_ok() {
            let block = self.visited.as_ref().map(Visited::block);
            let found = block.and_then(|block| {
                let at = block.lower_bound(key, number)?;
                Some((at, block.count() - at))
            });
            if let Some((at, left)) = found {
                if left <= NEAR {
                    Self::expect(&mut self.ahead, section, i + 1, self.keep);
                }
                return Approach::Entry(i, at);
            }
        }
        Approach::Block(i)
    }
}
