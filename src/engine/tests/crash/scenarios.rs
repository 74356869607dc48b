//! The scenarios: short lives of databases in which everything that changes files happens.
//!
//! Write buffers hold 4 KiB, so that some ten writes fill one. Plain data.

use super::super::history::KEY;
use super::super::life::End;
use super::super::script::{
    Step, VALUE_BYTES, delete, put, put_in, put_large, put_synced, put_unlogged, puts,
};
use super::enumerate::{Scenario, Stage};
use crate::base::options::{Compression, Durability, KeyspaceOptions};
use crate::vfs::sim::{CallKind, PowerLoss};

use Step::{
    CheckSnapshots, Compact, Create, Drop, Flush, Idle, Mark, Pause, Quota, Release, Resume,
    Snapshot, Sync, Work,
};

/// A stage whose process dies in the end.
fn dies(steps: impl IntoIterator<Item = Step>) -> Stage {
    Stage { steps: steps.into_iter().collect(), closes: false, end: End::Death }
}

/// A stage that ends with a loss of power that leaves some of everything.
fn loses_power(steps: impl IntoIterator<Item = Step>) -> Stage {
    let end = End::Power(PowerLoss::Independent, 11);
    Stage { steps: steps.into_iter().collect(), closes: false, end }
}

/// A stage that ends with a clean close.
fn closes(steps: impl IntoIterator<Item = Step>) -> Stage {
    Stage { steps: steps.into_iter().collect(), closes: true, end: End::Death }
}

fn scenario(name: &'static str, stages: impl IntoIterator<Item = Stage>) -> Scenario {
    Scenario { name, stages: stages.into_iter().collect(), may_lack_room: false, shows: Vec::new() }
}

impl Scenario {
    /// There must be at least so many calls of a kind on files whose names hold this.
    fn shows(mut self, kind: CallKind, name: &'static str, least: usize) -> Self {
        self.shows.push((kind, name, least));
        self
    }
}

fn batch(puts: &[(usize, usize, Option<usize>)], durability: Durability) -> Step {
    Step::Write(puts.to_vec(), durability)
}

fn chain(parts: impl IntoIterator<Item = Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}

/// All of them.
pub(in super::super) fn all() -> Vec<Scenario> {
    [writes(), unlogged(), tables(), keyspaces(), closing(), recovery(), extremes(), idling()]
        .concat()
}

/// Tables with a block for each entry.
fn short_blocks() -> Step {
    let options = KeyspaceOptions {
        compression: Compression::None,
        filter_bits_x10: 0,
        block_bytes: 64,
        hash_index: false,
    };
    Step::Options(0, options)
}

/// Puts of values that stay in the log.
fn long(first: usize, count: usize) -> Vec<Step> {
    let value = Some(600);
    (first..first + count)
        .map(|i| Step::Write(vec![(0, i % KEY.len(), value)], Durability::Buffer))
        .collect()
}

/// One that is synced.
fn put_synced_long(key: usize) -> Step {
    Step::Write(vec![(0, key, Some(600))], Durability::Sync)
}

/// Puts of keys from `first` on, and all background work after each.
fn worked(first: usize, count: usize) -> Vec<Step> {
    puts(first, count).flat_map(|step| [step, Work]).collect()
}

/// Writes: single ones, batches, synced and unlogged ones, and more than one buffer.
pub(super) fn writes() -> Vec<Scenario> {
    const V: Option<usize> = Some(VALUE_BYTES);
    let pair = |a, b| batch(&[(0, a, V), (0, b, None), (0, a, Some(9))], Durability::Buffer);
    vec![
        scenario("creation", [dies([])]),
        scenario("creation and close", [closes([])]),
        scenario("puts", [dies([put(0), put(1), delete(0), put(7)])]),
        scenario(
            "batches",
            [dies([
                batch(&[(0, 0, V), (0, 1, V), (0, 2, V)], Durability::Buffer),
                pair(3, 0),
                batch(&[(0, 4, V), (0, 5, None)], Durability::Sync),
                pair(1, 2),
            ])],
        ),
        scenario(
            "synced writes",
            [dies([put(0), put_synced(1), put(2), put(3), Sync, put(4), put_synced(0), delete(1)])],
        ),
        scenario("rotation", [dies(puts(0, 34))]).shows(CallKind::Create, ".wal", 3),
        scenario(
            "logs used again",
            [
                dies(chain([worked(0, 60), vec![put_synced(1)], worked(2, 30)])),
                loses_power(chain([worked(1, 45), vec![Sync], worked(0, 40), vec![put_synced(3)]])),
                dies([put(0), delete(1), put_large(2, 900)]),
            ],
        )
        .shows(CallKind::Rename, ".wal", 4),
        scenario(
            "long values",
            [
                dies(chain([long(0, 24), vec![put(1), put_synced(2), delete(0)], long(1, 5)])),
                loses_power(chain([long(3, 9), vec![put_synced_long(4), Work], long(0, 9)])),
                dies(chain([vec![Pause], long(0, 30)])),
                dies([put(0)]),
            ],
        ),
        scenario(
            "rotation under sync",
            [dies(chain([
                vec![Pause],
                puts(0, 15).collect(),
                vec![put_synced(0)],
                puts(1, 15).collect(),
                vec![put_synced(0)],
                puts(2, 15).collect(),
                vec![Sync, put(3)],
            ]))],
        ),
    ]
}

