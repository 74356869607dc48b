//! The C face from Rust: what C programs cannot provoke, above all caught panics.
//!
//! The calls themselves are tested by the programs in `ctests/`.

use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use super::constants::{LSM_E_CLOSED, LSM_E_INTERNAL, LSM_E_INVALID, LSM_H_POISONED, LSM_OK};
use super::guard::{guard, guard_quietly};
use super::handle::{Call, IterObject};
use super::types::{lsm_db, lsm_error, lsm_health, lsm_iter};
use super::{admin, constants, db, iter, read, write};
use crate::base::{Error, ErrorKind, limits};

/// A database in a directory of its own.
struct Opened {
    db: *mut lsm_db,
    _dir: tempfile::TempDir,
}

fn open() -> Opened {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path =
        CString::new(dir.path().join("db").into_os_string().into_encoded_bytes()).expect("no NUL");
    let mut db = null_mut();
    // SAFETY: the pointers are valid.
    let rc = unsafe { db::lsm_open(path.as_ptr(), null(), &raw mut db, null_mut()) };
    assert_eq!(rc, LSM_OK);
    Opened { db, _dir: dir }
}

fn error() -> lsm_error {
    // SAFETY: all zeros is a valid lsm_error.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn message(err: &lsm_error) -> &str {
    // SAFETY: the library ends every message with a NUL.
    unsafe { CStr::from_ptr(err.message.as_ptr()) }.to_str().expect("UTF-8")
}

fn put(db: *mut lsm_db, key: &[u8], err: &mut lsm_error) -> i32 {
    let at: *const c_void = key.as_ptr().cast();
    // SAFETY: the pointers are valid for the lengths.
    unsafe { write::lsm_put(db, null_mut(), null(), at, key.len(), at, key.len(), err) }
}

fn get(db: *mut lsm_db, key: &[u8]) -> i32 {
    let mut len = 0;
    let at: *const c_void = key.as_ptr().cast();
    let err = null_mut();
    // SAFETY: the pointers are valid for the lengths.
    unsafe {
        read::lsm_get(db, null_mut(), null(), at, key.len(), null_mut(), 0, &raw mut len, err)
    }
}

#[test]
fn a_panic_becomes_a_code_with_its_text() {
    let mut err = error();

    // SAFETY: `err` is valid.
    let rc = unsafe { guard("lsm_x", &raw mut err, |_| panic!("the {} broke", "thing")) };

    assert_eq!(rc, LSM_E_INTERNAL);
    assert_eq!(err.code, LSM_E_INTERNAL);
    assert!(message(&err).contains("lsm_x") && message(&err).contains("the thing broke"));
}

#[test]
fn a_panic_whose_payload_panics_again_stays_inside() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    // SAFETY: there is no error to fill.
    let rc = unsafe { guard("lsm_x", null_mut(), |_| std::panic::panic_any(Bomb)) };

    assert_eq!(rc, LSM_E_INTERNAL);
    assert_eq!(guard_quietly("lsm_y", 7, |_| std::panic::panic_any(Bomb)), 7);
}

#[test]
fn a_panic_stops_writes_and_leaves_reads() {
    let opened = open();
    let mut err = error();
    assert_eq!(put(opened.db, b"k", &mut err), LSM_OK);

    // SAFETY: `err` is valid.
    let rc = unsafe {
        guard("lsm_x", &raw mut err, |call| {
            call.db(opened.db)?;
            panic!("broken")
        })
    };

    assert_eq!(rc, LSM_E_INTERNAL);
    assert_eq!(put(opened.db, b"k", &mut err), LSM_E_INTERNAL);
    assert!(message(&err).contains("broken"), "the first cause is named: {}", message(&err));
    assert_eq!(get(opened.db, b"k"), LSM_OK);
    // SAFETY: a zeroed struct with its size is valid.
    let mut health: lsm_health = unsafe { MaybeUninit::zeroed().assume_init() };
    health.struct_size = 72;
    // SAFETY: the pointers are valid.
    assert_eq!(unsafe { admin::lsm_health_get(opened.db, &raw mut health, &raw mut err) }, LSM_OK);
    assert_eq!((health.state, err.code), (LSM_H_POISONED, LSM_E_INTERNAL));
    // SAFETY: the handle is open; whatever it answers, it is closed then.
    unsafe { db::lsm_close(opened.db, 0, null_mut()) };
    assert_eq!(get(opened.db, b"k"), LSM_E_CLOSED);
}

