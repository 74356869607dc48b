//! Reads `CURRENT` and the manifest it names, and tells a torn end from damage. Writes nothing.
//!
//! 1. Read `CURRENT`; without it the directory must hold nothing that a database leaves behind.
//! 2. Read the manifest's head and check that both belong together.
//! 3. Take frames one by one; edit numbers rise by one.
//! 4. At the first bad frame look for a valid frame header anywhere behind it. An edit is written
//!    only after the one before it was synced, and its DONE frame only after itself was: so any
//!    such header proves that the bad frame was once good (E2), and it is corruption. Without one
//!    it is the torn end of an edit that nobody acted on, and is dropped.
//!
//! Plain functions: any thread.

use super::edit::{EditFlaw, VersionEdit};
use super::frame::{self, FRAME_BYTES, FrameKind, HEAD_BYTES, Head, HeadKind};
use super::state::State;
use crate::base::filename::{self, CURRENT, FileName};
use crate::base::{Error, FileNumber, Result};
use crate::vfs::{Dir, File};

/// No manifest is longer: it is written anew long before, unless a quarter of it is live.
const BYTES_MAX: u64 = 4 << 30;

/// What a manifest says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recovered {
    /// All edits added up.
    pub(crate) state: State,
    /// The number of the manifest that was read.
    pub(crate) manifest_number: FileNumber,
    /// The number of its last whole edit. A log that was prepared after a later edit proves that
    /// this manifest is damaged: `wal::replay` compares.
    pub(crate) edit_count: u64,
    /// Where the torn end begins, if there is one.
    pub(crate) torn: Option<u64>,
    /// Whether the last edit's DONE frame is there, and nothing else behind it: then the manifest,
    /// its name and `CURRENT` were durable before this process saw them.
    pub(crate) proved: bool,
}

