//! The encoding of operations, to be measured.

use std::hint::black_box;

use super::{Op, encode_entry};
use crate::base::part::{Keys, Part, VALUE, Work, each, part};
use crate::base::{KeyspaceId, Kind};

/// What is measured here.
pub(crate) const PARTS: &[Part] = &[part("batch-encode", 0, encode)];

fn encode(_: usize) -> Box<dyn Work> {
    let mut keys = Keys::drawn(0, 1000);
    let mut out = [0; 144];
    each(move || {
        let key = keys.draw();
        let op = Op { kind: Kind::Put, keyspace: KeyspaceId(0), expiry_ms: 0, key, value: &VALUE };
        encode_entry(black_box(&mut out), black_box(&op)) == out.len()
    })
}
