//! Random histories that end by power loss or by the death of the process: nothing that was synced
//! is lost, what survives is a prefix, and an honest crash is never taken for corruption.

use super::*;

/// A generator that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// Room that a record of the histories and the seal behind it need at most.
const ROOM: u64 = 48 + 3 * 80 + 64;

fn history(random: &mut Random) -> TestLog {
    let mut log = TestLog::with_capacity(random.below(2) == 0, 1024 + 512 * random.below(4));
    log.reuses = random.below(2) == 0;
    let syncs_one_in = [3, 8, 1000][usize::try_from(random.below(3)).unwrap()];
    for n in 0..random.below(40) {
        if log.tail.0 - log.base().0 + ROOM > log.capacity {
            log.seal();
        }
        match random.below(12) {
            0 => drop(log.skip(usize::try_from(random.below(12) * 8).unwrap())),
            1 if syncs_one_in < 1000 => drop(log.mark()),
            2 if syncs_one_in < 1000 => drop(log.end().reopen()),
            3 => drop(log.seal()),
            // A sync that was cut short: the oldest segment only, and nobody is told.
            4 => {
                if let Some(oldest) = log.older.first() {
                    oldest.sync(0, log.capacity).unwrap();
                }
            }
            _ => {
                let keys: Vec<_> = (0..=random.below(2)).map(|i| format!("{n}-{i}")).collect();
                log.put(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        if random.below(syncs_one_in) == 0 {
            log.sync();
        }
    }
    log
}

#[test]
fn power_loss_in_any_state_loses_nothing_that_was_synced_and_leaves_a_prefix() {
    let (mut cuts, mut losses) = (0, 0);
    for seed in 1..400 {
        let random = &mut Random(seed << 32 | 0x7f4a_7c15);
        let log = history(random);
        for share in [0, 1, 2, 3, 4] {
            let dir = log.dir.after_torn_power_loss(&mut || random.below(4) < share);

            let replayed = replay_elsewhere(&dir)
                .unwrap_or_else(|error| panic!("seed {seed}, share {share}: {error}"));

            let outcome = &replayed.outcome;
            assert!(outcome.end >= log.synced, "seed {seed}, share {share}: {outcome:?}");
            assert!(outcome.end <= log.tail && outcome.highest >= outcome.end);
            let below = log.written.iter().filter(|written| written.header.lsn < outcome.end);
            let keys: Vec<_> = below.flat_map(|written| written.keys.clone()).collect();
            assert_eq!(replayed.keys, keys, "seed {seed}, share {share}");
            cuts += usize::from(outcome.cut.is_some());
            losses += usize::from(outcome.end < log.tail);
            // What was seen before the crash is never given out again.
            assert!(outcome.clean || outcome.highest >= log.tail, "seed {seed}, share {share}");
        }
    }
    assert!(cuts > 500 && losses > 200, "{cuts} cuts, {losses} losses");
}

#[test]
fn the_death_of_the_process_loses_nothing() {
    for seed in 1..400 {
        let log = history(&mut Random(seed << 32 | 0x4f6c_dd1d));

        let replayed = replay_here(&log.dir.after_process_death())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));

        assert_eq!((replayed.outcome.end, replayed.keys), (log.tail, log.keys()), "seed {seed}");
    }
}
