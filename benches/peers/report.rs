//! The report in Markdown: medians, ratios to the best peer, targets, and what operations cost.

use std::fmt::Write;

use crate::figures::{Figures, Median};
use crate::json::Record;
use crate::rows::{BOUNDS, Bound, OURS, ROWS, Row};
use crate::run::human;

pub(crate) struct Report<'a> {
    pub(crate) figures: &'a Figures<'a>,
    /// Those that ran, in order.
    pub(crate) engines: &'a [&'static str],
    /// Lines of what was run, where and with which libraries.
    pub(crate) head: &'a [String],
}

impl Report<'_> {
    pub(crate) fn markdown(&self, records: &[Record]) -> String {
        let mut text = String::from("# lsmer beside its peers\n\n");
        for line in self.head {
            let _ = writeln!(text, "- {line}");
        }
        text += "\nOperations a second, medians over the rounds; `!`: other work on the machine \
                 took processors in every sample. The ratio is that of lsmer to the best peer. \
                 Runs differ by up to 20 %: less than 15 % is a tie.\n";
        self.targets(&mut text);
        let mut groups: Vec<&str> = ROWS.iter().map(|row| row.group).collect();
        groups.dedup();
        for group in groups {
            self.throughput(&mut text, group);
        }
        self.bounds(&mut text);
        self.costs(&mut text);
        text += &verdict(records);
        text
    }

    /// Rows of which any engine has figures.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(|row| {
            self.engines
                .iter()
                .any(|engine| self.figures.rate(engine, row.scenario, row.label).is_some())
        })
    }

    fn columns(&self, text: &mut String, title: &str, more: &[&str]) {
        let _ = write!(text, "\n## {title}\n\n| workload |");
        for name in self.engines.iter().chain(more) {
            let _ = write!(text, " {name} |");
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(self.engines.len() + more.len()));
    }

    fn throughput(&self, text: &mut String, group: &str) {
        let rows: Vec<&Row> = self.measured().filter(|row| row.group == group).collect();
        if rows.is_empty() {
            return;
        }
        self.columns(text, group, &["best peer", "ratio"]);
        for row in rows {
            let _ = write!(text, "| {} |", row.name());
            for engine in self.engines {
                let cell = self.figures.rate(engine, row.scenario, row.label);
                let _ = write!(text, " {} |", shown(cell, human));
            }
            let best = self.best(row);
            let ratio = best.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let _ = writeln!(text, " {} | {ratio} |", best.told);
        }
    }

    fn bounds(&self, text: &mut String) {
        let any = BOUNDS.iter().any(|bound| self.bounded(bound, OURS).is_some());
        if !any {
            return;
        }
        self.columns(text, "Time, space and memory (less is better)", &[]);
        for bound in BOUNDS {
            let _ = write!(text, "| {} |", bound.title);
            for engine in self.engines {
                let _ = write!(text, " {} |", shown(self.bounded(bound, engine), figure));
            }
            text.push('\n');
        }
    }

    pub(crate) fn bounded(&self, bound: &Bound, engine: &str) -> Option<Median> {
        let cell = (engine, bound.scenario, bound.label, bound.occurrence);
        let mut median = self.figures.median(cell, bound.field)?;
        let sample = self.figures.samples(cell.0, cell.1, cell.2, cell.3).first()?;
        let live = sample.number("keys")? * (sample.number("value_bytes")? + 16.0);
        median.value *= if bound.scale == 0.0 { 1.0 / live } else { bound.scale };
        Some(median)
    }

    fn costs(&self, text: &mut String) {
        self.table(text, "Latency: p50 / p99 / p99.9 / max, us", |engine, row| {
            let field = |name| self.field(engine, row, name).map(micros);
            let (p50, p99) = (field("p50")?, field("p99")?);
            Some(format!("{p50} / {p99} / {} / {}", field("p999")?, field("max")?))
        });
        text.push_str(
            "\nOf a batch or a page as a whole; of 4,096 entries in readseq, where a look at the \
             clock for each would be a good part of it.\n",
        );
        self.table(text, "Processor microseconds an operation, all threads", |engine, row| {
            let ops = self.field(engine, row, "ops")?.max(1.0);
            Some(figure(self.field(engine, row, "cpu_secs")? * 1e6 / ops))
        });
        self.table(text, "Peak resident memory, MB", |engine, row| {
            Some(figure(self.field(engine, row, "peak_bytes")? / 1e6))
        });
        self.table(text, "MB written: by calls / pages made dirty", |engine, row| {
            let called = self.field(engine, row, "called_bytes")? / 1e6;
            let dirtied = self.field(engine, row, "dirtied_bytes")? / 1e6;
            if called < 1.0 && dirtied < 1.0 {
                return None;
            }
            Some(format!("{} / {}", figure(called), figure(dirtied)))
        });
        self.table(text, "Space on disk afterwards, MB", |engine, row| {
            Some(figure(self.field(engine, row, "disk_bytes")? / 1e6))
        });
    }

    fn field(&self, engine: &str, row: &Row, field: &str) -> Option<f64> {
        Some(self.figures.median((engine, row.scenario, row.label, 0), field)?.value)
    }

    fn table(&self, text: &mut String, title: &str, cell: impl Fn(&str, &Row) -> Option<String>) {
        self.columns(text, title, &[]);
        for row in self.measured() {
            let cells: Vec<_> = self.engines.iter().map(|engine| cell(engine, row)).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let scenario = if row.title.is_empty() { row.scenario } else { "" };
            let comma = if scenario.is_empty() { "" } else { ", " };
            let _ = write!(text, "| {}{comma}{scenario} |", row.name());
            for cell in cells {
                let _ = write!(text, " {} |", cell.as_deref().unwrap_or("-"));
            }
            text.push('\n');
        }
    }
}

/// What went wrong in the run, if anything.
fn verdict(records: &[Record]) -> String {
    let mut text = String::from("\n## Checks\n\n");
    let mut clean = true;
    for record in records {
        let (error, wrong) = (record.text("error"), record.number("wrong").unwrap_or(0.0));
        if error.is_empty() && wrong == 0.0 {
            continue;
        }
        clean = false;
        let place = format!(
            "{}, {}, {}, round {}",
            record.text("engine"),
            record.text("scenario"),
            record.text("label"),
            record.number("round").unwrap_or_default()
        );
        let _ = if error.is_empty() {
            writeln!(text, "- {place}: {wrong} reads gave nothing or something else")
        } else {
            writeln!(text, "- {place}: {error}")
        };
    }
    if clean {
        text += "Every value that was read was the right one; no engine failed.\n";
    }
    text
}

pub(crate) fn shown(median: Option<Median>, told: impl Fn(f64) -> String) -> String {
    median.map_or("-".to_owned(), |median| {
        format!("{}{}", told(median.value), if median.contended { "!" } else { "" })
    })
}

pub(crate) fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn micros(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
