//! The first program of a virtual machine of `cargo xtask vm-test`: brings the machine up, checks the sensor in it, says
//! on the second serial line what came of it, and switches the machine off. Started by one of its own cases it is an
//! attacker instead.
//!
//! It is linked statically, since its machine holds nothing else but the sensor and a busybox. The harness is that of the
//! end-to-end tests; the cases are fewer, chosen for what can differ between kernels: each kind of stream, directions,
//! paths, ends, counts, carried streams, what is seen on the wire.

mod attacker;
mod cases;
mod config;
mod machine;
mod prerequisites;
mod programs;
mod report;
mod run;

use std::process::ExitCode;

use crate::report::Report;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return attacker::main();
    }
    // From here on the machine has to be switched off, whatever happens; whoever started it waits for that.
    let outcome = machine::bring_up().and_then(|()| {
        let mut report = Report::open()?;
        run::run(&mut report)?;
        report.finish()
    });
    if let Err(error) = outcome {
        eprintln!("vm-init: {error:#}");
    }
    machine::switch_off()
}
