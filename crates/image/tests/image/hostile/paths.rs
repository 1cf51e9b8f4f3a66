//! Names that try to leave the image.

use super::{Case, refused, shown};
use crate::archive::Archive;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

const BAD: &str = "image_bad_entry";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = climbing();
    cases.extend(through_links());
    cases.extend(strange_names());
    cases
}

fn climbing() -> Vec<Case> {
    vec![
        refused("name that climbs", BAD, "leaves the root", |_| {
            Archive::new().file("../evil", b"x").finish()
        }),
        refused("name that climbs on its way", BAD, "leaves the root", |_| {
            Archive::new().dir("a").file("a/../../evil", b"x").finish()
        }),
        refused("directory `..`", BAD, "leaves the root", |_| Archive::new().dir("..").finish()),
        refused("PAX name that climbs", BAD, "leaves the root", |_| {
            Archive::new().pax(&[("path", b"x/../../evil")]).file("fine", b"x").finish()
        }),
        refused("GNU long name that climbs", BAD, "leaves the root", |_| {
            Archive::new().gnu_long_name(b"../../evil").file("fine", b"x").finish()
        }),
        shown(
            "absolute name",
            |scene| Archive::new().file(&scene.victim(), b"evil"),
            |image| image.assert_file(&format!("{}/victim", image.target), b"evil"),
        ),
        shown(
            "many slashes and dots",
            |_| Archive::new().file(".//./a///./b", b"x"),
            |image| image.assert_file("a/b", b"x"),
        ),
    ]
}

fn through_links() -> Vec<Case> {
    vec![
        shown(
            "write through an absolute symbolic link",
            |scene| {
                let tar = Archive::new().dir(&scene.inside()).symlink("link", &scene.outside());
                tar.file("link/victim", b"evil")
            },
            |image| image.assert_file(&format!("{}/victim", image.target), b"evil"),
        ),
        shown(
            "write through a climbing symbolic link",
            |scene| {
                let climbing = "../../../../../../../..".to_owned() + &scene.outside();
                let tar = Archive::new().dir(&scene.inside()).symlink("link", &climbing);
                tar.file("link/second", b"evil")
            },
            |image| image.assert_file(&format!("{}/second", image.target), b"evil"),
        ),
        refused("write through a link to nowhere", BAD, "link/victim", |scene| {
            let tar = Archive::new().symlink("link", &scene.outside());
            tar.file("link/victim", b"evil").finish()
        }),
        refused("write through a loop of links", BAD, "a/file", |_| {
            Archive::new().symlink("a", "b").symlink("b", "a").file("a/file", b"x").finish()
        }),
        refused("write through a file", BAD, "a/b", |_| {
            Archive::new().file("a", b"x").file("a/b", b"x").finish()
        }),
        shown(
            "file in place of a link",
            |scene| Archive::new().symlink("link", &scene.victim()).file("link", b"evil"),
            |image| image.assert_file("link", b"evil"),
        ),
        shown(
            "directory in place of a link",
            |scene| {
                let tar = Archive::new().symlink("link", &(scene.outside() + "/dir"));
                tar.dir("link").file("link/inner", b"evil")
            },
            |image| image.assert_file("link/inner", b"evil"),
        ),
        shown(
            "link to the kernel's own links",
            |_| {
                let tar = Archive::new().dir("proc/self").symlink("proc/self/cwd", "/");
                tar.symlink("out", "/proc/self/cwd").file("out/evil", b"x")
            },
            |image| image.assert_file("evil", b"x"),
        ),
    ]
}

