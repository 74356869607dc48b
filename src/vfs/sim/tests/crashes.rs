//! Tests of what the death of a process and each way of losing power leave.

use std::path::Path;

use super::{disk, outcomes, reopen, synced};
use crate::base::ErrorKind;
use crate::vfs::Vfs;
use crate::vfs::sim::{Fault, PowerLoss, SimFs};

const FILE: &str = "/db/000001.wal";

fn bytes(fs: &SimFs) -> Option<Vec<u8>> {
    fs.read_file(FILE)
}

#[test]
fn the_death_of_the_process_leaves_every_byte_and_the_machine() {
    let (fs, dir) = disk();
    let file = dir.create("000001.wal").unwrap();
    file.allocate(4096).unwrap();
    file.map(4096).unwrap().store(10, b"mapped");
    dir.create("000002.wal").unwrap();

    let left = fs.process_death();

    let expected = fs.read_file(FILE).unwrap();
    assert_eq!(bytes(&left).unwrap(), expected);
    assert_eq!(&expected[10..16], b"mapped");
    assert_eq!(left.files().len(), 2);
    assert_eq!(left.boot_id(), fs.boot_id());
    assert_eq!(reopen(&left).mount().unwrap(), dir.mount().unwrap());
    assert_eq!((left.calls(), left.has_crashed()), (2, false));
}

#[test]
fn power_loss_after_the_death_of_the_process_still_loses_what_it_left_unsynced() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"old");
    file.write_at(b"new", 0).unwrap();

    let left = fs.process_death().power_loss(PowerLoss::Nothing, 0);

    assert_eq!(bytes(&left).unwrap(), b"old");
}

#[test]
fn every_loss_of_power_is_a_new_boot_and_a_new_mount() {
    let (fs, dir) = disk();
    let mount = |fs: &std::sync::Arc<SimFs>| reopen(fs).mount().unwrap().mount_id;

    let lost = fs.power_loss(PowerLoss::Everything, 1);
    let again = lost.power_loss(PowerLoss::Everything, 1);
    let remounted = fs.remount(PowerLoss::Everything, 1);

    assert_ne!(lost.boot_id(), fs.boot_id());
    assert_ne!(again.boot_id(), lost.boot_id());
    assert_ne!(mount(&lost), dir.mount().unwrap().mount_id);
    assert_ne!(mount(&again), mount(&lost));
    assert_eq!(remounted.boot_id(), fs.boot_id());
    assert_ne!(mount(&remounted), dir.mount().unwrap().mount_id);
}

#[test]
fn what_was_synced_survives_every_way() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", &[1; 2000]);
    file.write_at(&[2; 100], 5000).unwrap();
    dir.create("000002.wal").unwrap();

    for how in PowerLoss::ALL {
        for left in outcomes(&fs, how, |left| bytes(left).unwrap()) {
            assert!(left.len() >= 2000 && left[..2000].iter().all(|byte| *byte == 1), "{how:?}");
        }
    }
}

#[test]
fn a_synced_file_without_a_synced_name_vanishes() {
    let (fs, dir) = disk();
    let file = dir.create("000001.wal").unwrap();
    file.write_at(b"fox", 0).unwrap();
    file.sync().unwrap();

    assert_eq!(bytes(&fs.power_loss(PowerLoss::Nothing, 0)), None);
    let found = outcomes(&fs, PowerLoss::Independent, bytes);
    assert_eq!(found, [None, Some(b"fox".to_vec())]);
}

#[test]
fn a_directory_whose_parent_was_not_synced_vanishes_with_all_in_it() {
    use crate::vfs::sim::CallKind::{MakeDir, OpenDir, SyncDir};
    let fs = SimFs::new();
    fs.start_trace();
    fs.open_dir(Path::new("/a/b"), true).unwrap();

    let calls: Vec<_> = fs.trace().iter().map(|call| call.kind).collect();
    let left = fs.power_loss(PowerLoss::Nothing, 0);

    assert_eq!(calls, [OpenDir, MakeDir, SyncDir, MakeDir, SyncDir]);
    assert!(left.open_dir(Path::new("/a/b"), false).is_ok());

    let fs = SimFs::new();
    fs.arm(Fault::crash_before(4));
    assert!(fs.open_dir(Path::new("/a/b"), true).is_err());
    let left = fs.power_loss(PowerLoss::Nothing, 0);
    assert!(left.open_dir(Path::new("/a"), false).is_ok());
    assert_eq!(left.open_dir(Path::new("/a/b"), false).err().unwrap().kind(), ErrorKind::Invalid);
}

