//! The write-ahead log: every logged record, in the order of positions, in segments.
//!
//! A position L lies in the segment with base B at place L - B, which is offset 8192 + L - B of the
//! file; the arena of the same generation has the same places. [`Segment`] is what writers fill,
//! [`replay()`] reads all segments above the floor and decides where the log ends, or that it is
//! damaged.
//!
//! Invariants (`docs/format.md`): L1, the head of a segment is stored twice and counts whole; L2, a
//! valid record header proves what it claims, even when its payload is torn; L3, records of a
//! mapped segment are stored by their writers, of a written one by one leader; L4, a name is
//! durable before anybody names it; L5, part 2 is durable before any record of the segment; L6,
//! after a cut nothing behind it is replayed; L7, a log that was replayed is never appended to.
//!
//! Not here: positions, durability of a write, when to seal, when to delete. The engine decides.

mod chain;
mod header;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod reader;
mod replay;
mod segment;
mod window;

pub(crate) use header::{Place, Predecessor, SEGMENT_HEAD_BYTES, SegmentSpec};
pub(crate) use reader::ReplayedRecord;
pub(crate) use replay::{ReplayInput, ReplayOutcome, replay};
pub(crate) use segment::Segment;

#[cfg(test)]
mod tests;
