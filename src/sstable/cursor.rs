//! A position in one section of a table.
//!
//! It holds the table and the block it stands in, so it may outlive whoever made it. One thread at
//! a time. The key is put together once for each entry, prefix and suffix; the value is borrowed
//! from the block.
//!
//! Memory is asked for before it is needed: a seek in stages ([`Cursor::approach`]), a walk some
//! lines ahead, and once it has crossed from block to block, the beginning of the next block.

use std::sync::Arc;

use crate::base::{Cursor, Entry, Kind, Result};
use crate::cache::Pin;

use super::block::{Block, BlockEntry, Shape};
use super::index::Window;
use super::read::Source;
use super::section::Section;
use super::table::Table;

/// How many bytes before a walk memory is asked for.
const AHEAD_BYTES: usize = 256;
/// Key suffixes up to this length are copied without a call.
const CHUNK_BYTES: usize = 16;

/// See [`Table::cursor`].
pub(crate) struct TableCursor {
    table: Arc<Table>,
    /// None: the table has nothing of this keyspace.
    section: Option<Arc<Section>>,
    walk: Walk,
}

/// The moving part.
struct Walk {
    keep: bool,
    /// The block that was visited last. Kept when the cursor becomes unpositioned.
    visited: Option<Visited>,
    /// A block that will be visited soon.
    ahead: Option<(usize, Pin)>,
    /// Only meaningful while `positioned`.
    here: Here,
    positioned: bool,
    approach: Approach,
}

struct Visited {
    i: usize,
    pin: Pin,
    shape: Shape,
    count: usize,
    prefix_bytes: usize,
}

/// The entry that the cursor stands on; its key is in `key`, its value in the visited block.
struct Here {
    at: usize,
    next_offset: usize,
    key: Vec<u8>,
    number: u64,
    kind: Kind,
    expiry_ms: u64,
    suffix_at: usize,
    value_at: usize,
    value_end: usize,
}

/// How far a seek in stages has come.
#[derive(Clone, Copy)]
enum Approach {
    None,
    Window(Window),
    Block(usize),
    /// The block and the number of entries in it that come before.
    Entry(usize, usize),
}

impl Visited {
    #[inline]
    fn block(&self) -> Block<'_> {
        Block::of(&self.pin, self.shape)
    }
}

impl Here {
    #[inline]
    fn set(&mut self, at: usize, entry: &BlockEntry<'_>, block: &Block<'_>, prefix_bytes: usize) {
        let BlockEntry { suffix, number, kind, expiry_ms, value_at, value, end } = *entry;
        let suffix_at = value_at - suffix.len();
        let whole = block.bytes(suffix_at, suffix_at + CHUNK_BYTES);
        self.key.truncate(prefix_bytes);
        match whole.first_chunk::<CHUNK_BYTES>() {
            Some(chunk) if suffix.len() <= CHUNK_BYTES => {
                self.key.extend_from_slice(chunk);
                self.key.truncate(prefix_bytes + suffix.len());
            }
            _ => self.key.extend_from_slice(suffix),
        }
        (self.at, self.next_offset) = (at, end);
        (self.number, self.kind, self.expiry_ms) = (number, kind, expiry_ms);
        (self.suffix_at, self.value_at, self.value_end) =
            (suffix_at, value_at, value_at + value.len());
    }
}

impl Walk {
    /// Makes block `i` the visited one.
    fn visit(&mut self, section: &Section, source: &Source, i: usize) -> Result<()> {
        if self.visited.as_ref().is_some_and(|visited| visited.i == i) {
            return Ok(());
        }
        let pin = match self.ahead.take() {
            Some((at, pin)) if at == i => pin,
            _ => section.block(source, i, self.keep)?,
        };
        let Some(block) = Block::parse(&pin) else { return Err(section.bad_block(source, i)) };
        let (shape, count, prefix_bytes) = (block.shape(), block.count(), block.prefix().len());
        self.here.key.clear();
        self.here.key.extend_from_slice(block.prefix());
        self.visited = Some(Visited { i, pin, shape, count, prefix_bytes });
        Ok(())
    }

