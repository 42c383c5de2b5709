//! Cases that are one bash script, in a network namespace of their own: its peers have an address that is not
//! loopback's, which would excuse a lot.

use std::{env, fs, os::unix::fs::PermissionsExt};

use anyhow::{Result, ensure};
use sensor_tests::{deadline::wait_for, lab::Lab, suite::Case, tools};

/// Of the services in the namespace; reserved for documentation, so it can't be anybody's.
const ADDRESS: &str = "198.51.100.1";

/// Ends the script at the first thing that goes wrong. `up` waits until a port of $H is served, `until_said`
/// until a file has a text; `certificate` makes one that names $H.
const PRELUDE: &str = r#"set -eu -o pipefail
ip link set lo up; ip address add $H/32 dev lo
up() { until (exec 3<>/dev/tcp/$H/$1) 2>/dev/null; do sleep 0.02; done; }
certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$1 \
    -addext subjectAltName=IP:$H -keyout key.pem -out cert.pem
}
until_said() { until grep -q "$1" "$2" 2>/dev/null; do sleep 0.02; done; }
"#;

/// A program that a script uses: its name in the script's directory, and its text.
pub type Program = (&'static str, &'static str);

/// Name, tools, programs, and the script, which has to fail if its work was not done.
pub type Script = (&'static str, &'static [&'static str], &'static [Program], &'static str);

/// Makes cases of `scripts`.
pub fn cases(family: &str, scripts: &'static [Script]) -> Vec<Case> {
    let case = |&(name, tools, programs, script): &Script| {
        Case::new(format!("{family}::{name}"), tools, move |lab| {
            run(lab, programs, script)
        })
    };
    scripts.iter().map(case).collect()
}

fn run(lab: &Lab<'_>, programs: &[Program], script: &str) -> Result<()> {
    for (name, text) in programs {
        fs::write(lab.path(name), text)?;
        fs::set_permissions(lab.path(name), fs::Permissions::from_mode(0o755))?;
    }
    let mut bash = lab.command(tools::find("unshare")?)?;
    bash.args(["--net", "bash", "-c", &format!("{PRELUDE}{script}")])
        .env("H", ADDRESS)
        // Of the toolchain that runs the tests, if `cargo test` does.
        .env("CARGO", env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut child = lab.spawn(&mut bash)?;
    let status = wait_for("the end of the script", || Ok(child.try_wait()?))?;
    ensure!(status.success(), "the script ended with {status}");
    Ok(())
}
