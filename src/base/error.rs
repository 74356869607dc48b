//! The one error type: what happened, where, and the code that C sees.
//!
//! An error is cheap to clone, because the first cause of a poisoned database is returned by every
//! later write. "Not found" is not an error.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// One kind for each negative code of `lsmer.h`. The discriminants are those codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument, option or call order is wrong; nothing was done.
    Invalid = -1,
    /// The handle or its database was closed.
    Closed = -2,
    /// The call would stall, or a budget is spent; try again later.
    Busy = -3,
    /// A conditional write lost.
    Conflict = -4,
    /// The time given ran out.
    Timeout = -5,
    /// The database is open elsewhere; `detail0` is the process id.
    Locked = -6,
    /// The database was opened read-only.
    ReadOnly = -7,
    /// The disk or the quota is full.
    NoSpace = -8,
    /// A call of the operating system failed.
    Io = -9,
    /// Stored bytes are not what was written; file and offset say where.
    Corrupt = -10,
    /// Written by a newer format; `detail0` is the version.
    Format = -11,
    /// Memory could not be had within the budget.
    NoMemory = -12,
    /// A feature that this build does not have.
    Unsupported = -13,
    /// The handle was made before a fork and is used in the child.
    Forked = -14,
    /// A bug in lsmer: a panic was caught.
    Internal = -15,
}

/// An error with its place. Text order: what happened, where, what to do.
#[derive(Clone)]
pub struct Error {
    detail: Arc<Detail>,
}

#[derive(Clone)]
struct Detail {
    kind: ErrorKind,
    message: String,
    file_id: u64,
    offset: u64,
    detail0: u64,
    os_errno: i32,
    latched: bool,
}

impl Error {
    /// An error of `kind` that names no file.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        let detail = Detail {
            kind,
            message,
            file_id: 0,
            offset: 0,
            detail0: 0,
            os_errno: 0,
            latched: false,
        };
        Self { detail: Arc::new(detail) }
    }

    /// A wrong argument, option or call order.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A feature that is not built.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Memory that could not be had.
    pub(crate) fn no_memory(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NoMemory, message)
    }

    /// A closed handle or database.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the handle or its database is closed")
    }

    /// Stored bytes that are wrong: `what` is wrong in file `name` (whose number is `file_id`).
    pub(crate) fn corrupt(name: &str, file_id: u64, offset: u64, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, format!("corruption in {name} at offset {offset}: {what}"))
            .at(file_id, offset)
    }

    /// A file of a newer format version.
    pub(crate) fn newer_format(name: &str, file_id: u64, version: u32) -> Self {
        let text = format!("{name} has format version {version}; use a newer lsmer to open it");
        let mut error = Self::new(ErrorKind::Format, text).at(file_id, 0);
        error.detail_mut().detail0 = u64::from(version);
        error
    }

    /// A failed call of the operating system: `doing` names the call, `path` the file.
    pub(crate) fn io(doing: &str, path: &Path, cause: &io::Error) -> Self {
        let errno = cause.raw_os_error().unwrap_or(0);
        let kind = match errno {
            libc::ENOSPC | libc::EDQUOT => ErrorKind::NoSpace,
            libc::ENOMEM => ErrorKind::NoMemory,
            _ => ErrorKind::Io,
        };
        let mut error = Self::new(kind, format!("{doing} {}: {cause}", path.display()));
        error.detail_mut().os_errno = errno;
        error
    }

    /// The same error with another code.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.detail_mut().kind = kind;
        self
    }

    /// The same error with a place in a file.
    pub(crate) fn at(mut self, file_id: u64, offset: u64) -> Self {
        let detail = self.detail_mut();
        detail.file_id = file_id;
        detail.offset = offset;
        self
    }

    /// The same error with the number that its kind carries (process id, version, count).
    pub(crate) fn with_detail(mut self, detail0: u64) -> Self {
        self.detail_mut().detail0 = detail0;
        self
    }

    /// The same error, marked as the standing cause that every later write returns.
    pub(crate) fn latched(mut self) -> Self {
        self.detail_mut().latched = true;
        self
    }

    /// The same error with `context` in front of its text.
    pub(crate) fn during(mut self, context: &str) -> Self {
        let detail = self.detail_mut();
        detail.message = format!("{context}: {}", detail.message);
        self
    }

    fn detail_mut(&mut self) -> &mut Detail {
        Arc::make_mut(&mut self.detail)
    }

    /// Which of the fifteen kinds this is.
    pub fn kind(&self) -> ErrorKind {
        self.detail.kind
    }

    /// The text, without the kind.
    pub fn message(&self) -> &str {
        &self.detail.message
    }

    /// The number of the file that is meant, or 0.
    pub fn file_id(&self) -> u64 {
        self.detail.file_id
    }

    /// The offset in that file, in bytes.
    pub fn offset(&self) -> u64 {
        self.detail.offset
    }

    /// The number that the kind carries: a process id, a version, a count; else 0.
    pub fn detail0(&self) -> u64 {
        self.detail.detail0
    }

    /// The `errno` of the failed call, or 0.
    pub fn os_errno(&self) -> i32 {
        self.detail.os_errno
    }

    /// Whether this is the standing cause of a database that no longer takes writes.
    pub fn is_latched(&self) -> bool {
        self.detail.latched
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::{Busy, Conflict, Locked, NoSpace, Timeout};
        matches!(self.kind(), Busy | Conflict | Timeout | Locked | NoSpace) && !self.is_latched()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind(), self.message())
    }
}

impl std::error::Error for Error {}
