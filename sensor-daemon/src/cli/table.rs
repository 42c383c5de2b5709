//! The table of `findings`: a line for each finding, 80 columns wide.

use unicode_width::UnicodeWidthStr as _;

use crate::{
    detect::State,
    finding::{
        Report,
        columns::fit,
        human::{RESET, paint},
        time,
        typed::command_line,
    },
};

/// The width of a line, and what the columns before the peer take.
const COLUMNS: usize = 80;
const LEAD: usize = "ID       OPENED (UTC)     SEVERITY STATE  ".len();
/// The widest column of peers. A longer address is cut: `explain` has the whole of it.
const PEER_MAX: usize = 28;

/// A table whose header and rows line up.
pub(super) struct Table {
    peer: usize,
    colour: bool,
}

impl Table {
    /// A table with room for the peers of these reports.
    pub(super) fn new<'a>(reports: impl Iterator<Item = &'a Report>, colour: bool) -> Self {
        let widest = reports.map(|report| peer(report).width()).max().unwrap_or(0);
        let peer = widest.clamp("203.0.113.7:4444".len(), PEER_MAX);
        Self { peer, colour }
    }

    pub(super) fn header(&self) -> String {
        self.line("ID", "OPENED (UTC)", ("SEVERITY", ""), "STATE", ("PEER", "WHAT"))
    }

    pub(super) fn row(&self, report: &Report) -> String {
        let incident = &report.incident;
        let state = match (&report.closed, incident.state) {
            (Some(_), _) => "closed",
            (None, State::Active) => "open",
            (None, State::Inactive) => "ended",
        };
        let id: String = report.id.chars().take(8).collect();
        let opened = time::calendar(incident.opened, &report.host).strftime("%Y-%m-%d %H:%M");
        let severity = (incident.severity.name(), paint(incident.severity));
        let what = (&*peer(report), &*command(report));
        self.line(&id, &opened.to_string(), severity, state, what)
    }

    fn line(&self, id: &str, opened: &str, severity: (&str, &str), state: &str, (peer, what): (&str, &str)) -> String {
        let (severity, paint) = severity;
        let (paint, reset) = if self.colour && !paint.is_empty() {
            (paint, RESET)
        } else {
            ("", "")
        };
        let peer = fit(peer, self.peer);
        let gap = self.peer - peer.width();
        let rest = fit(&format!("{peer}{:gap$}  {what}", ""), COLUMNS - LEAD);
        format!(
            "{id:<8} {opened:<16} {paint}{severity:<8}{reset} {state:<6} {}\n",
            rest.trim_end()
        )
    }
}

fn peer(report: &Report) -> String {
    let primary = report.incident.primary();
    primary.map_or_else(|| String::from("-"), |socket| socket.remote.to_string())
}

/// What was taken over, as it was called.
fn command(report: &Report) -> String {
    let shell = &report.incident.shell;
    if shell.argv.is_empty() {
        return shell.comm.for_terminal();
    }
    command_line(&shell.argv, shell.argv_truncated)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{
        finding::{
            Closed,
            tests::{report, reverse_shell},
        },
        model::{Endpoint, Text},
    };

    /// Rows with short, long and wide cells, and what no terminal should get.
    #[test]
    fn header_and_rows_line_up_within_80_columns() {
        let mut incidents = [reverse_shell(), reverse_shell(), reverse_shell()];
        incidents[1].shell.argv = vec![Text::from("\u{4f60}\u{597d}".repeat(60).as_str())];
        incidents[1].sockets[0].remote = Endpoint::Ip("[2001:db8::7]:443".parse().unwrap());
        incidents[2].shell.argv = vec![Text::from("bash\u{1b}[2J\n"), Text::from("\u{202e}x")];
        incidents[2].sockets[0].remote =
            Endpoint::Ip("[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().unwrap());
        let mut reports = incidents.map(|incident| report(&incident));
        reports[2].closed = Some(Closed {
            unix_ns: 0,
            reason: None,
        });
        let table = Table::new(reports.iter(), false);
        let header = table.header();
        let at = |line: &str, word: &str| line.split_once(word).unwrap().0.width();
        for (report, [peer, what]) in reports.iter().zip([
            ["203.0.113.7:4444", "bash"],
            ["[2001:db8::7]:443", "\u{4f60}"],
            ["[2001:db8:1111:2222:3333:44", "'bash"],
        ]) {
            let row = table.row(report);
            assert_eq!(at(&row, peer), at(&header, "PEER"), "{header}{row}");
            assert_eq!(at(&row, what), at(&header, "WHAT"), "{header}{row}");
            let row = row.strip_suffix('\n').unwrap();
            assert!(row.width() <= COLUMNS, "{row}");
            assert!(!row.contains(|c: char| c.is_control() || c == '\u{202e}'), "{row:?}");
        }
        assert_eq!(at(&header, "PEER"), LEAD);
        assert!(
            table.row(&reports[2]).contains(" closed "),
            "a closed finding is shown so"
        );
    }
}
