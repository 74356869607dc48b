//! The death of the process: a child that writes is killed, and everything that it was told was
//! written is there.
//!
//! The child is this test program again, told by a variable of its environment to run
//! [`the_child_writes_until_it_is_killed`] only; its standard output carries the acknowledgements.

#![allow(unsafe_code, reason = "fork")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lsmer::{ErrorKind, LsmIndex};

use super::{key, open, place, value};

/// Names the directory for the child.
const CHILD: &str = "LSMER_INDEX_TEST_CHILD";
/// Acknowledgements come in groups of so many entries.
const GROUP: usize = 50;

#[test]
fn the_child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let index = LsmIndex::new(64 << 10, path, Some(1), true, 0.01).unwrap();
    let first = index.range(..).unwrap().count();
    let mut out = std::io::stdout();
    // The process before may have died between the two writes of an entry.
    for i in first.saturating_sub(2).. {
        index.insert(key(i), value(i)).unwrap();
        if i > 0 {
            // One that was overwritten must not come back with its old value.
            index.insert(key(i - 1), value(i)).unwrap();
        }
        if i % GROUP == 0 {
            writeln!(out, "acknowledged {i}").unwrap();
            out.flush().unwrap();
        }
    }
}

fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_child_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs the child until it has acknowledged `groups` groups, kills it, and returns the number of
/// the last entry that it acknowledged.
fn write_and_kill(path: &Path, groups: usize) -> usize {
    let mut child = child(path);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = lines.map_while(Result::ok).filter_map(|line| {
        line.split("acknowledged ").nth(1).and_then(|number| number.parse().ok())
    });
    let mut last = None;
    for (group, number) in numbers.enumerate() {
        last = Some(number);
        if group == groups {
            // On Unix this is SIGKILL; what it still wrote before is read below.
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "the child ended by itself");
    last.expect("the child has acknowledged something")
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_again_and_again() {
    let (_temporary, path) = place();
    let mut before = 0;
    for round in 0..6 {
        let acknowledged: usize = write_and_kill(&path, 3 + 7 * round);
        assert!(acknowledged >= before);
        before = acknowledged;

        let index = open(&path);
        let entries: Vec<_> = index.range(..).unwrap().collect();
        assert!(entries.len() > acknowledged, "{} of {acknowledged}", entries.len());
        for (i, (found, content)) in entries.iter().enumerate() {
            assert_eq!(*found, key(i));
            // The last two writes may have been under way.
            let is_last = i + 1 == entries.len();
            let is_newest = *content == value(i + 1);
            assert!(is_newest || is_last || i + 2 == entries.len(), "{i} has its old value");
            assert!(is_newest || *content == value(i));
            assert_eq!(index.get(found).unwrap().as_ref(), Some(content));
        }
        index.close().unwrap();
    }
}

#[test]
fn an_index_of_the_parent_is_refused_in_a_forked_child() {
    let (_temporary, path) = place();
    let index = open(&path);
    index.insert("k".to_owned(), b"v".to_vec()).unwrap();

    // SAFETY: the child calls nothing that needs another thread's lock, and ends without unwinding.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = |kind: Option<ErrorKind>| kind == Some(ErrorKind::Forked);
        let well = refused(index.get("k").err().map(|e| e.kind()))
            && refused(index.insert(String::new(), Vec::new()).err().map(|e| e.kind()))
            && refused(index.close().err().map(|e| e.kind()));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    let mut status = -1;
    // SAFETY: waits for the child just made, with room for its status.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };

    assert_eq!(status, 0, "the child could use its parent's index");
    assert_eq!(index.get("k").unwrap(), Some(b"v".to_vec()));
    index.close().unwrap();
}
