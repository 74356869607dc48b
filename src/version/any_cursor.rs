//! The cursors that a read merges, as one type, so that a step of the merge calls none of them by
//! pointer.
//!
//! One thread at a time.

use super::LevelCursor;
use crate::base::cursor::{Rank, Stamp};
use crate::base::{Cursor, Entry, Packed, Result};
use crate::memtable::MemCursor;
use crate::sstable::TableCursor;

/// A cursor over one source of a read.
pub(crate) enum AnyCursor {
    /// A section of level 0.
    Table(Box<TableCursor>),
    /// A deeper level.
    Level(LevelCursor),
    /// A memtable, or a replayed log.
    Memory(MemCursor),
}

impl AnyCursor {
    /// Lets go of the blocks that it holds; unpositioned then.
    pub(crate) fn let_go(&mut self) {
        match self {
            Self::Table(cursor) => cursor.let_go(),
            Self::Level(cursor) => cursor.let_go(),
            Self::Memory(_) => {}
        }
    }
}

macro_rules! each {
    ($any:expr, $cursor:ident => $call:expr) => {
        match $any {
            AnyCursor::Table($cursor) => $call,
            AnyCursor::Level($cursor) => $call,
            AnyCursor::Memory($cursor) => $call,
        }
    };
}

impl Cursor for AnyCursor {
    fn seek_first(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_first())
    }

    fn seek_last(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_last())
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        each!(self, cursor => cursor.seek_ge(key, number))
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        each!(self, cursor => cursor.seek_lt(key, number))
    }

    fn approach(&mut self, key: &[u8], number: u64, stage: u32) {
        each!(self, cursor => cursor.approach(key, number, stage));
    }

    #[inline]
    fn is_waiting(&self) -> bool {
        each!(self, cursor => cursor.is_waiting())
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        each!(self, cursor => cursor.next_key())
    }

    #[inline]
    fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        each!(self, cursor => cursor.next_plain(below, limit))
    }

    fn pack_plain(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) {
        each!(self, cursor => cursor.pack_plain(below, limit, into));
    }

    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        each!(self, cursor => cursor.pass_deletes(below, limit))
    }

    #[inline]
    fn is_newest(&self) -> Option<bool> {
        each!(self, cursor => cursor.is_newest())
    }

    #[inline]
    fn rank(&self) -> Option<Rank> {
        each!(self, cursor => cursor.rank())
    }

    #[inline]
    fn stamp(&self) -> Option<Stamp> {
        each!(self, cursor => cursor.stamp())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        each!(self, cursor => cursor.next())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        each!(self, cursor => cursor.prev())
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        each!(self, cursor => cursor.entry())
    }

    #[inline]
    fn check_value(&self) -> Result<()> {
        each!(self, cursor => cursor.check_value())
    }

    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        each!(self, cursor => cursor.pair())
    }
}
