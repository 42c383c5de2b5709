//! The `sensor-daemon` command: only dispatches to `cli/`.
fn main() {}
