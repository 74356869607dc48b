//! One write: check, reserve, fill, publish, wait for what its durability asks.
//!
//! 1. Everything that can be refused is refused first; back-pressure waits here.
//! 2. Reserve a range of positions by one compare-and-swap on the active generation's tail.
//! 3. Fill: encode into the arena, store into the mapped log, link the point index. Nothing here
//!    waits or allocates, or calls the system but to write long records into the mapped log.
//! 4. Publish: store the done mark, move `visible`.
//! 5. Wait until the write is visible, then logged or synced.
//!
//! A failure in step 1 or 2 leaves nothing behind. A panic in step 3 poisons the database.

use std::sync::Arc;

use super::db::Db;
use super::generation::{Generation, Next};
use crate::base::coding::u32_of;
use crate::base::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::base::mutant::mutant;
use crate::base::options::Durability;
use crate::base::{Error, KeyspaceId, Kind, Lsn, Result, checksum};
use crate::batch::{self, Op, Shape};
use crate::mem::atomic::Ordering;
use crate::mem::epoch::{self, Guard};
use crate::memtable::{LONG_BYTES, Reserve, Slot, Sums};
use crate::record::{self, HEADER_BYTES, Header, RecordKind};

/// How one write is done.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct WriteOptions {
    /// What it must survive; none is the database's default.
    pub(crate) durability: Option<Durability>,
    /// `Busy` instead of waiting for room.
    pub(crate) no_stall: bool,
    /// Most ns to wait for room, relative; 0 is no limit.
    pub(crate) deadline_ns: u64,
}

impl Db {
    /// Sets `key` to `value`.
    pub(crate) fn put(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        options: &WriteOptions,
    ) -> Result<Lsn> {
        self.write_one(Op { kind: Kind::Put, keyspace, expiry_ms: 0, key, value }, options)
    }

    /// Removes `key`. Removing what is not there is not an error.
    pub(crate) fn delete(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        options: &WriteOptions,
    ) -> Result<Lsn> {
        self.write_one(Op { kind: Kind::Delete, keyspace, expiry_ms: 0, key, value: b"" }, options)
    }

    /// Does all operations of a packed batch, or none.
    ///
    /// Returns the position that covers them. An empty batch is done at once.
    pub(crate) fn write(&self, packed: &[u8], options: &WriteOptions) -> Result<Lsn> {
        let shape = batch::validate(packed)?;
        self.check_writable()?;
        if shape.ops == 0 {
            return Ok(self.visible());
        }
        // The batch was validated as a whole: no item is an error.
        let ops = batch::ops(packed).filter_map(Result::ok);
        self.keyspaces.check_all(ops.clone().map(|op| op.keyspace))?;
        self.commit(ops, shape, options)
    }

