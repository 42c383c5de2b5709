//! A story as one page that needs nothing else: no script, no network, its style pinned by hash in the page's own content
//! security policy. `maud` escapes every string.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html as markup};
use sha2::{Digest as _, Sha256};

use crate::detect::State;

use super::{
    story::{CommandRow, Process, Role, Step, Story, second},
    svg::{self, after},
};

const STYLE: &str = "\
*{box-sizing:border-box}html{background:var(--paper);color:var(--ink);color-scheme:light dark}\
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;max-width:880px;margin:0 auto;padding:28px 24px 56px}\
h1{font-size:24px;line-height:1.25;margin:10px 0 4px}h2{font-size:16px;margin:32px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--edge)}\
p{margin:8px 0}.dim{color:var(--dim)}.lead{font-size:17px}code,pre,td.mono,dd{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:13px}\
bdi{unicode-bidi:isolate-override;direction:ltr}\
.tag{display:inline-block;font-weight:700;font-size:12px;letter-spacing:.04em;padding:2px 9px;border-radius:4px;border:1px solid var(--edge);margin-right:8px}\
.CRITICAL,.HIGH{background:#b3261e;border-color:#b3261e;color:#fff}.MEDIUM{background:#8a5a00;border-color:#8a5a00;color:#fff}\
svg{display:block;width:100%;height:auto;margin:8px 0}\
table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;vertical-align:top;padding:5px 8px;border-bottom:1px solid var(--edge)}td.mono{overflow-wrap:anywhere;min-width:110px}\
th{font-weight:600;color:var(--dim);white-space:nowrap}td.fix{white-space:nowrap;min-width:0}\
.wide{overflow-x:auto}.wide svg{min-width:600px}tr.risk th,tr.risk td{background:var(--bad-soft)}.bad{color:var(--bad);font-weight:600}\
dl{display:grid;grid-template-columns:minmax(90px,max-content) 1fr;gap:4px 20px;margin:0}dt{color:var(--dim)}dd{margin:0}h1,p,dd,li{overflow-wrap:anywhere}\
pre{background:var(--soft);border:1px solid var(--edge);border-radius:6px;padding:10px 12px;margin:6px 0 14px;white-space:pre-wrap;overflow-wrap:anywhere;user-select:all}\
ol{padding-left:22px}li{margin:6px 0}\
@media (max-width:640px){body{padding:16px 14px 40px}.less{display:none}th,td{padding:5px 6px}dl{gap:4px 12px}ol{padding-left:18px}}\
@media print{body{max-width:none;padding:0;font-size:10.5pt}h2{break-after:avoid;margin-top:22px}svg,pre,tr,dl>*,li{break-inside:avoid}\
.wide{overflow:visible}.wide svg{min-width:0;width:82%}.lead{font-size:12pt}.tag{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

