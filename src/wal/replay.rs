//! Reads the log after an open: gives every whole record above the floor, finds where the log ends,
//! and tells a torn end from damage. Writes nothing.
//!
//! 1. Gather the segments and check their links (`chain`).
//! 2. Walk from the first segment above the floor: records in order; at a SEAL go on in the segment
//!    it names; at an END go on in the segment that names this one as its predecessor, if any.
//! 3. A bad record at P is corruption if anything proves that it was once good: the manifest or a
//!    later head or a valid record header anywhere behind P says that everything below some
//!    position above P was synced, or a header says that it was completed, and neither the boot nor
//!    the mount has changed since. A MARK or END proves by being there.
//! 4. Otherwise P is the cut. Nothing from there on is replayed, in this log or a later one (L6).
//!
//! The search for proofs tries aligned places only, compares the position first and then checks the
//! header alone, so values that look like headers cost nothing and prove nothing.
//!
//! Runs on one thread.

use super::chain::{Chain, First, Found, corrupt};
use super::header::{PART2_AT, SEGMENT_HEAD_BYTES};
use super::reader::{Last, Sink, proves, read_records, scan};
use crate::base::limits::LSN_MAX;
use crate::base::mutant::mutant;
use crate::base::{Error, ErrorKind, FileNumber, Lsn, Result};
use crate::record::Successor;
use crate::vfs::Dir;

/// What the manifest and the machine say.
pub(crate) struct ReplayInput<'a> {
    /// Logs below are not read: everything in them is in tables.
    pub(crate) floor: Lsn,
    /// Everything below was durable, says the manifest.
    pub(crate) synced: Lsn,
    /// The number of the manifest's last edit.
    pub(crate) edit_count: u64,
    /// For messages about the manifest.
    pub(crate) manifest_number: FileNumber,
    /// This boot of the machine, 0 if unknown.
    pub(crate) boot_id: u128,
    /// This mounting of the file system.
    pub(crate) mount_id: u64,
    /// All files that are named like logs, in any order.
    pub(crate) logs: &'a [FileNumber],
}

/// A segment that was replayed, in whole or in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentInfo {
    /// Its file number.
    pub(crate) number: FileNumber,
    /// The position of its first record.
    pub(crate) base: Lsn,
    /// Just past the last record that counts: the next segment's predecessor end.
    pub(crate) end: Lsn,
    /// Bytes of the file, as far as they belong to the segment.
    pub(crate) file_bytes: u64,
}

/// Where the log was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// The file of the first bad record.
    pub(crate) file: FileNumber,
    /// Its offset there.
    pub(crate) offset: u64,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReplayOutcome {
    /// Just past the last record that counts; the floor when there is none.
    pub(crate) end: Lsn,
    /// Whether nothing was lost or can have been: the log ends with an END record, or there is none
    /// above the floor, and no file is left that might have been more.
    pub(crate) clean: bool,
    /// The segments that hold what was replayed, in order.
    pub(crate) segments: Vec<SegmentInfo>,
    /// All other logs: below the floor, never installed, or behind the cut. Unless the end is clean
    /// they are deleted only after the edit that raises the floor past `highest`.
    pub(crate) obsolete: Vec<FileNumber>,
    /// No position at or above this can have been given out by any of the logs.
    pub(crate) highest: Lsn,
    /// Where the log was cut, unless it ended cleanly or is empty.
    pub(crate) cut: Option<Cut>,
}

/// Replays all logs above the floor into `sink`.
///
/// `Corrupt` with file and offset for what cannot be the torn end of a crash; `sink` may have been
/// given records by then. `Format` for newer versions and for records of types that are kept for
/// later. Memory: one record, at least 1 MiB.
pub(crate) fn replay(
    dir: &dyn Dir,
    input: &ReplayInput<'_>,
    sink: Sink<'_>,
) -> Result<ReplayOutcome> {
    let chain = Chain::gather(dir, input)?;
    let mut walk = Walk { input, chain, segments: Vec::new() };
    let stop = walk.run(sink)?;
    walk.finish(stop)
}

/// Why the walk ends.
#[derive(Clone, Copy)]
enum Stop {
    /// There was nothing above the floor.
    Empty,
    /// The last segment has an END record.
    Clean(Lsn),
    Cut(Lsn, Cut),
}

