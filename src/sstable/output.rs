//! The end of a table file that is being written: compression, trailers, big writes.
//!
//! One thread at a time. After a failed write every later call returns the same error.

use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::base::coding::u32_of;
use crate::base::options::Compression;
use crate::base::{Error, Result};
use crate::vfs::File;

use super::format::{BlockKind, Encoding, TRAILER_BYTES, Trailer, encode_trailer};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// A compressed block must save one part in this many, or decoding it is not worth it.
const SAVED_PART_MIN: usize = 16;

/// Appends to a new file.
pub(super) struct Output {
    file: Arc<dyn File>,
    file_id: u64,
    /// Offset of the first byte in `buffer`.
    written_bytes: u64,
    buffer: Vec<u8>,
    table: CompressTable,
    compressed: Vec<u8>,
    failure: Option<Error>,
}

impl Output {
    /// Begins an empty file.
    pub(super) fn new(file: Arc<dyn File>, file_id: u64) -> Self {
        Self {
            file,
            file_id,
            written_bytes: 0,
            buffer: Vec::new(),
            table: CompressTable::default(),
            compressed: Vec::new(),
            failure: None,
        }
    }

    /// Where the next byte will lie.
    pub(super) fn position(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// Appends bytes as they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a block with its trailer and returns its stored length without the trailer.
    pub(super) fn block(
        &mut self,
        kind: BlockKind,
        decoded: &[u8],
        compression: Compression,
    ) -> Result<u32> {
        let offset = self.position();
        let compressed = match compression {
            Compression::None => None,
            Compression::Lz4 => self.compress(decoded),
        };
        // Taken out for as long as it is appended from.
        let buffer = std::mem::take(&mut self.compressed);
        let (encoding, stored) = match compressed.and_then(|bytes| buffer.get(..bytes)) {
            Some(bytes) => (Encoding::Lz4, bytes),
            None => (Encoding::Plain, decoded),
        };
        let trailer = Trailer { decoded_bytes: u32_of(decoded.len()), kind: kind as u8, encoding };
        let trailer: [u8; TRAILER_BYTES] = encode_trailer(trailer, self.file_id, offset, stored);
        self.append(stored)?;
        self.append(&trailer)?;
        let stored_bytes = u32_of(stored.len());
        self.compressed = buffer;
        Ok(stored_bytes)
    }

    /// Compresses into `self.compressed` and returns the length, if that saves enough.
    fn compress(&mut self, decoded: &[u8]) -> Option<usize> {
        let most = get_maximum_output_size(decoded.len());
        if self.compressed.len() < most || self.compressed.len() > most.max(BUFFER_BYTES) {
            self.compressed.clear();
            self.compressed.shrink_to(most.max(BUFFER_BYTES));
            self.compressed.resize(most, 0);
        }
        let bytes =
            compress_into_with_table(decoded, &mut self.compressed, &mut self.table).ok()?;
        (bytes + decoded.len() / SAVED_PART_MIN < decoded.len()).then_some(bytes)
    }

    /// Writes what was collected and makes the file durable.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.sync()
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Err(error) = self.file.write_at(bytes, self.written_bytes) {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }
}
