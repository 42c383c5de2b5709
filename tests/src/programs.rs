//! Attackers that no distribution ships, compiled from `programs/`.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::tools;

const SOURCES: [(&str, &str); 8] = [
    ("connect.c", include_str!("../programs/connect.c")),
    ("memfd.c", include_str!("../programs/memfd.c")),
    ("deleted.c", include_str!("../programs/deleted.c")),
    ("uring.c", include_str!("../programs/uring.c")),
    ("storm.c", include_str!("../programs/storm.c")),
    ("terminal.c", include_str!("../programs/terminal.c")),
    ("redirect.c", include_str!("../programs/redirect.c")),
    ("connect.go", include_str!("../programs/connect.go")),
];

/// Compiles each program once.
pub struct Programs {
    dir: TempDir,
    built: Mutex<HashMap<String, PathBuf>>,
}

impl Programs {
    /// Nothing compiled yet.
    ///
    /// # Errors
    /// If there is no room for temporary files.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sensor-programs.").tempdir()?;
        // A set-uid program has to be within reach of another user.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            dir,
            built: Mutex::default(),
        })
    }

    /// The C program of source `source`, compiled with `flags`.
    ///
    /// # Errors
    /// If it can't be compiled.
    pub fn c(&self, source: &str, flags: &[&str]) -> Result<PathBuf> {
        self.build(source, flags, |source, program| {
            let mut gcc = Command::new(tools::find("gcc")?);
            gcc.args(["-O1", "-Wall", "-Werror", "-o"])
                .arg(program)
                .arg(source)
                .args(flags);
            Ok(gcc)
        })
    }

    /// The Go program of source `source`.
    ///
    /// # Errors
    /// If it can't be compiled.
    pub fn go(&self, source: &str) -> Result<PathBuf> {
        self.build(source, &[], |source, program| {
            let mut go = Command::new(tools::find("go")?);
            go.env("GO111MODULE", "off")
                .env("GOPROXY", "off")
                .arg("build")
                .arg("-o")
                .arg(program)
                .arg(source);
            Ok(go)
        })
    }

    fn build(
        &self,
        source: &str,
        flags: &[&str],
        compiler: impl FnOnce(&Path, &Path) -> Result<Command>,
    ) -> Result<PathBuf> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{source}{}", flags.concat());
        if let Some(program) = built.get(&key) {
            return Ok(program.clone());
        }
        let text = SOURCES
            .iter()
            .find(|(name, _)| *name == source)
            .context("no such source")?
            .1;
        let source = self.dir.path().join(source);
        fs::write(&source, text)?;
        let program = self.dir.path().join(key.replace('.', "-"));
        let output = compiler(&source, &program)?.output()?;
        ensure!(
            output.status.success(),
            "{}: {}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        built.insert(key, program.clone());
        Ok(program)
    }
}
