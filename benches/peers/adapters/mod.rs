//! The engines, each behind the seam of [`crate::engine`], called through its C interface.
//!
//! An adapter's header tells the settings that are used. Everything that is not named there is at
//! the engine's default.

mod fjall;
mod leveldb;
mod lmdb;
mod lsmer;
mod rocksdb;
mod wiredtiger;

use std::path::Path;

use crate::dl;
use crate::engine::Open;

/// An engine that can be asked for by name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) open: Open,
    /// The beginning of the file name of its installed library; none: it is built here.
    pub(crate) library: Option<&'static str>,
    /// Colour in plots.
    pub(crate) colour: &'static str,
}

/// lsmer with `LSM_O_MAPPED_READS`, the same library. It runs where that makes a difference.
pub(crate) const MAPPED: &str = "lsmer-mapped";

pub(crate) const KNOWN: &[Known] = &[
    Known { name: "lsmer", open: lsmer::open, library: None, colour: "#c2185b" },
    Known { name: MAPPED, open: lsmer::open_mapped, library: None, colour: "#f48fb1" },
    Known {
        name: "rocksdb",
        open: rocksdb::open,
        library: Some("librocksdb.so"),
        colour: "#e8a33d",
    },
    Known {
        name: "leveldb",
        open: leveldb::open,
        library: Some("libleveldb.so"),
        colour: "#7cb342",
    },
    Known { name: "lmdb", open: lmdb::open, library: Some("liblmdb.so"), colour: "#3f7fbf" },
    Known {
        name: "wiredtiger",
        open: wiredtiger::open,
        library: Some("libwiredtiger.so"),
        colour: "#7e57c2",
    },
    Known { name: "fjall", open: fjall::open, library: None, colour: "#26a69a" },
];

impl Known {
    /// The engine whose library it is.
    pub(crate) fn base(&self) -> &'static str {
        if self.name == MAPPED { "lsmer" } else { self.name }
    }
}

pub(crate) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Where an installed library is: `LSMER_PEER_NAME` (capitals) if set, else as the loader knows.
pub(crate) fn find(known: &Known) -> Option<String> {
    let variable = format!("LSMER_PEER_{}", known.base().to_uppercase());
    if let Ok(path) = std::env::var(variable) {
        return Some(path);
    }
    let path = dl::installed(known.library?)?;
    Some(path.to_string_lossy().into_owned())
}

/// A path as C wants it.
fn c_path(path: &Path) -> crate::engine::Outcome<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())
}

/// Borrowed bytes of a library; empty for NULL.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that stay as they are for `'a`.
unsafe fn lent<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: as the caller vouches.
    unsafe { std::slice::from_raw_parts(data, len) }
}
