//! `sensor-daemon explain`: the whole story of one finding.

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{
    console::{colour, print},
    stored,
};
use crate::{
    explain::{RELATED_NS, Story, html, svg, text},
    finding::{self, Report},
    model::Endpoint,
    store::{Filter, Reader},
};

/// Most findings that are considered as related, of each kind.
const CANDIDATES_MAX: usize = 200;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The finding's id, or the beginning of it that no other has
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: stored::Options,
    /// How to tell it
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

/// How a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One screen for a terminal, 80 columns wide
    Text,
    /// One file that needs nothing else, to attach to a ticket
    Html,
    /// The picture alone: the way of the bytes, and when what happened
    Svg,
    /// One JSON object; docs/reading.md has every member
    Json,
}

pub(super) fn explain(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reader = arguments.store.open()?;
    let report = stored::by_id(&reader, &arguments.id)?;
    let mut story = Story::new(&report, &candidates(&reader, &report)?);
    if let Some(directory) = arguments.store.elsewhere() {
        story = story.kept_in(&directory);
    }
    let told = match arguments.format {
        Form::Text => text(&story, colour(&io::stdout())),
        Form::Html => html(&story),
        Form::Svg => svg(&story),
        Form::Json => serde_json::to_string_pretty(&story).context("the story can't be written as JSON")? + "\n",
    };
    print(told.as_bytes())
}

/// Findings that may be related: of the same time, and of the same peers.
fn candidates(reader: &Reader, report: &Report) -> anyhow::Result<Vec<Report>> {
    let unix = |time| finding::time::calendar(time, &report.host).as_nanosecond();
    let nanoseconds = |time: i128| i64::try_from(time).ok();
    let mut filters = vec![Filter {
        since: nanoseconds(unix(report.incident.opened) - i128::from(RELATED_NS)),
        limit: Some(CANDIDATES_MAX),
        ..Filter::default()
    }];
    for socket in &report.incident.sockets {
        if let Endpoint::Ip(peer) = socket.remote {
            filters.push(Filter {
                peer: Some(peer.ip().into()),
                limit: Some(CANDIDATES_MAX),
                ..Filter::default()
            });
        }
    }
    let mut found: Vec<Report> = Vec::new();
    for filter in filters {
        for stored in reader.findings(&filter)? {
            if found.iter().all(|known| known.id != stored.report.id) {
                found.push(stored.report);
            }
        }
    }
    Ok(found)
}
