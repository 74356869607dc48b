//! One step of a scenario: what the parent asks of a child process, and its line on the pipe.

use crate::json::Record;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Closes, wipes and opens the database.
    Fresh,
    /// Writes out memory, waits for background work.
    Settle,
    /// Closes and opens; the opening is timed.
    Reopen,
    Close,
    /// Ends the process without closing anything.
    Crash,
    FillSeq,
    FillRandom,
    FillBatch,
    FillSync,
    Overwrite,
    DeleteRandom,
    ReadRandom,
    ReadMissing,
    ReadSeq,
    ReadPages,
    ReadReverse,
    Seek,
    SeekReuse,
    Scan,
    MultiGet,
    ReadWhileWriting,
    Check,
    YcsbA,
    YcsbB,
    YcsbC,
    YcsbD,
    YcsbE,
    YcsbF,
}

const NAMES: &[(Kind, &str)] = &[
    (Kind::Fresh, "fresh"),
    (Kind::Settle, "settle"),
    (Kind::Reopen, "reopen"),
    (Kind::Close, "close"),
    (Kind::Crash, "crash"),
    (Kind::FillSeq, "fillseq"),
    (Kind::FillRandom, "fillrandom"),
    (Kind::FillBatch, "fillbatch"),
    (Kind::FillSync, "fillsync"),
    (Kind::Overwrite, "overwrite"),
    (Kind::DeleteRandom, "deleterandom"),
    (Kind::ReadRandom, "readrandom"),
    (Kind::ReadMissing, "readmissing"),
    (Kind::ReadSeq, "readseq"),
    (Kind::ReadPages, "readpages"),
    (Kind::ReadReverse, "readreverse"),
    (Kind::Seek, "seekrandom"),
    (Kind::SeekReuse, "seekreuse"),
    (Kind::Scan, "scan"),
    (Kind::MultiGet, "multiget"),
    (Kind::ReadWhileWriting, "readwhilewriting"),
    (Kind::Check, "check"),
    (Kind::YcsbA, "ycsb-a"),
    (Kind::YcsbB, "ycsb-b"),
    (Kind::YcsbC, "ycsb-c"),
    (Kind::YcsbD, "ycsb-d"),
    (Kind::YcsbE, "ycsb-e"),
    (Kind::YcsbF, "ycsb-f"),
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Whether it gives or takes keys and values, and is no control step.
    pub(crate) fn is_work(self) -> bool {
        !matches!(self, Self::Fresh | Self::Settle | Self::Reopen | Self::Close | Self::Crash)
    }

    pub(crate) fn is_fill(self) -> bool {
        matches!(self, Self::FillSeq | Self::FillRandom | Self::FillBatch | Self::FillSync)
    }

    /// Whether it adds keys behind the last.
    pub(crate) fn inserts(self) -> bool {
        matches!(self, Self::YcsbD | Self::YcsbE)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) threads: usize,
    /// Most operations, of all threads together.
    pub(crate) ops: u64,
    /// Most seconds; 0: no limit.
    pub(crate) secs: f64,
    /// Entries of a scan, or keys of a batched read.
    pub(crate) width: usize,
}

impl Step {
    /// `threads` and `width` may be 1.
    pub(crate) fn new(kind: Kind, threads: usize, width: usize) -> Self {
        Self { kind, threads, ops: u64::MAX, secs: 0.0, width }
    }

    pub(crate) fn ops(mut self, ops: u64) -> Self {
        self.ops = ops;
        self
    }

    pub(crate) fn secs(mut self, secs: f64) -> Self {
        self.secs = secs;
        self
    }

    /// Its name in results and on the command line: `seekrandom+10/2` is two threads, ten entries.
    pub(crate) fn label(&self) -> String {
        let width = if self.width > 1 { format!("+{}", self.width) } else { String::new() };
        let threads = if self.threads > 1 { format!("/{}", self.threads) } else { String::new() };
        format!("{}{width}{threads}", self.kind.name())
    }

    pub(crate) fn line(&self) -> String {
        let mut record = Record::default();
        record.set_text("step", self.kind.name());
        record.set("threads", self.threads as f64);
        record.set_text("ops", &self.ops.to_string());
        record.set("secs", self.secs);
        record.set("width", self.width as f64);
        record.line()
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let record = Record::parse(line)?;
        Some(Self {
            kind: Kind::named(record.text("step"))?,
            threads: record.number("threads")? as usize,
            ops: record.text("ops").parse().ok()?,
            secs: record.number("secs")?,
            width: record.number("width")? as usize,
        })
    }
}
