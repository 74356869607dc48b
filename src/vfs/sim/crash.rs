//! What power loss leaves of the unsynced operations: nine ways, each chosen by a seed.
//!
//! What was synced is always left. A name that was not synced may be gone though its file was, and
//! the other way round.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::{Content, SECTOR_BYTES, index};
use super::state::{DirNode, DirOp, FileNode, FileOp, Names, Node, NodeId, State, set_name};

/// A way to lose power.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum PowerLoss {
    /// Nothing unsynced is left.
    Nothing,
    /// Everything is left.
    Everything,
    /// What was done before some moment is left, names and data alike.
    Prefix,
    /// Each sector, each length and each name is left or not, or is left as it was in between.
    Independent,
    /// All names and lengths are left, and no data: files have grown by zeros.
    LengthsWithZeros,
    /// The same, but what was written beyond the durable end is old garbage.
    LengthsWithGarbage,
    /// All names are left, but neither data nor lengths.
    NamesWithoutData,
    /// All data and names are left, but no rename happened, though later removals did.
    RemovalsWithoutRenames,
    /// All names are left; some files kept all their data, others only their length, as when
    /// writing back failed and the pages were taken for clean.
    FailedWriteBack,
}

impl PowerLoss {
    /// Every way.
    pub(crate) const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::Independent,
        Self::LengthsWithZeros,
        Self::LengthsWithGarbage,
        Self::NamesWithoutData,
        Self::RemovalsWithoutRenames,
        Self::FailedWriteBack,
    ];
}

/// Random words from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `n`, which is not 0.
    fn below(&mut self, n: u64) -> u64 {
        self.word() % n
    }

    /// How many of `n` changes of one thing are left: none, all, or some in between.
    fn kept(&mut self, n: usize) -> usize {
        match self.below(4) {
            0 | 1 => 0,
            2 => n,
            _ => index(self.below(n as u64 + 1)),
        }
    }
}

/// One loss of power while it happens.
struct Crash<'a> {
    how: PowerLoss,
    random: Random,
    /// [`PowerLoss::Prefix`]: operations below this order are left.
    cut: u64,
    /// Where old garbage comes from.
    pool: &'a [Content],
}

/// What is left on the disk of `state`.
pub(super) fn lose_power(state: &State, how: PowerLoss, seed: u64) -> Vec<Option<Arc<Node>>> {
    let mut random = Random::new(seed);
    let cut = if how == PowerLoss::Prefix { random_cut(state, &mut random) } else { 0 };
    let pool = if how == PowerLoss::LengthsWithGarbage { old_contents(state) } else { Vec::new() };
    let mut crash = Crash { how, random, cut, pool: &pool };
    let resolve = |node: &Option<Arc<Node>>| {
        let node = node.as_ref()?;
        Some(match &**node {
            Node::File(file) if file.is_clean() => node.clone(),
            Node::File(file) => {
                let content = crash.file(file);
                let (current, durable) = (content.clone(), content);
                Arc::new(Node::File(FileNode { current, durable, ..FileNode::default() }))
            }
            Node::Dir(dir) => {
                let names = crash.dir(dir);
                let (current, durable) = (names.clone(), names);
                Arc::new(Node::Dir(DirNode { current, durable, ops: Vec::new() }))
            }
        })
    };
    state.nodes.iter().map(resolve).collect()
}

/// A moment between two unsynced operations, or before or after all.
fn random_cut(state: &State, random: &mut Random) -> u64 {
    let mut orders = Vec::new();
    for node in state.nodes.iter().flatten() {
        match &**node {
            Node::File(file) => orders.extend(file.ops.iter().map(FileOp::order)),
            Node::Dir(dir) => orders.extend(dir.ops.iter().map(DirOp::order)),
        }
    }
    orders.sort_unstable();
    let kept = index(random.below(orders.len() as u64 + 1));
    orders.get(kept).copied().unwrap_or(u64::MAX)
}

/// What may lie in a sector that was given to a file and never written: removed files, and older
/// bytes of others.
fn old_contents(state: &State) -> Vec<Content> {
    let files = state.nodes.iter().flatten().filter_map(|node| match &**node {
        Node::File(file) => Some(file.current.clone()),
        Node::Dir(_) => None,
    });
    state.garbage.iter().cloned().chain(files).filter(|content| content.len() > 0).collect()
}

