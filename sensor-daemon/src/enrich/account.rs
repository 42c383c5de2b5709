//! Who a process runs for: names by the user database of its own file system, who logged in, session, terminal.

use std::path::Path;

use sensor_common::device;

use crate::{
    model::Account,
    procfs::{Root, UidMap, text},
};

/// Largest user database of a container that is read.
const PASSWD_MAX: u64 = 1 << 20;
/// Most characters of a name that a container gives to a user.
const NAME_MAX: usize = 64;
/// What `loginuid` and `sessionid` hold if nobody logged in.
const UNSET: u32 = u32::MAX;

/// Where the names of users come from.
pub(super) enum Names<'a> {
    /// This host (`/etc/passwd`, and whatever `nsswitch.conf` adds).
    Host,
    /// A container: the file in its root directory, and its numbering.
    Container { root: &'a Root, map: Option<UidMap> },
    /// Nobody knows.
    Unknown,
}

impl Names<'_> {
    fn of(&self, uid: u32) -> Option<String> {
        match self {
            Self::Host => host_name(uid),
            Self::Container { root, map } => {
                let inside = map.as_ref().map_or(Some(uid), |map| map.inside(uid))?;
                let passwd = root.read(Path::new("/etc/passwd"), PASSWD_MAX).ok()?;
                name_in(&passwd, inside)
            }
            Self::Unknown => None,
        }
    }
}

/// The account of a process with this real user id; of `pid`, if it lives. `None` if nothing is known.
pub(super) fn of(uid: u32, pid: Option<u32>, names: &Names<'_>) -> Option<Account> {
    let number = |name: &str| {
        let number = text(&format!("/proc/{}/{name}", pid?))?.trim().parse().ok()?;
        (number != UNSET).then_some(number)
    };
    let login_uid = number("loginuid");
    let account = Account {
        name: names.of(uid),
        login_uid,
        // Whoever logged in did so on the host.
        login_name: login_uid.and_then(host_name),
        session: number("sessionid"),
        tty: pid
            .and_then(|pid| text(&format!("/proc/{pid}/stat")))
            .and_then(|text| terminal(&text)),
    };
    (account != Account::default()).then_some(account)
}

fn host_name(uid: u32) -> Option<String> {
    Some(uzers::get_user_by_uid(uid)?.name().to_string_lossy().into_owned())
}

/// The name of a user in the text of a passwd(5) file.
fn name_in(passwd: &[u8], uid: u32) -> Option<String> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let number: u32 = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
        // There is a home directory, or the file was cut here.
        fields.nth(1)?;
        let name: String = String::from_utf8_lossy(name)
            .chars()
            .filter(|c| !c.is_control())
            .take(NAME_MAX)
            .collect();
        (number == uid && !name.is_empty()).then_some(name)
    })
}

/// The controlling terminal by the text of `/proc/PID/stat`, whose seventh field is its device number (proc(5)).
fn terminal(stat: &str) -> Option<String> {
    // The name is between parentheses and may hold any.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').take(6).collect();
    // The last one might be cut.
    if fields.len() < 6 {
        return None;
    }
    let device: i32 = fields[4].parse().ok()?;
    let device = device.cast_unsigned();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    if let Some(index) = device::pseudo_terminal_index(device::number(major, minor)) {
        return Some(format!("pts/{index}"));
    }
    match major {
        0 => None,
        4 if minor < 64 => Some(format!("tty{minor}")),
        4 => Some(format!("ttyS{}", minor - 64)),
        5 if minor == 1 => Some("console".into()),
        _ => Some(format!("{major}:{minor}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_file_tells_names_whatever_else_is_in_it() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n#comment\n\nwww:x:33:33::/var/www:/bin/false\nbad:x:no:1::/:/\n\
            evil\x1b[2J:x:66:66::/:/\n:x:67:67::/:/\n\xff\xfe:x:68:68::/:/\nlast:x:1000:1000::/home/last:/bin/sh";
        for (uid, name) in [
            (0, Some("root")),
            (33, Some("www")),
            (66, Some("evil[2J")),
            (67, None),
            (68, Some("\u{fffd}\u{fffd}")),
            (1000, Some("last")),
            (4, None),
        ] {
            assert_eq!(name_in(passwd, uid).as_deref(), name, "{uid}");
            for end in 0..passwd.len() {
                let found = name_in(&passwd[..end], uid);
                assert!(found.is_none() || found.as_deref() == name, "{uid} cut at {end}");
            }
        }
    }

    #[test]
    fn stat_tells_the_terminal() {
        let stat = |device: i64| format!("42 (a) b) S 1 42 42 {device} 42 4194560 0 0");
        for (device, name) in [
            (0, None),
            (34816, Some("pts/0")),
            (34816 + 3, Some("pts/3")),
            (137 << 8 | 1, Some("pts/257")),
            (1025, Some("tty1")),
            (1088, Some("ttyS0")),
            (1281, Some("console")),
            (204 << 8 | 64, Some("204:64")),
            (9_999_999_999, None),
        ] {
            let stat = stat(device);
            assert_eq!(terminal(&stat).as_deref(), name, "{stat}");
            for end in 0..stat.len() {
                let found = terminal(&stat[..end]);
                assert!(found.is_none() || found.as_deref() == name, "{stat} cut at {end}");
            }
        }
    }

    #[test]
    fn this_process_has_an_account() {
        let uid = rustix::process::getuid().as_raw();
        let expected = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
        let account = of(uid, Some(std::process::id()), &Names::Host).unwrap_or_default();
        assert_eq!(account.name, expected);
    }
}
