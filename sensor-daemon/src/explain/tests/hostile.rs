//! What a watched process chose stays text, in every form.

use std::collections::BTreeMap;

use quick_xml::{Reader, events::Event};
use scraper::Html;
use unicode_width::UnicodeWidthStr as _;

use super::{hostile, relayed, reverse_shell};
use crate::explain::{Story, html, svg, text};

fn stories() -> Vec<Story> {
    let reports = [reverse_shell(), relayed(), hostile()];
    reports.iter().map(|report| Story::new(report, &reports)).collect()
}

#[test]
fn a_terminal_gets_no_control_character_and_no_wide_line() {
    for story in stories() {
        let shown = text(&story, false);
        for line in shown.lines() {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
        assert!(shown.lines().count() < 120, "{shown}");
        // Colours are the only escapes there are.
        let mut plain = text(&story, true);
        for style in ["\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[1;97;41m", "\x1b[0m"] {
            plain = plain.replace(style, "");
        }
        assert!(!plain.contains('\x1b'), "{plain:?}");
    }
}

/// Elements by name, with the names of their attributes.
fn elements(page: &str) -> BTreeMap<String, Vec<String>> {
    let parsed = Html::parse_document(page);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in parsed.tree.values() {
        if let Some(element) = node.as_element() {
            let attributes = found.entry(element.name().to_owned()).or_default();
            attributes.extend(element.attrs().map(|(name, _)| name.to_owned()));
            attributes.sort();
            attributes.dedup();
        }
    }
    found
}

#[test]
fn a_page_has_no_element_or_attribute_of_a_process() {
    let pages: Vec<_> = stories().iter().map(html).collect();
    let (tame, hostile) = (elements(&pages[1]), elements(&pages[2]));
    for (name, attributes) in &hostile {
        let known = tame.get(name).unwrap_or_else(|| panic!("<{name}> is new"));
        assert!(
            attributes.iter().all(|attribute| known.contains(attribute)),
            "<{name} {attributes:?}>"
        );
    }
    for page in &pages {
        assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains("url("));
        assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("://"), "it refers to something outside");
    }
    assert!(pages[2].contains("&lt;script&gt;"));
    assert!(pages[2].len() < 400_000, "{} bytes", pages[2].len());
}

#[test]
fn a_picture_is_well_formed_and_has_no_element_of_a_process() {
    const KNOWN: [&str; 10] = [
        "svg", "title", "style", "rect", "text", "g", "line", "path", "circle", "tspan",
    ];
    for story in stories() {
        let picture = svg(&story);
        let mut reader = Reader::from_str(&picture);
        let mut depth = 0;
        loop {
            match reader.read_event().expect("XML") {
                Event::Start(tag) => {
                    depth += 1;
                    let name = tag.name().as_ref().to_owned();
                    assert!(KNOWN.contains(&name.as_str()), "<{name}>");
                    tag.attributes().for_each(|attribute| {
                        let attribute = attribute.expect("an attribute");
                        assert!(!attribute.key.as_ref().starts_with("on"), "{attribute:?}");
                    });
                }
                Event::Empty(tag) => assert!(KNOWN.iter().any(|known| *known == tag.name().as_ref())),
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
    }
}

#[test]
fn strings_are_bounded() {
    let json = serde_json::to_string(&Story::new(&hostile(), &[])).unwrap();
    assert!(json.len() < 256 * 1024, "{} bytes", json.len());
}

#[test]
fn no_command_holds_what_a_shell_would_act_on() {
    for step in Story::new(&hostile(), &[])
        .steps
        .iter()
        .chain(&Story::new(&hostile(), &[]).logs)
    {
        for command in &step.commands {
            let line = command.joined();
            assert!(
                !line.contains("reboot") && !line.contains("script") && !line.contains("rm -rf"),
                "{line}"
            );
        }
    }
}
