//! A position in one section of a table.
//!
//! It holds the table and the block it stands in, so it may outlive whoever made it. One thread at
//! a time. The key is put together once for each entry, prefix and suffix; the value is borrowed
//! from the block.

use std::sync::Arc;

use crate::base::{Cursor, Entry, Kind, Result};
use crate::cache::Pin;

use super::block::{Block, BlockEntry};
use super::section::Section;
use super::table::Table;

/// See [`Table::cursor`].
pub(crate) struct TableCursor {
    table: Arc<Table>,
    /// None: the table has nothing of this keyspace.
    section: Option<Arc<Section>>,
    keep: bool,
    /// The block that was visited last. Kept when the cursor becomes unpositioned.
    block: Option<Visited>,
    /// Only meaningful while `positioned`.
    here: Here,
    positioned: bool,
}

struct Visited {
    i: usize,
    pin: Pin,
    prefix_bytes: usize,
    count: usize,
}

/// The entry that the cursor stands on; its key is in `key`, its value in the visited block.
struct Here {
    at: usize,
    next_offset: usize,
    key: Vec<u8>,
    number: u64,
    kind: Kind,
    expiry_ms: u64,
    value_at: usize,
    value_end: usize,
}

impl TableCursor {
    /// An unpositioned cursor. With `keep` the blocks that it reads are offered to the cache.
    pub(super) fn new(table: Arc<Table>, section: Option<Arc<Section>>, keep: bool) -> Self {
        let here = Here {
            at: 0,
            next_offset: 0,
            key: Vec::new(),
            number: 0,
            kind: Kind::Put,
            expiry_ms: 0,
            value_at: 0,
            value_end: 0,
        };
        Self { table, section, keep, block: None, here, positioned: false }
    }

    /// Makes block `i` the visited one.
    fn visit(&mut self, section: &Section, i: usize) -> Result<()> {
        if self.block.as_ref().is_some_and(|visited| visited.i == i) {
            return Ok(());
        }
        let source = &self.table.source;
        let pin = section.block(source, i, self.keep)?;
        let Some(block) = Block::parse(&pin) else { return Err(section.bad_block(source, i)) };
        let (prefix_bytes, count) = (block.prefix().len(), block.count());
        self.here.key.clear();
        self.here.key.extend_from_slice(block.prefix());
        self.block = Some(Visited { i, pin, prefix_bytes, count });
        Ok(())
    }

    /// Stands on entry `at` of the visited block; `offset` is where it begins if that is known.
    #[inline]
    fn stand(&mut self, section: &Section, at: usize, offset: Option<usize>) -> Result<()> {
        let Some(visited) = &self.block else { return Ok(()) };
        let entry = Block::parse(&visited.pin).and_then(|block| match offset {
            Some(offset) => block.entry_at(offset),
            None => block.entry(at),
        });
        let Some(entry) = entry else {
            return Err(section.bad_block(&self.table.source, visited.i));
        };
        let BlockEntry { suffix, number, kind, expiry_ms, value_at, value, end } = entry;
        let here = &mut self.here;
        here.key.truncate(visited.prefix_bytes);
        here.key.extend_from_slice(suffix);
        (here.at, here.next_offset) = (at, end);
        (here.number, here.kind, here.expiry_ms) = (number, kind, expiry_ms);
        (here.value_at, here.value_end) = (value_at, value_at + value.len());
        self.positioned = true;
        Ok(())
    }

    /// Stands on the first entry of block `i`, or nowhere past the last block.
    fn first_of(&mut self, section: &Section, i: usize) -> Result<()> {
        if i >= section.index.len() {
            return Ok(());
        }
        self.visit(section, i)?;
        self.stand(section, 0, None)
    }

    /// Stands on the last entry of the block before block `i`, or nowhere.
    fn last_before(&mut self, section: &Section, i: usize) -> Result<()> {
        let Some(i) = i.checked_sub(1) else { return Ok(()) };
        self.visit(section, i)?;
        let count = self.block.as_ref().map_or(1, |visited| visited.count);
        self.stand(section, count - 1, None)
    }

    /// Visits the block where (`key`, `number`) belongs, and tells which block and which entry of
    /// it are the first at or after that; none if all entries of the section are before.
    fn find(
        &mut self,
        section: &Section,
        key: &[u8],
        number: u64,
    ) -> Result<Option<(usize, usize)>> {
        let i = section.index.seek(key, number);
        if i == section.index.len() {
            return Ok(None);
        }
        self.visit(section, i)?;
        let at = self
            .block
            .as_ref()
            .and_then(|visited| Block::parse(&visited.pin)?.lower_bound(key, number));
        match at {
            Some(at) => Ok(Some((i, at))),
            None => Err(section.bad_block(&self.table.source, i)),
        }
    }

    /// Runs one move with the cursor unpositioned, so that it stays so after an error.
    #[inline]
    fn go(&mut self, step: impl FnOnce(&mut Self, &Section) -> Result<()>) -> Result<()> {
        self.positioned = false;
        let Some(section) = self.section.take() else { return Ok(()) };
        let result = step(self, &section);
        self.section = Some(section);
        result
    }
}

impl Cursor for TableCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.go(|cursor, section| cursor.first_of(section, 0))
    }

    fn seek_last(&mut self) -> Result<()> {
        self.go(|cursor, section| cursor.last_before(section, section.index.len()))
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.go(|cursor, section| match cursor.find(section, key, number)? {
            None => Ok(()),
            Some((i, at)) if cursor.block.as_ref().is_some_and(|b| at == b.count) => {
                cursor.first_of(section, i + 1)
            }
            Some((_, at)) => cursor.stand(section, at, None),
        })
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.go(|cursor, section| match cursor.find(section, key, number)? {
            None => cursor.last_before(section, section.index.len()),
            Some((i, 0)) => cursor.last_before(section, i),
            Some((_, at)) => cursor.stand(section, at - 1, None),
        })
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if !self.positioned {
            return Ok(());
        }
        self.go(|cursor, section| {
            let Some(Visited { i, count, .. }) = cursor.block else { return Ok(()) };
            let at = cursor.here.at + 1;
            if at < count {
                return cursor.stand(section, at, Some(cursor.here.next_offset));
            }
            cursor.first_of(section, i + 1)
        })
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        if !self.positioned {
            return Ok(());
        }
        self.go(|cursor, section| {
            let Some(Visited { i, .. }) = cursor.block else { return Ok(()) };
            match cursor.here.at.checked_sub(1) {
                Some(at) => cursor.stand(section, at, None),
                None => cursor.last_before(section, i),
            }
        })
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        if !self.positioned {
            return None;
        }
        let here = &self.here;
        let value = self.block.as_ref()?.pin.get(here.value_at..here.value_end)?;
        Some(Entry {
            key: &here.key,
            number: here.number,
            kind: here.kind,
            expiry_ms: here.expiry_ms,
            value,
        })
    }
}
