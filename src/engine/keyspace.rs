//! Keyspaces: ordered maps of their own that share log, generations and positions.
//!
//! A keyspace exists by a durable manifest edit before its handle is returned; its id is never
//! used again. A write to one that is dropped meanwhile is ignored by flush and replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check;
use super::db::Db;
use crate::base::options::KeyspaceOptions;
use crate::base::{Error, KeyspaceId, Result};
use crate::manifest::{Comparator, KeyspaceMeta, VersionEdit};
use crate::mem::{EpochCell, Garbage, epoch};

/// The name of the keyspace that always exists.
pub(super) const DEFAULT_NAME: &str = "default";

/// A keyspace as callers see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Keyspace {
    /// Its id, for reads and writes.
    pub(crate) id: KeyspaceId,
    /// Its name.
    pub(crate) name: String,
    /// How its tables are written from now on.
    pub(crate) options: KeyspaceOptions,
}

/// The live keyspaces by id: replaced as a whole, so that every write can look without a lock.
pub(super) struct KeyspaceMap {
    live: EpochCell<BTreeMap<KeyspaceId, Keyspace>>,
}

impl KeyspaceMap {
    /// These keyspaces.
    pub(super) fn new(live: BTreeMap<KeyspaceId, Keyspace>, garbage: &Arc<Garbage>) -> Self {
        Self { live: EpochCell::new(Arc::new(live), Arc::clone(garbage)) }
    }

    /// An error unless the keyspace lives.
    #[inline]
    pub(super) fn check(&self, id: KeyspaceId) -> Result<()> {
        if id == KeyspaceId::DEFAULT { Ok(()) } else { self.check_named(id) }
    }

    fn check_named(&self, id: KeyspaceId) -> Result<()> {
        if self.live.load(&epoch::pin()).contains_key(&id) {
            return Ok(());
        }
        Err(Error::invalid(format!("there is no keyspace with id {}", id.0)))
    }

    /// An error unless all of them live.
    pub(super) fn check_all(&self, ids: impl Iterator<Item = KeyspaceId>) -> Result<()> {
        let mut last = KeyspaceId::DEFAULT;
        for id in ids {
            if id != last {
                self.check(id)?;
                last = id;
            }
        }
        Ok(())
    }

    /// How a live keyspace's tables are written; none if it does not live.
    pub(super) fn options(&self, id: KeyspaceId) -> Option<KeyspaceOptions> {
        let guard = epoch::pin();
        self.live.load(&guard).get(&id).map(|keyspace| keyspace.options.clone())
    }

    fn by_name(&self, name: &str) -> Option<Keyspace> {
        self.live.load(&epoch::pin()).values().find(|keyspace| keyspace.name == name).cloned()
    }

    /// How many live.
    pub(super) fn len(&self) -> u64 {
        self.live.load(&epoch::pin()).len() as u64
    }

    fn list(&self) -> Vec<(String, KeyspaceId)> {
        let guard = epoch::pin();
        self.live.load(&guard).values().map(|k| (k.name.clone(), k.id)).collect()
    }

    /// Changes the map; the caller holds the database's keyspace lock.
    fn change(&self, with: impl FnOnce(&mut BTreeMap<KeyspaceId, Keyspace>)) {
        let guard = epoch::pin();
        let mut live = self.live.load(&guard).clone();
        with(&mut live);
        self.live.swap(Arc::new(live), &guard);
    }
}

/// The live keyspaces of a recovered state.
pub(super) fn live(state: &crate::manifest::State) -> BTreeMap<KeyspaceId, Keyspace> {
    let keyspaces = state.keyspaces.iter().map(|(id, meta)| {
        let keyspace = Keyspace { id: *id, name: meta.name.clone(), options: meta.options.clone() };
        (*id, keyspace)
    });
    keyspaces.collect()
}

impl Db {
    /// Opens a keyspace by name, and creates it if it is missing.
    ///
    /// Options hold for tables that are written from then on; none keeps what is stored.
    pub(crate) fn keyspace_open(
        &self,
        name: &str,
        options: Option<&KeyspaceOptions>,
    ) -> Result<Keyspace> {
        check::keyspace_name(name)?;
        if let Some(options) = options {
            check::keyspace(options)?;
        }
        self.check_open()?;
        let _one = self.keyspace_lock.lock();
        if let Some(mut found) = self.keyspaces.by_name(name) {
            let Some(options) = options.filter(|o| **o != found.options) else { return Ok(found) };
            self.check_writable()?;
            let changed = vec![(found.id, options.clone())];
            let edit = VersionEdit { options_changed: changed, ..Default::default() };
            self.install(edit, None)?;
            found.options = options.clone();
            self.keyspaces.change(|live| {
                live.insert(found.id, found.clone());
            });
            return Ok(found);
        }
        self.check_writable()?;
        let id = self.next_keyspace_id()?;
        let options = options.cloned().unwrap_or_default();
        let created = KeyspaceMeta {
            id,
            name: name.to_owned(),
            comparator: Comparator::bytes(),
            options: options.clone(),
        };
        let edit = VersionEdit {
            created: vec![created],
            next_keyspace: Some(KeyspaceId(id.0 + 1)),
            ..Default::default()
        };
        self.install(edit, None)?;
        let keyspace = Keyspace { id, name: name.to_owned(), options };
        self.keyspaces.change(|live| {
            live.insert(id, keyspace.clone());
        });
        Ok(keyspace)
    }

    fn next_keyspace_id(&self) -> Result<KeyspaceId> {
        let catalogue = self.catalogue.lock();
        let next = catalogue.as_ref().ok_or_else(Error::closed)?.manifest.state().next_keyspace;
        // The largest id means "bad handle" in the C API.
        if next.0 >= u32::MAX - 1 {
            return Err(Error::invalid("all keyspace ids are used"));
        }
        Ok(next)
    }

    /// Drops a keyspace with all that is in it. Its handles answer `Invalid` from then on.
    pub(crate) fn keyspace_drop(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        if name == DEFAULT_NAME {
            return Err(Error::invalid("the default keyspace cannot be dropped"));
        }
        let _one = self.keyspace_lock.lock();
        let Some(found) = self.keyspaces.by_name(name) else {
            return Err(Error::invalid(format!("there is no keyspace named {name:?}")));
        };
        // What was acknowledged before the drop must not be lost by it: the log up to here first.
        self.ensure_synced(self.visible())?;
        self.keyspaces.change(|live| {
            live.remove(&found.id);
        });
        let edit = VersionEdit { dropped: vec![found.id], ..Default::default() };
        self.install(edit, None)?;
        self.update_stall();
        self.env.wake_workers();
        Ok(())
    }

    /// All keyspaces, by id.
    pub(crate) fn keyspace_list(&self) -> Vec<(String, KeyspaceId)> {
        self.keyspaces.list()
    }
}