fn strange_names() -> Vec<Case> {
    vec![
        shown(
            "entries of one name",
            |_| {
                let tar = Archive::new().file("a", b"first").file("a", b"second");
                let tar = tar.dir("b").file("b/inner", b"x").file("b", b"third");
                tar.symlink("c", "a").dir("c")
            },
            |image| {
                image.assert_file("a", b"second");
                image.assert_file("b", b"third");
                assert!(image.path("c").symlink_metadata().unwrap().is_dir());
            },
        ),
        refused("root that is a file", BAD, "is the root but not a directory", |_| {
            Archive::new().file("./", b"").symlink("/", "/etc").finish()
        }),
        shown(
            "root with rights of its own",
            |_| {
                Archive::new().entry(tar::EntryType::Directory, "./", "", b"", |header| {
                    header.set_mode(0o700);
                    header.set_uid(7);
                })
            },
            |image| {
                let root = image.root.metadata().unwrap();
                assert_eq!((root.mode() & 0o7777, root.uid()), (0o700, 7));
            },
        ),
        shown(
            "name that is not UTF-8",
            |_| Archive::new().pax(&[("path", b"\xff\xfe/\xc0\xaf")]).file("fine", b"x"),
            |image| {
                let dir = image.root.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
                assert_eq!(
                    std::fs::read(dir.join(std::ffi::OsStr::from_bytes(b"\xc0\xaf"))).unwrap(),
                    b"x"
                );
            },
        ),
        shown(
            "name with control characters",
            |_| Archive::new().pax(&[("path", b"a\nb\x1b[31m\x07")]).file("fine", b"x"),
            |image| image.assert_file("a\nb\x1b[31m\x07", b"x"),
        ),
        refused("name with a zero byte", BAD, "zero byte", |_| {
            Archive::new().pax(&[("path", b"a\0b")]).file("fine", b"x").finish()
        }),
        refused("component of 256 bytes", BAD, "too long a name", |_| {
            Archive::new().pax(&[("path", "n".repeat(256).as_bytes())]).file("a", b"").finish()
        }),
        refused("name of 4,096 bytes", BAD, "too long a name", |_| {
            let name = long_name(4096);
            Archive::new().pax(&[("path", name.as_bytes())]).file("a", b"").finish()
        }),
        shown(
            "name of 4,000 bytes",
            |_| Archive::new().pax(&[("path", long_name(4000).as_bytes())]).file("a", b"x"),
            |image| {
                use rustix::fs::{CWD, Mode, OFlags, openat};
                let open = |dir: &std::os::fd::OwnedFd, name: &str| {
                    openat(dir, name, OFlags::RDONLY, Mode::empty()).unwrap()
                };
                let root = openat(CWD, image.root, OFlags::DIRECTORY, Mode::empty()).unwrap();
                assert!(
                    std::fs::File::from(open(&root, &long_name(4000)))
                        .metadata()
                        .unwrap()
                        .is_file()
                );
            },
        ),
        refused("name of 5,000 bytes through links", BAD, "File name too long", |_| {
            let (deep, rest) = (long_name(2500), long_name(2498));
            let tar = Archive::new().pax(&[("path", deep.as_bytes())]).dir("a");
            let tar = tar.pax(&[("linkpath", deep.as_bytes())]).symlink("l", "");
            tar.pax(&[("path", format!("l/{rest}").as_bytes())]).file("a", b"x").finish()
        }),
        refused("directory 257 deep", BAD, "lies too deep", |_| {
            Archive::new().pax(&[("path", "d/".repeat(257).as_bytes())]).dir("a").finish()
        }),
        refused("directory 400 deep through links", BAD, "File name too long", |_| {
            let deep = "d/".repeat(200);
            let tar = Archive::new().pax(&[("path", deep.as_bytes())]).dir("a");
            let tar = tar.pax(&[("linkpath", deep.as_bytes())]).symlink("link", "");
            tar.pax(&[("path", format!("link/{deep}").as_bytes())]).dir("a").finish()
        }),
    ]
}

/// A name of so many bytes, of components of at most 254.
fn long_name(n_bytes: usize) -> String {
    let mut name = ("n".repeat(254) + "/").repeat(n_bytes / 255);
    name.push_str(&"m".repeat(n_bytes % 255));
    name.truncate(n_bytes);
    if name.ends_with('/') {
        name.pop();
        name.push('m');
    }
    name
}
