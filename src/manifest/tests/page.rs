//! The worked bytes of `docs/format.md`, chapters CURRENT and Manifest.

use super::super::testing::{assert_page_shows, page_bytes};
use super::*;
use crate::manifest::frame::{decode_frame, decode_head, edit_payload, encode_edit, encode_head};

fn dir_of_the_page() -> MemDir {
    let files = [(filename::manifest(NUMBER), "manifest"), (CURRENT.to_owned(), "current")];
    MemDir::of(files.map(|(name, block)| (name, page_bytes(block))))
}

fn flush_of_the_page() -> VersionEdit {
    VersionEdit {
        next_file: Some(FileNumber(6)),
        floor: Some(Lsn(176)),
        synced: Some(Lsn(176)),
        added: vec![section(0, 5, 0, ("fox", "hen"))],
        ..VersionEdit::default()
    }
}

#[test]
fn the_writer_makes_the_bytes_of_the_page() {
    let dir = MemDir::default();

    created(&dir);

    assert_page_shows("manifest", &dir.bytes(&filename::manifest(NUMBER)));
    assert_page_shows("current", &dir.bytes(CURRENT));
    assert_page_shows("edit", &flush_of_the_page().encode());
}

#[test]
fn the_bytes_of_the_page_read_back() {
    let recovered = recovered(&dir_of_the_page());
    let edit = VersionEdit::decode(&page_bytes("edit"));

    assert_eq!((recovered.state, recovered.edit_count), (state_after(0), 1));
    assert_eq!(edit, Ok(flush_of_the_page()));
}

#[test]
fn the_bytes_of_the_page_decode_and_encode_to_themselves() {
    let manifest = page_bytes("manifest");
    let head = decode_head(HeadKind::Manifest, &manifest, "page", 0).unwrap();
    let frame = decode_frame(&manifest, head.salt, HEAD_BYTES).unwrap();
    let (payload, done_at) = edit_payload(&manifest, head.salt, HEAD_BYTES, &frame).unwrap();
    let done = decode_frame(&manifest, head.salt, done_at).unwrap();
    let edit = VersionEdit::decode(payload).unwrap();

    let mut again = encode_head(HeadKind::Manifest, &head);
    again.extend(encode_edit(head.salt, HEAD_BYTES as u64, frame.edit, &edit.encode()));
    again.truncate(done_at);
    again.extend(frame::encode_done(head.salt, done_at as u64, done.edit));

    assert_eq!(again, manifest);
    let current = page_bytes("current");
    let head = decode_head(HeadKind::Current, &current, CURRENT, 0).unwrap();
    assert_eq!(encode_head(HeadKind::Current, &head), current);
}
