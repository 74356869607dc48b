//! The table of targets: for each row what is to be reached, what was reached, and by whom else.

use std::fmt::Write;

use crate::report::{Report, figure, shown};
use crate::rows::{BOUNDS, Bound, LSM, Limit, MAPPED_ROWS, OURS, ROWS, Row};
use crate::run::human;

/// The best peer of a row.
pub(crate) struct Best {
    /// Name and rate, or a dash.
    pub(crate) told: String,
    /// What ours is divided by it.
    pub(crate) ratio: Option<f64>,
}

/// Whether a target is reached; none: something was not measured.
fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "not in this run",
    }
}

impl Report<'_> {
    /// All targets, with those that this run says nothing of.
    pub(crate) fn targets(&self, text: &mut String) {
        text.push_str(
            "\n## Targets\n\n| row | target | ours | best peer | ratio | |\n|---|---|---|---|---|---|\n",
        );
        let mut tally = [0; 3];
        for row in ROWS.iter().chain(MAPPED_ROWS).filter(|row| row.target > 0.0) {
            let met = self.target(text, row);
            tally[met.map_or(2, |met| usize::from(!met))] += 1;
        }
        for bound in BOUNDS {
            let met = self.limit(text, bound);
            tally[met.map_or(2, |met| usize::from(!met))] += 1;
        }
        let [met, missed, open] = tally;
        let _ = writeln!(text, "\n{met} met, {missed} missed, {open} not in this run.");
    }

    fn target(&self, text: &mut String, row: &Row) -> Option<bool> {
        let wanted = if row.beyond > 1.0 {
            format!("{} x {}", row.target, row.beyond)
        } else {
            row.target.to_string()
        };
        let among = if row.among.is_empty() {
            String::new()
        } else {
            format!(" of {}", row.among.join(", "))
        };
        let by = if row.by == OURS { String::new() } else { format!(", {}", row.by) };
        let ours = shown(self.figures.rate(row.by, row.scenario, row.label), human);
        let best = self.best(row);
        let met = best.ratio.map(|ratio| ratio >= row.target * row.beyond);
        let ratio = best.ratio.map_or("-".to_owned(), |ratio| format!("**{ratio:.2}**"));
        let told = verdict(met);
        let scenario = if row.title.is_empty() { row.scenario } else { "" };
        let comma = if scenario.is_empty() { "" } else { ", " };
        let _ =
            write!(text, "| {}{comma}{scenario}{by} | >= {wanted}{among} | {ours} |", row.name());
        let _ = writeln!(text, " {} | {ratio} | {told} |", best.told);
        met
    }

    /// The best peer that a row's target means, with what peers may answer instead.
    pub(crate) fn best(&self, row: &Row) -> Best {
        let peers = self.engines.iter().filter(|name| {
            !name.starts_with(OURS) && (row.among.is_empty() || row.among.contains(name))
        });
        let rates = peers.flat_map(|name| {
            [row.label, row.peers_also].into_iter().filter_map(|label| {
                let rate = self.figures.rate(name, row.scenario, label)?;
                Some((*name, rate))
            })
        });
        let best = rates.max_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let ours = self.figures.rate(row.by, row.scenario, row.label);
        Best {
            ratio: ours.zip(best).map(|(ours, (_, best))| ours.value / best.value),
            told: best.map_or("-".to_owned(), |(name, rate)| {
                format!("{name} {}", shown(Some(rate), human))
            }),
        }
    }

    fn limit(&self, text: &mut String, bound: &Bound) -> Option<bool> {
        let peers = self.engines.iter().filter(|name| match bound.limit {
            Limit::Most(_) => !name.starts_with(OURS),
            Limit::TimesLsm(_) => LSM.contains(name),
        });
        let least = peers
            .filter_map(|name| Some((*name, self.bounded(bound, name)?)))
            .min_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let (wanted, limit) = match bound.limit {
            Limit::Most(most) => (format!("<= {most}"), Some(most)),
            Limit::TimesLsm(times) => (
                format!("<= {times} x of {}", LSM.join(", ")),
                least.map(|least| least.1.value * times),
            ),
        };
        let ours = self.bounded(bound, OURS);
        let met = ours.zip(limit).map(|(ours, limit)| ours.value <= limit);
        let ratio = ours.zip(least).map(|(ours, (_, least))| ours.value / least.value);
        let least = least.map_or("-".to_owned(), |(name, least)| {
            format!("{name} {}", shown(Some(least), figure))
        });
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (ours, told) = (shown(ours, figure), verdict(met));
        let _ =
            writeln!(text, "| {} | {wanted} | {ours} | {least} | {ratio} | {told} |", bound.title);
        met
    }
}
