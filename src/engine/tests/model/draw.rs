//! Chance with a seed, and what a run draws from it: options, keys, sizes and habits.

use crate::base::options::{
    Compression, Durability, EnvOptions, KeyspaceOptions, LogMode, OpenOptions,
};
use crate::vfs::sim;

/// Random choices from a seed.
#[derive(Clone, Debug)]
pub(super) struct Random(sim::Random);

impl Random {
    /// Starts at `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self(sim::Random::new(seed))
    }

    /// The next word.
    pub(super) fn word(&mut self) -> u64 {
        self.0.word()
    }

    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.word() % n as u64).unwrap()
    }

    /// One of these.
    pub(super) fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// True once in `n` times; never for 0.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        n > 0 && self.below(n) == 0
    }
}

/// What one run does, and with which options.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) open: OpenOptions,
    pub(super) env: EnvOptions,
    /// How many keys there are.
    pub(super) keys: usize,
    /// What keys look like.
    pub(super) shape: Shape,
    /// Ordinary values are shorter.
    pub(super) value_bytes: usize,
    /// One in so many writes has a value that is much longer; 0 is none.
    pub(super) long_one_in: usize,
    /// A background job runs before one in so many operations; 0 is only when somebody waits.
    pub(super) job_one_in: usize,
    /// The database is opened anew about once in so many operations.
    pub(super) reopen_one_in: usize,
    /// It is flushed about once in so many operations; 0 is never.
    pub(super) flush_one_in: usize,
    /// It is compacted about once in so many operations; 0 is never.
    pub(super) compact_one_in: usize,
    /// How many deletes there are among ten writes.
    pub(super) deletes_of_10: usize,
    /// What writes survive.
    pub(super) durability: Durability,
}

/// What keys look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// A number in big-endian bytes.
    Short,
    /// A long common beginning.
    Prefix,
    /// Random bytes of random length, the empty key among them.
    Random,
}

impl Setup {
    /// Draws everything from `seed`.
    pub(super) fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let write_buffer_bytes = random.of(&[4 << 10, 4 << 10, 8 << 10, 32 << 10, 128 << 10]);
        let open = OpenOptions {
            write_buffer_bytes,
            log_mode: random.of(&[LogMode::Auto, LogMode::Written]),
            mapped_reads: random.one_in(2),
            ..OpenOptions::default()
        };
        let budgets = [8 * write_buffer_bytes, 32 * write_buffer_bytes, 16 << 20];
        let env = EnvOptions {
            memory_budget_bytes: random.of(&budgets).max(64 << 10),
            ..EnvOptions::default()
        };
        let durability = match random.below(8) {
            0 => Durability::None,
            1 => Durability::Sync,
            _ => Durability::Buffer,
        };
        Self {
            seed,
            open,
            env,
            keys: random.of(&[4, 8, 50, 400, 3000]),
            shape: random.of(&[Shape::Short, Shape::Prefix, Shape::Random]),
            value_bytes: random.of(&[3, 20, 150, 1500]),
            long_one_in: random.of(&[0, 0, 300, 3000]),
            job_one_in: random.of(&[0, 1, 5, 100]),
            reopen_one_in: random.of(&[500, 4_000, 20_000]),
            flush_one_in: random.of(&[0, 100, 1_000, 5_000]),
            compact_one_in: random.of(&[0, 500, 2_000, 10_000]),
            deletes_of_10: random.of(&[1, 3, 5, 7]),
            durability,
        }
    }

    /// All keys, in order.
    pub(super) fn key_list(&self) -> Vec<Vec<u8>> {
        let random = &mut Random::new(!self.seed);
        #[allow(clippy::big_endian_bytes, reason = "the order of the bytes is that of the numbers")]
        let mut keys: Vec<Vec<u8>> = (0..self.keys)
            .map(|i| {
                let number = u32::try_from(i).unwrap().to_be_bytes();
                match self.shape {
                    Shape::Short => number.to_vec(),
                    Shape::Prefix => {
                        let mut key = b"a rather long beginning that all keys share/".to_vec();
                        key.extend_from_slice(&number);
                        key
                    }
                    Shape::Random => {
                        let len = random.below(12);
                        (0..len).map(|_| random.of(&[0, 1, b'a', b'b', 0xff])).collect()
                    }
                }
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How tables of some keyspace are written.
    pub(super) fn keyspace_options(random: &mut Random) -> KeyspaceOptions {
        KeyspaceOptions {
            compression: random.of(&[Compression::None, Compression::Lz4]),
            filter_bits_x10: random.of(&[0, 40, 100]),
            block_bytes: random.of(&[64, 256, 1024, 4096, 64 << 10]),
            hash_index: random.one_in(2),
        }
    }
}
