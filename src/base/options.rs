//! Options as the engine takes them, already checked for type; ranges are checked at open.
//!
//! Zero means "default" only in the C structs; here every field has its final value.

/// How a block is stored. The numbers are on disk and in the C API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub(crate) enum Compression {
    /// As it is.
    None = 1,
    /// LZ4 block format.
    Lz4 = 2,
}

/// What a write survives. The numbers are in the C API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub(crate) enum Durability {
    /// No log: lost with the process unless flushed.
    None = 1,
    /// The death of the process.
    Buffer = 2,
    /// Power loss.
    Sync = 3,
}

/// Where the log of ordinary writes goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) enum LogMode {
    /// Mapped on ext4 and tmpfs, written elsewhere.
    Auto,
    /// Always by `pwrite`.
    Written,
}

/// What the environment shares between its databases.
#[derive(Clone, Debug)]
pub(crate) struct EnvOptions {
    /// Background threads, 1 to 64. Default: 2.
    pub(crate) threads: u32,
    /// Bytes for write buffers, cache, filters and indexes together. Default: 512 MiB.
    pub(crate) memory_budget_bytes: u64,
    /// Bytes a second that flush and compaction may write; 0 is no limit.
    pub(crate) io_bytes_per_sec: u64,
}

impl Default for EnvOptions {
    fn default() -> Self {
        Self { threads: 2, memory_budget_bytes: 512 << 20, io_bytes_per_sec: 0 }
    }
}

/// How one database is opened.
#[allow(clippy::struct_excessive_bools, reason = "they are the flags of the C API")]
#[derive(Clone, Debug)]
pub(crate) struct OpenOptions {
    /// Take a shared lock, replay in memory, write nothing.
    pub(crate) read_only: bool,
    /// Fail when the database is absent.
    pub(crate) must_exist: bool,
    /// Fail when the database is present.
    pub(crate) must_not_exist: bool,
    /// For writes that name no durability.
    pub(crate) durability: Durability,
    /// Bytes that are collected before they become a table; from 16 MiB on in four parts. A part is a
    /// generation: one log segment and one memtable. Default: 64 MiB.
    pub(crate) write_buffer_bytes: u64,
    /// Refuse writes when fewer bytes are free on the file system. Default: 0.
    pub(crate) low_space_bytes: u64,
    /// Mapped or written log.
    pub(crate) log_mode: LogMode,
    /// Read uncompressed blocks of tables where they lie in the page cache. Default: no.
    pub(crate) mapped_reads: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            must_exist: false,
            must_not_exist: false,
            durability: Durability::Buffer,
            write_buffer_bytes: 64 << 20,
            low_space_bytes: 0,
            log_mode: LogMode::Auto,
            mapped_reads: false,
        }
    }
}

/// How the tables of one keyspace are written. Stored in the manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyspaceOptions {
    /// How blocks are compressed. Default: LZ4.
    pub(crate) compression: Compression,
    /// Tenths of filter bits for each key; 0 is no filter. Default: 100 (about 1 % false positives).
    pub(crate) filter_bits_x10: u32,
    /// Logical bytes of one data block, 64 to 1 MiB. Default: 4096.
    pub(crate) block_bytes: u32,
    /// Whether tables carry a hash index for point reads. Default: yes.
    pub(crate) hash_index: bool,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Lz4,
            filter_bits_x10: 100,
            block_bytes: 4096,
            hash_index: true,
        }
    }
}
