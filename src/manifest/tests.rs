//! The manifest as its users see it: what was appended comes back, by whatever end.

mod damage;
mod edits;
mod page;

use super::testing::MemDir;
use super::*;
use crate::base::meta::{FileMeta, SectionMeta};
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{KeyspaceId, Level, Lsn};

const NUMBER: FileNumber = FileNumber(2);
const SALT: u64 = 0x0123_4567_89ab_cdef;

fn keyspace(id: u32, name: &str) -> KeyspaceMeta {
    KeyspaceMeta {
        id: KeyspaceId(id),
        name: name.to_owned(),
        comparator: Comparator::bytes(),
        options: KeyspaceOptions::default(),
    }
}

fn section(level: u8, file: u64, keyspace: u32, keys: (&str, &str)) -> AddedSection {
    AddedSection {
        level: Level(level),
        file: FileMeta { number: FileNumber(file), file_id: file * 7, file_bytes: 4096 },
        section: SectionMeta {
            keyspace: KeyspaceId(keyspace),
            smallest: keys.0.as_bytes().to_vec(),
            largest: keys.1.as_bytes().to_vec(),
            smallest_number: 10,
            largest_number: 20,
            entries: 3,
            tombstones: 1,
            bytes: 1024,
            raw_bytes: 2048,
        },
    }
}

fn removal(level: u8, file: u64, keyspace: u32) -> RemovedSection {
    RemovedSection { level: Level(level), file: FileNumber(file), keyspace: KeyspaceId(keyspace) }
}

fn first_edit() -> VersionEdit {
    VersionEdit {
        created: vec![keyspace(0, "default")],
        next_file: Some(FileNumber(3)),
        next_keyspace: Some(KeyspaceId(1)),
        floor: Some(Lsn(0)),
        ..VersionEdit::default()
    }
}

/// Edits 2 to 5 of a small history: a keyspace, a flush, a compaction with new options, a drop.
fn history() -> Vec<VersionEdit> {
    let create = VersionEdit {
        created: vec![keyspace(1, "users")],
        next_keyspace: Some(KeyspaceId(2)),
        ..VersionEdit::default()
    };
    let flush = VersionEdit {
        next_file: Some(FileNumber(6)),
        floor: Some(Lsn(4096)),
        synced: Some(Lsn(4096)),
        added: vec![section(0, 4, 0, ("a", "m")), section(0, 4, 1, ("", "zz"))],
        ..VersionEdit::default()
    };
    let options = KeyspaceOptions { compression: Compression::None, ..KeyspaceOptions::default() };
    let compact = VersionEdit {
        next_file: Some(FileNumber(8)),
        ceiling: Some(Lsn(1 << 20)),
        added: vec![section(1, 6, 0, ("a", "f")), section(1, 7, 0, ("g", "m"))],
        removed: vec![removal(0, 4, 0)],
        options_changed: vec![(KeyspaceId(0), options)],
        ..VersionEdit::default()
    };
    let drop = VersionEdit { dropped: vec![KeyspaceId(1)], ..VersionEdit::default() };
    vec![create, flush, compact, drop]
}

/// The state after the first edit and `n` more.
fn state_after(n: usize) -> State {
    let mut state = State::default();
    state.apply(&first_edit()).unwrap();
    for edit in &history()[..n] {
        state.apply(edit).unwrap();
    }
    state
}

fn created(dir: &MemDir) -> Manifest {
    Manifest::create(dir, NUMBER, SALT, 1, &first_edit()).unwrap()
}

/// A manifest with the whole history in it.
fn full_dir() -> MemDir {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    for edit in history() {
        manifest.append(&edit).unwrap();
    }
    dir
}

fn recovered(dir: &MemDir) -> Recovered {
    recover(dir).unwrap().expect("a database")
}

#[test]
fn every_appended_edit_comes_back() {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    assert_eq!(recovered(&dir).state, state_after(0));

    for (n, edit) in history().iter().enumerate() {
        manifest.append(edit).unwrap();

        let recovered = recovered(&dir.after_power_loss());
        assert_eq!(recovered.state, state_after(n + 1));
        assert_eq!(recovered.edit_count, n as u64 + 2);
        assert_eq!(recovered.manifest_number, NUMBER);
        assert_eq!(recovered.torn, None);
        assert!(!recovered.proved, "the DONE frame is not synced");
        assert!(self::recovered(&dir).proved);
        assert_eq!(manifest.state(), &recovered.state);
        assert_eq!(manifest.edit_count(), recovered.edit_count);
        assert_eq!(manifest.bytes(), dir.bytes("MANIFEST-000002").len() as u64);
    }
}

