//! What a database must show: plain ordered maps, kept whole for every snapshot and iterator.
//!
//! Keys are places in the sorted list of all keys, so that their order is that of the list.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Names a value: its bytes follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub(super) id: u64,
    pub(super) len: usize,
}

impl Value {
    /// The bytes.
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.id.to_le_bytes().repeat(self.len.div_ceil(8));
        bytes.truncate(self.len);
        bytes
    }
}

/// One keyspace at one moment; a copy costs nothing until it is changed.
pub(super) type Map = Arc<BTreeMap<usize, Value>>;

/// Where an iterator stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// Nowhere yet.
    Nowhere,
    /// At this key.
    Key(usize),
    /// Behind the last entry.
    Behind,
    /// Before the first entry.
    Before,
}

/// What an iterator must show.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    map: Map,
    /// The first key in bounds and the first one beyond.
    bounds: (usize, usize),
    at: At,
}

impl Walk {
    /// Over the keys from `lo` up to, not including, `hi`.
    pub(super) fn new(map: Map, lo: usize, hi: usize) -> Self {
        Self { map, bounds: (lo, hi.max(lo)), at: At::Nowhere }
    }

    fn first_from(&self, key: usize) -> Option<usize> {
        let (lo, hi) = self.bounds;
        let from = key.clamp(lo, hi);
        self.map.range(from..hi).next().map(|(key, _)| *key)
    }

    fn last_below(&self, key: usize) -> Option<usize> {
        let (lo, hi) = self.bounds;
        let to = key.clamp(lo, hi);
        self.map.range(lo..to).next_back().map(|(key, _)| *key)
    }

    /// To the first entry at or behind `key`.
    pub(super) fn seek_from(&mut self, key: usize) {
        self.at = self.first_from(key).map_or(At::Behind, At::Key);
    }

    /// To the last entry before `key`.
    pub(super) fn seek_below(&mut self, key: usize) {
        self.at = self.last_below(key).map_or(At::Before, At::Key);
    }

    /// One entry on.
    pub(super) fn next(&mut self) {
        match self.at {
            At::Nowhere | At::Before => self.seek_from(0),
            At::Key(key) => self.seek_from(key + 1),
            At::Behind => {}
        }
    }

    /// One entry back.
    pub(super) fn prev(&mut self) {
        match self.at {
            At::Nowhere | At::Behind => self.seek_below(usize::MAX),
            At::Key(key) => self.seek_below(key),
            At::Before => {}
        }
    }

    /// The entry here.
    pub(super) fn entry(&self) -> Option<(usize, Value)> {
        match self.at {
            At::Key(key) => self.map.get(&key).map(|value| (key, *value)),
            _ => None,
        }
    }
}
