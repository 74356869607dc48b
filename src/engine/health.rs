//! Statistics: counters that cost a relaxed add, and one place that knows their names.

use std::fmt::Write as _;

use super::db::Db;
use crate::base::limits::LEVEL_COUNT;
use crate::base::{Error, Lsn, Result};
use crate::mem::Counter;
use crate::mem::atomic::Ordering;
use crate::mem::epoch;
use crate::version::Version;

/// Events since the database was opened.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) writes: Counter,
    pub(super) write_bytes: Counter,
    pub(super) gets: Counter,
    pub(super) iterators: Counter,
    /// Seeks of iterators but their first ones, counted in lots of [`super::scan::RESEEKS`].
    pub(super) reseeks: Counter,
    pub(super) rotations: Counter,
    pub(super) syncs: Counter,
    pub(super) flushes: Counter,
    pub(super) flush_bytes: Counter,
    pub(super) compactions_started: Counter,
    pub(super) compactions: Counter,
    pub(super) compaction_bytes: Counter,
    pub(super) compaction_errors: Counter,
}

/// Whether a database takes writes. The numbers are in the C API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum HealthState {
    /// It does.
    Ok = 0,
    /// It was opened read-only.
    ReadOnly = 1,
    /// A failure stopped it; reopen it.
    Poisoned = 2,
    /// Writes or background work fail for a cause that may pass.
    Degraded = 3,
}

/// How a database is doing.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) state: HealthState,
    /// Everything below is visible.
    pub(crate) last_seq: Lsn,
    /// Everything below survives power loss.
    pub(crate) durable_seq: Lsn,
    /// Bytes that wait for flush and compaction.
    pub(crate) debt_bytes: u64,
    /// Nanoseconds that writers waited for it.
    pub(crate) stall_ns_total: u64,
    /// Bytes in use of the environment's budget.
    pub(crate) memory_used: u64,
    pub(crate) memory_budget: u64,
    /// Bytes of tables and logs.
    pub(crate) disk_bytes: u64,
    /// Age of the oldest snapshot, in seconds.
    pub(crate) oldest_snapshot_secs: u64,
    /// The standing cause, or why background work fails at present.
    pub(crate) cause: Option<Error>,
}

/// A format of [`Db::stats_dump`]. The numbers are in the C API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum StatsFormat {
    /// One JSON object.
    Json = 1,
    /// Prometheus text exposition.
    Prometheus = 2,
    /// A line for each, for people.
    Text = 3,
}

