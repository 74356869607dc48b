//! What is not ours stays as it is, and what a crash leaves of ours is no obstacle.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::super::life::{End, Life, small};
use super::super::machine::{BUFFER, PATH, get, put, scan};
use super::fixture::image;
use crate::base::options::{LogMode, OpenOptions};
use crate::base::{ErrorKind, KeyspaceId};
use crate::engine::Db;
use crate::vfs::Vfs;
use crate::vfs::sim::{Fault, SimFs};

fn options() -> OpenOptions {
    small(LogMode::Auto)
}

/// A disk with the directory of the database and these files in it.
fn disk(files: &[(&str, &[u8])]) -> Arc<SimFs> {
    let fs = SimFs::new();
    drop(fs.open_dir(Path::new(PATH), true).unwrap());
    for (name, bytes) in files {
        fs.write_file(format!("{PATH}/{name}"), bytes);
    }
    fs.process_death()
}

fn names(fs: &SimFs) -> BTreeSet<String> {
    fs.files().into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_directory_that_holds_something_else_is_refused_and_not_touched() {
    let leveldb: &[(&str, &[u8])] = &[
        ("CURRENT", b"MANIFEST-000002\n"),
        ("LOCK", b""),
        ("LOG", b"2026/01/01"),
        ("MANIFEST-000002", b"\x56\xf9\xb8\xf8\x1c\0\x01\x01\x1aleveldb.BytewiseComparator"),
        ("000003.log", b""),
        ("000005.ldb", b"x"),
    ];
    let cases: [&[(&str, &[u8])]; 5] = [
        &[("notes.txt", b"mine")],
        &[(".DS_Store", b""), ("LOCK", b"x")],
        &[("CURRENT", b"")],
        &[("CURRENT", &[0; 64])],
        leveldb,
    ];
    for files in cases {
        let fs = disk(files);
        let before = image(&fs);
        for (must_exist, read_only) in [(false, false), (true, false), (false, true)] {
            let options = OpenOptions { read_only, must_exist, ..options() };
            let error = Life::on(Arc::clone(&fs), &options).open().unwrap_err();

            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Invalid | ErrorKind::Corrupt), "{error:?}");
            assert_eq!(image(&fs), before);
        }
        let life = Life::on(Arc::clone(&fs), &options());
        if !files.iter().any(|(name, _)| *name == "CURRENT") {
            assert!(Db::destroy(&life.env, Path::new(PATH)).is_err());
            assert_eq!(image(&fs), before);
        }
    }
}

#[test]
fn stray_files_are_ignored_and_outlive_everything() {
    let strays =
        [".DS_Store", "0001.wal.bak", "000001.wal~", "1.sst", "MANIFEST-1", "lost+found/x"];
    let fs = SimFs::new();
    let life = Life::on(Arc::clone(&fs), &options());
    let db = life.open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    for name in ["lost+found", "000099.sst", "000098.wal", "MANIFEST-000097"] {
        drop(fs.open_dir(Path::new(&format!("{PATH}/{name}")), true).unwrap());
    }
    for name in strays {
        fs.write_file(format!("{PATH}/{name}"), b"mine");
    }
    let has_all = |fs: &SimFs| {
        let names = names(fs);
        strays.iter().all(|name| names.contains(&format!("{PATH}/{name}")))
    };

    db.flush().unwrap();
    db.compact(KeyspaceId::DEFAULT, None, None, 0).unwrap();
    db.close().unwrap();
    let fs = fs.process_death();
    let life = Life::on(Arc::clone(&fs), &options());
    let db = life.open().unwrap();
    assert_eq!(get(&db, "a").as_deref(), Some("1"));
    put(&db, "b", "2", &BUFFER).unwrap();
    drop(db);
    let fs = fs.process_death();
    let life = Life::on(Arc::clone(&fs), &options());
    let db = life.open().unwrap();
    assert_eq!(scan(&db).len(), 2);
    assert!(has_all(&fs));
    db.close().unwrap();

    Db::destroy(&life.env, Path::new(PATH)).unwrap();

    assert!(has_all(&fs));
    assert_eq!(names(&fs).len(), strays.len());
}

/// Ends the process at every call of `act` on a copy of `fs`; `check` gets what is found then.
fn at_every_call(fs: &SimFs, act: impl Fn(&Life), check: impl Fn(&Arc<SimFs>)) {
    for at in 0.. {
        let fs = fs.process_death();
        let life = Life::on(Arc::clone(&fs), &options());
        fs.arm(Fault::crash_after(at));
        act(&life);
        if !fs.has_crashed() {
            assert!(at > 5);
            return;
        }
        for end in End::all(at) {
            check(&end.of(&fs));
        }
    }
}

#[test]
fn what_a_cut_creation_left_is_no_obstacle() {
    at_every_call(
        &SimFs::new(),
        |life| drop(life.open()),
        |fs| {
            let db = Life::on(Arc::clone(fs), &options()).open().unwrap();
            assert_eq!(scan(&db), []);
            put(&db, "a", "1", &BUFFER).unwrap();
            let db = Life::on(fs.process_death(), &options()).open().unwrap();
            assert_eq!(scan(&db).len(), 1);
        },
    );
}

#[test]
fn a_cut_destruction_can_be_repeated() {
    let fs = SimFs::new();
    let db = Life::on(Arc::clone(&fs), &options()).open().unwrap();
    put(&db, "a", "1", &BUFFER).unwrap();
    db.flush().unwrap();
    put(&db, "b", "2", &BUFFER).unwrap();
    db.sync(db.visible()).unwrap();
    drop(db);

    at_every_call(
        &fs.process_death(),
        |life| drop(Db::destroy(&life.env, Path::new(PATH))),
        |fs| {
            let life = Life::on(Arc::clone(fs), &options());
            // It may have been whole, or gone already.
            let _ = Db::destroy(&life.env, Path::new(PATH));
            let left = names(fs);
            assert!(left.iter().all(|path| path.ends_with("/LOCK")), "{left:?}");
        },
    );
}
