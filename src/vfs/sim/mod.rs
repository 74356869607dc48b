//! A strict file system in memory, for tests: it forgets what was not synced, counts every call,
//! and fails or crashes at the one that a test chose.
//!
//! A test runs a process on a [`SimFs`] and ends it, by an armed crash or not. What a new process
//! would find is another [`SimFs`]: [`SimFs::process_death`] keeps every byte that was stored,
//! mapped or written; [`SimFs::power_loss`] keeps what was synced and some of the rest
//! ([`PowerLoss`]). Both leave the old one as it is, so that many ends of one run can be tried;
//! contents are shared until they change. Locks and handles stay behind with the old process.
//!
//! Everything follows from the calls and the seeds: no time, no chance. Any thread may call; calls
//! take one lock, which orders them. Paths are plain: no links, and a relative path begins at the
//! root.

mod content;
mod crash;
mod fault;
mod handles;
mod shown;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub(crate) use crash::{PowerLoss, Random};
pub(crate) use fault::{Call, CallKind, Effect, Fault, Repeat};

use super::{Dir, Vfs};
use crate::base::mutant::mutant;
use crate::base::{Error, Result};
use content::Content;
use fault::Calls;
use handles::SimDir;
use shown::Shown;
use state::{DirNode, FileNode, Node, NodeId, ROOT, State};

/// A disk, and the one process that uses it.
pub(crate) struct SimFs {
    state: Arc<Mutex<State>>,
}

impl SimFs {
    /// An empty disk without quota, on which logs are mapped.
    pub(crate) fn new() -> Arc<Self> {
        Self::with_state(State {
            nodes: vec![Some(Arc::new(Node::Dir(DirNode::default())))],
            order: 0,
            boot_id: 0xb007,
            mount_id: 1,
            mapped_log: true,
            quota: None,
            garbage: Vec::new(),
            opens: BTreeMap::new(),
            locks: BTreeMap::new(),
            calls: Calls::default(),
            shown: Shown::default(),
        })
    }

    fn with_state(mut state: State) -> Arc<Self> {
        state.collect();
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// For `Os::boot_id` of the same machine: changes when power is lost.
    pub(crate) fn boot_id(&self) -> u128 {
        self.state().boot_id
    }

    /// What `Dir::mount` says of mapped logs from now on.
    pub(crate) fn set_mapped_log(&self, mapped_log: bool) {
        self.state().mapped_log = mapped_log;
    }

    /// How many bytes all files together may have; a write beyond stops there with ENOSPC.
    pub(crate) fn set_quota(&self, quota: Option<u64>) {
        self.state().quota = quota;
    }

    /// Makes something go wrong; any number of faults may wait for their calls.
    pub(crate) fn arm(&self, fault: Fault) {
        self.state().calls.arm(fault);
    }

    /// Takes back all faults.
    pub(crate) fn disarm(&self) {
        self.state().calls.disarm();
    }

    /// How many calls were made; the next one has this number.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls.count
    }

    /// How many faults took effect. When a sweep over call numbers meets 0, it is through.
    pub(crate) fn hits(&self) -> u64 {
        self.state().calls.hits
    }

