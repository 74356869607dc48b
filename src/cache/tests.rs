//! Tests of the block cache, on one thread and on several.

use std::sync::Barrier;

use super::*;

/// Offers so many equal bytes.
fn fill(slots: &Slots, i: usize, byte: u8, len: usize) -> Pin {
    slots.fill(i, Draft::of(&vec![byte; len], &slots.cache().pool))
}

#[test]
fn a_filled_block_is_found_and_counted() {
    let cache = BlockCache::new(1 << 20);
    let slots = Slots::new(&cache, 10);
    assert!(slots.get(3).is_none());

    let pin = fill(&slots, 3, 7, 100);

    assert_eq!(&pin[..], &[7; 100]);
    assert_eq!(slots.get(3).as_deref(), Some(&[7; 100][..]));
    assert!(slots.get(2).is_none() && slots.get(4).is_none() && slots.get(10_000).is_none());
    assert_eq!((cache.hits(), cache.misses()), (1, 1));
}

#[test]
fn the_first_of_two_fills_wins() {
    let cache = BlockCache::new(1 << 20);
    let slots = Slots::new(&cache, 10);
    let first = fill(&slots, 0, 1, 10);
    let used = cache.used();

    let second = fill(&slots, 0, 2, 10);

    assert_eq!(first[0], second[0]);
    assert_eq!(cache.used(), used);
}

#[test]
fn the_budget_is_kept_and_untouched_blocks_go_first() {
    let cache = BlockCache::new(100_000);
    let slots = Slots::new(&cache, 1000);
    drop(fill(&slots, 0, 0, 1000));

    for i in 1..1000 {
        drop(fill(&slots, i, 1, 1000));
        assert!(cache.used() <= 100_000);
        assert!(slots.get(0).is_some(), "a block that is read all the time stays, {i}");
    }

    let resident = (0..1000).filter(|&i| slots.get(i).is_some()).count();
    assert!((65..80).contains(&resident), "{resident}");
    // Those that came last are there: the newest is not the first to go.
    assert!((950..1000).all(|i| slots.get(i).is_some()));
}

#[test]
fn pinned_blocks_stay_and_stay_charged() {
    let cache = BlockCache::new(20_000);
    let slots = Slots::new(&cache, 100);
    let pins: Vec<_> = (0..10).map(|i| fill(&slots, i, 1, 1000)).collect();

    let extra = fill(&slots, 50, 2, 10_000);

    assert_eq!(extra[0], 2);
    assert!(slots.get(50).is_none(), "there is no room for it");
    assert!((0..10).all(|i| slots.get(i).is_some()));
    assert!(cache.used() > 20_000, "what is only pinned is charged");
    drop(extra);
    assert!(cache.used() < 20_000);
    drop(pins);
    drop(fill(&slots, 51, 3, 10_000));
    assert!(slots.get(51).is_some());
    assert!(cache.used() <= 20_000);
}

#[test]
fn what_a_guard_has_seen_stays_as_it_is_until_the_guard_goes() {
    let cache = BlockCache::new(60_000);
    let slots = Slots::new(&cache, 100);
    drop(fill(&slots, 0, 77, 4096));
    let guard = epoch::pin();
    let seen = slots.peek(0, 0, &guard).expect("it is resident");

    (1..100).for_each(|i| drop(fill(&slots, i, 1, 4096)));

    assert!(slots.peek(0, 0, &guard).is_none(), "it was evicted");
    assert_eq!(seen, [77; 4096]);
    assert!(cache.garbage.pending() > 0, "and waits for the guard");
    assert!(cache.used() <= 60_000);
}

#[cfg(not(loom))]
#[test]
fn frames_of_evicted_blocks_are_used_again_and_the_last_one_frees_the_pool() {
    epoch::isolate_thread();
    let cache = BlockCache::new(4 << 20);
    let slots = Slots::new(&cache, 20_000);

    (0..20_000).for_each(|i| drop(fill(&slots, i, 1, 4000)));

    // Three for four million bytes, and one for what waits to be freed.
    assert!(cache.pool.slabs() <= 4, "{}", cache.pool.slabs());
    let pin = slots.get(19_999).expect("the last one");
    cache.set_capacity(0);
    cache.garbage.drain();
    drop(slots);
    assert_eq!(cache.pool.slabs(), 2, "one is in use, one in reserve");
    let pool = Arc::downgrade(&cache.pool);
    drop(cache);
    assert_eq!(pin[..], [1; 4000]);
    drop(pin);
    assert!(pool.upgrade().is_none());
}

