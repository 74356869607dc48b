//! Tests of counting, tracing, failing and crashing at a chosen call.

use super::{disk, reopen, synced};
use crate::base::ErrorKind;
use crate::vfs::Vfs;
use crate::vfs::sim::{CallKind, Effect, Fault, PowerLoss, Repeat};

const FILE: &str = "/db/000001.wal";

#[test]
fn every_call_is_counted_and_traced_with_its_file() {
    let (fs, dir) = disk();
    let start = fs.calls();
    fs.start_trace();

    let file = dir.create("000001.wal").unwrap();
    file.allocate(4096).unwrap();
    let map = file.map(4096).unwrap();
    map.store(0, b"fox");
    map.store_words(8, &[1, 2]);
    map.populate(0, 4096);
    map.release(8);
    map.sync(0, 8).unwrap();
    dir.sync().unwrap();

    let trace = fs.trace();
    let told: Vec<_> = trace.iter().map(|call| (call.kind, &*call.file, call.bytes)).collect();
    assert_eq!(
        told,
        [
            (CallKind::Create, "000001.wal", 0),
            (CallKind::Allocate, "000001.wal", 0),
            (CallKind::Map, "000001.wal", 0),
            (CallKind::Store, "000001.wal", 3),
            (CallKind::Store, "000001.wal", 16),
            (CallKind::SyncMap, "000001.wal", 0),
            (CallKind::SyncDir, "/db", 0),
        ]
    );
    assert_eq!(trace[0].index, start);
    assert_eq!(fs.calls(), start + 7);
}

#[test]
fn a_failing_call_does_nothing_and_the_next_succeeds() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"old");
    fs.arm(Fault::fail(fs.calls(), libc::EIO));

    let error = file.write_at(b"new", 0).err().unwrap();

    assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, libc::EIO));
    assert!(error.message().contains("000001.wal"), "{error}");
    assert_eq!(fs.read_file(FILE).unwrap(), b"old");
    assert_eq!(fs.hits(), 1);
    file.write_at(b"new", 0).unwrap();
    assert_eq!(fs.read_file(FILE).unwrap(), b"new");
}

#[test]
fn failures_repeat_as_chosen() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"old");

    fs.arm(Fault::fail(fs.calls(), libc::EIO).repeated(Repeat::SameKind));
    assert!(file.sync().is_err());
    assert!(file.write_at(b"x", 0).is_ok());
    assert!(file.sync().is_err());
    fs.disarm();
    assert!(file.sync().is_ok());

    fs.arm(Fault::fail(fs.calls() + 1, libc::ENOSPC).repeated(Repeat::Always));
    assert!(file.sync().is_ok());
    assert_eq!(file.write_at(b"x", 0).err().unwrap().kind(), ErrorKind::NoSpace);
    assert!(file.sync().is_err() && dir.list().is_err() && file.len().is_err());
    assert!(!fs.has_crashed());
}

#[test]
fn a_failing_write_may_have_stored_a_part() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"....");

    fs.arm(Fault::fail(fs.calls(), libc::EIO).with_effect(Effect::Bytes(2)));
    assert!(file.write_at(b"abcd", 0).is_err());
    assert_eq!(fs.read_file(FILE).unwrap(), b"ab..");

    fs.arm(Fault::fail(fs.calls(), libc::EIO).with_effect(Effect::Everything));
    assert!(file.write_at(b"efgh", 0).is_err());
    assert_eq!(fs.read_file(FILE).unwrap(), b"efgh");
}

#[test]
fn a_failed_sync_that_drops_makes_the_next_one_lie() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"....");
    file.write_at(b"ab", 0).unwrap();
    fs.arm(Fault::fail_dropping(fs.calls(), libc::EIO));

    assert!(file.sync().is_err());
    file.write_at(b"c", 2).unwrap();
    file.sync().unwrap();

    assert_eq!(fs.read_file(FILE).unwrap(), b"abc.");
    for how in PowerLoss::ALL {
        assert_eq!(fs.power_loss(how, 5).read_file(FILE).unwrap(), b"..c.", "{how:?}");
    }
}

