//! What the simulated disk holds: current and durable bytes and names, and what lies between.
//!
//! Invariant of every file and directory that lost nothing: the durable state with the unsynced
//! operations applied in order is the current state. Syncing a file never makes its name durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::{Content, PAGE_BYTES};
use super::fault::Calls;
use super::shown::Shown;
use crate::vfs::LockMode;

/// Place of a file or directory in [`State::nodes`].
pub(super) type NodeId = usize;

/// The names in a directory.
pub(super) type Names = BTreeMap<Arc<str>, NodeId>;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// With more unsynced operations than this on one file, the older half is written back, as a
/// kernel may do at any time.
const OPS_MAX: usize = 1 << 16;

/// How many contents of removed files are kept, to be found again in sectors never written.
const GARBAGE_MAX: usize = 4;

/// An unsynced change of a file, with its place in the order of all changes.
#[derive(Clone)]
pub(super) enum FileOp {
    /// Bytes were stored, beyond the end perhaps.
    Write { order: u64, offset: u64, bytes: Arc<[u8]> },
    /// The file was made at least so long.
    Grow { order: u64, len: u64 },
}

impl FileOp {
    /// Its place in the order of all changes.
    pub(super) fn order(&self) -> u64 {
        match self {
            Self::Write { order, .. } | Self::Grow { order, .. } => *order,
        }
    }

    /// Does it.
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { offset, bytes, .. } => content.write(bytes, *offset),
            Self::Grow { len, .. } => content.grow(*len),
        }
    }
}

/// A file.
#[derive(Clone, Default)]
pub(super) struct FileNode {
    /// What the process sees.
    pub(super) current: Content,
    /// What power loss leaves for certain.
    pub(super) durable: Content,
    /// What lies between, oldest first.
    pub(super) ops: Vec<FileOp>,
    /// Whether a failed sync has lost data, so that `current` is no longer what will be durable.
    pub(super) has_lost: bool,
}

impl FileNode {
    fn change(&mut self, op: FileOp) {
        op.apply(&mut self.current);
        self.ops.push(op);
        if self.ops.len() > OPS_MAX {
            for op in self.ops.drain(..OPS_MAX / 2) {
                op.apply(&mut self.durable);
            }
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        for op in self.ops.drain(..) {
            op.apply(&mut self.durable);
        }
    }

    /// Makes the pages that `[from, to)` touches durable, and the length.
    pub(super) fn sync_range(&mut self, from: u64, to: u64) {
        let from = from - from % PAGE_BYTES;
        let to = to.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX);
        for op in std::mem::take(&mut self.ops) {
            let FileOp::Write { order, offset, bytes } = &op else {
                op.apply(&mut self.durable);
                continue;
            };
            let part = |start: u64, end: u64| {
                let (start, end) = (start.max(*offset), end.min(offset + bytes.len() as u64));
                let range = super::content::index(start.saturating_sub(*offset))
                    ..super::content::index(end.saturating_sub(*offset));
                (start < end).then(|| FileOp::Write {
                    order: *order,
                    offset: start,
                    bytes: bytes[range].into(),
                })
            };
            if let Some(inside) = part(from, to) {
                inside.apply(&mut self.durable);
            }
            self.ops.extend(part(0, from).into_iter().chain(part(to, u64::MAX)));
        }
    }

    /// Forgets what is not durable, though it is still read.
    pub(super) fn drop_dirty(&mut self) {
        self.has_lost |= !self.ops.is_empty();
        self.ops.clear();
    }

    /// Whether power loss would change nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.ops.is_empty() && !self.has_lost
    }
}

/// An unsynced change of a directory, with its place in the order of all changes.
#[derive(Clone)]
pub(super) enum DirOp {
    /// A name was made.
    Bind { order: u64, name: Arc<str>, node: NodeId },
    /// A name was removed.
    Unbind { order: u64, name: Arc<str> },
    /// A name was moved, over another one perhaps.
    Rename { order: u64, from: Arc<str>, to: Arc<str>, node: NodeId },
}

