//! What the threads of a step do: one loop for each workload. Every value that is read is checked.

use std::thread;
use std::time::Duration;

use crate::clock::{ticks, to_secs};
use crate::engine::{Cursor, Entry, Feature, Outcome, Place, Session};
use crate::keys::{Expected, KEY_BYTES, Key, Values, key, missing_key};
use crate::step::Kind;
use crate::work::Worker;

/// Puts of one batch.
const BATCH: usize = 100;
/// Puts a second of the writer beside readers, if the engine can.
const BESIDE_PER_SEC: f64 = 100_000.0;
/// Longest scan of YCSB E.
const YCSB_SCAN_MAX: u64 = 100;

/// Works until the share is done or the time is up.
pub(crate) fn run(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let bench = worker.bench;
    let (keys, width, order) = (bench.keys, bench.step.width, bench.permutation);
    let (first, _) = bench.share(worker.id);
    match bench.step.kind {
        Kind::FillSeq => each(worker, |w, i| put(w, session, first + i, false)),
        Kind::FillRandom => each(worker, |w, i| put(w, session, order.at(first + i), false)),
        Kind::FillSync => each(worker, |w, i| put(w, session, order.at(first + i), true)),
        Kind::FillBatch => fill_batches(worker, session),
        Kind::Overwrite => each(worker, |w, _| {
            let number = w.chance.below(keys);
            put(w, session, number, false)
        }),
        Kind::DeleteRandom => each(worker, |w, i| delete(w, session, order.at(first + i))),
        Kind::ReadRandom | Kind::ReadWhileWriting => each(worker, |w, _| {
            let number = w.chance.below(keys);
            get(w, session, number)
        }),
        Kind::Check => each(worker, |w, i| get(w, session, order.at(first + i))),
        Kind::ReadMissing => each(worker, |w, _| get_missing(w, session)),
        Kind::MultiGet => multi_get(worker, session, width),
        Kind::Scan => each(worker, |w, _| scan(w, session, width)),
        Kind::Seek => each(worker, |w, _| {
            let number = w.chance.below(keys);
            seek_anew(w, session, number, width)
        }),
        Kind::SeekReuse => {
            let mut cursor = session.cursor()?;
            each(worker, |w, _| {
                let (number, began) = (w.chance.below(keys), ticks());
                seek(w, cursor.as_mut(), number, width)?;
                w.note(began, 1);
                Ok(())
            })
        }
        Kind::ReadSeq => read_all(worker, session, false),
        Kind::ReadReverse => read_all(worker, session, true),
        Kind::ReadPages => read_pages(worker, session),
        kind => each(worker, |w, _| ycsb(w, session, kind)),
    }
}

/// Calls `work` with 0, 1, 2... The clock is looked at now and then.
fn each<'a>(
    worker: &mut Worker<'a>,
    mut work: impl FnMut(&mut Worker<'a>, u64) -> Outcome<()>,
) -> Outcome<()> {
    let (_, count) = worker.bench.share(worker.id);
    for at in 0..count {
        if at % 16 == 0 && ticks() >= worker.until {
            break;
        }
        work(worker, at)?;
    }
    Ok(())
}

fn put(
    worker: &mut Worker<'_>,
    session: &mut dyn Session,
    number: u64,
    durable: bool,
) -> Outcome<()> {
    let key = key(number);
    worker.bench.values.make(number, worker.bench.version, &mut worker.value);
    let began = ticks();
    session.put(&key, &worker.value, durable)?;
    worker.note(began, 1);
    Ok(())
}

fn insert(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let number = worker.bench.next_insert(worker.id);
    put(worker, session, number, false)?;
    worker.bench.has_inserted(worker.id);
    Ok(())
}

fn delete(worker: &mut Worker<'_>, session: &mut dyn Session, number: u64) -> Outcome<()> {
    let key = key(number);
    let began = ticks();
    session.delete(&key)?;
    worker.note(began, 1);
    Ok(())
}

fn fill_batches(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let bench = worker.bench;
    let (first, count) = bench.share(worker.id);
    let bytes = bench.values.bytes();
    let (mut keys, mut values) = (vec![[0; KEY_BYTES]; BATCH], vec![0; BATCH * bytes]);
    let mut at = 0;
    while at + BATCH as u64 <= count && ticks() < worker.until {
        let slots = keys.iter_mut().zip(values.chunks_exact_mut(bytes));
        for (place, (slot, value)) in (first + at..).zip(slots) {
            let number = bench.permutation.at(place);
            *slot = key(number);
            bench.values.make(number, bench.version, value);
        }
        let began = ticks();
        session.batch(&keys, &values, bytes)?;
        worker.note(began, BATCH as u64);
        at += BATCH as u64;
    }
    Ok(())
}

