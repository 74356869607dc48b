//! Tests of tables: a file in memory, entries in owned form, a small random generator.

mod damage;
mod fetch;
mod model;
mod page;
mod parts;
mod same;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::meta::{FileMeta, TableMeta};
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{Cursor, Entry, Error, FileNumber, KeyspaceId, Kind, Lsn, Result};
use crate::cache::BlockCache;
use crate::mem::epoch;
use crate::vfs::{File, LogMap, TableMap};

use super::{Glance, Table, TableBuilder};

const NUMBER: FileNumber = FileNumber(7);
const FILE_ID: u64 = 0x1234_5678_9abc_def0;

/// A file in memory whose writes can be made to fail.
struct MemFile {
    bytes: Mutex<Vec<u8>>,
    fail_writes: Mutex<bool>,
    /// What the system was asked for: offset and length.
    asked: Mutex<Vec<(u64, usize)>>,
}

impl MemFile {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        let (bytes, fail_writes) = (Mutex::new(bytes), Mutex::new(false));
        Arc::new(Self { bytes, fail_writes, asked: Mutex::default() })
    }

    /// As if a foreign program had cut the file.
    fn cut_off(&self, bytes: usize) {
        self.bytes.lock().truncate(bytes);
    }
}

impl File for MemFile {
    fn name(&self) -> &'static str {
        "000007.sst"
    }
    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let count = buf.len().min(bytes.len() - from);
        buf[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }
    fn write_at(&self, new: &[u8], offset: u64) -> Result<()> {
        if *self.fail_writes.lock() {
            let cause = std::io::Error::from_raw_os_error(libc::EIO);
            return Err(Error::io("write", Path::new("000007.sst"), &cause));
        }
        let mut bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap();
        let end = from + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(new);
        Ok(())
    }
    fn will_need(&self, offset: u64, bytes: usize) {
        self.asked.lock().push((offset, bytes));
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn allocate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }
    fn map(&self, _bytes: u64) -> Result<Arc<dyn LogMap>> {
        Err(Error::unsupported("no maps here"))
    }
    fn map_table(&self, bytes: u64) -> Result<Arc<TableMap>> {
        let held = self.bytes.lock();
        assert_eq!(bytes, held.len() as u64);
        Ok(Arc::new(TableMap::of(held.clone().into())))
    }
}

/// An entry that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Owned {
    key: Vec<u8>,
    number: u64,
    kind: Kind,
    expiry_ms: u64,
    value: Vec<u8>,
}

impl Owned {
    fn put(key: &[u8], number: u64, value: &[u8]) -> Self {
        Self { key: key.to_vec(), number, kind: Kind::Put, expiry_ms: 0, value: value.to_vec() }
    }

    fn entry(&self) -> Entry<'_> {
        let Self { number, kind, expiry_ms, .. } = *self;
        Entry { key: &self.key, number, kind, expiry_ms, value: &self.value }
    }

    fn of(entry: Entry<'_>) -> Self {
        let Entry { number, kind, expiry_ms, .. } = entry;
        Self { key: entry.key.to_vec(), number, kind, expiry_ms, value: entry.value.to_vec() }
    }
}

/// Sections as given to the builder.
type Sections = Vec<(KeyspaceId, KeyspaceOptions, Vec<Owned>)>;

/// Writes a table and returns its bytes and what the builder says of it.
fn build_as(number: FileNumber, file_id: u64, sections: &Sections) -> (Vec<u8>, TableMeta) {
    let file = MemFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), number, file_id);
    for (keyspace, options, entries) in sections {
        builder.start_section(*keyspace, options);
        for entry in entries {
            builder.add(&entry.entry()).unwrap();
        }
        builder.finish_section().unwrap();
    }
    let meta = builder.finish().unwrap();
    let bytes = file.bytes.lock().clone();
    assert_eq!(bytes.len() as u64, meta.file.file_bytes);
    (bytes, meta)
}

fn build(sections: &Sections) -> (Vec<u8>, TableMeta) {
    build_as(NUMBER, FILE_ID, sections)
}

fn open(bytes: Vec<u8>, meta: &FileMeta) -> Result<Arc<Table>> {
    open_as(bytes, meta, false)
}

fn open_as(bytes: Vec<u8>, meta: &FileMeta, mapped: bool) -> Result<Arc<Table>> {
    Table::open(MemFile::new(bytes), meta, &BlockCache::new(1 << 20), mapped)
}

fn plain(block_bytes: u32) -> KeyspaceOptions {
    KeyspaceOptions {
        compression: Compression::None,
        filter_bits_x10: 0,
        block_bytes,
        hash_index: false,
    }
}

/// What a table answers for one keyspace, read front to back by cursor.
fn scan(table: &Arc<Table>, keyspace: KeyspaceId) -> Result<Vec<Owned>> {
    let mut cursor = table.cursor(keyspace)?;
    let mut found = Vec::new();
    cursor.seek_first()?;
    while let Some(entry) = cursor.entry() {
        found.push(Owned::of(entry));
        cursor.next()?;
    }
    Ok(found)
}

/// What `get` answers; what a glance into memory tells must be the same.
fn get(table: &Arc<Table>, keyspace: KeyspaceId, key: &[u8], below: u64) -> Result<Option<Owned>> {
    let found = table.get(keyspace, key, Lsn(below))?.map(|found| Owned {
        key: key.to_vec(),
        number: found.number,
        kind: found.kind,
        expiry_ms: found.expiry_ms,
        value: found.value.to_vec(),
    });
    if let Some(reader) = table.point_reader(keyspace)? {
        let (hash, guard) = (reader.hash(key), epoch::pin());
        assert!(found.is_none() || reader.may_contain(hash));
        match reader.glance(hash, key, Lsn(below), &guard) {
            Glance::Entry(seen) => {
                let entry = found.as_ref().expect("what is seen is found");
                let seen_all = (seen.kind, seen.expiry_ms, seen.value);
                assert_eq!(seen_all, (entry.kind, entry.expiry_ms, &entry.value[..]));
                assert!(seen.hold().is_none_or(|held| held[..] == entry.value[..]));
            }
            Glance::Absent => assert_eq!(found, None),
            Glance::Unclear => {}
        }
    }
    Ok(found)
}

/// A small random generator (splitmix64), so that a failing case can be repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn bytes(&mut self, count: usize, alphabet: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(alphabet)).unwrap()).collect()
    }
}
