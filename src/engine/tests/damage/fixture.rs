//! Small databases to damage: tables on two levels, a manifest of many edits, several logs.
//!
//! The history is the same for all; they differ in how the last process ended. What a reader must
//! see is known for every position at which the log could be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::life::{BUFFER_BYTES, Life, small};
use crate::base::options::{Compression, Durability, KeyspaceOptions, LogMode, OpenOptions};
use crate::base::{KeyspaceId, Kind, Lsn};
use crate::batch::{Op, push_op};
use crate::engine::{Background, Db, WriteOptions};
use crate::vfs::sim::{PowerLoss, SimFs};

/// Keys and values of all keyspaces.
pub(super) type Content = BTreeMap<(KeyspaceId, Vec<u8>), Vec<u8>>;
/// Path and bytes of every file.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

/// How the last process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// It closed the database.
    Closed,
    /// It was killed; the machine runs on.
    Killed,
    /// The power went, and every byte had reached the disk.
    PowerLost,
}

impl Ending {
    /// All three.
    pub(super) const ALL: [Self; 3] = [Self::Closed, Self::Killed, Self::PowerLost];
}

/// A database at rest.
pub(super) struct Fixture {
    /// How it came to rest.
    pub(super) ending: Ending,
    /// The disk. Never opened itself: a copy is.
    pub(super) fs: Arc<SimFs>,
    /// How it is opened.
    pub(super) options: OpenOptions,
    /// Its files.
    pub(super) files: Image,
    /// Its files at earlier moments, oldest first.
    pub(super) older: Vec<Image>,
    /// What it holds when the log ends at a position; by position.
    pub(super) states: BTreeMap<Lsn, Content>,
    /// Every key that was ever written, and some that were not.
    pub(super) keys: Vec<(KeyspaceId, Vec<u8>)>,
    /// Names and numbers of its keyspaces.
    pub(super) keyspaces: Vec<(String, KeyspaceId)>,
}

/// Writes a history and notes it.
struct Writer {
    life: Life,
    db: Arc<Db>,
    content: Content,
    keys: BTreeSet<(KeyspaceId, Vec<u8>)>,
    states: BTreeMap<Lsn, Content>,
    older: Vec<Image>,
}

impl Fixture {
    /// Makes one; `log_mode` is how the logs are written.
    pub(super) fn new(ending: Ending, log_mode: LogMode) -> Self {
        let options = OpenOptions { write_buffer_bytes: BUFFER_BYTES, ..small(log_mode) };
        let mut writer = Writer::new(&options);
        writer.write_tables();
        writer.write_log();
        writer.reopen(&options);
        writer.write_more_log();
        let keyspaces = writer.db.keyspace_list();
        let fs = match ending {
            Ending::Closed => {
                writer.db.close().unwrap();
                writer.life.fs.process_death()
            }
            Ending::Killed => writer.life.fs.process_death(),
            Ending::PowerLost => writer.life.fs.power_loss(PowerLoss::Everything, 9),
        };
        let mut keys: Vec<_> = writer.keys.into_iter().collect();
        keys.push((KeyspaceId::DEFAULT, b"key05~".to_vec()));
        keys.push((KeyspaceId(1), Vec::new()));
        keys.retain(|(id, _)| keyspaces.iter().any(|(_, live)| live == id));
        let files = image(&fs);
        let (older, states) = (writer.older, writer.states);
        Self { ending, fs, options, files, older, states, keys, keyspaces }
    }

    /// What it holds when the log ends at `end`.
    pub(super) fn at(&self, end: Lsn) -> &Content {
        self.states.range(..=end).next_back().map(|(_, content)| content).unwrap()
    }

    /// What it holds undamaged.
    pub(super) fn whole(&self) -> &Content {
        self.at(Lsn(u64::MAX))
    }

    /// The disk with these files changed; none is removed.
    pub(super) fn with<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Arc<SimFs> {
        let fs = self.fs.process_death();
        for (path, bytes) in changes {
            match bytes {
                Some(bytes) => fs.write_file(path, bytes),
                None => assert!(fs.remove_file(path)),
            }
        }
        fs
    }
}

/// All files of a disk.
pub(super) fn image(fs: &SimFs) -> Image {
    fs.files().into_iter().map(|(path, _)| (path.clone(), fs.read_file(&path).unwrap())).collect()
}

fn how(durability: Durability) -> WriteOptions {
    WriteOptions { durability: Some(durability), no_stall: false, deadline_ns: 0 }
}

const SECOND: KeyspaceId = KeyspaceId(1);
const GONE: KeyspaceId = KeyspaceId(2);