/// Writes that are lost with the process, among others.
pub(super) fn unlogged() -> Vec<Scenario> {
    vec![
        scenario(
            "unlogged writes",
            [dies([
                put(0),
                put_unlogged(1),
                put_synced(2),
                put_unlogged(0),
                Flush,
                put_unlogged(3),
                put(4),
                put_unlogged(5),
                Sync,
            ])],
        ),
        scenario(
            "unlogged writes and close",
            [
                closes([put(0), put_unlogged(1), put(2), put_unlogged(2)]),
                dies([put(3), put_unlogged(3), put_synced(4)]),
            ],
        ),
    ]
}

/// Flush and compaction.
pub(super) fn tables() -> Vec<Scenario> {
    let round = |key| chain([puts(key, 4).collect(), vec![delete(key + 2), Flush]]);
    vec![
        scenario("flush", [dies([put(0), put(1), Flush, put(2), delete(0), Flush, put(0)])]).shows(
            CallKind::Create,
            ".sst",
            2,
        ),
        scenario("compaction", [dies(chain([round(0), round(1), vec![Compact(0), Work, put(1)]]))])
            .shows(CallKind::Create, ".sst", 3)
            .shows(CallKind::Remove, ".sst", 1),
        scenario(
            "compaction of many blocks",
            [dies(chain([vec![short_blocks()], round(0), round(3), vec![Compact(0), put(1)]]))],
        ),
        scenario(
            "compaction of deletes",
            [dies([
                put(0),
                put(1),
                Flush,
                delete(0),
                delete(1),
                Flush,
                Compact(0),
                put(1),
                Flush,
                Compact(0),
            ])],
        ),
        scenario(
            "compaction in the background",
            [dies(chain([round(0), round(1), round(2), round(3), round(4), vec![Work, put(0)]]))],
        )
        .shows(CallKind::Create, ".sst", 6)
        .shows(CallKind::Remove, ".sst", 4),
        scenario(
            "snapshot",
            [dies([
                Snapshot,
                put(0),
                put(1),
                Snapshot,
                delete(0),
                put(1),
                Flush,
                Snapshot,
                put(1),
                CheckSnapshots,
                Flush,
                Compact(0),
                CheckSnapshots,
                Release,
                Compact(0),
                put(2),
            ])],
        ),
    ]
}

/// Keyspaces, and a manifest that is written anew.
pub(super) fn keyspaces() -> Vec<Scenario> {
    const V: Option<usize> = Some(VALUE_BYTES);
    let name = |name: &str| Create(name.to_owned());
    let long = |i: usize| Create(format!("{i}{}", "x".repeat(200)));
    vec![
        scenario(
            "keyspace made",
            [dies([
                put(0),
                name("one"),
                put_in(1, 0),
                batch(&[(0, 1, V), (1, 1, V), (1, 0, None)], Durability::Buffer),
                Flush,
                put_in(1, 2),
            ])],
        ),
        scenario(
            "keyspace dropped",
            [dies([
                name("one"),
                name("two"),
                put_in(1, 0),
                put_in(2, 0),
                put(0),
                Drop(1),
                put(1),
                Flush,
                name("one"),
                put_in(3, 1),
                Drop(2),
                put_in(3, 2),
            ])],
        ),
        scenario(
            "keyspace dropped and compacted",
            [
                dies([name("one"), put_in(1, 0), put(0), Flush, put_in(1, 1), put(1), Flush]),
                dies([Drop(1), put(2), Compact(0), Work, put(0)]),
            ],
        ),
        scenario("options", [dies([put(0), Flush, short_blocks(), put(1), Flush])]),
        scenario(
            "manifest written anew",
            [dies(chain([
                (0..6).map(long).collect(),
                vec![put(0), Flush, put(1)],
                (1..6).map(Drop).collect(),
                vec![put(2), Flush, put_in(6, 0)],
            ]))],
        )
        .shows(CallKind::Create, "MANIFEST", 2)
        .shows(CallKind::Remove, "MANIFEST", 1),
    ]
}

/// Closing, and what follows it.
pub(super) fn closing() -> Vec<Scenario> {
    vec![
        scenario("close", [closes([put(0), put(1), delete(0)])]),
        scenario("close after a flush", [closes([put(0), Flush, put(1)])]),
        scenario("close right after a flush", [closes([put(0), Flush])]),
        scenario(
            "writes after a clean close",
            [closes([put(0), put(1)]), dies([put(2), put_synced(0), delete(1)])],
        ),
        scenario(
            "clean closes one after another",
            [closes([put(0)]), closes([]), closes([put(1)]), closes([put(2), Flush]), closes([])],
        ),
        scenario(
            "flush after a clean close",
            [closes([put(0), put(1)]), dies([put(2), Flush, put(3), Work]), dies([put(4)])],
        ),
        scenario("close of several buffers", [closes(puts(0, 33)), dies([put(0)])]),
        scenario(
            "close after a close, unsynced",
            [closes([put(0)]), closes([put_synced(1), put(2)]), dies([put(3), Sync])],
        ),
    ]
}

