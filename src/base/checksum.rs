//! The one checksum of every format: CRC-32 (IEEE) by crc32fast.

/// CRC-32 of `bytes`, continued from `seed` (0 to begin).
///
/// Seeding with a per-file salt makes a valid block of another file invalid here.
pub(crate) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}