/// Reads the database's manifest; none when the directory holds no database.
///
/// `Corrupt` with file and offset for damage of any kind, `Format` for a newer version.
pub(crate) fn recover(dir: &dyn Dir) -> Result<Option<Recovered>> {
    let current = match dir.open(CURRENT, false) {
        Ok(file) => file,
        Err(error) if error.os_errno() == libc::ENOENT => {
            check_nothing_lives_here(dir)?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let named = read_current(&*current)?;
    let name = filename::manifest(named.number);
    let file = dir.open(&name, false).map_err(|error| missing(error, &name, named.number))?;
    let bytes = read_whole(&*file)?;
    let head = frame::decode_head(HeadKind::Manifest, &bytes, &name, named.number.0)?;
    if head != named {
        let text = "CURRENT and the head of the manifest do not belong together";
        return Err(Error::corrupt(&name, named.number.0, 0, text));
    }
    let recovered = fold(&bytes, &head, &name)?;
    if recovered.edit_count < head.first_edit {
        let text = "the first edit is damaged";
        return Err(Error::corrupt(&name, named.number.0, HEAD_BYTES as u64, text));
    }
    Ok(Some(recovered))
}

/// Checks `CURRENT` alone. It is only ever replaced whole, so this needs no lock.
///
/// `Corrupt` when it is damaged or another program's, `Format` for a newer version.
pub(crate) fn check_current(dir: &dyn Dir) -> Result<()> {
    match dir.open(CURRENT, false) {
        Ok(file) => read_current(&*file).map(|_| ()),
        Err(error) if error.os_errno() == libc::ENOENT => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_current(file: &dyn File) -> Result<Head> {
    // One byte more than there should be shows a file that is too long.
    let mut bytes = [0; HEAD_BYTES + 1];
    let read = file.read_at(&mut bytes, 0)?;
    let bytes = bytes.get(..read).unwrap_or_default();
    let named = frame::decode_head(HeadKind::Current, bytes, CURRENT, 0)?;
    if read != HEAD_BYTES {
        return Err(Error::corrupt(CURRENT, 0, HEAD_BYTES as u64, "the file is too long"));
    }
    Ok(named)
}

/// Adds up the edits of the manifest `bytes`. Its edit count is one below the first edit's number
/// when there is none.
fn fold(bytes: &[u8], head: &Head, name: &str) -> Result<Recovered> {
    let mut state = State::default();
    let mut edit_count = head.first_edit.wrapping_sub(1);
    let mut at = HEAD_BYTES;
    let mut torn = None;
    let mut proved = false;
    while at < bytes.len() {
        let number = edit_count.wrapping_add(1);
        let Some((payload, done_at)) = whole_edit(bytes, head, at, number) else {
            if let Some(proof) = find_proof(bytes, head, at, number) {
                let text = format!("edit {number} is damaged; a frame at {proof} proves it whole");
                return Err(Error::corrupt(name, head.number.0, at as u64, text));
            }
            torn = Some(at as u64);
            proved = false;
            break;
        };
        let flawed = |flaw| place(flaw, name, head.number, at);
        let edit = VersionEdit::decode(payload).map_err(flawed)?;
        state.apply(&edit).map_err(flawed)?;
        edit_count = number;
        proved = frame::decode_frame(bytes, head.salt, done_at)
            .is_some_and(|frame| frame.kind == FrameKind::Done && frame.edit == number);
        // The DONE frame is a proof and nothing else: bad or missing, the edit still counts.
        at = done_at.saturating_add(FRAME_BYTES);
    }
    state.check_levels().map_err(|flaw| place(flaw, name, head.number, at.min(bytes.len())))?;
    Ok(Recovered { state, manifest_number: head.number, edit_count, torn, proved })
}

fn whole_edit<'a>(
    bytes: &'a [u8],
    head: &Head,
    at: usize,
    number: u64,
) -> Option<(&'a [u8], usize)> {
    let frame = frame::decode_frame(bytes, head.salt, at)?;
    if frame.kind != FrameKind::Edit || frame.edit != number {
        return None;
    }
    frame::edit_payload(bytes, head.salt, at, &frame)
}

/// The offset of a valid frame header at or behind `bad_at` that was written after the edit
/// `number` had been synced.
fn find_proof(bytes: &[u8], head: &Head, bad_at: usize, number: u64) -> Option<usize> {
    (bad_at..bytes.len()).step_by(8).find(|&at| {
        frame::decode_frame(bytes, head.salt, at).is_some_and(|frame| match frame.kind {
            FrameKind::Edit => frame.edit > number,
            FrameKind::Done => frame.edit >= number,
        })
    })
}

/// Without `CURRENT` only a creation that was cut short may have left something: a manifest with
/// one edit that was never marked as done.
fn check_nothing_lives_here(dir: &dyn Dir) -> Result<()> {
    let lost = |name: &str| {
        let text = format!("the file is missing, but {name} is there; restore it from a backup");
        Err(Error::corrupt(CURRENT, 0, 0, text))
    };
    for listed in dir.list()? {
        match filename::parse(&listed.name) {
            Some(FileName::Log(_) | FileName::Table(_)) if listed.is_file => {
                return lost(&listed.name);
            }
            Some(FileName::Manifest(number)) if listed.is_file => {
                let bytes = read_whole(&*dir.open(&listed.name, false)?)?;
                if was_current(&bytes, &listed.name, number) {
                    return lost(&listed.name);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn was_current(bytes: &[u8], name: &str, number: FileNumber) -> bool {
    let Ok(head) = frame::decode_head(HeadKind::Manifest, bytes, name, number.0) else {
        return false;
    };
    head.first_edit > 1 || find_proof(bytes, &head, HEAD_BYTES, 1).is_some()
}

/// Reads a file into memory, at most its length at the beginning.
fn read_whole(file: &dyn File) -> Result<Vec<u8>> {
    let length = file.len()?;
    if length > BYTES_MAX {
        let text = format!("{length} bytes are more than a manifest ever has");
        return Err(Error::corrupt(file.name(), 0, BYTES_MAX, text));
    }
    let length = crate::base::coding::usize_of(length)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| Error::no_memory(format!("{} does not fit memory", file.name())))?;
    bytes.resize(length, 0);
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn missing(error: Error, name: &str, number: FileNumber) -> Error {
    if error.os_errno() == libc::ENOENT {
        return Error::corrupt(name, number.0, 0, "CURRENT names this file, but it is missing");
    }
    error
}

fn place(flaw: EditFlaw, name: &str, number: FileNumber, at: usize) -> Error {
    match flaw {
        EditFlaw::Wrong(text) => Error::corrupt(name, number.0, at as u64, text),
        EditFlaw::Newer(text) => {
            let text = format!("{name} at offset {at}: {text}; use a newer lsmer or this build's");
            Error::new(crate::base::ErrorKind::Format, text).at(number.0, at as u64)
        }
    }
}
