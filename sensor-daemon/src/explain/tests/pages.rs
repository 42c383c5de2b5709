//! Whole screens. If a change is meant, run the tests with `GOLDEN=write`.

use std::{fs, path::Path};

use super::{relayed, reverse_shell};
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
    let others: [Report; 2] = [reverse_shell(), other];
    for (name, report) in [("reverse-shell", reverse_shell()), ("relayed", relayed())] {
        let story = Story::new(&report, &others);
        golden(&format!("{name}.txt"), &text(&story, false));
        golden(&format!("{name}.svg"), &svg(&story));
        golden(&format!("{name}.html"), &html(&story));
        let json = serde_json::to_string_pretty(&story).unwrap() + "\n";
        golden(&format!("{name}.json"), &json);
    }
}
