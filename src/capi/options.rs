//! Option structs from C, turned into the engine's options.
//!
//! A struct begins with its size, so that it can grow: a longer one of a newer header is taken if
//! all that this version does not know is zero. Fields of features that are not built must be
//! zero too. Structs are copied before anything is looked at.

use super::constants::{
    LSM_C_LZ4, LSM_C_NONE, LSM_D_BUFFER, LSM_D_NONE, LSM_D_SYNC, LSM_FILTER_NONE, LSM_K_BYTES,
    LSM_O_MAPPED_READS, LSM_O_MUST_EXIST, LSM_O_MUST_NOT_EXIST, LSM_O_READ_ONLY, LSM_O_WRITTEN_LOG,
    LSM_R_KEYS_ONLY, LSM_R_PREFIX, LSM_W_NOSTALL,
};
use super::handle::{Call, DbObject};
use super::types::{
    lsm_env_opts, lsm_health, lsm_hooks, lsm_ks_opts, lsm_open_opts, lsm_read_opts, lsm_write_opts,
};
use crate::base::options::{
    Compression, Durability, EnvOptions, KeyspaceOptions, LogMode, OpenOptions,
};
use crate::base::{Error, Result};
use crate::engine::{ReadOptions, WriteOptions};

/// No struct of this API will ever be longer, in bytes.
const STRUCT_BYTES_MAX: usize = 4096;

/// A struct that begins with `uint32_t struct_size` and is valid when all bytes are zero.
///
/// # Safety
/// Every bit pattern is a valid value, and the first four bytes are `struct_size`.
pub(super) unsafe trait Sized32: Copy {
    /// The C name.
    const NAME: &'static str;
}

macro_rules! sized {
    ($($name:ident)*) => {$(
        // SAFETY: integers, pointers and optional function pointers, which are never called
        // without the caller's promise; `struct_size` comes first.
        unsafe impl Sized32 for $name {
            const NAME: &'static str = stringify!($name);
        }
    )*};
}

sized! { lsm_env_opts lsm_open_opts lsm_ks_opts lsm_read_opts lsm_write_opts lsm_hooks lsm_health }

/// Copies a struct out of the caller's memory; none for NULL.
///
/// Errors: `Invalid` when `struct_size` is too small or absurd, `Unsupported` when a part that
/// this version does not know is not zero.
///
/// # Safety
/// `at` is NULL or points to four readable bytes and then as many as they say.
#[inline]
pub(super) unsafe fn read<T: Sized32>(at: *const T) -> Result<Option<T>> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's contract.
    let size = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    let known = size_of::<T>();
    if size < known || size > STRUCT_BYTES_MAX {
        let text = format!("{}.struct_size is {size}; expected at least {known}", T::NAME);
        return Err(Error::invalid(text));
    }
    if size > known {
        // SAFETY: the caller's contract.
        let tail = unsafe { std::slice::from_raw_parts(at.cast::<u8>().add(known), size - known) };
        if tail.iter().any(|&byte| byte != 0) {
            let text = format!("{} sets fields that this version does not know", T::NAME);
            return Err(Error::unsupported(text));
        }
    }
    // SAFETY: the caller's contract; every bit pattern is a value.
    Ok(Some(unsafe { at.read_unaligned() }))
}

/// Checks `struct_size` of a struct that is an output.
///
/// # Safety
/// As for [`read`], and writable.
pub(super) unsafe fn check_output<T: Sized32>(at: *const T) -> Result<u32> {
    if at.is_null() {
        return Err(Error::invalid(format!("{} is NULL", T::NAME)));
    }
    // SAFETY: the caller's contract.
    let size = unsafe { at.cast::<u32>().read_unaligned() };
    let known = size_of::<T>();
    if (size as usize) < known || size as usize > STRUCT_BYTES_MAX {
        let text = format!("{}.struct_size is {size}; expected at least {known}", T::NAME);
        return Err(Error::invalid(text));
    }
    Ok(size)
}

/// `Unsupported`, naming the field, unless every field is zero.
macro_rules! must_be_zero {
    ($options:ident: $type:ident, $($field:ident)*) => {$(
        if $options.$field != 0 {
            return Err(not_built(concat!(stringify!($type), ".", stringify!($field))));
        }
    )*};
}

