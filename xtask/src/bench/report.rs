//! The table of figures and budgets, for people and as JSON.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::json;

/// All that was measured.
#[derive(Default)]
pub(super) struct Report {
    notes: Vec<String>,
    figures: Vec<Figure>,
}

/// One row.
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    budget: Option<f64>,
    detail: String,
}

impl Figure {
    /// What it may be at most.
    pub(super) fn budget(&mut self, most: f64) -> &mut Self {
        self.budget = Some(most);
        self
    }

    /// How it was measured, and how far it can be trusted.
    pub(super) fn detail(&mut self, text: String) -> &mut Self {
        self.detail = text;
        self
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
    /// A line about the machine.
    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Adds a row.
    pub(super) fn figure(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Figure {
        let at = self.figures.len();
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            budget: None,
            detail: String::new(),
        });
        &mut self.figures[at]
    }

    /// Shows it on stdout.
    pub(super) fn print(&self) {
        for note in &self.notes {
            println!("{note}");
        }
        println!(
            "{:<52} {:>12} {:<8} {:>9} {:<5} how",
            "what", "measured", "", "budget", ""
        );
        for figure in &self.figures {
            let budget = figure.budget.map_or(String::new(), |most| format!("<= {most}"));
            let Figure {
                name,
                value,
                unit,
                detail,
                ..
            } = figure;
            println!(
                "{name:<52} {value:>12.3} {unit:<8} {budget:>9} {:<5} {detail}",
                figure.verdict()
            );
        }
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
