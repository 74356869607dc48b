//! Reads a file through a window that moves forward, so that a large log needs little memory.
//!
//! A window belongs to one thread.

use crate::base::coding::usize_of;
use crate::base::{Error, Result};
use crate::vfs::File;

/// Bytes that are read at a time, unless more are asked for at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// A part of a file in memory.
pub(super) struct Window<'a> {
    file: &'a dyn File,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// A window on a file that has `file_bytes` bytes; nothing behind them is read.
    pub(super) fn new(file: &'a dyn File, file_bytes: u64) -> Self {
        Self { file, file_bytes, start: 0, bytes: Vec::new() }
    }

    /// The `length` bytes at `offset`, or none when the file ends before them.
    ///
    /// Memory grows to `length`, which the file's own length bounds.
    pub(super) fn get(&mut self, offset: u64, length: u64) -> Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(length).filter(|&end| end <= self.file_bytes) else {
            return Ok(None);
        };
        let window_end = self.start + self.bytes.len() as u64;
        if offset < self.start || end > window_end {
            self.fill(offset, length)?;
        }
        let at = usize_of(offset - self.start)?;
        Ok(self.bytes.get(at..at + usize_of(length)?))
    }

    /// The bytes from `offset` on, as many as the window holds, at least `least` of them, or none
    /// when the file ends before.
    pub(super) fn chunk(&mut self, offset: u64, least: u64) -> Result<Option<&[u8]>> {
        if self.get(offset, least)?.is_none() {
            return Ok(None);
        }
        let at = usize_of(offset - self.start)?;
        Ok(self.bytes.get(at..))
    }

    fn fill(&mut self, offset: u64, length: u64) -> Result<()> {
        let wanted = length.max(WINDOW_BYTES).min(self.file_bytes - offset);
        let wanted = usize_of(wanted)?;
        self.bytes.clear();
        self.start = offset;
        self.bytes.try_reserve(wanted).map_err(|_| {
            let name = self.file.name();
            Error::no_memory(format!("a record of {wanted} bytes in {name} does not fit memory"))
        })?;
        self.bytes.resize(wanted, 0);
        let read = self.file.read_at(&mut self.bytes, offset)?;
        self.bytes.truncate(read);
        Ok(())
    }
}