/// As `must_be_zero`, for pointers.
macro_rules! must_be_null {
    ($options:ident: $type:ident, $($field:ident)*) => {$(
        if !$options.$field.is_null() {
            return Err(not_built(concat!(stringify!($type), ".", stringify!($field))));
        }
    )*};
}

#[cold]
fn not_built(field: &str) -> Error {
    Error::unsupported(format!("{field} is not supported by this version; leave it 0"))
}

fn flags(set: u32, known: u32, field: &str) -> Result<u32> {
    if set & !known != 0 {
        let text = format!("{field} has bits {:#x} that this version does not know", set & !known);
        return Err(Error::unsupported(text));
    }
    Ok(set)
}

fn durability(number: u32, field: &str) -> Result<Option<Durability>> {
    match number {
        0 => Ok(None),
        LSM_D_NONE => Ok(Some(Durability::None)),
        LSM_D_BUFFER => Ok(Some(Durability::Buffer)),
        LSM_D_SYNC => Ok(Some(Durability::Sync)),
        _ => Err(Error::invalid(format!("{field} is {number}; use an LSM_D_ constant"))),
    }
}

/// The engine's options for an environment.
pub(super) fn env(options: Option<lsm_env_opts>) -> Result<EnvOptions> {
    let mut out = EnvOptions::default();
    let Some(o) = options else { return Ok(out) };
    must_be_zero!(o: lsm_env_opts, max_open_files flags reserved);
    if o.threads > 64 {
        return Err(Error::invalid(format!("lsm_env_opts.threads is {}; at most 64", o.threads)));
    }
    if o.threads != 0 {
        out.threads = o.threads;
    }
    if o.memory_budget != 0 {
        out.memory_budget_bytes = o.memory_budget;
    }
    out.io_bytes_per_sec = o.io_bytes_per_sec;
    Ok(out)
}

/// The engine's options for a database. Environment and hooks are the caller's business.
/// `budget_bytes` is the environment's.
pub(super) fn open(options: Option<&lsm_open_opts>, budget_bytes: u64) -> Result<OpenOptions> {
    let mut out = OpenOptions::default();
    out.write_buffer_bytes = out.write_buffer_bytes.min((budget_bytes / 2) & !4095);
    let Some(o) = options else { return Ok(out) };
    must_be_zero!(o: lsm_open_opts, format feed_retain_bytes feed_retain_secs);
    let known = LSM_O_READ_ONLY | LSM_O_MUST_EXIST | LSM_O_MUST_NOT_EXIST | LSM_O_WRITTEN_LOG;
    let flags = flags(o.flags, known | LSM_O_MAPPED_READS, "lsm_open_opts.flags")?;
    out.mapped_reads = flags & LSM_O_MAPPED_READS != 0;
    out.read_only = flags & LSM_O_READ_ONLY != 0;
    out.must_exist = flags & LSM_O_MUST_EXIST != 0;
    out.must_not_exist = flags & LSM_O_MUST_NOT_EXIST != 0;
    if out.must_not_exist && (out.must_exist || out.read_only) {
        return Err(Error::invalid("lsm_open_opts.flags contradict each other"));
    }
    if flags & LSM_O_WRITTEN_LOG != 0 {
        out.log_mode = LogMode::Written;
    }
    if let Some(durability) = durability(o.durability, "lsm_open_opts.durability")? {
        out.durability = durability;
    }
    if o.write_buffer_bytes != 0 {
        out.write_buffer_bytes = o.write_buffer_bytes;
    }
    out.low_space_bytes = o.low_space_bytes;
    Ok(out)
}

/// `Unsupported` when hooks ask for more than a log.
pub(super) fn check_hooks(o: &lsm_hooks) -> Result<()> {
    must_be_zero!(o: lsm_hooks, flags);
    must_be_null!(o: lsm_hooks, vfs compare_name merge_name);
    let unbuilt = [
        (o.compare.is_some(), "lsm_hooks.compare"),
        (o.merge.is_some(), "lsm_hooks.merge"),
        (o.filter.is_some(), "lsm_hooks.filter"),
        (o.get_key.is_some(), "lsm_hooks.get_key"),
    ];
    match unbuilt.iter().find(|(set, _)| *set) {
        Some((_, field)) => Err(not_built(field)),
        None => Ok(()),
    }
}