impl Crash<'_> {
    fn file(&mut self, file: &FileNode) -> Content {
        let mut left = file.durable.clone();
        match self.how {
            PowerLoss::Nothing | PowerLoss::NamesWithoutData => {}
            PowerLoss::Everything | PowerLoss::RemovalsWithoutRenames => apply_all(file, &mut left),
            PowerLoss::Prefix => {
                let before = file.ops.iter().filter(|op| op.order() < self.cut);
                before.for_each(|op| op.apply(&mut left));
            }
            PowerLoss::Independent => self.sectors(file, &mut left),
            PowerLoss::LengthsWithZeros => left.set_len(last_len(file)),
            PowerLoss::LengthsWithGarbage => {
                left.set_len(last_len(file));
                self.garbage(file, &mut left);
            }
            PowerLoss::FailedWriteBack => {
                if self.random.below(2) == 0 {
                    apply_all(file, &mut left);
                } else {
                    left.set_len(last_len(file));
                }
            }
        }
        left
    }

    /// Each sector keeps a random number of the changes it has seen, and so does the length.
    fn sectors(&mut self, file: &FileNode, left: &mut Content) {
        let changes = sector_changes(file);
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for change in &changes {
            *seen.entry(change.sector).or_default() += 1;
        }
        let mut rest: BTreeMap<u64, usize> =
            seen.into_iter().map(|(sector, n)| (sector, self.random.kept(n))).collect();
        for change in &changes {
            match rest.get_mut(&change.sector) {
                Some(rest) if *rest > 0 => *rest -= 1,
                _ => continue,
            }
            left.write(&change.bytes, change.offset);
        }
        let lens = lens(file);
        let kept = self.random.kept(lens.len() - 1);
        left.set_len(lens[kept]);
    }

    /// Fills what was written beyond the durable end with bytes of other files, or random ones.
    fn garbage(&mut self, file: &FileNode, left: &mut Content) {
        let (old_end, end) = (file.durable.len(), left.len());
        for op in &file.ops {
            let FileOp::Write { offset, bytes, .. } = op else { continue };
            let (mut at, stop) = ((*offset).max(old_end), (offset + bytes.len() as u64).min(end));
            while at < stop {
                let sector_end = (at - at % SECTOR_BYTES + SECTOR_BYTES).min(stop);
                let mut old = vec![0; index(sector_end - at)];
                self.old_sector(&mut old);
                left.write(&old, at);
                at = sector_end;
            }
        }
    }

    fn old_sector(&mut self, to: &mut [u8]) {
        let choice = index(self.random.below(self.pool.len() as u64 + 1));
        if let Some(content) = self.pool.get(choice) {
            let sectors = content.len().div_ceil(SECTOR_BYTES);
            content.read(to, self.random.below(sectors) * SECTOR_BYTES);
        } else {
            to.fill_with(|| self.random.word().to_le_bytes()[0]);
        }
    }

    fn dir(&mut self, dir: &DirNode) -> Names {
        let mut left = dir.durable.clone();
        match self.how {
            PowerLoss::Nothing => {}
            PowerLoss::Prefix => {
                let before = dir.ops.iter().filter(|op| op.order() < self.cut);
                before.for_each(|op| op.apply(&mut left));
            }
            PowerLoss::Independent => self.names(dir, &mut left),
            PowerLoss::RemovalsWithoutRenames => {
                let others = dir.ops.iter().filter(|op| !matches!(op, DirOp::Rename { .. }));
                others.for_each(|op| op.apply(&mut left));
            }
            _ => dir.ops.iter().for_each(|op| op.apply(&mut left)),
        }
        left
    }

    /// Each name keeps a random number of the changes it has seen.
    fn names(&mut self, dir: &DirNode, left: &mut Names) {
        let mut seen: BTreeMap<&Arc<str>, Vec<Option<NodeId>>> = BTreeMap::new();
        for (name, node) in dir.ops.iter().flat_map(DirOp::changes) {
            seen.entry(name).or_default().push(node);
        }
        for (name, changes) in seen {
            if let Some(last) = self.random.kept(changes.len()).checked_sub(1) {
                set_name(left, name, changes[last]);
            }
        }
    }
}

fn apply_all(file: &FileNode, content: &mut Content) {
    file.ops.iter().for_each(|op| op.apply(content));
}

/// The length after each operation, beginning with the durable one.
fn lens(file: &FileNode) -> Vec<u64> {
    let mut len = file.durable.len();
    let mut lens = vec![len];
    for op in &file.ops {
        len = match op {
            FileOp::Write { offset, bytes, .. } => len.max(offset + bytes.len() as u64),
            FileOp::Grow { len: new, .. } => len.max(*new),
        };
        lens.push(len);
    }
    lens
}

fn last_len(file: &FileNode) -> u64 {
    lens(file).last().copied().unwrap_or(0)
}

/// A change of one sector, or of a part of it.
struct SectorChange {
    sector: u64,
    offset: u64,
    bytes: Vec<u8>,
}

/// The unsynced writes cut into sectors.
fn sector_changes(file: &FileNode) -> Vec<SectorChange> {
    let mut changes = Vec::new();
    for op in &file.ops {
        let FileOp::Write { offset: start, bytes, .. } = op else { continue };
        let (start, end) = (*start, start + bytes.len() as u64);
        let mut offset = start;
        while offset < end {
            let sector = offset / SECTOR_BYTES;
            let stop = ((sector + 1) * SECTOR_BYTES).min(end);
            let part = bytes[index(offset - start)..index(stop - start)].to_vec();
            changes.push(SectorChange { sector, offset, bytes: part });
            offset = stop;
        }
    }
    changes
}