struct Walk<'a> {
    input: &'a ReplayInput<'a>,
    chain: Chain,
    segments: Vec<SegmentInfo>,
}

impl Walk<'_> {
    fn run(&mut self, sink: Sink<'_>) -> Result<Stop> {
        let mut end = self.input.floor;
        let mut next = match self.chain.first(end)? {
            First::Nowhere => return Ok(Stop::Empty),
            First::At(index) => Some(index),
            First::Lost(number) => {
                self.check_unproved(number, None, end, 0)?;
                return Ok(Stop::Cut(end, Cut { file: number, offset: SEGMENT_HEAD_BYTES }));
            }
        };
        while let Some(index) = next {
            let Some(found) = self.chain.found.get_mut(index) else { break };
            let base = found.base.unwrap_or(end);
            if found.replayed {
                return Err(found.corrupt(PART2_AT as u64, "the log turns back to this segment"));
            }
            found.replayed = true;
            let found: &Found = found;
            let (last, last_end) = read_records(found, base, sink)?;
            end = last_end;
            let info =
                SegmentInfo { number: found.spec.number, base, end, file_bytes: found.file_bytes };
            self.segments.push(info);
            next = match last {
                Last::Seal(successor) => Some(self.follow_seal(&info, successor)?),
                Last::End => self.follow_end(&info)?,
                // The mutant goes on in the next segment by base, whatever is missing before it.
                Last::Bad(_) if mutant("hole_accepted") && index + 1 < self.chain.found.len() => {
                    Some(index + 1)
                }
                Last::Bad(place) => {
                    self.check_unproved(info.number, Some(index), base, place)?;
                    let offset = SEGMENT_HEAD_BYTES + place;
                    return Ok(Stop::Cut(end, Cut { file: info.number, offset }));
                }
            };
        }
        Ok(Stop::Clean(end))
    }

    /// The segment that a seal names: it must be there, and at the place that the seal says.
    fn follow_seal(&mut self, sealed: &SegmentInfo, successor: Successor) -> Result<usize> {
        if successor.base != sealed.end {
            let offset = SEGMENT_HEAD_BYTES + (sealed.end.0 - sealed.base.0);
            return Err(corrupt(
                sealed.number,
                offset,
                "the seal names a base that is not its end",
            ));
        }
        let index = self.chain.find(successor.number);
        let found = index.and_then(|index| self.chain.found.get_mut(index));
        let (Some(index), Some(found)) = (index, found) else {
            let text =
                format!("log {} leads here, but the file or its head is lost", sealed.number);
            return Err(corrupt(successor.number, 0, text));
        };
        if let Some(place) = found.place {
            let links_back = place.predecessor.is_some_and(|p| {
                p.number == sealed.number && p.base == sealed.base && p.end == sealed.end
            });
            if place.base != successor.base || !links_back {
                let text = format!("log {} leads here, but this follows another", sealed.number);
                return Err(found.corrupt(PART2_AT as u64, text));
            }
        }
        found.base = Some(successor.base);
        Ok(index)
    }

    /// The segment that was made when a database that ended cleanly was opened again, if any.
    fn follow_end(&self, ended: &SegmentInfo) -> Result<Option<usize>> {
        let Some(index) = self.chain.successor_of(ended.number) else { return Ok(None) };
        let found = self.chain.found.get(index);
        let links_back = found.and_then(Found::predecessor);
        match (found, links_back) {
            (Some(_), Some(p)) if p.base == ended.base && p.end == ended.end => Ok(Some(index)),
            _ => {
                let number = found.map_or(ended.number, |found| found.spec.number);
                let text = format!("log {} does not end where this segment says", ended.number);
                Err(corrupt(number, PART2_AT as u64, text))
            }
        }
    }

    /// `Corrupt` when something proves that the bad record at `place` of the log numbered `file`
    /// was once good. `index` is that segment's, if its own bytes may hold proofs.
    fn check_unproved(
        &self,
        file: FileNumber,
        index: Option<usize>,
        base: Lsn,
        place: u64,
    ) -> Result<()> {
        if mutant("torn_is_always_cut") {
            return Ok(());
        }
        let bad_in = index.and_then(|index| self.chain.found.get(index));
        let Some(proof) = self.find_proof(bad_in, base, place)? else { return Ok(()) };
        let bad = base.plus(place);
        let text = format!("the record at position {bad} is damaged; {proof} proves it was whole");
        Err(corrupt(file, SEGMENT_HEAD_BYTES + place, text))
    }

    fn find_proof(&self, bad_in: Option<&Found>, base: Lsn, place: u64) -> Result<Option<String>> {
        let bad = base.plus(place);
        if self.input.synced > bad {
            return Ok(Some(format!("the manifest (synced to {})", self.input.synced)));
        }
        for found in self.chain.rest(self.input.floor) {
            let claimed = found.place.map_or(Lsn(0), |place| place.synced);
            if claimed > bad {
                return Ok(Some(format!("the head of log {}", found.spec.number)));
            }
        }
        let here = bad_in.map(|found| (found, base, place + 8)).into_iter();
        let later = self.chain.rest(self.input.floor);
        let later = later.filter_map(|found| Some((found, found.base?, 0)));
        for (found, base, from) in here.chain(later) {
            let same_machine = self.is_same_machine(found);
            if let Some(at) = scan(found, base, from, |header| proves(header, bad, same_machine))? {
                let offset = SEGMENT_HEAD_BYTES + at;
                return Ok(Some(format!("log {} at offset {offset}", found.spec.number)));
            }
        }
        Ok(None)
    }

    /// Whether no power was lost and nothing was mounted again since the segment was prepared.
    fn is_same_machine(&self, found: &Found) -> bool {
        found.spec.boot_id != 0
            && found.spec.boot_id == self.input.boot_id
            && found.spec.mount_id == self.input.mount_id
    }

    fn finish(self, stop: Stop) -> Result<ReplayOutcome> {
        let floor = self.input.floor;
        let (end, clean, cut) = match stop {
            Stop::Empty => (floor, !self.chain.has_baseless(), None),
            // A remnant may be a log that followed: then what it gave out is not known.
            Stop::Clean(end) => (end, !self.chain.has_remnants(), None),
            Stop::Cut(end, cut) => (end, false, Some(cut)),
        };
        if cut.is_none() {
            self.check_nothing_follows(end)?;
        }
        if let Some(early) = self.chain.rest(floor).find(|found| found.base < Some(end)) {
            let text = format!("it begins below {end}, where the log before it ends");
            return Err(early.corrupt(PART2_AT as u64, text));
        }
        let highest = if clean { end } else { self.highest(end)? };
        let is_used = |number| self.segments.iter().any(|info| info.number == number);
        let headless = self.chain.headless.iter().map(|headless| headless.number);
        let found = self.chain.found.iter().map(|found| found.spec.number);
        let mut obsolete: Vec<_> = found.chain(headless).filter(|&n| !is_used(n)).collect();
        obsolete.sort_unstable();
        Ok(ReplayOutcome { end, clean, segments: self.segments, obsolete, highest, cut })
    }

    /// After a clean end, or where there is no log, nothing may say that there was more.
    fn check_nothing_follows(&self, end: Lsn) -> Result<()> {
        if let Some(found) = self.chain.rest(self.input.floor).next() {
            let text = format!("the log ends at {end} and nothing leads here");
            return Err(found.corrupt(PART2_AT as u64, text));
        }
        if self.input.synced > end {
            let last = self.segments.last().map_or(FileNumber(0), |info| info.number);
            let text = format!(
                "the log ends at position {end}, but the manifest says that it was synced to {}",
                self.input.synced
            );
            return Err(corrupt(last, 0, text));
        }
        Ok(())
    }

    /// Above the end of every file: what lay behind a cut may have been seen by somebody.
    fn highest(&self, end: Lsn) -> Result<Lsn> {
        let mut based = end.0.max(self.input.synced.0);
        let mut without_base: u64 = 0;
        for found in &self.chain.found {
            match found.base {
                Some(base) => based = based.max(base.0.saturating_add(found.spec.capacity)),
                None => without_base = without_base.saturating_add(found.spec.capacity),
            }
        }
        for headless in &self.chain.headless {
            without_base = without_base.saturating_add(headless.file_bytes);
        }
        let highest = based.saturating_add(without_base).checked_next_multiple_of(8);
        match highest.filter(|&highest| highest < LSN_MAX) {
            Some(highest) => Ok(Lsn(highest)),
            None => Err(Error::new(ErrorKind::Corrupt, "log positions are out of range")),
        }
    }
}