    /// Has every call from now on followed by one of `watcher`, by the same thread, before it returns.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn watch(&self, watcher: impl Fn(CallKind) + Send + Sync + 'static) {
        self.state().calls.watcher = Some(Arc::new(watcher));
    }

    /// Records calls from now on.
    pub(crate) fn start_trace(&self) {
        self.state().calls.trace = Some(Vec::new());
    }

    /// The calls recorded so far.
    pub(crate) fn trace(&self) -> Vec<Call> {
        self.state().calls.trace.clone().unwrap_or_default()
    }

    /// Ends the process now: every later call fails, and mapped stores do nothing.
    pub(crate) fn crash(&self) {
        self.state().calls.is_down = true;
    }

    /// Whether the process has ended by a crash.
    pub(crate) fn has_crashed(&self) -> bool {
        self.state().calls.is_down
    }

    /// What the next process finds if this one dies now: all that was stored.
    pub(crate) fn process_death(&self) -> Arc<Self> {
        let state = &*self.state();
        let next = Self::successor(state, state.nodes.clone());
        Self::with_state(next)
    }

    /// What is found if power is lost now: a new boot, a new mount.
    pub(crate) fn power_loss(&self, how: PowerLoss, seed: u64) -> Arc<Self> {
        let state = &*self.state();
        let mut next = Self::successor(state, crash::lose_power(state, how, seed));
        let mut random = Random::new(!seed);
        next.boot_id = next.boot_id.wrapping_add(1 + u128::from(random.word()));
        next.mount_id = next.mount_id.wrapping_add(1 + (random.word() >> 32));
        Self::with_state(next)
    }

    /// What is found if the disk goes away and comes back while the machine runs on: as after
    /// power loss, but in the same boot.
    pub(crate) fn remount(&self, how: PowerLoss, seed: u64) -> Arc<Self> {
        let next = self.power_loss(how, seed);
        next.state().boot_id = self.boot_id();
        next
    }

    fn successor(state: &State, nodes: Vec<Option<Arc<Node>>>) -> State {
        State {
            nodes,
            order: state.order,
            boot_id: state.boot_id,
            mount_id: state.mount_id,
            mapped_log: state.mapped_log,
            quota: state.quota,
            garbage: state.garbage.clone(),
            opens: BTreeMap::new(),
            locks: BTreeMap::new(),
            calls: Calls::default(),
            shown: Shown::default(),
        }
    }

    /// The bytes of the file at `path`, as a process sees them. Not a call.
    pub(crate) fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.find(path.as_ref())?;
        state.file(id).map(|file| file.current.to_vec())
    }

    /// Makes `bytes` the durable content of the file at `path`, behind every process's back; a
    /// missing file is made, its directory is not. Not a call.
    pub(crate) fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut state = self.state();
        let (dir, name) = state.find_parent(path.as_ref()).expect("the directory exists");
        let found = state.dir(dir).and_then(|dir| dir.current.get(&*name).copied());
        let id = found.unwrap_or_else(|| {
            let id = state.add(dir, &name, Node::File(FileNode::default()));
            state.dir_mut(dir).durable.insert(name.as_str().into(), id);
            id
        });
        let mut content = Content::default();
        content.write(bytes, 0);
        let (current, durable) = (content.clone(), content);
        state.shown.store(id, bytes, 0);
        *state.file_mut(id) = FileNode { current, durable, ..FileNode::default() };
    }

    /// Removes the file at `path` durably, behind every process's back; whether it was there. Not
    /// a call.
    pub(crate) fn remove_file(&self, path: impl AsRef<Path>) -> bool {
        let mut state = self.state();
        let Some((dir, name)) = state.find_parent(path.as_ref()) else { return false };
        let dir = state.dir_mut(dir);
        dir.durable.remove(&*name);
        dir.current.remove(&*name).is_some()
    }

    /// Path and length of every file, in order of path, as a process sees them. Not a call.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let mut found = Vec::new();
        let mut dirs = vec![(String::new(), ROOT)];
        while let Some((path, id)) = dirs.pop() {
            for (name, id) in state.dir(id).into_iter().flat_map(|dir| &dir.current) {
                let path = format!("{path}/{name}");
                match state.file(*id) {
                    Some(file) => found.push((path, file.current.len())),
                    None => dirs.push((path, *id)),
                }
            }
        }
        found.sort_unstable();
        found
    }
}

/// The names along a path. Links do not exist here, so `..` is resolved in the text.
fn names(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    names
}

impl State {
    fn step(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.dir(dir)?.current.get(name).copied()
    }

    fn find(&self, path: &Path) -> Option<NodeId> {
        names(path).iter().try_fold(ROOT, |dir, name| self.step(dir, name))
    }

