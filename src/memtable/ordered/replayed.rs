//! A memtable built in bulk from replayed records, for recovery and for reading only.
//!
//! Everything is parsed and sorted once; there is no list and no hash table. It never changes, so
//! any number of threads read it.

use std::sync::Arc;

use crate::base::{Error, ErrorKind, KeyspaceId, Lsn, Result};

use super::MemCursor;
use super::key::SortKey;
use super::run::Run;
use super::source::{Source, keyspaces_of};
use crate::memtable::MemFound;
use crate::memtable::layout::{self, LINK_BYTES};

/// The entries of replayed records, sorted.
pub(crate) struct Replayed {
    /// The entries' bytes, as in the log. The sort keys of `run` point into them (M1); they are
    /// never changed.
    _records: Vec<Vec<u8>>,
    run: Arc<Run>,
}

impl Replayed {
    /// Sorts the entries of records, each given by its LSN and the bytes behind its header.
    ///
    /// # Errors
    /// `Corrupt` if bytes are not whole entries; the offset is the LSN of the record.
    pub(crate) fn build(records: Vec<(Lsn, Vec<u8>)>) -> Result<Self> {
        let mut keys = Vec::new();
        for (lsn, bytes) in &records {
            let mut rest = bytes.as_slice();
            let mut number = lsn.0;
            while !rest.is_empty() {
                let entry = layout::checked(rest).ok_or_else(|| {
                    let text = format!("entry {number} of the record at LSN {lsn} is malformed");
                    Error::new(ErrorKind::Corrupt, text).at(0, lsn.0)
                })?;
                let (whole, behind) = rest.split_at(entry.entry_bytes());
                // SAFETY: `checked` says that a whole valid operation lies in `whole`; moving the
                // vectors does not move their bytes, and `Replayed` owns both (M1).
                keys.push(unsafe { SortKey::of(whole.as_ptr().add(LINK_BYTES), number) });
                rest = behind;
                number += 1;
            }
        }
        keys.sort_unstable();
        let records = records.into_iter().map(|(_, bytes)| bytes).collect();
        Ok(Self { _records: records, run: Arc::new(Run::of_sorted(keys)) })
    }

    /// The newest entry of `key` numbered below `below`.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8], below: Lsn) -> Option<MemFound<'_>> {
        let probe = SortKey::probe(keyspace, key, below.0.checked_sub(1)?);
        let found = self.run.keys.get(self.run.lower_bound(&probe))?;
        // SAFETY: it is no probe, and the records live as long as what is returned (M1).
        found.same_key(&probe).then(|| unsafe { found.entry() }.into())
    }

    /// An unpositioned cursor over the entries of a keyspace numbered below `below`.
    pub(crate) fn cursor(self: &Arc<Self>, keyspace: KeyspaceId, below: Lsn) -> MemCursor {
        MemCursor::new(Arc::clone(self) as _, keyspace, below.0, self.sources())
    }

    /// The keyspaces that have entries numbered below `below`, ascending.
    pub(crate) fn keyspaces(&self, below: Lsn) -> Vec<KeyspaceId> {
        keyspaces_of(self.sources(), below)
    }

    fn sources(&self) -> Vec<Source> {
        vec![Source::of_run(&self.run)]
    }
}
