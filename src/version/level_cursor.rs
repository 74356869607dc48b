//! A cursor over neighbouring sections of one level, one table after the other.
//!
//! By V1 the sections share no user key, so their order is the order of their entries. A table is
//! opened when the cursor reaches it; sections that a seek passes are not touched.

use std::ops::Range;
use std::sync::Arc;

use super::Run;
use crate::base::cursor::{Rank, Stamp};
use crate::base::{Cursor, Entry, KeyspaceId, Packed, Result};
use crate::sstable::TableCursor;

/// Some sections of a level below 0 as one sequence. Unpositioned past an end and after an error.
pub(crate) struct LevelCursor {
    keyspace: KeyspaceId,
    run: Arc<Run>,
    range: Range<usize>,
    /// Whether blocks that it reads may push others out of the cache.
    keep: bool,
    /// The section that the cursor is in, and the position there.
    here: Option<(usize, Box<TableCursor>)>,
}

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
        Self { keyspace, run, range, keep, here: None }
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
        let left = self.here.take();
        let Some(index) = index.filter(|index| self.range.contains(index)) else {
            return Ok(None);
        };
        let mut cursor = match left {
            Some((at, cursor)) if at == index => cursor,
            _ => self.open(index)?,
        };
        seek(&mut cursor)?;
        Ok(Some(cursor))
    }

    /// A new cursor over section `index`, which lies in the range.
    fn open(&self, index: usize) -> Result<Box<TableCursor>> {
        let table = self.run.sections()[index].table()?;
        Ok(Box::new(table.cursor_with(self.keyspace, self.keep)?))
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
        self.here = None;
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
        self.here = None;
        moved?;
        self.enter_back(index, TableCursor::seek_last)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.here.as_ref()?.1.entry()
    }
}
