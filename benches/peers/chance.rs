//! Chance that repeats: mixing, a generator, permutations, and the zipfian distribution of YCSB.
//!
//! Pure functions of their seeds, so that every engine meets the same keys in the same order.

/// Mixes the bits of a number; a bijection (the finisher of SplitMix64).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A generator (SplitMix64). One thread.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What each round of a permutation multiplies by.
const ROUNDS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xff51_afd7_ed55_8ccd];

/// An order of the numbers below `count`: a Feistel network of four rounds, walked until it stays
/// inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    count: u64,
    half_bits: u32,
}

impl Permutation {
    pub(crate) fn new(count: u64) -> Self {
        let mut half_bits = 1;
        while (1_u64 << (2 * half_bits)) < count {
            half_bits += 1;
        }
        Self { count, half_bits }
    }

    /// The number at place `at`, which is below `count`.
    pub(crate) fn at(self, mut at: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        loop {
            let (mut left, mut right) = (at >> self.half_bits, at & mask);
            for factor in ROUNDS {
                // The high bits of a product depend on all bits of its factor.
                let next = left ^ ((right + 1).wrapping_mul(factor) >> 40 & mask);
                left = right;
                right = next;
            }
            at = left << self.half_bits | right;
            if at < self.count {
                return at;
            }
        }
    }
}

/// Skew of YCSB's requests.
const THETA: f64 = 0.99;

/// YCSB's zipfian distribution (Gray et al., "Quickly generating billion-record synthetic
/// databases"): rank 0 is the most frequent.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: u64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// Takes time in proportion to `count`, which is at least 2.
    pub(crate) fn new(count: u64) -> Self {
        let zeta: f64 = (1..=count).map(|i| 1.0 / (i as f64).powf(THETA)).sum();
        let two = 1.0 + 0.5_f64.powf(THETA);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - two / zeta);
        Self { count, zeta, eta }
    }

    /// A rank below `count`.
    pub(crate) fn rank(&self, chance: &mut Chance) -> u64 {
        let u = chance.unit();
        let scaled = u * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1;
        }
        let part = (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - THETA));
        ((self.count as f64 * part) as u64).min(self.count - 1)
    }

    /// A number below `count` whose popularity has nothing to do with its neighbours'.
    pub(crate) fn scattered(&self, chance: &mut Chance) -> u64 {
        mix(self.rank(chance)) % self.count
    }
}
