//! What node heaps promise.

use std::ptr;

use super::NodePool;

#[test]
fn list_nodes_of_a_scope_come_from_its_heap_and_all_else_does_not() {
    let pool = NodePool::new(64 << 10);
    let heap = pool.heap();
    let before = Box::new(1_u64);

    let inside: Vec<Box<u64>> = heap.scope(|| {
        let mut boxes = Vec::with_capacity(16);
        boxes.extend((0..16).map(Box::new));
        boxes
    });
    let after = Box::new(2_u64);

    assert!(heap.is_whole());
    assert!(inside.iter().all(|b| heap.contains(ptr::from_ref(&**b).addr())));
    assert!(!heap.contains(ptr::from_ref(&*before).addr()));
    assert!(!heap.contains(ptr::from_ref(&*after).addr()));
    assert_eq!(inside.iter().map(|b| **b).sum::<u64>(), 120);
    heap.scope(|| drop(inside));
}

#[test]
fn heap_that_is_full_hands_out_the_systems_memory() {
    let pool = NodePool::new(8 << 10);
    let heap = pool.heap();

    let boxes: Vec<Box<[u64; 32]>> = heap.scope(|| (0..200).map(|i| Box::new([i; 32])).collect());

    assert!(!heap.is_whole());
    assert!(boxes.iter().zip(0..).all(|(b, i)| b.iter().all(|&word| word == i)));
    let held = boxes.iter().filter(|b| heap.contains(ptr::from_ref(&***b).addr())).count();
    assert!((16..=32).contains(&held), "{held} of 200 lie in a heap that has room for 32");
    heap.scope(|| drop(boxes));
}

#[test]
fn region_that_is_used_again_holds_another_heap() {
    let pool = NodePool::new(64 << 10);
    let first = pool.heap();
    let old = first.scope(|| Box::new(1_u64));
    let at = ptr::from_ref(&*old).addr();
    first.scope(|| drop(old));
    drop(first);

    let second = pool.heap();
    let new: Vec<Box<u64>> = second.scope(|| (0..100).map(Box::new).collect());

    assert!(second.contains(at), "the region was not kept");
    assert!(new.iter().zip(0..).all(|(b, i)| **b == i));
    second.scope(|| drop(new));
}

#[test]
fn thread_that_turns_from_heap_to_heap_wastes_nothing() {
    let pool = NodePool::new(4 << 10);
    let (one, other) = (pool.heap(), pool.heap());

    let pairs: Vec<_> = (0..64_u64)
        .map(|i| (one.scope(|| Box::new([i; 8])), other.scope(|| Box::new([i; 8]))))
        .collect();

    assert!(one.is_whole() && other.is_whole(), "64 times 64 bytes fit 4 KiB");
    for (one_box, other_box) in pairs {
        assert_eq!(one_box, other_box);
        one.scope(|| drop(one_box));
        other.scope(|| drop(other_box));
    }
}

#[test]
fn threads_share_a_heap_and_no_byte_of_it() {
    let pool = NodePool::new(8 << 20);
    let heap = pool.heap();

    let made: Vec<Vec<Box<u64>>> = std::thread::scope(|scope| {
        let make = |t: u64| heap.scope(|| (0..5_000).map(|i| Box::new(t << 32 | i)).collect());
        let threads: Vec<_> = (0..4).map(|t| scope.spawn(move || make(t))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    for (t, boxes) in (0..).zip(&made) {
        assert!(boxes.iter().zip(0..).all(|(b, i)| **b == (t << 32 | i)));
    }
    heap.scope(|| drop(made));
}
