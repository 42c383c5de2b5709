//! Takeovers: each really gives its peer a shell, and must come out as exactly one finding.

mod binds;
mod identity;
mod interpreters;
mod native;
mod netcat;
mod one_way;
mod places;
mod report;
mod sessions;
mod shells;

use std::process::ExitCode;

use sensor_tests::suite;

fn main() -> ExitCode {
    let cases = [
        shells::cases(),
        netcat::cases(),
        interpreters::cases(),
        native::cases(),
        identity::cases(),
        binds::cases(),
        one_way::cases(),
        places::cases(),
        sessions::cases(),
        report::cases(),
    ];
    suite::run(cases.into_iter().flatten().collect())
}
