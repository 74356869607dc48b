//! Making versions: from a manifest state, and from another version by an edit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::level::violation;
use super::{Levels, Run, Section, Tables, Version};
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Error, FileNumber, KeyspaceId, Level, Result, filename};
use crate::manifest::{AddedSection, RemovedSection, State, VersionEdit};

/// See [`Version::from_state`].
pub(super) fn from_state(state: &State, tables: &Tables) -> Result<Arc<Version>> {
    let edit = VersionEdit {
        created: state.keyspaces.values().cloned().collect(),
        added: state.sections().cloned().collect(),
        ..VersionEdit::default()
    };
    apply(&Version::default(), &edit, tables)
}

/// What an edit does to one keyspace.
#[derive(Default)]
struct Changes<'a> {
    removed: Vec<&'a RemovedSection>,
    added: Vec<&'a AddedSection>,
}

/// See [`Version::apply`].
pub(super) fn apply(old: &Version, edit: &VersionEdit, tables: &Tables) -> Result<Arc<Version>> {
    let mut keyspaces: BTreeMap<KeyspaceId, Arc<Levels>> =
        old.keyspaces.iter().map(|levels| (levels.keyspace(), levels.clone())).collect();
    for created in &edit.created {
        let levels = Arc::new(Levels::empty(created.id));
        if keyspaces.insert(created.id, levels).is_some() {
            return Err(misfit(&format!("keyspace {} is created twice", created.id.0)));
        }
    }
    for dropped in &edit.dropped {
        if keyspaces.remove(dropped).is_none() {
            return Err(misfit(&format!("keyspace {} is dropped but unknown", dropped.0)));
        }
    }
    for (id, changes) in sort_changes(edit) {
        if edit.dropped.contains(&id) {
            continue;
        }
        let Some(levels) = keyspaces.get_mut(&id) else {
            return Err(misfit(&format!("sections of the unknown keyspace {}", id.0)));
        };
        *levels = Arc::new(change(levels, &changes, tables)?);
    }
    Ok(Arc::new(Version { keyspaces: keyspaces.into_values().collect() }))
}

fn sort_changes(edit: &VersionEdit) -> BTreeMap<KeyspaceId, Changes<'_>> {
    let mut changes: BTreeMap<KeyspaceId, Changes<'_>> = BTreeMap::new();
    for removed in &edit.removed {
        changes.entry(removed.keyspace).or_default().removed.push(removed);
    }
    for added in &edit.added {
        changes.entry(added.section.keyspace).or_default().added.push(added);
    }
    changes
}

/// The levels of one keyspace after its changes; only the levels concerned are made anew.
fn change(old: &Levels, changes: &Changes<'_>, tables: &Tables) -> Result<Levels> {
    let removed = changes.removed.iter().map(|r| r.level);
    let touched: BTreeSet<Level> = removed.chain(changes.added.iter().map(|a| a.level)).collect();
    let mut new = old.clone();
    for level in touched {
        if usize::from(level.0) >= LEVEL_COUNT {
            return Err(misfit(&format!("sections in the unknown level {}", level.0)));
        }
        let mut sections = old.sections(level).to_vec();
        for removed in changes.removed.iter().filter(|r| r.level == level) {
            let before = sections.len();
            sections.retain(|section| section.number() != removed.file);
            if sections.len() == before {
                let name = filename::table(removed.file);
                return Err(misfit(&format!("{name} leaves level {}, but is not there", level.0)));
            }
        }
        for added in changes.added.iter().filter(|a| a.level == level) {
            sections.push(Section::new(tables.handle(&added.file)?, added.section.clone()));
        }
        new = new.with_run(level, Run::new(level, sections)?);
    }
    check_single(&new, &changes.added)?;
    Ok(new)
}

/// Each added file has one section of the keyspace, in one level.
fn check_single(new: &Levels, added: &[&AddedSection]) -> Result<()> {
    let numbers: BTreeSet<FileNumber> = added.iter().map(|a| a.file.number).collect();
    let mut seen = BTreeSet::new();
    let mut concerned = new.all_sections().filter(|(_, s)| numbers.contains(&s.number()));
    match concerned.find(|(_, section)| !seen.insert(section.number())) {
        Some((level, section)) => Err(violation(level, section, "it is in the tree already")),
        None => Ok(()),
    }
}

/// An error for an edit that does not fit what it is applied to.
fn misfit(what: &str) -> Error {
    Error::corrupt("the manifest", 0, 0, format!("{what}; restore a checkpoint"))
}
