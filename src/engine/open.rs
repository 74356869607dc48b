//! Opening, creating and destroying a database.
//!
//! A directory that holds something else is refused untouched. Nothing is written before the lock
//! is held, and nothing at all by a read-only open.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::check;
use super::compact::CompactionState;
use super::db::{Db, LogHook, LogLevel, OPEN, ReadState};
use super::env::Env;
use super::flushes::Flushes;
use super::generation::{Generation, Sealed};
use super::health::Counters;
use super::install::Catalogue;
use super::keyspace::{DEFAULT_NAME, Keyspace, KeyspaceMap};
use super::poison::Poison;
use super::shelf::Shelf;
use super::snapshot::Snapshots;
use super::spare::Spare;
use super::stall::Stall;
use super::sync::{Leader, Staging};
use super::warm::Warming;
use super::worker::Jobs;
use crate::base::filename::{self, CURRENT, FileName};
use crate::base::options::{KeyspaceOptions, OpenOptions};
use crate::base::{Error, FileNumber, KeyspaceId, Lsn, Result};
use crate::manifest::{self, Comparator, KeyspaceMeta, Manifest, VersionEdit};
use crate::mem::EpochCell;
use crate::mem::Parking;
use crate::mem::atomic::{AtomicBool, AtomicU32, AtomicU64};
use crate::version::{Tables, Version};
use crate::vfs::{Dir, DirLock, Listed, LockMode};
use crate::wal::Predecessor;

/// Where the log of a new database begins.
const FIRST_LSN: Lsn = Lsn(64);

/// What opening found or made, before it becomes a [`Db`].
pub(super) struct Parts {
    pub(super) tables: Arc<Tables>,
    pub(super) version: Arc<Version>,
    pub(super) catalogue: Option<Catalogue>,
    pub(super) keyspaces: BTreeMap<KeyspaceId, Keyspace>,
    /// Entries in memory, newest first.
    pub(super) sealed: Vec<Sealed>,
    /// Where writing goes on.
    pub(super) at: Lsn,
    /// Everything below is in tables.
    pub(super) floor: Lsn,
    /// The cleanly ended log that the next one follows, if it stays.
    pub(super) last_log: Option<Predecessor>,
    pub(super) next_file: FileNumber,
    pub(super) edit_count: u64,
}

impl Db {
    /// Opens the database at `path`, and creates it where the options allow that.
    ///
    /// # Errors
    /// `Locked` when it is open elsewhere (with the pid), `Corrupt`, `Format`, `Invalid` for
    /// options, for a directory that holds something else, and for one that must or must not
    /// exist. After an error nothing is open, and nothing that was acknowledged is lost.
    pub(crate) fn open(
        env: &Arc<Env>,
        path: &Path,
        options: OpenOptions,
        log_hook: Option<LogHook>,
    ) -> Result<Arc<Self>> {
        check::open(&options, &env.options)?;
        let may_create = !options.must_exist && !options.read_only;
        let dir = env.vfs.open_dir(path, may_create)?;
        let exists = look_inside(&*dir)?;
        if !exists && !may_create {
            return Err(Error::invalid(format!("there is no database in {}", path.display())));
        }
        if exists && options.must_not_exist {
            return Err(Error::invalid(format!("there is a database in {}", path.display())));
        }
        let mode = if options.read_only { LockMode::Shared } else { LockMode::Exclusive };
        let lock = dir.lock(mode, env.os.process_id())?;
        let found = manifest::recover(&*dir)?;
        if let Some(hook) = &log_hook {
            let what = if found.is_some() { "opening" } else { "creating" };
            hook(LogLevel::Info, &format!("{what} the database in {}", path.display()));
        }
        let cache = Arc::clone(&env.cache);
        let tables = Arc::new(Tables::new(Arc::clone(&dir), cache, options.mapped_reads));
        let parts = match found {
            Some(found) if options.read_only => Self::recover_read_only(env, &dir, tables, &found)?,
            Some(found) => Self::recover(env, &dir, tables, found, log_hook.as_ref())?,
            None if may_create => Self::create(env, &dir, tables)?,
            None => {
                return Err(Error::invalid(format!("there is no database in {}", path.display())));
            }
        };
        let db = Arc::new(Self::assemble(env, dir, lock, options, log_hook, parts)?);
        if !db.options.read_only {
            env.register(&db)?;
        }
        env.rebalance();
        Ok(db)
    }

    fn create(env: &Arc<Env>, dir: &Arc<dyn Dir>, tables: Arc<Tables>) -> Result<Parts> {
        let number = next_file(&**dir)?;
        let name = DEFAULT_NAME.to_owned();
        let default = KeyspaceMeta {
            id: KeyspaceId::DEFAULT,
            name: name.clone(),
            comparator: Comparator::bytes(),
            options: KeyspaceOptions::default(),
        };
        let edit = VersionEdit {
            created: vec![default.clone()],
            next_file: Some(FileNumber(number.0 + 1)),
            next_keyspace: Some(KeyspaceId(1)),
            floor: Some(FIRST_LSN),
            synced: Some(FIRST_LSN),
            ceiling: Some(FIRST_LSN),
            ..Default::default()
        };
        let manifest = Manifest::create(&**dir, number, env.os.random_u64(), 1, &edit)?;
        let keyspace = Keyspace { id: KeyspaceId::DEFAULT, name, options: default.options };
        Ok(Parts {
            version: Version::from_state(manifest.state(), &tables)?,
            tables,
            catalogue: Some(Catalogue { first_bytes: manifest.bytes(), manifest }),
            keyspaces: BTreeMap::from([(KeyspaceId::DEFAULT, keyspace)]),
            sealed: Vec::new(),
            at: FIRST_LSN,
            floor: FIRST_LSN,
            last_log: None,
            next_file: FileNumber(number.0 + 1),
            edit_count: 1,
        })
    }

