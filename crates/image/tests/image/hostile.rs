//! Images that mean harm: a table. Each is refused with its code, or tamed; whichever it is, nothing
//! outside of the image is made, changed or linked to, and of a refused one nothing is left.
//!
//! `docs/images.md` says of each case what is decided, under the same name.

mod documents;
mod limits;
mod links;
mod nodes;
mod paths;
mod streams;
mod whiteouts;

use crate::archive::{Archive, write_layout};
use crate::common::{Bench, chain};
use image::{ImportedImage, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Fewest cases that the table has.
const CASES_MIN: usize = 40;

/// One image and what becomes of it.
struct Case {
    /// As in the documentation.
    name: &'static str,
    image: Box<dyn Fn(&Scene) -> Image>,
    outcome: Outcome,
}

/// What is brought in.
enum Image {
    /// A stream: an archive, or what pretends to be one.
    Stream(Vec<u8>),
    /// An OCI layout of these layers.
    Layers(Vec<Vec<u8>>),
    /// The directory `oci` of the scene, which the case has made itself.
    Directory,
}

enum Outcome {
    /// Refused with this code and a text that has this in it.
    Refused { code: &'static str, text: &'static str },
    /// Taken in; a look inside.
    Shown(Look),
}

/// Looks at the mounted image.
type Look = Box<dyn Fn(&Shown<'_>) + Sync>;

/// A case under way.
struct Scene {
    bench: Bench,
}

/// An image that was taken in.
struct Shown<'a> {
    root: &'a Path,
    /// The directory that attacks aim at, as it would be named within the image.
    target: String,
    imported: &'a ImportedImage,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let bench = Bench::with_limits(limits);
        let outside = bench.path("outside");
        std::fs::create_dir_all(outside.join("dir")).unwrap();
        // The store makes it at the first mount.
        std::fs::create_dir_all(bench.path("run")).unwrap();
        std::fs::write(outside.join("victim"), b"untouched").unwrap();
        std::fs::write(outside.join("dir/inner"), b"untouched").unwrap();
        Self { bench }
    }

    /// The directory that attacks aim at.
    fn outside(&self) -> String {
        self.bench.path("outside").to_str().unwrap().to_owned()
    }

    /// The same as a name within an archive.
    fn inside(&self) -> String {
        self.outside().trim_start_matches('/').to_owned()
    }

    fn victim(&self) -> String {
        self.outside() + "/victim"
    }

    fn oci(&self) -> PathBuf {
        self.bench.path("oci")
    }
}

/// Everything an attack could reach: what is there, and what of it could change.
fn outside(scene: &Scene) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut dirs = vec![scene.bench.path("outside")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            note(&mut seen, &path);
            if path.symlink_metadata().unwrap().is_dir() {
                dirs.push(path);
            }
        }
    }
    for path in ["/etc/passwd", "/etc/shadow"] {
        note(&mut seen, Path::new(path));
    }
    note(&mut seen, &scene.bench.path("outside"));
    let names = |dir: &Path| {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        format!("{names:?}")
    };
    // The store's own directories are among the first, not what is in them.
    seen.insert("names beside".to_owned(), names(scene.bench.dir.path()));
    seen.insert("names in the root".to_owned(), names(Path::new("/")));
    seen
}

fn note(seen: &mut BTreeMap<String, String>, path: &Path) {
    let stat = path.symlink_metadata().unwrap();
    let content = if stat.is_file() { std::fs::read(path).unwrap_or_default() } else { vec![] };
    let mut attributes = vec![0; 1024];
    let n = rustix::fs::llistxattr(path, attributes.as_mut_slice()).unwrap_or(0);
    let shown = format!(
        "ino {} mode {:o} links {} owner {}:{} changed {}.{} attributes {:?} content {}",
        stat.ino(),
        stat.mode(),
        stat.nlink(),
        stat.uid(),
        stat.gid(),
        stat.ctime(),
        stat.ctime_nsec(),
        String::from_utf8_lossy(&attributes[..n]),
        crate::archive::hex_digest(&content),
    );
    seen.insert(path.display().to_string(), shown);
}

/// What is another way in `after`, there only or no more.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let is_changed = |name: &&&String| before.get(**name) != after.get(**name);
    let told = |name: &String| format!("{name}: {:?}, now {:?}", before.get(name), after.get(name));
    names.iter().filter(is_changed).map(|name| told(name)).collect()
}

