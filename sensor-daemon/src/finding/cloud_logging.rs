//! A finding as a structured log entry of Google Cloud: the Security Command Center line, with the fields beside it that the
//! logging agents of Cloud Run, GKE and Compute Engine take out of a JSON line.
//! <https://cloud.google.com/logging/docs/structured-logging#special-payload-fields>

use serde_json::{Value, json};

use crate::detect::Severity;

use super::{Report, describe, scc, time};

/// The report as an entry.
pub(super) fn cloud_logging(report: &Report) -> Value {
    let incident = &report.incident;
    let mut entry = scc(report);
    let is_over = incident.ended.is_some() || report.closed.is_some();
    entry["severity"] = match incident.severity {
        // The end of a takeover is no alarm, and neither is its closing.
        _ if is_over => "NOTICE",
        Severity::Low => "NOTICE",
        Severity::Medium => "WARNING",
        Severity::High => "ERROR",
        Severity::Critical => "CRITICAL",
    }
    .into();
    entry["message"] = describe::sentence(incident).into();
    entry["time"] = time::calendar(incident.updated, &report.host).to_string().into();
    entry["logging.googleapis.com/insertId"] = format!("{}-{}", report.id, incident.update).into();
    // Labels are text.
    entry["logging.googleapis.com/labels"] = json!({
        "finding_id": report.id,
        "finding_severity": incident.severity.name(),
        "finding_state": report.state(),
        "finding_technique": incident.technique.name(),
    });
    entry
}
