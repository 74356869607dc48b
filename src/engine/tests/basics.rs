//! The simplest promises: what is written is read, in every state that a database can be in.

use super::machine::{BUFFER, Machine, SYNC, get, put, scan};
use crate::base::options::{LogMode, OpenOptions};
use crate::base::{ErrorKind, FileNumber, KeyspaceId};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::vfs::sim::{PowerLoss, SimFs};

fn modes() -> [Machine; 2] {
    let small = OpenOptions { write_buffer_bytes: 4096, ..OpenOptions::default() };
    let written = OpenOptions { log_mode: LogMode::Written, ..small.clone() };
    [Machine::with(SimFs::new(), small), Machine::with(SimFs::new(), written)]
}

#[test]
fn what_is_put_is_read_from_memory_and_from_tables() {
    for machine in modes() {
        let db = machine.open().unwrap();
        for i in 0..200 {
            put(&db, &format!("key{i:03}"), &format!("value{i}"), &BUFFER).unwrap();
        }
        db.delete(KeyspaceId::DEFAULT, b"key007", &BUFFER).unwrap();

        assert_eq!(get(&db, "key000").as_deref(), Some("value0"));
        assert_eq!(get(&db, "key199").as_deref(), Some("value199"));
        assert_eq!(get(&db, "key007"), None);
        assert_eq!(get(&db, "key2"), None);
        let before = scan(&db);
        assert_eq!(before.len(), 199);
        db.flush().unwrap();
        assert_eq!(scan(&db), before);
        assert_eq!(db.stat("sealed_generations").unwrap(), 0);
        db.close().unwrap();
    }
}

#[test]
fn who_found_a_generation_full_waits_for_no_other_than_its_successor() {
    for machine in modes() {
        let db = machine.open().unwrap();
        put(&db, "key", "value", &BUFFER).unwrap();
        let full = db.state.load(&epoch::pin()).active.log_number();
        assert_ne!(full, FileNumber::default());

        db.flush().unwrap();

        // The flush has installed the successor; that one has none, and needs none yet.
        assert!(!db.has_next());
        db.wait_for_next(full, &BUFFER).unwrap();
        assert!(!db.has_next());
        db.close().unwrap();
    }
}

#[test]
fn a_closed_database_opens_with_all_that_was_written() {
    for machine in modes() {
        for round in 0..5 {
            let db = machine.open().unwrap();
            assert_eq!(scan(&db).len(), round * 30);
            for i in 0..30 {
                put(&db, &format!("key{round}{i:03}"), "v", &BUFFER).unwrap();
            }
            db.close().unwrap();
        }
    }
}

#[test]
fn the_death_of_the_process_loses_nothing_acknowledged() {
    for machine in modes() {
        let db = machine.open().unwrap();
        for i in 0..100 {
            put(&db, &format!("key{i:03}"), "v", &BUFFER).unwrap();
        }

        let after = machine.process_death();

        let db = after.open().unwrap();
        assert_eq!(scan(&db).len(), 100);
        put(&db, "more", "v", &BUFFER).unwrap();
        let db = after.process_death().open().unwrap();
        assert_eq!(scan(&db).len(), 101);
    }
}

#[test]
fn power_loss_loses_nothing_synced() {
    for how in PowerLoss::ALL {
        for machine in modes() {
            let db = machine.open().unwrap();
            for i in 0..100 {
                let how = if i % 10 == 9 { &SYNC } else { &BUFFER };
                put(&db, &format!("key{i:03}"), "v", how).unwrap();
            }
            put(&db, "late", "v", &BUFFER).unwrap();

            let after = machine.power_loss(how, 7);

            let db = after.open().unwrap();
            let all = scan(&db);
            assert!(all.len() >= 100, "{how:?}: {}", all.len());
        }
    }
}

#[test]
fn a_second_opener_is_refused() {
    let machine = Machine::new();
    let _db = machine.open().unwrap();

    assert_eq!(machine.open().unwrap_err().kind(), ErrorKind::Locked);
}

#[test]
fn large_batches_get_a_generation_of_their_own() {
    for machine in modes() {
        let db = machine.open().unwrap();
        put(&db, "a", "1", &BUFFER).unwrap();
        let large = "x".repeat(10_000);
        put(&db, "b", &large, &BUFFER).unwrap();
        put(&db, "c", "3", &BUFFER).unwrap();

        assert_eq!(get(&db, "b").as_deref(), Some(large.as_str()));
        let db = machine.process_death().open().unwrap();
        assert_eq!(get(&db, "a").as_deref(), Some("1"));
        assert_eq!(get(&db, "b").as_deref(), Some(large.as_str()));
        assert_eq!(get(&db, "c").as_deref(), Some("3"));
    }
}

