//! Whole screens. If a change is meant, run the tests with `GOLDEN=write`.

use std::{fs, path::Path};

use super::{LONGEST, full, hostile, relayed, reverse_shell, split};
use crate::{
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
        let page = html(&story).replace(crate::VERSION, env!("CARGO_PKG_VERSION"));
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
