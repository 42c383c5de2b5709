use super::{report, reverse_shell};
use crate::finding::Report;

#[test]
fn a_stored_report_comes_back_as_it_was() {
    let report = report(&reverse_shell());
    let stored = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report);
}

#[test]
fn without_arguments_no_process_has_any() {
    let mut report = report(&reverse_shell());
    let secret = || vec!["x".into(), "hunter2".into()];
    report.incident.shell.argv = secret();
    for ancestor in &mut report.incident.shell.ancestors {
        ancestor.argv = secret();
    }
    let command = crate::detect::Command {
        argv: secret(),
        ..report.incident.shell.clone().into()
    };
    report.incident.commands.push(command);
    report.remove_arguments();
    for text in [
        serde_json::to_string(&report).unwrap(),
        serde_json::to_string(&crate::finding::scc(&report)).unwrap(),
        crate::finding::human(&report, false),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(report.incident.shell.argv_truncated && report.incident.commands[0].argv_truncated);
}
