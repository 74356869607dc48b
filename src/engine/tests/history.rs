//! What was done to a database, and what may be left of it when a life ends.
//!
//! Writes stand in commit order. What is left must be all that was in tables, and of the logged
//! writes behind it a prefix (D3) that holds at least what the end of the life may not take: after
//! the death of the process every acknowledged write (D2), after a loss of power every write up to
//! the last acknowledged synced one (D1). A write that was under way is there whole or not at all.
//! Nothing else is there: no deleted key, no dropped keyspace (D5), no write that was refused (D4).
//!
//! Values are named by numbers that are used once in a history, so what is read tells which writes
//! are left. Plain data: one thread.

use std::fmt::Write as _;

use crate::base::KeyspaceId;

/// Keys in each keyspace.
pub(super) const KEYS: usize = 8;

/// The keys, in order: the empty one, prefixes of each other, zero and highest bytes.
pub(super) const KEY: [&[u8]; KEYS] =
    [b"", b"a", b"ab", b"b\0", b"key-4", b"key-with-prefix-5", b"key-with-prefix-6", b"\xff\xff"];

/// Names a value; 0 is none.
pub(super) type Id = u32;

/// The bytes of the value `id`, which is `len` bytes long, at least 8.
pub(super) fn value(id: Id, len: usize) -> Vec<u8> {
    let mut bytes = format!("{id:08}").into_bytes();
    let filler = b'a' + u8::try_from(id % 26).unwrap();
    bytes.resize(len.max(8), filler);
    bytes
}

/// Which value each key of each keyspace has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Content(Vec<[Id; KEYS]>);

impl Content {
    /// The value of a key, 0 if it has none.
    pub(super) fn get(&self, space: usize, key: usize) -> Id {
        self.0.get(space).map_or(0, |keys| keys[key])
    }

    /// Sets a key.
    pub(super) fn set(&mut self, change: Change) {
        if self.0.len() <= change.space {
            self.0.resize(change.space + 1, [0; KEYS]);
        }
        self.0[change.space][change.key] = change.id;
    }

    /// Whether both are the same in all keyspaces.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.agrees(other, &vec![true; self.0.len().max(other.0.len())])
    }

    /// Whether both agree in the keyspaces that `live` says live.
    fn agrees(&self, other: &Self, live: &[bool]) -> bool {
        let none = [0; KEYS];
        live.iter().enumerate().all(|(space, lives)| {
            !lives || self.0.get(space).unwrap_or(&none) == other.0.get(space).unwrap_or(&none)
        })
    }
}

/// One key gets one value, or loses what it has (0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) space: usize,
    pub(super) key: usize,
    pub(super) id: Id,
}

#[derive(Clone, Debug)]
struct Write {
    changes: Vec<Change>,
    logged: bool,
}

/// The life of a keyspace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Being {
    /// Its creation was begun.
    Begun,
    /// Its creation was acknowledged.
    Lives,
    /// Dropping it was begun.
    Ending,
    /// Dropping it was acknowledged.
    Gone,
}

/// One keyspace; a name that was dropped and made anew is two.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) name: String,
    pub(super) being: Being,
    pub(super) id: Option<KeyspaceId>,
}

/// What was read of a database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) content: Content,
    /// For each keyspace of the history its id, if it lives.
    pub(super) ids: Vec<Option<KeyspaceId>>,
}

/// Everything done since the last time the content was certain.
#[derive(Clone, Debug)]
pub(super) struct History {
    base: Content,
    writes: Vec<Write>,
    /// So many writes survive the death of the process, as far as they were logged.
    acked: usize,
    /// So many survive power loss, as far as they were logged.
    synced: usize,
    /// So many are in tables, logged or not.
    flushed: usize,
    pub(super) spaces: Vec<Space>,
    /// Length of each value by its id.
    lens: Vec<usize>,
    /// The highest position that a write was told.
    position: u64,
}

impl History {
    /// An empty database.
    pub(super) fn new() -> Self {
        let default = Space {
            name: "default".to_owned(),
            being: Being::Lives,
            id: Some(KeyspaceId::DEFAULT),
        };
        Self {
            base: Content::default(),
            writes: Vec::new(),
            acked: 0,
            synced: 0,
            flushed: 0,
            spaces: vec![default],
            lens: vec![0],
            position: 0,
        }
    }

    /// Names a new value of `len` bytes.
    pub(super) fn new_value(&mut self, len: usize) -> Id {
        self.lens.push(len);
        Id::try_from(self.lens.len() - 1).unwrap()
    }

    /// The bytes of a value.
    pub(super) fn bytes(&self, id: Id) -> Vec<u8> {
        value(id, self.lens[id as usize])
    }

    /// Which value these bytes are.
    pub(super) fn name(&self, bytes: &[u8]) -> Option<Id> {
        let digits = std::str::from_utf8(bytes.get(..8)?).ok()?;
        let id: Id = digits.parse().ok()?;
        let len = *self.lens.get(id as usize)?;
        (id != 0 && value(id, len) == bytes).then_some(id)
    }

    /// A write is under way.
    pub(super) fn begin(&mut self, changes: Vec<Change>, logged: bool) {
        self.writes.push(Write { changes, logged });
    }

