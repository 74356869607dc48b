//! Storing records into a mapped segment, to be measured.

use std::hint::black_box;

use super::{SEGMENT_HEAD_BYTES, Segment, SegmentSpec};
use crate::base::FileNumber;
use crate::base::part::{Part, Work, each, part};
use crate::vfs::parts::Scratch;

/// What is measured here.
pub(crate) const PARTS: &[Part] = &[part("log-store", 0, store)];

/// Records of one put, into pages that were populated before.
fn store(_: usize) -> Box<dyn Work> {
    const CAPACITY: u64 = 32 << 20;
    let scratch = Scratch::new();
    let spec = SegmentSpec {
        number: FileNumber(1),
        salt: 1,
        capacity: CAPACITY,
        boot_id: 0,
        mount_id: 0,
        edit_count: 0,
    };
    let segment = match Segment::prepare(&*scratch.dir, spec, true) {
        Ok(segment) => segment,
        Err(error) => panic!("a segment to store into: {error}"),
    };
    if let Some(map) = segment.map() {
        map.populate(0, SEGMENT_HEAD_BYTES + CAPACITY);
    }
    let (header, body) = ([7; 48], [7; 144]);
    let mut place = 0;
    each(move || {
        place = if place + 2 * 192 > CAPACITY { 0 } else { place + 192 };
        segment.store_record(place, black_box(&header), black_box(&body));
        scratch.path().is_absolute() && segment.is_mapped()
    })
}
