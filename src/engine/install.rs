//! Version edits: made durable in the manifest first, shown to readers second.
//!
//! Whoever changes the version holds the catalogue, so edits are in one order everywhere.

use std::sync::Arc;

use super::db::{Db, ReadState};
use crate::base::{Error, FileNumber, Lsn, Result, filename};
use crate::manifest::{self, Manifest, VersionEdit};
use crate::mem::atomic::Ordering;
use crate::mem::epoch;

/// A manifest is written anew when it has grown beyond this and beyond four times its snapshot. In
/// tests that happens in the middle of short histories.
const MANIFEST_BYTES: u64 = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// The manifest and what it says.
pub(super) struct Catalogue {
    pub(super) manifest: Manifest,
    /// Its length when it was begun.
    pub(super) first_bytes: u64,
}

impl Db {
    /// Makes `edit` durable, then swaps the read state to the new version.
    ///
    /// With `flushed`, sealed generations that end at or below it leave the read state in the same
    /// swap. Sections of keyspaces that were dropped meanwhile leave the edit.
    ///
    /// # Errors
    /// A failed manifest poisons the database: whether the edit is there is known at reopening.
    pub(super) fn install(&self, mut edit: VersionEdit, flushed: Option<Lsn>) -> Result<()> {
        let mut catalogue = self.catalogue.lock();
        let catalogue = catalogue.as_mut().ok_or_else(Error::closed)?;
        edit.added.retain(|added| {
            catalogue.manifest.state().keyspaces.contains_key(&added.section.keyspace)
                || edit.created.iter().any(|created| created.id == added.section.keyspace)
        });
        self.install_locked(catalogue, edit, flushed)
    }

    /// Like [`Db::install`], if all that the edit is about still lives; else nothing, and false.
    pub(super) fn install_if_current(&self, edit: VersionEdit) -> Result<bool> {
        let mut catalogue = self.catalogue.lock();
        let catalogue = catalogue.as_mut().ok_or_else(Error::closed)?;
        if !self.version().accepts(&edit) {
            return Ok(false);
        }
        self.install_locked(catalogue, edit, None).map(|()| true)
    }

    fn install_locked(
        &self,
        catalogue: &mut Catalogue,
        mut edit: VersionEdit,
        flushed: Option<Lsn>,
    ) -> Result<()> {
        self.poison.check()?;
        let old = self.version();
        edit.next_file = Some(FileNumber(self.next_file.load(Ordering::Relaxed)));
        // After a clean end the manifest already says what lies above the logs that are left.
        let state = catalogue.manifest.state();
        edit.synced = edit.synced.map(|synced| synced.max(state.synced));
        edit.ceiling = Some(self.ceiling().max(state.ceiling));
        let version = old.apply(&edit, &self.tables)?;
        if catalogue.manifest.was_found() {
            self.begin_manifest(catalogue, &edit)?;
        } else if let Err(error) = catalogue.manifest.append(&edit) {
            let error = error.during("the manifest could not be written");
            self.poison(error.clone());
            return Err(error);
        }
        self.edit_count.store(catalogue.manifest.edit_count(), Ordering::Release);
        let guard = epoch::pin();
        self.state.update(&guard, |current| {
            let mut sealed = current.sealed.clone();
            if let Some(flushed) = flushed {
                sealed.retain(|sealed| sealed.end() > flushed);
            }
            let active = Arc::clone(&current.active);
            Some(ReadState { active, sealed, version: Arc::clone(&version) })
        });
        drop(guard);
        self.spare.clear();
        self.expect_readers(&edit.added);
        let live = version.live_files();
        for number in old.live_files().difference(&live) {
            self.tables.retire(*number);
        }
        self.rotate_manifest(catalogue)
    }

    /// A position that no entry written so far reaches.
    fn ceiling(&self) -> Lsn {
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        active.base().plus(active.memtable.capacity_bytes())
    }

    fn rotate_manifest(&self, catalogue: &mut Catalogue) -> Result<()> {
        let bytes = catalogue.manifest.bytes();
        if bytes < MANIFEST_BYTES || bytes < 4 * catalogue.first_bytes {
            return Ok(());
        }
        self.begin_manifest(catalogue, &VersionEdit::default())
    }

    /// Begins a manifest with all that the old one says, and `edit`.
    fn begin_manifest(&self, catalogue: &mut Catalogue, edit: &VersionEdit) -> Result<()> {
        let number = self.new_file_number();
        let old = catalogue.manifest.number();
        let mut state = catalogue.manifest.state().clone();
        state.apply(edit).map_err(manifest::refused)?;
        state.next_file = FileNumber(self.next_file.load(Ordering::Relaxed));
        let snapshot = state.snapshot();
        let salt = self.env.os.random_u64();
        let count = catalogue.manifest.edit_count() + 1;
        match Manifest::create(&*self.dir, number, salt, count, &snapshot) {
            Ok(manifest) => {
                catalogue.first_bytes = manifest.bytes();
                self.edit_count.store(manifest.edit_count(), Ordering::Release);
                catalogue.manifest = manifest;
                // CURRENT names the new one durably: the old one is only litter.
                self.remove_file(&filename::manifest(old));
                Ok(())
            }
            Err(error) => {
                let error = error.during("the manifest could not be written anew");
                self.poison(error.clone());
                Err(error)
            }
        }
    }
}
