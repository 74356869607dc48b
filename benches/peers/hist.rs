//! A histogram of durations: 32 buckets for each power of two, so within 3 % of the truth.
//!
//! The unit is the caller's (ticks). One thread; histograms of threads are added up at the end.

const SUB_BITS: u32 = 5;
const BUCKETS: usize = (64 - SUB_BITS as usize) << SUB_BITS;

#[derive(Clone)]
pub(crate) struct Hist {
    buckets: Box<[u64]>,
    count: u64,
    max: u64,
}

impl Hist {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS + (1 << SUB_BITS)].into_boxed_slice(), count: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
        self.max = 0;
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value that `part` (0 to 1) of all values do not exceed, rounded up to its bucket's end;
    /// 0 if there are none.
    pub(crate) fn percentile(&self, part: f64) -> u64 {
        let wanted = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < 2 << SUB_BITS {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    ((shift as usize) << SUB_BITS) + (value >> shift) as usize
}

/// The largest value of a bucket.
fn end(index: usize) -> u64 {
    if index < 2 << SUB_BITS {
        return index as u64;
    }
    let shift = (index >> SUB_BITS) - 1;
    let top = (index & ((1 << SUB_BITS) - 1)) as u64 + (1 << SUB_BITS);
    (top << shift) + ((1 << shift) - 1)
}
