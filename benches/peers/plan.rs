//! What is run: scenarios, each a database of its own, and their steps, in the short and the full
//! form.

use crate::adapters::Known;
use crate::rows::MAPPED;
use crate::step::{Kind, Step};

const MIB: u64 = 1 << 20;

/// One database of each engine, and what is done with it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) write_buffer: u64,
    pub(crate) cache: u64,
    /// Whether every write is synced.
    pub(crate) durable: bool,
    /// Bytes of memory, page cache included, for all parts but the first; their processes begin
    /// with cold files.
    pub(crate) memory_limit: Option<u64>,
    /// Each has processes of its own.
    pub(crate) parts: Vec<Vec<Step>>,
    /// Variants of engines that take part, too.
    variants: &'static [&'static str],
}

impl Scenario {
    fn new(name: &'static str, size: &Size) -> Self {
        Self {
            name,
            keys: size.keys,
            value_bytes: 100,
            write_buffer: size.write_buffer,
            cache: size.cache,
            durable: false,
            memory_limit: None,
            parts: Vec::new(),
            variants: &[],
        }
    }

    /// Whether an engine takes part.
    pub(crate) fn includes(&self, engine: &Known) -> bool {
        engine.variant_of.is_none() || self.variants.contains(&engine.name)
    }

    /// Keeps the steps that `wanted` names (a kind, a label or a scenario) and what they need.
    fn narrowed(mut self, wanted: &[String]) -> Option<Self> {
        let named = |text: &str| wanted.iter().any(|word| word == text);
        if wanted.is_empty() || named(self.name) {
            return Some(self);
        }
        let is_asked = |step: &Step| named(step.kind.name()) || named(&step.label());
        if !self.parts.iter().flatten().any(is_asked) {
            return None;
        }
        // What loads the database for later steps stays.
        let deletes =
            self.parts.iter().flatten().any(|s| s.kind == Kind::DeleteRandom && is_asked(s));
        let fills_only = self.name == "fills" && !deletes;
        let loads = |step: &Step| step.kind == Kind::FillRandom && !fills_only;
        for part in &mut self.parts {
            part.retain(|step| !step.kind.is_work() || is_asked(step) || loads(step));
        }
        Some(self)
    }
}

/// How much.
#[derive(Clone, Copy)]
struct Size {
    keys: u64,
    write_buffer: u64,
    cache: u64,
    secs: f64,
}

/// The form of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Quick,
    Full,
}

/// The scenarios of a form that have something that is wanted; all if nothing is named.
pub(crate) fn plan(form: Form, wanted: &[String]) -> Vec<Scenario> {
    let scenarios = match form {
        Form::Quick => quick(),
        Form::Full => full(),
    };
    scenarios.into_iter().filter_map(|scenario| scenario.narrowed(wanted)).collect()
}

fn step(kind: Kind) -> Step {
    Step::new(kind, 1, 1)
}

/// For `secs`, on so many threads.
fn timed(kind: Kind, threads: usize, size: &Size) -> Step {
    Step::new(kind, threads, 1).secs(size.secs)
}

fn wide(kind: Kind, width: usize, threads: usize, size: &Size) -> Step {
    Step::new(kind, threads, width).secs(size.secs)
}

fn fresh(kind: Kind, threads: usize) -> [Step; 2] {
    [step(Kind::Fresh), Step::new(kind, threads, 1)]
}

/// The data is 3.6 write buffers, as in the full form, and fits the cache. Every row that has a
/// target is there but for those that need root, each for a third of a second.
fn quick() -> Vec<Scenario> {
    let size = Size { keys: 500_000, write_buffer: 16 * MIB, cache: 128 * MIB, secs: 0.35 };
    let replayed = Size { write_buffer: 64 * MIB, ..size };
    vec![
        fills(&size),
        sync(&size),
        reads(&size),
        cache_32m(&size),
        large("values-4k", 4096, 25_000, &size),
        large("values-64k", 65_536, 1_600, &size),
        recovery(&replayed),
    ]
}

fn full() -> Vec<Scenario> {
    let size = Size { keys: 2_000_000, write_buffer: 64 * MIB, cache: 512 * MIB, secs: 1.5 };
    vec![
        fills(&size),
        sync(&size),
        reads(&size),
        cache_32m(&size),
        small_cache(&size),
        large("values-4k", 4096, 100_000, &size),
        large("values-64k", 65_536, 8_000, &size),
        limited(&size),
        recovery(&size),
    ]
}

fn fills(size: &Size) -> Scenario {
    let mut fills = Scenario::new("fills", size);
    let delete = |threads| Step::new(Kind::DeleteRandom, threads, 1).ops(size.keys / 4);
    fills.parts = vec![
        [
            &fresh(Kind::FillSeq, 1)[..],
            &fresh(Kind::FillRandom, 2),
            &[delete(2)],
            &fresh(Kind::FillRandom, 4),
            &[delete(4)],
            &fresh(Kind::FillBatch, 1),
            &fresh(Kind::FillBatch, 2),
        ]
        .concat(),
    ];
    fills
}

fn sync(size: &Size) -> Scenario {
    let mut sync = Scenario::new("sync", size);
    sync.durable = true;
    let synced = |threads| [step(Kind::Fresh), timed(Kind::FillSync, threads, size)];
    sync.parts = vec![[synced(1), synced(4), synced(16)].concat()];
    sync
}

