//! Reads a whole database in every way there is, and insists that all ways agree.

use std::sync::Arc;

use super::history::{Being, Change, Content, History, KEY, Seen};
use super::script::Stop;
use crate::base::KeyspaceId;
use crate::engine::{Db, Iter, ReadOptions, Snapshot};

/// Reads everything: scans forward and backward and a point read of every key.
///
/// Stops as `Failed` when a read gives an error, and as `Wrong` when two ways disagree or show what
/// was never written.
pub(super) fn look(db: &Arc<Db>, history: &History) -> Result<Seen, Stop> {
    let mut seen = Seen { ids: vec![None; history.spaces.len()], ..Seen::default() };
    for (name, id) in db.keyspace_list() {
        let space = space_of(history, &name)
            .ok_or_else(|| Stop::Wrong(format!("a keyspace {name:?} that was never made")))?;
        seen.ids[space] = Some(id);
    }
    for space in 0..seen.ids.len() {
        if let Some(id) = seen.ids[space] {
            read_space(db, id, space, history, &mut seen.content, None)?;
        }
    }
    Ok(seen)
}

/// What a snapshot shows of the keyspaces in `ids`.
pub(super) fn look_at(
    db: &Arc<Db>,
    history: &History,
    ids: &[Option<KeyspaceId>],
    snapshot: &Arc<Snapshot>,
) -> Result<Content, Stop> {
    let mut content = Content::default();
    for (space, id) in ids.iter().enumerate() {
        if let Some(id) = id {
            read_space(db, *id, space, history, &mut content, Some(snapshot))?;
        }
    }
    Ok(content)
}

/// The newest keyspace of that name that was at least begun.
fn space_of(history: &History, name: &str) -> Option<usize> {
    let spaces = history.spaces.iter().enumerate().rev();
    let mut named = spaces.filter(|(_, space)| space.name == name);
    let newest = named.next()?;
    // What was dropped for certain is only what a list wrongly shows.
    if newest.1.being == Being::Gone { named.next().or(Some(newest)) } else { Some(newest) }
        .map(|(i, _)| i)
}

fn read_space(
    db: &Arc<Db>,
    id: KeyspaceId,
    space: usize,
    history: &History,
    content: &mut Content,
    snapshot: Option<&Arc<Snapshot>>,
) -> Result<(), Stop> {
    let options = ReadOptions { snapshot: snapshot.cloned(), ..ReadOptions::default() };
    let mut iter = db.iter(id, &options, None, None).map_err(Stop::Failed)?;
    let mut forward = Vec::new();
    while iter.next().map_err(Stop::Failed)? {
        forward.push(entry(&iter, history)?);
    }
    let mut backward = Vec::with_capacity(forward.len());
    while iter.prev().map_err(Stop::Failed)? {
        backward.push(entry(&iter, history)?);
    }
    backward.reverse();
    if forward != backward {
        let text = format!("forward the scan shows {forward:?}, backward {backward:?}");
        return Err(Stop::Wrong(text));
    }
    if !forward.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Stop::Wrong(format!("the scan is not in order: {forward:?}")));
    }
    for (key, id) in &forward {
        content.set(Change { space, key: *key, id: *id });
    }
    for (key, bytes) in KEY.iter().enumerate() {
        let found = db.get(id, bytes, &options).map_err(Stop::Failed)?;
        let found = found.map_or(Ok(0), |value| name(history, &value))?;
        let scanned = content.get(space, key);
        if found != scanned {
            let text = format!("key {key} of {space} is {found} read alone, {scanned} scanned");
            return Err(Stop::Wrong(text));
        }
    }
    Ok(())
}

fn entry(iter: &Iter, history: &History) -> Result<(usize, u32), Stop> {
    let key = KEY.iter().position(|key| *key == iter.key());
    let key = key.ok_or_else(|| Stop::Wrong(format!("a scan shows the key {:?}", iter.key())))?;
    Ok((key, name(history, iter.value())?))
}

fn name(history: &History, value: &[u8]) -> Result<u32, Stop> {
    let found = history.name(value);
    found.ok_or_else(|| Stop::Wrong(format!("a value that was never written: {value:?}")))
}
