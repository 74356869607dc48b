//! A position in one section of a table.
//!
//! It holds the table and the block it stands in, so it may outlive whoever made it. One thread at
//! a time. The key is put together once for each entry, prefix and suffix; the value is borrowed
//! from the block.
//!
//! Memory is asked for before it is needed: a seek in stages ([`Cursor::approach`]), a walk some
//! lines ahead, and once it has crossed from block to block, the beginning of the next block.

mod approach;
#[allow(clippy::inline_always, reason = "else each step passes what it found by memory")]
mod plain;

use std::sync::Arc;

use crate::base::cursor::{Rank, Stamp};
use crate::base::{Cursor, Entry, Kind, Packed, Result};
use crate::cache::Pin;

use super::ahead::Ahead;
use super::block::{Block, Shape, Spans};
use super::key_buf::{KeyBuf, is_same};
use super::read::Source;
use super::section::Section;
use super::table::Table;
use approach::Approach;
use plain::Plain;

/// How many bytes before a walk memory is asked for.
const AHEAD_BYTES: usize = 512;
/// How many entries before the end of a block a walk asks for the next one.
const NEAR: usize = 10;

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
    run: Ahead,
    /// Only meaningful while `positioned`.
    here: Here,
    positioned: bool,
    approach: Approach,
    plain: Plain,
}

struct Visited {
    i: usize,
    pin: Pin,
    shape: Shape,
    count: usize,
}

/// The entry that the cursor stands on: the key is in `key`, the rest in the visited block.
struct Here {
    at: usize,
    key: KeyBuf,
    spans: Spans,
}

impl Visited {
    #[inline]
    fn block(&self) -> Block<'_> {
        Block::of(&self.pin, self.shape)
    }
}

impl Here {
    #[inline]
    fn set(&mut self, at: usize, spans: Spans, block: &Block<'_>) {
        let suffix = block.bytes(spans.suffix_at, spans.value_at);
        self.key.set(suffix, block.chunk(spans.suffix_at));
        self.at = at;
        self.spans = spans;
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
            _ => self.run.block((section, source), i, self.keep)?,
        };
        let Some(block) = Block::parse(&pin) else { return Err(section.bad_block(source, i)) };
        let (shape, count) = (block.shape(), block.count());
        self.here.key.set_prefix(block.prefix());
        self.plain = Plain::new();
        self.visited = Some(Visited { i, pin, shape, count });
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
        let spans = offset.or_else(|| block.offset(at)).and_then(|at| block.spans_at(at));
        let Some(spans) = spans else { return Err(section.bad_block(source, visited.i)) };
        self.here.set(at, spans, &block);
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

    #[inline]
    fn next(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let at = self.here.at + 1;
        if at < visited.count {
            let offset = self.here.spans.end();
            visited.block().prefetch_at(offset + AHEAD_BYTES, 2);
            return self.stand(section, source, at, Some(offset));
        }
        self.cross(section, source)
    }

    /// From the last entry of the visited block to the first of the next.
    fn cross(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(i) = self.visited.as_ref().map(|visited| visited.i) else { return Ok(()) };
        let is_here = self.ahead.as_ref().is_some_and(|(at, _)| *at == i + 1);
        self.run.cross((section, source), i + 1, (self.keep, is_here))?;
        self.first_of(section, source, i + 1)?;
        self.look_ahead(section, Some(i + 2), Some(i + 3));
        Ok(())
    }

    fn next_key(&mut self, section: &Section, source: &Source) -> Result<()> {
        let Some(visited) = &self.visited else { return Ok(()) };
        let block = visited.block();
        let (mut at, mut offset) = (self.here.at + 1, self.here.spans.end());
        // The common case: the next entry is of the next key.
        if at < visited.count {
            let next = plain::next_put(&block, &self.here.spans, u64::MAX, u64::MAX);
            if let Some((spans, chunk)) = next {
                block.prefetch_at(offset + AHEAD_BYTES, 2);
                if at + NEAR == visited.count {
                    Self::expect(&mut self.ahead, section, visited.i + 1, self.keep);
                }
                self.here.key.set_chunk(block.bytes(spans.suffix_at, spans.value_at), chunk);
                (self.here.at, self.here.spans, self.positioned) = (at, spans, true);
                return Ok(());
            }
        }
        let suffix = block.bytes(self.here.spans.suffix_at, self.here.spans.value_at);
        while at < visited.count {
            let Some(spans) = block.spans_at(offset) else {
                return Err(section.bad_block(source, visited.i));
            };
            if !is_same(block.bytes(spans.suffix_at, spans.value_at), suffix) {
                block.prefetch_at(offset + AHEAD_BYTES, 2);
                self.here.set(at, spans, &block);
                self.positioned = true;
                return Ok(());
            }
            (at, offset) = (at + 1, spans.end());
        }
        if !section.index.goes_on(visited.i) {
            return self.cross(section, source);
        }
        let key = self.here.key.get().to_vec();
        self.seek_ge(section, source, &key, 0)?;
        if self.positioned && self.here.key.get() == key {
            self.positioned = false;
            return self.next(section, source);
        }
        Ok(())
    }

