//! What all edits of a manifest add up to.
//!
//! [`State::apply`] refuses whatever a correct engine cannot have written, so that a damaged or
//! foreign manifest is an error and never a strange database. No I/O.
//!
//! Belongs to whoever holds it; no locking here.

use std::collections::BTreeMap;

use super::edit::{AddedSection, Comparator, EditFlaw, KeyspaceMeta, RemovedSection, VersionEdit};
use crate::base::limits::{KEY_BYTES_MAX, KEYSPACE_NAME_BYTES_MAX, LEVEL_COUNT, LSN_MAX};
use crate::base::{FileNumber, KeyspaceId, Lsn};

type Applied = std::result::Result<(), EditFlaw>;

/// The database as its manifest describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    /// The living keyspaces.
    pub(crate) keyspaces: BTreeMap<KeyspaceId, KeyspaceMeta>,
    /// No file that an edit names has this number or a higher one.
    pub(crate) next_file: FileNumber,
    /// No keyspace has ever had this id or a higher one.
    pub(crate) next_keyspace: KeyspaceId,
    /// Everything below is in tables; logs below are never read.
    pub(crate) floor: Lsn,
    /// Everything below was durable in the log, or in tables, at the last edit.
    pub(crate) synced: Lsn,
    /// No position at or above this was ever given out; 0 when it was never stored.
    pub(crate) ceiling: Lsn,
    sections: BTreeMap<(FileNumber, KeyspaceId), AddedSection>,
}