/// The whole page.
#[must_use]
pub fn html(story: &Story) -> String {
    let style = format!("{}{STYLE}", svg::STYLE);
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    let severity = story.severity.name();
    let state = match (story.state, story.monitoring_ended) {
        (State::Inactive, _) => "ENDED",
        (State::Active, true) => "LEFT OPEN",
        (State::Active, false) => "GOING ON",
    };
    let page = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (severity) ": " (story.title) " on " (story.host) }
                style { (PreEscaped(style)) }
            }
            body {
                main {
                    div { span class={ "tag " (severity) } { (severity) } span class="tag" { (state) } }
                    h1 { (foreign(&format!("{} on {}", capital(story.title), story.host))) }
                    p class="dim" {
                        (second(&story.opened)) " to " (second(story.end())) " · " code { (story.id) }
                    }
                    p class="lead" { (foreign(&story.verdict)) }
                    @if !story.evidence.is_empty() { p class="dim" { "Seen: " (foreign(&story.evidence)) } }
                    (picture("The chain from the peer to the shell", svg::chain(story)))
                    (picture("Timeline", svg::timeline(story)))
                    h2 { "Where" }
                    dl { @for fact in &story.facts { dt { (fact.what) } dd { (foreign(&fact.value)) } } }
                    (posture(story))
                    (processes(story))
                    (commands(story))
                    (related(story))
                    h2 { "Logs" }
                    @for log in &story.logs { p { (foreign(&log.what)) } (copied(log)) }
                    h2 { "MITRE ATT&CK" }
                    dl { @for technique in &story.mitre { dt { (technique.id) } dd { (technique.name) } } }
                    h2 { "What to do now" }
                    p class="dim" { "As root on this host, in this order." }
                    ol { @for step in &story.steps { li { (foreign(&step.what)) (copied(step)) } } }
                    p class="dim" {
                        "Written by sensor-daemon " (crate::model::VERSION) ". This page holds no script and loads nothing."
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

/// A foreign string, unable to turn the direction of what is around it.
fn foreign(text: &str) -> Markup {
    markup! { bdi { (text) } }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

fn picture(label: &str, picture: (Markup, usize)) -> Markup {
    markup! {
        h2 { (label) }
        div class="wide" { (svg::inline(label, picture)) }
    }
}

fn posture(story: &Story) -> Markup {
    markup! {
        @if !story.posture.is_empty() {
            h2 { "Posture" }
            div class="wide" { table {
                @for property in &story.posture {
                    tr class=[property.risk.map(|_| "risk")] {
                        th scope="row" { (property.what) }
                        td { (foreign(&property.value)) }
                        td class="bad" { (property.risk.unwrap_or_default()) }
                    }
                }
            } }
        }
    }
}

fn processes(story: &Story) -> Markup {
    let row = |process: &Process| {
        let (part, class) = match process.role {
            Role::Shell => ("taken over", "fix bad"),
            Role::Relay => ("relay", "fix"),
            Role::Ancestor => ("", "fix"),
        };
        let branch = if process.depth == 0 { "" } else { "└\u{a0}" };
        let started = process.started.as_deref().map(second);
        let command = if process.command.is_empty() {
            &process.name
        } else {
            &process.command
        };
        markup! {
            tr {
                td class="mono fix" { ("\u{a0}\u{a0}".repeat(process.depth.min(16))) (branch) (process.pid) }
                td class="less" { @if let Some(uid) = process.user_id { (uid) } }
                td class="fix less" { (started.unwrap_or_default()) }
                td class="mono" { (foreign(command)) }
                td class=(class) { (part) }
            }
        }
    };
    markup! {
        h2 { "Processes" }
        div class="wide" { table {
            tr { th { "Process" } th class="less" { "User id" } th class="less" { "Started" } th { "Command" } th { "Part" } }
            @for process in &story.processes { (row(process)) }
        } }
    }
}

fn commands(story: &Story) -> Markup {
    let (first, hidden, newest) = story.commands_shown(usize::MAX);
    let row = |command: &CommandRow| {
        markup! {
            tr {
                td class="fix" { (command.clock) }
                td class="fix less" { (after(command.after)) }
                td { (command.pid) }
                td class="less" { (command.user_id) }
                td class="mono" { (foreign(&command.command)) }
            }
        }
    };
    markup! {
        h2 { "Commands (" (story.command_count) ")" }
        @if !story.commands.is_empty() {
            div class="wide" { table {
                tr { th { "Time" } th class="less" { "After" } th { "Process" } th class="less" { "User id" } th { "Command" } }
                @for command in first { (row(command)) }
                @if hidden > 0 { tr { td class="dim" colspan="5" { "… " (hidden) " more, not kept …" } } }
                @for command in newest { (row(command)) }
            } }
        }
    }
}

fn related(story: &Story) -> Markup {
    markup! {
        h2 { "Related findings" }
        @if story.related.is_empty() {
            p class="dim" { "None in this host's store: no other of the same place or peer." }
        } @else {
            div class="wide" { table {
                tr { th { "Opened" } th { "Severity" } th { "What" } th { "Where" } th { "Why" } th { "Id" } }
                @for related in &story.related {
                    tr {
                        td class="fix" { (second(&related.opened)) }
                        td { (related.severity.name()) }
                        td { (related.title) }
                        td { (foreign(&related.place)) }
                        td class="fix" { (related.why) }
                        td class="mono" { (related.id.chars().take(8).collect::<String>()) }
                    }
                }
            } }
            @if story.related_hidden > 0 { p class="dim" { "And " (story.related_hidden) " more." } }
        }
    }
}

/// The commands of a step, to be copied together.
fn copied(step: &Step) -> Markup {
    let lines: Vec<String> = step.commands.iter().map(|command| command.joined()).collect();
    markup! { @if !lines.is_empty() { pre { (lines.join("\n")) } } }
}
