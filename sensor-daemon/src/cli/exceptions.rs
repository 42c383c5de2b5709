//! `sensor-daemon exceptions`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::{
    config::{self, Config},
    detect::exceptions::{Exception, Origin},
    model::Text,
};

/// Arguments of `exceptions`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file to read; /etc/sensor-daemon/config.toml, if it exists, where this is not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to write them
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people
    Table,
    /// One JSON array of objects with id, origin, disabled, reason, conditions
    Json,
}

pub(super) fn exceptions(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = config::load(arguments.config.as_deref())?;
    let text = match arguments.format {
        ListFormat::Table => table(&config),
        ListFormat::Json => {
            let all: Vec<Value> = config.exceptions.iter().map(object).collect();
            serde_json::to_string_pretty(&all)? + "\n"
        }
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// "1 exception", "2 exceptions".
pub(super) fn count(number: usize) -> String {
    format!("{number} exception{}", if number == 1 { "" } else { "s" })
}

fn table(config: &Config) -> String {
    let mut text = String::new();
    for exception in config.exceptions.iter() {
        let origin = match exception.origin {
            Origin::BuiltIn => "built in",
            Origin::User => "configured",
        };
        let state = if exception.disabled { ", DISABLED" } else { "" };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} ({origin}{state})", exception.id);
        let _ = writeln!(text, "  {}", shown(&exception.reason));
        for (field, values) in exception.conditions.describe() {
            for (at, value) in values.iter().enumerate() {
                let field = if at == 0 { field } else { "" };
                let _ = writeln!(text, "  {field:<9}  {}", shown(value));
            }
        }
        text.push('\n');
    }
    let number =
        |wanted: fn(&Exception) -> bool| config.exceptions.iter().filter(|exception| wanted(exception)).count();
    let path = config.path.as_ref().map_or_else(
        || format!("there is no {}", config::DEFAULT_PATH),
        |path| path.display().to_string(),
    );
    let _ = writeln!(
        text,
        "{} built in, {} configured ({}), {} disabled.",
        count(number(|exception| exception.origin == Origin::BuiltIn)),
        number(|exception| exception.origin == Origin::User),
        shown(&path),
        number(|exception| exception.disabled),
    );
    text
}

/// On one line, and harmless.
fn shown(text: &str) -> String {
    Text::from(text).for_terminal()
}

fn object(exception: &Exception) -> Value {
    let conditions: Map<String, Value> = exception
        .conditions
        .describe()
        .into_iter()
        .map(|(field, values)| (field.to_owned(), json!(values)))
        .collect();
    json!({
        "id": exception.id,
        "origin": exception.origin,
        "disabled": exception.disabled,
        "reason": exception.reason,
        "conditions": conditions,
    })
}
