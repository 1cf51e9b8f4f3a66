//! Drawing stacks that every tool understands in one way.
//!
//! What is drawn are numbers; a small model of the tree so far turns them into entries that make
//! sense: parents exist, hard links have targets, whiteouts have something to hide that their own
//! layer did not bring. What does not make sense is in the table of hostile images.

use crate::archive::Archive;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tar::EntryType;

/// Most layers of a stack, and entries of a layer.
const LAYERS_MAX: usize = 5;
const ENTRIES_MAX: usize = 14;

/// Names within a directory: few, so that layers meet.
const NAMES: [&str; 6] = ["a", "b", "c", "dir", "é", "x y"];

/// Targets of symbolic links; nothing is reached through them here.
const TARGETS: [&str; 5] = ["a", "../b", "/dir/c", "/nowhere", "../../../../etc/passwd"];

const MODES: [u32; 8] = [0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777, 0o000, 0o777];

const OWNERS: [u64; 5] = [0, 1, 1000, 65_534, 65_535];

/// `cap_net_raw+ep` as a file carries it. Source: `struct vfs_cap_data`, revision 2.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Numbers that stand for one entry.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    what: u8,
    place: u8,
    name: u8,
    mode: u8,
    owner: u8,
    attribute: u8,
    content: u16,
}

/// Numbers that stand for a stack.
#[derive(Clone, Debug)]
pub(super) struct Stack(Vec<Vec<Draw>>);

/// Random stacks.
pub(super) fn stacks() -> impl Strategy<Value = Stack> {
    let draw = any::<(u8, u8, u8, u8, u8, u8, u16)>();
    let draw = draw.prop_map(|(what, place, name, mode, owner, attribute, content)| Draw {
        what,
        place,
        name,
        mode,
        owner,
        attribute,
        content,
    });
    let layer = proptest::collection::vec(draw, 1..=ENTRIES_MAX);
    proptest::collection::vec(layer, 1..=LAYERS_MAX).prop_map(Stack)
}

impl Stack {
    /// The layers as archives, lowest first.
    pub(super) fn layers(&self) -> Vec<Vec<u8>> {
        self.built().into_iter().map(|(archive, _)| archive).collect()
    }

    /// The entries of all layers, for a person.
    pub(super) fn described(&self) -> String {
        let built = self.built().into_iter().enumerate();
        let lines = built.flat_map(|(idx, (_, told))| {
            told.into_iter().map(move |line| format!("layer {idx}: {line}\n"))
        });
        lines.collect()
    }

    fn built(&self) -> Vec<(Vec<u8>, Vec<String>)> {
        let mut tree = BTreeMap::from([(String::new(), What::Dir)]);
        let built = self.0.iter().map(|draws| {
            let mut layer = Layer::new(&mut tree);
            draws.iter().for_each(|draw| layer.add(draw));
            (layer.archive.finish(), layer.told)
        });
        built.collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Dir,
    File,
    Link,
}

/// A layer being built on what is there.
struct Layer<'a> {
    tree: &'a mut BTreeMap<String, What>,
    archive: Archive,
    /// Names that this layer brought, or below which it did.
    brought: BTreeSet<String>,
    told: Vec<String>,
}

impl<'a> Layer<'a> {
    fn new(tree: &'a mut BTreeMap<String, What>) -> Self {
        Self { tree, archive: Archive::new(), brought: BTreeSet::new(), told: Vec::new() }
    }

    fn add(&mut self, draw: &Draw) {
        let dirs = self.named(What::Dir);
        let dir = dirs[usize::from(draw.place) % dirs.len()].clone();
        let name = NAMES[usize::from(draw.name) % NAMES.len()];
        let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
        match draw.what % 12 {
            0..=3 => self.put(draw, &path, What::File),
            4..=6 => self.put(draw, &path, What::Dir),
            7 => self.put(draw, &path, What::Link),
            8 => self.hard_link(draw, &path),
            9 | 10 => self.whiteout(draw),
            _ => self.opaque(&dir),
        }
    }

    fn named(&self, what: What) -> Vec<String> {
        let named = self.tree.iter().filter(|(_, is)| **is == what);
        named.map(|(name, _)| name.clone()).collect()
    }

