//! A cursor over neighbouring sections of one level, one table after the other.
//!
//! By V1 the sections share no user key, so their order is the order of their entries. A table is
//! opened when the cursor reaches it; sections that a seek passes are not touched. A reader's cursor
//! keeps its places in some sections that it has left, without blocks: opening another counts two
//! references that all readers share, and seeks go to and fro.

use std::ops::Range;
use std::sync::Arc;

use super::Run;
use crate::base::cursor::{Rank, Stamp};
use crate::base::{Cursor, Entry, KeyspaceId, Packed, Result};
use crate::sstable::TableCursor;

/// Sections that a cursor keeps its places in besides the one that it is in.
const LEFT_MAX: usize = 16;

/// Some sections of a level below 0 as one sequence. Unpositioned past an end and after an error.
pub(crate) struct LevelCursor {
    keyspace: KeyspaceId,
    run: Arc<Run>,
    range: Range<usize>,
    /// Whether blocks that it reads may push others out of the cache.
    keep: bool,
    /// The section that the cursor is in, and the position there.
    here: Option<Inside>,
    /// Sections that it was in, without blocks; each at its index less a multiple of [`LEFT_MAX`].
    left: Vec<Option<Inside>>,
}

/// A section and the position there.
type Inside = (usize, Box<TableCursor>);

impl LevelCursor {
    /// A cursor over the sections of `run` with indexes in `range`, which lies inside. Without
    /// `keep` the blocks that it reads push none out of the cache.
    pub(crate) fn new(
        keyspace: KeyspaceId,
        run: Arc<Run>,
        range: Range<usize>,
        keep: bool,
    ) -> Self {
        debug_assert!(range.end <= run.sections().len(), "the sections exist");
        Self { keyspace, run, range, keep, here: None, left: Vec::new() }
    }

    /// See [`super::AnyCursor::let_go`]. It stays in its section.
    pub(super) fn let_go(&mut self) {
        if let Some((_, cursor)) = &mut self.here {
            cursor.let_go();
        }
    }

    /// Enters section `index` by `seek`; goes on to the next section while one has no such entry.
    fn enter_on(
        &mut self,
        index: usize,
        seek: impl Fn(&mut TableCursor) -> Result<()>,
    ) -> Result<()> {
        let mut index = index;
        let mut reached = self.enter(Some(index), &seek)?;
        while let Some(cursor) = reached {
            if cursor.is_positioned() {
                self.here = Some((index, cursor));
                return Ok(());
            }
            index += 1;
            reached = self.enter(Some(index), &TableCursor::seek_first)?;
        }
        Ok(())
    }

    /// The mirror of [`Self::enter_on`] for the section just before index `end`.
    fn enter_back(
        &mut self,
        end: usize,
        seek: impl Fn(&mut TableCursor) -> Result<()>,
    ) -> Result<()> {
        let mut end = end;
        let mut reached = self.enter(end.checked_sub(1), &seek)?;
        while let Some(cursor) = reached {
            end -= 1;
            if cursor.is_positioned() {
                self.here = Some((end, cursor));
                return Ok(());
            }
            reached = self.enter(end.checked_sub(1), &TableCursor::seek_last)?;
        }
        Ok(())
    }

    /// A cursor in section `index` after `seek`, or none outside of the range. Leaves the section
    /// where the cursor was in any case.
    fn enter(
        &mut self,
        index: Option<usize>,
        seek: &dyn Fn(&mut TableCursor) -> Result<()>,
    ) -> Result<Option<Box<TableCursor>>> {
        let here = self.here.take();
        let Some(index) = index.filter(|index| self.range.contains(index)) else {
            self.leave(here);
            return Ok(None);
        };
        let mut cursor = match here {
            Some((at, cursor)) if at == index => cursor,
            here => {
                self.leave(here);
                self.open(index)?
            }
        };
        seek(&mut cursor)?;
        Ok(Some(cursor))
    }

