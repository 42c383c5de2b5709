//! Following a stream to a socket, row by row.

use super::{
    build::{Table, process, socket},
    wiring::{holders, stream},
};
use crate::detect::trace::{Toward, Traced, trace};

/// From this stream of process 200.
fn seek(from: &str, toward: Toward, spec: &str) -> Traced {
    let world = Table::default();
    let connection = socket(7);
    world.holders.replace(holders(spec, &connection));
    trace(process(200), &stream(from, &connection), toward, &world)
}

/// Each hop's process with its descriptors towards the shell and the socket; then the socket, and how many connections its
/// holder has.
fn found(traced: &Traced) -> String {
    let Some(route) = &traced.route else {
        return String::from("-");
    };
    assert!(route.hops.last().is_none_or(|hop| hop.onward.fd == route.fd));
    let hops = route
        .hops
        .iter()
        .map(|hop| format!("{}.{}>{} ", hop.process.pid, hop.fd, hop.onward.fd));
    format!(
        "{}={}/{}",
        hops.collect::<String>(),
        route.socket.inode,
        route.connections
    )
}

fn check(rows: &[(&str, Toward, &str, &str)]) {
    for (from, way, spec, expected) in rows {
        assert_eq!(found(&seek(from, *way, spec)), *expected, "{from} {way:?} {spec}");
    }
}

use Toward::{Peer as Out, Shell as In};

#[test]
fn every_kind_of_stream() {
    check(&[
        ("c7", In, "", "=7/1"),
        ("d7", In, "", "-"),
        ("x", In, "12 nc 1w=p6 3=c7", "-"),
        ("p6", In, "12 nc 1w=p6 3=c7", "12.1>3 =7/1"),
        ("p6", In, "12 nc 1w=p5 3=c7", "-"),
        ("f6", In, "12 nc 1w=f6 3=c7", "12.1>3 =7/1"),
        ("f6", In, "12 nc 1w=g6 3=c7", "-"),
        ("f6", In, "12 nc 1w=p6 3=c7", "-"),
        ("u5-6", In, "12 nc 4=u6-5 3=c7", "12.4>3 =7/1"),
        ("u5-6", Out, "12 nc 4=u6-5 3=c7", "12.4>3 =7/1"),
        ("u5-6", In, "12 nc 4=u8-9 3=c7", "-"),
        ("u5-", In, "12 nc 4=u0-5 3=c7", "-"),
        ("s3", In, "12 script 4=m3 3=c7", "12.4>3 =7/1"),
        ("s3", Out, "12 script 4=m3 3=c7", "12.4>3 =7/1"),
        ("s3", In, "12 script 4=n3 3=c7", "-"),
        ("s3", In, "12 script 4=m4 3=c7", "-"),
        // Another program on the same terminal.
        ("s3", In, "12 vi 4=s3 3=c7", "-"),
    ]);
}

#[test]
fn bytes_go_one_way_through_a_pipe() {
    check(&[
        ("p6", In, "12 nc 0r=p6 3=c7", "-"),
        ("p6", Out, "12 nc 0r=p6 3=c7", "12.0>3 =7/1"),
        ("p6", Out, "12 nc 1w=p6 3=c7", "-"),
        ("p6", In, "12 nc 1w=p6 3w=c7", "-"),
        ("p6", In, "12 nc 1w=p6 3r=c7", "12.1>3 =7/1"),
        ("p6", Out, "12 nc 0r=p6 3r=c7", "-"),
        // The one between writes to one pipe what it reads from the other.
        ("p6", In, "12 cat 1w=p6 0w=p5; 13 nc 1w=p5 3=c7", "-"),
        ("p6", Out, "12 cat 0r=p6 1r=p5; 13 nc 0r=p5 3=c7", "-"),
    ]);
}