fn reads(size: &Size) -> Scenario {
    let mut reads = Scenario::new("reads", size);
    let mut steps = vec![step(Kind::Fresh), step(Kind::FillRandom), step(Kind::Settle)];
    let twice = |kind| [timed(kind, 1, size), timed(kind, 2, size)];
    steps.extend(twice(Kind::ReadRandom));
    steps.extend(twice(Kind::ReadMissing));
    steps.extend([Kind::ReadSeq, Kind::ReadPages, Kind::ReadReverse].map(|k| timed(k, 1, size)));
    steps.extend([
        wide(Kind::Seek, 10, 1, size),
        wide(Kind::Seek, 10, 2, size),
        wide(Kind::Seek, 50, 1, size),
        wide(Kind::SeekReuse, 10, 1, size),
        wide(Kind::Scan, 10, 1, size),
        wide(Kind::Scan, 50, 1, size),
        wide(Kind::MultiGet, 16, 1, size),
        wide(Kind::MultiGet, 64, 1, size),
    ]);
    let mixes = [Kind::YcsbC, Kind::YcsbB, Kind::YcsbD, Kind::YcsbA, Kind::YcsbF];
    steps.extend(mixes.into_iter().flat_map(twice));
    steps.extend(twice(Kind::ReadWhileWriting));
    steps.extend(twice(Kind::YcsbE));
    let half = size.keys / 2;
    steps.extend([
        Step::new(Kind::Overwrite, 1, 1).ops(half),
        Step::new(Kind::Overwrite, 2, 1).ops(half),
        Step::new(Kind::Overwrite, 4, 1).ops(half),
        step(Kind::Settle),
        Step::new(Kind::DeleteRandom, 1, 1).ops(size.keys / 4),
        step(Kind::Close),
    ]);
    reads.parts = vec![steps];
    reads
}

/// The data of the other rows, and a cache of 32 MiB for it.
fn cache_32m(size: &Size) -> Scenario {
    let mut cache = Scenario::new("cache-32m", size);
    cache.cache = 32 * MIB;
    cache.variants = &[MAPPED];
    cache.parts = vec![vec![
        step(Kind::Fresh),
        step(Kind::FillRandom),
        step(Kind::Settle),
        timed(Kind::ReadRandom, 1, size),
        timed(Kind::ReadRandom, 2, size),
        wide(Kind::Seek, 10, 1, size),
        step(Kind::Close),
    ]];
    cache
}

/// Data of eight times the memory budget, 29 MiB: two write buffers of 4 MiB and 21 MiB of cache.
/// The page cache holds it; only the engines' own memory is small.
fn small_cache(size: &Size) -> Scenario {
    let mut small = Scenario::new("small-cache", size);
    (small.write_buffer, small.cache) = (4 * MIB, 21 * MIB);
    small.variants = &[MAPPED];
    small.parts = vec![vec![
        step(Kind::Fresh),
        step(Kind::FillRandom),
        step(Kind::Settle),
        timed(Kind::ReadRandom, 1, size),
        timed(Kind::ReadRandom, 2, size),
        timed(Kind::ReadMissing, 1, size),
        wide(Kind::Seek, 10, 1, size),
        timed(Kind::YcsbC, 1, size),
        timed(Kind::YcsbA, 1, size),
        step(Kind::Close),
    ]];
    small
}

fn large(name: &'static str, value_bytes: usize, keys: u64, size: &Size) -> Scenario {
    let mut large = Scenario::new(name, size);
    (large.value_bytes, large.keys) = (value_bytes, keys);
    large.parts = vec![vec![
        step(Kind::Fresh),
        step(Kind::FillRandom),
        step(Kind::Settle),
        timed(Kind::ReadRandom, 1, size),
        timed(Kind::ReadSeq, 1, size),
        step(Kind::Close),
    ]];
    large
}

/// 464 MB read within 192 MiB of memory, page cache included. lsmer's budget is 112 MiB of that.
fn limited(size: &Size) -> Scenario {
    let mut limited = Scenario::new("limited", size);
    (limited.keys, limited.write_buffer, limited.cache) = (4_000_000, 32 * MIB, 48 * MIB);
    limited.variants = &[MAPPED];
    limited.memory_limit = Some(192 * MIB);
    limited.parts = vec![
        vec![step(Kind::Fresh), step(Kind::FillRandom), step(Kind::Settle), step(Kind::Close)],
        vec![
            timed(Kind::ReadRandom, 1, size),
            timed(Kind::ReadRandom, 2, size),
            timed(Kind::ReadMissing, 1, size),
            wide(Kind::Seek, 10, 1, size),
            timed(Kind::YcsbC, 1, size),
            timed(Kind::YcsbA, 1, size),
        ],
    ];
    limited
}

/// 400,000 puts and no close: the log of 46 MB is replayed, every key is looked up, and the
/// database is opened once more after a close.
fn recovery(size: &Size) -> Scenario {
    let mut recovery = Scenario::new("recovery", size);
    recovery.keys = 400_000;
    recovery.parts = vec![
        vec![step(Kind::Fresh), step(Kind::FillRandom), step(Kind::Crash)],
        vec![step(Kind::Reopen), step(Kind::Check), step(Kind::Close)],
        vec![step(Kind::Reopen), step(Kind::Close)],
    ];
    recovery
}
