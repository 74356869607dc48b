//! What arrays sort by: enough of an entry to place it without touching it.
//!
//! Order: keyspace, key bytes, number descending. The first 16 key bytes lie inline, so a compare
//! goes to the arena only for longer keys that begin alike.

use std::cmp::Ordering;

use crate::base::cursor::Rank;
use crate::base::{Entry, KeyspaceId, Kind};

use crate::memtable::layout::{self, EXPIRY_BYTES, OP_BYTES, View};

/// Bytes of a key that lie inline.
const PREFIX_BYTES: usize = 16;
/// The bits of `shape` that hold the length of the key. Probes may be longer than any stored key,
/// even than this; cut, they still compare with stored keys as before.
const LENGTH: u32 = (1 << 28) - 1;
/// Where in `shape` the kind stands, three bits; 0 in a probe.
const KIND_SHIFT: u32 = 28;
/// Set in `shape` when an expiry stands between the operation's fixed part and its key.
const EXPIRY: u32 = 1 << 31;

/// The sort key of one entry, or a probe.
///
/// It borrows without saying so: `key` points into an arena, into replayed bytes, or (probes) into
/// a caller's slice, and is followed only while those live (invariant M1: owners of sort keys own
/// what they point into, or hand out sort keys only together with something that does).
#[derive(Clone, Copy, Debug)]
pub(in crate::memtable) struct SortKey {
    /// The first 16 key bytes, zero-padded, big-endian, so that integers compare like bytes.
    high: u64,
    low: u64,
    key: *const u8,
    keyspace: u32,
    /// Length of the key, kind, and whether there is an expiry.
    shape: u32,
    number: u64,
}

/// Where a key stands, about: keys whose spots differ order like them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Spot {
    keyspace: u32,
    head: u128,
}

// SAFETY: it only points at bytes that do not change while anybody may follow the pointer (M1).
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Send for SortKey {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "a raw pointer makes the type thread-bound by default")]
unsafe impl Sync for SortKey {}

#[allow(unsafe_code, reason = "entries are reached by address")]
impl SortKey {
    /// The sort key of the entry whose operation is at `op`.
    ///
    /// # Safety
    /// A whole valid operation starts at `op`, and stays as it is while the sort key is used (M1).
    #[inline]
    pub(super) unsafe fn of(op: *const u8, number: u64) -> Self {
        // SAFETY: the caller's promise; the key lies inside the operation.
        unsafe {
            let shape = layout::shape(op);
            let key = op.add(shape.key_at());
            let mut made = Self::probe(
                shape.keyspace,
                std::slice::from_raw_parts(key, shape.key_bytes),
                number,
            );
            made.key = key;
            made.shape |= u32::from(layout::kind(op) as u8) << KIND_SHIFT;
            if shape.has_expiry {
                made.shape |= EXPIRY;
            }
            made
        }
    }

    /// A place to search for. It must not be followed after `key` is gone; searches do not keep it.
    #[inline]
    pub(super) fn probe(keyspace: KeyspaceId, key: &[u8], number: u64) -> Self {
        let (high, low) = prefix(key);
        let shape = u32::try_from(key.len()).map_or(LENGTH, |len| len.min(LENGTH));
        Self { high, low, key: key.as_ptr(), keyspace: keyspace.0, shape, number }
    }

    /// The number of the entry.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The keyspace of the entry.
    #[inline]
    pub(super) fn keyspace(&self) -> KeyspaceId {
        KeyspaceId(self.keyspace)
    }

    /// A probe that comes just behind all versions of this key but number 0, where it is.
    pub(super) fn oldest(&self) -> Self {
        Self { number: 0, ..*self }
    }

    /// A probe that comes before all versions of this key.
    pub(super) fn newest(&self) -> Self {
        Self { number: u64::MAX, ..*self }
    }

    /// Whether the entry has an expiry.
    #[inline]
    pub(super) fn has_expiry(&self) -> bool {
        self.shape & EXPIRY != 0
    }

    /// Where the key stands.
    #[inline]
    pub(super) fn spot(&self) -> Spot {
        Spot { keyspace: self.keyspace, head: self.head() }
    }

