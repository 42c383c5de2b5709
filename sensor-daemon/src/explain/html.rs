//! A story as one page that needs nothing else: no script, no network, its style pinned by hash in the page's own content
//! security policy. Every foreign string goes through `markup::escape`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use crate::detect::State;

use super::{
    advice::Step,
    markup::escape,
    processes::Role,
    story::Story,
    svg::{self, after},
    text::second,
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
    let mut out = String::new();
    let severity = story.severity.name();
    let state = match (story.state, story.monitoring_ended) {
        (State::Inactive, _) => "ENDED",
        (State::Active, true) => "LEFT OPEN",
        (State::Active, false) => "GOING ON",
    };
    let title = format!("{severity}: {} on {}", story.title, story.host);
    let end = story.ended.as_ref().unwrap_or(&story.updated);
    // Writing to a string can't fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n\
         <div><span class=\"tag {severity}\">{severity}</span><span class=\"tag\">{state}</span></div>\n\
         <h1>{}</h1>\n<p class=\"dim\">{} to {} &#183; <code>{}</code></p>\n<p class=\"lead\">{}</p>\n",
        escape(&title),
        foreign(&format!("{} on {}", capital(story.title), story.host)),
        escape(&second(&story.opened)),
        escape(&second(end)),
        escape(&story.id),
        foreign(&story.verdict),
    );
    if !story.evidence.is_empty() {
        let _ = writeln!(out, "<p class=\"dim\">Seen: {}</p>", foreign(&story.evidence));
    }
    let _ = writeln!(
        out,
        "<h2>The chain from the peer to the shell</h2>\n<div class=\"wide\">{}</div>",
        svg::inline("The chain from the peer to the shell", svg::chain(story))
    );
    let _ = writeln!(
        out,
        "<h2>Timeline</h2>\n<div class=\"wide\">{}</div>",
        svg::inline("Timeline", svg::timeline(story))
    );
    facts(&mut out, story);
    posture(&mut out, story);
    processes(&mut out, story);
    commands(&mut out, story);
    related(&mut out, story);
    out.push_str("<h2>Logs</h2>\n");
    story.logs.iter().for_each(|item| step(&mut out, item, "p"));
    out.push_str("<h2>MITRE ATT&amp;CK</h2>\n<dl>\n");
    for technique in &story.mitre {
        let _ = writeln!(
            out,
            "<dt>{}</dt><dd>{}</dd>",
            escape(technique.id),
            escape(technique.name)
        );
    }
    out.push_str("</dl>\n<h2>What to do now</h2>\n<p class=\"dim\">As root on this host, in this order.</p>\n<ol>\n");
    story.steps.iter().for_each(|item| step(&mut out, item, "li"));
    let _ = write!(
        out,
        "</ol>\n<p class=\"dim\">Written by sensor-daemon {}. This page holds no script and loads nothing.</p>\n</main>\n</body>\n</html>\n",
        crate::VERSION
    );
    out
}

/// A foreign string: escaped, and unable to turn the direction of what is around it.
fn foreign(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(text))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn facts(out: &mut String, story: &Story) {
    out.push_str("<h2>Where</h2>\n<dl>\n");
    for fact in &story.facts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(fact.what), foreign(&fact.value));
    }
    out.push_str("</dl>\n");
}

fn posture(out: &mut String, story: &Story) {
    if story.posture.is_empty() {
        return;
    }
    out.push_str("<h2>Posture</h2>\n<div class=\"wide\"><table>\n");
    for property in &story.posture {
        let (class, risk) = match property.risk {
            Some(risk) => (" class=\"risk\"", escape(risk)),
            None => ("", String::new()),
        };
        let _ = writeln!(
            out,
            "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td class=\"bad\">{risk}</td></tr>",
            escape(property.what),
            foreign(&property.value)
        );
    }
    out.push_str("</table></div>\n");
}

