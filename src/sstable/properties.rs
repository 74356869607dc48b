//! The properties of a section: its options, its parts' lengths, and what is in it.
//!
//! The field table is in `docs/format.md`. Pure encoding, no I/O.

use crate::base::coding::{Decoder, Put};
use crate::base::meta::SectionMeta;
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{Error, ErrorKind, KeyspaceId, Result};

/// Keys order by their bytes.
const COMPARATOR_BYTES: u16 = 1;
const COMPARATOR_BYTES_NAME: &[u8] = b"lsmer.bytes";

/// Smallest and largest `block_bytes` that a section may have.
pub(super) const BLOCK_BYTES_RANGE: std::ops::RangeInclusive<u32> = 64..=1 << 20;

/// Everything that is known of a section without reading its blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Properties {
    /// `bytes` is not stored here: the directory tells it.
    pub(super) meta: SectionMeta,
    pub(super) options: KeyspaceOptions,
    /// Distinct keys.
    pub(super) keys: u64,
    /// Probes of the filter, 0 without one.
    pub(super) filter_probes: u8,
    /// Bits of a place in the hash index, 0 without one.
    pub(super) place_bits: u8,
    /// Length of all data blocks, trailers included.
    pub(super) data_bytes: u64,
    /// Stored lengths without trailer; 0 is no such part (and no trailer either).
    pub(super) index_bytes: u32,
    /// As above.
    pub(super) hash_bytes: u32,
    /// As above.
    pub(super) filter_bytes: u32,
}

/// Encodes the properties block.
pub(super) fn encode(properties: &Properties) -> Vec<u8> {
    let Properties { meta, options, .. } = properties;
    let mut out = Vec::new();
    out.put_u32(meta.keyspace.0);
    out.put_u16(COMPARATOR_BYTES);
    out.put_u8(options.compression as u8);
    out.put_u8(u8::from(options.hash_index));
    out.put_u32(options.block_bytes);
    out.put_u32(options.filter_bits_x10);
    out.put_u8(properties.filter_probes);
    out.put_u8(properties.place_bits);
    out.put_u16(0);
    // Kept: dictionary id, encryption key id, length of the range tombstone block.
    out.put_u32(0);
    out.put_u32(0);
    out.put_u32(0);
    out.put_u64(properties.data_bytes);
    out.put_u32(properties.index_bytes);
    out.put_u32(properties.hash_bytes);
    out.put_u32(properties.filter_bytes);
    out.put_u32(0);
    out.put_u64(meta.smallest_number);
    out.put_u64(meta.largest_number);
    out.put_u64(meta.entries);
    out.put_u64(meta.tombstones);
    out.put_u64(meta.raw_bytes);
    out.put_u64(properties.keys);
    out.put_bytes(COMPARATOR_BYTES_NAME);
    out.put_bytes(&meta.smallest);
    out.put_bytes(&meta.largest);
    out
}

/// What the fields at the front say before anything is believed.
struct Front {
    comparator: u16,
    reserved: u32,
    kept: [u32; 3],
    comparator_name: Vec<u8>,
}

/// Reads the properties of a section that is `bytes` bytes long. `Ok(None)` if they contradict
/// themselves; `Format` for a feature that this version does not know.
pub(super) fn decode(block: &[u8], bytes: u64, name: &str) -> Result<Option<Properties>> {
    let Some((front, properties)) = decode_fields(block, bytes) else { return Ok(None) };
    if front.kept != [0; 3] {
        let text = "has a section with a dictionary, encryption or range tombstones";
        return Err(Error::new(ErrorKind::Format, format!("{name} {text}; use a newer lsmer")));
    }
    if front.comparator != COMPARATOR_BYTES || front.comparator_name != COMPARATOR_BYTES_NAME {
        return Err(Error::unsupported(format!(
            "{name} is sorted by comparator {} ({}), which this lsmer does not have",
            front.comparator,
            String::from_utf8_lossy(&front.comparator_name)
        )));
    }
    Ok((front.reserved == 0).then_some(properties))
}

fn decode_fields(block: &[u8], bytes: u64) -> Option<(Front, Properties)> {
    let mut d = Decoder::new(block);
    let keyspace = KeyspaceId(d.u32()?);
    let comparator = d.u16()?;
    let compression = match d.u8()? {
        1 => Compression::None,
        2 => Compression::Lz4,
        _ => return None,
    };
    let hash_index = match d.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let block_bytes = d.u32()?;
    let filter_bits_x10 = d.u32()?;
    let (filter_probes, place_bits) = (d.u8()?, d.u8()?);
    let mut reserved = u32::from(d.u16()?);
    let kept = [d.u32()?, d.u32()?, d.u32()?];
    let data_bytes = d.u64()?;
    let (index_bytes, hash_bytes, filter_bytes) = (d.u32()?, d.u32()?, d.u32()?);
    reserved |= d.u32()?;
    let (smallest_number, largest_number) = (d.u64()?, d.u64()?);
    let (entries, tombstones, raw_bytes, keys) = (d.u64()?, d.u64()?, d.u64()?, d.u64()?);
    let comparator_name = d.bytes()?.to_vec();
    let (smallest, largest) = (d.bytes()?.to_vec(), d.bytes()?.to_vec());
    let consistent = d.is_empty()
        && BLOCK_BYTES_RANGE.contains(&block_bytes)
        && block_bytes % 8 == 0
        && smallest <= largest
        && smallest_number <= largest_number
        && (1..=entries).contains(&keys)
        && tombstones <= entries
        && index_bytes > 0
        && (hash_bytes == 0) == (place_bits == 0)
        && (filter_bytes == 0) == (filter_probes == 0);
    if !consistent {
        return None;
    }
    let options = KeyspaceOptions { compression, filter_bits_x10, block_bytes, hash_index };
    let meta = SectionMeta {
        keyspace,
        smallest,
        largest,
        smallest_number,
        largest_number,
        entries,
        tombstones,
        bytes,
        raw_bytes,
    };
    let front = Front { comparator, reserved, kept, comparator_name };
    Some((
        front,
        Properties {
            meta,
            options,
            keys,
            filter_probes,
            place_bits,
            data_bytes,
            index_bytes,
            hash_bytes,
            filter_bytes,
        },
    ))
}