    fn write_one(&self, op: Op<'_>, options: &WriteOptions) -> Result<Lsn> {
        if op.key.len() > KEY_BYTES_MAX || op.value.len() > VALUE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a key has at most {KEY_BYTES_MAX} bytes and a value {VALUE_BYTES_MAX}"
            )));
        }
        self.check_writable()?;
        self.keyspaces.check(op.keyspace)?;
        let shape = Shape { ops: 1, log_bytes: batch::entry_bytes(&op) };
        self.commit(std::iter::once(op), shape, options)
    }

    fn commit<'a>(
        &self,
        ops: impl Iterator<Item = Op<'a>> + Clone,
        shape: Shape,
        options: &WriteOptions,
    ) -> Result<Lsn> {
        let durability = options.durability.unwrap_or(self.options.durability);
        let bytes = (HEADER_BYTES + shape.log_bytes) as u64;
        self.stall(bytes, options)?;
        let write = Write { ops, shape, bytes, no_log: durability == Durability::None };
        let Filled { end, mapped_base } = self.reserve_and_fill(&write, options)?;
        self.counters.writes.add(1);
        self.counters.write_bytes.add(bytes);
        self.wait_visible(end)?;
        match durability {
            Durability::None => {}
            // What is visible is stored in the mapped log; what came before it is logged.
            Durability::Buffer
                if mapped_base.is_some_and(|b| self.logged.load(Ordering::Acquire) >= b.0) => {}
            Durability::Buffer => self.ensure_logged(end)?,
            Durability::Sync => {
                if !mutant("acknowledge_before_sync") {
                    self.ensure_synced(end)?;
                }
            }
        }
        Ok(end)
    }

    /// Steps 2 to 4.
    fn reserve_and_fill<'a, I: Iterator<Item = Op<'a>> + Clone>(
        &self,
        write: &Write<I>,
        options: &WriteOptions,
    ) -> Result<Filled> {
        loop {
            let guard = epoch::pin();
            let state = self.state.load(&guard);
            let active = &state.active;
            if let Some(first) = write.ops.clone().next() {
                // The bucket is a cache miss of its own: let it come while we encode.
                active.memtable.expect_link(first.keyspace, first.key);
            }
            let is_written = Self::stays_in_log(active, write).is_none();
            match active.memtable.reserve(write.bytes, is_written) {
                Reserve::Done(slot) => {
                    let end = slot.lsn().plus(write.bytes);
                    self.fill(active, slot, write, &guard);
                    return Ok(Filled { end, mapped_base: active.mapped_base() });
                }
                Reserve::Full(tail) => {
                    self.check_fits(write.bytes)?;
                    if Self::is_oversized(active, write, &guard) {
                        drop(guard);
                        return self.commit_oversized(write.bytes, options, |g, slot, guard| {
                            self.fill(g, slot, write, guard);
                        });
                    }
                    if !self.seal(active, tail, &guard)? {
                        let full = active.log_number();
                        drop(guard);
                        self.wait_for_next(full, options)?;
                    }
                }
                Reserve::Sealed(end) => {
                    if !self.install_next(active, end, &guard)? {
                        let full = active.log_number();
                        drop(guard);
                        self.wait_for_next(full, options)?;
                    }
                }
            }
        }
    }

    /// Whether a record for which the active generation has no room is above a quarter of the one
    /// that would follow, and so gets a generation of its own.
    fn is_oversized<'a, I: Iterator<Item = Op<'a>> + Clone>(
        active: &Generation,
        write: &Write<I>,
        guard: &Guard,
    ) -> bool {
        let (Next::Ready(next) | Next::Frozen(next)) = active.next.load(guard) else {
            return false;
        };
        // What is copied into a sparse arena is its memory, however long its log.
        let room = match Self::stays_in_log(next, write) {
            Some(_) => next.memtable.capacity_bytes(),
            None => next.memtable.memory_bytes(),
        };
        write.bytes > room / 4
    }

    /// Steps 3 and 4. From here on nothing may fail.
    pub(super) fn fill<'a, I: Iterator<Item = Op<'a>> + Clone>(
        &self,
        generation: &Arc<Generation>,
        mut slot: Slot<'_>,
        write: &Write<I>,
        guard: &Guard,
    ) {
        let bomb = Bomb { db: self };
        let place = slot.place();
        let words = match Self::stays_in_log(generation, write) {
            Some(op) => self.fill_long(generation, &mut slot, &op),
            None => self.fill_whole(generation, &mut slot, write),
        };
        // The length word stays zero until publication: it is the done mark.
        slot.header_mut().copy_from_slice(&words[4..]);
        Self::index(generation, &slot, write);
        generation.memtable.expect_record(place + write.bytes);
        generation.memtable.note_filled(place + write.bytes);
        slot.publish();
        bomb.defuse();
        self.advance(guard);
    }

    /// The header of a record that goes into `generation` now, but for its checksum.
    fn header(&self, generation: &Generation, slot: &Slot<'_>, bytes: usize, ops: u32) -> Header {
        Header {
            length: u32_of(HEADER_BYTES + bytes),
            entries: ops,
            lsn: slot.lsn(),
            synced: Lsn(self.synced.load(Ordering::Relaxed)),
            completed: self.logged_position(generation),
            kind: RecordKind::Batch,
            flags: 0,
            payload_crc: 0,
        }
    }

    /// The one operation of a write whose value stays in the log, and is not copied into the arena.
    #[inline]
    fn stays_in_log<'a, I: Iterator<Item = Op<'a>> + Clone>(
        generation: &Generation,
        write: &Write<I>,
    ) -> Option<Op<'a>> {
        let may_be = write.bytes > LONG_BYTES as u64 && write.shape.ops == 1 && !write.no_log;
        if !may_be || !generation.memtable.keeps_values() {
            return None;
        }
        write.ops.clone().next().filter(|op| op.value.len() >= LONG_BYTES)
    }

    /// Writes the record of `op` into the log, and all but the value into the arena. Returns the header.
    fn fill_long(
        &self,
        generation: &Generation,
        slot: &mut Slot<'_>,
        op: &Op<'_>,
    ) -> [u8; HEADER_BYTES] {
        let Some(segment) = &generation.segment else { unreachable!("it keeps values") };
        let (place, salt) = (slot.place(), segment.salt());
        generation.memtable.note_long(op.value.len());
        let body = slot.body_mut();
        let bytes = body.len();
        let front = batch::encode_front(body, op);
        let padding = &[0; 8][..bytes - front - op.value.len()];
        let before = record::payload_crc(salt, &body[..front]);
        let after = checksum::crc(before, op.value);
        let payload_crc = checksum::crc(after, padding);
        let header = Header { payload_crc, ..self.header(generation, slot, bytes, 1) };
        let words = record::encode_header(&header, salt);
        let body = slot.body_mut();
        segment.store_long(place, &words, [&body[..front], op.value, padding]);
        slot.leave_value(front, op.value.len(), Sums { before, after });
        self.populate_ahead(generation, place + (HEADER_BYTES + bytes) as u64);
        words
    }

    /// Writes the record into arena and mapped log, and returns its header.
    fn fill_whole<'a, I: Iterator<Item = Op<'a>> + Clone>(
        &self,
        generation: &Generation,
        slot: &mut Slot<'_>,
        write: &Write<I>,
    ) -> [u8; HEADER_BYTES] {
        let place = slot.place();
        let salt = generation.segment.as_ref().map_or(0, |segment| segment.salt());
        let body = slot.body_mut();
        let mut at = 0;
        for op in write.ops.clone() {
            if write.shape.ops > 1 {
                generation.memtable.expect_link(op.keyspace, op.key);
            }
            at += batch::encode_entry(&mut body[at..], &op);
        }
        debug_assert_eq!(at, body.len(), "a batch's shape is its size");
        let mut header = self.header(generation, slot, at, write.shape.ops);
        let body = slot.body_mut();
        if write.no_log {
            let skip = Header { kind: RecordKind::Skip, ..header };
            let words = record::encode_header(&skip, salt);
            if generation.is_mapped() {
                self.store_in_map(generation, place, &words, &[]);
            }
            header.flags = record::FLAG_NOLOG;
            record::encode_header(&header, salt)
        } else {
            header.payload_crc = record::payload_crc(salt, body);
            let words = record::encode_header(&header, salt);
            if generation.is_mapped() {
                self.store_in_map(generation, place, &words, body);
            }
            words
        }
    }

    fn index<'a, I: Iterator<Item = Op<'a>> + Clone>(
        generation: &Generation,
        slot: &Slot<'_>,
        write: &Write<I>,
    ) {
        let memtable = &generation.memtable;
        let entries = || {
            let first = slot.place() + HEADER_BYTES as u64;
            (0..).zip(write.ops.clone()).scan(first, |next, (i, op)| {
                let entry = *next;
                *next += batch::entry_bytes(&op) as u64;
                Some((i, entry))
            })
        };
        // Last: the buckets have been on the way since before the entries were encoded.
        entries().for_each(|(i, entry)| memtable.link(slot.place(), i, entry));
    }

    fn store_in_map(&self, generation: &Generation, place: u64, header: &[u8; 48], body: &[u8]) {
        if let Some(segment) = &generation.segment {
            segment.store_record(place, header, body);
            let end = place + (HEADER_BYTES + body.len()) as u64;
            self.populate_ahead(generation, end);
            segment.expect_record(end);
        }
    }
}

/// What a filled and published record leaves to wait for.
pub(super) struct Filled {
    /// The end of the record.
    pub(super) end: Lsn,
    /// The base of its generation, if that is mapped.
    pub(super) mapped_base: Option<Lsn>,
}

/// What one write brings to the fill.
pub(super) struct Write<I> {
    /// The operations, in order.
    pub(super) ops: I,
    pub(super) shape: Shape,
    /// Bytes of the whole record.
    pub(super) bytes: u64,
    /// Whether the log gets only a header.
    pub(super) no_log: bool,
}

/// Poisons the database when a fill unwinds: its record will never be published.
struct Bomb<'a> {
    db: &'a Db,
}

impl Bomb<'_> {
    fn defuse(self) {
        std::mem::forget(self);
    }
}

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.db.poison_stuck();
    }
}