fn processes(out: &mut String, story: &Story) {
    out.push_str(
        "<h2>Processes</h2>\n<div class=\"wide\"><table>\n<tr><th>Process</th><th class=\"less\">User id</th><th class=\"less\">Started</th><th>Command</th><th>Part</th></tr>\n",
    );
    for process in &story.processes {
        let (part, class) = match process.role {
            Role::Shell => ("taken over", "bad"),
            Role::Relay => ("relay", ""),
            Role::Ancestor => ("", ""),
        };
        let branch = if process.depth == 0 { "" } else { "&#9492;&#160;" };
        let user = process.user_id.map(|uid| uid.to_string()).unwrap_or_default();
        let command = if process.command.is_empty() {
            &process.name
        } else {
            &process.command
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"mono fix\">{}{branch}{}</td><td class=\"less\">{user}</td><td class=\"fix less\">{}</td><td class=\"mono\">{}</td>\
             <td class=\"fix {class}\">{part}</td></tr>",
            "&#160;&#160;".repeat(process.depth.min(16)),
            process.pid,
            process
                .started
                .as_deref()
                .map(|stamp| escape(&second(stamp)))
                .unwrap_or_default(),
            foreign(command),
        );
    }
    out.push_str("</table></div>\n");
}

fn commands(out: &mut String, story: &Story) {
    let _ = writeln!(out, "<h2>Commands ({})</h2>", story.command_count);
    let hidden = story.command_count.saturating_sub(story.commands.len() as u64);
    if hidden > 0 {
        let _ = writeln!(out, "<p class=\"dim\">{hidden} earlier ones are not kept.</p>");
    }
    if story.commands.is_empty() {
        return;
    }
    out.push_str("<div class=\"wide\"><table>\n<tr><th>Time</th><th class=\"less\">After</th><th>Process</th><th class=\"less\">User id</th><th>Command</th></tr>\n");
    for command in &story.commands {
        let _ = writeln!(
            out,
            "<tr><td class=\"fix\">{}</td><td class=\"fix less\">{}</td><td>{}</td><td class=\"less\">{}</td><td class=\"mono\">{}</td></tr>",
            escape(&command.clock),
            escape(&after(command.after)),
            command.pid,
            command.user_id,
            foreign(&command.command)
        );
    }
    out.push_str("</table></div>\n");
}

fn related(out: &mut String, story: &Story) {
    out.push_str("<h2>Related findings</h2>\n");
    if story.related.is_empty() {
        out.push_str("<p class=\"dim\">None in this host's store: no other of the same place or peer.</p>\n");
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table>\n<tr><th>Opened</th><th>Severity</th><th>What</th><th>Where</th><th>Why</th><th>Id</th></tr>\n",
    );
    for related in &story.related {
        let id: String = related.id.chars().take(8).collect();
        let _ = writeln!(
            out,
            "<tr><td class=\"fix\">{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"fix\">{}</td><td class=\"mono\">{}</td></tr>",
            escape(&second(&related.opened)),
            related.severity.name(),
            escape(related.title),
            foreign(&related.place),
            escape(related.why),
            escape(&id)
        );
    }
    out.push_str("</table></div>\n");
    if story.related_hidden > 0 {
        let _ = writeln!(out, "<p class=\"dim\">And {} more.</p>", story.related_hidden);
    }
}

fn step(out: &mut String, step: &Step, tag: &str) {
    let _ = write!(out, "<{tag}>{}", foreign(&step.what));
    let close = format!("</{tag}>\n");
    // A paragraph can't hold a block.
    if tag == "p" {
        out.push_str(&close);
    }
    if !step.commands.is_empty() {
        let lines: Vec<String> = step.commands.iter().map(|command| escape(&command.joined())).collect();
        let _ = writeln!(out, "<pre>{}</pre>", lines.join("\n"));
    }
    if tag != "p" {
        out.push_str(&close);
    }
}
