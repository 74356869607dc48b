//! Pointers and lengths from C, turned into slices and outputs. Lengths are checked before
//! anything is read, so a wild length is refused and not followed.

use std::ffi::{CStr, c_char, c_void};
use std::slice;

use super::types::lsm_slice;
use crate::base::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::base::{Error, Result};

/// Keys in one call; their ends are counted in 32 bits.
const KEYS_MAX: usize = 1 << 28;

/// A key: up to 65,535 bytes; NULL only with length 0.
///
/// # Safety
/// `data` points to `len` readable bytes for the length of the call, or is NULL.
#[inline]
pub(super) unsafe fn key<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's contract.
    unsafe { limited(data, len, KEY_BYTES_MAX, "key") }
}

/// A value: up to 1 GiB; NULL only with length 0.
///
/// # Safety
/// As for [`key`].
#[inline]
pub(super) unsafe fn value<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's contract.
    unsafe { limited(data, len, VALUE_BYTES_MAX, "value") }
}

/// Packed operations: up to 1 GiB; NULL only with length 0.
///
/// # Safety
/// As for [`key`].
pub(super) unsafe fn packed<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's contract.
    unsafe { limited(data, len, BATCH_BYTES_MAX, "packed_ops") }
}

/// A bound: NULL is none (with length 0), anything else a key.
///
/// # Safety
/// As for [`key`].
pub(super) unsafe fn bound<'a>(data: *const c_void, len: usize) -> Result<Option<&'a [u8]>> {
    // SAFETY: the caller's contract.
    let bytes = unsafe { limited(data, len, KEY_BYTES_MAX, "bound") }?;
    Ok((!data.is_null()).then_some(bytes))
}

#[inline]
unsafe fn limited<'a>(
    data: *const c_void,
    len: usize,
    most: usize,
    what: &str,
) -> Result<&'a [u8]> {
    if len > most {
        return Err(Error::invalid(format!("{what} has {len} bytes; the limit is {most}")));
    }
    if data.is_null() {
        if len == 0 {
            return Ok(&[]);
        }
        return Err(Error::invalid(format!("{what} is NULL but its length is {len}")));
    }
    // SAFETY: not NULL, and the caller promises `len` bytes; `len` is far below `isize::MAX`.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// A NUL-terminated path: any bytes.
///
/// # Safety
/// `path` is NULL or points to bytes that end with a NUL.
pub(super) unsafe fn path<'a>(path: *const c_char) -> Result<&'a std::path::Path> {
    if path.is_null() {
        return Err(Error::invalid("path is NULL"));
    }
    // SAFETY: the caller's contract.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    if bytes.is_empty() {
        return Err(Error::invalid("path is empty"));
    }
    let text: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    Ok(std::path::Path::new(text))
}

/// A NUL-terminated UTF-8 name.
///
/// # Safety
/// As for [`path`].
pub(super) unsafe fn name<'a>(name: *const c_char) -> Result<&'a str> {
    if name.is_null() {
        return Err(Error::invalid("name is NULL"));
    }
    // SAFETY: the caller's contract.
    let text = unsafe { CStr::from_ptr(name) };
    text.to_str().map_err(|_| Error::invalid("name is not UTF-8"))
}

/// A place for one result. At any alignment; written at most when the call succeeds, but for
/// out-handles.
pub(super) struct Out<T> {
    at: *mut T,
}

impl<T> Out<T> {
    /// A result that the caller must take: NULL is `Invalid`.
    #[inline]
    pub(super) fn needed(at: *mut T, what: &str) -> Result<Self> {
        if at.is_null() {
            return Err(Error::invalid(format!("{what} is NULL")));
        }
        Ok(Self { at })
    }

    /// A result that the caller may refuse by NULL.
    #[inline]
    pub(super) fn wanted(at: *mut T) -> Self {
        Self { at }
    }

    /// Writes the result.
    ///
    /// # Safety
    /// The pointer is NULL or writable.
    #[inline]
    pub(super) unsafe fn set(&self, value: T) {
        if !self.at.is_null() {
            // SAFETY: the caller's contract.
            unsafe { self.at.write_unaligned(value) }
        }
    }
}

impl<T> Out<*mut T> {
    /// A place for a handle: NULL from now on, until a handle is written.
    ///
    /// # Safety
    /// `at` is NULL or writable.
    pub(super) unsafe fn handle(at: *mut *mut T, what: &str) -> Result<Self> {
        let out = Self::needed(at, what)?;
        // SAFETY: the caller's contract.
        unsafe { out.set(std::ptr::null_mut()) };
        Ok(out)
    }
}

/// Places for as many results as the caller asked for. At any alignment.
pub(super) struct OutArray<T> {
    at: *mut T,
    count: usize,
}

