//! Open directories, files and mappings of the simulated file system.
//!
//! Each method is one call, under the one lock. A handle keeps its file alive when its name goes;
//! it takes the lock when it is dropped, so no handle is dropped while the lock is held.

use std::io::IoSliceMut;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::content::index;
use super::fault::{CallKind, Effect, Verdict, failure};
use super::state::{FileNode, Holder, Node, NodeId, State};
use crate::base::mutant::mutant;
use crate::base::{Error, ErrorKind, Result, filename};
use crate::vfs::{Dir, DirLock, DirectFile, File, Listed, LockMode, LogMap, MountInfo, TableMap};

/// What every handle holds: a counted reference to a node, and words for messages.
struct Handle {
    state: Arc<Mutex<State>>,
    id: NodeId,
    path: PathBuf,
    /// Stands in traces.
    label: Arc<str>,
}

impl Handle {
    /// Makes one call. `work` is told how much of it is to be done; what it returns counts only if
    /// the call is to succeed.
    fn call<T>(
        &self,
        kind: CallKind,
        (doing, path, label): (&str, &Path, &Arc<str>),
        bytes: usize,
        work: impl FnOnce(&mut State, Verdict) -> Result<T>,
    ) -> Result<T> {
        let (result, told, watcher) = {
            let state = &mut *self.state.lock();
            let verdict = state.begin(kind, label, bytes);
            let result = work(state, verdict);
            (result, verdict.finish(doing, path), state.calls.watcher.clone())
        };
        if let Some(watcher) = watcher {
            watcher(kind);
        }
        told.and(result)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.state.lock().close(self.id);
    }
}

/// An open directory.
pub(super) struct SimDir(Handle);

impl SimDir {
    /// Takes over a reference that was counted by [`State::open`].
    pub(super) fn new(
        state: Arc<Mutex<State>>,
        id: NodeId,
        path: PathBuf,
        label: Arc<str>,
    ) -> Self {
        Self(Handle { state, id, path, label })
    }

    /// Makes one call about the directory. If it is not to be done, `T` is its default and unseen.
    fn call<T: Default>(
        &self,
        kind: CallKind,
        doing: &str,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let Handle { path, label, .. } = &self.0;
        self.0.call(kind, (doing, path, label), 0, |state, verdict| {
            if verdict.is_done() { work(state) } else { Ok(T::default()) }
        })
    }

    /// Makes one call about the file `name`. If it is not to be done, `T` is its default.
    fn call_on<T: Default>(
        &self,
        kind: CallKind,
        (doing, name): (&str, &str),
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(Error::invalid(format!("`{name}` is not the name of a file")));
        }
        let path = self.0.path.join(name);
        self.0.call(kind, (doing, &path, &name.into()), 0, |state, verdict| {
            if verdict.is_done() { work(state) } else { Ok(T::default()) }
        })
    }

    fn fail(&self, doing: &str, name: &str, errno: i32) -> Error {
        failure(doing, &self.0.path.join(name), errno)
    }

    fn step(&self, state: &State, name: &str) -> Option<NodeId> {
        state.dir(self.0.id)?.current.get(name).copied()
    }

    /// The file of that name, which must be one.
    fn find(&self, state: &State, doing: &str, name: &str) -> Result<NodeId> {
        let id = self.step(state, name).ok_or_else(|| self.fail(doing, name, libc::ENOENT))?;
        state.file(id).ok_or_else(|| self.fail(doing, name, libc::EISDIR))?;
        Ok(id)
    }

    fn handle(&self, state: &mut State, id: NodeId, name: &str) -> Handle {
        state.open(id);
        let path = self.0.path.join(name);
        Handle { state: self.0.state.clone(), id, path, label: name.into() }
    }

    fn file(handle: Option<Handle>, writable: bool) -> Arc<dyn File> {
        let handle = handle.expect("a call that succeeds was done");
        Arc::new(SimFile { handle, writable })
    }
}

