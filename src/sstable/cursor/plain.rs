//! The short way of a walk: the common step, which needs neither another block nor a decision.

use crate::base::{Kind, Packed};

use super::{AHEAD_BYTES, Block, CHUNK_BYTES, Spans, Walk, is_same};
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
        let block = visited.block();
        let Some((spans, suffix, chunk)) = plain_at(&block, &old, below, self.plain.end) else {
            return false;
        };
        block.prefetch_at(old.end() + AHEAD_BYTES, 2);
        self.here.key.set_chunk(suffix, chunk);
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
            let plain = plain_at(&block, &old, below, self.plain.end);
            let Some((spans, suffix, _)) = plain else { break };
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

/// The entry behind `old`, its suffix and the bytes that begin with it, if the short way leads there.
#[inline]
fn plain_at<'a>(
    block: &Block<'a>,
    old: &Spans,
    below: u64,
    end: u64,
) -> Option<(Spans, &'a [u8], &'a [u8; CHUNK_BYTES])> {
    let spans = block.spans_at(old.end())?;
    let chunk = block.bytes(spans.suffix_at, spans.suffix_at + CHUNK_BYTES).first_chunk()?;
    let is_put = spans.kind == Kind::Put && spans.expiry_ms == 0;
    if !is_put || spans.number >= below || word_of(spans.value_at - spans.suffix_at, chunk) >= end {
        return None;
    }
    let suffix = block.bytes(spans.suffix_at, spans.value_at);
    let is_another = !is_same(suffix, block.bytes(old.suffix_at, old.value_at));
    is_another.then_some((spans, suffix, chunk))
}
