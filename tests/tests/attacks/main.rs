//! Takeovers: each really gives its peer a shell, and must come out as exactly one finding.

mod binds;
mod containers;
mod identity;
mod interpreters;
mod native;
mod netcat;
mod one_way;
mod places;
mod pops;
mod pumps;
mod redirected;
mod relays;
mod report;
mod sessions;
mod shells;
mod starters;
mod terminals;
mod transports;
mod webshells;

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
        containers::cases(),
        relays::cases(),
        starters::cases(),
        transports::cases(),
        terminals::cases(),
        pumps::cases(),
        pops::cases(),
        webshells::cases(),
        redirected::cases(),
        sessions::cases(),
        report::cases(),
    ];
    suite::run(cases.into_iter().flatten().collect())
}
