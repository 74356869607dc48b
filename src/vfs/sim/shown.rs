//! Bytes of mapped files that a process looks at: they stay where they are, and follow the file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use super::content::{Content, index};
use super::state::NodeId;

/// What is looked at of each file, by the mapping that it is seen through.
#[derive(Default)]
pub(super) struct Shown {
    files: BTreeMap<NodeId, Vec<Part>>,
    /// The next mapping's token.
    next: u64,
}

struct Part {
    map: u64,
    offset: u64,
    /// Never moved while the mapping lives.
    bytes: Box<[AtomicU8]>,
}

impl Shown {
    /// A token for a new mapping.
    pub(super) fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Shows `len` bytes at `offset` through `map` for as long as that lives.
    pub(super) fn show(
        &mut self,
        (file, map): (NodeId, u64),
        content: Option<&Content>,
        offset: u64,
        len: usize,
    ) -> *const u8 {
        let mut now = vec![0; len];
        if let Some(content) = content {
            content.read(&mut now, offset);
        }
        let bytes: Box<[AtomicU8]> = now.into_iter().map(AtomicU8::new).collect();
        let address = bytes.as_ptr().cast::<u8>();
        self.files.entry(file).or_default().push(Part { map, offset, bytes });
        address
    }

    /// Something was stored: whoever looks sees it.
    pub(super) fn store(&self, file: NodeId, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        for part in self.files.get(&file).into_iter().flatten() {
            let (from, to) = (part.offset.max(offset), end.min(part.offset + part.len()));
            for at in from..to {
                let shown = &part.bytes[index(at - part.offset)];
                shown.store(bytes[index(at - offset)], Ordering::Relaxed);
            }
        }
    }

    /// A mapping ends.
    pub(super) fn end(&mut self, file: NodeId, map: u64) {
        if let Some(parts) = self.files.get_mut(&file) {
            parts.retain(|part| part.map != map);
        }
    }
}

impl Part {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}
