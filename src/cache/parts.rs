//! A hit in the block cache, to be measured.

use std::hint::black_box;

use super::{BlockCache, Draft, Slots};
use crate::base::part::{Part, Work, each, part};
use crate::mem::epoch;

/// What is measured here. Entries are blocks of 4 KiB.
pub(crate) const PARTS: &[Part] = &[
    part("cache-peek", 128, |blocks| hit(blocks, true)),
    part("cache-peek", 60_000, |blocks| hit(blocks, true)),
    part("cache-pin", 128, |blocks| hit(blocks, false)),
];

/// One hit, under a guard that is there or with a pin of its own; its first byte is read.
fn hit(blocks: usize, peeked: bool) -> Box<dyn Work> {
    let cache = BlockCache::new(1 << 30);
    let slots = Slots::new(&cache, blocks);
    for i in 0..blocks {
        drop(slots.fill(i, Draft::of(&[7; 4096], &cache.pool)));
    }
    let mut at = 0;
    each(move || {
        at = (at + 38_603) % blocks;
        if peeked {
            let guard = epoch::pin();
            slots.peek(black_box(at), 64, &guard).is_some_and(|bytes| bytes[0] == 7)
        } else {
            slots.get(black_box(at)).is_some_and(|pin| pin[0] == 7)
        }
    })
}