/// One number with its name and meaning.
struct Stat {
    name: &'static str,
    help: &'static str,
    /// Whether it only grows.
    counter: bool,
    value: u64,
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Stat {
    Stat { name, help, counter: true, value }
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Stat {
    Stat { name, help, counter: false, value }
}

/// Bytes of the live sections of all tables.
fn table_bytes(version: &Version) -> u64 {
    version.sections().map(|(_, section)| section.meta().bytes).sum()
}

impl Db {
    /// How the database is doing. Works on a poisoned one too.
    pub(crate) fn health(&self) -> Health {
        let passing = self.background_error.lock().clone();
        let state = if self.options.read_only {
            HealthState::ReadOnly
        } else if self.poison.check().is_err() {
            HealthState::Poisoned
        } else if passing.is_some() {
            HealthState::Degraded
        } else {
            HealthState::Ok
        };
        let now = self.env.os.monotonic_ns();
        let (_, oldest) = self.snapshots.oldest();
        let cause = self.poison.cause().or(passing);
        Health {
            state,
            last_seq: self.visible(),
            durable_seq: self.synced(),
            debt_bytes: self.sealed_bytes() + self.version().debt_bytes(&self.level_sizes()),
            stall_ns_total: self.stall.waited_ns.load(Ordering::Relaxed),
            memory_used: self.memory_used(),
            memory_budget: self.env.options.memory_budget_bytes,
            disk_bytes: table_bytes(&self.version()) + self.log_bytes() + self.shelf.bytes(),
            oldest_snapshot_secs: oldest
                .map_or(0, |since| now.saturating_sub(since) / 1_000_000_000),
            cause,
        }
    }

    fn memory_used(&self) -> u64 {
        self.env.buffers.used() + self.env.cache.used() + self.tables.memory_bytes()
    }

    fn log_bytes(&self) -> u64 {
        let guard = epoch::pin();
        let active = &self.state.load(&guard).active;
        let active_bytes = if active.is_empty_one() { 0 } else { active.memtable.capacity_bytes() };
        active_bytes + self.sealed_bytes()
    }

    /// The number with this name.
    ///
    /// # Errors
    /// `Invalid` for a name that is not in [`Db::stats_dump`].
    pub(crate) fn stat(&self, name: &str) -> Result<u64> {
        self.check_open()?;
        let found = self.stats().into_iter().find(|stat| stat.name == name);
        found
            .map(|stat| stat.value)
            .ok_or_else(|| Error::invalid(format!("there is no statistic named {name:?}")))
    }

    /// All numbers as text.
    pub(crate) fn stats_dump(&self, format: StatsFormat) -> String {
        let stats = self.stats();
        let mut text = String::new();
        for (i, Stat { name, help, counter, value }) in stats.iter().enumerate() {
            // Writing into a string cannot fail.
            let _ = match format {
                StatsFormat::Json => {
                    let open = if i == 0 { "{" } else { "," };
                    write!(text, "{open}\"{name}\":{value}")
                }
                StatsFormat::Prometheus => {
                    let kind = if *counter { "counter" } else { "gauge" };
                    let total = if *counter { "_total" } else { "" };
                    let full = format!("lsmer_{name}{total}");
                    writeln!(text, "# HELP {full} {help}\n# TYPE {full} {kind}\n{full} {value}")
                }
                StatsFormat::Text => writeln!(text, "{name:<26} {value:>20}  {help}"),
            };
        }
        if format == StatsFormat::Json {
            text.push('}');
        }
        text
    }

    fn stats(&self) -> Vec<Stat> {
        let mut stats = self.event_stats();
        stats.extend(self.state_stats());
        stats
    }

    fn event_stats(&self) -> Vec<Stat> {
        let c = &self.counters;
        let cache = &self.env.cache;
        vec![
            counter("writes", "Write calls that were filled.", c.writes.get()),
            counter("write_bytes", "Bytes of log records.", c.write_bytes.get()),
            counter("gets", "Point reads.", c.gets.get()),
            counter("iterators", "Iterators opened.", c.iterators.get()),
            counter("rotations", "Generations sealed and replaced.", c.rotations.get()),
            counter("syncs", "Segments made durable.", c.syncs.get()),
            counter("flushes", "Generations written as tables.", c.flushes.get()),
            counter("flush_bytes", "Bytes of tables that flushes wrote.", c.flush_bytes.get()),
            counter("compactions", "Compactions that were installed.", c.compactions.get()),
            counter("compaction_bytes", "Bytes that compactions wrote.", c.compaction_bytes.get()),
            counter("compaction_errors", "Compactions that failed.", c.compaction_errors.get()),
            counter("cache_hits", "Blocks found in the cache.", cache.hits()),
            counter("cache_misses", "Blocks read from files.", cache.misses()),
            counter(
                "stall_ns",
                "Nanoseconds that writers were delayed.",
                self.stall.waited_ns.load(Ordering::Relaxed),
            ),
        ]
    }

    fn state_stats(&self) -> Vec<Stat> {
        const LEVELS: [(&str, &str); LEVEL_COUNT] = [
            ("level0_bytes", "Bytes in level 0."),
            ("level1_bytes", "Bytes in level 1."),
            ("level2_bytes", "Bytes in level 2."),
            ("level3_bytes", "Bytes in level 3."),
            ("level4_bytes", "Bytes in level 4."),
            ("level5_bytes", "Bytes in level 5."),
            ("level6_bytes", "Bytes in level 6."),
        ];
        let version = self.version();
        let sizes = self.level_sizes();
        let (snapshots, _) = self.snapshots.oldest();
        let (generations, entries) = {
            let guard = epoch::pin();
            let state = self.state.load(&guard);
            (state.sealed.len() as u64, state.active.memtable.entry_count() as u64)
        };
        let mut stats = vec![
            gauge("visible", "Position below which everything is visible.", self.visible().0),
            gauge("synced", "Position below which everything is durable.", self.synced().0),
            gauge("floor", "Position below which everything is in tables.", self.floor().0),
            gauge("active_entries", "Entries in the active memtable.", entries),
            gauge("sealed_generations", "Memtables that wait for a flush.", generations),
            gauge("sealed_bytes", "Bytes of log that wait for a flush.", self.sealed_bytes()),
            gauge("debt", "Delay of writers, in 1/1024 of the full one.", self.debt()),
            gauge(
                "compaction_debt_bytes",
                "Bytes that compaction owes.",
                version.debt_bytes(&sizes),
            ),
            gauge("tables", "Table files.", version.live_files().len() as u64),
            gauge("table_bytes", "Bytes of table files.", table_bytes(&version)),
            gauge(
                "level0_sections",
                "Most level-0 sections.",
                version.level0_sections_max() as u64,
            ),
            gauge("cache_bytes", "Bytes of cached blocks.", self.env.cache.used()),
            gauge("buffer_bytes", "Bytes of write buffers.", self.env.buffers.used()),
            gauge("index_bytes", "Bytes of filters and indexes.", self.tables.memory_bytes()),
            gauge("snapshots", "Living snapshots.", snapshots),
            gauge("keyspaces", "Keyspaces.", self.keyspaces.len()),
        ];
        for (level, (name, help)) in version.stats().iter().zip(LEVELS) {
            stats.push(gauge(name, help, level.bytes));
        }
        stats
    }
}
