//! Modules of a kernel: those that are needed, and those that these need.
//!
//! Source: `modules.dep(5)`: a line for each module, with the modules that it needs after a colon.

use super::{KernelError, elf, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// What the kernel loads.
    pub object: Vec<u8>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.object.len())
    }
}

/// Where the modules of `release` lie below `root`, if they do.
pub(super) fn tree(root: &Path, release: &str) -> Option<PathBuf> {
    let places = ["lib/modules", "usr/lib/modules"].map(|place| root.join(place).join(release));
    places.into_iter().find(|place| place.join(INDEX).exists())
}

/// What needs what.
const INDEX: &str = "modules.dep";
/// What is part of the kernel.
const BUILT_IN: &str = "modules.builtin";

/// The modules `names`, and those that they need, each after those that it needs itself.
///
/// # Errors
/// [`KernelError::Lacks`] for one that is neither there nor built in.
pub(super) fn needed(
    tree: &Path,
    release: &str,
    names: &[&str],
) -> Result<Vec<Module>, KernelError> {
    let index = Index::read(tree)?;
    let mut paths = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        if index.built_in.contains(*name) {
            continue;
        }
        let path = index.paths.get(*name).ok_or_else(|| KernelError::Lacks {
            release: release.to_owned(),
            module: (*name).to_owned(),
        })?;
        index.visit(path, &mut seen, &mut paths);
    }
    paths.into_iter().map(|path| load(&tree.join(path))).collect()
}

fn load(path: &Path) -> Result<Module, KernelError> {
    let unusable = |why| KernelError::Unusable { path: path.to_owned(), why };
    let object = elf::module(read(path)?).map_err(unusable)?;
    Ok(Module { name: name_of(&path.to_string_lossy()), object })
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` is `virtio_rng`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

struct Index {
    /// Path of each module by its name.
    paths: BTreeMap<String, String>,
    /// What each path needs.
    needs: BTreeMap<String, Vec<String>>,
    built_in: BTreeSet<String>,
}

impl Index {
    fn read(tree: &Path) -> Result<Self, KernelError> {
        let text = |name: &str| {
            read(&tree.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut paths = BTreeMap::new();
        let mut needs = BTreeMap::new();
        for line in text(INDEX)?.lines() {
            let Some((path, needed)) = line.split_once(':') else { continue };
            paths.insert(name_of(path), path.to_owned());
            needs.insert(path.to_owned(), needed.split_whitespace().map(str::to_owned).collect());
        }
        let built_in = text(BUILT_IN)?.lines().map(name_of).collect();
        Ok(Self { paths, needs, built_in })
    }

    /// Puts what `path` needs into `order`, then `path`.
    fn visit(&self, path: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        if !seen.insert(path.to_owned()) {
            return;
        }
        for needed in self.needs.get(path).into_iter().flatten() {
            self.visit(needed, seen, order);
        }
        order.push(path.to_owned());
    }
}
