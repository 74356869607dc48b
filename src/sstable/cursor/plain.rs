//! The short way of a walk: the common step, which needs neither another block nor a decision.

use crate::base::{Kind, Packed};

use super::{AHEAD_BYTES, CHUNK_BYTES, Spans, Walk, is_same};
use crate::sstable::key_buf::word_of;

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
    pub(super) fn next_plain(&mut self, below: u64, limit: u128) -> bool {
        self.learn(limit);
        let Some(visited) = self.visited.as_ref().filter(|_| self.positioned) else { return false };
        let (at, old) = (self.here.at + 1, self.here.spans);
        if at >= visited.count {
            return false;
        }
        let (block, key) = (visited.block(), &mut self.here.key);
        let offset = old.end();
        let Some(spans) = block.spans_at(offset) else { return false };
        let chunk = block.bytes(spans.suffix_at, spans.suffix_at + CHUNK_BYTES).first_chunk();
        let Some(chunk) = chunk else { return false };
        let word = word_of(spans.value_at - spans.suffix_at, chunk);
        if !is_shown(&spans, below) || word >= self.plain.end {
            return false;
        }
        let suffix = block.bytes(spans.suffix_at, spans.value_at);
        if is_same(suffix, block.bytes(old.suffix_at, old.value_at)) {
            return false;
        }
        block.prefetch_at(offset + AHEAD_BYTES, 2);
        key.set_chunk(suffix, chunk);
        (self.here.at, self.here.spans) = (at, spans);
        true
    }

    /// See [`crate::base::Cursor::pack_plain`].
    pub(super) fn pack_plain(&mut self, below: u64, limit: u128, into: &mut Packed<'_>) {
        self.learn(limit);
        let Some(visited) = self.visited.as_ref().filter(|_| self.positioned) else { return };
        let (block, prefix) = (visited.block(), visited.block().prefix());
        let (mut at, mut old) = (self.here.at, self.here.spans);
        while at + 1 < visited.count && !into.is_complete() {
            let Some(spans) = block.spans_at(old.end()).filter(|s| is_shown(s, below)) else {
                break;
            };
            let suffix = block.bytes(spans.suffix_at, spans.value_at);
            let chunk = block.bytes(spans.suffix_at, spans.suffix_at + CHUNK_BYTES).first_chunk();
            let is_below = chunk.is_some_and(|c| word_of(suffix.len(), c) < self.plain.end);
            if !is_below || is_same(suffix, block.bytes(old.suffix_at, old.value_at)) {
                break;
            }
            block.prefetch_at(old.end() + AHEAD_BYTES, 2);
            let rest = block.bytes(spans.suffix_at, spans.value_end);
            if !into.push_parts(prefix, rest, suffix.len()) {
                break;
            }
            (at, old) = (at + 1, spans);
        }
        if at != self.here.at {
            self.here.set(at, old, &block);
        }
    }
}

/// Whether a reader below `below` is shown the entry whatever time it is.
#[inline]
fn is_shown(spans: &Spans, below: u64) -> bool {
    spans.kind == Kind::Put && spans.expiry_ms == 0 && spans.number < below
}
