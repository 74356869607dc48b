//! The plots: plain SVG, written by hand. Bars of throughput, dots of latency, lines over time.

use std::fmt::Write;

use crate::adapters;
use crate::figures::Figures;
use crate::report::Report;
use crate::rows::Row;
use crate::run::human;

const LEFT: f64 = 230.0;
const WIDTH: f64 = 900.0;
/// Of a bar or a line of dots.
const STRIPE: f64 = 13.0;
const GAP: f64 = 10.0;
const TOP: f64 = 50.0;

/// A picture that grows downward.
struct Picture {
    body: String,
    bottom: f64,
}

impl Picture {
    fn new(title: &str, engines: &[&'static str]) -> Self {
        let mut picture = Self { body: String::new(), bottom: TOP };
        picture.text(10.0, 20.0, "start", 15, title);
        let mut left = 10.0;
        for engine in engines {
            picture.bar(left, 30.0, 10.0, colour(engine));
            picture.text(left + 14.0, 39.0, "start", 11, engine);
            left += 95.0;
        }
        picture
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, size: u32, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">\
             {text}</text>"
        );
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, colour: &str) {
        let height = STRIPE - 3.0;
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\"/>"
        );
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            points.join(" ")
        );
    }

    fn dot(&mut self, x: f64, y: f64, radius: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
        );
    }

    fn finish(self) -> String {
        let height = self.bottom + 20.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
             font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             {}</svg>\n",
            self.body
        )
    }
}

fn colour(engine: &str) -> &'static str {
    adapters::known(engine).map_or("#888888", |known| known.colour)
}

/// One bar for each engine and workload; the longest of a workload is as wide as the picture.
pub(crate) fn throughput(report: &Report<'_>) -> String {
    let mut picture =
        Picture::new("Operations a second; each workload has its own scale", report.engines);
    for row in report.measured() {
        let rates: Vec<(&str, f64)> = report
            .engines
            .iter()
            .filter_map(|name| {
                Some((*name, report.figures.rate(name, row.scenario, row.label)?.value))
            })
            .collect();
        let most = rates.iter().map(|(_, rate)| *rate).fold(1e-9, f64::max);
        let middle = picture.bottom + STRIPE * rates.len() as f64 / 2.0 + 4.0;
        picture.text(LEFT - 10.0, middle, "end", 12, &named(row));
        for (engine, rate) in rates {
            let width = rate / most * (WIDTH - LEFT - 80.0);
            let top = picture.bottom;
            picture.bar(LEFT, top, width, colour(engine));
            picture.text(LEFT + width + 5.0, top + 9.0, "start", 10, &human(rate));
            picture.bottom += STRIPE;
        }
        picture.bottom += GAP;
    }
    picture.finish()
}

fn named(row: &Row) -> String {
    match row.scenario {
        "small-cache" | "limited" => format!("{}, {}", row.name(), row.scenario),
        _ => row.name().to_owned(),
    }
}

/// From 0.1 us to 1 s.
const DECADES: f64 = 7.0;

/// p50, p99, p99.9 and max of each workload and engine, on a logarithmic scale.
pub(crate) fn latency(report: &Report<'_>) -> String {
    let title = "Latency: p50, p99, p99.9 and max from left to right, logarithmic";
    let mut picture = Picture::new(title, report.engines);
    let place = |micros: f64| {
        let decades = (micros.max(0.1) * 10.0).log10() / DECADES;
        LEFT + decades.min(1.0) * (WIDTH - LEFT - 30.0)
    };
    let start = picture.bottom;
    picture.bottom += 20.0;
    for row in report.measured() {
        let rows_top = picture.bottom;
        for engine in report.engines {
            let cell = (*engine, row.scenario, row.label, 0);
            let fields = ["p50", "p99", "p999", "max"];
            let found = fields.map(|field| report.figures.median(cell, field));
            let dots: Vec<f64> = found.iter().flatten().map(|m| place(m.value)).collect();
            let (Some(first), Some(last)) = (dots.first(), dots.last()) else { continue };
            let middle = picture.bottom + STRIPE / 2.0;
            picture.line(&[(*first, middle), (*last, middle)], colour(engine), 1.5);
            for (radius, x) in [4.0, 3.2, 2.6, 2.0].into_iter().zip(&dots) {
                picture.dot(*x, middle, radius, colour(engine));
            }
            picture.bottom += STRIPE;
        }
        let middle = f64::midpoint(rows_top, picture.bottom) + 4.0;
        picture.text(LEFT - 10.0, middle, "end", 12, &named(row));
        picture.bottom += GAP;
    }
    let marks = ["0.1 us", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"];
    for (decade, mark) in marks.iter().enumerate() {
        let x = place(0.1 * 10_f64.powi(decade as i32));
        picture.text(x, start + 10.0, "middle", 10, mark);
        let bottom = picture.bottom;
        picture.line(&[(x, start + 14.0), (x, bottom)], "#dddddd", 0.7);
    }
    picture.finish()
}

/// Of the last round: operations a second in each slot of the steps that write.
pub(crate) fn over_time(report: &Report<'_>) -> String {
    const HEIGHT: f64 = 110.0;
    let mut picture = Picture::new("Operations a second over time", report.engines);
    let writes = ["fill", "overwrite", "delete", "ycsb-a"];
    for row in report.measured() {
        if !writes.iter().any(|start| row.label.starts_with(start)) {
            continue;
        }
        let curves: Vec<(&str, Vec<(f64, f64)>)> = report
            .engines
            .iter()
            .filter_map(|engine| Some((*engine, curve(report.figures, engine, row)?)))
            .collect();
        // The slowest would leave no room for the others.
        let ends = || curves.iter().filter_map(|(_, points)| Some(points.last()?.0));
        let secs = ends().fold(0.05, f64::max).min(4.0 * ends().fold(f64::MAX, f64::min));
        let points = || curves.iter().flat_map(|(_, points)| points);
        let most = points().map(|point| point.1).fold(1e-9, f64::max);
        let bottom = picture.bottom + HEIGHT;
        picture.text(LEFT - 10.0, bottom - HEIGHT / 2.0, "end", 12, &named(row));
        picture.text(LEFT - 5.0, bottom - HEIGHT + 9.0, "end", 10, &human(most));
        picture.text(LEFT - 5.0, bottom, "end", 10, "0");
        picture.text(WIDTH - 20.0, bottom + 12.0, "end", 10, &format!("{secs:.1} s"));
        picture.line(&[(LEFT, bottom), (WIDTH - 20.0, bottom)], "#888888", 0.7);
        for (engine, points) in &curves {
            let scaled: Vec<(f64, f64)> = points
                .iter()
                .filter(|(x, _)| *x <= secs)
                .map(|(x, y)| (LEFT + x / secs * (WIDTH - LEFT - 20.0), bottom - y / most * HEIGHT))
                .collect();
            picture.line(&scaled, colour(engine), 1.4);
        }
        picture.bottom = bottom + 25.0;
    }
    picture.finish()
}

/// Seconds and rates; none without samples. The last slot is not whole, so it is left out.
fn curve(figures: &Figures<'_>, engine: &str, row: &Row) -> Option<Vec<(f64, f64)>> {
    let sample = figures.samples(engine, row.scenario, row.label, 0).last()?;
    let slot = sample.number("slot_secs")?;
    let ops: Vec<f64> =
        sample.text("slots").split(' ').filter_map(|word| word.parse().ok()).collect();
    let whole = ops.len().saturating_sub(1).max(1);
    let points = ops.iter().take(whole).enumerate();
    Some(points.map(|(at, ops)| ((at as f64 + 0.5) * slot, ops / slot)).collect())
}
