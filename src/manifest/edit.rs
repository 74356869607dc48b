//! A version edit: one atomic change of what the database consists of, and its bytes.
//!
//! An edit is a sequence of tagged fields (`docs/format.md`, chapter "Manifest"). A reader stops at
//! a tag that it does not know unless the tag is marked as one that may be ignored. What an edit
//! means for the state before it is `state`'s business.
//!
//! Plain data and functions: any thread.

use crate::base::coding::{Decoder, Put, u32_of};
use crate::base::meta::{FileMeta, SectionMeta};
use crate::base::options::{Compression, KeyspaceOptions};
use crate::base::{FileNumber, KeyspaceId, Level, Lsn};

/// Tags with this bit may be skipped by a reader that does not know them.
const MAY_IGNORE: u16 = 0x8000;

/// Tags of an edit. Kept: 11 and 12 blob file added and removed, 13 dictionary, 14 encryption key,
/// 15 prepared transaction, 0x8001 feed cursor.
mod tag {
    pub(super) const CREATED: u16 = 1;
    pub(super) const DROPPED: u16 = 2;
    pub(super) const OPTIONS: u16 = 3;
    pub(super) const NEXT_FILE: u16 = 4;
    pub(super) const NEXT_KEYSPACE: u16 = 5;
    pub(super) const FLOOR: u16 = 6;
    pub(super) const SYNCED: u16 = 7;
    pub(super) const CEILING: u16 = 8;
    pub(super) const ADDED: u16 = 9;
    pub(super) const REMOVED: u16 = 10;
}

/// Tags within a keyspace's fields. Kept: 6 merge operator, 7 blob threshold, 8 default time to
/// live, 9 dictionary, 10 encryption key.
mod keyspace_tag {
    pub(super) const COMPARATOR: u16 = 1;
    pub(super) const COMPRESSION: u16 = 2;
    pub(super) const FILTER_BITS: u16 = 3;
    pub(super) const BLOCK_BYTES: u16 = 4;
    pub(super) const HASH_INDEX: u16 = 5;
}

/// How a keyspace orders its keys. The id is fixed for the keyspace's life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Comparator {
    /// 1 is by bytes; others are kept for later.
    pub(crate) id: u32,
    /// Checked beside the id, because ids of custom comparators are chosen by programs.
    pub(crate) name: String,
}

impl Comparator {
    /// Byte order, shorter first among equals.
    pub(crate) fn bytes() -> Self {
        Self { id: 1, name: "lsmer.bytes".to_owned() }
    }
}

/// A keyspace as the manifest knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyspaceMeta {
    /// Never reused.
    pub(crate) id: KeyspaceId,
    /// At most `KEYSPACE_NAME_BYTES_MAX` bytes, unique among the living.
    pub(crate) name: String,
    /// The order of its keys.
    pub(crate) comparator: Comparator,
    /// How its tables are written from now on.
    pub(crate) options: KeyspaceOptions,
}

/// A section that belongs to a level from this edit on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AddedSection {
    /// Where it lies, 0 to `LEVEL_COUNT` - 1.
    pub(crate) level: Level,
    /// The file, the same for all sections of it.
    pub(crate) file: FileMeta,
    /// The section.
    pub(crate) section: SectionMeta,
}

/// A section that no longer belongs to its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RemovedSection {
    /// Where it lay.
    pub(crate) level: Level,
    /// Its file.
    pub(crate) file: FileNumber,
    /// Its keyspace.
    pub(crate) keyspace: KeyspaceId,
}

/// One atomic change. Applied in this order: next numbers, created, options, removed, dropped (with
/// every section the keyspace still has), added, positions. So a move is a removal and an addition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct VersionEdit {
    /// New keyspaces.
    pub(crate) created: Vec<KeyspaceMeta>,
    /// Keyspaces that end here, with all their sections.
    pub(crate) dropped: Vec<KeyspaceId>,
    /// New options of living keyspaces.
    pub(crate) options_changed: Vec<(KeyspaceId, KeyspaceOptions)>,
    /// No file has this number or a higher one yet.
    pub(crate) next_file: Option<FileNumber>,
    /// No keyspace has ever had this id or a higher one.
    pub(crate) next_keyspace: Option<KeyspaceId>,
    /// Everything below is in tables; logs below are never read.
    pub(crate) floor: Option<Lsn>,
    /// Everything below was durable in the log when this was written.
    pub(crate) synced: Option<Lsn>,
    /// No position at or above this was ever given out.
    pub(crate) ceiling: Option<Lsn>,
    /// New sections.
    pub(crate) added: Vec<AddedSection>,
    /// Sections that go.
    pub(crate) removed: Vec<RemovedSection>,
}

/// Why bytes are not an edit that this version can apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum EditFlaw {
    /// The bytes or what they say cannot be right.
    Wrong(String),
    /// They are meant for a newer version, or another build.
    Newer(String),
}

impl EditFlaw {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }
}

type Parsed<T> = std::result::Result<T, EditFlaw>;

