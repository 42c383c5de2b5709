//! The mount points of a process: whether its root can be written to, and which file systems somebody serves.

use super::text::text;

/// What `/proc/PID/mountinfo` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Its root file system can be written to, as far as it was found.
    pub writable_root: Option<bool>,
    /// Devices of file systems that a program or another machine serves, so that reading may wait for ever.
    served: Vec<(u32, u32)>,
}

impl Mounts {
    /// Reads it (proc(5): id, parent, major:minor, root, mount point, options, …, a hyphen, type, source, super options).
    fn parse(text: &str) -> Self {
        let mut mounts = Self::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let fields: Vec<&str> = before.split(' ').collect();
            let behind: Vec<&str> = after.split(' ').collect();
            let (Some(device), Some(point), Some(options)) = (fields.get(2), fields.get(4), fields.get(5)) else {
                continue;
            };
            let (Some(kind), Some(super_options)) = (behind.first(), behind.get(2)) else {
                continue;
            };
            if *point == "/" {
                let read_only = |options: &str| options.split(',').any(|option| option == "ro");
                // The last one mounted there covers the others.
                mounts.writable_root = Some(!read_only(options) && !read_only(super_options));
            }
            let served = kind.starts_with("fuse") && *kind != "fusectl"
                || kind.starts_with("nfs")
                || matches!(*kind, "9p" | "afs" | "autofs" | "ceph" | "cifs" | "smb3" | "virtiofs");
            let number = device
                .split_once(':')
                .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            if let (true, Some(number)) = (served, number) {
                mounts.served.push(number);
            }
        }
        mounts
    }

    /// Whether a program or another machine serves the file system of this device.
    pub fn is_served(&self, major: u32, minor: u32) -> bool {
        self.served.contains(&(major, minor))
    }

    /// Of a live process. `None` if that can't be read, or is more than is read.
    pub fn of(pid: u32) -> Option<Self> {
        text(&format!("/proc/{pid}/mountinfo")).map(|text| Self::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_tell_whether_the_root_can_be_written_and_what_is_served() {
        for (text, writable_root, served) in [
            (
                "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
                Some(true),
                false,
            ),
            ("21 1 8:1 / / ro,relatime - ext4 /dev/sda1 rw\n", Some(false), false),
            (
                "21 1 0:44 / / rw - overlay overlay ro,lowerdir=/a\n",
                Some(false),
                false,
            ),
            ("21 1 0:50 / / rw - fuse.fuse-overlayfs x rw\n", Some(true), true),
            (
                "21 1 8:1 / / rw - ext4 a rw\n22 21 0:50 / /home rw - nfs4 s:/x rw\n",
                Some(true),
                true,
            ),
            ("22 21 0:50 / /ro rw - tmpfs tmpfs rw\n", None, false),
            ("rubbish\n1 2 3\n - \n - a b\n", None, false),
            ("", None, false),
        ] {
            let mounts = Mounts::parse(text);
            assert_eq!(
                (mounts.writable_root, mounts.is_served(0, 50)),
                (writable_root, served),
                "{text}"
            );
            for part in (0..=text.len()).filter_map(|end| text.get(..end)) {
                Mounts::parse(part);
            }
        }
    }
}