    /// See [`Cursor::pass_deletes`]. Block by block; no key is put together on the way.
    fn pass_deletes(
        &mut self,
        section: &Section,
        source: &Source,
        (below, limit): (u64, Option<&[u8]>),
    ) -> Result<()> {
        loop {
            let Some(visited) = &self.visited else { return Ok(()) };
            let block = visited.block();
            let bad = || section.bad_block(source, visited.i);
            let end = match limit {
                Some(limit) => block.lower_bound(limit, u64::MAX).ok_or_else(bad)?,
                None => visited.count,
            };
            let suffix = |spans: &Spans| block.bytes(spans.suffix_at, spans.value_at);
            let (mut at, mut dead) = (self.here.at, self.here.spans);
            let mut next = dead;
            while at + 1 < end {
                next = block.spans_at(next.end()).ok_or_else(bad)?;
                let is_dead = next.kind == Kind::Delete && next.number < below;
                if !is_dead && !is_same(suffix(&next), suffix(&dead)) {
                    self.here.set(at + 1, next, &block);
                    self.positioned = true;
                    return Ok(());
                }
                if is_dead {
                    dead = next;
                }
                at += 1;
            }
            // Perhaps more versions follow, in this block or the next ones.
            self.here.set(at, next, &block);
            self.next_key(section, source)?;
            let Here { key, spans, .. } = &self.here;
            let goes_on = self.positioned
                && spans.kind == Kind::Delete
                && spans.number < below
                && limit.is_none_or(|limit| key.get() < limit);
            if !goes_on {
                return Ok(());
            }
            self.positioned = false;
        }
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
            let before = self.here.spans.suffix_at.saturating_sub(2 * AHEAD_BYTES);
            visited.block().prefetch_at(before, 2);
            return self.stand(section, source, at, None);
        }
        self.last_before(section, source, i)?;
        self.look_ahead(section, i.checked_sub(2), i.checked_sub(3));
        Ok(())
    }

    /// See [`Cursor::rank`].
    #[inline]
    fn rank(&self) -> Option<Rank> {
        let visited = self.visited.as_ref().filter(|_| self.positioned)?;
        let Spans { suffix_at, value_at, number, .. } = self.here.spans;
        let (key, block) = (&self.here.key, visited.block());
        let head = match block.chunk(suffix_at) {
            Some(chunk) => key.head_with_chunk(value_at - suffix_at, chunk),
            None => key.head_with(block.bytes(suffix_at, value_at)),
        };
        Some(Rank { head, key_bytes: key.len(), number })
    }

    /// See [`Cursor::is_newest`].
    fn is_newest(&self, section: &Section) -> Option<bool> {
        let visited = self.visited.as_ref()?;
        let Some(before) = self.here.at.checked_sub(1) else {
            return Some(visited.i.checked_sub(1).is_none_or(|i| !section.index.goes_on(i)));
        };
        let block = visited.block();
        let suffix = |spans: Spans| block.bytes(spans.suffix_at, spans.value_at);
        let spans = block.spans_at(block.offset(before)?)?;
        Some(!is_same(suffix(spans), suffix(self.here.spans)))
    }
}

impl TableCursor {
    /// An unpositioned cursor. With `keep` the blocks that it reads are offered to the cache.
    pub(super) fn new(table: Arc<Table>, section: Option<Arc<Section>>, keep: bool) -> Self {
        let (number, kind, expiry_ms) = (0, Kind::Put, 0);
        let spans = Spans { suffix_at: 0, value_at: 0, value_end: 0, number, kind, expiry_ms };
        let here = Here { at: 0, key: KeyBuf::new(), spans };
        let (visited, ahead, run, approach) = (None, None, Ahead::new(), Approach::None);
        let plain = Plain::new();
        let walk = Walk { keep, visited, ahead, run, here, positioned: false, approach, plain };
        Self { table, section, walk }
    }

    /// Lets go of the blocks that it holds; unpositioned then.
    pub(crate) fn let_go(&mut self) {
        let walk = &mut self.walk;
        (walk.positioned, walk.approach) = (false, Approach::None);
        (walk.visited, walk.ahead) = (None, None);
        walk.run.let_go();
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
    fn is_waiting(&self) -> bool {
        let Approach::Block(i) = self.walk.approach else { return false };
        self.section.as_ref().is_some_and(|section| self.walk.lacks(section, i))
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        if !self.walk.positioned {
            return Ok(());
        }
        self.go(Walk::next_key)
    }

    #[inline]
    fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        self.section.as_ref().is_some_and(|section| self.walk.next_plain(section, below, limit))
    }

    fn pack_plain(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) {
        if let Some(section) = &self.section {
            self.walk.pack_plain(section, below, limit, into);
        }
    }

    fn pass_deletes(&mut self, below: u64, limit: Option<&[u8]>) -> Result<()> {
        if !self.walk.positioned {
            return Ok(());
        }
        self.go(|walk, section, source| walk.pass_deletes(section, source, (below, limit)))
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
        let Here { key, spans, .. } = &self.walk.here;
        let value = self.walk.visited.as_ref()?.pin.get(spans.value_at..spans.value_end)?;
        let Spans { number, kind, expiry_ms, .. } = *spans;
        Some(Entry { key: key.get(), number, kind, expiry_ms, value })
    }

    #[inline]
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        if !self.walk.positioned {
            return None;
        }
        let Here { key, spans, .. } = &self.walk.here;
        let value = self.walk.visited.as_ref()?.pin.get(spans.value_at..spans.value_end)?;
        Some((key.get(), value))
    }

    #[inline]
    fn stamp(&self) -> Option<Stamp> {
        let Spans { number, kind, expiry_ms, .. } = self.walk.here.spans;
        self.walk.positioned.then_some(Stamp { number, kind, expiry_ms })
    }

    #[inline]
    fn rank(&self) -> Option<Rank> {
        self.walk.rank()
    }
}
