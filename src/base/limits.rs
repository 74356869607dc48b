//! Hard limits, each with its reason.

/// Longest key in bytes: the API promises it, and block heads store 16-bit lengths.
pub(crate) const KEY_BYTES_MAX: usize = 65_535;
/// Longest value in bytes (1 GiB): a value must fit one generation whose places are 32-bit.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 30;
/// Longest packed batch in bytes (1 GiB), for the same reason.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 30;
/// Longest keyspace name in bytes.
pub(crate) const KEYSPACE_NAME_BYTES_MAX: usize = 255;
/// Smallest write buffer in bytes that an option may ask for.
pub(crate) const WRITE_BUFFER_BYTES_MIN: u64 = 4 << 10;
/// Largest write buffer in bytes that an option may ask for.
pub(crate) const WRITE_BUFFER_BYTES_MAX: u64 = 1 << 30;
/// Levels of the tree.
pub(crate) const LEVEL_COUNT: usize = 7;
/// Positions stay below this, so that the top bit of a word can mark it sealed.
pub(crate) const LSN_MAX: u64 = 1 << 62;