/// Recovery, and recovery of what a recovery left.
pub(super) fn recovery() -> Vec<Scenario> {
    vec![
        scenario("recovery", [dies([put(0), put(1), put_synced(2), put(3)]), dies([])]),
        scenario(
            "recovery of several logs",
            [dies(chain([vec![Pause], puts(0, 40).collect()])), dies([put(0)])],
        ),
        scenario(
            "recovery after power loss",
            [
                loses_power(chain([
                    vec![Pause],
                    puts(0, 17).collect(),
                    vec![Sync],
                    puts(1, 17).collect(),
                ])),
                dies([put(0), put_synced(1)]),
            ],
        ),
        scenario(
            "recovery of a recovery",
            [
                loses_power([put(0), put_synced(1), put(2)]),
                dies([put(3), put_synced(4), delete(0)]),
                loses_power([put(5)]),
                dies([put(6), Flush, put(0)]),
                dies([delete(6)]),
            ],
        ),
        scenario(
            "recovery beside tables",
            [
                dies(chain([puts(0, 6).collect(), vec![Flush], puts(1, 4).collect()])),
                loses_power([delete(0), put_synced(1), delete(2), Flush, Compact(0), put(3)]),
                closes([delete(3), Compact(0)]),
                dies([put(0)]),
            ],
        ),
        scenario(
            "recovery of many keyspaces",
            [
                dies([
                    Create("one".to_owned()),
                    put_in(1, 0),
                    put(1),
                    Create("two".to_owned()),
                    put_in(2, 5),
                    Drop(1),
                    put(2),
                ]),
                loses_power([put_in(2, 1), Drop(2), put(0)]),
                dies([Create("one".to_owned()), put_in(3, 0)]),
            ],
        ),
    ]
}

/// Long writes, marks, and a full disk.
pub(super) fn extremes() -> Vec<Scenario> {
    let mut full = scenario(
        "full disk",
        [dies(chain([
            puts(0, 4).collect(),
            vec![Quota(Some(34_000))],
            puts(4, 30).collect(),
            vec![Flush, put(1), put_synced(2), Work, Flush, Quota(None), Step::Advance(1 << 30)],
            vec![Work, put(3), put_synced(4), Flush, put(5)],
        ]))],
    );
    full.may_lack_room = true;
    vec![
        scenario(
            "oversized writes",
            [dies([put(0), put_large(1, 6000), put(2), put_large(3, 5000), put_synced(4)])],
        ),
        scenario("first write oversized", [dies([put_large(1, 7000), Sync, put(0)])]),
        scenario(
            "oversized after a clean close",
            [
                closes([put(0)]),
                closes([put_large(1, 7000), put(0), put_synced(2)]),
                closes([put_large(3, 6000)]),
                dies([put_large(4, 6000), Sync]),
            ],
        ),
        scenario(
            "oversized batch",
            [dies([
                put_synced(0),
                batch(&[(0, 1, Some(2000)), (0, 0, None), (0, 2, Some(3000))], Durability::Sync),
                Flush,
                put_large(5, 3000),
                put(1),
            ])],
        ),
        scenario("marks", [dies([put(0), Mark, put(1), put_synced(2), Mark, Mark, put(3)])]),
        scenario(
            "marks and close",
            [closes([put(0), Mark]), dies([Mark, put(1), Mark]), closes([Mark, put(2), Mark])],
        ),
        scenario(
            "background work held back",
            [dies(chain([
                vec![Pause],
                puts(0, 30).collect(),
                vec![Resume, Work, put(0), Work, Flush, put(1)],
            ]))],
        ),
        full,
    ]
}

/// Space that is given back when nobody writes.
pub(super) fn idling() -> Vec<Scenario> {
    vec![
        scenario(
            "idle after a flush",
            [
                dies(chain([
                    puts(0, 3).collect(),
                    vec![Flush, Idle, put(0), put_synced(1)],
                    puts(1, 9).collect(),
                    vec![Flush, Idle, Idle, put_synced(2)],
                ])),
                loses_power([put(0), Flush, Idle, put(1), put(2), delete(1), Sync, Idle]),
                closes([put(3), Flush, Idle]),
                closes([Idle, put(4), Idle]),
                dies([delete(0), Flush, Idle]),
            ],
        )
        .shows(CallKind::Remove, ".wal", 6),
        scenario(
            "idle with writes in the log",
            [
                dies([put(0), Idle, put_synced(1), put(2), Idle, put_large(3, 6000), Idle, put(4)]),
                dies(chain([puts(0, 14).collect(), vec![Idle], puts(3, 14).collect()])),
            ],
        ),
    ]
}
