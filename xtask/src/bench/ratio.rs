//! Wall time of some work with the sensor, as a ratio to the same work without it.
//!
//! Machines drift (frequency, neighbours), so rounds alternate and each ratio is of two rounds that ran one after the
//! other; which comes first alternates too.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{quantile, report::Report, sorted};

/// Pairs of rounds, or fewer on a machine that is too slow for so many.
const PAIRS: usize = 9;
const FEWEST_PAIRS: usize = 3;
const LONGEST: Duration = Duration::from_secs(100);

/// What the rounds of each kind took.
pub(super) struct Rounds {
    with: Vec<Duration>,
    without: Vec<Duration>,
}

/// Runs rounds of both kinds; each returns its own time, so that what precedes it does not count.
pub(super) fn alternate(
    mut with: impl FnMut() -> Result<Duration>,
    mut without: impl FnMut() -> Result<Duration>,
) -> Result<Rounds> {
    let mut rounds = Rounds {
        with: Vec::new(),
        without: Vec::new(),
    };
    let end = Instant::now() + LONGEST;
    for pair in 0..PAIRS {
        if pair >= FEWEST_PAIRS && Instant::now() > end {
            break;
        }
        if pair % 2 == 0 {
            rounds.without.push(without()?);
            rounds.with.push(with()?);
        } else {
            rounds.with.push(with()?);
            rounds.without.push(without()?);
        }
    }
    Ok(rounds)
}

impl Rounds {
    /// Shows the median ratio, what it is worth, and what one of the `count` things of a round takes by itself.
    pub(super) fn show(&self, name: &str, budget: Option<f64>, count: f64, unit: &'static str, report: &mut Report) {
        let ratios = sorted(
            self.with
                .iter()
                .zip(&self.without)
                .map(|(with, without)| ratio(*with, *without))
                .collect(),
        );
        // The same machine, the same work, no sensor in either: what the ratios above can't tell apart.
        let noise = sorted(
            self.without
                .windows(2)
                .filter_map(|two| Some(ratio(*two.last()?, *two.first()?)))
                .collect(),
        );
        let figure = report.figure(name, quantile(&ratios, 0.5), "ratio");
        if let Some(budget) = budget {
            figure.budget(budget);
        }
        figure.detail(format!("{} pairs of {count}; {}", ratios.len(), spread(&ratios)));
        report
            .figure(&format!("{name}, noise"), quantile(&noise, 0.5), "ratio")
            .detail(spread(&noise));
        let each = sorted(
            self.without
                .iter()
                .map(|time| time.as_secs_f64() * 1e6 / count)
                .collect(),
        );
        report
            .figure(&format!("{name}, without"), quantile(&each, 0.5), unit)
            .detail("wall time of one, on each core".into());
    }
}

fn spread(values: &[f64]) -> String {
    let of = |part| quantile(values, part);
    format!(
        "quartiles {:.3} to {:.3}, extremes {:.3} to {:.3}",
        of(0.25),
        of(0.75),
        of(0.0),
        of(1.0)
    )
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}
