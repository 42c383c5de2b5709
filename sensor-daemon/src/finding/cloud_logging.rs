//! A finding as a structured log entry of Google Cloud: the Security Command Center line, with the fields beside it that the
//! logging agents of Cloud Run, GKE and Compute Engine take out of a JSON line.
//! <https://cloud.google.com/logging/docs/structured-logging#special-payload-fields>

use serde::Serialize;

use crate::detect::{Severity, State};

use super::{Line, Report, describe, json, scc, time};

#[derive(Serialize)]
struct Entry<'a> {
    severity: &'static str,
    message: String,
    time: String,
    #[serde(rename = "logging.googleapis.com/insertId")]
    insert_id: String,
    #[serde(rename = "logging.googleapis.com/labels")]
    labels: Labels<'a>,
    #[serde(flatten)]
    line: Line,
}

/// Labels are text.
#[derive(Serialize)]
struct Labels<'a> {
    finding_id: &'a str,
    finding_severity: &'static str,
    finding_state: &'static str,
    finding_technique: &'static str,
}

/// One line, without its end.
#[must_use]
pub fn cloud_logging(report: &Report) -> String {
    let incident = &report.incident;
    let ended = incident.state == State::Inactive;
    let entry = Entry {
        // An end is no alarm.
        severity: match incident.severity {
            _ if ended => "NOTICE",
            Severity::Critical => "CRITICAL",
            Severity::High => "ERROR",
            Severity::Medium => "WARNING",
            Severity::Low => "NOTICE",
        },
        message: describe::sentence(incident),
        time: time::calendar(incident.updated, &report.host).to_string(),
        insert_id: format!("{}-{}", report.id, incident.update),
        labels: Labels {
            finding_id: &report.id,
            finding_severity: incident.severity.name(),
            finding_state: if ended { "INACTIVE" } else { "ACTIVE" },
            finding_technique: incident.technique.name(),
        },
        line: scc(report),
    };
    json::line(&entry)
}
