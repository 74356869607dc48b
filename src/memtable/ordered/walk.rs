//! From records to sort keys: the arena itself is the list of what is not sorted yet.

use crate::memtable::arena::Arena;
use crate::memtable::layout::{HEADER_BYTES, LINK_BYTES};

use super::key::SortKey;

/// Appends the sort keys of all entries of the published records that begin in `[from, to)`, in the
/// order of places, and returns where the last of them ends. `from` is the end of a record.
///
/// A record without a mark ends the walk (M6): nothing behind it is visible to anybody. `base` is
/// the LSN of place 0.
pub(super) fn collect(
    arena: &Arena,
    base: u64,
    from: usize,
    to: usize,
    keys: &mut Vec<SortKey>,
) -> usize {
    keys.reserve(about(arena, from, to));
    let mut place = from;
    while place < to {
        let length = arena.mark(place) as usize;
        if length == 0 {
            break;
        }
        let mut entry = place + HEADER_BYTES;
        for index in 0..u64::from(arena.entries(place)) {
            let (op, shape) = arena.written(entry);
            // SAFETY: the record is marked, so its entries are written for good (M4); `written`
            // checked that this one lies inside the arena, which outlives the key (M1).
            keys.push(unsafe { SortKey::of(op, base + place as u64 + index) });
            entry += shape.entry_bytes();
        }
        debug_assert!(entry <= place + length && LINK_BYTES < HEADER_BYTES, "entries fit records");
        place += length;
    }
    place
}

/// How many entries may begin in `[from, to)`, if all records are as long as the first: memory that is
/// asked for at once is touched once.
fn about(arena: &Arena, from: usize, to: usize) -> usize {
    let bytes = to.min(arena.capacity()).saturating_sub(from);
    let records = bytes.checked_div(arena.mark(from) as usize);
    records.map_or(0, |records| (records + 1) * arena.entries(from) as usize)
}

/// How many entries the published records have that begin at or behind `from`.
pub(super) fn count(arena: &Arena, from: usize) -> usize {
    let (mut place, mut entries) = (from, 0);
    loop {
        let length = arena.mark(place) as usize;
        if length == 0 {
            return entries;
        }
        entries += arena.entries(place) as usize;
        place += length;
    }
}
