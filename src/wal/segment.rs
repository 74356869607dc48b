//! One log segment while it is prepared and filled.
//!
//! Mapped segments are stored into by every writer, at places that do not overlap; written ones by
//! one leader at a time. Whether space is left, in which order records are stored and when to sync
//! is the engine's business.
//!
//! Invariants: L4, part 1 and the file's name are durable before anybody names the segment; L5, a
//! sync that begins at place 0 covers part 2 as well, so a record that is known to be durable never
//! lies in a segment without a base.
//!
//! Any thread; the methods say who may call them at once.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::header::{self, COPY_BYTES, PART2_AT, Place, SEGMENT_HEAD_BYTES, SegmentSpec};
use crate::base::{FileNumber, Result, filename};
use crate::mem::prefetch_record;
use crate::record::{self, HEADER_BYTES};
use crate::vfs::{Dir, File, LogMap};

/// A body of this length is written into a mapped segment by a call instead of stored: the kernel
/// need not zero the pages before, and they need no entries in page tables. For 64 KiB that was
/// measured as 13 us instead of 22 us, 12 of them for populating. Short bodies would pay for the call.
/// Less in tests, whose crashes and faults shall meet such records.
const WRITTEN_BYTES_MIN: usize = if cfg!(test) { 2 << 10 } else { 16 << 10 };
/// Zeros are written in pieces of this many bytes.
const ZERO_PIECE_BYTES: usize = 64 << 10;
static ZEROS: [u8; ZERO_PIECE_BYTES] = [0; ZERO_PIECE_BYTES];

/// A prepared or installed segment.
pub(crate) struct Segment {
    spec: SegmentSpec,
    file: Arc<dyn File>,
    map: Option<Arc<dyn LogMap>>,
    /// Whether the file is new, and its pages are better brought in large pieces.
    is_fresh: bool,
    /// Whether the last record was written by a call. A hint about the next ones: stored by writers
    /// when it changes, read by whoever populates, relaxed.
    prefers_calls: AtomicBool,
}

impl Segment {
    /// Creates the file, allocates all its space, stores part 1 twice and makes it durable, the
    /// name included.
    ///
    /// After an error the file is removed again if that is possible; what stays is deleted at the
    /// next open, because nobody names it.
    pub(crate) fn prepare(dir: &dyn Dir, spec: SegmentSpec, mapped: bool) -> Result<Arc<Self>> {
        let name = filename::log(spec.number);
        let file = dir.create(&name)?;
        Self::with_head(dir, file, spec, (mapped, false)).inspect_err(|_| {
            // The first error is the one to report.
            let _ = dir.remove(&name);
        })
    }

    /// The same with the file of the log numbered `old`, which has this capacity, is below the
    /// floor, and into which nobody stores any more: it is renamed. What is behind the head stays
    /// (L8): the caller says another salt than the old one's.
    ///
    /// After an error neither name is left, if that is possible.
    pub(crate) fn reuse(
        dir: &dyn Dir,
        old: FileNumber,
        spec: SegmentSpec,
        mapped: bool,
    ) -> Result<Arc<Self>> {
        let (from, name) = (filename::log(old), filename::log(spec.number));
        let reused = (|| {
            dir.rename(&from, &name)?;
            let file = dir.open(&name, true)?;
            Self::with_head(dir, file, spec, (mapped, true))
        })();
        reused.inspect_err(|_| {
            let _ = dir.remove(&name);
            let _ = dir.remove(&from);
        })
    }

    fn with_head(
        dir: &dyn Dir,
        file: Arc<dyn File>,
        spec: SegmentSpec,
        (mapped, was_used): (bool, bool),
    ) -> Result<Arc<Self>> {
        assert!(spec.number.0 != 0 && spec.capacity % 8 == 0, "a segment's number and capacity");
        let file_bytes = SEGMENT_HEAD_BYTES + spec.capacity;
        // Nothing to do for one that was used.
        file.allocate(file_bytes)?;
        file.write_at(&header::encode_copy(&spec).repeat(2), 0)?;
        let map = if mapped { Some(file.map(file_bytes)?) } else { None };
        match &map {
            // What the file held before need not reach the disk.
            Some(map) if was_used => map.sync(0, SEGMENT_HEAD_BYTES)?,
            _ => file.sync()?,
        }
        dir.sync()?;
        let prefers_calls = AtomicBool::new(false);
        Ok(Arc::new(Self { spec, file, map, is_fresh: !was_used, prefers_calls }))
    }

