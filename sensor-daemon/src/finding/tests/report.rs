use super::{report, reverse_shell};
use crate::finding::Report;

#[test]
fn a_stored_report_comes_back_as_it_was() {
    let report = report(&reverse_shell());
    let stored = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report);
}