#[test]
fn deleted_bytes_leave_with_compaction_and_the_rest_stays() {
    for machine in modes() {
        let db = machine.open().unwrap();
        for round in 0..10 {
            for i in 0..300 {
                put(&db, &format!("key{i:03}"), &format!("value{round}-{i}"), &BUFFER).unwrap();
            }
        }
        for i in 0..299 {
            db.delete(KeyspaceId::DEFAULT, format!("key{i:03}").as_bytes(), &BUFFER).unwrap();
        }
        db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();

        assert_eq!(scan(&db), [("key299".to_owned(), "value9-299".to_owned())]);
        assert!(db.stat("compactions").unwrap() > 0);
        let bytes = db.stat("table_bytes").unwrap();
        assert!(bytes < 2000, "{bytes} bytes are left");
        machine.settle();
        let names = machine.fs.files();
        let is_table = |name: &str| name.split('.').next_back() == Some("sst");
        let tables = names.iter().filter(|(name, _)| is_table(name)).count();
        assert_eq!(tables, 1, "{names:?}");
    }
}

#[test]
fn keyspaces_share_a_table_and_are_dropped_whole() {
    for machine in modes() {
        let db = machine.open().unwrap();
        let spaces: Vec<_> =
            (0..500).map(|i| db.keyspace_open(&format!("space{i}"), None).unwrap()).collect();
        for space in &spaces {
            db.put(space.id, b"key", space.name.as_bytes(), &BUFFER).unwrap();
        }
        db.flush().unwrap();
        assert!(db.stat("tables").unwrap() <= 20, "{}", db.stat("tables").unwrap());

        db.keyspace_drop("space7").unwrap();

        assert!(db.put(spaces[7].id, b"key", b"x", &BUFFER).is_err());
        let again = db.keyspace_open("space7", None).unwrap();
        assert_ne!(again.id, spaces[7].id);
        let db = machine.process_death().open().unwrap();
        assert_eq!(db.keyspace_list().len(), 501);
        let found = db.get(spaces[8].id, b"key", &crate::engine::ReadOptions::default()).unwrap();
        assert_eq!(&*found.unwrap(), b"space8");
    }
}

#[test]
fn a_snapshot_sees_one_moment_through_flush_and_compaction() {
    for machine in modes() {
        let db = machine.open().unwrap();
        let empty = db.snapshot().unwrap();
        for i in 0..100 {
            put(&db, &format!("key{i:03}"), "old", &BUFFER).unwrap();
        }
        let old = db.snapshot().unwrap();
        for i in 0..100 {
            put(&db, &format!("key{i:03}"), "new", &BUFFER).unwrap();
        }
        db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();

        for (snapshot, want) in [(&empty, None), (&old, Some("old"))] {
            let options = crate::engine::ReadOptions {
                snapshot: Some(std::sync::Arc::clone(snapshot)),
                keys_only: false,
            };
            for i in 0..100 {
                let key = format!("key{i:03}");
                let found = db.get(KeyspaceId::DEFAULT, key.as_bytes(), &options).unwrap();
                assert_eq!(found.as_deref(), want.map(str::as_bytes));
            }
            let mut iter = db.iter(KeyspaceId::DEFAULT, &options, None, None).unwrap();
            let mut count = 0;
            while iter.prev().unwrap() {
                assert_eq!(iter.value(), b"old");
                count += 1;
            }
            assert_eq!(count, if want.is_some() { 100 } else { 0 });
        }
    }
}

#[test]
fn who_waits_for_a_generation_has_it_after_the_first_pages() {
    let machine = Machine::new();
    let db = machine.open().unwrap();
    let (capacity, charge) = db.charge(1 << 20).unwrap();
    let generation = db.build(capacity, crate::engine::prepare::Form::Plain, charge).unwrap();
    let ahead = generation.touched.load(Ordering::Relaxed);
    let bring = |from, hurry| db.populate(&generation, (from, ahead), hurry);

    db.jobs.wanted.store(true, Ordering::Relaxed);
    let begun = bring(0, true);
    assert!(0 < begun && begun < ahead, "{begun} of {ahead}");
    assert_eq!(bring(begun, false), ahead, "the rest is brought whoever waits");
    db.jobs.wanted.store(false, Ordering::Relaxed);
    assert_eq!(bring(0, true), ahead, "and nobody waits here");

    db.discard(&generation);
    db.close().unwrap();
}
