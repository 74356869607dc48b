//! Prints how long lookups and steps take. Run with
//! `cargo test --release --lib sstable::tests::speed -- --ignored --nocapture`.

use super::*;

#[test]
#[ignore = "a measurement, not a test"]
#[allow(clippy::disallowed_methods, reason = "a measurement needs the real clock")]
fn print_nanoseconds() {
    let wanted = std::env::var("LSMER_SPEED_COUNT").ok().and_then(|count| count.parse().ok());
    let count: u64 = wanted.unwrap_or(2_000_000);
    let key = |i: u64| format!("{:016}", i.wrapping_mul(4_503_599_627)).into_bytes();
    for (hash_index, filter_bits_x10) in [(true, 0), (false, 100), (false, 0)] {
        let options = KeyspaceOptions { filter_bits_x10, hash_index, ..plain(4096) };
        let file = MemFile::new(Vec::new());
        let mut builder = TableBuilder::new(file.clone(), NUMBER, FILE_ID);
        builder.set_paranoid(false);
        let start = std::time::Instant::now();
        builder.start_section(KeyspaceId(0), &options);
        for i in 0..count {
            let entry = Owned::put(&key(i), 1 + (i * 7919) % count, &[7; 100]);
            builder.add(&entry.entry()).unwrap();
        }
        builder.finish_section().unwrap();
        let meta = builder.finish().unwrap();
        let build_ns = start.elapsed().as_nanos() / u128::from(count);
        let cache = BlockCache::new(1 << 30);
        let table = Table::open(file, &meta.file, &cache, false).unwrap();
        let ratio = meta.file.file_bytes * 1000 / meta.sections[0].raw_bytes;
        let start = std::time::Instant::now();
        assert_eq!(scan_sum(&table), count * 700);
        let cold_ns = start.elapsed().as_nanos() / u128::from(count);
        let start = std::time::Instant::now();
        assert_eq!(scan_sum(&table), count * 700);
        let next_ns = start.elapsed().as_nanos() / u128::from(count);
        let mut best = [u128::MAX; 2];
        for _ in 0..3 {
            for (kind, best) in best.iter_mut().enumerate() {
                *best = (*best).min(gets(&table, &key, count, kind == 0));
            }
        }
        println!(
            "hash {hash_index} filter {filter_bits_x10}: build {build_ns} ns, size {ratio}/1000, \
             first scan {cold_ns}, next {next_ns}, hit {} miss {}, {} MiB index",
            best[0],
            best[1],
            table.memory_bytes() >> 20
        );
    }
}

fn scan_sum(table: &Arc<Table>) -> u64 {
    let mut cursor = table.cursor(KeyspaceId(0)).unwrap();
    let mut sum = 0;
    cursor.seek_first().unwrap();
    while let Some(entry) = cursor.entry() {
        sum += entry.value.iter().map(|b| u64::from(*b)).sum::<u64>();
        cursor.next().unwrap();
    }
    sum
}

/// Nanoseconds for one `get` of a random key.
#[allow(clippy::disallowed_methods, reason = "a measurement needs the real clock")]
fn gets(table: &Table, key: &dyn Fn(u64) -> Vec<u8>, count: u64, hit: bool) -> u128 {
    const GETS: usize = 1_000_000;
    let mut random = Random(1);
    let keys: Vec<_> = (0..GETS)
        .map(|_| {
            let mut key = key(random.next() % count);
            if !hit {
                key[15] ^= 1;
                key.push(b'x');
            }
            key
        })
        .collect();
    let mut sum = 0;
    let start = std::time::Instant::now();
    for key in &keys {
        if let Some(found) = table.get(KeyspaceId(0), key, Lsn(u64::MAX)).unwrap() {
            sum += found.value.iter().map(|b| u64::from(*b)).sum::<u64>();
        }
    }
    let ns = start.elapsed().as_nanos() / GETS as u128;
    assert_eq!(sum, if hit { GETS as u64 * 700 } else { 0 });
    ns
}
