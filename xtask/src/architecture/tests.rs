//! Small crates that are made up, and what the check says of them.

use std::fs;

use super::check;

const ORDER: &str = "# Rooms\n\n```\nrooms, highest first:\ncli\nsinks store\nmodel\nstore: model\n```\n";

/// What is wrong with a crate of these files.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [("docs/architecture.md", ORDER)].iter().chain(files) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    check(root.path(), &[("sensor-daemon/src/lib.rs", Some("sensor_daemon"))]).unwrap()
}

/// A crate with one room, `model`, of these files.
fn model(head: &str, files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![
        ("sensor-daemon/src/lib.rs".to_owned(), "mod model;"),
        ("sensor-daemon/src/model/mod.rs".to_owned(), head),
    ];
    all.extend(
        files
            .iter()
            .map(|(name, text)| (format!("sensor-daemon/src/model/{name}"), *text)),
    );
    let all: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    faults(&all)
}

#[test]
fn a_circle_is_shown_with_its_lines() {
    let circle = model(
        "mod a; mod b; mod c;",
        &[
            (
                "a.rs",
                "//! A.\nuse super::{\n    b::{B, Other as Renamed},\n};\npub struct A;",
            ),
            (
                "b.rs",
                "pub struct B;\npub struct Other;\nfn f() { crate::model::c::f() }",
            ),
            ("c.rs", "use std::fs;\nuse crate::model::a as first;\npub fn f() {}"),
        ],
    );
    assert_eq!(
        circle,
        [
            "circle: sensor-daemon/src/model/a.rs:3 -> sensor-daemon/src/model/b.rs:3 -> \
          sensor-daemon/src/model/c.rs:2 -> sensor-daemon/src/model/a.rs"
        ]
    );
}

#[test]
fn a_name_counts_for_the_file_that_defines_it() {
    // Through a re-export, a renamed one, a glob and a nested group.
    for import in [
        "use super::B;",
        "use super::C;",
        "use super::every::*; type T = D;",
        "use {super::{{B}}};",
    ] {
        let head = "mod a; mod b; pub mod every { pub use super::b::D; } pub use b::{B, B as C};";
        let files = [("a.rs", import), ("b.rs", "use super::a; pub struct B; pub struct D;")];
        let faults = model(head, &files);
        assert_eq!(faults.len(), 1, "{import}: {faults:?}");
        assert!(
            faults[0].contains("a.rs:1 -> sensor-daemon/src/model/b.rs:1 ->"),
            "{faults:?}"
        );
    }
}

#[test]
fn declaring_and_handing_on_is_no_import() {
    let child = [("a.rs", "use super::Shared; pub struct A; pub fn f() {}")];
    assert_eq!(model("mod a; pub use a::A; pub struct Shared;", &child), [""; 0]);
    // But these are: the parent can't be understood without the child, nor the child without the parent.
    for used in [
        "use a::A;",
        "fn g() { a::f() }",
        "pub use a::A; fn g(_: A) {}",
        "fn g() { assert!(a::f() == ()) }",
    ] {
        let faults = model(&format!("mod a; {used} pub struct Shared;"), &child);
        assert_eq!(faults.len(), 1, "{used}: {faults:?}");
    }
}

#[test]
fn tests_may_import_what_they_like() {
    let files = [
        (
            "a.rs",
            "#[cfg(test)] mod tests { use super::super::b::B; } pub struct A; #[cfg(test)] fn f(_: super::b::B) {}",
        ),
        ("b.rs", "use super::a::A; pub struct B;"),
    ];
    assert_eq!(
        model("mod a; mod b; #[cfg(all(test, unix))] mod absent;", &files),
        [""; 0]
    );
    let not_only_tests = [
        ("a.rs", "#[cfg(not(test))] use super::b::B; pub struct A;"),
        ("b.rs", "use super::a::A; pub struct B;"),
    ];
    assert_eq!(model("mod a; mod b;", &not_only_tests).len(), 1);
}

#[test]
fn rooms_import_downwards_only() {
    let of = |store: &str, model: &str| {
        faults(&[
            ("sensor-daemon/src/lib.rs", "mod cli; mod sinks; mod store; mod model;"),
            ("sensor-daemon/src/cli.rs", "use crate::{model::M, sinks};"),
            ("sensor-daemon/src/sinks.rs", "pub struct Sink;"),
            ("sensor-daemon/src/store.rs", store),
            ("sensor-daemon/src/model.rs", model),
        ])
    };
    assert_eq!(of("use crate::model::M;", "pub struct M;"), [""; 0]);
    assert_eq!(
        of(
            "use crate::sinks::Sink;",
            "pub struct M; use std::io; use crate::cli::Run;"
        ),
        [
            "circle: sensor-daemon/src/cli.rs:1 -> sensor-daemon/src/model.rs:1 -> sensor-daemon/src/cli.rs",
            "against the order: sensor-daemon/src/model.rs:1 -> sensor-daemon/src/cli.rs",
            "against the order: sensor-daemon/src/store.rs:1 -> sensor-daemon/src/sinks.rs",
        ]
    );
}