    /// Stands on entry `at` of the visited block; `offset` is where it begins if that is known.
    #[inline]
    fn stand(
        &mut self,
        section: &Section,
        source: &Source,
        at: usize,
        offset: Option<usize>,
    ) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let block = visited.block();
        let entry = match offset {
            Some(offset) => block.entry_at(offset),
            None => block.entry(at),
        };
        let Some(entry) = entry else { return Err(section.bad_block(source, visited.i)) };
        self.here.set(at, &entry, &block, visited.prefix_bytes);
        self.positioned = true;
        Ok(())
    }

    /// Stands on the first entry of block `i`, or nowhere past the last block.
    fn first_of(&mut self, section: &Section, source: &Source, i: usize) -> Result<()> {
        if i >= section.index.len() {
            return Ok(());
        }
        self.visit(section, source, i)?;
        let offset = self.visited.as_ref().map(|visited| visited.block().first_offset());
        self.stand(section, source, 0, offset)
    }

    /// Stands on the last entry of the block before block `i`, or nowhere.
    fn last_before(&mut self, section: &Section, source: &Source, i: usize) -> Result<()> {
        let Some(i) = i.checked_sub(1) else { return Ok(()) };
        self.visit(section, source, i)?;
        let count = self.visited.as_ref().map_or(1, |visited| visited.count);
        self.stand(section, source, count - 1, None)
    }

    /// Asks for the block that the walk comes to next, and for the slot of the one after that.
    fn look_ahead(&mut self, section: &Section, next: Option<usize>, after: Option<usize>) {
        let Some(next) = next else { return };
        self.ahead = section.resident(next).map(|pin| (next, pin));
        if let Some((_, pin)) = &self.ahead {
            Block::prefetch_search(pin);
            Block::prefetch_begin(pin);
        }
        if let Some(after) = after {
            section.prefetch_slot(after);
        }
    }

    /// Visits the block where (`key`, `number`) belongs, and tells which block and which entry of
    /// it are the first at or after that; none if all entries of the section are before.
    fn find(
        &mut self,
        section: &Section,
        source: &Source,
        key: &[u8],
        number: u64,
    ) -> Result<Option<(usize, usize)>> {
        let i = match std::mem::replace(&mut self.approach, Approach::None) {
            Approach::Entry(i, at) => return Ok(Some((i, at))),
            Approach::Block(i) => i,
            Approach::Window(window) => section.index.seek_in(window, key, number),
            Approach::None => section.index.seek(key, number),
        };
        if i >= section.index.len() {
            return Ok(None);
        }
        self.visit(section, source, i)?;
        let visited = self.visited.as_ref();
        match visited.and_then(|visited| visited.block().lower_bound(key, number)) {
            Some(at) => Ok(Some((i, at))),
            None => Err(section.bad_block(source, i)),
        }
    }

    fn approach(
        &mut self,
        section: &Section,
        source: &Source,
        (key, number): (&[u8], u64),
        stage: u32,
    ) {
        self.approach = match (stage, self.approach) {
            (0, _) => {
                self.positioned = false;
                Approach::Window(section.index.window(key))
            }
            (1, Approach::Window(window)) => {
                let i = section.index.seek_in(window, key, number);
                section.prefetch_slot(i);
                Approach::Block(i)
            }
            (2, Approach::Block(i)) => {
                if self.visited.as_ref().is_none_or(|visited| visited.i != i) {
                    self.ahead = section.resident(i).map(|pin| (i, pin));
                    if let Some((_, pin)) = &self.ahead {
                        Block::prefetch_search(pin);
                    }
                }
                Approach::Block(i)
            }
            (3, Approach::Block(i)) => self.approach_entry(section, source, i, (key, number)),
            (_, approach) => approach,
        };
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
            let at = block.and_then(|block| {
                let at = block.lower_bound(key, number)?;
                block.prefetch_entry(at);
                Some(at)
            });
            if let Some(at) = at {
                return Approach::Entry(i, at);
            }
        }
        Approach::Block(i)
    }

    #[inline]
    fn next(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let at = self.here.at + 1;
        if at < visited.count {
            visited.block().prefetch_at(self.here.next_offset + AHEAD_BYTES, 2);
            return self.stand(section, source, at, Some(self.here.next_offset));
        }
        self.cross(section, source)
    }

    /// From the last entry of the visited block to the first of the next.
    fn cross(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(i) = self.visited.as_ref().map(|visited| visited.i) else { return Ok(()) };
        self.first_of(section, source, i + 1)?;
        self.look_ahead(section, Some(i + 2), Some(i + 3));
        Ok(())
    }

    fn next_key(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let block = visited.block();
        let suffix = block.bytes(self.here.suffix_at, self.here.value_at);
        let (mut at, mut offset) = (self.here.at + 1, self.here.next_offset);
        while at < visited.count {
            let Some(entry) = block.entry_at(offset) else {
                return Err(section.bad_block(source, visited.i));
            };
            if entry.suffix != suffix {
                block.prefetch_at(entry.end + AHEAD_BYTES, 2);
                self.here.set(at, &entry, &block, visited.prefix_bytes);
                self.positioned = true;
                return Ok(());
            }
            (at, offset) = (at + 1, entry.end);
        }
        if !section.index.goes_on(visited.i) {
            return self.cross(section, source);
        }
        let key = self.here.key.clone();
        self.seek_ge(section, source, &key, 0)?;
        if self.positioned && self.here.key == key {
            self.positioned = false;
            return self.next(section, source);
        }
        Ok(())
    }

    fn seek_ge(
        &mut self,
        section: &Section,
        source: &Source,
        key: &[u8],
        number: u64,
    ) -> Result<()> {
        self.positioned = false;
        match self.find(section, source, key, number)? {
            None => Ok(()),
            Some((i, at)) if self.visited.as_ref().is_some_and(|b| at == b.count) => {
                self.first_of(section, source, i + 1)
            }
            Some((_, at)) => self.stand(section, source, at, None),
        }
    }

    #[inline]
    fn prev(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let i = visited.i;
        if let Some(at) = self.here.at.checked_sub(1) {
            let before = self.here.suffix_at.saturating_sub(2 * AHEAD_BYTES);
            visited.block().prefetch_at(before, 2);
            return self.stand(section, source, at, None);
        }
        self.last_before(section, source, i)?;
        self.look_ahead(section, i.checked_sub(2), i.checked_sub(3));
        Ok(())
    }

    /// See [`Cursor::is_newest`].
    fn is_newest(&self, section: &Section) -> Option<bool> {
        let visited = self.visited.as_ref()?;
        let Some(before) = self.here.at.checked_sub(1) else {
            return Some(visited.i.checked_sub(1).is_none_or(|i| !section.index.goes_on(i)));
        };
        let block = visited.block();
        let entry = block.entry(before)?;
        Some(entry.suffix != block.bytes(self.here.suffix_at, self.here.value_at))
    }
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
            suffix_at: 0,
            value_at: 0,
            value_end: 0,
        };
        let (visited, ahead, approach) = (None, None, Approach::None);
        let walk = Walk { keep, visited, ahead, here, positioned: false, approach };
        Self { table, section, walk }
    }

    /// Whether there is an entry here.
    #[inline]
    pub(crate) fn is_positioned(&self) -> bool {
        self.walk.positioned
    }

    /// Runs one move with the cursor unpositioned, so that it stays so after an error.
    #[inline]
    fn go(&mut self, step: impl FnOnce(&mut Walk, &Section, &Source) -> Result<()>) -> Result<()> {
        self.walk.positioned = false;
        match &self.section {
            Some(section) => step(&mut self.walk, section, &self.table.source),
            None => Ok(()),
        }
    }
}