/// The check of the value is within the time, as some engines touch it only then.
fn get(worker: &mut Worker<'_>, session: &mut dyn Session, number: u64) -> Outcome<()> {
    let key = key(number);
    let began = ticks();
    let found = session.get(&key)?;
    let right = found.is_some_and(|value| worker.bench.values.check(number, value));
    if found.is_some() {
        session.release();
    }
    worker.note(began, 1);
    worker.wrong += u64::from(!right);
    Ok(())
}

fn get_missing(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let key = missing_key(worker.chance.below(worker.bench.keys));
    let began = ticks();
    let found = session.get(&key)?.is_some();
    worker.note(began, 1);
    if found {
        session.release();
        worker.wrong += 1;
    }
    Ok(())
}

/// The durations are those of whole calls.
fn multi_get(worker: &mut Worker<'_>, session: &mut dyn Session, width: usize) -> Outcome<()> {
    let values = worker.bench.values;
    let (mut numbers, mut keys): (Vec<u64>, Vec<Key>) = (vec![0; width], vec![[0; 16]; width]);
    while ticks() < worker.until {
        for (number, slot) in numbers.iter_mut().zip(&mut keys) {
            *number = worker.chance.below(worker.bench.keys);
            *slot = key(*number);
        }
        let (began, mut right) = (ticks(), 0);
        session.multi_get(&keys, &mut |at, value| {
            right += usize::from(value.is_some_and(|value| values.check(numbers[at], value)));
        })?;
        worker.note(began, width as u64);
        worker.wrong += (width - right) as u64;
    }
    Ok(())
}

fn seek_anew(
    worker: &mut Worker<'_>,
    session: &mut dyn Session,
    number: u64,
    width: usize,
) -> Outcome<()> {
    let began = ticks();
    let mut cursor = session.cursor()?;
    seek(worker, cursor.as_mut(), number, width)?;
    drop(cursor);
    worker.note(began, 1);
    Ok(())
}

/// Reads up to `width` entries from a key that is there. Without inserts the numbers are without
/// gaps; with them the last ones may not be.
fn seek(
    worker: &mut Worker<'_>,
    cursor: &mut dyn Cursor,
    number: u64,
    width: usize,
) -> Outcome<()> {
    let gaps = worker.bench.step.kind.inserts();
    let values = worker.bench.values;
    let mut expected = Expected::at(number);
    let mut wrong = 0;
    let mut at = 1;
    let mut entry = cursor.seek(Place::At(&expected.key))?;
    wrong += u64::from(entry.is_none());
    while let Some(found) = entry {
        wrong += u64::from(!is_next(values, found, &expected, gaps && at > 1));
        if at == width {
            break;
        }
        expected.advance();
        at += 1;
        entry = cursor.next()?;
    }
    worker.wrong += wrong;
    Ok(())
}

fn is(values: &Values, (key, value): Entry<'_>, expected: &Expected) -> bool {
    key == expected.key && values.check(expected.number, value)
}

/// The same, where with `gaps` keys may be missing before this one.
fn is_next(values: &Values, found: Entry<'_>, expected: &Expected, gaps: bool) -> bool {
    if gaps {
        values.number(found.1).is_some_and(|number| number >= expected.number)
    } else {
        is(values, found, expected)
    }
}

/// A scan without a cursor, into a buffer.
fn scan(worker: &mut Worker<'_>, session: &mut dyn Session, width: usize) -> Outcome<()> {
    let number = worker.chance.below(worker.bench.keys);
    let wanted = (worker.bench.keys - number).min(width as u64);
    let entries = scan_from(worker, session, number, width)?;
    worker.wrong += u64::from(entries != Some(wanted));
    Ok(())
}

/// A scan from a key that is there; how many entries it gave, or none if one was wrong.
fn scan_from(
    worker: &mut Worker<'_>,
    session: &mut dyn Session,
    number: u64,
    width: usize,
) -> Outcome<Option<u64>> {
    let (values, gaps) = (worker.bench.values, worker.bench.step.kind.inserts());
    let mut expected = Expected::at(number);
    let began = ticks();
    let page = session.scan(&expected.key, width)?;
    let entries = check_page(values, page, &mut expected, gaps);
    worker.note(began, 1);
    Ok(entries)
}

/// How many entries a page has; none if one of them is not as expected. With `gaps` keys may be
/// missing behind the first.
fn check_page(
    values: &Values,
    mut page: &[u8],
    expected: &mut Expected,
    gaps: bool,
) -> Option<u64> {
    let mut entries = 0;
    while let Some((head, rest)) = page.split_first_chunk::<8>() {
        let key_len = u32::from_le_bytes(*head.first_chunk()?) as usize;
        let value_len = u32::from_le_bytes(*head.last_chunk()?) as usize;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        if !is_next(values, (key, value), expected, gaps && entries > 0) {
            return None;
        }
        expected.advance();
        entries += 1;
        page = rest;
    }
    page.is_empty().then_some(entries)
}

