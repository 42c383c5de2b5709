//! Wall time of some work with the sensor, as a ratio to the same work without it.
//!
//! Machines drift (frequency, neighbours), so rounds alternate and each ratio is of two rounds that ran one after the
//! other; which comes first alternates too.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    quantile,
    report::{Effort, Report},
    sorted,
};

/// Pairs of rounds, or fewer on a machine that is too slow for so many.
const PAIRS: usize = 9;
const FEWEST_PAIRS: usize = 3;
const LONGEST: Duration = Duration::from_secs(100);
/// The same while the ratio is too close to its budget to tell on which side of it it is.
const PAIRS_UNCLEAR: usize = 45;
const LONGEST_UNCLEAR: Duration = Duration::from_secs(400);

/// What the rounds of each kind took.
pub(super) struct Rounds {
    with: Vec<Duration>,
    without: Vec<Duration>,
}

/// Runs rounds of both kinds. Each returns its own time, so that what precedes it does not count. There are more rounds where
/// the ratio has a budget and lies close to it, and the fewest where little effort is wanted.
pub(super) fn alternate(
    effort: Effort,
    budget: Option<f64>,
    mut with: impl FnMut() -> Result<Duration>,
    mut without: impl FnMut() -> Result<Duration>,
) -> Result<Rounds> {
    let mut rounds = Rounds {
        with: Vec::new(),
        without: Vec::new(),
    };
    let begin = Instant::now();
    for pair in 0..PAIRS_UNCLEAR {
        let unclear = || budget.is_some_and(|budget| rounds.is_close_to(budget));
        let longest = if pair < PAIRS { LONGEST } else { LONGEST_UNCLEAR };
        let enough = effort == Effort::Quick || begin.elapsed() > longest;
        if pair >= FEWEST_PAIRS && enough || pair >= PAIRS && !unclear() {
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
    /// Of each pair, in order of size.
    fn ratios(&self) -> Vec<f64> {
        let pairs = self.with.iter().zip(&self.without);
        sorted(pairs.map(|(with, without)| ratio(*with, *without)).collect())
    }

    /// Whether the median ratio's confidence interval has this in it: the notch of a box plot, 1.57 times the distance of the
    /// quartiles by the root of the number (McGill, Tukey and Larsen 1978), about 95 %.
    fn is_close_to(&self, budget: f64) -> bool {
        let ratios = self.ratios();
        let of = |part| quantile(&ratios, part);
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let notch = 1.57 * (of(0.75) - of(0.25)) / (ratios.len() as f64).sqrt();
        (of(0.5) - budget).abs() <= notch
    }

    /// Shows the median ratio, what it is worth, and what one of the `count` things of a round takes by itself.
    pub(super) fn show(&self, name: &str, budget: Option<f64>, count: f64, unit: &'static str, report: &mut Report) {
        let ratios = self.ratios();
        // The same machine, the same work, no sensor in either: what the ratios above can't tell apart.
        let noise = sorted(
            self.without
                .windows(2)
                .filter_map(|two| Some(ratio(*two.last()?, *two.first()?)))
                .collect(),
        );
        report
            .figure(name, quantile(&ratios, 0.5), "ratio")
            .budget(budget)
            .detail(format!("{} pairs of {count}; {}", ratios.len(), spread(&ratios)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_measured_only_where_it_is_not_clear_yet() {
        let rounds = |ratios: &[f64]| Rounds {
            with: ratios.iter().map(|ratio| Duration::from_secs_f64(*ratio)).collect(),
            without: vec![Duration::from_secs(1); ratios.len()],
        };
        let steady = rounds(&[1.000, 1.001, 1.002, 1.003, 1.004]);
        let wide = rounds(&[0.98, 0.99, 1.002, 1.01, 1.02]);
        assert!(!steady.is_close_to(1.01) && !steady.is_close_to(0.99) && steady.is_close_to(1.002));
        assert!(wide.is_close_to(1.01));
        let pairs = |effort, budget| {
            let time = || Ok(Duration::from_secs(1));
            alternate(effort, budget, time, time).unwrap().with.len()
        };
        assert_eq!(
            [None, Some(1.01), Some(1.0)].map(|budget| pairs(Effort::Full, budget)),
            [PAIRS, PAIRS, PAIRS_UNCLEAR]
        );
        assert_eq!(pairs(Effort::Quick, Some(1.0)), FEWEST_PAIRS);
    }
}
