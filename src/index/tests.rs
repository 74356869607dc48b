//! What can only be seen from inside: how filters are sized, and that threads may share an index.

use super::filter_rate::{bits_x10, expected_rate};
use super::{LsmIndex, Range, TryRange};
use crate::base::ErrorKind;

#[test]
fn smaller_rates_get_more_bits_up_to_the_most() {
    let rates = [0.9, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0001, 1e-6];

    let bits: Vec<u32> = rates.iter().map(|rate| bits_x10(*rate).unwrap()).collect();

    assert!(bits.windows(2).all(|pair| pair[0] < pair[1]), "{bits:?}");
    assert_eq!(bits_x10(f64::MIN_POSITIVE).unwrap(), 640);
}

#[test]
fn the_chosen_bits_keep_the_rate_and_fewer_would_not() {
    for rate in [0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-5] {
        let bits = bits_x10(rate).unwrap();

        assert!(expected_rate(bits) <= rate, "{bits} tenths of bits for {rate}");
        assert!(expected_rate(bits - 1) > rate, "{bits} tenths of bits for {rate} are too many");
    }
}

#[test]
fn a_blocked_filter_gets_more_bits_than_a_plain_one() {
    // A plain Bloom filter needs 9.6 bits a key for one in a hundred.
    let bits = bits_x10(0.01).unwrap();

    assert!((97..=110).contains(&bits), "{bits}");
}

#[test]
fn a_rate_that_is_none_is_refused() {
    for rate in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = bits_x10(rate).unwrap_err();

        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn threads_may_share_an_index_and_pass_scans_on() {
    fn shared<T: Send + Sync>() {}
    fn passed<T: Send>() {}

    shared::<LsmIndex>();
    passed::<Range<'_>>();
    passed::<TryRange<'_>>();
}