#[test]
fn a_directory_left_unsynced_by_a_dead_process_is_synced_by_the_next() {
    let fs = SimFs::new();
    fs.arm(Fault::crash_before(2));
    assert!(fs.open_dir(Path::new("/db"), true).is_err());
    let fs = fs.process_death();

    let dir = fs.open_dir(Path::new("/db"), true).unwrap();
    synced(&dir, "000001.wal", b"fox");

    assert_eq!(bytes(&fs.power_loss(PowerLoss::Nothing, 0)).unwrap(), b"fox");
}

#[test]
fn a_rename_without_directory_sync_may_be_lost_but_never_loses_both_contents() {
    let (fs, dir) = disk();
    synced(&dir, "000001.wal", b"old");
    synced(&dir, "000001.tmp", b"new");
    dir.rename("000001.tmp", "000001.wal").unwrap();

    let found = outcomes(&fs, PowerLoss::Independent, |left| bytes(left).unwrap());

    assert_eq!(found, [b"new".to_vec(), b"old".to_vec()]);
    dir.sync().unwrap();
    let found = outcomes(&fs, PowerLoss::Independent, |left| bytes(left).unwrap());
    assert_eq!(found, [b"new".to_vec()]);
}

#[test]
fn a_removal_may_be_left_while_the_rename_before_it_is_not() {
    let (fs, dir) = disk();
    synced(&dir, "CURRENT", b"1");
    synced(&dir, "MANIFEST-000001", b"one");
    synced(&dir, "CURRENT.tmp", b"2");
    dir.rename("CURRENT.tmp", "CURRENT").unwrap();
    dir.remove("MANIFEST-000001").unwrap();

    let left = fs.power_loss(PowerLoss::RemovalsWithoutRenames, 0);

    assert_eq!(left.read_file("/db/CURRENT").unwrap(), b"1");
    assert_eq!(left.read_file("/db/CURRENT.tmp").unwrap(), b"2");
    assert_eq!(left.read_file("/db/MANIFEST-000001"), None);
}

#[test]
fn names_can_be_left_without_data() {
    let (fs, dir) = disk();
    synced(&dir, "000001.wal", b"old");
    let new = dir.create("000001.tmp").unwrap();
    new.write_at(b"new", 0).unwrap();
    dir.rename("000001.tmp", "000001.wal").unwrap();

    assert_eq!(bytes(&fs.power_loss(PowerLoss::NamesWithoutData, 0)).unwrap(), b"");
    assert_eq!(bytes(&fs.power_loss(PowerLoss::LengthsWithZeros, 0)).unwrap(), [0; 3]);
    assert_eq!(bytes(&fs.power_loss(PowerLoss::Everything, 0)).unwrap(), b"new");
}

#[test]
fn a_prefix_has_no_holes_over_files_and_names() {
    let (fs, dir) = disk();
    let first = synced(&dir, "000001.wal", b"");
    let second = synced(&dir, "000002.wal", b"");
    first.write_at(b"1", 0).unwrap();
    second.write_at(b"2", 0).unwrap();
    dir.create("000003.wal").unwrap();
    first.write_at(b"3", 1).unwrap();

    let found = outcomes(&fs, PowerLoss::Prefix, |left| {
        left.files().into_iter().map(|(_, len)| len).collect::<Vec<u64>>()
    });

    assert_eq!(found, [vec![0, 0], vec![1, 0], vec![1, 1], vec![1, 1, 0], vec![2, 1, 0]]);
}

#[test]
fn sectors_are_torn_apart_in_any_order() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", &[b'.'; 1536]);
    file.write_at(&[b'a'; 1200], 100).unwrap();

    let found = outcomes(&fs, PowerLoss::Independent, |left| {
        let bytes = bytes(left).unwrap();
        assert_eq!(bytes.len(), 1536);
        [bytes[100], bytes[511], bytes[512], bytes[1023], bytes[1024], bytes[1299]]
    });

    let whole: Vec<String> =
        found.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
    let expected = ["......", "....aa", "..aa..", "..aaaa", "aa....", "aa..aa", "aaaa..", "aaaaaa"];
    assert_eq!(whole, expected);
}

#[test]
fn a_sector_may_be_left_as_it_was_in_between() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"....");
    file.write_at(b"a", 0).unwrap();
    file.write_at(b"b", 1).unwrap();

    let found = outcomes(&fs, PowerLoss::Independent, |left| bytes(left).unwrap());

    assert_eq!(found, [b"....".to_vec(), b"a...".to_vec(), b"ab..".to_vec()]);
}

