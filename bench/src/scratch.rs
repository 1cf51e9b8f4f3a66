//! A directory for everything of a run, removed at its end.

use crate::cleanup::{self, Guard};
use crate::words;
use anyhow::Context as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _guard: Guard,
}

impl Scratch {
    /// Makes a directory below `parent`.
    pub(crate) fn new(parent: &Path) -> anyhow::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("dormouse-bench-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a directory in {}", parent.display()))?
            .keep();
        let own = path.clone();
        Ok(Self { path, _guard: cleanup::at_end(move || remove_tree(&own)) })
    }

    /// A new directory inside.
    pub(crate) fn dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A name that no other run on this host uses at the same time.
    pub(crate) fn tag(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        words::tell(&format!("warning: {} is left behind: {error}", path.display()));
    }
}

/// Remembers which of `paths` do not exist yet and removes exactly those at the end, in order: files
/// and empty directories. What was there before, or is in use by then, is never touched.
pub(crate) fn remove_what_appears(paths: &[&str]) -> Guard {
    let absent: Vec<PathBuf> = paths
        .iter()
        .map(PathBuf::from)
        .filter(|path| fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound))
        .collect();
    cleanup::at_end(move || {
        for path in absent {
            let removed = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(meta) if meta.is_dir() => fs::remove_dir(&path),
                Ok(_) => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                words::tell(&format!("warning: {} is left behind: {error}", path.display()));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Scratch, remove_what_appears};
    use std::fs;

    #[test]
    fn only_what_was_absent_is_removed() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let paths = ["old", "new", "used"].map(|name| scratch.path(name));
        let [old, new, used] = &paths;
        fs::write(old, "").unwrap();
        let guard = remove_what_appears(&paths.each_ref().map(|path| path.to_str().unwrap()));
        fs::create_dir(new).unwrap();
        fs::create_dir_all(used.join("by somebody")).unwrap();
        drop(guard);
        assert!(old.exists() && !new.exists() && used.join("by somebody").exists());
        let path = scratch.path("");
        drop(scratch);
        assert!(!path.exists());
    }
}
