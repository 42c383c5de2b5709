//! What people and programs do over ssh: logins, copies, tunnels, git.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const SSHD: &[Program] = &[("sshd.sh", include_str!("programs/sshd.sh"))];
const SSHD_AND_WEB: &[Program] = &[
    ("sshd.sh", include_str!("programs/sshd.sh")),
    ("web.py", include_str!("programs/web.py")),
];
const TOOLS: &[&str] = &["sshd", "ssh", "ssh-keygen"];
const WEB_TOOLS: &[&str] = &["sshd", "ssh", "ssh-keygen", "python3", "curl"];

const SCRIPTS: &[Script] = &[
    (
        "interactive",
        &["sshd", "ssh", "ssh-keygen", "expect"],
        &[
            ("sshd.sh", include_str!("programs/sshd.sh")),
            ("login.exp", include_str!("programs/login.exp")),
        ],
        ". ./sshd.sh; expect login.exp",
    ),
    (
        "script_to_sh",
        TOOLS,
        SSHD,
        r#". ./sshd.sh; printf '%s\n' 'id >&2' 'for i in 1 2 3; do /bin/echo "$1-$i"; done' >script
ssh -F client host sh -s an-argument <script | grep an-argument-3
{ echo 'cd /; ls | head -1'; echo 'exec bash'; echo 'id'; } | ssh -F client host bash | grep uid=
# The other way round: what runs here comes from there.
ssh -F client host cat $PWD/script | sh -s an-argument | grep an-argument-3
ssh -F client host 'ls /' | while read -r name; do test -e "/$name" && uname -s >ran; done; grep Linux ran"#,
    ),
    (
        "copies",
        &["sshd", "ssh", "ssh-keygen", "scp", "sftp", "rsync", "tar"],
        SSHD,
        r#". ./sshd.sh; mkdir from to sftp; seq 20000 >from/numbers; id >from/id
scp -q -F client -r from host:$PWD/scp; diff -r from scp
scp -q -O -F client host:$PWD/from/id to/old-protocol; cmp from/id to/old-protocol
printf '%s\n' "cd $PWD" "put from/* sftp" "get from/id to/sftp" "!id" | sftp -q -F client -b - host; diff -r from sftp
rsync -a -e 'ssh -F client' from/ host:$PWD/rsync; diff -r from rsync
rsync -a -e 'ssh -F client' host:$PWD/from/ back; diff -r from back
tar -c from | ssh -F client host "cd $PWD/to && tar -x"; diff -r from to/from"#,
    ),
    (
        "local_tunnel",
        WEB_TOOLS,
        SSHD_AND_WEB,
        r#". ./sshd.sh; python3 web.py 127.0.0.1 8080 2>log & seq 20000 >page
ssh -F client -N -L $H:9000:127.0.0.1:8080 host & up 9000
curl -sf --retry 9 --retry-all-errors http://$H:9000/page | cmp - page
ssh -F client -L 9001:127.0.0.1:8080 host 'curl -sf http://127.0.0.1:8080/page | tail -1; id' | grep uid="#,
    ),
    (
        "remote_tunnel",
        WEB_TOOLS,
        SSHD_AND_WEB,
        r#". ./sshd.sh; python3 web.py $H 8080 2>log & up 8080; seq 20000 >page
ssh -F client -R 9000:$H:8080 host 'curl -sf http://127.0.0.1:9000/page | tail -1; id' >said
grep 20000 said; grep uid= said"#,
    ),
    (
        "socks_tunnel",
        WEB_TOOLS,
        SSHD_AND_WEB,
        r#". ./sshd.sh; python3 web.py $H 8080 2>log & up 8080; seq 20000 >page
ssh -F client -N -D $H:1080 host & up 1080
curl -sf --socks5-hostname $H:1080 http://$H:8080/page | cmp - page"#,
    ),
    (
        "jump",
        TOOLS,
        SSHD,
        r#". ./sshd.sh; ssh -F client -J hop host id | grep uid=
ssh -F client -o 'ProxyCommand ssh -F client -W %h:%p hop' host 'uname -a; id' | grep uid="#,
    ),
    (
        "proxy_through_netcat",
        &["sshd", "ssh", "ssh-keygen", "nc.traditional", "ncat", "socat"],
        SSHD,
        r#". ./sshd.sh
for proxy in 'nc.traditional %h %p' 'ncat %h %p' 'socat - TCP:%h:%p' 'ssh -F client hop nc.traditional %h %p'; do
  ssh -F client -o "ProxyCommand $proxy" host 'id; sh -c "uname -a"' | grep uid=
done"#,
    ),
    (
        "shared_connection",
        TOOLS,
        SSHD,
        r#". ./sshd.sh; ssh -F client -o ControlMaster=yes -o ControlPath=$PWD/control -fN host
for round in 1 2 3; do ssh -F client -S $PWD/control host 'id; date' | grep uid=; done
printf 'id\nexit\n' | ssh -F client -S $PWD/control -tt host | grep uid=
ssh -F client -S $PWD/control -O exit host"#,
    ),
    (
        "git_push",
        &["sshd", "ssh", "ssh-keygen", "git"],
        SSHD,
        r#". ./sshd.sh; export GIT_SSH_COMMAND="ssh -F $PWD/client"
git config --global user.name n; git config --global user.email e
git init -q --bare origin; printf '#!/bin/sh\nread -r old new name; id >hooked\n' >origin/hooks/post-receive
chmod +x origin/hooks/post-receive
git clone -q ssh://host$PWD/origin one; cd one; seq 20000 >file; git add file; git commit -qm first; git push -q; cd ..
git clone -q ssh://host$PWD/origin two; cmp one/file two/file; grep uid= origin/hooked"#,
    ),
    (
        "terminal_multiplexer",
        &["sshd", "ssh", "ssh-keygen", "tmux"],
        SSHD,
        r#". ./sshd.sh; export TERM=xterm
ssh -F client -tt host "cd $PWD && tmux -S socket -f /dev/null new-session 'id >proof'" </dev/null
grep uid= proof"#,
    ),
    (
        "for_each_connection",
        &["sshd", "ssh", "ssh-keygen", "tcpserver", "socat"],
        SSHD,
        r#". ./sshd.sh; sshd=$(command -v sshd)
tcpserver -q $H 2022 "$sshd" -i -f sshd_config & up 2022
socat TCP-LISTEN:2023,bind=$H,reuseaddr,fork EXEC:"$sshd -i -f $PWD/sshd_config" & up 2023
for port in 2022 2023; do
  ssh -F client -p $port host 'id; uname -a | cat' | grep uid=
  printf 'id\nexit\n' | ssh -F client -p $port -tt host | grep uid=
done"#,
    ),
    (
        "dropbear",
        &["dropbear", "dropbearkey", "ssh", "ssh-keygen", "unshare"],
        SSHD,
        // It lets in whom a file in root's home names: a home that only it sees.
        r#". ./sshd.sh; dropbearkey -t ed25519 -f dropbear-host >/dev/null 2>&1
mkdir -m 700 -p home/.ssh; cp user.pub home/.ssh/authorized_keys
unshare --mount sh -c 'mount --bind home /root && exec dropbear -F -E -s -r dropbear-host -P none -p $H:2222' 2>log &
up 2222
ssh -F client -p 2222 host 'id; uname -a | cat' | grep uid=
{ echo id; echo 'sh -c "uname -a"'; } | ssh -F client -p 2222 host sh | grep Linux
printf 'id\nbash\nid\nexit\nexit\n' | ssh -F client -p 2222 -tt host | grep uid="#,
    ),
    (
        "tunnel_in_a_terminal",
        &["sshd", "ssh", "ssh-keygen", "expect"],
        &[
            ("sshd.sh", include_str!("programs/sshd.sh")),
            ("terminal.exp", include_str!("programs/terminal.exp")),
        ],
        // Its streams are the terminal's, as those of the shells that are started beside it.
        ". ./sshd.sh; expect terminal.exp 'ssh -F client -N -L 7000:127.0.0.1:22 host &' '/dev/tcp/127.0.0.1/7000'",
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("login", SCRIPTS)
}
