//! What a measured part of the engine is, and the keys and values that parts are measured with.
//!
//! Each module makes parts of what is hot in it; `crate::parts` lists them; `benches/parts` times
//! and counts them, and a test runs each with little data. Nothing else uses this.

/// Operations of one run, of most parts.
pub(crate) const RUN: u64 = 1000;

/// The value of every entry: 100 bytes, of which the first is looked at.
pub(crate) const VALUE: [u8; 100] = [7; 100];

/// Different keys that a part asks for before it begins again: more than stay in the cache.
const DRAWN: usize = 200_000;

/// A part of the engine that can be measured.
pub struct Part {
    /// In one word.
    pub name: &'static str,
    /// The entries that it works among; 0 if there are none.
    pub entries: usize,
    /// Prepares it for so many entries.
    pub make: fn(usize) -> Box<dyn Work>,
    /// Operations of one run among so many entries.
    pub count: fn(usize) -> u64,
}

impl Part {
    /// Its name in tables.
    #[must_use]
    pub fn label(&self) -> String {
        match self.entries {
            0 => self.name.to_owned(),
            entries => format!("{}/{entries}", self.name),
        }
    }
}

/// A row of a module's list.
pub(crate) const fn part(
    name: &'static str,
    entries: usize,
    make: fn(usize) -> Box<dyn Work>,
) -> Part {
    Part { name, entries, make, count: |_| RUN }
}

/// A row whose runs work on each entry once.
pub(crate) const fn sweep(
    name: &'static str,
    entries: usize,
    make: fn(usize) -> Box<dyn Work>,
) -> Part {
    Part { name, entries, make, count: |entries| entries as u64 }
}

/// A part, prepared. One thread at a time.
pub trait Work {
    /// Makes the next run possible; not measured.
    fn ready(&mut self) {}
    /// Does the operations and returns how many came out right: all, unless there is a bug.
    fn run(&mut self) -> u64;
}

/// A part of operations that need no preparation: `once` says whether it came out right.
pub(crate) fn each<F: FnMut() -> bool + 'static>(once: F) -> Box<dyn Work> {
    Box::new(Each(once))
}

struct Each<F>(F);

impl<F: FnMut() -> bool> Work for Each<F> {
    fn run(&mut self) -> u64 {
        (0..RUN).map(|_| u64::from((self.0)())).sum()
    }
}

/// Key `i`: 16 decimal digits, in no order of `i`. Those from `ABSENT` on are used for misses.
pub(crate) fn key(i: u64) -> [u8; 16] {
    let mut rest = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_000_000_000_000_000;
    let mut key = [b'0'; 16];
    for digit in key.iter_mut().rev() {
        let [low, ..] = (rest % 10).to_le_bytes();
        *digit += low;
        rest /= 10;
    }
    key
}

/// The number of the first key that no part writes.
pub(crate) const ABSENT: u64 = 1 << 40;

/// Keys in the order in which they are asked for, one behind the other in memory.
pub(crate) struct Keys {
    keys: Vec<[u8; 16]>,
    at: usize,
}

impl Keys {
    /// Some of the keys `from .. from + count`, in no order.
    pub(crate) fn drawn(from: u64, count: usize) -> Self {
        let count = count as u64;
        // An odd stride that is no factor of any count in use meets all numbers.
        let numbers = (0..count.min(DRAWN as u64)).map(|i| from + i * 7_919_317 % count);
        Self { keys: numbers.map(key).collect(), at: 0 }
    }

    /// The keys `0 .. count`, in order.
    pub(crate) fn sorted(count: usize) -> Vec<[u8; 16]> {
        let mut keys: Vec<_> = (0..count as u64).map(key).collect();
        keys.sort_unstable();
        keys
    }

    /// The next key, once `last`, a byte of the value before, is known: else the processor would
    /// begin to look for it while it still waits for that value.
    #[inline]
    pub(crate) fn draw_after(&mut self, last: u8) -> &[u8; 16] {
        self.at += usize::from(last ^ VALUE[0]);
        self.draw()
    }

    /// The next key.
    #[inline]
    pub(crate) fn draw(&mut self) -> &[u8; 16] {
        self.at += 1;
        if self.at >= self.keys.len() {
            self.at = 0;
        }
        &self.keys[self.at]
    }
}