    fn put(&mut self, draw: &Draw, path: &str, what: What) {
        let existing = self.tree.get(path).copied();
        // What this layer brought is not replaced by something of another kind: tools differ there.
        if existing.is_some_and(|is| is != what) && self.has_brought(path) {
            return;
        }
        if existing.is_some_and(|is| is != what || what != What::Dir) {
            self.forget(path);
        }
        self.tree.insert(path.to_owned(), what);
        self.bring(path);
        let mode = MODES[usize::from(draw.mode) % MODES.len()];
        let owner = |n: u8| OWNERS[usize::from(n) % OWNERS.len()];
        let (uid, gid) = (owner(draw.owner), owner(draw.owner / 8));
        let attributes = attributes(draw, what);
        let content = draw.content.to_le_bytes().repeat(usize::from(draw.content % 700));
        let target = TARGETS[usize::from(draw.content) % TARGETS.len()];
        let (kind, target, content) = match what {
            What::File => (EntryType::Regular, "", content.as_slice()),
            What::Dir => (EntryType::Directory, "", &[][..]),
            What::Link => (EntryType::Symlink, target, &[][..]),
        };
        let mut archive = std::mem::take(&mut self.archive);
        if !attributes.is_empty() {
            let records: Vec<_> = attributes.iter().map(|(n, v)| (*n, v.as_slice())).collect();
            archive = archive.pax(&records);
        }
        let mtime = 1_000_000_000 + u64::from(draw.content);
        self.archive = archive.entry(kind, path, target, content, |header| {
            header.set_mode(mode);
            header.set_uid(uid);
            header.set_gid(gid);
            header.set_mtime(mtime);
        });
        let n_bytes = content.len();
        let names: Vec<_> = attributes.iter().map(|(name, _)| *name).collect();
        self.told.push(format!(
            "{what:?} `{path}` mode {mode:o} owner {uid}:{gid} {n_bytes} bytes, target `{target}`, \
             attributes {names:?}"
        ));
    }

    fn hard_link(&mut self, draw: &Draw, path: &str) {
        let files = self.named(What::File);
        let target = files.get(usize::from(draw.content) % files.len().max(1));
        let (Some(target), false) = (target.cloned(), self.tree.contains_key(path)) else { return };
        self.tree.insert(path.to_owned(), What::File);
        self.bring(path);
        self.archive = std::mem::take(&mut self.archive).hard_link(path, &target);
        self.told.push(format!("hard link `{path}` to `{target}`"));
    }

    fn whiteout(&mut self, draw: &Draw) {
        let is_below = |path: &&String| !path.is_empty() && !self.has_brought(path);
        let below: Vec<_> = self.tree.keys().filter(is_below).cloned().collect();
        let Some(path) = below.get(usize::from(draw.place) % below.len().max(1)) else { return };
        self.forget(path);
        let hidden = match path.rsplit_once('/') {
            Some((dir, name)) => format!("{dir}/.wh.{name}"),
            None => format!(".wh.{path}"),
        };
        self.archive = std::mem::take(&mut self.archive).file(&hidden, b"");
        self.told.push(format!("whiteout `{hidden}`"));
    }

    fn opaque(&mut self, dir: &str) {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let is_hidden = |path: &&String| {
            path.starts_with(&prefix) && !path.is_empty() && !self.has_brought(path)
        };
        let hidden: Vec<_> = self.tree.keys().filter(is_hidden).cloned().collect();
        self.tree.retain(|path, _| !hidden.contains(path));
        self.archive =
            std::mem::take(&mut self.archive).file(&format!("{prefix}.wh..wh..opq"), b"");
        self.told.push(format!("opaque `{dir}`"));
    }

    /// Whether this layer brought the path or something below it.
    fn has_brought(&self, path: &str) -> bool {
        self.brought.contains(path)
    }

    fn bring(&mut self, path: &str) {
        let mut path = path;
        loop {
            self.brought.insert(path.to_owned());
            match path.rsplit_once('/') {
                Some((dir, _)) => path = dir,
                None => return,
            }
        }
    }

    /// Takes the path and everything below it out of the model.
    fn forget(&mut self, path: &str) {
        let below = format!("{path}/");
        self.tree.retain(|name, _| name != path && !name.starts_with(&below));
    }
}

fn attributes(draw: &Draw, what: What) -> Vec<(&'static str, Vec<u8>)> {
    let mut attributes = Vec::new();
    if what == What::Link {
        return attributes;
    }
    if draw.attribute % 4 == 1 {
        attributes.push(("SCHILY.xattr.user.one", draw.content.to_le_bytes().to_vec()));
    }
    if draw.attribute % 8 == 5 {
        attributes.push(("SCHILY.xattr.user.two", b"line\nline=\xff".to_vec()));
    }
    if draw.attribute % 8 == 3 && what == What::File {
        attributes.push(("SCHILY.xattr.security.capability", NET_RAW.to_vec()));
    }
    attributes
}
