//! The short way of a walk: the common step, which needs neither another block nor a decision.

use crate::base::Packed;

use super::{AHEAD_BYTES, NEAR, Section, Spans, Walk};
use crate::sstable::block::Block;
use crate::sstable::key_buf::{CHUNK_BYTES, is_same, word_of};

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
        block.prefetch_at(old.end() + AHEAD_BYTES, 2);
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
        let (block, prefix) = (visited.block(), visited.block().prefix());
        let (mut at, mut old) = (self.here.at, self.here.spans);
        while at + 1 < visited.count && !into.is_complete() {
            let next = next_put(&block, &old, below, self.plain.end);
            let Some((spans, _)) = next else { break };
            let suffix = spans.value_at - spans.suffix_at;
            block.prefetch_at(old.end() + AHEAD_BYTES, 2);
            if at + 1 + NEAR == visited.count {
                Self::expect(&mut self.ahead, section, visited.i + 1, self.keep);
            }
            if !into.push_parts(prefix, block.bytes(spans.suffix_at, spans.value_end), suffix) {
                break;
            }
            (at, old) = (at + 1, spans);
        }
        if at != self.here.at {
            self.here.set(at, old, &block);
        }
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
    let (spans, chunk) = block.put_at(old.end())?;
    let word = word_of(spans.value_at - spans.suffix_at, chunk);
    let is_wanted = spans.number < below && word < end;
    (is_wanted && !is_version(block, (&spans, word), old)).then_some((spans, chunk))
}

/// Whether the entry, whose suffix has this word, is a version of the key of `old`, the one before it.
#[inline]
fn is_version(block: &Block<'_>, (spans, word): (&Spans, u64), old: &Spans) -> bool {
    let old_word =
        block.chunk(old.suffix_at).map(|chunk| word_of(old.value_at - old.suffix_at, chunk));
    old_word.is_none_or(|old_word| old_word == word)
        && is_same(
            block.bytes(spans.suffix_at, spans.value_at),
            block.bytes(old.suffix_at, old.value_at),
        )
}
