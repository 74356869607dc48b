//! Keys and values: made from a number, and checked when read.
//!
//! A key is sixteen decimal digits of twice its number; odd numbers are never written, so that a
//! key that is missing lies between two that are there. A value carries its number, a version and
//! a checksum, and a body of which every second half of 64 bytes repeats the first (so that it can
//! be compressed to about a half).

use crate::chance::{Chance, mix};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 16;

/// Bytes in front of a value's body: number, version, checksum.
pub(crate) const HEAD_BYTES: usize = 16;

/// Longest value.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 17;

/// Bodies begin at every 64th of these bytes. No more of them, as they take room in the caches that
/// engines work in.
const POOL_BYTES: usize = 1 << 17;

pub(crate) type Key = [u8; KEY_BYTES];

/// The key of a number that is written.
pub(crate) fn key(number: u64) -> Key {
    digits(2 * number)
}

/// The key just behind [`key`]`(number)`, which is never written.
pub(crate) fn missing_key(number: u64) -> Key {
    digits(2 * number + 1)
}

/// Both halves of eight digits in one word each: a loop of divisions took longer than some engines'
/// puts.
fn digits(number: u64) -> Key {
    const HALF: u64 = 100_000_000;
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&eight_digits(number / HALF % HALF));
    key[8..].copy_from_slice(&eight_digits(number % HALF));
    key
}

/// Splits a number below 10^8 into halves, quarters and digits, all parts of a step at once: the part
/// that comes first in text is in the lowest bits.
fn eight_digits(number: u64) -> [u8; 8] {
    // Each multiplication divides: by 10,000, by 100 and by 10, rounded down for numbers of that size.
    let fours = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = ((fours * 5243) >> 19) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - 10 * tens) << 8;
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

/// Makes and checks values of one length. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Values {
    pool: Vec<u8>,
    /// What [`sum`] gives for the body at each place of the pool, so that making a value is little
    /// more than a copy.
    sums: Vec<u64>,
    bytes: usize,
}

impl Values {
    /// Values of `bytes` bytes, from [`HEAD_BYTES`] to [`VALUE_BYTES_MAX`].
    pub(crate) fn new(bytes: usize) -> Self {
        assert!((HEAD_BYTES..=VALUE_BYTES_MAX).contains(&bytes), "values of {bytes} bytes");
        let mut chance = Chance::new(42);
        let mut pool = vec![0; POOL_BYTES + VALUE_BYTES_MAX];
        for chunk in pool.chunks_exact_mut(64) {
            for word in chunk[..32].chunks_exact_mut(8) {
                word.copy_from_slice(&chance.next().to_le_bytes());
            }
            chunk.copy_within(..32, 32);
        }
        let body = |start| &pool[start..start + bytes - HEAD_BYTES];
        let sums = (0..POOL_BYTES).step_by(64).map(|start| sum(body(start))).collect();
        Self { pool, sums, bytes }
    }

    /// Bytes of each value.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the value of a number at a version into `value`, which has [`Values::bytes`] bytes.
    pub(crate) fn make(&self, number: u64, version: u32, value: &mut [u8]) {
        let chance = mix(number.wrapping_mul(31).wrapping_add(u64::from(version))) as usize;
        let place = chance % self.sums.len();
        let start = place * 64;
        let body = &self.pool[start..start + self.bytes - HEAD_BYTES];
        value[HEAD_BYTES..].copy_from_slice(body);
        value[..8].copy_from_slice(&number.to_le_bytes());
        value[8..12].copy_from_slice(&version.to_le_bytes());
        value[12..16].copy_from_slice(&checksum(number, version, self.sums[place]).to_le_bytes());
    }

    /// Whether a value that was read belongs to the number, and is whole.
    pub(crate) fn check(&self, number: u64, value: &[u8]) -> bool {
        self.number(value) == Some(number)
    }

    /// The number that a whole value belongs to.
    pub(crate) fn number(&self, value: &[u8]) -> Option<u64> {
        if value.len() != self.bytes {
            return None;
        }
        let (head, body) = value.split_first_chunk::<HEAD_BYTES>()?;
        let number = u64::from_le_bytes(*head.first_chunk()?);
        let version = u32::from_le_bytes(*head[8..].first_chunk()?);
        let stored = u32::from_le_bytes(*head[12..].first_chunk()?);
        (stored == checksum(number, version, sum(body))).then_some(number)
    }
}

/// What a value says of its number, its version and its body.
fn checksum(number: u64, version: u32, body_sum: u64) -> u32 {
    mix(body_sum ^ number ^ u64::from(version) << 32) as u32
}

/// Over every byte of short bodies, and over 8 of each 64 bytes of long ones, so that every cache
/// line is touched. Four sums at once, as a chain of multiplications would be what is measured.
fn sum(body: &[u8]) -> u64 {
    let step = if body.len() > 256 { 64 } else { 8 };
    let mut sums = [body.len() as u64, 1, 2, 3];
    let mut add = |lane: usize, word: u64| {
        sums[lane] = (sums[lane] ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    };
    let mut lines = body.chunks_exact(4 * step);
    for line in &mut lines {
        for lane in 0..4 {
            add(lane, word(&line[lane * step..]));
        }
    }
    for (lane, rest) in lines.remainder().chunks(step).enumerate() {
        add(lane, word(rest));
    }
    sums[0] ^ sums[1].rotate_left(13) ^ sums[2].rotate_left(29) ^ sums[3].rotate_left(47)
}

/// The first eight bytes, or what there is.
fn word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The numbers and keys that a scan is to meet, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) number: u64,
    pub(crate) key: Key,
}

impl Expected {
    pub(crate) fn at(number: u64) -> Self {
        Self { number, key: key(number) }
    }

    /// Counting digits is cheaper than making them.
    pub(crate) fn advance(&mut self) {
        self.number = self.number.wrapping_add(1);
        let mut carry = 2;
        for digit in self.key.iter_mut().rev() {
            *digit += carry;
            if *digit <= b'9' {
                return;
            }
            *digit -= 10;
            carry = 1;
        }
    }

    pub(crate) fn retreat(&mut self) {
        self.number = self.number.wrapping_sub(1);
        let mut borrow = 2;
        for digit in self.key.iter_mut().rev() {
            if *digit >= b'0' + borrow {
                *digit -= borrow;
                return;
            }
            *digit += 10 - borrow;
            borrow = 1;
        }
    }
}
