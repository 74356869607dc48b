//! The part of a run that walks: iterators within bounds, in both directions, over time.

use std::sync::Arc;

use super::run::{ITERATORS_MAX, Run, Walker};
use super::truth::{Map, Value, Walk};
use crate::base::KeyspaceId;
use crate::engine::{ReadOptions, SeekHow};

impl Run {
    /// Moves a living iterator, or makes one.
    pub(super) fn walk(&mut self) {
        if self.walkers.len() < ITERATORS_MAX || self.random.one_in(12) {
            self.make_walker();
        }
        let place = self.random.below(self.walkers.len());
        let mut walker = self.walkers.swap_remove(place);
        for _ in 0..=self.random.below(6) {
            self.move_walker(&mut walker);
        }
        self.walkers.push(walker);
    }

    fn make_walker(&mut self) {
        if self.walkers.len() == ITERATORS_MAX {
            self.walkers.swap_remove(0);
        }
        let space = self.some_space();
        let (lo, hi) = (self.some_bound(), self.some_bound());
        let mut options = ReadOptions::default();
        let mut maps = &self.maps;
        if self.random.one_in(3) && !self.snapshots.is_empty() {
            let (snapshot, then) = &self.snapshots[self.random.below(self.snapshots.len())];
            options.snapshot = Some(Arc::clone(snapshot));
            maps = then;
        }
        let map = maps.get(&space).cloned().unwrap_or_default();
        let from = lo.as_deref().map_or(0, |lo| self.lower(lo));
        let to = hi.as_deref().map_or(self.keys.len(), |hi| self.lower(hi));
        let iter = self.db().iter(space, &options, lo.as_deref(), hi.as_deref()).unwrap();
        self.tell(|| format!("iterator over {space:?} from {lo:?} to {hi:?}"));
        self.walkers.push(Walker { iter, walk: Walk::new(map, from, to), space });
    }

    /// The first key at or behind `key`.
    fn lower(&self, key: &[u8]) -> usize {
        self.keys.partition_point(|other| other.as_slice() < key)
    }

    /// The first key behind `key`.
    fn upper(&self, key: &[u8]) -> usize {
        self.keys.partition_point(|other| other.as_slice() <= key)
    }

    /// No bound, or one at or near a key.
    pub(super) fn some_bound(&mut self) -> Option<Vec<u8>> {
        if self.random.one_in(2) { None } else { Some(self.some_bytes()) }
    }

    fn some_bytes(&mut self) -> Vec<u8> {
        let place = self.some_key();
        let mut bytes = self.keys[place].clone();
        match self.random.below(6) {
            0 => bytes.push(0),
            1 => drop(bytes.pop()),
            2 => bytes.push(0xff),
            _ => {}
        }
        bytes
    }

    fn move_walker(&mut self, walker: &mut Walker) {
        let Walker { iter, walk, .. } = walker;
        let moved = match self.random.below(10) {
            0..=3 => {
                walk.next();
                iter.next()
            }
            4..=6 => {
                walk.prev();
                iter.prev()
            }
            7 => {
                let (how, to) = [(SeekHow::First, 0), (SeekHow::Last, 1)][self.random.below(2)];
                if to == 0 {
                    walk.seek_from(0);
                } else {
                    walk.seek_below(usize::MAX);
                }
                iter.seek(how, b"")
            }
            _ => {
                let key = self.some_bytes();
                let (lower, upper) = (self.lower(&key), self.upper(&key));
                let how = self.random.of(&[SeekHow::Ge, SeekHow::Gt, SeekHow::Le, SeekHow::Lt]);
                match how {
                    SeekHow::Ge => walk.seek_from(lower),
                    SeekHow::Gt => walk.seek_from(upper),
                    SeekHow::Le => walk.seek_below(upper),
                    _ => walk.seek_below(lower),
                }
                iter.seek(how, &key)
            }
        };
        let found = moved.unwrap().then(|| (iter.key().to_vec(), iter.value().to_vec()));
        let wanted = walk.entry().map(|(key, value)| (self.keys[key].clone(), value.bytes()));
        assert_eq!(found, wanted, "an iterator over {:?} at {walk:?}", walker.space);
    }

    /// Compares everything: all keyspaces, now and at every snapshot.
    pub(super) fn compare_all(&mut self) {
        for (space, map) in &self.maps {
            self.compare(*space, &ReadOptions::default(), map);
            for (snapshot, maps) in &self.snapshots {
                let snapshot = Some(Arc::clone(snapshot));
                let options = ReadOptions { snapshot, keys_only: false };
                let empty = Map::default();
                self.compare(*space, &options, maps.get(space).unwrap_or(&empty));
            }
        }
    }

    /// Compares one keyspace in both directions.
    pub(super) fn compare(&self, space: KeyspaceId, options: &ReadOptions, map: &Map) {
        let mut iter = self.db().iter(space, options, None, None).unwrap();
        let same = |iter: &crate::engine::Iter, key: usize, value: Value| {
            iter.key() == self.keys[key] && iter.value() == value.bytes()
        };
        for (key, value) in map.iter() {
            assert!(iter.next().unwrap(), "the scan of {space:?} ends before key {key}");
            assert!(same(&iter, *key, *value), "{space:?}: {:?} is not key {key}", iter.key());
        }
        assert!(!iter.next().unwrap(), "{space:?} has {:?} as well", iter.key());
        for (key, value) in map.iter().rev() {
            assert!(iter.prev().unwrap(), "the scan back of {space:?} ends behind key {key}");
            assert!(same(&iter, *key, *value), "{space:?}: {:?} is not key {key}", iter.key());
        }
        assert!(!iter.prev().unwrap(), "{space:?} has {:?} as well", iter.key());
    }
}
