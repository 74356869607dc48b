//! The end of a table file that is being written: compression, trailers, big writes.
//!
//! One thread at a time. After a failed write every later call returns the same error.

use std::io::IoSlice;
use std::mem::take;
use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::base::coding::{u32_of, usize_of};
use crate::base::options::Compression;
use crate::base::{Error, Result};
use crate::mem::Held;
use crate::vfs::File;

use super::format::{BlockKind, Encoding, TRAILER_BYTES, Trailer, encode_trailer};

/// Bytes that are collected before they are written: they stay in the processor's cache. Writes end at
/// multiples of this where they can: the system then has few, large pieces of page cache to make, and
/// writes to none twice.
const BUFFER_BYTES: usize = 256 << 10;
/// Room for the block that goes beyond.
const ROOM_BYTES: usize = 16 << 10;
/// Bytes after which the system is asked to write them out, so that the sync at the end finds most of
/// the table on the disk. Less would make the disk's writes small.
const WRITE_OUT_BYTES: u64 = 256 << 10;
/// A compressed block must save one part in this many, or decoding it is not worth it.
const SAVED_PART_MIN: usize = 16;

/// Appends to a new file.
pub(super) struct Output {
    file: Arc<dyn File>,
    file_id: u64,
    /// Offset of the first byte that was not written.
    written_bytes: u64,
    /// Up to here the system was asked to write out.
    leaving_bytes: u64,
    buffer: Vec<u8>,
    /// Long values that belong between the bytes of `buffer`, each in front of the byte there.
    held: Vec<(usize, Held)>,
    /// Bytes of those that are not written yet, and bytes of the first that are.
    held_bytes: usize,
    held_written: usize,
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
            leaving_bytes: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES + ROOM_BYTES),
            held: Vec::new(),
            held_bytes: 0,
            held_written: 0,
            table: CompressTable::default(),
            compressed: Vec::new(),
            failure: None,
        }
    }

    /// Where the next byte will lie.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.written_bytes + self.waiting_bytes() as u64
    }

    #[inline]
    fn waiting_bytes(&self) -> usize {
        self.buffer.len() + self.held_bytes
    }

    /// Appends bytes as they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= BUFFER_BYTES {
            self.flush()?;
            return self.write(&mut [IoSlice::new(bytes)], bytes.len());
        }
        if self.waiting_bytes() + bytes.len() > BUFFER_BYTES + ROOM_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        self.write_whole()
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
        let buffer = take(&mut self.compressed);
        let (encoding, stored) = match compressed.and_then(|bytes| buffer.get(..bytes)) {
            Some(bytes) => (Encoding::Lz4, bytes),
            None => (Encoding::Plain, decoded),
        };
        let trailer = Trailer { decoded_bytes: u32_of(decoded.len()), kind: kind as u8, encoding };
        let trailer: [u8; TRAILER_BYTES] = encode_trailer(trailer, self.file_id, offset, &[stored]);
        self.append(stored)?;
        self.append(&trailer)?;
        let stored_bytes = u32_of(stored.len());
        self.compressed = buffer;
        Ok(stored_bytes)
    }

    /// Appends a block that is not compressed, of `bytes` bytes, far fewer than are collected, which
    /// `encode` appends, with its trailer.
    pub(super) fn plain_block(
        &mut self,
        kind: BlockKind,
        bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        if self.waiting_bytes() + bytes + TRAILER_BYTES > BUFFER_BYTES + ROOM_BYTES {
            self.flush()?;
        }
        let (offset, begin) = (self.position(), self.buffer.len());
        encode(&mut self.buffer);
        let (decoded_bytes, encoding) = (u32_of(bytes), Encoding::Plain);
        let trailer = Trailer { decoded_bytes, kind: kind as u8, encoding };
        let trailer = encode_trailer(trailer, self.file_id, offset, &[&self.buffer[begin..]]);
        self.buffer.extend_from_slice(&trailer);
        self.write_whole()
    }

    /// Appends a block that is not compressed, `head`, `value` and `tail`, with its trailer, and
    /// returns its length without that. With `held`, which is the value, that is not copied.
    pub(super) fn block_around(
        &mut self,
        kind: BlockKind,
        [head, value, tail]: [&[u8]; 3],
        held: Option<Held>,
    ) -> Result<usize> {
        let offset = self.position();
        let bytes = head.len() + value.len() + tail.len();
        let (decoded_bytes, encoding) = (u32_of(bytes), Encoding::Plain);
        let trailer = Trailer { decoded_bytes, kind: kind as u8, encoding };
        let trailer = encode_trailer(trailer, self.file_id, offset, &[head, value, tail]);
        self.append(head)?;
        match held {
            Some(held) => {
                self.held_bytes += held.bytes().len();
                self.held.push((self.buffer.len(), held));
                self.write_whole()?;
            }
            None => self.append(value)?,
        }
        self.append(tail)?;
        self.append(&trailer)?;
        Ok(bytes)
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

    /// Writes up to a multiple of [`BUFFER_BYTES`], once there is so much.
    #[inline]
    fn write_whole(&mut self) -> Result<()> {
        let bytes = self.waiting_bytes();
        if bytes < BUFFER_BYTES {
            return Ok(());
        }
        let beyond = usize_of(self.position() % BUFFER_BYTES as u64)?;
        self.write_first(bytes - beyond.min(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.write_first(self.waiting_bytes())
    }

    /// Writes the first `bytes` bytes of what waits.
    fn write_first(&mut self, bytes: usize) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let (mut buffer, mut held) = (take(&mut self.buffer), take(&mut self.held));
        let mut parts = Vec::with_capacity(2 * held.len() + 1);
        // So much of the buffer, so many values, and so much of the next one.
        let (mut from, mut values, mut of_next, mut left) = (0, 0, self.held_written, bytes);
        for (at, value) in &held {
            let front = left.min(at - from);
            parts.push(IoSlice::new(&buffer[from..from + front]));
            from += front;
            left -= front;
            let rest = &value.bytes()[of_next..];
            let count = left.min(rest.len());
            parts.push(IoSlice::new(&rest[..count]));
            left -= count;
            if count < rest.len() {
                of_next += count;
                break;
            }
            (values, of_next) = (values + 1, 0);
        }
        parts.push(IoSlice::new(&buffer[from..from + left]));
        from += left;
        self.write(&mut parts, bytes)?;
        buffer.drain(..from);
        held.drain(..values);
        for (at, _) in &mut held {
            *at -= from;
        }
        (self.buffer, self.held, self.held_written) = (buffer, held, of_next);
        self.held_bytes -= bytes - from;
        Ok(())
    }

    /// Writes `parts`, which are `bytes` long together.
    fn write(&mut self, parts: &mut [IoSlice<'_>], bytes: usize) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let written = match parts {
            [only] => self.file.write_at(only, self.written_bytes),
            parts => self.file.write_gathered(parts, self.written_bytes),
        };
        if let Err(error) = written {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.written_bytes += bytes as u64;
        // The last page may be written to again.
        let whole = self.written_bytes & !4095;
        if whole - self.leaving_bytes >= WRITE_OUT_BYTES {
            self.file.start_write_out(self.leaving_bytes, whole);
            self.leaving_bytes = whole;
        }
        Ok(())
    }
}
