//! Tests of the real and the simulated machine.

use std::sync::mpsc;

use super::Os;
use super::real::RealOs;
use super::sim::SimOs;

#[test]
fn real_clocks_tell_time_and_the_monotonic_one_never_goes_back() {
    let os = RealOs::new();

    let readings: Vec<u64> = (0..1000).map(|_| os.monotonic_ns()).collect();
    let year_2024_ms = 1_704_067_200_000;

    assert!(readings.is_sorted());
    assert!(readings[999] > readings[0]);
    assert!(os.unix_ms() > year_2024_ms);
}

#[test]
fn real_random_words_differ() {
    let os = RealOs::new();

    let mut words: Vec<u64> = (0..100).map(|_| os.random_u64()).collect();
    words.sort_unstable();
    words.dedup();

    assert_eq!(words.len(), 100);
}

#[cfg(target_os = "linux")]
#[test]
fn boot_id_is_that_of_the_kernel() {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let expected = u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap();

    let boot_id = RealOs::new().boot_id();

    assert_ne!(boot_id, 0);
    assert_eq!(boot_id, expected);
}

#[cfg(target_os = "linux")]
#[test]
fn background_threads_have_their_name_and_leave_signals_to_the_host() {
    let masks = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let before = masks();
    let (send, receive) = mpsc::channel();

    let body = Box::new(move || {
        let name = std::thread::current().name().map(str::to_owned);
        send.send((name, masks())).unwrap();
    });
    RealOs::new().spawn("lsmer-7", body).unwrap().join().unwrap();
    let (name, inside) = receive.recv().unwrap();

    let bit = |signal: i32| 1u64 << (signal - 1);
    assert_eq!(name.as_deref(), Some("lsmer-7"));
    assert_ne!(inside & bit(libc::SIGTERM), 0);
    assert_ne!(inside & bit(libc::SIGUSR1), 0);
    assert_eq!(inside & bit(libc::SIGSEGV), 0);
    assert_eq!(masks(), before);
}

#[test]
fn simulated_machines_with_one_seed_agree_and_others_do_not() {
    let words = |seed| {
        let os = SimOs::new(seed, 1);
        (0..50).map(|_| os.random_u64()).collect::<Vec<_>>()
    };

    assert_eq!(words(1), words(1));
    assert_ne!(words(1), words(2));
}

#[test]
fn simulated_clocks_go_where_the_test_sets_them() {
    let os = SimOs::new(1, 7);
    os.set_tick_ns(0);
    let start = os.monotonic_ns();

    os.advance_ns(5_000_000);
    let later = os.monotonic_ns();
    os.set_unix_ms(3);

    assert_eq!(later - start, 5_000_000);
    assert_eq!(os.unix_ms(), 3);
    assert_eq!(os.monotonic_ns(), later);
    assert_eq!(os.boot_id(), 7);
}

#[test]
fn a_stepped_machine_refuses_to_start_threads() {
    let stepped = SimOs::new(1, 1);
    let threaded = SimOs::with_threads(1, 1);

    assert!(stepped.is_stepped());
    assert!(stepped.spawn("worker", Box::new(|| ())).is_err());
    assert!(!threaded.is_stepped());
    threaded.spawn("worker", Box::new(|| ())).unwrap().join().unwrap();
}