/// The engine's options for a keyspace.
pub(super) fn keyspace(o: &lsm_ks_opts) -> Result<KeyspaceOptions> {
    must_be_zero!(o: lsm_ks_opts, flags merge compaction blob_threshold default_ttl_secs);
    let mut out = KeyspaceOptions::default();
    if o.comparator != 0 && o.comparator != LSM_K_BYTES {
        return Err(not_built("lsm_ks_opts.comparator"));
    }
    match o.compression {
        0 => {}
        LSM_C_NONE => out.compression = Compression::None,
        LSM_C_LZ4 => out.compression = Compression::Lz4,
        _ => return Err(not_built("lsm_ks_opts.compression")),
    }
    match o.filter_bits_x10 {
        0 => {}
        LSM_FILTER_NONE => out.filter_bits_x10 = 0,
        bits @ 1..=640 => out.filter_bits_x10 = bits,
        bits => {
            let text = format!("lsm_ks_opts.filter_bits_x10 is {bits}; at most 640");
            return Err(Error::invalid(text));
        }
    }
    match o.block_bytes {
        0 => {}
        bytes @ 64..=0x10_0000 => out.block_bytes = bytes,
        bytes => {
            let text = format!("lsm_ks_opts.block_bytes is {bytes}; 64 to 1048576");
            return Err(Error::invalid(text));
        }
    }
    Ok(out)
}

/// The engine's options for a write, read from the caller's memory.
///
/// # Safety
/// As for [`read`].
#[inline]
pub(super) unsafe fn write(at: *const lsm_write_opts) -> Result<WriteOptions> {
    // SAFETY: the caller's contract.
    let Some(o) = (unsafe { read(at) })? else { return Ok(WriteOptions::default()) };
    must_be_null!(o: lsm_write_opts, txn);
    must_be_zero!(o: lsm_write_opts, ttl_secs reserved);
    let flags = flags(o.flags, LSM_W_NOSTALL, "lsm_write_opts.flags")?;
    Ok(WriteOptions {
        durability: durability(o.durability, "lsm_write_opts.durability")?,
        no_stall: flags & LSM_W_NOSTALL != 0,
        deadline_ns: o.deadline_ns,
    })
}

/// The engine's options for a point read of `db`, read from the caller's memory.
///
/// # Safety
/// As for [`read`].
#[inline]
pub(super) unsafe fn point_read(
    call: &Call,
    db: &DbObject,
    at: *const lsm_read_opts,
) -> Result<ReadOptions> {
    if at.is_null() {
        return Ok(ReadOptions::default());
    }
    // SAFETY: the caller's contract.
    unsafe { given_point_read(call, db, at) }
}

/// The same for options that were given.
///
/// # Safety
/// As for [`read`].
unsafe fn given_point_read(
    call: &Call,
    db: &DbObject,
    at: *const lsm_read_opts,
) -> Result<ReadOptions> {
    // SAFETY: the caller's contract.
    let Some(o) = (unsafe { read(at) })? else { return Ok(ReadOptions::default()) };
    if o.flags & (LSM_R_PREFIX | LSM_R_KEYS_ONLY) != 0 {
        return Err(Error::invalid("lsm_read_opts.flags are for scans only"));
    }
    any_read(call, db, &o)
}

/// The engine's options for a scan of `db`, and whether `lo` is a prefix.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe fn range_read(
    call: &Call,
    db: &DbObject,
    at: *const lsm_read_opts,
) -> Result<(ReadOptions, bool)> {
    // SAFETY: the caller's contract.
    let Some(o) = (unsafe { read(at) })? else { return Ok((ReadOptions::default(), false)) };
    Ok((any_read(call, db, &o)?, o.flags & LSM_R_PREFIX != 0))
}

fn any_read(call: &Call, db: &DbObject, o: &lsm_read_opts) -> Result<ReadOptions> {
    must_be_null!(o: lsm_read_opts, txn);
    must_be_zero!(o: lsm_read_opts, deadline_ns max_tombstones max_bytes);
    let flags = flags(o.flags, LSM_R_PREFIX | LSM_R_KEYS_ONLY, "lsm_read_opts.flags")?;
    let mut out = ReadOptions { keys_only: flags & LSM_R_KEYS_ONLY != 0, ..ReadOptions::default() };
    if !o.snap.is_null() {
        out.snapshot = Some(call.snapshot(db, o.snap)?);
    }
    Ok(out)
}
