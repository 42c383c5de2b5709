use super::{report, reverse_shell};
use crate::finding::{Arguments, Report};

#[test]
fn a_stored_report_comes_back_as_it_was() {
    let report = report(&reverse_shell());
    let stored = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report);
}

#[test]
fn secrets_in_arguments_are_masked_and_arguments_removed_everywhere() {
    let mut report = report(&reverse_shell());
    let secret = || vec!["mysql".into(), "--password=hunter2".into()];
    report.incident.shell.argv = secret();
    for ancestor in &mut report.incident.shell.ancestors {
        ancestor.argv = secret();
    }
    let command = crate::detect::Command {
        argv: secret(),
        ..report.incident.shell.clone().into()
    };
    report.incident.commands.push(command);
    let raw = report.clone();
    report.show_arguments(Arguments::Raw);
    assert_eq!(report, raw);
    for (arguments, shown) in [(Arguments::Masked, true), (Arguments::Removed, false)] {
        let mut report = raw.clone();
        report.show_arguments(arguments);
        for text in [
            serde_json::to_string(&report).unwrap(),
            crate::finding::scc(&report).to_string(),
            crate::finding::human(&report, false),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(text.contains("--password=[masked]"), shown, "{text}");
        }
        assert_eq!(
            report.incident.shell.argv_truncated,
            !shown || raw.incident.shell.argv_truncated
        );
        assert_eq!(
            report.incident.commands[0].argv_truncated,
            !shown || raw.incident.commands[0].argv_truncated
        );
    }
}
