//! Test doubles: a directory in memory that counts and fails reads, and small tables in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Tables;
use crate::base::meta::{FileMeta, SectionMeta};
use crate::base::options::KeyspaceOptions;
use crate::base::{Error, ErrorKind, FileNumber, KeyspaceId, Level, Result, filename};
use crate::cache::BlockCache;
use crate::manifest::{AddedSection, Comparator, KeyspaceMeta, VersionEdit};
use crate::merge::testing::{Owned, sort};
use crate::sstable::TableBuilder;
use crate::vfs::{Dir, DirLock, File, Listed, LockMode, LogMap, MountInfo};

/// Counts calls that can fail, and fails the one that makes the count reach `fail_at`.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) reads: AtomicU64,
    pub(crate) fail_read_at: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) fail_write_at: AtomicU64,
    /// Reads that were not to wait, and whether they need not.
    pub(crate) asked: AtomicU64,
    pub(crate) at_once: AtomicBool,
}

impl Faults {
    fn count(calls: &AtomicU64, fail_at: &AtomicU64) -> Result<()> {
        if calls.fetch_add(1, Ordering::Relaxed) + 1 == fail_at.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Io, "injected"));
        }
        Ok(())
    }

    fn read(&self) -> Result<()> {
        Self::count(&self.reads, &self.fail_read_at)
    }

    fn write(&self) -> Result<()> {
        Self::count(&self.writes, &self.fail_write_at)
    }
}

/// A directory in memory.
#[derive(Default)]
pub(crate) struct MemDir {
    files: Mutex<BTreeMap<String, Arc<MemFile>>>,
    pub(crate) faults: Arc<Faults>,
    /// Whether names were synced since the last change.
    pub(crate) synced: AtomicBool,
}

struct MemFile {
    name: String,
    bytes: Mutex<Vec<u8>>,
    faults: Arc<Faults>,
}

impl MemDir {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }
}

fn absent() -> Error {
    Error::io("open", Path::new("mem"), &std::io::Error::from_raw_os_error(libc::ENOENT))
}

impl Dir for MemDir {
    fn path(&self) -> &Path {
        Path::new("mem")
    }
    fn list(&self) -> Result<Vec<Listed>> {
        let files = self.files.lock();
        let listed = |(name, file): (&String, &Arc<MemFile>)| {
            Ok(Listed { name: name.clone(), is_file: true, bytes: file.len()? })
        };
        files.iter().map(listed).collect()
    }
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.faults.write()?;
        let (name, faults) = (name.to_owned(), self.faults.clone());
        let file = Arc::new(MemFile { name: name.clone(), bytes: Mutex::default(), faults });
        assert!(self.files.lock().insert(name, file.clone()).is_none(), "numbers are used once");
        self.synced.store(false, Ordering::Relaxed);
        Ok(file)
    }
    fn open(&self, name: &str, _writable: bool) -> Result<Arc<dyn File>> {
        self.faults.read()?;
        let file = self.files.lock().get(name).cloned();
        Ok(file.ok_or_else(absent)?)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.files.lock().remove(name).map(|_| ()).ok_or_else(absent)
    }
    fn rename(&self, _from: &str, _to: &str) -> Result<()> {
        Err(Error::unsupported("rename"))
    }
    fn sync(&self) -> Result<()> {
        self.faults.write()?;
        self.synced.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn lock(&self, _mode: LockMode, _pid: u32) -> Result<Box<dyn DirLock>> {
        Err(Error::unsupported("lock"))
    }
    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }
    fn mount(&self) -> Result<MountInfo> {
        Ok(MountInfo { mount_id: 0, mapped_log: false })
    }
}

impl File for MemFile {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.faults.read()?;
        let bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let read = buf.len().min(bytes.len() - from);
        buf[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }
    fn read_now(&self, buf: &mut [u8], offset: u64) -> bool {
        self.faults.asked.fetch_add(1, Ordering::Relaxed);
        self.faults.at_once.load(Ordering::Relaxed) && self.read_at(buf, offset).is_ok()
    }
    fn write_at(&self, new: &[u8], offset: u64) -> Result<()> {
        self.faults.write()?;
        let mut bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap();
        if bytes.len() < from + new.len() {
            bytes.resize(from + new.len(), 0);
        }
        bytes[from..from + new.len()].copy_from_slice(new);
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        self.faults.write()
    }
    fn allocate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }
    fn map(&self, _bytes: u64) -> Result<Arc<dyn LogMap>> {
        Err(Error::unsupported("map"))
    }
}

/// A directory with its tables.
pub(crate) struct Store {
    pub(crate) dir: Arc<MemDir>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) tables: Tables,
    pub(crate) next_file: AtomicU64,
}

/// Options that make tables of the smallest blocks.
pub(crate) fn small_options() -> KeyspaceOptions {
    KeyspaceOptions { block_bytes: 64, ..KeyspaceOptions::default() }
}

impl Store {
    pub(crate) fn new() -> Self {
        let dir = MemDir::new();
        let cache = BlockCache::new(0);
        let tables = Tables::new(dir.clone(), cache.clone(), false);
        Self { dir, cache, tables, next_file: AtomicU64::new(1) }
    }

    /// The same files, nothing open.
    pub(crate) fn reopen_tables(&mut self) {
        self.tables = Tables::new(self.dir.clone(), self.cache.clone(), false);
    }

    pub(crate) fn new_file(&self) -> FileNumber {
        FileNumber(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a table with a section for each keyspace given, in ascending order.
    pub(crate) fn table(
        &self,
        sections: &[(KeyspaceId, Vec<Owned>)],
    ) -> (FileMeta, Vec<SectionMeta>) {
        let number = self.new_file();
        let file = self.dir.create(&filename::table(number)).unwrap();
        let mut builder = TableBuilder::new(file, number, number.0 + 1000);
        for (keyspace, entries) in sections {
            let mut entries = entries.clone();
            sort(&mut entries);
            builder.start_section(*keyspace, &small_options());
            for entry in &entries {
                builder.add(&entry.borrow()).unwrap();
            }
            builder.finish_section().unwrap();
        }
        let meta = builder.finish().unwrap();
        (meta.file, meta.sections)
    }

    /// Writes a table of one keyspace and places it.
    pub(crate) fn placed(
        &self,
        keyspace: KeyspaceId,
        level: u8,
        entries: Vec<Owned>,
    ) -> AddedSection {
        let (file, mut sections) = self.table(&[(keyspace, entries)]);
        AddedSection { level: Level(level), file, section: sections.remove(0) }
    }
}

/// A keyspace as a manifest names it.
pub(crate) fn keyspace(id: u32) -> KeyspaceMeta {
    let (name, comparator) = (format!("ks{id}"), Comparator::bytes());
    KeyspaceMeta { id: KeyspaceId(id), name, comparator, options: small_options() }
}

/// An edit that makes keyspaces and places sections.
pub(crate) fn first_edit(keyspaces: &[u32], added: Vec<AddedSection>) -> VersionEdit {
    let created = keyspaces.iter().map(|&id| keyspace(id)).collect();
    VersionEdit { created, added, ..VersionEdit::default() }
}
