//! The manifest: a log of version edits, and `CURRENT`, which names the manifest that counts.
//!
//! An edit takes effect when [`Manifest::append`] returns: it is then durable, and only then may
//! files be deleted or writes acknowledged because of it. [`recover()`] adds all edits up.
//!
//! Invariants (`docs/format.md`): E1, an edit is acted on only after it was synced; E2, a frame
//! header that is valid proves every edit before it; E3, a manifest that was recovered is never
//! appended to, the engine makes a new one.
//!
//! Not here: what the edits are for, and when a new manifest is due. A [`Manifest`] belongs to one
//! thread at a time.

pub(crate) mod edit;
mod frame;
mod recover;
mod state;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use crate::base::filename::{self, CURRENT, CURRENT_TEMP};
use crate::base::mutant::mutant;
use crate::base::{Error, ErrorKind, FileNumber, Result};
use crate::vfs::{Dir, File};

pub(crate) use edit::{AddedSection, Comparator, KeyspaceMeta, RemovedSection, VersionEdit};
pub(crate) use recover::{Recovered, check_current, recover};
pub(crate) use state::State;

use edit::EditFlaw;
use frame::{EDIT_BYTES_MAX, FRAME_BYTES, HEAD_BYTES, Head, HeadKind};

/// The manifest that is being written.
pub(crate) struct Manifest {
    /// None for one that was recovered, which is never appended to (E3).
    file: Option<Arc<dyn File>>,
    head: Head,
    state: State,
    edit_count: u64,
    /// Where the next frame goes; the file's length.
    end: u64,
    /// The first failure; every later append returns it.
    failure: Option<Error>,
}

impl Manifest {
    /// Makes manifest `number` with one edit, numbered `edit_number`, and points `CURRENT` at it.
    ///
    /// The first manifest of a database begins with edit 1; a later one with a whole snapshot,
    /// numbered one above the last edit of the manifest before it. `salt` is random.
    ///
    /// After an error it is unknown which manifest counts: the caller goes on with neither until
    /// the database is opened again. An edit that does not fit nothing is `Internal`.
    pub(crate) fn create(
        dir: &dyn Dir,
        number: FileNumber,
        salt: u64,
        edit_number: u64,
        first_edit: &VersionEdit,
    ) -> Result<Self> {
        let mut state = State::default();
        state.apply(first_edit).map_err(refused)?;
        let head = Head { number, salt, first_edit: edit_number };
        let mut bytes = frame::encode_head(HeadKind::Manifest, &head);
        bytes.extend(frame_of(&head, HEAD_BYTES as u64, edit_number, first_edit)?);

        let file = dir.create(&filename::manifest(number))?;
        file.write_at(&bytes, 0)?;
        sync_file(&*file)?;
        // The name must be durable before CURRENT leads to it.
        dir.sync()?;
        point_current(dir, &head)?;
        let mut manifest = Self {
            file: Some(file),
            head,
            state,
            edit_count: edit_number,
            end: bytes.len() as u64,
            failure: None,
        };
        manifest.write_done();
        Ok(manifest)
    }

    /// The manifest that was found, when it needs no successor before the next edit: it must be
    /// proved. That edit goes into a new manifest, with a snapshot (E3).
    pub(crate) fn found(found: Recovered) -> Self {
        assert!(found.proved, "E1: a manifest that may not be durable is not relied on");
        Self {
            file: None,
            head: Head { number: found.manifest_number, salt: 0, first_edit: found.edit_count },
            state: found.state,
            edit_count: found.edit_count,
            end: 0,
            failure: None,
        }
    }

    /// Whether the next edit needs a new manifest.
    pub(crate) fn was_found(&self) -> bool {
        self.file.is_none()
    }

    /// Adds one edit and makes it durable; it counts once this returns.
    ///
    /// After an error the edit may or may not count when the database is opened again, and every
    /// later append returns the same error. An edit that does not fit the state is `Internal` and
    /// never reaches the file.
    pub(crate) fn append(&mut self, edit: &VersionEdit) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = self.append_frame(edit);
        if let Err(error) = &result {
            self.failure = Some(error.clone().latched());
        }
        result
    }

    /// How many edits the database has had, this manifest's last one included: its number.
    pub(crate) fn edit_count(&self) -> u64 {
        self.edit_count
    }

    /// The file number of this manifest.
    pub(crate) fn number(&self) -> FileNumber {
        self.head.number
    }

    /// Length of the file in bytes: what decides whether a new manifest is due.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// What all edits up to now add up to. Meaningless once an append has failed.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    fn append_frame(&mut self, edit: &VersionEdit) -> Result<()> {
        let Some(file) = self.file.clone() else {
            return Err(Error::new(ErrorKind::Internal, "E3: append to a recovered manifest"));
        };
        self.state.apply(edit).map_err(refused)?;
        let number = self.edit_count + 1;
        let bytes = frame_of(&self.head, self.end, number, edit)?;
        file.write_at(&bytes, self.end)?;
        sync_file(&*file)?;
        self.edit_count = number;
        self.end += bytes.len() as u64;
        self.write_done();
        Ok(())
    }

    /// Fills the DONE frame behind the last edit, without a sync: it proves to a later reader that
    /// the edit was synced, should the edit rot. The edit itself stands, whatever happens here.
    fn write_done(&mut self) {
        let Some(file) = &self.file else { return };
        let at = self.end - FRAME_BYTES as u64;
        let done = frame::encode_done(self.head.salt, at, self.edit_count);
        if let Err(error) = file.write_at(&done, at) {
            self.failure = Some(error.latched());
        }
    }
}

/// Makes `CURRENT` name the manifest of `head`, durably.
fn point_current(dir: &dyn Dir, head: &Head) -> Result<()> {
    match dir.remove(CURRENT_TEMP) {
        Err(error) if error.os_errno() != libc::ENOENT => return Err(error),
        _ => {}
    }
    let file = dir.create(CURRENT_TEMP)?;
    file.write_at(&frame::encode_head(HeadKind::Current, head), 0)?;
    sync_file(&*file)?;
    dir.rename(CURRENT_TEMP, CURRENT)?;
    dir.sync()
}

fn frame_of(head: &Head, offset: u64, number: u64, edit: &VersionEdit) -> Result<Vec<u8>> {
    let payload = edit.encode();
    if payload.len() > EDIT_BYTES_MAX {
        return Err(Error::no_memory("a version edit is longer than 1 GiB"));
    }
    Ok(frame::encode_edit(head.salt, offset, number, &payload))
}

fn sync_file(file: &dyn File) -> Result<()> {
    if mutant("manifest_no_sync") {
        return Ok(());
    }
    file.sync()
}

/// The error for an edit that does not fit the state.
pub(crate) fn refused(flaw: EditFlaw) -> Error {
    let (EditFlaw::Wrong(text) | EditFlaw::Newer(text)) = flaw;
    Error::new(ErrorKind::Internal, format!("a version edit was refused: {text}"))
}

#[cfg(test)]
mod tests;
