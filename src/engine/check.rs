//! Options are checked once, at open: every range is said in the error.

use crate::base::limits::{
    KEYSPACE_NAME_BYTES_MAX, WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_BYTES_MIN,
};
use crate::base::options::{EnvOptions, KeyspaceOptions, OpenOptions};
use crate::base::{Error, Result};

/// Smallest memory budget in bytes.
const MEMORY_BUDGET_BYTES_MIN: u64 = 64 << 10;
/// Most background threads.
const THREADS_MAX: u32 = 64;
/// Most filter bits for a key, in tenths.
const FILTER_BITS_X10_MAX: u32 = 640;
/// Block sizes in bytes.
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 64..=1 << 20;

/// Checks what an environment is made with.
pub(super) fn env(options: &EnvOptions) -> Result<()> {
    if options.threads == 0 || options.threads > THREADS_MAX {
        return Err(Error::invalid(format!(
            "threads is {}; it must be 1 to {THREADS_MAX}",
            options.threads
        )));
    }
    if options.memory_budget_bytes < MEMORY_BUDGET_BYTES_MIN {
        return Err(Error::invalid(format!(
            "memory_budget is {} bytes; it must be at least {MEMORY_BUDGET_BYTES_MIN}",
            options.memory_budget_bytes
        )));
    }
    Ok(())
}

/// Checks what a database is opened with, against its environment.
pub(super) fn open(options: &OpenOptions, env: &EnvOptions) -> Result<()> {
    let bytes = options.write_buffer_bytes;
    if !(WRITE_BUFFER_BYTES_MIN..=WRITE_BUFFER_BYTES_MAX).contains(&bytes) {
        return Err(Error::invalid(format!(
            "write_buffer_bytes is {bytes}; it must be {WRITE_BUFFER_BYTES_MIN} to {WRITE_BUFFER_BYTES_MAX}"
        )));
    }
    if bytes > env.memory_budget_bytes / 2 {
        return Err(Error::invalid(format!(
            "write_buffer_bytes is {bytes}, above half of the memory budget of {} bytes",
            env.memory_budget_bytes
        )));
    }
    if options.must_exist && options.must_not_exist {
        return Err(Error::invalid("a database cannot be asked to exist and not to exist"));
    }
    if options.read_only && options.must_not_exist {
        return Err(Error::invalid("a read-only open cannot create a database"));
    }
    Ok(())
}

/// Checks a keyspace's name.
pub(super) fn keyspace_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > KEYSPACE_NAME_BYTES_MAX || name.contains('\0') {
        return Err(Error::invalid(format!(
            "a keyspace name has 1 to {KEYSPACE_NAME_BYTES_MAX} bytes and no NUL"
        )));
    }
    Ok(())
}

/// Checks how a keyspace's tables are written.
pub(super) fn keyspace(options: &KeyspaceOptions) -> Result<()> {
    if options.filter_bits_x10 > FILTER_BITS_X10_MAX {
        return Err(Error::invalid(format!(
            "filter_bits_x10 is {}; it must be at most {FILTER_BITS_X10_MAX}",
            options.filter_bits_x10
        )));
    }
    if !BLOCK_BYTES.contains(&options.block_bytes) {
        return Err(Error::invalid(format!(
            "block_bytes is {}; it must be {} to {}",
            options.block_bytes,
            BLOCK_BYTES.start(),
            BLOCK_BYTES.end()
        )));
    }
    Ok(())
}
