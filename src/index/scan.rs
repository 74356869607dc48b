//! Scans of an index: the engine's iterator as a Rust one, with keys as strings.
//!
//! An iterator shows one moment and belongs to one thread at a time. It borrows the index, so the
//! index cannot be closed under it.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Bound;

use super::{KEYSPACE, LsmIndex};
use crate::base::{Error, Result};
use crate::engine::{Iter, Leases, ReadOptions};

/// The entries of a range, or why the next one cannot be read: see [`LsmIndex::try_range`].
pub struct TryRange<'a> {
    /// None when the scan has ended.
    iter: Option<Iter>,
    index: PhantomData<&'a LsmIndex>,
}

impl TryRange<'_> {
    /// The entries of a database between the bounds.
    pub(super) fn open(db: &Leases, start: Bound<&String>, end: Bound<&String>) -> Result<Self> {
        let lo = match start {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(key.as_bytes().to_vec()),
            Bound::Excluded(key) => Some(after(key)),
        };
        let hi = match end {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(after(key)),
            Bound::Excluded(key) => Some(key.as_bytes().to_vec()),
        };
        let is_empty = matches!((&lo, &hi), (Some(lo), Some(hi)) if lo >= hi)
            || hi.as_ref().is_some_and(Vec::is_empty);
        let iter = if is_empty {
            None
        } else {
            let (lo, hi) = (lo.as_deref(), hi.as_deref());
            Some(Iter::open(db.mine(), KEYSPACE, &ReadOptions::default(), lo, hi)?)
        };
        Ok(Self { iter, index: PhantomData })
    }

    fn step(&mut self) -> Result<Option<(String, Vec<u8>)>> {
        let Some(iter) = &mut self.iter else { return Ok(None) };
        if !iter.next()? {
            return Ok(None);
        }
        match std::str::from_utf8(iter.key()) {
            Ok(key) => Ok(Some((key.to_owned(), iter.value().to_vec()))),
            Err(wrong) => Err(Error::invalid(format!(
                "a key is not UTF-8 ({wrong}); read this database through the C interface"
            ))),
        }
    }
}

/// The first key after `key`, in order of bytes.
fn after(key: &str) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key.as_bytes());
    next.push(0);
    next
}

impl Iterator for TryRange<'_> {
    type Item = Result<(String, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.iter = None;
        }
        item
    }
}

impl FusedIterator for TryRange<'_> {}

impl fmt::Debug for TryRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryRange").field("ended", &self.iter.is_none()).finish_non_exhaustive()
    }
}

/// The entries of a range, which panics when one cannot be read: see [`LsmIndex::range`].
#[derive(Debug)]
pub struct Range<'a> {
    entries: TryRange<'a>,
}

impl<'a> Range<'a> {
    /// The same entries, without errors.
    pub(super) fn new(entries: TryRange<'a>) -> Self {
        Self { entries }
    }
}

impl Iterator for Range<'_> {
    type Item = (String, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        match self.entries.next()? {
            Ok(entry) => Some(entry),
            Err(error) => panic!("the scan cannot go on: {error}"),
        }
    }
}

impl FusedIterator for Range<'_> {}
