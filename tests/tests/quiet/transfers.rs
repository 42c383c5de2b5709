//! Data that goes through netcats, TLS clients and bash's own sockets: files, feeds, health checks.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const WEB: &[Program] = &[("web.py", include_str!("programs/web.py"))];
const COLLECT: &[Program] = &[("collect.py", include_str!("programs/collect.py"))];
const STATSD: &[Program] = &[("statsd.py", include_str!("programs/statsd.py"))];

const SCRIPTS: &[Script] = &[
    (
        "netcat_file_to_the_caller",
        &["nc.traditional", "nc.openbsd", "ncat", "busybox"],
        &[],
        r#"seq 20000 >original
for server in 'nc.traditional -q 0 -l -s $H -p 7000' 'nc.openbsd -N -l $H 7000' 'ncat -l $H 7000 --send-only' \
  'busybox nc -l -p 7000'; do
  eval "$server" <original >/dev/null & server=$!
  until nc.traditional $H 7000 </dev/null >copy 2>/dev/null && test -s copy; do sleep 0.02; done
  cmp original copy; wait $server
done"#,
    ),
    (
        "directory_to_the_listener",
        &["nc.traditional", "nc.openbsd", "tar", "gzip"],
        &[],
        r#"mkdir from to; id >from/id; seq 20000 >from/numbers
nc.openbsd -l $H 7000 | gzip -d | tar -x -C to & receiver=$!
tar -c from >archive; until gzip -c archive | nc.traditional -q 0 $H 7000 2>/dev/null; do sleep 0.02; done
wait $receiver; diff -r from to/from"#,
    ),
    (
        "encrypted_file",
        &["ncat", "socat", "openssl"],
        &[],
        r#"seq 20000 >original
certificate s
ncat --ssl --ssl-cert cert.pem --ssl-key key.pem -l $H 7000 --recv-only >copy & receiver=$!
until ncat --ssl --send-only $H 7000 <original 2>/dev/null; do sleep 0.02; done; wait $receiver; cmp original copy
socat -u OPENSSL-LISTEN:7001,bind=$H,cert=cert.pem,key=key.pem,verify=0 CREATE:other & receiver=$!
until socat -u FILE:original OPENSSL:$H:7001,cafile=cert.pem,commonname=s 2>/dev/null; do sleep 0.02; done
wait $receiver; cmp original other"#,
    ),
    (
        "feed",
        &["nc.traditional", "ncat"],
        &[],
        // What comes is data, though a shell reads it.
        r#"printf 'item-%s\n' 1 2 3 >items; (for round in 1 2; do nc.traditional -q 0 -l -s $H -p 7000 <items; done) &
until test -e item-3; do
  nc.traditional $H 7000 </dev/null 2>/dev/null | while read -r item; do touch $item; done || sleep 0.02
done
until ncat --recv-only $H 7000 2>/dev/null | xargs -r -n 1 stat -c %n >seen && test -s seen; do sleep 0.02; done
grep item-3 seen"#,
    ),
    (
        "report",
        &["nc.traditional", "ncat", "python3"],
        COLLECT,
        // What shells say, by a netcat, which is told nothing; they have their commands from files.
        r#"python3 collect.py $H 2003 & up 2003; printf '%s\n' id 'uname -a' 'sh -c "df / | tail -1"' >report
send() { nc.traditional -q 0 $H 2003 >/dev/null; }
sh report | send; until_said uid= collected; rm collected
sh <report | tee log | send; until_said uid= collected; rm collected
bash -c 'exec > >(exec ncat --send-only $H 2003); . ./report'; until_said Linux collected; rm collected
(date; bash report) 2>&1 | ncat --send-only $H 2003; until_said uid= collected; rm collected
touch grows; tail -f grows | nc.traditional $H 2003 >/dev/null & bash report >>grows; until_said Linux collected"#,
    ),
    (
        "health_checks",
        &["nc.traditional", "nc.openbsd", "ncat", "python3"],
        WEB,
        r#"python3 web.py $H 8080 2>log & up 8080
for round in 1 2 3; do
  nc.traditional -z $H 8080; nc.openbsd -z $H 8080; ncat -z $H 8080
  sh -c "nc.openbsd -z -w 5 $H 8080 && id" | grep uid=
  timeout 5 bash -c "</dev/tcp/$H/8080"; if timeout 5 bash -c "</dev/tcp/$H/8081" 2>/dev/null; then exit 1; fi
done
printf 'GET /status HTTP/1.0\r\n\r\n' | nc.traditional $H 8080 | grep well
printf 'GET /status HTTP/1.0\r\n\r\n' | nc.openbsd $H 8080 | tail -1 | python3 -m json.tool | grep well
test "$(printf 'GET /status HTTP/1.0\r\n\r\n' | ncat $H 8080 | sed -n 1p | cut -d' ' -f2)" = 200"#,
    ),
    (
        "certificate_check",
        &["openssl", "python3"],
        WEB,
        // Whether s_client is content depends on who closes first.
        r#"set +o pipefail
certificate checked
python3 web.py $H 8443 tls 2>log & up 8443
openssl s_client -connect $H:8443 </dev/null 2>/dev/null | openssl x509 -noout -subject -enddate | grep checked
echo | openssl s_client -connect $H:8443 -servername checked 2>&1 |
  sh -c 'openssl x509 -noout -checkend 3600 && id' | grep uid=
expires=$(openssl s_client -connect $H:8443 </dev/null 2>/dev/null | openssl x509 -noout -enddate)
test $(date -d "${expires#*=}" +%s) -gt $(date +%s)
printf 'GET /status HTTP/1.0\r\n\r\n' | openssl s_client -quiet -ign_eof -connect $H:8443 2>/dev/null | grep well"#,
    ),
    (
        "bash_web_client",
        &["python3"],
        WEB,
        r#"python3 web.py $H 8080 2>log & up 8080; seq 20000 >page
fetch() { exec 3<>/dev/tcp/$H/8080; printf 'GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n' $1 $H >&3; cat <&3; exec 3>&-; }
fetch page | sed '1,/^\r$/d' | cmp - page
fetch status | tail -1 | python3 -m json.tool | grep well
exec 3<>/dev/tcp/$H/8080; printf 'GET /page HTTP/1.0\r\n\r\n' >&3
while read -r line && test "$line" != $'\r'; do uname -s >/dev/null; done <&3
cat <&3 | cmp - page; test "$(cut -c1-3 page | head -1)" = 1"#,
    ),
    (
        "bash_mail_client",
        &["python3", "nc.traditional"],
        COLLECT,
        // It speaks in turn with the server; what it says of the machine it has learnt before.
        r#"python3 collect.py $H 2525 & up 2525
exec 3<>/dev/tcp/$H/2525
for line in HELO "FROM $(id -un)" "TO root" "$(id)" "$(uname -a)" QUIT; do
  printf '%s\r\n' "$line" >&3; read -r answer <&3; test "${answer%$'\r'}" = ok; /bin/echo "$answer" >>answers
done
grep uid= collected; grep Linux collected; rm collected
coproc nc.traditional $H 2525
for line in HELO "$(id)" QUIT; do
  echo "$line" >&${COPROC[1]}; read -r answer <&${COPROC[0]}; test $answer = ok; sh -c 'uname -s' >said
done
grep uid= collected"#,
    ),
    (
        "bash_datagrams",
        &["python3"],
        STATSD,
        r#"python3 statsd.py $H 8125 &
until grep -q uid= datagrams 2>/dev/null; do echo "owner:$(id)" >/dev/udp/$H/8125 2>/dev/null || true; done
exec 3>/dev/udp/$H/8125; for i in 1 2 3; do echo "load:$(cut -d' ' -f1 /proc/loadavg)|g" >&3; uname -s >&3; done
until_said load: datagrams; until_said Linux datagrams"#,
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("transfer", SCRIPTS)
}
