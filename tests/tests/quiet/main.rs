//! Ordinary work that looks like a takeover to others: each case really does its work, and nothing may be reported.

mod agents;
mod clients;
mod downloads;
mod http;
mod logins;
mod script;
mod servers;
mod services;
mod sessions;
mod streams;
mod transfers;

use std::process::ExitCode;

use sensor_tests::suite;

fn main() -> ExitCode {
    let cases = [
        servers::cases(),
        clients::cases(),
        services::cases(),
        agents::cases(),
        logins::cases(),
        downloads::cases(),
        transfers::cases(),
        sessions::cases(),
        streams::cases(),
    ];
    suite::run(cases.into_iter().flatten().collect())
}