#[test]
fn grown_files_show_zeros_or_old_garbage_but_allocated_space_only_zeros() {
    let (fs, dir) = disk();
    let appended = synced(&dir, "000001.wal", b"head");
    appended.write_at(&[1; 600], 4).unwrap();
    let allocated = synced(&dir, "000002.wal", b"");
    allocated.allocate(4096).unwrap();
    allocated.sync().unwrap();
    allocated.write_at(&[1; 600], 4).unwrap();

    let zeros = fs.power_loss(PowerLoss::LengthsWithZeros, 3);
    let garbage = fs.power_loss(PowerLoss::LengthsWithGarbage, 3);

    assert_eq!(bytes(&zeros).unwrap(), [&b"head"[..], &[0; 600]].concat());
    let left = bytes(&garbage).unwrap();
    assert_eq!((left.len(), &left[..4]), (604, &b"head"[..]));
    assert!(left[4..].iter().any(|byte| *byte != 0));
    assert_eq!(garbage.read_file("/db/000002.wal").unwrap(), [0; 4096]);
}

#[test]
fn garbage_may_be_an_older_file() {
    let (fs, dir) = disk();
    drop(synced(&dir, "000000.wal", &[b'#'; 512]));
    dir.remove("000000.wal").unwrap();
    dir.sync().unwrap();
    synced(&dir, "000001.wal", b"").write_at(&[1; 512], 0).unwrap();

    let found = outcomes(&fs, PowerLoss::LengthsWithGarbage, |left| bytes(left).unwrap());

    assert!(found.contains(&vec![b'#'; 512]));
}

#[test]
fn a_failed_write_back_loses_whole_files() {
    let (fs, dir) = disk();
    for name in ["000001.wal", "000002.wal"] {
        let file = synced(&dir, name, b"");
        file.write_at(&[1; 600], 0).unwrap();
    }

    let found = outcomes(&fs, PowerLoss::FailedWriteBack, |left| {
        ["/db/000001.wal", "/db/000002.wal"].map(|name| {
            left.read_file(name).unwrap().iter().map(|byte| u32::from(*byte)).sum::<u32>()
        })
    });

    assert_eq!(found, [[0, 0], [0, 600], [600, 0], [600, 600]]);
}

#[test]
fn a_synced_mapping_keeps_its_pages_and_no_others() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"");
    file.allocate(16 << 10).unwrap();
    let map = file.map(16 << 10).unwrap();
    map.store(4090, b"across pages");
    map.store(9000, b"third");

    map.sync(4000, 4100).unwrap();
    let left = bytes(&fs.power_loss(PowerLoss::Nothing, 0)).unwrap();
    assert_eq!(&left[4090..4102], b"across pages");
    assert_eq!(&left[9000..9005], &[0; 5]);

    map.store(0, b"first");
    map.store(8188, b"over");
    map.sync(8192, 8193).unwrap();
    let left = bytes(&fs.power_loss(PowerLoss::Nothing, 0)).unwrap();
    assert_eq!(left.len(), 16 << 10);
    assert_eq!(
        (&left[..5], &left[8188..8192], &left[9000..9005]),
        (&[0; 5][..], &[0; 4][..], &b"third"[..])
    );
    file.sync().unwrap();
    let left = bytes(&fs.power_loss(PowerLoss::Nothing, 0)).unwrap();
    assert_eq!((&left[..5], &left[8188..8192]), (&b"first"[..], &b"over"[..]));
}

#[test]
fn one_seed_gives_one_outcome() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"");
    file.write_at(&[1; 9000], 0).unwrap();
    dir.create("000002.wal").unwrap();

    for how in PowerLoss::ALL {
        for seed in 0..20 {
            let (a, b) = (fs.power_loss(how, seed), fs.power_loss(how, seed));
            assert_eq!((bytes(&a), a.files()), (bytes(&b), b.files()));
            assert_eq!(a.boot_id(), b.boot_id());
        }
    }
}

#[test]
fn a_long_unsynced_run_is_written_back_in_order() {
    let (fs, dir) = disk();
    let file = synced(&dir, "000001.wal", b"");
    let count: u64 = 70_000;

    for i in 0..count {
        file.write_at(&[1], i).unwrap();
    }

    let left = bytes(&fs.power_loss(PowerLoss::Nothing, 0)).unwrap();
    assert!(left.len() > 1000 && left.len() < 70_000);
    assert!(left.iter().all(|byte| *byte == 1));
    assert_eq!(bytes(&fs.power_loss(PowerLoss::Everything, 0)).unwrap().len(), 70_000);
}