impl VersionEdit {
    /// The edit's bytes, without frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let scalars = [
            (tag::NEXT_FILE, self.next_file.map(|n| n.0)),
            (tag::FLOOR, self.floor.map(|n| n.0)),
            (tag::SYNCED, self.synced.map(|n| n.0)),
            (tag::CEILING, self.ceiling.map(|n| n.0)),
        ];
        for (tag, value) in scalars {
            if let Some(value) = value {
                put_field(&mut out, tag, |out| out.put_u64(value));
            }
        }
        if let Some(id) = self.next_keyspace {
            put_field(&mut out, tag::NEXT_KEYSPACE, |out| out.put_u32(id.0));
        }
        for keyspace in &self.created {
            put_field(&mut out, tag::CREATED, |out| put_keyspace(out, keyspace));
        }
        for (id, options) in &self.options_changed {
            put_field(&mut out, tag::OPTIONS, |out| {
                out.put_u32(id.0);
                put_options(out, options);
            });
        }
        for id in &self.dropped {
            put_field(&mut out, tag::DROPPED, |out| out.put_u32(id.0));
        }
        for removed in &self.removed {
            put_field(&mut out, tag::REMOVED, |out| put_removed(out, removed));
        }
        for added in &self.added {
            put_field(&mut out, tag::ADDED, |out| put_added(out, added));
        }
        out
    }

    /// Reads what [`VersionEdit::encode`] made; fields may stand in any order.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let mut edit = Self::default();
        let mut fields = Decoder::new(bytes);
        while let Some((tag, body)) = next_field(&mut fields)? {
            edit.read_field(tag, body)?;
        }
        Ok(edit)
    }

    fn read_field(&mut self, tag: u16, mut body: Decoder<'_>) -> Parsed<()> {
        match tag {
            tag::CREATED => self.created.push(read_keyspace(body)?),
            tag::DROPPED => {
                self.dropped.push(KeyspaceId(whole(&mut body, Decoder::u32)?));
            }
            tag::OPTIONS => {
                let id = KeyspaceId(body.u32().ok_or_else(short)?);
                let (_, options) = read_options(body)?;
                self.options_changed.push((id, options));
            }
            tag::NEXT_FILE => {
                once(&mut self.next_file, FileNumber(whole(&mut body, Decoder::u64)?))?;
            }
            tag::NEXT_KEYSPACE => {
                once(&mut self.next_keyspace, KeyspaceId(whole(&mut body, Decoder::u32)?))?;
            }
            tag::FLOOR => once(&mut self.floor, Lsn(whole(&mut body, Decoder::u64)?))?,
            tag::SYNCED => once(&mut self.synced, Lsn(whole(&mut body, Decoder::u64)?))?,
            tag::CEILING => once(&mut self.ceiling, Lsn(whole(&mut body, Decoder::u64)?))?,
            tag::ADDED => self.added.push(read_added(body)?),
            tag::REMOVED => self.removed.push(whole(&mut body, read_removed)?),
            unknown => skip(unknown)?,
        }
        Ok(())
    }
}

/// A field: u16 tag, u16 zero, u32 length, body.
fn put_field(out: &mut Vec<u8>, tag: u16, body: impl FnOnce(&mut Vec<u8>)) {
    out.put_u16(tag);
    out.put_u16(0);
    let length_at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32_of(out.len() - length_at - 4);
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn next_field<'a>(fields: &mut Decoder<'a>) -> Parsed<Option<(u16, Decoder<'a>)>> {
    if fields.is_empty() {
        return Ok(None);
    }
    let tag = fields.u16().ok_or_else(short)?;
    if fields.u16().ok_or_else(short)? != 0 {
        return Err(EditFlaw::wrong("a field's reserved bytes are not zero"));
    }
    let body = fields.bytes().ok_or_else(short)?;
    Ok(Some((tag, Decoder::new(body))))
}

fn skip(tag: u16) -> Parsed<()> {
    if tag & MAY_IGNORE != 0 {
        return Ok(());
    }
    Err(EditFlaw::Newer(format!("it holds a field of unknown type {tag}")))
}

fn short() -> EditFlaw {
    EditFlaw::wrong("a field ends early")
}

/// Reads one thing that fills the whole body.
fn whole<'a, T>(
    body: &mut Decoder<'a>,
    read: impl FnOnce(&mut Decoder<'a>) -> Option<T>,
) -> Parsed<T> {
    let value = read(body).ok_or_else(short)?;
    if body.is_empty() { Ok(value) } else { Err(EditFlaw::wrong("a field is too long")) }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Parsed<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(EditFlaw::wrong("a field stands twice")),
    }
}

fn read_text(decoder: &mut Decoder<'_>) -> Parsed<String> {
    let bytes = decoder.bytes().ok_or_else(short)?;
    let text = std::str::from_utf8(bytes).map_err(|_| EditFlaw::wrong("a name is not UTF-8"))?;
    Ok(text.to_owned())
}