/// Whether to read everything once more: once without a limit of time, else until it is up.
fn more(worker: &Worker<'_>) -> bool {
    worker.until != u64::MAX && ticks() < worker.until || worker.is_new()
}

/// Entries are not timed one by one: a look at the clock would be a good part of them.
fn read_all(worker: &mut Worker<'_>, session: &mut dyn Session, reverse: bool) -> Outcome<()> {
    const STRIDE: u64 = 4096;
    let (values, keys) = (worker.bench.values, worker.bench.keys);
    let mut cursor = session.cursor()?;
    while more(worker) {
        let mut expected = Expected::at(if reverse { keys - 1 } else { 0 });
        let (mut entries, mut wrong, mut began) = (0, 0, ticks());
        let mut entry = cursor.seek(if reverse { Place::Last } else { Place::First })?;
        while let Some(found) = entry {
            wrong += u64::from(!is(values, found, &expected));
            entries += 1;
            if entries % STRIDE == 0 {
                worker.note(began, STRIDE);
                began = ticks();
            }
            if reverse {
                expected.retreat();
                entry = cursor.prev()?;
            } else {
                expected.advance();
                entry = cursor.next()?;
            }
        }
        worker.count(ticks(), entries % STRIDE);
        worker.wrong += wrong + entries.abs_diff(keys);
    }
    Ok(())
}

/// The durations are those of pages.
fn read_pages(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let (values, keys) = (worker.bench.values, worker.bench.keys);
    while more(worker) {
        let mut cursor = session.cursor()?;
        let mut expected = Expected::at(0);
        loop {
            let began = ticks();
            let page = cursor.page()?;
            if page.is_empty() {
                break;
            }
            let entries = check_page(values, page, &mut expected, false);
            worker.note(began, entries.unwrap_or(0));
            worker.wrong += u64::from(entries.is_none());
        }
        worker.wrong += expected.number.abs_diff(keys);
    }
    Ok(())
}

/// One operation of a core workload of YCSB: A half updates, B 5 % updates, C reads, D reads of the
/// newest and 5 % inserts, E short scans and 5 % inserts, F reads, half of them with a write after.
fn ycsb(worker: &mut Worker<'_>, session: &mut dyn Session, kind: Kind) -> Outcome<()> {
    let bench = worker.bench;
    let Some(zipf) = bench.zipf else { return Err("no distribution".to_owned()) };
    let percent = worker.chance.below(100);
    if kind == Kind::YcsbD {
        if percent < 5 {
            return insert(worker, session);
        }
        let present = bench.present_now();
        let age = zipf.rank(&mut worker.chance);
        return get(worker, session, present.saturating_sub(1 + age));
    }
    let number = zipf.scattered(&mut worker.chance);
    match kind {
        Kind::YcsbA if percent < 50 => put(worker, session, number, false),
        Kind::YcsbB if percent < 5 => put(worker, session, number, false),
        Kind::YcsbE if percent < 5 => insert(worker, session),
        Kind::YcsbE => {
            let width = 1 + worker.chance.below(YCSB_SCAN_MAX) as usize;
            // The workload asks for a scan: one call where there is one, else a cursor.
            if !bench.engine.has(Feature::Pages) {
                return seek_anew(worker, session, number, width);
            }
            let entries = scan_from(worker, session, number, width)?;
            worker.wrong += u64::from(entries.is_none_or(|entries| entries == 0));
            Ok(())
        }
        Kind::YcsbF if percent < 50 => read_modify_write(worker, session, number),
        _ => get(worker, session, number),
    }
}

/// One operation: the read and the write after it.
fn read_modify_write(
    worker: &mut Worker<'_>,
    session: &mut dyn Session,
    number: u64,
) -> Outcome<()> {
    let key = key(number);
    worker.bench.values.make(number, worker.bench.version, &mut worker.value);
    let began = ticks();
    let found = session.get(&key)?;
    let right = found.is_some_and(|value| worker.bench.values.check(number, value));
    if found.is_some() {
        session.release();
    }
    session.put(&key, &worker.value, false)?;
    worker.note(began, 1);
    worker.wrong += u64::from(!right);
    Ok(())
}

/// The writer beside readers: a steady rate, 16 puts at a time.
pub(crate) fn write_beside(worker: &mut Worker<'_>, session: &mut dyn Session) -> Outcome<()> {
    let began = ticks();
    let mut done = 0_u32;
    while !worker.bench.stopped() {
        if f64::from(done) > to_secs(ticks() - began) * BESIDE_PER_SEC {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..16 {
            let number = worker.chance.below(worker.bench.keys);
            put(worker, session, number, false)?;
        }
        done += 16;
    }
    Ok(())
}
