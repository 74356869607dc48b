//! Writers, readers and freezing at the same time; what readers saw is judged afterwards.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;

/// One thing that a reader saw: the position, the key, the number found.
type Seen = (u64, Vec<u8>, Option<u64>);

/// Snapshots by the real protocol, with a lock in place of the registrations.
#[derive(Default)]
struct Snapshots(Mutex<Vec<u64>>);

impl Snapshots {
    fn register(&self, engine: &Engine) -> u64 {
        let mut held = self.0.lock().unwrap();
        let at = engine.visible().0;
        held.push(at);
        at
    }

    fn release(&self, at: u64) {
        let mut held = self.0.lock().unwrap();
        let i = held.iter().position(|&other| other == at).unwrap();
        held.swap_remove(i);
    }

    /// The horizon first, then the registrations, as droppers do.
    fn for_dropper(&self, engine: &Engine) -> (Lsn, Vec<Lsn>) {
        let horizon = engine.visible();
        let mut all: Vec<Lsn> = self.0.lock().unwrap().iter().map(|&at| Lsn(at)).collect();
        all.sort_unstable();
        (horizon, all)
    }
}

/// Makes writers wait for the others, so that all of them really run at the same time.
#[derive(Default)]
struct Pace {
    reads: AtomicU64,
    /// Set when a reader or the freezer has ended, by a panic too: then nobody waits.
    ended: AtomicBool,
}

impl Pace {
    fn write(&self, engine: &Engine, i: u64) {
        let reads = self.reads.load(Ordering::Acquire);
        let must_wait = || {
            let unread = i % 100 == 0 && self.reads.load(Ordering::Acquire) == reads;
            unread || engine.unfrozen() > 12
        };
        while must_wait() && !self.ended.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}

/// Sets a flag when it is dropped, by a panic too.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn write_some(engine: &Engine, pace: &Pace, writer: u64, keys: &[Vec<u8>]) -> History {
    let mut random = Random(writer);
    let mut history = History::new();
    for i in 0..1_500_u64 {
        let ops: Vec<Op> = (0..=random.below(3))
            .map(|_| {
                // One key is hot, so that chains get longer than a walk.
                let key = if random.below(3) == 0 { keys[0].as_slice() } else { random.pick(keys) };
                if random.below(6) == 0 { delete(key) } else { put(key, &i.to_le_bytes()) }
            })
            .collect();
        record(&mut history, engine.write(&ops), &ops);
        pace.write(engine, i);
    }
    history
}

fn get_all(engine: &Engine, at: u64, keys: &[Vec<u8>], seen: &mut Vec<Seen>) {
    for key in keys {
        let found = engine.table.get(KeyspaceId(0), key, Lsn(at));
        seen.push((at, key.clone(), found.map(|found| found.number)));
    }
}

/// The newest version of each key, by cursor.
fn scan(engine: &Engine, at: u64, keys: &[Vec<u8>], seen: &mut Vec<Seen>) -> bool {
    let Ok(mut cursor) = engine.table.cursor(KeyspaceId(0), Lsn(at)) else { return false };
    let mut newest = BTreeMap::new();
    cursor.seek_first().unwrap();
    while let Some(entry) = cursor.entry() {
        newest.entry(entry.key.to_vec()).or_insert(entry.number);
        cursor.next().unwrap();
    }
    let mut backward = BTreeMap::new();
    cursor.seek_last().unwrap();
    while let Some(entry) = cursor.entry() {
        backward.insert(entry.key.to_vec(), entry.number);
        cursor.prev().unwrap();
    }
    assert_eq!(newest, backward);
    seen.extend(keys.iter().map(|key| (at, key.clone(), newest.get(key).copied())));
    true
}

#[test]
fn readers_see_one_moment_while_writers_write_and_spans_freeze() {
    let engine = Engine::new(1 << 20, SHORT_SPANS);
    let keys: Vec<Vec<u8>> = hard_keys().into_iter().skip(3).take(12).collect();
    let snapshots = Snapshots::default();
    let done = AtomicBool::new(false);
    let pace = Pace::default();
    let mut history = History::new();
    let mut seen = Vec::new();

    std::thread::scope(|scope| {
        let (engine, pace, keys) = (&engine, &pace, &keys);
        let writers: Vec<_> = (1..=3)
            .map(|writer| scope.spawn(move || write_some(engine, pace, writer, keys)))
            .collect();
        let reader = scope.spawn(|| {
            let _ended = Sets(&pace.ended);
            let mut seen = Vec::new();
            while !done.load(Ordering::Acquire) {
                let snapshot = snapshots.register(engine);
                let now = engine.visible().0;
                get_all(engine, now, keys, &mut seen);
                scan(engine, now, keys, &mut seen);
                pace.reads.fetch_add(1, Ordering::AcqRel);
                std::thread::yield_now();
                get_all(engine, snapshot, keys, &mut seen);
                assert!(scan(engine, snapshot, keys, &mut seen), "a snapshot is never too old");
                snapshots.release(snapshot);
            }
            seen
        });
        let freezer = scope.spawn(|| {
            let _ended = Sets(&pace.ended);
            while !done.load(Ordering::Acquire) {
                let (horizon, kept) = snapshots.for_dropper(engine);
                if !engine.table.freeze_step(engine.visible(), &kept, horizon) {
                    engine.table.gather_step(u64::MAX, &kept, horizon);
                }
                engine.garbage.drain();
            }
        });
        let written = Sets(&done);
        for writer in writers {
            history.extend(writer.join().unwrap());
        }
        drop(written);
        freezer.join().unwrap();
        seen = reader.join().unwrap();
    });

    for (at, key, found) in &seen {
        let expected = newest(&history, 0, key, *at).map(|(number, _)| number);
        assert_eq!(*found, expected, "{key:?} at {at}");
    }
    assert!(engine.frozen_to() > 10 * SHORT_SPANS as u64);
}