    fn find_parent(&self, path: &Path) -> Option<(NodeId, String)> {
        let mut names = names(path);
        let name = names.pop()?;
        let dir = names.iter().try_fold(ROOT, |dir, name| self.step(dir, name))?;
        self.dir(dir).map(|_| (dir, name))
    }

    /// One directory sync, as a call.
    fn sync_dir(&mut self, id: NodeId, label: &Arc<str>, path: &Path) -> Result<()> {
        let verdict = self.begin(CallKind::SyncDir, label, 0);
        if verdict.is_done() && !mutant("no_dir_sync") {
            self.sync_names(id);
        }
        if verdict.effect == Effect::DropDirty {
            self.dir_mut(id).ops.clear();
        }
        verdict.finish("sync directory", path)
    }

    /// Opens or makes the directories along `path`, syncing as the real file system does: the
    /// parent of each one made, and of an empty one found, which a crash may have left unsynced.
    fn walk(&mut self, path: &Path, label: &Arc<str>, create: bool) -> Result<NodeId> {
        let verdict = self.begin(CallKind::OpenDir, label, 0);
        verdict.finish("open directory", path)?;
        let missing = || Error::invalid(format!("open directory {}: missing", path.display()));
        let names = names(path);
        let (mut above, mut dir, mut is_new) = (None, ROOT, false);
        for name in &names {
            let next = match self.step(dir, name) {
                Some(next) => next,
                None if create => {
                    if !is_new {
                        self.settle(above, dir, label, path)?;
                    }
                    is_new = true;
                    self.make_dir(dir, name, label, path)?
                }
                None => return Err(missing()),
            };
            self.dir(next).ok_or_else(missing)?;
            (above, dir) = (Some(dir), next);
        }
        if create && !is_new {
            self.settle(above, dir, label, path)?;
        }
        Ok(dir)
    }

    fn make_dir(
        &mut self,
        dir: NodeId,
        name: &str,
        label: &Arc<str>,
        path: &Path,
    ) -> Result<NodeId> {
        let verdict = self.begin(CallKind::MakeDir, label, 0);
        if !verdict.is_done() {
            verdict.finish("create directory", path)?;
        }
        let made = self.add(dir, name, Node::Dir(DirNode::default()));
        verdict.finish("create directory", path)?;
        self.sync_dir(dir, label, path)?;
        Ok(made)
    }

    fn settle(
        &mut self,
        above: Option<NodeId>,
        dir: NodeId,
        label: &Arc<str>,
        path: &Path,
    ) -> Result<()> {
        let is_empty = self.dir(dir).is_some_and(|dir| dir.current.is_empty());
        match above {
            Some(above) if is_empty => self.sync_dir(above, label, path),
            _ => Ok(()),
        }
    }
}

impl Vfs for SimFs {
    fn open_dir(&self, path: &Path, create: bool) -> Result<Arc<dyn Dir>> {
        let label: Arc<str> = path.to_string_lossy().into();
        let mut state = self.state();
        let id = state.walk(path, &label, create)?;
        state.open(id);
        drop(state);
        Ok(Arc::new(SimDir::new(self.state.clone(), id, path.to_owned(), label)))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let label: Arc<str> = path.to_string_lossy().into();
        let mut state = self.state();
        let verdict = state.begin(CallKind::RemoveDir, &label, 0);
        if !verdict.is_done() {
            return verdict.finish("remove directory", path);
        }
        let invalid = |why| Error::invalid(format!("remove directory {}: {why}", path.display()));
        let (above, name) = state.find_parent(path).ok_or_else(|| invalid("missing"))?;
        let id = state.step(above, &name).ok_or_else(|| invalid("missing"))?;
        let dir = state.dir(id).ok_or_else(|| invalid("not a directory"))?;
        if !dir.current.is_empty() {
            return Err(invalid("not empty"));
        }
        state.unbind(above, &name);
        verdict.finish("remove directory", path)?;
        state.sync_dir(above, &label, path)
    }
}
