//! The part of `lsmer.h` that is used here, as this program has to know it.

use std::ffi::{c_char, c_void};
use std::ptr::null;

pub(super) type Handle = *mut c_void;
pub(super) type Rc = i32;

pub(super) const OK: Rc = 0;
pub(super) const NOT_FOUND: Rc = 1;
pub(super) const END: Rc = 2;
pub(super) const BUFFER_SMALL: Rc = 3;

#[repr(C)]
pub(super) struct Error {
    pub(super) struct_size: u32,
    pub(super) code: i32,
    pub(super) os_errno: i32,
    pub(super) flags: u32,
    pub(super) file_id: u64,
    pub(super) offset: u64,
    pub(super) detail0: u64,
    pub(super) message: [c_char; 216],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Slice {
    pub(super) data: *const u8,
    pub(super) len: usize,
}

pub(super) const NOTHING: Slice = Slice { data: null(), len: 0 };

#[repr(C)]
#[derive(Default)]
pub(super) struct EnvOpts {
    pub(super) struct_size: u32,
    pub(super) threads: u32,
    pub(super) memory_budget: u64,
    pub(super) io_bytes_per_sec: u64,
    pub(super) max_open_files: u64,
    pub(super) flags: u32,
    pub(super) reserved: u32,
}

#[repr(C)]
pub(super) struct OpenOpts {
    pub(super) struct_size: u32,
    pub(super) flags: u32,
    pub(super) env: Handle,
    pub(super) durability: u32,
    pub(super) format: u32,
    pub(super) write_buffer_bytes: u64,
    pub(super) feed_retain_bytes: u64,
    pub(super) feed_retain_secs: u64,
    pub(super) low_space_bytes: u64,
    pub(super) hooks: *const c_void,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct KsOpts {
    pub(super) struct_size: u32,
    pub(super) flags: u32,
    pub(super) comparator: u32,
    pub(super) merge: u32,
    pub(super) compression: u32,
    pub(super) compaction: u32,
    pub(super) filter_bits_x10: u32,
    pub(super) block_bytes: u32,
    pub(super) blob_threshold: u64,
    pub(super) default_ttl_secs: u64,
}

#[repr(C)]
pub(super) struct WriteOpts {
    pub(super) struct_size: u32,
    pub(super) flags: u32,
    pub(super) txn: Handle,
    pub(super) deadline_ns: u64,
    pub(super) ttl_secs: u64,
    pub(super) durability: u32,
    pub(super) reserved: u32,
}

pub(super) const BUFFER: u32 = 2;
pub(super) const SYNC: u32 = 3;

pub(super) type Err = *mut Error;
pub(super) type Bytes = *const u8;
pub(super) type MultiGet = unsafe extern "C" fn(
    Handle,
    Handle,
    *const c_void,
    Bytes,
    *const u32,
    usize,
    *mut u8,
    usize,
    *mut u64,
    *mut Rc,
    *mut usize,
    Err,
) -> Rc;