impl DirOp {
    /// Its place in the order of all changes.
    pub(super) fn order(&self) -> u64 {
        match self {
            Self::Bind { order, .. } | Self::Unbind { order, .. } | Self::Rename { order, .. } => {
                *order
            }
        }
    }

    /// The names it changes, and what they stand for afterwards.
    pub(super) fn changes(&self) -> Vec<(&Arc<str>, Option<NodeId>)> {
        match self {
            Self::Bind { name, node, .. } => vec![(name, Some(*node))],
            Self::Unbind { name, .. } => vec![(name, None)],
            Self::Rename { from, to, node, .. } => vec![(from, None), (to, Some(*node))],
        }
    }

    /// Does it.
    pub(super) fn apply(&self, names: &mut Names) {
        for (name, node) in self.changes() {
            set_name(names, name, node);
        }
    }
}

/// Makes `name` stand for `node`, or for nothing.
pub(super) fn set_name(names: &mut Names, name: &Arc<str>, node: Option<NodeId>) {
    match node {
        Some(node) => names.insert(name.clone(), node),
        None => names.remove(name),
    };
}

/// A directory.
#[derive(Clone, Default)]
pub(super) struct DirNode {
    /// What the process sees.
    pub(super) current: Names,
    /// What power loss leaves for certain.
    pub(super) durable: Names,
    /// What lies between, oldest first.
    pub(super) ops: Vec<DirOp>,
}

impl DirNode {
    fn change(&mut self, op: DirOp) {
        op.apply(&mut self.current);
        self.ops.push(op);
    }
}

/// A file or a directory.
#[derive(Clone)]
pub(super) enum Node {
    /// A file.
    File(FileNode),
    /// A directory.
    Dir(DirNode),
}

/// One holder of a directory's lock.
pub(super) struct Holder {
    /// Tells holders apart.
    pub(super) token: u64,
    /// How it is held.
    pub(super) mode: LockMode,
    /// By whom.
    pub(super) pid: u32,
}

/// Everything behind the lock of a `SimFs`.
pub(super) struct State {
    /// Files and directories; copies of the file system share them until they change.
    pub(super) nodes: Vec<Option<Arc<Node>>>,
    /// Number of the next change.
    pub(super) order: u64,
    /// Changes with every loss of power.
    pub(super) boot_id: u128,
    /// Changes with every loss of power and every remount.
    pub(super) mount_id: u64,
    /// What `Dir::mount` says.
    pub(super) mapped_log: bool,
    /// How many bytes all files together may have.
    pub(super) quota: Option<u64>,
    /// Contents of removed files.
    pub(super) garbage: Vec<Content>,
    /// Handles of each node in this process.
    pub(super) opens: BTreeMap<NodeId, u32>,
    /// Locks of directories in this process.
    pub(super) locks: BTreeMap<NodeId, Vec<Holder>>,
    /// Calls of this process.
    pub(super) calls: Calls,
    /// What this process looks at through mappings.
    pub(super) shown: Shown,
}

impl State {
    /// The directory at `id`, if it is one.
    pub(super) fn dir(&self, id: NodeId) -> Option<&DirNode> {
        match self.nodes.get(id)?.as_deref()? {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        }
    }

