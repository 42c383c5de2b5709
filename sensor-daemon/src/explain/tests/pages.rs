//! Whole screens. If a change is meant, run the tests with `GOLDEN=write`.

use std::{fs, path::Path};

use super::{LONGEST, full, hostile, relayed, reverse_shell, split};
use crate::{
    detect::Technique,
    explain::{Story, html, svg, text},
    finding::Report,
};

fn golden(name: &str, is: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/explain/tests/golden")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, is).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap();
    assert!(is == wanted, "{name} is now:\n{is}");
}

#[test]
fn screens_are_as_they_were_looked_at() {
    let mut other = relayed();
    other.id = "fedcba9876543210fedcba9876543210".into();
    let others: Vec<Report> = (0..6)
        .map(|at| Report {
            id: format!("{at}{}", &other.id[1..]),
            ..other.clone()
        })
        .collect();
    let reports = [
        ("reverse-shell", reverse_shell()),
        ("relayed", relayed()),
        ("full", full()),
    ];
    for (name, report) in reports {
        let story = Story::new(&report, &others);
        golden(&format!("{name}.txt"), &text(&story, false));
        golden(&format!("{name}.svg"), &svg(&story));
        let page = html(&story).replace(crate::model::VERSION, env!("CARGO_PKG_VERSION"));
        golden(&format!("{name}.html"), &page);
        let json = serde_json::to_string_pretty(&story).unwrap() + "\n";
        golden(&format!("{name}.json"), &json);
    }
}

/// One screen: a plain finding leaves room on it, a full one takes no more than a tall terminal has.
#[test]
fn a_story_fits_a_screen() {
    let mut others = vec![relayed(); 6];
    for (at, other) in others.iter_mut().enumerate() {
        other.id = format!("{at}");
    }
    for (report, most) in [(reverse_shell(), 34), (relayed(), 44), (full(), 50), (hostile(), 70)] {
        let shown = text(&Story::new(&report, &others), false);
        assert!(
            shown.lines().count() <= most,
            "{} lines:\n{shown}",
            shown.lines().count()
        );
    }
}

/// An address is what a reader looks for elsewhere: every form has the whole of it.
#[test]
fn no_peer_is_cut() {
    let mut one = relayed();
    for route in [&mut one.incident.input_route, &mut one.incident.output_route] {
        route.as_mut().unwrap().socket = super::socket(LONGEST, 777);
    }
    for report in [split(), one] {
        let story = Story::new(&report, &[]);
        let shown = text(&story, false);
        assert!(shown.contains(&format!("◆ {LONGEST}  ")), "{shown}");
        for page in [svg(&story), html(&story)] {
            assert!(page.contains(&format!(">{LONGEST}</text>")), "{page}");
        }
    }
    let shown = text(&Story::new(&split(), &[]), false);
    for stream in ["stdin: bash -i", "stdout, stderr: bash -i"] {
        assert!(shown.contains(stream), "{shown}");
    }
}

/// The row of the commands, from its label on, and the rows below it.
fn commands(shown: &str) -> Vec<&str> {
    let rows = shown.lines().skip_while(|line| !line.starts_with("Commands"));
    rows.take_while(|line| !line.starts_with("Where")).collect()
}

/// A command loop has no shell: its commands are the programs that it ran, the first one included.
#[test]
fn a_command_loop_shows_what_it_ran() {
    let mut report = reverse_shell();
    let incident = &mut report.incident;
    incident.technique = Technique::CommandLoop;
    (incident.commands, incident.command_count) = (Vec::new(), 1);
    let story = Story::new(&report, &[]);
    let shown = text(&story, false);
    assert_eq!(commands(&shown), ["Commands 11:07:23Z    4321  bash -i"], "{shown}");
    assert!(html(&story).contains("<h2>Commands (1)</h2>"));
    assert!(svg(&story).contains(">bash -i</text><"));
}

/// What lies between the first and the newest commands is counted where it belongs.
#[test]
fn commands_that_are_left_out_are_counted_between() {
    let mut report = full();
    report.incident.first_commands = 8;
    report.incident.omitted = 108;
    let story = Story::new(&report, &[]);
    let shown = text(&story, false);
    let rows = commands(&shown);
    assert!(rows[0].contains(" 70000 "), "{shown}");
    assert!(rows[1].starts_with("of 140   … 137 more …"), "{shown}");
    assert!(rows[2].contains(" 70030 ") && rows[3].contains(" 70031 "), "{shown}");
    let page = html(&story);
    let row = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(row(">70007<") < row("… 108 more, not kept …") && row("… 108 more, not kept …") < row(">70008<"));
    let picture = svg(&story);
    assert!(picture.contains(">125 more commands, not shown<"), "{picture}");
}
