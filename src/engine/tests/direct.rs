//! Tables of many times the memory budget on a machine with little memory: blocks are read past the
//! page cache.

use std::path::Path;
use std::sync::Arc;

use super::machine::{BUFFER, PATH, get, put, scan};
use crate::base::options::{EnvOptions, OpenOptions};
use crate::engine::{Db, Env};
use crate::os::sim::SimOs;
use crate::vfs::sim::{Call, CallKind, Fault, Repeat, SimFs};

const KEYS: usize = 500;

/// Some 900 bytes that cannot be compressed to a third.
fn value(i: usize) -> String {
    let mut word = i as u64;
    let words = (0..56 + i % 3).map(|_| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        format!("{word:016x}")
    });
    words.collect()
}

fn open(fs: &Arc<SimFs>) -> Arc<Db> {
    let os = Arc::new(SimOs::new(1, fs.boot_id()));
    let options = EnvOptions { memory_budget_bytes: 64 << 10, ..EnvOptions::default() };
    let env = Env::create(options, Arc::clone(fs) as _, os).unwrap();
    let options = OpenOptions { write_buffer_bytes: 4096, ..OpenOptions::default() };
    Db::open(&env, Path::new(PATH), options, None).unwrap()
}

/// A closed database of half a megabyte; its memory budget is an eighth of that.
fn filled() -> Arc<SimFs> {
    let fs = SimFs::new();
    let db = open(&fs);
    for i in 0..KEYS {
        put(&db, &format!("key{:04}", i * 333 % KEYS), &value(i * 333 % KEYS), &BUFFER).unwrap();
    }
    while db.env.step() {}
    db.close().unwrap();
    fs.process_death()
}

fn is_direct(call: &Call) -> bool {
    call.kind == CallKind::ReadDirect
}

fn read_all(db: &Arc<Db>) {
    for i in 0..KEYS {
        let i = i * 77 % KEYS;
        assert_eq!(get(db, &format!("key{i:04}")), Some(value(i)));
    }
    assert_eq!(scan(db).len(), KEYS);
}

#[test]
fn direct_reads_find_everything_and_one_that_fails_is_nobodys_error() {
    let filled = filled();
    let fs = filled.process_death();
    fs.start_trace();
    read_all(&open(&fs));
    let calls = fs.trace();
    let direct: Vec<u64> =
        calls.iter().filter(|call| is_direct(call)).map(|call| call.index).collect();
    assert!(direct.len() > KEYS / 2, "{} direct reads", direct.len());

    for at in direct.iter().step_by(10) {
        for repeat in [Repeat::Once, Repeat::SameKind] {
            for errno in [libc::EINVAL, libc::EIO] {
                let fs = filled.process_death();
                fs.arm(Fault::fail(*at, errno).repeated(repeat));
                read_all(&open(&fs));
                assert!(fs.hits() > 0, "call {at}");
            }
        }
    }
}

#[test]
fn a_table_that_cannot_be_opened_for_direct_reads_is_read_through_the_page_cache() {
    let filled = filled();
    let fs = filled.process_death();
    fs.start_trace();
    read_all(&open(&fs));
    let calls = fs.trace();
    // Each table is opened twice, one after the other.
    let is_open = |call: &&Call| call.kind == CallKind::Open && call.file.ends_with(".sst");
    let opened: Vec<&Call> = calls.iter().filter(is_open).collect();
    let twice = opened.windows(2).find(|two| two[0].file == two[1].file).unwrap();

    let fs = filled.process_death();
    fs.arm(Fault::fail(twice[1].index, libc::EINVAL));
    fs.start_trace();
    read_all(&open(&fs));

    let of_it = |call: &&Call| call.file == twice[1].file && is_direct(call);
    assert_eq!(fs.hits(), 1);
    assert!(calls.iter().any(|call| of_it(&call)) && !fs.trace().iter().any(|call| of_it(&call)));
}
