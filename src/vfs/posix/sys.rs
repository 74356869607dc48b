//! The calls of the operating system that `std` does not offer, each behind a safe function.
//!
//! Nothing here knows of lsmer: descriptors and names in, `io::Result` out. Interrupted calls are
//! repeated. Linux has the better call where two exist; every other Unix gets the portable one.
//! Any thread.

#![allow(unsafe_code, reason = "calls of the C library")]

use std::ffi::{CStr, CString, OsStr};
use std::fs::File as OsFile;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use libc::{c_char, c_int};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use libc::{fstatat, openat, readdir, stat, statvfs};
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{
    fstatat64 as fstatat, openat64 as openat, readdir64 as readdir, stat64 as stat,
    statvfs64 as statvfs,
};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use libc::fstatvfs;
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::fstatvfs64 as fstatvfs;

/// Buffers that one call takes: `IOV_MAX`.
#[cfg(target_os = "linux")]
const GATHER_MAX: c_int = 1024;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    /// Whether it is a regular file.
    pub(super) is_file: bool,
    /// Length in bytes.
    pub(super) bytes: u64,
}

/// The name as the C library takes it; a zero byte inside is `EINVAL`.
pub(super) fn c_name(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Opens `name` in `dir`, close-on-exec and without following a link at its end.
///
/// `O_NONBLOCK` keeps a pipe of that name from blocking the caller; regular files ignore it.
pub(super) fn open_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    flags: c_int,
    mode: libc::c_uint,
) -> io::Result<OsFile> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    // SAFETY: the name is a C string and the descriptor is open; both outlive the call.
    let fd = retry(|| unsafe { openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) })?;
    // SAFETY: the call succeeded, so the descriptor is new and nobody else owns it.
    Ok(OsFile::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Opens the directory `name` below `dir`; a link at its end is not followed.
pub(super) fn open_dir_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OsFile> {
    open_at(dir, name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Opens the directory at `path`, following links: the caller chose the path.
pub(super) fn open_dir(path: &Path) -> io::Result<OsFile> {
    let name = c_name(path.as_os_str())?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the name is a C string that outlives the call.
    let fd = retry(|| unsafe { openat(libc::AT_FDCWD, name.as_ptr(), flags, 0) })?;
    // SAFETY: the call succeeded, so the descriptor is new and nobody else owns it.
    Ok(OsFile::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Makes the directory `name` in `dir`, mode 0700 less umask.
pub(super) fn make_dir_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: the name is a C string and the descriptor is open; both outlive the call.
    retry(|| unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), 0o700) }).map(drop)
}

/// Removes `name` from `dir`; `flags` is 0 or `AT_REMOVEDIR`.
pub(super) fn unlink_at(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<()> {
    // SAFETY: the name is a C string and the descriptor is open; both outlive the call.
    retry(|| unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}

/// Renames within `dir`, replacing `to`.
pub(super) fn rename_at(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> io::Result<()> {
    let fd = dir.as_raw_fd();
    // SAFETY: the names are C strings and the descriptor is open; all outlive the call.
    retry(|| unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) }).map(drop)
}

/// What `name` in `dir` is; a link is not followed.
pub(super) fn status_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Status> {
    let mut found = MaybeUninit::<stat>::uninit();
    // SAFETY: the name is a C string, the descriptor is open, and the result has room.
    retry(|| unsafe {
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        fstatat(dir.as_raw_fd(), name.as_ptr(), found.as_mut_ptr(), flags)
    })?;
    // SAFETY: the call succeeded, so the whole result is filled in.
    let found = unsafe { found.assume_init() };
    Ok(Status {
        is_file: found.st_mode & libc::S_IFMT == libc::S_IFREG,
        bytes: u64::try_from(found.st_size).unwrap_or(0),
    })
}

/// Calls `each` with every name in `dir` but `.` and `..`, until it returns false.
pub(super) fn names(dir: BorrowedFd<'_>, mut each: impl FnMut(&CStr) -> bool) -> io::Result<()> {
    let stream = Stream::open(dir)?;
    loop {
        set_errno(0);
        // SAFETY: the stream is open and used by this thread only.
        let entry = unsafe { readdir(stream.0.as_ptr()) };
        if entry.is_null() {
            let cause = io::Error::last_os_error();
            return if cause.raw_os_error() == Some(0) { Ok(()) } else { Err(cause) };
        }
        // SAFETY: the entry is valid until the next read, and its name ends with a zero. The
        // pointer is taken without a reference, because the record is shorter than its type.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast::<c_char>()) };
        if !matches!(name.to_bytes(), b"." | b"..") && !each(name) {
            return Ok(());
        }
    }
}

/// A directory stream, closed on drop.
struct Stream(NonNull<libc::DIR>);

impl Stream {
    /// Opens the directory anew, so that the position is this stream's own.
    fn open(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = open_dir_at(dir, c".")?;
        // SAFETY: the descriptor is an open directory.
        let stream = unsafe { libc::fdopendir(fd.as_raw_fd()) };
        let stream = NonNull::new(stream).ok_or_else(io::Error::last_os_error)?;
        // The stream owns the descriptor from here on.
        let _ = fd.into_raw_fd();
        Ok(Self(stream))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and nothing uses it after this.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

/// Fills `bufs` one after the other by one call, perhaps not to the end.
#[cfg(target_os = "linux")]
pub(super) fn read_scattered(
    fd: BorrowedFd<'_>,
    bufs: &mut [io::IoSliceMut<'_>],
    offset: u64,
) -> io::Result<usize> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let offset = i64::try_from(offset).map_err(invalid)?;
    let count = c_int::try_from(bufs.len()).map_err(invalid)?;
    loop {
        // SAFETY: the descriptor is open; `IoSliceMut` has the layout of `iovec`, and all of the
        // buffers are writable and outlive the call.
        let read = unsafe { libc::preadv64(fd.as_raw_fd(), bufs.as_ptr().cast(), count, offset) };
        if let Ok(read) = usize::try_from(read) {
            return Ok(read);
        }
        let cause = io::Error::last_os_error();
        if cause.kind() != io::ErrorKind::Interrupted {
            return Err(cause);
        }
    }
}

/// Writes all of `bufs` one after the other, by as few calls as that takes.
#[cfg(target_os = "linux")]
pub(super) fn write_gathered(
    fd: BorrowedFd<'_>,
    mut bufs: &mut [io::IoSlice<'_>],
    offset: u64,
) -> io::Result<()> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let mut offset = i64::try_from(offset).map_err(invalid)?;
    // Empty slices at the front would look like a call that wrote nothing.
    io::IoSlice::advance_slices(&mut bufs, 0);
    while !bufs.is_empty() {
        let count = c_int::try_from(bufs.len()).map_err(invalid)?.min(GATHER_MAX);
        // SAFETY: the descriptor is open; `IoSlice` has the layout of `iovec`, and all of the
        // buffers are readable and outlive the call.
        let n = unsafe { libc::pwritev64(fd.as_raw_fd(), bufs.as_ptr().cast(), count, offset) };
        match usize::try_from(n) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += i64::try_from(n).map_err(invalid)?;
                io::IoSlice::advance_slices(&mut bufs, written);
            }
            Err(_) => {
                let cause = io::Error::last_os_error();
                if cause.kind() != io::ErrorKind::Interrupted {
                    return Err(cause);
                }
            }
        }
    }
    Ok(())
}

/// Begins to write `[from, to)` of a file out, without waiting for the end of it; failure is harmless.
///
/// A write-out that fails later is kept for the next fdatasync: only the waiting forms of this call
/// would take the error away.
#[cfg(target_os = "linux")]
pub(super) fn start_write_out(fd: BorrowedFd<'_>, from: u64, to: u64) {
    let (Ok(at), Ok(bytes)) = (i64::try_from(from), i64::try_from(to.saturating_sub(from))) else {
        return;
    };
    if bytes > 0 {
        // SAFETY: the descriptor is open.
        unsafe { libc::sync_file_range(fd.as_raw_fd(), at, bytes, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

/// Reads what the page cache has of the bytes at `offset`, perhaps nothing; an error if it has none
/// or the system cannot tell.
#[cfg(target_os = "linux")]
pub(super) fn read_cached(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let offset = i64::try_from(offset).map_err(invalid)?;
    let mut parts = [io::IoSliceMut::new(buf)];
    let parts = parts.as_mut_ptr().cast();
    // SAFETY: the descriptor is open; `IoSliceMut` has the layout of `iovec`, and the one buffer is
    // writable and outlives the call.
    let read = unsafe { libc::preadv2(fd.as_raw_fd(), parts, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Asks the system to begin to bring bytes into the page cache. A hint: failure is harmless.
#[cfg(target_os = "linux")]
pub(super) fn will_need(fd: BorrowedFd<'_>, offset: u64, bytes: usize) {
    if let (Ok(offset), Ok(bytes)) = (i64::try_from(offset), i64::try_from(bytes)) {
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        unsafe {
            libc::posix_fadvise(fd.as_raw_fd(), offset, bytes, libc::POSIX_FADV_WILLNEED);
        }
    }
}

/// Takes or gives back an advisory lock; `operation` is one of `LOCK_*`, never waiting.
pub(super) fn lock(fd: BorrowedFd<'_>, operation: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    retry(|| unsafe { libc::flock(fd.as_raw_fd(), operation | libc::LOCK_NB) }).map(drop)
}

/// Bytes that an unprivileged user may still write to the file system of `fd`.
pub(super) fn free_bytes(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut found = MaybeUninit::<statvfs>::uninit();
    // SAFETY: the descriptor is open and the result has room.
    retry(|| unsafe { fstatvfs(fd.as_raw_fd(), found.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the whole result is filled in.
    let found = unsafe { found.assume_init() };
    #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
    let (blocks, block_bytes) = (u64::from(found.f_bavail), u64::from(found.f_frsize));
    Ok(blocks.saturating_mul(block_bytes))
}

/// Allocates the first `bytes` bytes of the file and gives it that length at least.
///
/// False where the system or the file system cannot: then nothing was done.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allocate(fd: BorrowedFd<'_>, bytes: u64) -> io::Result<bool> {
    let bytes = i64::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: the descriptor is open.
    match retry(|| unsafe { libc::fallocate64(fd.as_raw_fd(), 0, 0, bytes) }) {
        Ok(_) => Ok(true),
        Err(cause) if matches!(cause.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
            Ok(false)
        }
        Err(cause) => Err(cause),
    }
}

/// Allocates the first `bytes` bytes of the file: not offered here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allocate(_fd: BorrowedFd<'_>, _bytes: u64) -> io::Result<bool> {
    Ok(false)
}

/// Whether mapped stores are safe on the file system of `fd`: ext4 (the magic number is that of
/// ext2 and ext3 too, which the same driver serves) and tmpfs.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn is_mapping_safe(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut found = MaybeUninit::<libc::statfs64>::uninit();
    // SAFETY: the descriptor is open and the result has room.
    retry(|| unsafe { libc::fstatfs64(fd.as_raw_fd(), found.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the whole result is filled in.
    let kind = unsafe { found.assume_init() }.f_type;
    // The type of the field and that of the constants differ between C libraries.
    let safe = [i128::from(libc::EXT4_SUPER_MAGIC), i128::from(libc::TMPFS_MAGIC)];
    Ok(safe.contains(&i128::from(kind)))
}

/// Whether mapped stores are safe on the file system of `fd`: not known here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn is_mapping_safe(_fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(false)
}

/// The id of the mount that `fd` is on: unique since boot where the kernel has that (6.8), else
/// the plain id, else none.
#[cfg(target_os = "linux")]
pub(super) fn mount_id(fd: BorrowedFd<'_>) -> Option<u64> {
    statx_mount_id(fd).or_else(|| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
        let line = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
        line.trim().parse().ok()
    })
}

/// The id of the mount that `fd` is on: not offered here.
#[cfg(not(target_os = "linux"))]
pub(super) fn mount_id(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
fn statx_mount_id(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_MNT_ID_UNIQUE | libc::STATX_MNT_ID;
    // SAFETY: the empty name is a C string, the descriptor is open, and the result has room.
    retry(|| unsafe {
        let flags = libc::AT_EMPTY_PATH;
        libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, mask, found.as_mut_ptr())
    })
    .ok()?;
    // SAFETY: all zeros is a value of this plain structure, and the kernel wrote over it.
    let found = unsafe { found.assume_init() };
    (found.stx_mask & mask != 0).then_some(found.stx_mnt_id)
}

#[cfg(all(target_os = "linux", not(any(target_env = "gnu", target_env = "musl"))))]
fn statx_mount_id(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// Whether the process has used less than a quarter of the descriptors that it may have, as far as
/// the number of this one tells.
#[cfg(target_os = "linux")]
pub(super) fn are_descriptors_left(fd: BorrowedFd<'_>) -> bool {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the result has room.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so the result is filled in.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    i128::from(fd.as_raw_fd()) < i128::from(limit) / 4
}

/// What offsets and lengths of direct reads of a file must be multiples of; 0 if there are none. None
/// where the system cannot tell (before Linux 6.1).
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub(super) fn direct_align(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_DIOALIGN;
    // SAFETY: the empty name is a C string, the descriptor is open, and the result has room.
    retry(|| unsafe {
        let flags = libc::AT_EMPTY_PATH;
        libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, mask, found.as_mut_ptr())
    })
    .ok()?;
    // SAFETY: all zeros is a value of this plain structure, and the kernel wrote over it.
    let found = unsafe { found.assume_init() };
    let align = found.stx_dio_offset_align.max(found.stx_dio_mem_align);
    (found.stx_mask & mask != 0).then_some(align)
}

/// What offsets and lengths of direct reads must be multiples of: not known here.
#[cfg(all(target_os = "linux", not(any(target_env = "gnu", target_env = "musl"))))]
pub(super) fn direct_align(_fd: BorrowedFd<'_>) -> Option<u32> {
    None
}

/// Makes the content of a file durable, down to the platter.
///
/// `std` calls fdatasync, or on Apple systems `F_FULLFSYNC`.
#[allow(clippy::disallowed_methods, reason = "this is what vfs::File::sync stands on")]
pub(super) fn sync_data(file: &OsFile) -> io::Result<()> {
    file.sync_data()
}

/// Makes the entries of a directory durable.
///
/// `EINVAL` says that the file system has no such operation, so there is nothing to wait for.
#[allow(clippy::disallowed_methods, reason = "this is what vfs::Dir::sync stands on")]
pub(super) fn sync_dir(dir: &OsFile) -> io::Result<()> {
    match dir.sync_all() {
        Err(cause) if cause.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// Repeats `call` while signals interrupt it; a negative result is an error.
fn retry(mut call: impl FnMut() -> c_int) -> io::Result<c_int> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let cause = io::Error::last_os_error();
        if cause.kind() != io::ErrorKind::Interrupted {
            return Err(cause);
        }
    }
}

/// Sets this thread's `errno`.
fn set_errno(value: c_int) {
    #[cfg(any(target_os = "netbsd", target_os = "openbsd", target_os = "android"))]
    use libc::__errno as errno;
    #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
    use libc::__errno_location as errno;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    use libc::__error as errno;
    // SAFETY: the address is that of this thread's own errno.
    unsafe { *errno() = value };
}
