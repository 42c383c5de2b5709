//! The table of figures and budgets, for people and as JSON. Each figure is printed as soon as it is there.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// As much as a verdict on a budget takes.
    Full,
    /// A quarter of the samples and the fewest rounds: enough to see a large change.
    Quick,
}

impl Effort {
    /// How many samples to take instead of `full`.
    pub(super) fn samples(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full.div_ceil(4),
        }
    }

    /// How long to watch instead of `full`.
    pub(super) fn time(self, full: Duration) -> Duration {
        match self {
            Self::Full => full,
            Self::Quick => full / 4,
        }
    }
}

/// All that was measured.
pub(super) struct Report {
    pub(super) effort: Effort,
    notes: Vec<String>,
    figures: Vec<Figure>,
}

/// A row that is being filled in. It is printed when it is dropped.
pub(super) struct Draft<'a> {
    report: &'a mut Report,
    figure: Option<Figure>,
}

impl Draft<'_> {
    /// Sets what the figure may be at most, if it has a budget.
    pub(super) fn budget(mut self, most: impl Into<Option<f64>>) -> Self {
        if let Some(figure) = &mut self.figure {
            figure.budget = most.into();
        }
        self
    }

    /// Says how it was measured, and how far it can be trusted.
    pub(super) fn detail(mut self, text: String) -> Self {
        if let Some(figure) = &mut self.figure {
            figure.detail = text;
        }
        self
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(figure) = self.figure.take() {
            figure.print();
            self.report.figures.push(figure);
        }
    }
}

/// One row.
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    budget: Option<f64>,
    detail: String,
}

impl Figure {
    fn print(&self) {
        let Self {
            name,
            value,
            unit,
            budget,
            detail,
        } = self;
        let budget = budget.map_or(String::new(), |most| format!("<= {most}"));
        println!(
            "{name:<52} {value:>12.3} {unit:<8} {budget:>9} {:<5} {detail}",
            self.verdict()
        );
    }

    fn verdict(&self) -> &'static str {
        match self.budget {
            None => "",
            Some(most) if self.value <= most => "ok",
            Some(_) => "OVER",
        }
    }
}

impl Report {
    /// An empty one, with the head of its table.
    pub(super) fn begin(effort: Effort) -> Self {
        println!(
            "{:<52} {:>12} {:<8} {:>9} {:<5} how",
            "what", "measured", "", "budget", ""
        );
        Self {
            effort,
            notes: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// A line about the machine or the measurement.
    pub(super) fn note(&mut self, text: String) {
        println!("{text}");
        self.notes.push(text);
    }

    /// Adds a row.
    pub(super) fn figure(&mut self, name: &str, value: f64, unit: &'static str) -> Draft<'_> {
        Draft {
            report: self,
            figure: Some(Figure {
                name: name.into(),
                value,
                unit,
                budget: None,
                detail: String::new(),
            }),
        }
    }

    /// Says how many budgets are kept.
    pub(super) fn finish(&self) {
        let over = self.figures.iter().filter(|figure| figure.verdict() == "OVER").count();
        let with_budget = self.figures.iter().filter(|figure| figure.budget.is_some()).count();
        println!("{} of {with_budget} budgets are kept", with_budget - over);
    }

    /// Writes it to `path`.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "name": figure.name.trim(),
                    "value": figure.value,
                    "unit": figure.unit,
                    "budget": figure.budget,
                    "within": figure.budget.map(|_| figure.verdict() == "ok"),
                    "detail": figure.detail,
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "notes": self.notes, "figures": figures }))?;
        fs::write(path, text + "\n").with_context(|| format!("{} can't be written", path.display()))
    }
}
