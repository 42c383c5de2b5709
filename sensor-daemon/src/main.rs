//! The `sensor-daemon` command: only dispatches to `cli/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sensor_daemon::cli::main()
}
