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
use crate::rows::MAPPED;

/// An engine that can be asked for by name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) open: Open,
    /// The beginning of the file name of its installed library; none: it is built here.
    pub(crate) library: Option<&'static str>,
    /// The engine whose library this is, opened with other options. It takes part only in the
    /// scenarios that name it.
    pub(crate) variant_of: Option<&'static str>,
    /// Colour in plots.
    pub(crate) colour: &'static str,
}

const fn engine(
    name: &'static str,
    open: Open,
    library: Option<&'static str>,
    colour: &'static str,
) -> Known {
    Known { name, open, library, variant_of: None, colour }
}

pub(crate) const KNOWN: &[Known] = &[
    engine("lsmer", lsmer::open, None, "#c2185b"),
    Known {
        name: MAPPED,
        open: lsmer::open_mapped,
        library: None,
        variant_of: Some("lsmer"),
        colour: "#f48fb1",
    },
    engine("rocksdb", rocksdb::open, Some("librocksdb.so"), "#e8a33d"),
    engine("leveldb", leveldb::open, Some("libleveldb.so"), "#7cb342"),
    engine("lmdb", lmdb::open, Some("liblmdb.so"), "#3f7fbf"),
    engine("wiredtiger", wiredtiger::open, Some("libwiredtiger.so"), "#7e57c2"),
    engine("fjall", fjall::open, None, "#26a69a"),
];

pub(crate) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Where an installed library is: `LSMER_PEER_NAME` (capitals) if set, else as the loader knows.
pub(crate) fn find(known: &Known) -> Option<String> {
    let library = known.variant_of.unwrap_or(known.name);
    let variable = format!("LSMER_PEER_{}", library.to_uppercase());
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
