//! The results of a run, by workload and engine, and their medians over the rounds.

use std::collections::HashMap;

use crate::json::Record;

/// Processors that others used in a step, from which on its figures are doubtful.
const CONTENDED: f64 = 0.35;

/// What one cell of a table is made of.
type Cell = (String, String, String, usize);

pub(crate) struct Figures<'a> {
    cells: HashMap<Cell, Vec<&'a Record>>,
}

/// A median, and whether every sample of it was taken beside others' work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Median {
    pub(crate) value: f64,
    pub(crate) contended: bool,
}

impl<'a> Figures<'a> {
    pub(crate) fn new(records: &'a [Record]) -> Self {
        let mut cells: HashMap<Cell, Vec<&Record>> = HashMap::new();
        let mut seen: HashMap<(u64, Cell), usize> = HashMap::new();
        for record in records {
            let text = |name| record.text(name).to_owned();
            let (engine, scenario, label) = (text("engine"), text("scenario"), text("label"));
            let round = record.number("round").unwrap_or_default() as u64;
            let key = (round, (engine.clone(), scenario.clone(), label.clone(), 0));
            let times = seen.entry(key).or_default();
            let cell = (engine, scenario, label, *times);
            *times += 1;
            cells.entry(cell).or_default().push(record);
        }
        Self { cells }
    }

    /// All samples of a cell.
    pub(crate) fn samples(
        &self,
        engine: &str,
        scenario: &str,
        label: &str,
        occurrence: usize,
    ) -> &[&'a Record] {
        let cell = (engine.to_owned(), scenario.to_owned(), label.to_owned(), occurrence);
        self.cells.get(&cell).map_or(&[], Vec::as_slice)
    }

    /// The median of a field over the rounds. Contended samples count only where there are no
    /// others; none if nothing was measured.
    pub(crate) fn median(
        &self,
        (engine, scenario, label, occurrence): (&str, &str, &str, usize),
        field: &str,
    ) -> Option<Median> {
        let samples = self.samples(engine, scenario, label, occurrence);
        let numbers = |calm_only: bool| -> Vec<f64> {
            let kept = samples.iter().filter(|record| !calm_only || !is_contended(record));
            kept.filter_map(|record| record.number(field)).collect()
        };
        let calm = numbers(true);
        let contended = calm.is_empty();
        let mut numbers = if contended { numbers(false) } else { calm };
        if numbers.is_empty() {
            return None;
        }
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        let value = if numbers.len() % 2 == 1 {
            numbers[middle]
        } else {
            f64::midpoint(numbers[middle - 1], numbers[middle])
        };
        Some(Median { value, contended })
    }

    pub(crate) fn rate(&self, engine: &str, scenario: &str, label: &str) -> Option<Median> {
        self.median((engine, scenario, label, 0), "rate")
    }
}

/// Whether others' work took from this step: they used processors, and there was none idle.
fn is_contended(record: &Record) -> bool {
    let others = record.number("other_cpus").unwrap_or_default();
    let secs = record.number("secs").unwrap_or_default().max(1e-9);
    let own = record.number("cpu_secs").unwrap_or_default() / secs;
    let all = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    others > CONTENDED && others + own > all - 0.15
}
