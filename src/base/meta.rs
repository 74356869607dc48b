//! What is known of a table without opening it: the manifest stores it, versions hold it.

use super::{FileNumber, KeyspaceId};

/// One table file as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileMeta {
    /// The number in its name.
    pub(crate) number: FileNumber,
    /// Random; every block's checksum is bound to it, so that swapped files are found.
    pub(crate) file_id: u64,
    /// Length of the file in bytes.
    pub(crate) file_bytes: u64,
}

/// One keyspace's part of a table file, complete in itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SectionMeta {
    /// Whose entries these are.
    pub(crate) keyspace: KeyspaceId,
    /// Smallest user key.
    pub(crate) smallest: Vec<u8>,
    /// Largest user key (range tombstone ends count once they exist).
    pub(crate) largest: Vec<u8>,
    /// Lowest entry number.
    pub(crate) smallest_number: u64,
    /// Highest entry number.
    pub(crate) largest_number: u64,
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Deletes among them.
    pub(crate) tombstones: u64,
    /// Bytes of the section in the file.
    pub(crate) bytes: u64,
    /// Bytes of keys and values before compression.
    pub(crate) raw_bytes: u64,
}

/// A finished table: the file and its sections, in ascending order of keyspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableMeta {
    /// The file.
    pub(crate) file: FileMeta,
    /// Its sections.
    pub(crate) sections: Vec<SectionMeta>,
}