    /// The file at `id`, if it is one.
    pub(super) fn file(&self, id: NodeId) -> Option<&FileNode> {
        match self.nodes.get(id)?.as_deref()? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    /// The file at `id`, which is open, to change it.
    pub(super) fn file_mut(&mut self, id: NodeId) -> &mut FileNode {
        match self.nodes[id].as_mut().map(Arc::make_mut) {
            Some(Node::File(file)) => file,
            _ => panic!("node {id} is not a file"),
        }
    }

    /// The directory at `id`, which is open, to change it.
    pub(super) fn dir_mut(&mut self, id: NodeId) -> &mut DirNode {
        match self.nodes[id].as_mut().map(Arc::make_mut) {
            Some(Node::Dir(dir)) => dir,
            _ => panic!("node {id} is not a directory"),
        }
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Makes a node and its name in `dir`; not durable.
    pub(super) fn add(&mut self, dir: NodeId, name: &str, node: Node) -> NodeId {
        self.nodes.push(Some(Arc::new(node)));
        let (node, order) = (self.nodes.len() - 1, self.next_order());
        self.dir_mut(dir).change(DirOp::Bind { order, name: name.into(), node });
        node
    }

    /// Removes a name; not durable.
    pub(super) fn unbind(&mut self, dir: NodeId, name: &str) {
        let order = self.next_order();
        self.dir_mut(dir).change(DirOp::Unbind { order, name: name.into() });
    }

    /// Moves the name of `node`; not durable.
    pub(super) fn rename(&mut self, dir: NodeId, from: &str, to: &str, node: NodeId) {
        let order = self.next_order();
        let (from, to) = (from.into(), to.into());
        self.dir_mut(dir).change(DirOp::Rename { order, from, to, node });
    }

    /// Stores bytes; not durable.
    pub(super) fn write(&mut self, file: NodeId, bytes: &[u8], offset: u64) {
        if !bytes.is_empty() {
            self.shown.store(file, bytes, offset);
            let order = self.next_order();
            self.file_mut(file).change(FileOp::Write { order, offset, bytes: bytes.into() });
        }
    }

    /// Makes a file at least so long; not durable.
    pub(super) fn grow(&mut self, file: NodeId, len: u64) {
        let order = self.next_order();
        self.file_mut(file).change(FileOp::Grow { order, len });
    }

    /// Makes the names in a directory durable, and forgets nodes that nothing refers to.
    pub(super) fn sync_names(&mut self, id: NodeId) {
        let dir = self.dir_mut(id);
        let ops = std::mem::take(&mut dir.ops);
        for op in &ops {
            op.apply(&mut dir.durable);
        }
        if ops.iter().any(|op| !matches!(op, DirOp::Bind { .. })) {
            self.collect();
        }
    }

    /// Bytes that may still be added under the quota.
    pub(super) fn room(&self) -> u64 {
        let Some(quota) = self.quota else { return 1 << 40 };
        let mut alive: BTreeSet<NodeId> = self.opens.keys().copied().collect();
        for node in self.nodes.iter().flatten() {
            if let Node::Dir(dir) = &**node {
                alive.extend(dir.current.values());
            }
        }
        let used = alive.iter().filter_map(|id| self.file(*id)).map(|file| file.current.len());
        quota.saturating_sub(used.sum())
    }

    /// Counts one handle more.
    pub(super) fn open(&mut self, node: NodeId) {
        *self.opens.entry(node).or_default() += 1;
    }

    /// Counts one handle less.
    pub(super) fn close(&mut self, node: NodeId) {
        if let Some(count) = self.opens.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.opens.remove(&node);
            }
        }
    }

    /// Forgets nodes that no name, no unsynced operation and no handle refers to.
    pub(super) fn collect(&mut self) {
        let mut alive: BTreeSet<NodeId> = self.opens.keys().copied().collect();
        alive.insert(ROOT);
        let mut dirs: Vec<NodeId> = alive.iter().copied().collect();
        while let Some(id) = dirs.pop() {
            let Some(dir) = self.dir(id) else { continue };
            let bound = dir.ops.iter().flat_map(DirOp::changes).filter_map(|(_, node)| node);
            let names = dir.current.values().chain(dir.durable.values()).copied().chain(bound);
            let names: Vec<NodeId> = names.collect();
            dirs.extend(names.into_iter().filter(|id| alive.insert(*id)));
        }
        for (id, node) in self.nodes.iter_mut().enumerate() {
            if alive.contains(&id) {
                continue;
            }
            if let Some(Node::File(file)) = node.take().as_deref() {
                self.garbage.push(file.current.clone());
            }
        }
        let surplus = self.garbage.len().saturating_sub(GARBAGE_MAX);
        self.garbage.drain(..surplus);
    }
}
