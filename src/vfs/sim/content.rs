//! The bytes of one file, shared between copies until they are changed.
//!
//! Pages that were never written do not exist and read as zeros, so allocated space costs nothing.
//! A copy costs a reference count; a change after it copies the page table and the page.

use std::sync::Arc;

/// Bytes that a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Bytes that are shared or copied together.
pub(super) const PAGE_BYTES: u64 = PAGE as u64;

const PAGE: usize = 4096;

/// Bytes of a file.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    /// May be shorter than the file; what is missing is zeros.
    pages: Arc<Vec<Option<Arc<[u8; PAGE]>>>>,
}

impl Content {
    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies what lies at `offset` and returns how many bytes that were.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let rest = index(self.len.saturating_sub(offset));
        let bytes = buf.len().min(rest);
        for (at, part) in pieces(offset, bytes) {
            let to = &mut buf[part.clone()];
            match self.pages.get(at / PAGE).and_then(Option::as_ref) {
                Some(page) => to.copy_from_slice(&page[at % PAGE..][..part.len()]),
                None => to.fill(0),
            }
        }
        bytes
    }

    /// All bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.len)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Stores `bytes` at `offset`; a gap before it is zeros.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        self.grow(offset + bytes.len() as u64);
        let pages = Arc::make_mut(&mut self.pages);
        for (at, part) in pieces(offset, bytes.len()) {
            let from = &bytes[part];
            if pages.len() <= at / PAGE {
                pages.resize(at / PAGE + 1, None);
            }
            let page = &mut pages[at / PAGE];
            if page.is_none() && from.iter().all(|byte| *byte == 0) {
                continue;
            }
            let page = page.get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[at % PAGE..][..from.len()].copy_from_slice(from);
        }
    }

    /// Makes the file at least `len` bytes long; the new ones are zeros.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Makes the file exactly `len` bytes long. What is cut off reads as zeros if it comes back.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let pages = Arc::make_mut(&mut self.pages);
            pages.truncate(index(len.div_ceil(PAGE_BYTES)));
            let inside = index(len) % PAGE;
            if inside > 0 && pages.len() == index(len) / PAGE + 1 {
                if let Some(Some(page)) = pages.last_mut() {
                    Arc::make_mut(page)[inside..].fill(0);
                }
            }
        }
        self.len = len;
    }
}

/// A length or offset of a simulated file as an index: they all fit memory.
pub(super) fn index(n: u64) -> usize {
    usize::try_from(n).expect("simulated files fit memory")
}

/// Cuts `len` bytes at `offset` at the ends of pages: file offset and range among the bytes.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let start = index(offset);
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = start + done;
        let bytes = (PAGE - at % PAGE).min(len - done);
        let part = done..done + bytes;
        done += bytes;
        (bytes > 0).then_some((at, part))
    })
}