impl Dir for SimDir {
    fn path(&self) -> &Path {
        &self.0.path
    }

    fn list(&self) -> Result<Vec<Listed>> {
        self.call(CallKind::List, "list directory", |state| {
            let names = state.dir(self.0.id).into_iter().flat_map(|dir| &dir.current);
            let listed = names.map(|(name, id)| {
                let file = state.file(*id);
                let bytes = file.map_or(0, |file| file.current.len());
                Listed { name: name.to_string(), is_file: file.is_some(), bytes }
            });
            Ok(listed.collect())
        })
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let handle = self.call_on(CallKind::Create, ("create", name), |state| {
            if self.step(state, name).is_some() {
                return Err(self.fail("create", name, libc::EEXIST));
            }
            let id = state.add(self.0.id, name, Node::File(FileNode::default()));
            Ok(Some(self.handle(state, id, name)))
        })?;
        Ok(Self::file(handle, true))
    }

    fn open(&self, name: &str, writable: bool) -> Result<Arc<dyn File>> {
        let handle = self.call_on(CallKind::Open, ("open", name), |state| {
            let id = self.find(state, "open", name)?;
            Ok(Some(self.handle(state, id, name)))
        })?;
        Ok(Self::file(handle, writable))
    }

    fn open_direct(&self, name: &str) -> Result<Arc<dyn DirectFile>> {
        let handle = self.call_on(CallKind::Open, ("open", name), |state| {
            let id = self.find(state, "open", name)?;
            Ok(Some(self.handle(state, id, name)))
        })?;
        let handle = handle.expect("a call that succeeds was done");
        Ok(Arc::new(SimFile { handle, writable: false }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.call_on(CallKind::Remove, ("remove", name), |state| {
            self.find(state, "remove", name)?;
            state.unbind(self.0.id, name);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call_on(CallKind::Rename, ("rename", from), |state| {
            let id = self.find(state, "rename", from)?;
            if self.step(state, to).is_some_and(|to| state.dir(to).is_some()) {
                return Err(self.fail("rename", to, libc::EISDIR));
            }
            if from != to {
                state.rename(self.0.id, from, to, id);
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        let Handle { state, id, path, label } = &self.0;
        state.lock().sync_dir(*id, label, path)
    }

    fn lock(&self, mode: LockMode, pid: u32) -> Result<Box<dyn DirLock>> {
        let lock = self.call_on(CallKind::Lock, ("lock", filename::LOCK), |state| {
            self.take_lock(state, mode, pid).map(Some)
        })?;
        Ok(Box::new(lock.expect("a call that succeeds was done")))
    }

    fn free_bytes(&self) -> Result<u64> {
        self.call(CallKind::FreeBytes, "ask for the free space of", |state| Ok(state.room()))
    }

    fn mount(&self) -> Result<MountInfo> {
        let found = self.call(CallKind::Mount, "ask for the file system of", |state| {
            Ok((state.mount_id, state.mapped_log))
        })?;
        Ok(MountInfo { mount_id: found.0, mapped_log: found.1 })
    }
}

impl SimDir {
    fn take_lock(&self, state: &mut State, mode: LockMode, pid: u32) -> Result<SimLock> {
        let dir = self.0.id;
        let holders = state.locks.entry(dir).or_default();
        let excludes =
            |holder: &&Holder| mode == LockMode::Exclusive || holder.mode == LockMode::Exclusive;
        if let Some(holder) = holders.iter().find(excludes) {
            let pid = holder.pid;
            let text = format!("{} is open in process {pid}", self.0.path.display());
            return Err(Error::new(ErrorKind::Locked, text).with_detail(u64::from(pid)));
        }
        let token = state.order;
        state.order += 1;
        state.locks.entry(dir).or_default().push(Holder { token, mode, pid });
        if mode == LockMode::Exclusive {
            let id = match self.step(state, filename::LOCK) {
                Some(id) => id,
                None => state.add(dir, filename::LOCK, Node::File(FileNode::default())),
            };
            state.write(id, format!("{pid:<10}\n").as_bytes(), 0);
        }
        Ok(SimLock { state: self.0.state.clone(), dir, token })
    }
}

/// A lock on a directory.
struct SimLock {
    state: Arc<Mutex<State>>,
    dir: NodeId,
    token: u64,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(holders) = self.state.lock().locks.get_mut(&self.dir) {
            holders.retain(|holder| holder.token != self.token);
        }
    }
}

/// An open file.
struct SimFile {
    handle: Handle,
    writable: bool,
}

impl SimFile {
    fn call<T>(
        &self,
        kind: CallKind,
        doing: &str,
        bytes: usize,
        work: impl FnOnce(&mut State, Verdict) -> Result<T>,
    ) -> Result<T> {
        let Handle { path, label, .. } = &self.handle;
        self.handle.call(kind, (doing, path, label), bytes, work)
    }

    fn fail(&self, doing: &str, errno: i32) -> Error {
        failure(doing, &self.handle.path, errno)
    }

    fn must_be_writable(&self, doing: &str) -> Result<()> {
        if self.writable { Ok(()) } else { Err(self.fail(doing, libc::EBADF)) }
    }

    fn current_len(&self, state: &State) -> u64 {
        state.file(self.handle.id).map_or(0, |file| file.current.len())
    }
}

impl File for SimFile {
    fn name(&self) -> &str {
        &self.handle.label
    }

    fn len(&self) -> Result<u64> {
        self.call(CallKind::Len, "ask for the length of", 0, |state, _| Ok(self.current_len(state)))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.call(CallKind::Read, "read", buf.len(), |state, _| {
            let file = state.file(self.handle.id);
            Ok(file.map_or(0, |file| file.current.read(buf, offset)))
        })
    }

    /// Every other page is in the page cache.
    fn read_now(&self, buf: &mut [u8], offset: u64) -> bool {
        offset / 4096 % 2 == 1 && self.read_at(buf, offset).is_ok_and(|count| count == buf.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.call(CallKind::Write, "write", bytes.len(), |state, verdict| {
            self.must_be_writable("write")?;
            let part = &bytes[..verdict.portion(bytes.len())];
            let end = self.current_len(state).saturating_add(state.room());
            let fitting = index(end.saturating_sub(offset).min(part.len() as u64));
            state.write(self.handle.id, &part[..fitting], offset);
            if fitting < part.len() { Err(self.fail("write", libc::ENOSPC)) } else { Ok(()) }
        })
    }

    fn sync(&self) -> Result<()> {
        self.call(CallKind::Sync, "sync", 0, |state, verdict| {
            let file = state.file_mut(self.handle.id);
            match verdict.effect {
                Effect::Everything if !mutant("sync_lies") => file.sync(),
                Effect::DropDirty => file.drop_dirty(),
                _ => {}
            }
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        self.call(CallKind::Allocate, "allocate space for", 0, |state, verdict| {
            self.must_be_writable("allocate space for")?;
            let len = self.current_len(state);
            if bytes.saturating_sub(len) > state.room() {
                return Err(self.fail("allocate space for", libc::ENOSPC));
            }
            if verdict.is_done() && bytes > len {
                state.grow(self.handle.id, bytes);
            }
            Ok(())
        })
    }

    fn map(&self, bytes: u64) -> Result<Arc<dyn LogMap>> {
        let map = self.call(CallKind::Map, "map", 0, |state, _| {
            if !self.writable {
                return Err(self.fail("map", libc::EACCES));
            }
            if bytes == 0 || bytes > self.current_len(state) {
                return Err(Error::invalid(format!(
                    "{} has too few bytes to map {bytes}",
                    self.handle.path.display()
                )));
            }
            let Handle { state: shared, id, path, label } = &self.handle;
            state.open(*id);
            let token = state.shown.token();
            let (state, path, label) = (shared.clone(), path.clone(), label.clone());
            Ok(SimMap { handle: Handle { state, id: *id, path, label }, bytes, token })
        })?;
        Ok(Arc::new(map))
    }

    /// Shows the bytes as they are now: a complete table file does not change any more.
    fn map_table(&self, bytes: u64) -> Result<Arc<TableMap>> {
        let image = self.call(CallKind::Map, "map", 0, |state, _| {
            let file = state.file(self.handle.id).map(|file| &file.current);
            match file.filter(|file| bytes > 0 && bytes <= file.len()) {
                Some(file) => {
                    let mut image = vec![0; index(bytes)].into_boxed_slice();
                    file.read(&mut image, 0);
                    Ok(image)
                }
                None => Err(Error::invalid(format!("{bytes} bytes are not there to be mapped"))),
            }
        })?;
        Ok(Arc::new(TableMap::of(image)))
    }
}

impl DirectFile for SimFile {
    fn read(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        self.call(CallKind::ReadDirect, "read", bytes, |state, _| {
            let Some(file) = state.file(self.handle.id) else { return Ok(0) };
            let mut done = 0;
            for buf in bufs {
                done += file.current.read(buf, offset + done as u64);
            }
            Ok(done)
        })
    }
}

/// A mapped file.
struct SimMap {
    handle: Handle,
    bytes: u64,
    token: u64,
}

impl Drop for SimMap {
    fn drop(&mut self) {
        let Handle { state, id, .. } = &self.handle;
        state.lock().shown.end(*id, self.token);
    }
}

impl SimMap {
    /// Stores what is to be stored of `bytes`, in whole steps of `step` bytes.
    fn store_steps(&self, offset: u64, bytes: &[u8], step: usize) {
        let end = offset + bytes.len() as u64;
        assert!(end <= self.bytes, "store up to {end} beyond a mapping of {} bytes", self.bytes);
        let Handle { id, label, .. } = &self.handle;
        let state = &mut *self.handle.state.lock();
        let len = state.file(*id).map_or(0, |file| file.current.len());
        assert!(end <= len, "SIGBUS: store up to {end} in a file of {len} bytes");
        let portion = state.begin(CallKind::Store, label, bytes.len()).portion(bytes.len());
        state.write(*id, &bytes[..portion - portion % step], offset);
    }
}

impl LogMap for SimMap {
    fn store(&self, offset: u64, bytes: &[u8]) {
        self.store_steps(offset, bytes, 1);
    }

    fn store_words(&self, offset: u64, words: &[u64]) {
        assert!(offset % 8 == 0, "words at an offset of {offset}");
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.store_steps(offset, &bytes, 8);
    }

    fn lasting(&self, offset: u64, len: usize) -> Option<*const u8> {
        let end = offset + len as u64;
        assert!(end <= self.bytes, "{end} lies beyond a mapping of {} bytes", self.bytes);
        let id = self.handle.id;
        let State { nodes, shown, .. } = &mut *self.handle.state.lock();
        let content = match nodes.get(id).and_then(Option::as_deref) {
            Some(Node::File(file)) => Some(&file.current),
            _ => None,
        };
        Some(shown.show((id, self.token), content, offset, len))
    }

    fn keeps_values(&self) -> bool {
        true
    }

    fn populate(&self, _from: u64, _to: u64) {}

    fn release(&self, _offset: u64) {}

    fn sync(&self, from: u64, to: u64) -> Result<()> {
        let Handle { id, path, label, .. } = &self.handle;
        let about = ("sync the mapping of", path.as_path(), label);
        self.handle.call(CallKind::SyncMap, about, 0, |state, verdict| {
            let file = state.file_mut(*id);
            match verdict.effect {
                Effect::Everything if !mutant("sync_lies") => file.sync_range(from, to),
                Effect::DropDirty => file.drop_dirty(),
                _ => {}
            }
            Ok(())
        })
    }
}