#[test]
fn a_pin_outlives_its_table_and_the_cache_handle() {
    let cache = BlockCache::new(1 << 20);
    let slots = Slots::new(&cache, 10);
    let pin = fill(&slots, 1, 9, 5000);
    let copy = pin.clone();
    drop(fill(&slots, 2, 8, 5000));

    drop(slots);

    let used = cache.used();
    assert!((5000..9999).contains(&used), "{used}: the pinned block and its chunk are charged");
    drop(pin);
    assert_eq!(copy[4999], 9);
    let weak = Arc::downgrade(&cache);
    drop(cache);
    assert!(weak.upgrade().is_some(), "the pin holds the cache");
    drop(copy);
    assert!(weak.upgrade().is_none());
}

#[test]
fn private_blocks_are_charged_while_they_are_held() {
    let cache = BlockCache::new(1 << 20);

    let pin = cache.private(Draft::of(&[1; 1000], &cache.pool));

    assert_eq!(cache.used(), 1000 + BLOCK_OVERHEAD_BYTES);
    assert_eq!(pin.len(), 1000);
    drop(pin);
    assert_eq!(cache.used(), 0);
}

#[test]
fn a_smaller_budget_evicts_at_once() {
    let cache = BlockCache::new(1 << 20);
    let slots = Slots::new(&cache, 100);
    (0..100).for_each(|i| drop(fill(&slots, i, 1, 4096)));

    cache.set_capacity(50_000);

    assert!(cache.used() <= 50_000 && cache.used() > 40_000);
    cache.set_capacity(0);
    assert!((0..100).all(|i| slots.get(i).is_none()));
    assert_eq!(fill(&slots, 0, 5, 10)[0], 5);
    assert!(slots.get(0).is_none());
}

#[test]
fn threads_never_see_another_block_than_the_one_asked_for() {
    let cache = BlockCache::new(40_000);
    let tables: Vec<_> = (0..2).map(|_| Slots::new(&cache, 64)).collect();
    let start = Barrier::new(4);

    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (tables, start) = (&tables, &start);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_u64.wrapping_mul(thread + 1);
                let mut kept = Vec::new();
                start.wait();
                for _ in 0..60_000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    let table = usize::try_from(random >> 63).unwrap();
                    let i = usize::try_from((random >> 40) % 64).unwrap();
                    let byte = u8::try_from(table * 64 + i).unwrap();
                    let slots = &tables[table];
                    if let Some(seen) = slots.peek(i, 0, &epoch::pin()) {
                        assert!(seen.iter().all(|b| *b == byte));
                    }
                    let len = if byte % 2 == 0 { 300 } else { 3000 };
                    let pin = slots.get(i).unwrap_or_else(|| fill(slots, i, byte, len));
                    assert!(pin.iter().all(|b| *b == byte));
                    if random & 0xf00 == 0 {
                        kept.push((pin, byte));
                    }
                    if kept.len() > 4 {
                        for (pin, byte) in kept.drain(..) {
                            assert!(pin.iter().all(|b| *b == byte));
                        }
                    }
                }
            });
        }
    });

    assert!(cache.used() <= 40_000);
    drop(tables);
    assert_eq!(cache.used(), 0);
}

#[test]
fn memory_is_short_and_the_page_cache_no_help_by_the_sizes_alone() {
    let roomy = BlockCache::new(1000);
    let narrow = BlockCache::within(1000, 2001);
    let wide = BlockCache::within(1000, 2002);

    for (tables, short) in [(0, false), (3002, false), (3003, true)] {
        for cache in [&roomy, &narrow, &wide] {
            cache.add_table(tables);
            assert_eq!(cache.is_short(), short, "{tables} bytes of tables");
        }
        assert!(!roomy.outweighs_page_cache() && !wide.outweighs_page_cache());
        assert_eq!(narrow.outweighs_page_cache(), short);
        for cache in [&roomy, &narrow, &wide] {
            cache.remove_table(tables);
            assert!(!cache.is_short());
        }
    }
}