impl Writer {
    fn new(options: &OpenOptions) -> Self {
        let life = Life::on(SimFs::new(), options);
        let db = life.open().unwrap();
        let plain = KeyspaceOptions {
            compression: Compression::None,
            block_bytes: 256,
            filter_bits_x10: 100,
            hash_index: false,
        };
        assert_eq!(db.keyspace_open("second", Some(&plain)).unwrap().id, SECOND);
        assert_eq!(db.keyspace_open("gone", None).unwrap().id, GONE);
        db.background(Background::Pause, 0).unwrap();
        Self {
            life,
            db,
            content: Content::new(),
            keys: BTreeSet::new(),
            states: BTreeMap::new(),
            older: Vec::new(),
        }
    }

    /// One batch; a value that is none is a delete.
    fn write(&mut self, ops: &[(KeyspaceId, &str, Option<&str>)], durability: Durability) {
        let mut packed = Vec::new();
        for (keyspace, key, value) in ops {
            let kind = if value.is_some() { Kind::Put } else { Kind::Delete };
            let (key, value) = (key.as_bytes(), value.unwrap_or_default().as_bytes());
            push_op(&mut packed, &Op { kind, keyspace: *keyspace, expiry_ms: 0, key, value });
        }
        let end = self.db.write(&packed, &how(durability)).unwrap();
        for (keyspace, key, value) in ops {
            let place = (*keyspace, key.as_bytes().to_vec());
            self.keys.insert(place.clone());
            // What is not logged is lost with the process; and "gone" is dropped in the end.
            match value {
                _ if durability == Durability::None || *keyspace == GONE => {}
                Some(value) => drop(self.content.insert(place, value.as_bytes().to_vec())),
                None => drop(self.content.remove(&place)),
            }
        }
        self.states.insert(end, self.content.clone());
    }

    fn put(&mut self, keyspace: KeyspaceId, key: &str, value: &str, durability: Durability) {
        self.write(&[(keyspace, key, Some(value))], durability);
    }

    fn remember(&mut self) {
        self.older.push(image(&self.life.fs));
    }

    /// Two tables on a deeper level, two on level 0.
    fn write_tables(&mut self) {
        for round in 0..4 {
            for i in 0..7 {
                let key = format!("key{:02}", i * 3 + round);
                let value = format!("{round}:{key}:{}", "v".repeat(i * 9));
                self.put(KeyspaceId::DEFAULT, &key, &value, Durability::Buffer);
                if i % 2 == 0 {
                    self.put(SECOND, &key, &value, Durability::Buffer);
                }
            }
            self.put(GONE, "key", "value", Durability::Buffer);
            self.write(&[(KeyspaceId::DEFAULT, "key03", None)], Durability::Buffer);
            self.db.flush().unwrap();
            self.remember();
            if round == 1 {
                self.db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
                self.db.compact(SECOND, None, None, 0).unwrap();
                self.remember();
            }
        }
        self.life.env.garbage.drain();
        while self.life.env.step() {}
    }

    /// A log that ends cleanly.
    fn write_log(&mut self) {
        for i in 0..6 {
            self.put(SECOND, &format!("first{i}"), &"f".repeat(20 + i), Durability::Buffer);
        }
        self.remember();
    }

    fn reopen(&mut self, options: &OpenOptions) {
        self.db.close().unwrap();
        self.remember();
        self.life = Life::on(self.life.fs.process_death(), options);
        self.db = self.life.open().unwrap();
        self.db.background(Background::Pause, 0).unwrap();
    }

    /// Two logs more: batches, syncs, writes that are not logged, a mark, and a tail of which
    /// nothing says that it is durable.
    fn write_more_log(&mut self) {
        for i in 0..14 {
            let key = format!("late{i:02}");
            let durability = if i % 5 == 4 { Durability::Sync } else { Durability::Buffer };
            let value = "l".repeat(300 - i);
            let batch = [
                (KeyspaceId::DEFAULT, key.as_str(), Some(value.as_str())),
                (SECOND, key.as_str(), Some("small")),
                (KeyspaceId::DEFAULT, "key07", None),
            ];
            self.write(&batch, durability);
            if i == 6 {
                self.put(SECOND, "unlogged", &"u".repeat(40), Durability::None);
                self.put(GONE, "late", "value", Durability::Buffer);
                self.db.mark().unwrap();
                self.db.keyspace_drop("gone").unwrap();
                self.remember();
            }
        }
        self.put(SECOND, "unsynced", "1", Durability::Buffer);
        self.remember();
        self.put(SECOND, "unsynced", "2", Durability::Buffer);
        self.write(&[(SECOND, "first3", None)], Durability::Buffer);
    }
}