    /// A write was told this position: above every one that was ever told, even if the write it was
    /// told for is lost.
    pub(super) fn told(&mut self, position: u64) -> Result<(), String> {
        if position <= self.position {
            return Err(format!("position {position} is told after {}", self.position));
        }
        self.position = position;
        Ok(())
    }

    /// The last write was refused, and nothing of it may ever be seen.
    pub(super) fn take_back(&mut self) {
        self.writes.pop();
    }

    /// All writes so far survive the death of the process.
    pub(super) fn ack(&mut self) {
        self.acked = self.writes.len();
    }

    /// All logged writes so far survive power loss.
    pub(super) fn ack_sync(&mut self) {
        self.ack();
        self.synced = self.writes.len();
    }

    /// All writes so far are in tables.
    pub(super) fn ack_flush(&mut self) {
        self.ack_sync();
        self.flushed = self.writes.len();
    }

    /// A life ends: what the next one must find.
    pub(super) fn suffer(&mut self, power_lost: bool) {
        if power_lost {
            self.acked = self.synced;
        }
    }

    /// What was there for certain when the database was last opened.
    pub(super) fn certain(&self) -> &Content {
        &self.base
    }

    /// What decides which contents are allowed.
    pub(super) fn requirement(&self) -> (usize, usize, usize, usize, Vec<Being>) {
        let beings = self.spaces.iter().map(|space| space.being).collect();
        (self.writes.len(), self.acked, self.synced, self.flushed, beings)
    }

    /// What a reader sees while the process lives.
    pub(super) fn present(&self) -> Content {
        self.left(self.writes.len(), self.writes.len())
    }

    /// What a reader sees without the last write.
    pub(super) fn present_without_last(&self) -> Content {
        let n = self.writes.len().saturating_sub(1);
        self.left(n, n)
    }

    /// The first `flushed` writes, and those of the first `n` that were logged.
    fn left(&self, flushed: usize, n: usize) -> Content {
        let mut content = self.base.clone();
        for (i, write) in self.writes.iter().enumerate().take(n) {
            if write.logged || i < flushed {
                write.changes.iter().for_each(|change| content.set(*change));
            }
        }
        content
    }

    /// Whether what is `seen` is what the living process must show.
    pub(super) fn check_present(&self, seen: &Seen) -> Result<(), String> {
        let live = self.check_spaces(seen)?;
        let wanted = self.present();
        if wanted.agrees(&seen.content, &live) {
            return Ok(());
        }
        Err(format!("the living database shows {:?} instead of {wanted:?}", seen.content))
    }

    /// Whether what is `seen` after a reopening may be; makes it the certain content.
    pub(super) fn settle(&mut self, seen: &Seen) -> Result<(), String> {
        let live = self.check_spaces(seen)?;
        if !self.may_be(&seen.content, &live) {
            return Err(self.explain(seen));
        }
        for (space, id) in self.spaces.iter_mut().zip(&seen.ids) {
            space.being = if id.is_some() { Being::Lives } else { Being::Gone };
            space.id = id.or(space.id);
        }
        self.base = seen.content.clone();
        self.writes.clear();
        (self.acked, self.synced, self.flushed) = (0, 0, 0);
        Ok(())
    }

    fn may_be(&self, seen: &Content, live: &[bool]) -> bool {
        let all = self.writes.len();
        let floors =
            if self.writes.iter().all(|write| write.logged) { 0..=0 } else { self.flushed..=all };
        floors.into_iter().any(|floor| {
            let least = self.acked.max(floor);
            (least..=all).any(|n| self.left(floor, n).agrees(seen, live))
        })
    }

    /// Which keyspaces live, or why these may not.
    fn check_spaces(&self, seen: &Seen) -> Result<Vec<bool>, String> {
        let mut live = Vec::with_capacity(self.spaces.len());
        for (i, space) in self.spaces.iter().enumerate() {
            let id = seen.ids.get(i).copied().flatten();
            let allowed = match space.being {
                Being::Lives => id.is_some(),
                Being::Gone => id.is_none(),
                Being::Begun | Being::Ending => true,
            };
            if !allowed {
                return Err(format!(
                    "keyspace {:?} is {:?} and has id {id:?}",
                    space.name, space.being
                ));
            }
            if id.is_some() && space.id.is_some() && id != space.id {
                return Err(format!("keyspace {:?} has id {id:?}, not {:?}", space.name, space.id));
            }
            live.push(id.is_some());
        }
        Ok(live)
    }

    fn explain(&self, seen: &Seen) -> String {
        let mut text = format!(
            "no allowed outcome is {:?}\nkeyspaces {:?}\nbase {:?}\nacked {}, synced {}, flushed {}:",
            seen.content, seen.ids, self.base, self.acked, self.synced, self.flushed
        );
        for (i, write) in self.writes.iter().enumerate() {
            let log = if write.logged { "" } else { " unlogged" };
            let _ = write!(text, "\n  write {}{log}:", i + 1);
            for Change { space, key, id } in &write.changes {
                let _ = write!(text, " {space}/{key}={id}");
            }
        }
        text
    }
}
