//! A tree as text, for comparing.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Everything below (and with) `root` by its name.
pub(super) fn tree_of(root: &Path) -> BTreeMap<String, String> {
    let mut tree = BTreeMap::new();
    let mut first_names = HashMap::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.symlink_metadata().unwrap().is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            let mut inner: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            // The last is visited first: the lowest name is the one that others link to.
            inner.sort_by(|a, b| b.cmp(a));
            paths.extend(inner);
        }
        let shown = shown(&path, &name, &mut first_names);
        tree.insert(name, shown);
    }
    tree
}

fn shown(path: &Path, name: &str, first_names: &mut HashMap<u64, String>) -> String {
    let stat = path.symlink_metadata().unwrap();
    let kind = stat.file_type();
    let content = if kind.is_symlink() {
        format!("-> {}", std::fs::read_link(path).unwrap().display())
    } else if kind.is_file() {
        let first = first_names.entry(stat.ino()).or_insert_with(|| name.to_owned()).clone();
        let bytes = std::fs::read(path).unwrap();
        format!("{} at {} as {first}", crate::archive::hex_digest(&bytes), stat.mtime())
    } else {
        "directory".to_owned()
    };
    let (uid, gid, attributes) = (stat.uid(), stat.gid(), attributes(path));
    // Permissions of links are no one's.
    let mode = if kind.is_symlink() { 0 } else { stat.mode() & 0o7777 };
    format!("{mode:o} {uid}:{gid} {content} {attributes:?}")
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let n = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..n].split(|b| *b == 0).filter(|name| !name.is_empty());
    let with_value = |name: &[u8]| {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = vec![0; 4096];
        let n = rustix::fs::lgetxattr(path, &name, value.as_mut_slice()).unwrap();
        value.truncate(n);
        (name, value)
    };
    names.map(with_value).collect()
}
