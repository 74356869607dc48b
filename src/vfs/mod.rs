//! Files as lsmer needs them. The engine reaches the disk through these traits and nowhere else.
//!
//! [`posix`] is the real file system; [`sim`] is a strict one in memory that forgets what was not
//! synced, fails chosen calls and crashes. All methods may be called from any thread.
//!
//! Errors name the file and carry errno; a full disk or quota is `NoSpace`.

mod mapped;
mod mapped_table;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
pub(crate) mod posix;
#[cfg(test)]
pub(crate) mod sim;

use std::io::{IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::Arc;

pub(crate) use mapped_table::{Expect, TableMap};

use crate::base::{Error, Result};

/// Gives access to directories.
pub(crate) trait Vfs: Send + Sync {
    /// Opens the directory at `path`; all later access goes through the descriptor.
    ///
    /// With `create`, missing directories are made (mode 0700 less umask) and the parent of each
    /// one is synced before this returns. Without it a missing directory is `Invalid`.
    fn open_dir(&self, path: &Path, create: bool) -> Result<Arc<dyn Dir>>;

    /// Removes an empty directory and syncs its parent. A directory with content is `Invalid`.
    fn remove_dir(&self, path: &Path) -> Result<()>;
}

/// What a listing shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    /// The name, lossily decoded: names of lsmer's own files are ASCII.
    pub(crate) name: String,
    /// Whether it is a regular file.
    pub(crate) is_file: bool,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockMode {
    /// The one writer.
    Exclusive,
    /// Any number of read-only openers, no writer.
    Shared,
}

/// Held while the database is open; dropping it releases the lock.
pub(crate) trait DirLock: Send + Sync {}

/// What the mount allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MountInfo {
    /// Identifies this mounting of the file system: `STATX_MNT_ID_UNIQUE`, or the plain mount id.
    pub(crate) mount_id: u64,
    /// Whether stores into a mapped file are safe here (ext4 and tmpfs).
    pub(crate) mapped_log: bool,
}

/// One open directory.
pub(crate) trait Dir: Send + Sync {
    /// The path it was opened by, for messages.
    fn path(&self) -> &Path;
    /// Everything in it but `.` and `..`, in no order.
    fn list(&self) -> Result<Vec<Listed>>;
    /// Creates a file that must not exist (mode 0600 less umask), open for reading and writing.
    fn create(&self, name: &str) -> Result<Arc<dyn File>>;
    /// Opens an existing file, for reading only or for both. A missing file is an `Io` error with
    /// errno ENOENT. Symbolic links are not followed.
    fn open(&self, name: &str, writable: bool) -> Result<Arc<dyn File>>;
    /// Opens an existing complete file once more, to be read past the system's page cache.
    /// `Unsupported` or another error where that cannot be; it can still be read by [`File`].
    fn open_direct(&self, name: &str) -> Result<Arc<dyn DirectFile>> {
        Err(Error::unsupported(format!("{name} cannot be read past the page cache here")))
    }
    /// Removes a file; it need not be open. Durable only after [`Dir::sync`].
    fn remove(&self, name: &str) -> Result<()>;
    /// Renames within the directory, replacing `to`. Durable only after [`Dir::sync`].
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Makes names durable: creations, removals and renames up to now.
    fn sync(&self) -> Result<()>;
    /// Locks the database, for `pid` (written into `LOCK` by an exclusive owner, which creates the
    /// file if needed). Held elsewhere, in this process too, or by another path to the same
    /// directory, or with `LOCK` removed meanwhile: `Locked`, with the owner's pid if known.
    /// A shared lock needs no `LOCK` file and creates none.
    fn lock(&self, mode: LockMode, pid: u32) -> Result<Box<dyn DirLock>>;
    /// Bytes that may still be written by this user.
    fn free_bytes(&self) -> Result<u64>;
    /// What the mount allows.
    fn mount(&self) -> Result<MountInfo>;
}