    /// The number in the file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.spec.number
    }

    /// Bytes behind the head.
    pub(crate) fn capacity(&self) -> u64 {
        self.spec.capacity
    }

    /// The seed of the records' checksums.
    pub(crate) fn salt(&self) -> u32 {
        self.spec.salt
    }

    /// Whether writers store their own records.
    pub(crate) fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// The mapping, for populating ahead of the writers and releasing behind them. Its offsets are
    /// the file's: a place plus [`SEGMENT_HEAD_BYTES`].
    pub(crate) fn map(&self) -> Option<&Arc<dyn LogMap>> {
        self.map.as_ref()
    }

    /// Brings the pages of a mapped segment's places `[from, to)` into memory, the head with place 0, and
    /// with `mapped` into the mapping. A hint, for background threads; writers may store there meanwhile.
    pub(crate) fn populate(&self, from: u64, to: u64, mapped: bool) {
        let Some(map) = &self.map else { return };
        let (first, end) = (SEGMENT_HEAD_BYTES + from, SEGMENT_HEAD_BYTES + to);
        if self.is_fresh {
            self.file.bring(first, end);
        }
        if mapped {
            map.populate(if from == 0 { 0 } else { first }, end);
        }
    }

    /// Stores part 2 in both copies: any number of helpers at once, if all store the same.
    ///
    /// Cannot fail in a mapped segment. Durable after a [`Segment::sync`] that begins at place 0.
    pub(crate) fn store_base(&self, place: &Place) -> Result<()> {
        let words = header::encode_place(place, self.spec.salt);
        for at in [PART2_AT, COPY_BYTES + PART2_AT] {
            match &self.map {
                Some(map) => map.store_words(at as u64, &words),
                None => self.file.write_at(&bytes_of(&words), at as u64)?,
            }
        }
        Ok(())
    }

    /// Stores a record into a mapped segment: body first, then header, so that a header that is
    /// there after the death of the process has its body. Asserts that the segment is mapped.
    pub(crate) fn store_record(&self, place: u64, header: &[u8; HEADER_BYTES], body: &[u8]) {
        let Some(map) = &self.map else { panic!("L3: records are stored into mapped segments") };
        let at = SEGMENT_HEAD_BYTES + place;
        let long = body.len() >= WRITTEN_BYTES_MIN;
        if self.prefers_calls.load(Ordering::Relaxed) != long {
            self.prefers_calls.store(long, Ordering::Relaxed);
        }
        // What a call did not write is stored: the space is there, so it cannot fail for good.
        let store = |at: u64, bytes: &[u8]| {
            if !long || self.file.write_at(bytes, at).is_err() {
                map.store(at, bytes);
            }
        };
        store(at + record::HEADER_BYTES as u64, body);
        store(at, header);
    }

    /// Stores a record, `header` and the parts of its body, into a mapped segment by one call. Asserts
    /// that the segment is mapped.
    ///
    /// What the death of the process interrupts may have its header and not all of its body: the
    /// checksum tells that, and nothing behind it was acknowledged.
    pub(crate) fn store_long(&self, place: u64, header: &[u8; HEADER_BYTES], body: [&[u8]; 3]) {
        let Some(map) = &self.map else { panic!("L3: records are stored into mapped segments") };
        if !self.prefers_calls() {
            self.prefers_calls.store(true, Ordering::Relaxed);
        }
        let at = SEGMENT_HEAD_BYTES + place;
        let [front, value, padding] = body;
        let parts = [header, front, value, padding];
        // The last is often empty.
        let count = if padding.is_empty() { 3 } else { 4 };
        if self.file.write_gathered(&mut parts.map(IoSlice::new)[..count], at).is_err() {
            // The space is there, so it cannot fail for good.
            let mut at = at;
            for part in &parts[..count] {
                map.store(at, part);
                at += part.len() as u64;
            }
        }
    }

    /// Whether the next records are likely to be written by calls, which need no populated pages.
    pub(crate) fn prefers_calls(&self) -> bool {
        self.prefers_calls.load(Ordering::Relaxed)
    }

    /// Begins to bring the memory into the cache to which a mapped segment's next record will go,
    /// if that is at `place`.
    #[inline]
    pub(crate) fn expect_record(&self, place: u64) {
        if let Some(map) = &self.map {
            prefetch_record(map.hint(SEGMENT_HEAD_BYTES + place));
        }
    }

    /// Stores words into a mapped segment by atomic stores: for records that several helpers store
    /// at once. Asserts that the segment is mapped.
    pub(crate) fn store_words(&self, place: u64, words: &[u64]) {
        let Some(map) = &self.map else { panic!("L3: records are stored into mapped segments") };
        map.store_words(SEGMENT_HEAD_BYTES + place, words);
    }

    /// Writes `bytes` at `place`; one caller at a time. After an error any part may be written.
    pub(crate) fn write_at(&self, place: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(bytes, SEGMENT_HEAD_BYTES + place)
    }

    /// Makes the places `[from, to)` durable, and part 2 as well if `from` is 0; one caller at a
    /// time. A segment's first sync therefore begins at 0. A failure is final.
    pub(crate) fn sync(&self, from: u64, to: u64) -> Result<()> {
        let Some(map) = &self.map else { return self.file.sync() };
        let begin = if from == 0 { 0 } else { SEGMENT_HEAD_BYTES + from };
        map.sync(begin, SEGMENT_HEAD_BYTES + to)
    }

    /// Writes zeros to the places `[from, to)` of a written segment, which hold no record yet, so
    /// that a later sync finds the space initialised. Not durable before a [`Segment::sync`].
    pub(crate) fn zero_ahead(&self, from: u64, to: u64) -> Result<()> {
        let mut at = from;
        while at < to {
            let n = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZERO_PIECE_BYTES);
            self.write_at(at, &ZEROS[..n])?;
            at += n as u64;
        }
        Ok(())
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