fn put_keyspace(out: &mut Vec<u8>, keyspace: &KeyspaceMeta) {
    out.put_u32(keyspace.id.0);
    out.put_bytes(keyspace.name.as_bytes());
    put_field(out, keyspace_tag::COMPARATOR, |out| {
        out.put_u32(keyspace.comparator.id);
        out.put_bytes(keyspace.comparator.name.as_bytes());
    });
    put_options(out, &keyspace.options);
}

fn read_keyspace(mut body: Decoder<'_>) -> Parsed<KeyspaceMeta> {
    let id = KeyspaceId(body.u32().ok_or_else(short)?);
    let name = read_text(&mut body)?;
    let (comparator, options) = read_options(body)?;
    let comparator = comparator.ok_or_else(|| EditFlaw::wrong("a keyspace has no comparator"))?;
    Ok(KeyspaceMeta { id, name, comparator, options })
}

fn put_options(out: &mut Vec<u8>, options: &KeyspaceOptions) {
    put_field(out, keyspace_tag::COMPRESSION, |out| out.put_u8(options.compression as u8));
    put_field(out, keyspace_tag::FILTER_BITS, |out| out.put_u32(options.filter_bits_x10));
    put_field(out, keyspace_tag::BLOCK_BYTES, |out| out.put_u32(options.block_bytes));
    put_field(out, keyspace_tag::HASH_INDEX, |out| out.put_u8(u8::from(options.hash_index)));
}

/// Reads a keyspace's fields to the end. What is not there has its default.
fn read_options(mut body: Decoder<'_>) -> Parsed<(Option<Comparator>, KeyspaceOptions)> {
    let mut comparator = None;
    let mut options = KeyspaceOptions::default();
    while let Some((tag, mut body)) = next_field(&mut body)? {
        match tag {
            keyspace_tag::COMPARATOR => {
                let id = body.u32().ok_or_else(short)?;
                let name = read_text(&mut body)?;
                once(&mut comparator, Comparator { id, name })?;
            }
            keyspace_tag::COMPRESSION => {
                options.compression = match whole(&mut body, Decoder::u8)? {
                    1 => Compression::None,
                    2 => Compression::Lz4,
                    n => return Err(EditFlaw::Newer(format!("it names compression {n}"))),
                };
            }
            keyspace_tag::FILTER_BITS => {
                options.filter_bits_x10 = whole(&mut body, Decoder::u32)?;
            }
            keyspace_tag::BLOCK_BYTES => options.block_bytes = whole(&mut body, Decoder::u32)?,
            keyspace_tag::HASH_INDEX => {
                options.hash_index = match whole(&mut body, Decoder::u8)? {
                    0 => false,
                    1 => true,
                    _ => return Err(EditFlaw::wrong("a flag is neither 0 nor 1")),
                };
            }
            unknown => skip(unknown)?,
        }
    }
    Ok((comparator, options))
}

fn put_removed(out: &mut Vec<u8>, removed: &RemovedSection) {
    out.put_u8(removed.level.0);
    out.put_u64(removed.file.0);
    out.put_u32(removed.keyspace.0);
}

fn read_removed(body: &mut Decoder<'_>) -> Option<RemovedSection> {
    Some(RemovedSection {
        level: Level(body.u8()?),
        file: FileNumber(body.u64()?),
        keyspace: KeyspaceId(body.u32()?),
    })
}

fn put_added(out: &mut Vec<u8>, added: &AddedSection) {
    let AddedSection { level, file, section } = added;
    out.put_u8(level.0);
    out.put_u64(file.number.0);
    out.put_u64(file.file_id);
    out.put_u64(file.file_bytes);
    out.put_u32(section.keyspace.0);
    out.put_u64(section.smallest_number);
    out.put_u64(section.largest_number);
    out.put_u64(section.entries);
    out.put_u64(section.tombstones);
    out.put_u64(section.bytes);
    out.put_u64(section.raw_bytes);
    out.put_bytes(&section.smallest);
    out.put_bytes(&section.largest);
}

fn read_added(mut body: Decoder<'_>) -> Parsed<AddedSection> {
    let added = read_added_head(&mut body).ok_or_else(short)?;
    // Fields may follow: 1 blob references, 2 earliest expiry, 3 dictionary, 4 encryption key.
    while let Some((tag, _)) = next_field(&mut body)? {
        skip(tag)?;
    }
    Ok(added)
}

fn read_added_head(body: &mut Decoder<'_>) -> Option<AddedSection> {
    let level = Level(body.u8()?);
    let file =
        FileMeta { number: FileNumber(body.u64()?), file_id: body.u64()?, file_bytes: body.u64()? };
    let keyspace = KeyspaceId(body.u32()?);
    let [smallest_number, largest_number] = [body.u64()?, body.u64()?];
    let [entries, tombstones] = [body.u64()?, body.u64()?];
    let [bytes, raw_bytes] = [body.u64()?, body.u64()?];
    let smallest = body.bytes()?.to_vec();
    let largest = body.bytes()?.to_vec();
    let section = SectionMeta {
        keyspace,
        smallest,
        largest,
        smallest_number,
        largest_number,
        entries,
        tombstones,
        bytes,
        raw_bytes,
    };
    Some(AddedSection { level, file, section })
}
