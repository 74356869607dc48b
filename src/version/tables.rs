//! The open tables of one database, by file number.
//!
//! A [`TableHandle`] stands for a table file that somebody may read: versions hold handles, and a
//! handle opens its table when it is first needed. When the last holder lets go, the table is
//! closed. A handle of a file that the manifest no longer names ([`Tables::retire`]) then puts the
//! number on a list, from which the engine takes what it may delete: no reader can meet a file
//! that is gone, however late it opens it.
//!
//! Threads: any, at once. The locks are held for a map operation, or while one table is opened.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::base::meta::FileMeta;
use crate::base::{Error, FileNumber, Result, filename};
use crate::cache::BlockCache;
use crate::sstable::Table;
use crate::vfs::Dir;

/// All table handles of a database. Clones share them.
#[derive(Clone)]
pub(crate) struct Tables {
    shared: Arc<Shared>,
}

struct Shared {
    dir: Arc<dyn Dir>,
    cache: Arc<BlockCache>,
    /// Whether tables are mapped.
    mapped: bool,
    handles: Mutex<HashMap<FileNumber, Weak<TableHandle>>>,
    unused: Mutex<Vec<FileNumber>>,
}

/// One table file in use, opened when first needed.
pub(crate) struct TableHandle {
    meta: FileMeta,
    table: OnceLock<Arc<Table>>,
    /// Held while opening, so that a table is opened once.
    opening: Mutex<()>,
    /// Written by [`Tables::retire`], which holds a counted reference while it does; read by the
    /// drop of the last reference, which the counter orders after it. Relaxed is enough.
    retired: AtomicBool,
    shared: Arc<Shared>,
}

impl Tables {
    /// No table is open yet; they will be opened in `dir` and their blocks kept in `cache`, or used
    /// where they lie if the tables are to be `mapped`.
    pub(crate) fn new(dir: Arc<dyn Dir>, cache: Arc<BlockCache>, mapped: bool) -> Self {
        let (handles, unused) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { dir, cache, mapped, handles, unused }) }
    }

    /// The handle of a table file; nothing is read. `Corrupt` if the number is in use for a file
    /// of another identity or length.
    pub(crate) fn handle(&self, meta: &FileMeta) -> Result<Arc<TableHandle>> {
        let mut handles = self.shared.handles.lock();
        if let Some(handle) = handles.get(&meta.number).and_then(Weak::upgrade) {
            if handle.meta == *meta {
                return Ok(handle);
            }
            let name = filename::table(meta.number);
            let what = "the manifest describes the file in two ways; restore a checkpoint";
            // Unlocked first: the handle's drop may need the map.
            drop(handles);
            return Err(Error::corrupt(&name, meta.number.0, 0, what));
        }
        let handle = Arc::new(TableHandle {
            meta: meta.clone(),
            table: OnceLock::new(),
            opening: Mutex::new(()),
            retired: AtomicBool::new(false),
            shared: self.shared.clone(),
        });
        handles.insert(meta.number, Arc::downgrade(&handle));
        self.shared.cache.add_table(meta.file_bytes);
        Ok(handle)
    }

    /// Tells that the manifest names a file no longer, durably. Its number appears in
    /// [`Tables::take_unused`] once, as soon as nobody can read it.
    pub(crate) fn retire(&self, number: FileNumber) {
        let handle = self.shared.handles.lock().get(&number).and_then(Weak::upgrade);
        match handle {
            Some(handle) => handle.retired.store(true, Ordering::Relaxed),
            None => self.shared.unused.lock().push(number),
        }
    }

    /// Retired files that nobody holds any more: the caller deletes them.
    pub(crate) fn take_unused(&self) -> Vec<FileNumber> {
        std::mem::take(&mut *self.shared.unused.lock())
    }

    /// The handle of a file that somebody holds.
    pub(crate) fn held(&self, number: FileNumber) -> Option<Arc<TableHandle>> {
        self.shared.handles.lock().get(&number).and_then(Weak::upgrade)
    }

    /// Whether a file that the manifest names no longer is held by somebody.
    pub(crate) fn has_retired(&self) -> bool {
        let handles = self.shared.handles.lock();
        let held: Vec<Arc<TableHandle>> = handles.values().filter_map(Weak::upgrade).collect();
        // Unlocked first: the drop of a last handle needs the map.
        drop(handles);
        held.iter().any(|handle| handle.retired.load(Ordering::Relaxed))
            || !self.shared.unused.lock().is_empty()
    }

    /// Whether some version, cursor or job holds the file.
    #[cfg(test)]
    pub(crate) fn is_held(&self, number: FileNumber) -> bool {
        self.shared.handles.lock().get(&number).is_some_and(|handle| handle.strong_count() > 0)
    }

    /// Files that are open.
    #[cfg(test)]
    pub(crate) fn open_count(&self) -> usize {
        self.open_tables().len()
    }

    /// Bytes of memory that open tables hold outside of the block cache.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.open_tables().iter().map(|table| table.memory_bytes() as u64).sum()
    }

    /// Those that are open now.
    pub(crate) fn open_tables(&self) -> Vec<Arc<Table>> {
        let held: Vec<Arc<TableHandle>> =
            self.shared.handles.lock().values().filter_map(Weak::upgrade).collect();
        held.iter().filter_map(|handle| handle.table.get().cloned()).collect()
    }
}

impl TableHandle {
    /// The file's number, identity and length.
    pub(crate) fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// The open table. The first call reads the file; it may fail, and the next tries again.
    pub(crate) fn table(&self) -> Result<&Arc<Table>> {
        match self.table.get() {
            Some(table) => Ok(table),
            None => self.open(),
        }
    }

    #[cold]
    fn open(&self) -> Result<&Arc<Table>> {
        let _alone = self.opening.lock();
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let Shared { dir, cache, mapped, .. } = &*self.shared;
        let name = filename::table(self.meta.number);
        let file = dir.open(&name, false)?;
        let past = cache.outweighs_page_cache() && !*mapped;
        let direct = if past { dir.open_direct(&name).ok() } else { None };
        let table = Table::open_twice((file, direct), &self.meta, cache, *mapped)?;
        Ok(self.table.get_or_init(|| table))
    }
}

impl Drop for TableHandle {
    fn drop(&mut self) {
        let mut handles = self.shared.handles.lock();
        // Another handle of this number may have been made since the last reference went.
        let is_ours = |weak: &Weak<Self>| std::ptr::eq(weak.as_ptr(), self);
        if handles.get(&self.meta.number).is_some_and(is_ours) {
            handles.remove(&self.meta.number);
        }
        drop(handles);
        self.shared.cache.remove_table(self.meta.file_bytes);
        if self.retired.load(Ordering::Relaxed) {
            self.shared.unused.lock().push(self.meta.number);
        }
    }
}
