//! What a watched process chose stays text, in every form.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quick_xml::{Reader, events::Event};
use scraper::{Html, Selector};
use sha2::{Digest as _, Sha256};
use unicode_width::UnicodeWidthStr as _;

use super::{full, hostile, relayed, reverse_shell, split};
use crate::explain::{Story, html, svg, text};

fn stories() -> Vec<Story> {
    let reports = [reverse_shell(), full(), hostile(), relayed(), split()];
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

/// A browser uses a style only if it is the one that the page's policy names.
#[test]
fn the_policy_names_the_style_and_nothing_else() {
    for page in stories().iter().map(html) {
        let parsed = Html::parse_document(&page);
        let one = |selector: &str| {
            let selector = Selector::parse(selector).unwrap();
            let found: Vec<_> = parsed.select(&selector).collect();
            assert_eq!(found.len(), 1, "{selector:?}");
            found[0]
        };
        let hash = STANDARD.encode(Sha256::digest(one("style").text().collect::<String>()));
        let policy = one("meta[http-equiv=Content-Security-Policy]");
        let wanted = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
        assert_eq!(policy.attr("content"), Some(wanted.as_str()));
    }
}

/// A character of 12 units in a monospaced face takes 7.3 at most, and one of 15 takes 9.1.
#[test]
fn no_text_runs_out_of_a_picture() {
    for story in stories() {
        let parsed = Html::parse_document(&svg(&story));
        let text = Selector::parse("text").unwrap();
        let mut seen = 0;
        for element in parsed.select(&text) {
            let x: f64 = element.attr("x").unwrap().parse().unwrap();
            let shown = element.text().collect::<String>();
            let unit = if element.attr("class") == Some("name") {
                9.1
            } else {
                7.3
            };
            let wide = unit * f64::from(u32::try_from(shown.width()).unwrap());
            let (from, to) = match element.attr("text-anchor") {
                Some("end") => (x - wide, x),
                _ => (x, x + wide),
            };
            assert!(from >= 0.0 && to <= 800.0, "{from} to {to}: {shown}");
            seen += 1;
        }
        assert!(seen > 8, "only {seen}");
    }
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
