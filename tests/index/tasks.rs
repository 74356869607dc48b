//! One index, many tasks and threads: nothing is lost, nothing is seen twice, order holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lsmer::LsmIndex;
use tokio::task::{JoinSet, spawn_blocking};

use super::{key, open, place, value};

const WRITERS: usize = 4;
const ENTRIES: usize = 3000;

fn name(writer: usize, i: usize) -> String {
    format!("{writer}/{}", key(i))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_insert_get_and_remove_at_once() {
    let (_temporary, path) = place();
    // Small memtables, so that flushes and compactions run meanwhile.
    let index = Arc::new(LsmIndex::new(64 << 10, &path, Some(1), true, 0.01).unwrap());
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let index = Arc::clone(&index);
        tasks.spawn(async move {
            for i in 0..ENTRIES {
                index.insert(name(writer, i), value(i)).unwrap();
                assert_eq!(index.get(&name(writer, i)).unwrap(), Some(value(i)));
                if i % 3 == 0 {
                    index.remove(&name(writer, i)).unwrap();
                    assert_eq!(index.get(&name(writer, i)).unwrap(), None);
                }
                if i % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }

    let found: Vec<_> = index.range(..).unwrap().collect();
    let expected: Vec<_> = (0..WRITERS)
        .flat_map(|w| (0..ENTRIES).filter(|i| i % 3 != 0).map(move |i| (name(w, i), value(i))))
        .collect();
    assert!(found == expected, "{} entries instead of {}", found.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_tasks_read_what_others_have_written() {
    let (_temporary, path) = place();
    let index = Arc::new(open(&path));
    let written = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (index, written) = (Arc::clone(&index), Arc::clone(&written));
        spawn_blocking(move || {
            for i in 0..20_000 {
                index.insert(key(i), value(i)).unwrap();
                written.store(i + 1, Ordering::Release);
            }
        })
    };
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (index, written) = (Arc::clone(&index), Arc::clone(&written));
            spawn_blocking(move || {
                let mut state = 12_345 + reader;
                loop {
                    let known = written.load(Ordering::Acquire);
                    state = state * 1_103_515_245_usize % 2_147_483_647;
                    if known > 0 {
                        let i = state % known;
                        assert_eq!(index.get(&key(i)).unwrap(), Some(value(i)), "{i} of {known}");
                    }
                    if known == 20_000 {
                        break;
                    }
                }
            })
        })
        .collect();

    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_beside_a_writer_see_a_beginning_of_what_he_wrote() {
    let (_temporary, path) = place();
    let index = Arc::new(LsmIndex::new(64 << 10, &path, Some(1), true, 0.01).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (index, done) = (Arc::clone(&index), Arc::clone(&done));
        spawn_blocking(move || {
            for i in 0..30_000 {
                index.insert(key(i), value(i)).unwrap();
            }
            done.store(true, Ordering::Release);
        })
    };
    let scanner = {
        let index = Arc::clone(&index);
        spawn_blocking(move || {
            let mut before = 0;
            loop {
                let last = done.load(Ordering::Acquire);
                let mut count = 0;
                for (i, (found, _)) in index.range(..).unwrap().enumerate() {
                    assert_eq!(found, key(i), "a later write is seen without an earlier one");
                    count += 1;
                }
                assert!(count >= before, "{count} entries after {before}");
                before = count;
                if last {
                    return count;
                }
            }
        })
    };

    writer.await.unwrap();
    assert_eq!(scanner.await.unwrap(), 30_000);
}

#[test]
fn threads_share_an_index_without_a_runtime() {
    let (_temporary, path) = place();
    let index = open(&path);

    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let index = &index;
            scope.spawn(move || {
                for i in 0..ENTRIES {
                    index.insert(name(writer, i), value(i)).unwrap();
                    // All of them write this one.
                    index.insert("shared".to_owned(), value(i)).unwrap();
                }
            });
        }
    });

    assert_eq!(index.range(..).unwrap().count(), WRITERS * ENTRIES + 1);
    assert_eq!(index.get("shared").unwrap(), Some(value(ENTRIES - 1)));
    drop(index);
    assert_eq!(open(&path).range(..).unwrap().count(), WRITERS * ENTRIES + 1);
}

#[test]
fn indexes_in_one_process_do_not_meet() {
    let (temporary, _) = place();
    let indexes: Vec<_> = (0..5).map(|i| open(&temporary.path().join(key(i)))).collect();

    for (i, index) in indexes.iter().enumerate() {
        index.insert("k".to_owned(), value(i)).unwrap();
    }

    for (i, index) in indexes.iter().enumerate() {
        assert_eq!(index.get("k").unwrap(), Some(value(i)));
        assert_eq!(index.range(..).unwrap().count(), 1);
    }
}