/// Runs one case and checks both sides of the wall.
#[allow(clippy::print_stderr, reason = "a look that panics does not know whose it is")]
fn check(case: &Case, limits: Limits) {
    eprintln!("case: {}", case.name);
    let scene = Scene::new(limits);
    let image = (case.image)(&scene);
    if let Image::Layers(layers) = &image {
        write_layout(&scene.oci(), layers);
    }
    let before = outside(&scene);
    let result = match &image {
        Image::Stream(bytes) => scene.bench.import_bytes(bytes),
        Image::Layers(_) | Image::Directory => scene.bench.import(&scene.oci()),
    };
    match (&case.outcome, result) {
        (Outcome::Refused { code, text }, Err(error)) => {
            let said = format!("{} ({})", chain(&error), error.hint());
            assert_eq!(error.code(), *code, "{}: {said}", case.name);
            assert!(said.contains(text), "{}: `{said}` does not say `{text}`", case.name);
            scene.bench.assert_nothing_left();
        }
        (Outcome::Shown(look), Ok(imported)) => {
            scene.bench.view(&imported.image_ref.digest, |root| {
                look(&Shown { root, target: scene.inside(), imported: &imported });
            });
        }
        (Outcome::Refused { .. }, Ok(_)) => panic!("{}: was taken in", case.name),
        (Outcome::Shown(_), Err(error)) => panic!("{}: {}", case.name, chain(&error)),
    }
    let after = outside(&scene);
    assert_eq!(changes(&before, &after), [""; 0], "{}: the outside changed", case.name);
}

fn check_all(cases: &[Case]) {
    cases.iter().for_each(|case| check(case, Limits::default()));
}

/// A stream that is refused.
fn refused(
    name: &'static str,
    code: &'static str,
    text: &'static str,
    stream: impl Fn(&Scene) -> Vec<u8> + 'static,
) -> Case {
    refused_image(name, code, text, move |scene| Image::Stream(stream(scene)))
}

fn refused_image(
    name: &'static str,
    code: &'static str,
    text: &'static str,
    image: impl Fn(&Scene) -> Image + 'static,
) -> Case {
    Case { name, image: Box::new(image), outcome: Outcome::Refused { code, text } }
}

/// An archive that is taken in.
fn shown(
    name: &'static str,
    archive: impl Fn(&Scene) -> Archive + 'static,
    look: impl Fn(&Shown<'_>) + Sync + 'static,
) -> Case {
    shown_image(name, move |scene| Image::Stream(archive(scene).finish()), look)
}

fn shown_image(
    name: &'static str,
    image: impl Fn(&Scene) -> Image + 'static,
    look: impl Fn(&Shown<'_>) + Sync + 'static,
) -> Case {
    Case { name, image: Box::new(image), outcome: Outcome::Shown(Box::new(look)) }
}

impl Shown<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    #[track_caller]
    fn assert_file(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        assert!(path.symlink_metadata().unwrap().is_file(), "{name} is a file");
        assert_eq!(std::fs::read(path).unwrap(), content);
    }

    #[track_caller]
    fn assert_absent(&self, name: &str) {
        assert!(self.path(name).symlink_metadata().is_err(), "{name} is there");
    }

    fn mode(&self, name: &str) -> u32 {
        self.path(name).symlink_metadata().unwrap().mode() & 0o7777
    }

    /// Names of extended attributes.
    fn attributes(&self, name: &str) -> Vec<String> {
        let mut names = vec![0; 4096];
        let n = rustix::fs::llistxattr(self.path(name), names.as_mut_slice()).unwrap();
        let names = names[..n].split(|b| *b == 0).filter(|name| !name.is_empty());
        names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
    }
}

fn all_cases() -> Vec<Case> {
    let mut all = paths::cases();
    all.extend(links::cases());
    all.extend(whiteouts::cases());
    all.extend(nodes::cases());
    all.extend(limits::cases());
    all.extend(limits::apart());
    all.extend(streams::cases());
    all.extend(documents::cases());
    all
}

#[test]
fn names_do_not_leave_the_image() {
    check_all(&paths::cases());
}

#[test]
fn links_do_not_leave_the_image() {
    check_all(&links::cases());
}

#[test]
fn whiteouts_reach_what_lies_below_and_no_more() {
    check_all(&whiteouts::cases());
}

#[test]
fn devices_rights_and_attributes_are_kept_or_dropped_as_documented() {
    check_all(&nodes::cases());
}

#[test]
fn everything_has_a_bound() {
    check_all(&limits::cases());
}

#[test]
fn broken_streams_are_told() {
    check_all(&streams::cases());
}

#[test]
fn documents_are_what_they_are_said_to_be() {
    check_all(&documents::cases());
}

#[test]
fn every_case_is_documented_once() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/images.md");
    let page = std::fs::read_to_string(page).unwrap();
    let cases = all_cases();
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    for case in &cases {
        let rows = page.lines().filter(|line| line.starts_with(&format!("| {} |", case.name)));
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 1, "rows of `{}` in docs/images.md", case.name);
        if let Outcome::Refused { code, .. } = case.outcome {
            assert!(rows[0].contains(&format!("`{code}`")), "{}: {code}", case.name);
        }
    }
    let names: std::collections::HashSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each name is there once");
}