    fn assemble(
        env: &Arc<Env>,
        dir: Arc<dyn Dir>,
        lock: Box<dyn DirLock>,
        options: OpenOptions,
        log_hook: Option<LogHook>,
        parts: Parts,
    ) -> Result<Self> {
        let mount = dir.mount()?;
        let at = parts.at.0;
        let state = ReadState {
            active: Generation::empty(parts.at, parts.last_log, env)?,
            sealed: parts.sealed,
            version: parts.version,
        };
        let first = super::prepare::FIRST_CAPACITY.min(options.write_buffer_bytes);
        Ok(Self {
            env: Arc::clone(env),
            log_hook,
            boot_id: env.os.boot_id(),
            mount_id: mount.mount_id,
            mapped_ok: mount.mapped_log,
            state: EpochCell::new(Arc::new(state), Arc::clone(&env.garbage)),
            visible: CachePadded::new(AtomicU64::new(at)),
            logged: CachePadded::new(AtomicU64::new(at)),
            synced: CachePadded::new(AtomicU64::new(at)),
            floor: AtomicU64::new(parts.floor.0),
            visible_parking: Parking::new(),
            log_parking: Parking::new(),
            sync_parking: Parking::new(),
            room_parking: Parking::new(),
            log_leader: Leader::new(),
            staging: Mutex::new(Staging::default()),
            poison: Poison::new(),
            background_error: Mutex::new(None),
            snapshots: Snapshots::new(),
            keyspaces: KeyspaceMap::new(parts.keyspaces, &env.garbage),
            keyspace_lock: Mutex::new(()),
            catalogue: Mutex::new(parts.catalogue),
            tables: parts.tables,
            next_file: AtomicU64::new(parts.next_file.0),
            edit_count: AtomicU64::new(parts.edit_count),
            next_capacity: AtomicU64::new(first),
            jobs: Jobs::new(),
            warming: Warming::default(),
            spare: Spare::default(),
            shelf: Shelf::default(),
            flushes: Flushes::new(),
            flush_calls: AtomicU32::new(0),
            compaction: Mutex::new(CompactionState::default()),
            stall: Stall::new(),
            counters: Counters::default(),
            life: AtomicU32::new(OPEN),
            is_left: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
            dir,
            options,
        })
    }

    /// Removes the database at `path`: all files that are lsmer's, and the directory if nothing
    /// else is in it.
    ///
    /// # Errors
    /// `Locked` when it is open, `Invalid` when there is none, `Corrupt` or `Format` when what
    /// `CURRENT` holds is not ours or is damaged. A failure in the middle leaves a directory that
    /// can be destroyed again.
    pub(crate) fn destroy(env: &Arc<Env>, path: &Path) -> Result<()> {
        let dir = env.vfs.open_dir(path, false)?;
        let ours = |name: &str| filename::parse(name).is_some();
        let listed = dir.list()?;
        let any = listed.iter().any(|l| l.is_file && ours(&l.name) && l.name != filename::LOCK);
        if !any {
            return Err(Error::invalid(format!("there is no database in {}", path.display())));
        }
        // Other engines use some of our names: theirs are not ours to remove.
        manifest::check_current(&*dir)?;
        let lock = dir.lock(LockMode::Exclusive, env.os.process_id())?;
        // First the name that makes it a database: what is left after a crash is litter.
        if listed.iter().any(|l| l.name == CURRENT) {
            dir.remove(CURRENT)?;
            dir.sync()?;
        }
        for file in dir.list()? {
            if file.is_file && ours(&file.name) && file.name != filename::LOCK {
                dir.remove(&file.name)?;
            }
        }
        dir.remove(filename::LOCK)?;
        dir.sync()?;
        let empty = dir.list()?.is_empty();
        drop(lock);
        drop(dir);
        if empty { env.vfs.remove_dir(path) } else { Ok(()) }
    }
}

/// Whether the directory holds a database, or what one without its `CURRENT` leaves: that is for
/// the manifest to report. One that holds something else is an error, and left as it is.
fn look_inside(dir: &dyn Dir) -> Result<bool> {
    let listed = dir.list()?;
    let name_of = |l: &Listed| filename::parse(&l.name).filter(|_| l.is_file);
    if listed.iter().any(|l| name_of(l) == Some(FileName::Current)) {
        // Other engines have a file of this name, too: theirs must not even be locked.
        manifest::check_current(dir)?;
        return Ok(true);
    }
    if listed.iter().any(|l| matches!(name_of(l), Some(FileName::Log(_) | FileName::Table(_)))) {
        return Ok(true);
    }
    // A creation that was cut short leaves only these.
    let foreign = listed.iter().find(|l| {
        !matches!(name_of(l), Some(FileName::Lock | FileName::CurrentTemp | FileName::Manifest(_)))
    });
    match foreign {
        None => Ok(false),
        Some(foreign) => Err(Error::invalid(format!(
            "{} is not a database: it holds {} and no {CURRENT}",
            dir.path().display(),
            foreign.name
        ))),
    }
}

/// A file number above every one in use.
pub(super) fn next_file(dir: &dyn Dir) -> Result<FileNumber> {
    let listed = dir.list()?;
    let highest = listed.iter().filter_map(|l| match filename::parse(&l.name)? {
        FileName::Log(n) | FileName::Table(n) | FileName::Manifest(n) => Some(n.0),
        FileName::Current | FileName::CurrentTemp | FileName::Lock => None,
    });
    match highest.max().unwrap_or(0).checked_add(1) {
        Some(next) if next < u64::MAX / 2 => Ok(FileNumber(next)),
        _ => Err(Error::invalid("a file has too high a number")),
    }
}