impl Cursor for TableCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.walk.approach = Approach::None;
        self.go(|walk, section, source| walk.first_of(section, source, 0))
    }

    fn seek_last(&mut self) -> Result<()> {
        self.walk.approach = Approach::None;
        self.go(|walk, section, source| walk.last_before(section, source, section.index.len()))
    }

    fn seek_ge(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.go(|walk, section, source| walk.seek_ge(section, source, key, number))
    }

    fn seek_lt(&mut self, key: &[u8], number: u64) -> Result<()> {
        self.go(|walk, section, source| match walk.find(section, source, key, number)? {
            None => walk.last_before(section, source, section.index.len()),
            Some((i, 0)) => walk.last_before(section, source, i),
            Some((_, at)) => walk.stand(section, source, at - 1, None),
        })
    }

    fn approach(&mut self, key: &[u8], number: u64, stage: u32) {
        if let Some(section) = &self.section {
            self.walk.approach(section, &self.table.source, (key, number), stage);
        }
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        if !self.walk.positioned {
            return Ok(());
        }
        self.go(Walk::next_key)
    }

    #[inline]
    fn is_newest(&self) -> Option<bool> {
        let section = self.section.as_ref().filter(|_| self.walk.positioned)?;
        self.walk.is_newest(section)
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if !self.walk.positioned {
            return Ok(());
        }
        self.go(Walk::next)
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        if !self.walk.positioned {
            return Ok(());
        }
        self.go(Walk::prev)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        if !self.walk.positioned {
            return None;
        }
        let here = &self.walk.here;
        let value = self.walk.visited.as_ref()?.pin.get(here.value_at..here.value_end)?;
        Some(Entry {
            key: &here.key,
            number: here.number,
            kind: here.kind,
            expiry_ms: here.expiry_ms,
            value,
        })
    }
}