#[test]
fn a_panic_in_a_cursor_stops_writes_and_breaks_only_that_cursor() {
    let opened = open();
    let mut err = error();
    assert_eq!(put(opened.db, b"k", &mut err), LSM_OK);
    let mut it: *mut lsm_iter = null_mut();
    let (ks, none, out) = (null_mut(), null(), &raw mut it);
    // SAFETY: the pointers are valid.
    let rc =
        unsafe { iter::lsm_iter_open(opened.db, ks, null(), none, 0, none, 0, out, null_mut()) };
    assert_eq!(rc, LSM_OK);

    // SAFETY: `err` is valid.
    let rc = unsafe {
        guard("lsm_x", &raw mut err, |call| {
            let it: &mut IterObject = call.cursor(it)?;
            it.broken = true;
            panic!("broken")
        })
    };

    assert_eq!(rc, LSM_E_INTERNAL);
    assert_eq!(put(opened.db, b"k", &mut err), LSM_E_INTERNAL);
    // SAFETY: the handle is open.
    let next = |it| unsafe { iter::lsm_iter_next(it, null_mut(), null_mut(), null_mut()) };
    assert_eq!(next(it), LSM_E_INVALID);
    // SAFETY: the handle is open.
    let rc = unsafe { iter::lsm_iter_seek(it, 1, null(), 0, null_mut(), null_mut(), null_mut()) };
    assert_eq!(rc, LSM_OK);
    // SAFETY: the handles are open.
    unsafe { iter::lsm_iter_close(it) };
    // SAFETY: as above.
    unsafe { db::lsm_close(opened.db, 0, null_mut()) };
}

#[test]
fn an_exclusive_handle_in_use_is_refused_to_a_second_user() {
    let opened = open();
    let mut it: *mut lsm_iter = null_mut();
    let (ks, none, out) = (null_mut(), null(), &raw mut it);
    // SAFETY: the pointers are valid.
    let rc =
        unsafe { iter::lsm_iter_open(opened.db, ks, null(), none, 0, none, 0, out, null_mut()) };
    assert_eq!(rc, LSM_OK);

    let first = Call::new("lsm_x");
    assert!(first.cursor(it).is_ok());
    let second = Call::new("lsm_y");
    let refused = second.cursor(it).err().map(|error| error.kind());

    assert_eq!(refused, Some(ErrorKind::Invalid));
    drop((first, second));
    assert!(Call::new("lsm_z").cursor(it).is_ok());
    // SAFETY: the handles are open.
    unsafe { iter::lsm_iter_close(it) };
    // SAFETY: as above.
    unsafe { db::lsm_close(opened.db, 0, null_mut()) };
}

#[test]
fn a_message_that_is_too_long_is_cut_between_characters() {
    let mut err = error();
    let text = "\u{e9}".repeat(200);

    // SAFETY: `err` is valid.
    unsafe { super::status::report(&raw mut err, &Error::invalid(text)) };

    assert_eq!(message(&err), "\u{e9}".repeat(107));
}

#[test]
fn every_error_kind_has_the_code_of_the_header() {
    let pairs = [
        (ErrorKind::Invalid, constants::LSM_E_INVALID),
        (ErrorKind::Closed, constants::LSM_E_CLOSED),
        (ErrorKind::Busy, constants::LSM_E_BUSY),
        (ErrorKind::Conflict, constants::LSM_E_CONFLICT),
        (ErrorKind::Timeout, constants::LSM_E_TIMEOUT),
        (ErrorKind::Locked, constants::LSM_E_LOCKED),
        (ErrorKind::ReadOnly, constants::LSM_E_READONLY),
        (ErrorKind::NoSpace, constants::LSM_E_NO_SPACE),
        (ErrorKind::Io, constants::LSM_E_IO),
        (ErrorKind::Corrupt, constants::LSM_E_CORRUPT),
        (ErrorKind::Format, constants::LSM_E_FORMAT),
        (ErrorKind::NoMemory, constants::LSM_E_NOMEM),
        (ErrorKind::Unsupported, constants::LSM_E_UNSUPPORTED),
        (ErrorKind::Forked, constants::LSM_E_FORKED),
        (ErrorKind::Internal, constants::LSM_E_INTERNAL),
    ];
    for (kind, code) in pairs {
        assert_eq!(super::status::code(&Error::new(kind, "x")), code, "{kind:?}");
    }
    assert_eq!(constants::LSM_KEY_BYTES_MAX as usize, limits::KEY_BYTES_MAX);
    assert_eq!(constants::LSM_VALUE_BYTES_MAX as usize, limits::VALUE_BYTES_MAX);
    assert_eq!(constants::LSM_BATCH_BYTES_MAX as usize, limits::BATCH_BYTES_MAX);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "reads its own sources")]
fn every_exported_function_has_a_guard() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capi");
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for function in text.split("#[unsafe(no_mangle)]\n").skip(1) {
            let body = function.split("\n}\n").next().unwrap();
            let name = body.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            seen += 1;
            if ["lsm_abi_version", "lsm_version", "lsm_rc_name"].contains(&name) {
                continue;
            }
            let named = format!("guard(\"{name}\"");
            let quiet = format!("guard_quietly(\"{name}\"");
            assert!(body.contains(&named) || body.contains(&quiet), "{name} has no guard");
        }
    }
    assert_eq!(seen, 41);
}