/// One open file.
pub(crate) trait File: Send + Sync {
    /// Its name in the directory.
    fn name(&self) -> &str;
    /// Its length in bytes.
    fn len(&self) -> Result<u64>;
    /// Reads up to `buf.len()` bytes at `offset` and returns how many; fewer only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;
    /// Fills `buf` from `offset` on if that takes no waiting for the disk; else begins to bring
    /// what is there into memory and returns false, as it does if anything is wrong.
    fn read_now(&self, _buf: &mut [u8], _offset: u64) -> bool {
        false
    }
    /// Begins to bring `bytes` bytes at `offset` into the system's memory. A hint.
    fn will_need(&self, _offset: u64, _bytes: usize) {}
    /// Fills `bufs` one after the other from `offset` on, as one read where the system can; returns
    /// how many bytes that were, perhaps fewer than there are.
    fn read_scattered(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let mut done = 0;
        for buf in bufs {
            let count = self.read_at(buf, offset + done as u64)?;
            done += count;
            if count < buf.len() {
                break;
            }
        }
        Ok(done)
    }
    /// Writes all of `bytes` at `offset`, extending the file if needed. After an error any part
    /// may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;
    /// Writes all of `bufs`, one after the other, from `offset` on, as one write where the system
    /// can. After an error any part may have been written. The slices may be changed.
    fn write_gathered(&self, bufs: &mut [IoSlice<'_>], mut offset: u64) -> Result<()> {
        for buf in bufs {
            self.write_at(buf, offset)?;
            offset += buf.len() as u64;
        }
        Ok(())
    }
    /// Asks the system to begin to write `[from, to)` out, so that [`File::sync`] has less to wait
    /// for. A hint: nothing is durable by it, failure is harmless, and what the range's write-out
    /// fails with is what the sync then reports.
    fn start_write_out(&self, _from: u64, _to: u64) {}
    /// Makes content and length durable (fdatasync). Not the name: that is [`Dir::sync`].
    ///
    /// A failure is final: what was not durable before may be gone, and a later success says
    /// nothing about it.
    fn sync(&self) -> Result<()>;
    /// Gives the file at least `bytes` bytes of length, backed by allocated space, so that writes into
    /// it cannot run out of space. What was not written reads as zeros.
    fn allocate(&self, bytes: u64) -> Result<()>;
    /// Brings the allocated range `[from, to)`, of which little is in the system's memory, there in
    /// large pieces, where that is faster than a page at a time. A hint, which changes no bytes; others
    /// may store there meanwhile.
    fn bring(&self, _from: u64, _to: u64) {}
    /// Maps the first `bytes` bytes (all allocated) for storing.
    fn map(&self, bytes: u64) -> Result<Arc<dyn LogMap>>;
    /// Maps the first `bytes` bytes of a complete table file for reading. `Unsupported` where that
    /// cannot be; an error says nothing about the content, which can still be read.
    fn map_table(&self, bytes: u64) -> Result<Arc<TableMap>> {
        Err(Error::unsupported(format!("{}: {bytes} bytes cannot be mapped here", self.name())))
    }
}

/// A complete file that is read past the system's page cache.
pub(crate) trait DirectFile: Send + Sync {
    /// Fills `bufs` one after the other from `offset` on, as one read; returns how many bytes that
    /// were, perhaps fewer than there are. Any offset and any buffers will do; what they take is
    /// copied. An error says nothing about the content, which can still be read by [`File`].
    fn read(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize>;
}

/// A mapped log segment. Bytes stored survive the death of the process.
///
/// What was stored, or written to the file, is read by [`LogMap::lasting`] alone. Ranges stored by different threads at once do not overlap, except
/// by [`LogMap::store_words`] with equal words.
pub(crate) trait LogMap: Send + Sync {
    /// Copies `bytes` to `offset`. The range lies inside; asserted.
    fn store(&self, offset: u64, bytes: &[u8]);
    /// Stores words, little-endian, each by one atomic store, at a multiple of 8.
    fn store_words(&self, offset: u64, words: &[u64]);
    /// Where `offset` lies in memory, to be prefetched and not to be followed; null where it has no
    /// such place.
    fn hint(&self, _offset: u64) -> *const u8 {
        std::ptr::null()
    }
    /// Whether [`LogMap::lasting`] has an answer.
    fn keeps_values(&self) -> bool {
        false
    }
    /// Where the `len` bytes at `offset`, which were stored here or written to the file and will not
    /// be written again, can be read for as long as this lives. They lie inside; asserted.
    fn lasting(&self, _offset: u64, _len: usize) -> Option<*const u8> {
        None
    }
    /// Brings the pages of `[from, to)` into memory, writable. A hint: failure is harmless.
    fn populate(&self, from: u64, to: u64);
    /// Tells that nothing below `offset` will be stored again; its pages may be unmapped.
    fn release(&self, offset: u64);
    /// Makes `[from, to)` durable (msync). Failure is final, as for [`File::sync`].
    fn sync(&self, from: u64, to: u64) -> Result<()>;
}