#[test]
fn a_failed_sync_may_have_synced_or_may_be_tried_again() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"....");
    file.write_at(b"ab", 0).unwrap();
    let durable = || fs.power_loss(PowerLoss::Nothing, 0).read_file(FILE).unwrap();

    fs.arm(Fault::fail(fs.calls(), libc::EIO));
    assert!(file.sync().is_err());
    assert_eq!(durable(), b"....");
    fs.arm(Fault::fail(fs.calls(), libc::EIO).with_effect(Effect::Everything));
    assert!(file.sync().is_err());
    assert_eq!(durable(), b"ab..");
}

#[test]
fn a_failed_directory_sync_that_drops_loses_the_names() {
    let (fs, dir) = disk();
    dir.create("000001.wal").unwrap();
    fs.arm(Fault::fail_dropping(fs.calls(), libc::EIO));

    assert!(dir.sync().is_err());
    dir.sync().unwrap();

    assert_eq!(fs.files().len(), 1);
    assert!(fs.power_loss(PowerLoss::Everything, 0).files().is_empty());
}

#[test]
fn a_crash_ends_everything_before_after_or_in_the_middle_of_the_call() {
    let left = |fault: fn(u64) -> Fault| {
        let (fs, dir) = disk();
        let file = synced(&dir, "000001.wal", b"........");
        let map = file.map(8).unwrap();
        fs.arm(fault(fs.calls()));
        let error = file.write_at(b"abcdefgh", 0).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(fs.has_crashed());
        assert!(file.sync().is_err() && dir.create("x").is_err() && file.map(8).is_err());
        map.store(0, b"zz");
        fs.process_death().read_file(FILE).unwrap()
    };

    assert_eq!(left(Fault::crash_before), b"........");
    assert_eq!(left(Fault::crash_after), b"abcdefgh");
    assert_eq!(left(|at| Fault::crash_torn(at, 1, 4)), b"ab......");
    assert_eq!(left(|at| Fault::crash_torn_at(at, 5)), b"abcde...");
}

#[test]
fn mapped_stores_cannot_fail_but_can_be_crashed_in() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", &[b'.'; 24]);
    let map = file.map(24).unwrap();

    fs.arm(Fault::fail(fs.calls(), libc::EIO));
    map.store(0, b"ab");
    assert_eq!(&fs.read_file(FILE).unwrap()[..3], b"ab.");

    fs.arm(Fault::crash_torn_at(fs.calls(), 15));
    map.store_words(0, &[0x6161_6161_6161_6161; 3]);
    assert_eq!(fs.read_file(FILE).unwrap(), b"aaaaaaaa................");
    assert!(fs.has_crashed());
}

#[test]
fn calls_without_bytes_are_done_or_not() {
    for (fault, expected) in [
        (Fault::crash_before as fn(u64) -> Fault, 1),
        (|at| Fault::crash_torn(at, 1, 2), 1),
        (Fault::crash_after, 2),
    ] {
        let (fs, dir) = disk();
        synced(&dir, "000001.wal", b"");
        fs.arm(fault(fs.calls()));

        assert!(dir.create("000002.wal").is_err());

        assert_eq!(fs.process_death().files().len(), expected);
    }
}

#[test]
fn a_sweep_over_all_calls_ends_when_nothing_is_hit() {
    let run = |at: u64| {
        let (fs, _) = disk();
        let fs = fs.process_death();
        fs.arm(Fault::crash_before(at));
        let work = || {
            let dir = fs.open_dir(std::path::Path::new("/db"), true)?;
            let _lock = dir.lock(crate::vfs::LockMode::Exclusive, 1)?;
            dir.create("000001.wal")?.sync()?;
            dir.sync()
        };
        (work().is_ok(), fs.hits())
    };

    let mut at = 0;
    while run(at) == (false, 1) {
        at += 1;
    }

    // open_dir and the sync of its parent, lock, create, two syncs.
    assert_eq!(at, 6);
    assert_eq!(run(at), (true, 0));
}

#[test]
fn the_next_process_starts_without_faults() {
    let (fs, _dir) = disk();
    fs.arm(Fault::crash_before(fs.calls() + 50));
    fs.crash();
    assert!(fs.open_dir(std::path::Path::new("/db"), false).is_err());

    let next = fs.process_death();

    for _ in 0..100 {
        reopen(&next);
    }
    assert_eq!((next.calls(), next.hits()), (100, 0));
}
