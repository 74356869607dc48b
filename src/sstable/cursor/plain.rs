//! The short way of a walk: the common step, which needs neither another block nor a decision.

use crate::base::{Packed, Stem};

use super::{AHEAD_BYTES, NEAR, Section, Spans, Walk};
use crate::sstable::block::Block;
use crate::sstable::key_buf::{CHUNK_BYTES, is_same, word_of};

/// How many bytes before a walk by single steps memory is asked for.
const STEP_AHEAD_BYTES: usize = 768;

/// What the short way knows of the visited block and the entry that the walk stands on.
pub(super) struct Plain {
    /// The limit that `end` was worked out from; 0 (there are no keys below) if it was not.
    limit: u128,
    /// Suffixes whose words are less than this belong to keys with heads below `limit`.
    end: u64,
}

impl Plain {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self { limit: 0, end: 0 }
    }
}

impl Walk {
    /// Learns what entries are below `limit`, if it does not know.
    #[inline]
    fn learn(&mut self, limit: u128) {
        if self.plain.limit != limit {
            self.plain = Plain { limit, end: self.here.key.suffix_limit(limit) };
        }
    }

    /// See [`crate::base::Cursor::next_plain`].
    #[inline]
    pub(super) fn next_plain(&mut self, section: &Section, below: u64, limit: u128) -> bool {
        self.learn(limit);
        let Some(visited) = self.visited.as_ref().filter(|_| self.positioned) else { return false };
        let (at, old) = (self.here.at + 1, self.here.spans);
        if at >= visited.count {
            return false;
        }
        let (block, key) = (visited.block(), &mut self.here.key);
        let next = next_put(&block, &old, below, self.plain.end);
        let Some((spans, chunk)) = next else { return false };
        block.prefetch_at(old.end() + STEP_AHEAD_BYTES, 2);
        if at + NEAR == visited.count {
            Self::expect(&mut self.ahead, section, visited.i + 1, self.keep);
        }
        key.set_chunk(block.bytes(spans.suffix_at, spans.value_at), chunk);
        (self.here.at, self.here.spans) = (at, spans);
        true
    }

    /// See [`crate::base::Cursor::pack_plain`].
    pub(super) fn pack_plain(
        &mut self,
        section: &Section,
        below: u64,
        limit: u128,
        into: &mut Packed<'_>,
    ) {
        self.learn(limit);
        let Some(visited) = self.visited.as_ref().filter(|_| self.positioned) else { return };
        let (block, mut at) = (visited.block(), self.here.at);
        let mut run = PutRun::new(block, &self.here.spans, below, self.plain.end);
        block.prefetch_at(run.next + AHEAD_BYTES, AHEAD_BYTES / 64);
        // Twice at most, as the next block is asked for on the way.
        let near = visited.count.saturating_sub(NEAR);
        loop {
            let stop = if at < near { near } else { visited.count - 1 };
            let most = (stop - at).min(into.left());
            let packed = run.pack(most, into);
            at += packed;
            if at != near || packed == 0 {
                break;
            }
            Self::expect(&mut self.ahead, section, visited.i + 1, self.keep);
            self.ahead.iter().for_each(|(_, pin)| Block::prefetch_begin(pin, 2 * AHEAD_BYTES / 64));
        }
        if let Some(spans) = block.spans_at(run.began).filter(|_| at != self.here.at) {
            self.here.set(at, spans, &block);
        }
    }
}

/// Entries of a block that are packed one after the other.
struct PutRun<'b> {
    block: Block<'b>,
    stem: Stem<'b>,
    below: u64,
    end: u64,
    /// Where the last entry begins.
    began: usize,
    /// Its suffix, and the word of that; none close to the block's end.
    suffix: &'b [u8],
    word: Option<u64>,
    /// Where the next entry begins.
    next: usize,
}

impl<'b> PutRun<'b> {
    /// Those after the one at `spans` that [`put_below`] gives for `below` and `end`.
    fn new(block: Block<'b>, spans: &Spans, below: u64, end: u64) -> Self {
        let suffix = block.bytes(spans.suffix_at, spans.value_at);
        let word = block.chunk(spans.suffix_at).map(|chunk| word_of(suffix.len(), chunk));
        let (began, next) = (0, spans.end());
        Self { block, stem: Stem::new(block.prefix()), below, end, began, suffix, word, next }
    }

    /// Packs up to `most` entries, each of another key than the one before it, as long as there is
    /// room. Returns how many.
    // Apart from its caller, so that what it needs stays in registers.
    #[inline(never)]
    fn pack(&mut self, most: usize, into: &mut Packed<'_>) -> usize {
        let Self { block, stem, below, end, .. } = &*self;
        let (mut began, mut suffix, mut word, mut next) =
            (self.began, self.suffix, self.word, self.next);
        let mut packed = 0;
        while packed < most {
            let Some((spans, _, its)) = put_below(block, next, *below, *end) else { break };
            let new = block.bytes(spans.suffix_at, spans.value_at);
            if word.is_none_or(|word| word == its) && is_same(new, suffix) {
                break;
            }
            block.prefetch_at(next + 2 * AHEAD_BYTES, 2);
            let rest = block.bytes(spans.suffix_at, spans.value_end);
            if !into.push_parts(stem, rest, new.len()) {
                break;
            }
            (began, suffix, word, next) = (next, new, Some(its), spans.end());
            packed += 1;
        }
        (self.began, self.suffix, self.word, self.next) = (began, suffix, word, next);
        packed
    }
}

/// The entry after `old`, and what its suffix begins with, if that is a put in the common form, numbered
/// below `below`, of another key, and the word of its suffix is less than `end`.
#[inline(always)]
pub(super) fn next_put<'b>(
    block: &Block<'b>,
    old: &Spans,
    below: u64,
    end: u64,
) -> Option<(Spans, &'b [u8; CHUNK_BYTES])> {
    let (spans, chunk, word) = put_below(block, old.end(), below, end)?;
    let is_other = word_at(block, old).is_some_and(|old| old != word);
    (is_other || !is_same_key(block, &spans, old)).then_some((spans, chunk))
}

/// The entry at byte `at`, what its suffix begins with, and the word of that, if it is a put in the
/// common form, numbered below `below`, and the word is less than `end`.
#[inline(always)]
fn put_below<'b>(
    block: &Block<'b>,
    at: usize,
    below: u64,
    end: u64,
) -> Option<(Spans, &'b [u8; CHUNK_BYTES], u64)> {
    let (spans, chunk) = block.put_at(at)?;
    let word = word_of(spans.value_at - spans.suffix_at, chunk);
    (spans.number < below && word < end).then_some((spans, chunk, word))
}

/// The word of an entry's suffix; none close to the block's end.
#[inline(always)]
fn word_at(block: &Block<'_>, spans: &Spans) -> Option<u64> {
    let chunk = block.chunk(spans.suffix_at)?;
    Some(word_of(spans.value_at - spans.suffix_at, chunk))
}

#[inline]
fn is_same_key(block: &Block<'_>, a: &Spans, b: &Spans) -> bool {
    is_same(block.bytes(a.suffix_at, a.value_at), block.bytes(b.suffix_at, b.value_at))
}