#[test]
fn several_in_a_row() {
    let row = "12 a 1w=p6 0r=p5; 13 b 1w=p5 0r=f6; 14 c 1w=f6 0r=u5-6; 15 d 4=u6-5 0=s3";
    check(&[
        ("p6", In, "12 cat 1w=p6 0r=p5; 13 nc 1w=p5 3=c7", "12.1>0 13.1>3 =7/1"),
        ("p6", Out, "12 cat 0r=p6 1w=p5; 13 nc 0r=p5 3=c7", "12.0>1 13.0>3 =7/1"),
        (
            "p6",
            In,
            &format!("{row}; 16 e 4=m3 9=c7"),
            "12.1>0 13.1>0 14.1>0 15.4>0 16.4>9 =7/1",
        ),
        ("p6", In, &format!("{row}; 16 e 4=m3 0r=p4; 17 f 1w=p4 3=c7"), "-"),
        // The shortest way.
        (
            "p6",
            In,
            "12 a 1w=p6 0r=p5; 13 b 1w=p5 3=c7; 14 c 1w=p6 3=c8",
            "14.1>3 =8/1",
        ),
        // A terminal inside a terminal.
        ("s3", In, "12 script 4=m3 0=s9; 13 sshd 5=m9 3=c7", "12.4>0 13.5>3 =7/1"),
        (
            "s3",
            Out,
            "12 tmux 4=m3 5=u5-6; 13 tmux 3=u6-5 0=s9; 14 sshd 5=m9 3=c7",
            "12.4>5 13.3>0 14.5>3 =7/1",
        ),
        // Not its standard streams: it was handed down, and nobody reads it.
        ("s3", In, "12 agent 4=m3 7=s9; 13 sshd 5=m9 3=c7", "-"),
    ]);
}

#[test]
fn circles_end() {
    check(&[
        ("p6", In, "12 a 1w=p6 0r=p5; 13 b 1w=p5 0r=p6", "-"),
        ("p6", In, "12 a 1w=p6 0r=p6", "-"),
        // Its own other end, and its own connection.
        ("p6", In, "200 sh 0r=p6 1w=p6 5=c7", "-"),
        ("p6", In, "12 a 1w=p6 0r=p5; 200 sh 1w=p5 5=c7", "-"),
    ]);
}

#[test]
fn which_of_several_connections() {
    check(&[
        ("p6", In, "12 x 1w=p6 3=d7", "-"),
        ("p6", In, "12 x 1w=p6 3=d7 4=c8", "12.1>4 =8/1"),
        ("p6", In, "12 x 1w=p6 3=c7 4=c8", "12.1>3 =7/2"),
        ("p6", In, "12 x 1w=p6 3=c7 4=c7", "12.1>3 =7/1"),
        // Rather to another machine, rather a standard stream.
        ("p6", In, "12 x 1w=p6 3=l7 4=c8", "12.1>4 =8/2"),
        ("p6", In, "12 x 0=l7 1w=p6 4=c8", "12.1>0 =7/2"),
        ("p6", In, "12 x 0=c9 1w=p6 2=c8", "12.1>0 =9/2"),
    ]);
}

#[test]
fn who_serves_many_is_not_followed_through() {
    let ways = |count: u32| -> String {
        let pipes: Vec<String> = (0..count).map(|at| format!("{}={}", 30 + at, "p900")).collect();
        pipes.join(" ")
    };
    let through = |count| format!("12 bus 1w=p6 0r=p5 {}; 13 nc 1w=p5 3=c7", ways(count));
    check(&[
        ("p6", In, &through(22), "12.1>0 13.1>3 =7/1"),
        ("p6", In, &through(23), "-"),
        // Its own connection is another matter.
        ("p6", In, &format!("12 bus 1w=p6 3=c7 {}", ways(100)), "12.1>3 =7/1"),
    ]);
}

#[test]
fn who_was_met_is_told_where_no_way_is_found() {
    let met = |spec| -> Vec<u32> { seek("p6", In, spec).met.iter().map(|met| met.pid).collect() };
    assert_eq!(
        met("12 cat 1w=p6 0r=p5; 13 nc 1w=p5; 14 sh 0r=p6; 15 x 1w=p9"),
        [12, 13]
    );
    let crowd: Vec<String> = (0..200).map(|at| format!("{} x 1w=p6", 1000 + at)).collect();
    assert_eq!(met(&crowd.join(";")).len(), 64);
}