impl State {
    /// All sections, by file number and keyspace.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &AddedSection> {
        self.sections.values()
    }

    /// The numbers of all table files, ascending, each once.
    pub(crate) fn files(&self) -> Vec<FileNumber> {
        let mut files: Vec<_> = self.sections.keys().map(|&(file, _)| file).collect();
        files.dedup();
        files
    }

    /// The edit that makes this state out of nothing.
    pub(crate) fn snapshot(&self) -> VersionEdit {
        VersionEdit {
            created: self.keyspaces.values().cloned().collect(),
            next_file: Some(self.next_file),
            next_keyspace: Some(self.next_keyspace),
            floor: Some(self.floor),
            synced: Some(self.synced),
            ceiling: Some(self.ceiling),
            added: self.sections.values().cloned().collect(),
            ..VersionEdit::default()
        }
    }

    /// Adds one edit. After an error the state is half changed and must not be used.
    pub(crate) fn apply(&mut self, edit: &VersionEdit) -> Applied {
        let ids_before = self.next_keyspace;
        raise(&mut self.next_file, edit.next_file, "the next file number")?;
        raise(&mut self.next_keyspace, edit.next_keyspace, "the next keyspace id")?;
        for keyspace in &edit.created {
            self.create(keyspace, ids_before)?;
        }
        for (id, options) in &edit.options_changed {
            let keyspace = self.keyspaces.get_mut(id).ok_or_else(|| unknown_keyspace(*id))?;
            keyspace.options = options.clone();
        }
        for removed in &edit.removed {
            self.remove(*removed)?;
        }
        for id in &edit.dropped {
            self.keyspaces.remove(id).ok_or_else(|| unknown_keyspace(*id))?;
            self.sections.retain(|&(_, keyspace), _| keyspace != *id);
        }
        for added in &edit.added {
            self.add(added)?;
        }
        raise(&mut self.floor, edit.floor, "the floor")?;
        raise(&mut self.synced, edit.synced, "the synced position")?;
        raise(&mut self.ceiling, edit.ceiling, "the ceiling")?;
        if [self.floor, self.synced, self.ceiling].iter().any(|lsn| lsn.0 >= LSN_MAX) {
            return Err(EditFlaw::wrong("a position is out of range"));
        }
        Ok(())
    }

    /// Checks that below level 0 no two sections of a level and keyspace share a key.
    pub(crate) fn check_levels(&self) -> Applied {
        let mut deep: Vec<_> = self.sections().filter(|added| added.level.0 > 0).collect();
        deep.sort_by_key(|added| (added.level, added.section.keyspace, &added.section.smallest));
        for pair in deep.windows(2) {
            let [left, right] = pair else { continue };
            let together =
                left.level == right.level && left.section.keyspace == right.section.keyspace;
            if together && left.section.largest >= right.section.smallest {
                return Err(EditFlaw::Wrong(format!(
                    "tables {} and {} overlap in level {}",
                    left.file.number, right.file.number, left.level.0
                )));
            }
        }
        Ok(())
    }

    fn create(&mut self, keyspace: &KeyspaceMeta, ids_before: KeyspaceId) -> Applied {
        if keyspace.id < ids_before || keyspace.id >= self.next_keyspace {
            return Err(EditFlaw::Wrong(format!("keyspace id {} is used again", keyspace.id.0)));
        }
        if keyspace.name.len() > KEYSPACE_NAME_BYTES_MAX {
            return Err(EditFlaw::wrong("a keyspace's name is too long"));
        }
        if keyspace.comparator != Comparator::bytes() {
            let Comparator { id, name } = &keyspace.comparator;
            let text = format!("keyspace \"{}\" needs comparator {id} ({name})", keyspace.name);
            return Err(EditFlaw::Newer(text));
        }
        if self.keyspaces.values().any(|other| other.name == keyspace.name) {
            return Err(EditFlaw::Wrong(format!("two keyspaces are named \"{}\"", keyspace.name)));
        }
        match self.keyspaces.insert(keyspace.id, keyspace.clone()) {
            None => Ok(()),
            Some(_) => Err(EditFlaw::Wrong(format!("keyspace id {} is used twice", keyspace.id.0))),
        }
    }

    fn remove(&mut self, removed: RemovedSection) -> Applied {
        let key = (removed.file, removed.keyspace);
        match self.sections.remove(&key) {
            Some(added) if added.level == removed.level => Ok(()),
            _ => Err(EditFlaw::Wrong(format!(
                "table {} has no section of keyspace {} in level {} to remove",
                removed.file, removed.keyspace.0, removed.level.0
            ))),
        }
    }

    fn add(&mut self, added: &AddedSection) -> Applied {
        let AddedSection { level, file, section } = added;
        if usize::from(level.0) >= LEVEL_COUNT {
            return Err(EditFlaw::Wrong(format!("level {} does not exist", level.0)));
        }
        if !self.keyspaces.contains_key(&section.keyspace) {
            return Err(unknown_keyspace(section.keyspace));
        }
        if file.number >= self.next_file {
            return Err(EditFlaw::Wrong(format!("table {} has a future number", file.number)));
        }
        let range_is_right = section.smallest <= section.largest
            && section.largest.len() <= KEY_BYTES_MAX
            && section.smallest.len() <= KEY_BYTES_MAX
            && section.smallest_number <= section.largest_number
            && section.largest_number < LSN_MAX
            && section.tombstones <= section.entries
            && section.entries > 0
            && section.bytes <= file.file_bytes;
        if !range_is_right {
            return Err(EditFlaw::Wrong(format!("table {} has impossible bounds", file.number)));
        }
        let of_file = (file.number, KeyspaceId(0))..=(file.number, KeyspaceId(u32::MAX));
        if self.sections.range(of_file).next().is_some_and(|(_, other)| other.file != *file) {
            return Err(EditFlaw::Wrong(format!("table {} is described twice", file.number)));
        }
        match self.sections.insert((file.number, section.keyspace), added.clone()) {
            None => Ok(()),
            Some(_) => Err(EditFlaw::Wrong(format!(
                "table {} has two sections of keyspace {}",
                file.number, section.keyspace.0
            ))),
        }
    }
}

/// Moves `slot` to `value`, never backward.
fn raise<T: PartialOrd + Copy>(slot: &mut T, value: Option<T>, what: &str) -> Applied {
    let Some(value) = value else { return Ok(()) };
    if value < *slot {
        return Err(EditFlaw::Wrong(format!("{what} goes back")));
    }
    *slot = value;
    Ok(())
}

fn unknown_keyspace(id: KeyspaceId) -> EditFlaw {
    EditFlaw::Wrong(format!("keyspace {} does not exist", id.0))
}
