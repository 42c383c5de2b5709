//! Terminals, jobs, builds and containers: shells whose commands come from this machine.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const DAEMON: &[Program] = &[("daemon.py", include_str!("programs/daemon.py"))];

const TERMINAL: &[Program] = &[("terminal.exp", include_str!("programs/terminal.exp"))];

/// Podman with all that it keeps in the script's directory. runc manages control groups of any version.
const PODMAN: &[Program] = &[(
    "pod",
    r#"#!/bin/sh
exec podman --runtime=runc --cgroup-manager=cgroupfs --events-backend=none --storage-driver=vfs \
  --root="$PWD/store" --runroot="$PWD/run" --tmpdir="$PWD/tmp" "$@"
"#,
)];

/// A container's directory `box` for runc, whose file system is a busybox. Its program reads a terminal if `$terminal`.
macro_rules! container {
    ($terminal:literal, $arguments:literal, $script:literal) => {
        concat!(
            "mkdir -p box/rootfs/bin box/rootfs/proc box/rootfs/dev; cp $(type -P busybox) box/rootfs/bin\n",
            "for applet in sh id uname cat sleep stty; do ln -s busybox box/rootfs/bin/$applet; done\n",
            "(cd box; runc spec)\n",
            "python3 -c 'import json; c = json.load(open(\"box/config.json\")); c[\"process\"][\"terminal\"] = ",
            $terminal,
            "; c[\"process\"][\"args\"] = ",
            $arguments,
            "; json.dump(c, open(\"box/config.json\", \"w\"))'\n",
            "NAME=box-$$; RUNC=\"runc --root $PWD/state\"\n",
            $script
        )
    };
}

const SCRIPTS: &[Script] = &[
    (
        "tmux",
        &["tmux"],
        &[],
        r#"export TERM=xterm; tmux -S socket -f /dev/null new-session -d 'bash --norc'
tmux -S socket send-keys 'id >proof; PS1=inner sh' Enter
# What is typed while bash has the terminal would be lost on the other.
until tmux -S socket capture-pane -p | grep -q ^inner; do sleep 0.02; done
tmux -S socket send-keys 'uname -a | cat >>proof; echo done >>proof' Enter
until_said done proof; grep uid= proof; grep Linux proof
tmux -S socket split-window 'id >other; echo done >>other'; until_said done other
tmux -S socket run-shell 'id >third'; grep uid= third
tmux -S socket kill-server"#,
    ),
    (
        "screen",
        &["screen"],
        &[],
        r#"export TERM=xterm SCREENDIR=$PWD/screens; mkdir -m 700 screens
screen -c /dev/null -dmS work bash --norc; until screen -ls work >/dev/null; do sleep 0.02; done
screen -S work -X stuff $'id >proof; uname -a | cat >>proof; echo done >>proof\n'
until_said done proof; grep uid= proof; grep Linux proof; screen -S work -X quit"#,
    ),
    (
        "script",
        &["script"],
        &[],
        r#"{ echo id; echo 'sh -i'; echo 'uname -a | cat'; echo exit; echo exit; } >typed
script -qec 'bash --norc -i' log <typed; grep uid= log; grep Linux log
cat typed | script -qec 'bash --norc -i' piped | cat >said; grep uid= said"#,
    ),
    (
        "expect",
        &["expect"],
        &[],
        r#"expect -c 'set timeout 10; spawn bash --norc; send "id\r"; expect uid= {} timeout {exit 1}
send "python3 -c \"print(6*7)\" || sh\r"; expect 42 {} timeout {exit 1}; send "exit\r"; expect eof' | grep uid="#,
    ),
    (
        "netcat_in_a_terminal",
        &["expect", "nc.traditional", "ncat"],
        TERMINAL,
        // Its streams are the terminal's, as those of the shells that are started beside it.
        r#"expect terminal.exp 'nc.traditional -l -s $H -p 7000 >received &' '/dev/tcp/$H/7000'
expect terminal.exp 'ncat -lk $H 7001 &' '/dev/tcp/$H/7001'"#,
    ),
    (
        "jobs",
        &["python3"],
        DAEMON,
        "python3 daemon.py </dev/null >/dev/null
grep uid= job-0; grep Linux job-1; grep 3 job-2; grep uid= job-sh; grep uid= job-bash",
    ),
    (
        "make",
        &["make", "curl", "python3", "tar"],
        &[],
        r#"mkdir served part; seq 9999 >served/source; tar -czf served/s.tgz -C served source
python3 -m http.server --bind $H --directory served 8080 2>log & up 8080
cat >Makefile <<'END'
SHELL = /bin/bash
all: source id parts
source: ; curl -sf http://$(H):8080/s.tgz | tar -xz && touch $@
id: ; { id; uname -a; } | sort >$@
parts: ; $(MAKE) -C part
END
printf 'all: a b c d\na b c d: ; i=$@; { echo $$i; (sleep 0; id); } | cat >$@\n' >part/Makefile
make -s -j4; cmp source served/source; grep uid= id; grep uid= part/d"#,
    ),
    (
        "cargo",
        &["gcc"],
        &[],
        r#"PATH=${CARGO%/*}:$PATH; mkdir src
printf '[package]\nname = "some"\nversion = "1.0.0"\nedition = "2021"\n' >Cargo.toml
echo 'fn main() { let said = std::process::Command::new("sh").args(["-c", "id | cat"]).output().unwrap().stdout;
std::fs::write(std::env::var("OUT_DIR").unwrap() + "/id", said).unwrap(); }' >build.rs
echo 'fn main() { print!("{}", include_str!(concat!(env!("OUT_DIR"), "/id"))); }' >src/main.rs
"$CARGO" run -q --offline | grep uid="#,
    ),
    (
        "container",
        &["runc", "busybox", "python3"],
        &[],
        container!(
            "False",
            r#"["sleep", "100"]"#,
            r#"$RUNC run -d -b box $NAME </dev/null >log 2>&1
$RUNC exec $NAME id | grep uid=; echo 'uname -a; id' | $RUNC exec $NAME sh | grep Linux
{ echo id; echo exit; } >typed; script -qec "$RUNC exec -t $NAME sh" said <typed; grep uid= said
$RUNC delete -f $NAME"#
        ),
    ),
    (
        "container_with_a_terminal",
        &["runc", "busybox", "python3", "script"],
        &[],
        container!(
            "True",
            r#"["sh"]"#,
            r#"{ echo id; echo 'uname -a | cat'; echo exit; } >typed
script -qec "$RUNC run -b box $NAME" said <typed; grep uid= said; grep Linux said"#
        ),
    ),
    (
        "podman_exec",
        &["podman", "runc", "busybox", "tar", "script"],
        PODMAN,
        // Limits of its own, since not everybody may raise those that Podman gives by default.
        r#"mkdir -p tree/bin; cp "$(type -P busybox)" tree/bin
for applet in sh id uname cat sleep stty; do ln -s busybox tree/bin/$applet; done
tar -C tree -cf image.tar .; ./pod import image.tar localhost/box:1
trap './pod rm --force --time=0 box' EXIT
./pod run --detach --name box --pull=never --network=host --ipc=host --log-driver=none --ulimit=nofile=1024:1024 \
  --ulimit=nproc=16384:16384 localhost/box:1 sleep 100
./pod exec box id | grep uid=; echo 'uname -a; id' | ./pod exec -i box sh | grep Linux
{ echo id; echo 'uname -a | cat'; echo exit; } >typed
script -qec './pod exec -it box sh' said <typed; grep uid= said; grep Linux said"#,
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("session", SCRIPTS)
}
