//! Reading a file past the page cache.
//!
//! The device reads whole sectors, into memory that begins with one. So each read goes into pages of
//! its own, and what was wanted is copied from there: for blocks of a page that is what the page
//! cache would do, without its pages to find, to account and to reclaim.
//!
//! Any thread; calls do not wait for each other.

#![cfg(target_os = "linux")]

use std::fs::File as OsFile;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::sys;
use crate::base::coding::usize_of;
use crate::base::{Error, Result};
use crate::vfs::DirectFile;

/// Bytes of a page of memory here, which is aligned for every device of Linux.
const PAGE_BYTES: usize = 4096;

#[derive(Clone)]
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

/// A file by a descriptor with `O_DIRECT`.
pub(super) struct PosixDirect {
    file: OsFile,
    path: PathBuf,
    /// What offsets and lengths are multiples of; a page is one, too.
    align: usize,
}

impl PosixDirect {
    /// Wraps an open regular file; `path` is for messages. `Unsupported` if its file system has no
    /// such reads, or only of more than a page, or if descriptors are better kept for files that have
    /// none yet.
    pub(super) fn new(file: OsFile, path: PathBuf) -> Result<Self> {
        if !sys::are_descriptors_left(file.as_fd()) {
            return Err(Error::unsupported(format!("{}: too few descriptors", path.display())));
        }
        let align = sys::direct_align(file.as_fd()).map_or(Some(PAGE_BYTES), |align| {
            let align = usize::try_from(align).ok()?;
            (align > 0 && PAGE_BYTES % align == 0).then_some(align)
        });
        match align {
            Some(align) => Ok(Self { file, path, align }),
            None => Err(Error::unsupported(format!("{} has no direct reads", path.display()))),
        }
    }
}

impl DirectFile for PosixDirect {
    fn read(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        let before = usize_of(offset % self.align as u64)?;
        let bytes = (before + wanted).next_multiple_of(self.align);
        let mut pages = vec![Page([0; PAGE_BYTES]); bytes.div_ceil(PAGE_BYTES)];
        let mut left = bytes;
        let mut slices: Vec<IoSliceMut<'_>> = Vec::with_capacity(pages.len());
        for page in &mut pages {
            let part = left.min(PAGE_BYTES);
            slices.push(IoSliceMut::new(&mut page.0[..part]));
            left -= part;
        }
        let read = sys::read_scattered(self.file.as_fd(), &mut slices, offset - before as u64);
        let read = read.map_err(|cause| Error::io("read", &self.path, &cause))?;
        let got = read.saturating_sub(before).min(wanted);
        copy_out(&pages, before, &mut *bufs, got);
        Ok(got)
    }
}

/// Copies `count` bytes that begin at byte `at` of `pages` into `bufs`, one after the other.
fn copy_out(pages: &[Page], mut at: usize, bufs: &mut [IoSliceMut<'_>], mut count: usize) {
    for buf in bufs {
        let mut rest = buf.len().min(count);
        let mut to = &mut buf[..];
        count -= rest;
        while rest > 0 {
            let from = &pages[at / PAGE_BYTES].0[at % PAGE_BYTES..];
            let part = from.len().min(rest);
            let (now, later) = to.split_at_mut(part);
            now.copy_from_slice(&from[..part]);
            (to, at, rest) = (later, at + part, rest - part);
        }
    }
}