    /// The first 16 key bytes, zero-padded, as a number that orders like them.
    #[inline]
    fn head(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// The rank of the entry.
    #[inline]
    pub(super) fn rank(&self) -> Rank {
        let head = self.head();
        Rank { head, key_bytes: self.key_bytes(), number: self.number }
    }

    /// Where the key bytes lie, for prefetching.
    pub(super) fn address(&self) -> *const u8 {
        self.key
    }

    /// Whether both are versions of one key.
    #[inline]
    pub(super) fn same_key(&self, other: &Self) -> bool {
        self.keyspace == other.keyspace && self.compare_keys(other) == Ordering::Equal
    }

    /// What the entry does; none for a probe.
    #[inline]
    pub(super) fn kind(&self) -> Option<Kind> {
        // Three bits: they fit.
        Kind::from_u8((self.shape >> KIND_SHIFT & 7).to_le_bytes()[0])
    }

    /// The whole entry.
    ///
    /// # Safety
    /// This is no probe, and what it points into is alive for `'a` (M1).
    #[inline]
    pub(super) unsafe fn entry<'a>(&self) -> Entry<'a> {
        // SAFETY: the caller's promise.
        let view = unsafe { layout::view(self.op()) };
        Entry {
            key: view.key,
            number: self.number,
            kind: view.kind,
            expiry_ms: view.expiry_ms,
            value: view.value,
        }
    }

    /// The same with the checksums of a value that lies in the log.
    ///
    /// # Safety
    /// As for [`SortKey::entry`].
    pub(super) unsafe fn view<'a>(&self) -> View<'a> {
        // SAFETY: the caller's promise.
        unsafe { layout::view(self.op()) }
    }

    /// Whether the value lies in the log.
    ///
    /// # Safety
    /// As for [`SortKey::entry`].
    #[inline]
    pub(super) unsafe fn is_away(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { layout::is_away(self.op()) }
    }

    /// The address of the operation. Meaningless for a probe.
    fn op(&self) -> *const u8 {
        let before = OP_BYTES + if self.shape & EXPIRY == 0 { 0 } else { EXPIRY_BYTES };
        self.key.wrapping_sub(before)
    }

    #[inline]
    fn key_bytes(&self) -> usize {
        (self.shape & LENGTH) as usize
    }

    #[inline]
    fn compare_keys(&self, other: &Self) -> Ordering {
        match (self.high, self.low).cmp(&(other.high, other.low)) {
            Ordering::Equal => self.compare_rest(other),
            order => order,
        }
    }

    /// Compares keys whose padded prefixes are alike.
    #[inline]
    fn compare_rest(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.key_bytes(), other.key_bytes());
        if mine <= PREFIX_BYTES || theirs <= PREFIX_BYTES {
            // What a shorter key lacks was padded with zeros and the other really has zeros there:
            // the shorter one is a prefix of the longer.
            return mine.cmp(&theirs);
        }
        let tail = |key: *const u8, len: usize| {
            // SAFETY: both keys are alive (M1) and longer than the prefix.
            unsafe { std::slice::from_raw_parts(key.add(PREFIX_BYTES), len - PREFIX_BYTES) }
        };
        tail(self.key, mine).cmp(tail(other.key, theirs))
    }
}

impl Ord for SortKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.keyspace
            .cmp(&other.keyspace)
            .then_with(|| self.compare_keys(other))
            .then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for SortKey {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SortKey {}

/// The first 16 bytes as two integers that compare like the bytes.
#[inline]
fn prefix(key: &[u8]) -> (u64, u64) {
    let mut bytes = [0; PREFIX_BYTES];
    match key.first_chunk() {
        Some(whole) => bytes = *whole,
        None => bytes[..key.len()].copy_from_slice(key),
    }
    let mut halves = [[0; 8]; 2];
    halves[0].copy_from_slice(&bytes[..8]);
    halves[1].copy_from_slice(&bytes[8..]);
    (u64::from_le_bytes(halves[0]).swap_bytes(), u64::from_le_bytes(halves[1]).swap_bytes())
}
