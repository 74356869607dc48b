//! The rows of the report, and what lsmer is to reach in each: the ratio of its median to that of
//! the best peer in the same run.

/// A workload in the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) label: &'static str,
    /// For people; where it says more than the label.
    pub(crate) title: &'static str,
    /// Another label of the scenario that peers may answer with, as they have no such call.
    pub(crate) peers_also: &'static str,
    /// The ratio to reach; 0: none is set.
    pub(crate) target: f64,
    /// By how much TidesDB, which has no package to install, was ahead of the best of the peers
    /// here when it was measured beside them (2026-11-22); the target is raised by it.
    pub(crate) beyond: f64,
    /// The peers that the target means; empty: all.
    pub(crate) among: &'static [&'static str],
    /// Who is to reach it: lsmer, or a variant of it.
    pub(crate) by: &'static str,
}

/// Ours. Its variants begin with this name.
pub(crate) const OURS: &str = "lsmer";
/// The variant that reads tables from a mapping of their files.
pub(crate) const MAPPED: &str = "lsmer-mapped";

/// Peers that are log-structured merge trees.
pub(crate) const LSM: &[&str] = &["rocksdb", "leveldb", "fjall"];

/// Peers that read by calls, not from a mapping of their files.
const CALLING: &[&str] = &["rocksdb", "wiredtiger", "fjall"];

const LMDB: &[&str] = &["lmdb"];

const fn row(group: &'static str, scenario: &'static str, label: &'static str, target: f64) -> Row {
    Row {
        group,
        scenario,
        label,
        title: "",
        peers_also: "",
        target,
        beyond: 1.0,
        among: &[],
        by: OURS,
    }
}

impl Row {
    const fn beyond(mut self, beyond: f64) -> Self {
        self.beyond = beyond;
        self
    }

    const fn titled(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    const fn or_peers(mut self, label: &'static str) -> Self {
        self.peers_also = label;
        self
    }

    const fn among(mut self, peers: &'static [&'static str]) -> Self {
        self.among = peers;
        self
    }

    const fn by(mut self, variant: &'static str) -> Self {
        self.by = variant;
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.title.is_empty() { self.label } else { self.title }
    }
}

const FILLS: &str = "Fills";
const SYNCED: &str = "Durable puts";
const READS: &str = "Reads that fit the cache";
const YCSB: &str = "YCSB, zipfian 0.99";
const CHANGES: &str = "Changes to a filled database";
const CACHE: &str = "32 MiB of cache, data in the page cache";
const SMALL: &str = "Data of eight times the memory budget, in the page cache";
const LARGE: &str = "Large values";
const LIMITED: &str = "464 MB within 192 MiB of memory";

