//! The sensor as a program: its start, its end, its output, and what it says when it can't work.

mod command_line;
mod config;
mod hostile;
mod life;
mod output;
mod privileges;
mod record;
mod store;
mod unit;

use std::process::ExitCode;

use sensor_tests::suite;

fn main() -> ExitCode {
    let cases = [
        life::cases(),
        output::cases(),
        hostile::cases(),
        privileges::cases(),
        command_line::cases(),
        config::cases(),
        record::cases(),
        store::cases(),
        unit::cases(),
    ];
    suite::run_alone(cases.into_iter().flatten().collect())
}