    /// A cursor over section `index`, which lies in the range: a kept one, or a new one.
    fn open(&mut self, index: usize) -> Result<Box<TableCursor>> {
        let kept = self.left.get_mut(index % LEFT_MAX);
        if let Some((_, cursor)) = kept.and_then(|kept| kept.take_if(|kept| kept.0 == index)) {
            return Ok(cursor);
        }
        let table = self.run.sections()[index].table()?;
        Ok(Box::new(table.cursor_with(self.keyspace, self.keep)?))
    }

    /// Keeps a place for later. Compactions come to no section twice.
    fn leave(&mut self, inside: Option<Inside>) {
        let Some((index, mut cursor)) = inside.filter(|_| self.keep) else { return };
        cursor.let_go();
        if self.left.is_empty() {
            let places = self.run.sections().len().min(LEFT_MAX);
            self.left.resize_with(places, || None);
        }
        if let Some(place) = self.left.get_mut(index % LEFT_MAX) {
            *place = Some((index, cursor));
        }
    }

    /// One `step` forward, into the next sections if it ends this one.
    #[inline]
    fn move_on(&mut self, step: impl Fn(&mut TableCursor) -> Result<()>) -> Result<()> {
        let Some((index, cursor)) = &mut self.here else {
            return Ok(());
        };
        let (index, moved) = (*index, step(cursor));
        if moved.is_ok() && cursor.is_positioned() {
            return Ok(());
        }
        let here = self.here.take();
        self.leave(here);
        moved?;
        self.enter_on(index + 1, TableCursor::seek_first)
    }
}

impl Cursor for LevelCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.enter_on(self.range.start, TableCursor::seek_first)
    }

    fn seek_last(&mut self) -> Result<()> {
        self.enter_back(self.range.end, TableCursor::seek_last)
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        let index = self.run.first_reaching(key).max(self.range.start);
        self.enter_on(index, |cursor| cursor.seek_ge(key, number))
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        let end = self.run.first_beyond(key).min(self.range.end);
        self.enter_back(end, |cursor| cursor.seek_lt(key, number))
    }

    fn approach(&mut self, key: &[u8], number: u64, stage: u32) {
        if stage == 0 {
            let index = self.run.first_reaching(key).max(self.range.start);
            if self.range.contains(&index) && self.here.as_ref().is_none_or(|h| h.0 != index) {
                let here = self.here.take();
                self.leave(here);
                // An error shows when the seek opens it again.
                self.here = self.open(index).ok().map(|cursor| (index, cursor));
            }
        }
        if let Some((_, cursor)) = &mut self.here {
            cursor.approach(key, number, stage);
        }
    }

    #[inline]
    fn is_waiting(&self) -> bool {
        self.here.as_ref().is_some_and(|(_, cursor)| cursor.is_waiting())
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        self.move_on(TableCursor::next_key)
    }

    #[inline]
    fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        self.here.as_mut().is_some_and(|here| here.1.next_plain(below, limit))
    }

    fn pack_plain(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) {
        if let Some((_, cursor)) = &mut self.here {
            cursor.pack_plain(below, limit, into);
        }
    }

    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        self.move_on(|cursor| cursor.pass_deletes(below, limit))
    }

    #[inline]
    fn is_newest(&self) -> Option<bool> {
        self.here.as_ref()?.1.is_newest()
    }

    #[inline]
    fn rank(&self) -> Option<Rank> {
        self.here.as_ref()?.1.rank()
    }

    #[inline]
    fn stamp(&self) -> Option<Stamp> {
        self.here.as_ref()?.1.stamp()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        self.move_on(TableCursor::next)
    }

    fn prev(&mut self) -> Result<()> {
        let Some((index, cursor)) = &mut self.here else {
            return Ok(());
        };
        let (index, moved) = (*index, cursor.prev());
        if moved.is_ok() && cursor.is_positioned() {
            return Ok(());
        }
        let here = self.here.take();
        self.leave(here);
        moved?;
        self.enter_back(index, TableCursor::seek_last)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.here.as_ref()?.1.entry()
    }

    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        self.here.as_ref()?.1.pair()
    }
}
