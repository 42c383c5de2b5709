//! Debian's archive as this project sees it: a private configuration of apt with the releases that kernels are taken
//! from, so that the machine's own sources and lists stay as they are. Needs no root. The mirror is the one that the
//! machine itself installs from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::command;

/// Names a mirror where the machine's own sources have none: `http://HOST/debian`.
const MIRROR_VARIABLE: &str = "SENSOR_DEBIAN_MIRROR";

/// Releases with their kernels: 11 (5.10), 12 (6.1), 13 (6.12), and newer ones for 13.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];
/// Security fixes of a release that gets no others any more. They are in an archive of their own, beside the main one.
const SECURITY_SUITE: &str = "bullseye-security";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The archive, with its lists fetched.
pub(super) struct Apt {
    root: PathBuf,
}

impl Apt {
    /// Configures apt below `root` and fetches the lists of packages.
    ///
    /// # Errors
    /// No apt, no mirror, or the mirror can't be reached.
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb", "tar"] {
            if command::find(tool).is_none() {
                bail!(
                    "kernels are taken from Debian's archive, and `{tool}` is not here: run this on Debian or a descendant"
                );
            }
        }
        let mirror = mirror()?;
        eprintln!("fetching the lists of Debian's kernels from {mirror}");
        let apt = Self { root };
        apt.configure(&mirror)
            .with_context(|| format!("{} can't be written", apt.root.display()))?;
        command::quietly(apt.command("apt-get").args(["-qq", "update"])).map_err(|error| {
            // One is enough: each list of a mirror that is down has a line of its own.
            let whole = format!("{error:#}");
            anyhow!(
                "{mirror} does not give its lists of packages: {}",
                whole.split(" / ").next().unwrap_or_default()
            )
        })?;
        Ok(apt)
    }

    fn configure(&self, mirror: &str) -> Result<()> {
        for dir in [
            "etc/apt.conf.d",
            "etc/sources.list.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(self.root.join(dir))?;
        }
        let root = self.root.display();
        // How to reach mirrors (proxies) is the machine's and stays.
        let reach = command::quietly(Command::new("apt-config").args(["dump", "--format", "%F \"%v\";%n", "Acquire"]))?;
        let config = format!(
            "{reach}\
             Dir::Etc \"{root}/etc\";\n\
             Dir::Etc::Trusted \"/etc/apt/trusted.gpg\";\n\
             Dir::Etc::TrustedParts \"/etc/apt/trusted.gpg.d\";\n\
             Dir::State \"{root}/state\";\n\
             Dir::State::status \"{root}/state/status\";\n\
             Dir::Cache \"{root}/cache\";\n\
             APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"\";\n\
             APT::Update::Error-Mode \"any\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\"; // of old releases\n"
        );
        fs::write(self.config(), config)?;
        fs::write(self.root.join("state/status"), "")?;
        let key = if Path::new(KEYRING).is_file() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let mut sources = String::new();
        for suite in SUITES {
            sources += &format!("deb {key}{mirror} {suite} main\n");
        }
        sources += &format!("deb {key}{mirror}-security {SECURITY_SUITE} main\n");
        fs::write(self.root.join("etc/sources.list"), sources)?;
        Ok(())
    }

    /// Names of packages that begin with `prefix`.
    ///
    /// # Errors
    /// If the lists can't be read.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = command::quietly(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Fetches `package` and gives the content of the file in it whose path matches `pattern`.
    ///
    /// # Errors
    /// If the mirror does not give it, or it has no such file.
    pub(super) fn file(&self, package: &str, pattern: &str) -> Result<Vec<u8>> {
        eprintln!("fetching {package}");
        let dir = self.root.join("cache").join(package);
        // Left by a run that was interrupted.
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir)?;
        let content = fetch(self.command("apt-get"), &dir, package, pattern)?;
        fs::remove_dir_all(&dir)?;
        Ok(content)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.config()).env("LC_ALL", "C");
        command
    }

    fn config(&self) -> PathBuf {
        self.root.join("apt.conf")
    }
}

/// `apt-get` as the machine is configured.
pub(crate) fn command() -> Command {
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C");
    command
}

/// Has `apt_get` download `package` into the empty directory `dir`, and gives the content of the file in it whose path
/// matches `pattern`. Nothing is installed.
///
/// # Errors
/// If the mirror does not give it, or it has no such file.
pub(crate) fn fetch(mut apt_get: Command, dir: &Path, package: &str, pattern: &str) -> Result<Vec<u8>> {
    command::quietly(apt_get.args(["-q", "download", package]).current_dir(dir))
        .with_context(|| format!("{package} can't be downloaded"))?;
    let deb = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package behind"))?;
    unpack(&deb, pattern)
}

/// The content of the file in `deb` whose path matches `pattern`. Nothing else of it is unpacked.
fn unpack(deb: &Path, pattern: &str) -> Result<Vec<u8>> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("`dpkg-deb` can't be started")?;
    let archive = dpkg.stdout.take().context("dpkg-deb has no stdout")?;
    let output = Command::new("tar")
        .args(["--extract", "--to-stdout", "--wildcards", pattern])
        .stdin(archive)
        .stderr(Stdio::null())
        .output()
        .context("`tar` can't be started")?;
    dpkg.wait()?;
    if output.stdout.is_empty() {
        bail!("{} holds no {pattern}", deb.display());
    }
    Ok(output.stdout)
}

/// The mirror of Debian's main archive that the machine installs from.
pub(crate) fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR_VARIABLE) {
        return Ok(mirror.trim_end_matches('/').to_owned());
    }
    let format = "$(REPO_URI)|$(ORIGIN)";
    let sources =
        command::quietly(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let found = sources.lines().find_map(main_archive);
    found.with_context(|| {
        format!("none of this machine's sources of packages is a mirror of Debian: name one, {MIRROR_VARIABLE}=http://HOST/debian")
    })
}

/// Takes apart `URI|ORIGIN`. The origin is known only once the machine has fetched its lists.
fn main_archive(source: &str) -> Option<String> {
    let (uri, origin) = source.split_once('|')?;
    let uri = uri.trim_end_matches('/');
    let debian = origin == "Debian" || origin.starts_with('$') || origin.is_empty();
    (debian && uri.ends_with("/debian")).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::main_archive;

    #[test]
    fn the_main_archive_is_told_from_others() {
        let of = |source| main_archive(source);
        assert_eq!(
            of("http://mirror.example/debian/|Debian").as_deref(),
            Some("http://mirror.example/debian")
        );
        assert_eq!(
            of("http://mirror.example/debian/|$(ORIGIN)").as_deref(),
            Some("http://mirror.example/debian")
        );
        assert_eq!(of("http://mirror.example/debian-security/|Debian"), None);
        assert_eq!(of("https://packages.example/debian/|Somebody"), None);
        assert_eq!(of("nonsense"), None);
    }
}
