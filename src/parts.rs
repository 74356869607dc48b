//! All parts of the engine that can be measured, for `benches/parts` and nobody else.
//!
//! Built with the feature `parts`, which no user needs: nothing here is part of the interface. Each
//! module defines its own parts; a test runs each of them with little data and asks whether all
//! operations came out right, so that a benchmark cannot measure nothing.

pub use crate::base::part::{Part, Work};

/// Every part, the whole operations last.
pub fn all() -> impl Iterator<Item = &'static Part> {
    let modules: [&'static [Part]; 9] = [
        crate::mem::parts::PARTS,
        crate::vfs::parts::PARTS,
        crate::record::parts::PARTS,
        crate::batch::parts::PARTS,
        crate::wal::parts::PARTS,
        crate::memtable::parts::PARTS,
        crate::engine::parts::PARTS,
        crate::cache::parts::PARTS,
        crate::sstable::parts::PARTS,
    ];
    modules.into_iter().flatten().chain(crate::capi::parts::PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_of_every_part_comes_out_right() {
        for part in all() {
            let entries = part.entries.min(2_000);
            let mut work = (part.make)(entries);
            for run in 0..3 {
                work.ready();
                assert_eq!(work.run(), (part.count)(entries), "{}, run {run}", part.label());
            }
        }
    }

    #[test]
    fn parts_have_names_of_one_word_each_its_own() {
        let labels: Vec<String> = all().map(Part::label).collect();

        let different: BTreeSet<&String> = labels.iter().collect();

        assert_eq!(different.len(), labels.len(), "{labels:?}");
        assert!(labels.iter().all(|label| !label.contains(char::is_whitespace)), "{labels:?}");
    }
}