/// In the order of the tables. The targets are those of the project.
pub(crate) const ROWS: &[Row] = &[
    row(FILLS, "fills", "fillseq", 2.0),
    row(FILLS, "reads", "fillrandom", 3.0),
    row(FILLS, "fills", "fillrandom/2", 3.0).beyond(1.18),
    row(FILLS, "fills", "fillrandom/4", 3.0).beyond(1.09),
    row(FILLS, "fills", "deleterandom/2", 3.0),
    row(FILLS, "fills", "deleterandom/4", 3.0),
    row(FILLS, "fills", "fillbatch", 3.0).titled("fillbatch(100)"),
    row(FILLS, "fills", "fillbatch/2", 3.0).beyond(1.5).titled("fillbatch(100)/2"),
    row(SYNCED, "sync", "fillsync", 1.0).beyond(1.1),
    row(SYNCED, "sync", "fillsync/4", 2.0).beyond(1.03),
    row(SYNCED, "sync", "fillsync/16", 2.0),
    row(READS, "reads", "readrandom", 2.0),
    row(READS, "reads", "readrandom/2", 1.75),
    row(READS, "reads", "multiget+16", 3.0).or_peers("readrandom").titled("multi_get of 16, a key"),
    row(READS, "reads", "multiget+64", 3.0).or_peers("readrandom").titled("multi_get of 64, a key"),
    row(READS, "reads", "readmissing", 1.5).beyond(1.13),
    row(READS, "reads", "readmissing/2", 1.5),
    row(READS, "reads", "readseq", 1.0).titled("readseq, one entry a call"),
    row(READS, "reads", "readpages", 1.25).or_peers("readseq").titled("readseq, lsm_iter_read"),
    row(READS, "reads", "readreverse", 0.0).titled("readseq backward"),
    row(READS, "reads", "seekrandom+10", 1.25),
    row(READS, "reads", "seekrandom+10/2", 1.25),
    row(READS, "reads", "seekrandom+50", 1.25),
    row(READS, "reads", "seekreuse+10", 1.25),
    row(READS, "reads", "scan+10", 0.0).or_peers("seekrandom+10").titled("lsm_scan of 10"),
    row(READS, "reads", "scan+50", 0.0).or_peers("seekrandom+50").titled("lsm_scan of 50"),
    row(YCSB, "reads", "ycsb-a", 1.5),
    row(YCSB, "reads", "ycsb-a/2", 2.0),
    row(YCSB, "reads", "ycsb-b", 1.5),
    row(YCSB, "reads", "ycsb-b/2", 1.5),
    row(YCSB, "reads", "ycsb-c", 1.5),
    row(YCSB, "reads", "ycsb-c/2", 1.5),
    row(YCSB, "reads", "ycsb-d", 1.5),
    row(YCSB, "reads", "ycsb-d/2", 1.5),
    row(YCSB, "reads", "ycsb-e", 1.25),
    row(YCSB, "reads", "ycsb-e/2", 1.25),
    row(YCSB, "reads", "ycsb-f", 1.5),
    row(YCSB, "reads", "ycsb-f/2", 2.0),
    row(CHANGES, "reads", "readwhilewriting", 1.5).titled("readwhilewriting, 1 + 1"),
    row(CHANGES, "reads", "readwhilewriting/2", 1.5).titled("readwhilewriting, 2 + 1"),
    row(CHANGES, "reads", "overwrite", 3.0),
    row(CHANGES, "reads", "overwrite/2", 3.0).beyond(1.64),
    row(CHANGES, "reads", "overwrite/4", 3.0),
    row(CHANGES, "reads", "deleterandom", 3.0),
    row(CACHE, "cache-32m", "readrandom", 1.25).among(CALLING),
    row(CACHE, "cache-32m", "readrandom/2", 1.25).among(CALLING),
    row(CACHE, "cache-32m", "seekrandom+10", 1.25).among(CALLING),
    row(SMALL, "small-cache", "readrandom", 1.25).among(CALLING),
    row(SMALL, "small-cache", "readrandom/2", 1.25).among(CALLING),
    row(SMALL, "small-cache", "readmissing", 0.0),
    row(SMALL, "small-cache", "seekrandom+10", 1.25).among(CALLING),
    row(SMALL, "small-cache", "ycsb-c", 0.0),
    row(SMALL, "small-cache", "ycsb-a", 0.0),
    row(LARGE, "values-4k", "fillrandom", 1.5).titled("fillrandom, 4 KiB"),
    row(LARGE, "values-4k", "readrandom", 1.0).titled("readrandom, 4 KiB"),
    row(LARGE, "values-4k", "readseq", 0.0).titled("readseq, 4 KiB"),
    row(LARGE, "values-64k", "fillrandom", 1.5).titled("fillrandom, 64 KiB"),
    row(LARGE, "values-64k", "readrandom", 1.0).titled("readrandom, 64 KiB"),
    row(LARGE, "values-64k", "readseq", 0.0).titled("readseq, 64 KiB"),
    row(LIMITED, "limited", "readrandom", 1.25),
    row(LIMITED, "limited", "readrandom/2", 1.5),
    row(LIMITED, "limited", "readmissing", 1.25),
    row(LIMITED, "limited", "seekrandom+10", 1.25),
    row(LIMITED, "limited", "ycsb-c", 1.25),
    row(LIMITED, "limited", "ycsb-a", 1.25),
];

/// Targets of the variant of lsmer, in rows of [`ROWS`].
pub(crate) const MAPPED_ROWS: &[Row] = &[
    row(CACHE, "cache-32m", "readrandom", 1.0).among(LMDB).by(MAPPED),
    row(CACHE, "cache-32m", "readrandom/2", 1.0).among(LMDB).by(MAPPED),
    row(CACHE, "cache-32m", "seekrandom+10", 1.0).among(LMDB).by(MAPPED),
];

/// A figure that is to stay below a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) title: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) label: &'static str,
    /// Which of the steps with that label, from 0.
    pub(crate) occurrence: usize,
    pub(crate) field: &'static str,
    /// What the field is multiplied with to be shown; 0: one part of the live data.
    pub(crate) scale: f64,
    pub(crate) limit: Limit,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// The figure itself, as it is shown.
    Most(f64),
    /// So many times the least figure of a log-structured peer.
    TimesLsm(f64),
}

const fn bound(
    title: &'static str,
    (scenario, label, occurrence): (&'static str, &'static str, usize),
    (field, scale): (&'static str, f64),
    limit: Limit,
) -> Bound {
    Bound { title, scenario, label, occurrence, field, scale, limit }
}

pub(crate) const BOUNDS: &[Bound] = &[
    bound(
        "recovery of 46 MB of log, ms",
        ("recovery", "reopen", 0),
        ("secs", 1e3),
        Limit::Most(250.0),
    ),
    bound("clean open, ms", ("recovery", "reopen", 1), ("secs", 1e3), Limit::Most(1.5)),
    bound(
        "space after settling, times the live data",
        ("reads", "settle", 0),
        ("disk_bytes", 0.0),
        Limit::Most(1.08),
    ),
    bound(
        "longest put of fillrandom, ms",
        ("reads", "fillrandom", 0),
        ("max", 1e-3),
        Limit::Most(2.0),
    ),
    bound(
        "peak memory in fillrandom, MB",
        ("reads", "fillrandom", 0),
        ("peak_bytes", 1e-6),
        Limit::TimesLsm(1.1),
    ),
    bound(
        "peak memory in readrandom, MB",
        ("reads", "readrandom", 0),
        ("peak_bytes", 1e-6),
        Limit::TimesLsm(1.1),
    ),
];