#[test]
fn an_empty_directory_holds_no_database() {
    assert_eq!(recover(&MemDir::default()).unwrap(), None);
    let strays = [(".DS_Store".to_owned(), vec![1]), ("notes.wal.txt".to_owned(), vec![])];
    assert_eq!(recover(&MemDir::of(strays)).unwrap(), None);
}

#[test]
fn a_snapshot_in_a_new_manifest_says_the_same() {
    let dir = full_dir();
    let before = recovered(&dir);

    let next = before.edit_count + 1;
    let manifest =
        Manifest::create(&dir, FileNumber(9), 5, next, &before.state.snapshot()).unwrap();

    let after = recovered(&dir.after_power_loss());
    assert_eq!(after.state, before.state);
    assert_eq!(after.edit_count, before.edit_count + 1);
    assert_eq!(after.manifest_number, FileNumber(9));
    assert_eq!(manifest.state(), &before.state);
}

#[test]
fn a_failed_append_is_returned_by_every_later_one() {
    for call in 1..=2 {
        let dir = MemDir::default();
        let mut manifest = created(&dir);
        dir.fail_call(call);

        let first = manifest.append(&history()[0]).unwrap_err();
        let calls = dir.calls();
        let second = manifest.append(&history()[0]).unwrap_err();

        assert_eq!(first.os_errno(), libc::EIO);
        assert_eq!(second.os_errno(), libc::EIO);
        assert!(second.is_latched());
        assert_eq!(dir.calls(), calls, "nothing is tried again");
        let state = recovered(&dir).state;
        assert!(state == state_after(0) || state == state_after(1));
    }
}

#[test]
fn an_edit_stands_when_only_its_done_frame_failed() {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    dir.fail_call(3);

    manifest.append(&history()[0]).unwrap();

    assert!(manifest.append(&history()[1]).is_err());
    assert_eq!(recovered(&dir).state, state_after(1));
}

#[test]
fn an_edit_that_does_not_fit_never_reaches_the_file() {
    let dir = MemDir::default();
    let mut manifest = created(&dir);
    let bytes = dir.bytes("MANIFEST-000002");

    let error = manifest.append(&history()[1].clone()).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Internal, "keyspace 1 does not exist yet");
    assert_eq!(dir.bytes("MANIFEST-000002"), bytes);
}

#[test]
fn whatever_call_fails_and_whatever_was_not_synced_the_history_is_a_prefix_with_all_acknowledged() {
    let mut call = 0;
    loop {
        call += 1;
        let dir = MemDir::default();
        dir.fail_call(call);
        let mut acknowledged = None;
        if let Ok(mut manifest) = Manifest::create(&dir, NUMBER, SALT, 1, &first_edit()) {
            acknowledged = Some(0);
            for edit in history() {
                if manifest.append(&edit).is_ok() {
                    acknowledged = acknowledged.map(|n| n + 1);
                }
            }
        }

        for dir in [dir.after_power_loss(), dir.after_process_death()] {
            let state = recover(&dir).unwrap().map(|recovered| recovered.state);
            match acknowledged {
                None => assert!(state.is_none_or(|state| state == state_after(0))),
                Some(n) => {
                    let state = state.expect("a database");
                    assert!(state == state_after(n) || state == state_after((n + 1).min(4)));
                }
            }
        }
        if dir.calls() < call {
            break;
        }
    }
    assert!(call > 15, "every call was reached: {call}");
}

#[test]
fn power_loss_between_new_manifest_and_directory_sync_leaves_one_of_both() {
    let mut call = 0;
    loop {
        call += 1;
        let dir = full_dir();
        let before = recovered(&dir);
        let calls = dir.calls();
        dir.fail_call(call);
        let snapshot = before.state.snapshot();
        let result = Manifest::create(&dir, FileNumber(9), 5, before.edit_count + 1, &snapshot);

        for dir in [dir.after_power_loss(), dir.after_process_death()] {
            let after = recovered(&dir);
            assert_eq!(after.state, before.state);
            if result.is_ok() {
                assert_eq!(after.manifest_number, FileNumber(9));
            }
        }
        if dir.calls() - calls < call {
            break;
        }
    }
}

#[test]
fn a_creation_that_was_cut_short_may_be_repeated() {
    for call in 1..=9 {
        let dir = MemDir::default();
        dir.fail_call(call);
        if Manifest::create(&dir, NUMBER, SALT, 1, &first_edit()).is_ok() {
            continue;
        }
        let dir = dir.after_process_death();
        if recover(&dir).unwrap().is_some() {
            continue;
        }

        let manifest = Manifest::create(&dir, FileNumber(3), SALT, 1, &{
            VersionEdit { next_file: Some(FileNumber(4)), ..first_edit() }
        });

        assert!(manifest.is_ok(), "call {call}");
        assert_eq!(recovered(&dir.after_power_loss()).manifest_number, FileNumber(3));
    }
}
