//! The workspace as Cargo sees it, and the files in it.

use anyhow::Context as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories that hold nothing of ours to read.
const SKIPPED_DIRS: [&str; 3] = [".git", "target", "corpus"];

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its directory.
    pub(crate) root: PathBuf,
    /// Its packages by name.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its features.
    pub(crate) features: BTreeSet<String>,
}

/// A dependency of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// Name of the other package.
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<RawPackage>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    /// Asks Cargo about the workspace that this program belongs to.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .output()
            .context("cannot run `cargo metadata`")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "`cargo metadata` failed: {said}");
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` is not understood")?;
        let packages = metadata.packages.into_iter().map(Package::named).collect();
        Ok(Self { root: metadata.workspace_root, packages })
    }

    /// The normal dependencies of `package` that are packages of the workspace.
    pub(crate) fn arrows_from(&self, package: &Package) -> BTreeSet<String> {
        let normal = package.dependencies.iter().filter(|d| d.kind.is_none());
        normal.map(|d| d.name.clone()).filter(|name| self.packages.contains_key(name)).collect()
    }

    /// Every file below `dir` (relative to the root) whose name ends in `.extension`, in order.
    pub(crate) fn files(&self, dir: &str, extension: &str) -> anyhow::Result<Vec<SourceFile>> {
        let mut paths = Vec::new();
        collect(&self.root.join(dir), extension, &mut paths)?;
        paths.sort();
        paths.into_iter().map(|path| SourceFile::read(&self.root, &path)).collect()
    }
}

impl Package {
    fn named(raw: RawPackage) -> (String, Self) {
        let dir = raw.manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
        let features = raw.features.into_keys().collect();
        (raw.name, Self { dir, dependencies: raw.dependencies, features })
    }
}

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path from the root.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl SourceFile {
    /// Reads the file at `path`.
    pub(crate) fn read(root: &Path, path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
        Ok(Self { path, text })
    }

    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// A call of the Cargo that runs this program, from the root of the repository.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}

fn collect(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if !entry.file_type()?.is_dir() {
            if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        } else if !SKIPPED_DIRS.iter().any(|skipped| name == *skipped) {
            collect(&path, extension, found)?;
        }
    }
    Ok(())
}