impl<T> OutArray<T> {
    /// `count` places at `at`; NULL only for none.
    pub(super) fn new(at: *mut T, count: usize, what: &str) -> Result<Self> {
        if at.is_null() && count != 0 {
            return Err(Error::invalid(format!("{what} is NULL")));
        }
        Ok(Self { at, count })
    }

    /// Writes result `i`, if there is such a place.
    ///
    /// # Safety
    /// All places are writable.
    #[inline]
    pub(super) unsafe fn set(&self, i: usize, value: T) {
        if i < self.count {
            // SAFETY: the caller's contract.
            unsafe { self.at.add(i).write_unaligned(value) }
        }
    }
}

/// Keys behind each other, told apart by where they end.
pub(super) struct PackedKeys<'a> {
    bytes: &'a [u8],
    ends: *const u32,
    count: usize,
}

impl<'a> PackedKeys<'a> {
    /// `count` keys in `data`, of which key i ends at `ends`\[i\].
    ///
    /// # Safety
    /// `ends` is NULL or `count` readable numbers at any alignment, `data` NULL or as many readable
    /// bytes as the last of them says; both for the length of the call.
    pub(super) unsafe fn new(data: *const c_void, ends: *const u32, count: usize) -> Result<Self> {
        if count > KEYS_MAX {
            return Err(Error::invalid(format!("n is {count}; the limit is {KEYS_MAX}")));
        }
        if ends.is_null() && count != 0 {
            return Err(Error::invalid("key_ends is NULL"));
        }
        let mut keys = Self { bytes: &[], ends, count };
        let mut start = 0;
        for i in 0..count {
            let end = keys.end(i);
            if end < start || end - start > KEY_BYTES_MAX {
                let text = format!("key {i} is from {start} to {end}; keys follow each other");
                return Err(Error::invalid(format!("{text}, up to {KEY_BYTES_MAX} bytes each")));
            }
            start = end;
        }
        if data.is_null() && start != 0 {
            return Err(Error::invalid(format!("keys is NULL but has {start} bytes")));
        }
        if start != 0 {
            // SAFETY: not NULL, and the caller promises that many bytes.
            keys.bytes = unsafe { slice::from_raw_parts(data.cast(), start) };
        }
        Ok(keys)
    }

    /// Key `i`; empty if there is none.
    #[inline]
    pub(super) fn get(&self, i: usize) -> &'a [u8] {
        let start = if i == 0 { 0 } else { self.end(i - 1) };
        self.bytes.get(start..self.end(i)).unwrap_or_default()
    }

    #[inline]
    fn end(&self, i: usize) -> usize {
        if i >= self.count {
            return 0;
        }
        // SAFETY: `new` has the caller's promise for `count` numbers.
        unsafe { self.ends.add(i).read_unaligned() as usize }
    }
}

/// The caller's buffer for bytes.
pub(super) struct Buffer {
    at: *mut u8,
    cap: usize,
    used: usize,
}

impl Buffer {
    /// `cap` bytes at `at`; NULL only with `cap` 0.
    #[inline]
    pub(super) fn new(at: *mut c_void, cap: usize) -> Result<Self> {
        if at.is_null() && cap != 0 {
            return Err(Error::invalid(format!("buf is NULL but its size is {cap}")));
        }
        Ok(Self { at: at.cast(), cap, used: 0 })
    }

    /// Whether the caller only asks for the size.
    #[inline]
    pub(super) fn is_query(&self) -> bool {
        self.at.is_null()
    }

    /// The buffer as a slice, cut to the longest value there is.
    ///
    /// # Safety
    /// The pointer is NULL or to `cap` bytes that nobody else uses during the call.
    #[inline]
    pub(super) unsafe fn as_slice(&mut self) -> &mut [u8] {
        if self.at.is_null() {
            return &mut [];
        }
        // SAFETY: the caller's contract; the length is below `isize::MAX`.
        unsafe { slice::from_raw_parts_mut(self.at, self.cap.min(VALUE_BYTES_MAX)) }
    }

    /// Appends all of `parts`, or nothing when they do not fit; tells which.
    ///
    /// # Safety
    /// As for [`as_slice`](Buffer::as_slice).
    pub(super) unsafe fn append(&mut self, parts: &[&[u8]]) -> bool {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes > self.cap - self.used {
            return false;
        }
        for part in parts {
            // SAFETY: the sum above fits, and the caller promises `cap` bytes. Parts are the
            // engine's memory, which the buffer does not overlap.
            unsafe { part.as_ptr().copy_to(self.at.add(self.used), part.len()) };
            self.used += part.len();
        }
        true
    }
}

/// Borrowed bytes for C; empty ones lie nowhere.
#[inline]
pub(super) fn lent(bytes: &[u8]) -> lsm_slice {
    let data = if bytes.is_empty() { std::ptr::null() } else { bytes.as_ptr() };
    lsm_slice { data, len: bytes.len() }
}
