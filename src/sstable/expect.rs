//! What a seek will read next, guessed before it is known, so that waits for memory overlap.
//!
//! Where a block lies is told by its slot, whose place is known only after a search in the index; so
//! the slots of all blocks that the search may find are asked for together with the index. A block's
//! length, behind whose end its search begins, is told by its first line; so the end is asked for where
//! blocks of the section end on the average. A wrong guess costs some lines that nobody reads.

use super::format::TRAILER_BYTES;
use super::index::{Index, WINDOW};
use super::properties::Properties;
use super::section::Section;
use crate::base::options::Compression;

/// Of one entry, behind the entries of a block: its place and its head.
const TAIL_BYTES_EACH: u64 = 6;
/// How much earlier or later than on the average the ends of most blocks begin.
const SPREAD_BYTES: u64 = 64;
/// Lines of the longest end that is asked for.
const LINES_MAX: u64 = 6;

/// Where the places and heads of a section's blocks lie on the average.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tail {
    at: usize,
    lines: usize,
}

impl Tail {
    /// Guesses.
    pub(super) fn new(properties: &Properties, index: &Index) -> Self {
        let blocks = (index.len() as u64).max(1);
        let bytes = match properties.options.compression {
            Compression::None => {
                (properties.data_bytes / blocks).saturating_sub(TRAILER_BYTES as u64)
            }
            Compression::Lz4 => u64::from(properties.options.block_bytes),
        };
        let tail = properties.meta.entries.div_ceil(blocks).saturating_mul(TAIL_BYTES_EACH);
        // In memory heads follow; the places are within the block.
        let at = bytes.saturating_sub(tail / 3).saturating_sub(SPREAD_BYTES);
        let lines = tail.saturating_add(2 * SPREAD_BYTES).div_ceil(64).min(LINES_MAX);
        // Hostile numbers are guesses like others, as long as they can be added to.
        let number = |n| u32::try_from(n).map_or(0, |n| n as usize);
        Self { at: number(at), lines: number(lines) }
    }
}

impl Section {
    /// Begins to bring into the cache what says where the blocks from `from` on are: those that a
    /// search in the index chooses from.
    #[inline]
    pub(super) fn expect_slots(&self, from: usize) {
        let page = self.index.page_near(from);
        for page in (page..=page.saturating_add(WINDOW)).step_by(4) {
            self.prefetch_page(page);
        }
    }

    /// Begins to bring into the cache what a search in block `i` reads, if it is resident. Where
    /// blocks have no such end nothing is asked for.
    #[inline]
    pub(super) fn expect_ends(&self, i: usize) {
        if let (Some(page), None) = (self.index.first_page(i), &self.spots) {
            self.slots.prefetch_parts(page, self.tail.at, self.tail.lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KeyspaceId;
    use crate::base::meta::SectionMeta;
    use crate::base::options::KeyspaceOptions;
    use crate::sstable::index::IndexBuilder;

    #[test]
    fn the_ends_of_blocks_are_guessed_from_their_average() {
        const BLOCKS: u32 = 100;
        const BYTES: u64 = 4000;
        let mut builder = IndexBuilder::default();
        for i in 0..BLOCKS {
            let key = format!("{i:04}");
            let offset = u64::from(i) * (BYTES + TRAILER_BYTES as u64);
            builder.add(offset, i, (key.as_bytes(), 1), None);
        }
        let data_bytes = u64::from(BLOCKS) * (BYTES + TRAILER_BYTES as u64);
        let bytes = builder.encode(data_bytes, BLOCKS).into_boxed_slice();
        let Some(index) = Index::decode(bytes, data_bytes, 4096) else { panic!("it is one") };
        let (smallest, largest) = (b"0000".to_vec(), b"0099".to_vec());
        let meta = SectionMeta {
            keyspace: KeyspaceId::DEFAULT,
            smallest,
            largest,
            smallest_number: 1,
            largest_number: 9,
            entries: 30 * u64::from(BLOCKS),
            tombstones: 0,
            bytes: data_bytes,
            raw_bytes: data_bytes,
        };
        let options =
            KeyspaceOptions { compression: Compression::None, ..KeyspaceOptions::default() };
        let (index_bytes, hash_bytes, filter_bytes) = (1, 0, 0);
        let (keys, filter_probes, place_bits) = (1, 0, 0);
        let mut properties = Properties {
            meta,
            options,
            keys,
            filter_probes,
            place_bits,
            data_bytes,
            index_bytes,
            hash_bytes,
            filter_bytes,
        };
        // 60 bytes of places within the block and 120 of heads behind it.
        let tail = Tail::new(&properties, &index);
        assert!(tail.at <= 4000 - 60 && tail.at + 64 * tail.lines >= 4120, "{tail:?}");
        assert!(tail.lines <= 5, "{tail:?}");
        // What is compressed has the length that was wished, about.
        properties.options.compression = Compression::Lz4;
        let tail = Tail::new(&properties, &index);
        assert!(tail.at <= 4096 - 60 && tail.at + 64 * tail.lines >= 4216, "{tail:?}");
    }
}
