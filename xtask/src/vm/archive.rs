//! Writes initial RAM file systems: `newc` cpio archives, as Documentation/driver-api/early-userspace/buffer-format.rst of
//! the kernel has them. Uncompressed: there is no medium to save, and emulated machines unpack slowly.

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that is being written. Everything in it belongs to root.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A directory. It has to come before what is in it.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A program.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o755, (0, 0), content);
    }

    /// A character device. Needs no privilege: it is a line of text here.
    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The whole of it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let name_size = path.len() as u32 + 1;
        // inode, mode, uid, gid, links, time, size, device, device number, size of the name, checksum (unused)
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            content.len() as u32,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.device("dev/console", 5, 1);
        archive.program("init", b"12345");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes.clone()).unwrap();

        let directory = "070701".to_owned() + "00000001" + "000041ED" + &"0".repeat(16) + "00000002" + &"0".repeat(8);
        assert!(text.starts_with(&directory), "{text}");
        // 110 bytes of header, `dev` and its NUL, aligned.
        assert_eq!(bytes.get(110..116), Some(b"dev\0\0\0".as_slice()));
        assert!(text.contains("00000005" /* major */), "{text}");
        assert!(text.contains("init\0\0" /* 110 + 5 is 115, aligned 116 */), "{text}");
        assert!(text.contains("12345\0\0\x00070701"), "{text}");
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"), "{text}");
        assert_eq!(bytes.len() % 4, 0);
    }
}
