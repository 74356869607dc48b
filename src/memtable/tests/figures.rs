//! Figures, not checks:
//! `cargo test --release --lib memtable::tests::figures -- --ignored --nocapture`.

//!
//! Nanoseconds of processor time, so that a busy machine disturbs them little.

use super::*;

const ENTRIES: usize = 500_000;
const RECORD_BYTES: u64 = 192;
const END: Lsn = Lsn(ENTRIES as u64 * RECORD_BYTES);

/// The record of one put, without its key.
fn template() -> [u8; 192] {
    let mut record = [7; 192];
    record[..64].fill(0);
    record[12] = 1;
    record[TYPE_AT] = TYPE_BATCH;
    record[56..72].fill(0);
    record[56] = 1;
    record[64] = 16;
    record[68] = 100;
    record[188..].fill(0);
    record
}

/// Fills one record, without its mark.
fn fill(table: &Memtable, place: u64, record: &mut [u8; 192], key: &[u8; 16]) {
    table.prefetch_bucket(KeyspaceId(0), key);
    table.prepare(place + RECORD_BYTES - 1);
    record[72..88].copy_from_slice(key);
    table.fill_reserved(place + 4, &record[4..]);
}

/// 16 decimal digits, as in the peers' benchmark.
fn keys(from: u64, count: usize) -> Vec<[u8; 16]> {
    let digits = |i: u64| {
        let mut key = [b'0'; 16];
        let n = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_000_000_000_000_000;
        let text = n.to_string();
        key[16 - text.len()..].copy_from_slice(text.as_bytes());
        key
    };
    (from..).take(count).map(digits).collect()
}

/// Processor time of this thread.
struct Clock(u128);

impl Clock {
    fn start() -> Self {
        Self(Self::now())
    }

    fn now() -> u128 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    fn per(&self, count: usize) -> u128 {
        (Self::now() - self.0) / u128::try_from(count).unwrap()
    }
}

fn table() -> (Arc<Memtable>, Arc<Garbage>) {
    let garbage = Arc::new(Garbage::new());
    let table = Arc::new(Memtable::new(96 << 20, 0, 42, &garbage, &Recycler::new(0)).unwrap());
    table.set_base(Lsn(0));
    table.populate(0, 96 << 20);
    (table, garbage)
}

/// Fills a table; `steps` says how much of the work is done: 1 fill, 2 link, 3 insert.
fn filled(keys: &[[u8; 16]], threads: u64, steps: u32) -> (Arc<Memtable>, Arc<Garbage>, u128) {
    let (table, garbage) = table();
    let tail = AtomicU64::new(0);
    let write = || {
        let clock = Clock::start();
        let mut record = template();
        loop {
            let place = tail.fetch_add(RECORD_BYTES, Ordering::AcqRel);
            if place >= END.0 {
                return clock.per(ENTRIES);
            }
            let i = usize::try_from(place / RECORD_BYTES).unwrap();
            fill(&table, place, &mut record, &keys[i]);
            if steps > 1 {
                table.link(place, 0, place + 48);
            }
            if steps > 2 {
                table.insert(place, 0, place + 48);
            }
            table.set_mark(place, 192);
        }
    };
    let ns = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(write)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    (table, garbage, ns)
}

#[test]
#[ignore = "measures"]
fn nanoseconds_an_entry() {
    let some = keys(0, ENTRIES);
    let absent = keys(1 << 32, ENTRIES);
    for (threads, steps) in [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3)] {
        let mut best = u128::MAX;
        for _ in 0..5 {
            best = best.min(filled(&some, threads, steps).2);
        }
        let what = ["", "fill", "fill + link", "fill + link + insert"][steps as usize];
        println!("{threads} thread(s): {what} {best} ns");
    }
    for _ in 0..2 {
        let (table, garbage, _) = filled(&some, 1, 3);
        println!("{} lists, {} MB", table.ordered.counts().0, table.ordered.memory_bytes() >> 20);
        read(&table, &some, &absent, "live");
        let clock = Clock::start();
        while table.freeze_step(END, &[], END) {}
        println!("freeze and merge {} ns", clock.per(ENTRIES));
        let clock = Clock::start();
        while garbage.drain() > 0 {}
        println!("free lists {} ns", clock.per(ENTRIES));
        let (_, _, runs) = table.ordered.counts();
        println!("{runs} runs, {} MB", table.ordered.memory_bytes() >> 20);
        read(&table, &some, &absent, "frozen");
    }
}

#[allow(clippy::cast_possible_truncation, reason = "figures")]
fn read(table: &Arc<Memtable>, some: &[[u8; 16]], absent: &[[u8; 16]], state: &str) {
    let best = |mut run: Box<dyn FnMut() -> u128 + '_>| (0..3).map(|_| run()).min().unwrap();
    let hit = best(Box::new(|| {
        let clock = Clock::start();
        let mut sum = 0;
        for i in 0..ENTRIES {
            let key = &some[(i * 7919) % ENTRIES];
            sum += table.get(KeyspaceId(0), key, END).map_or(0, |found| found.value.len());
        }
        assert_eq!(sum, 100 * ENTRIES);
        clock.per(ENTRIES)
    }));
    let miss = best(Box::new(|| {
        let clock = Clock::start();
        let found = absent.iter().filter(|key| table.get(KeyspaceId(0), *key, END).is_some());
        assert_eq!(found.count(), 0);
        clock.per(ENTRIES)
    }));
    let next = best(Box::new(|| {
        let mut cursor = table.cursor(KeyspaceId(0), END).unwrap();
        let clock = Clock::start();
        cursor.seek_first().unwrap();
        let mut bytes = 0;
        while let Some(entry) = cursor.entry() {
            bytes += entry.value.len();
            cursor.next().unwrap();
        }
        assert_eq!(bytes, 100 * ENTRIES);
        clock.per(ENTRIES)
    }));
    let seek = best(Box::new(|| {
        let mut cursor = table.cursor(KeyspaceId(0), END).unwrap();
        let clock = Clock::start();
        for key in &some[..20_000] {
            cursor.seek_ge(key, u64::MAX).unwrap();
        }
        clock.per(20_000)
    }));
    println!("{state}: get {hit} ns, miss {miss} ns, next {next} ns, seek {seek} ns");
}
