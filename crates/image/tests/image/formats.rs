//! Images as real tools write them: umoci, skopeo, tar.

use crate::archive::{Archive, gzip, hex_digest, zstd};
use crate::common::{Bench, run};
use image::{Progress, Step};
use rustix::fs::XattrFlags;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;

/// `cap_net_raw+ep` as a file carries it. Source: `struct vfs_cap_data`, revision 2.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Makes a root file system with busybox in it, and everything that ownership can be.
fn make_root(root: &Path) {
    for dir in ["bin", "etc", "home/user", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
    std::fs::hard_link(root.join("bin/busybox"), root.join("bin/true")).unwrap();
    std::fs::write(root.join("etc/motd"), "welcome\n").unwrap();
    std::fs::write(root.join("home/user/mine"), "mine\n").unwrap();
    for path in ["home/user", "home/user/mine"] {
        std::os::unix::fs::chown(root.join(path), Some(1000), Some(1000)).unwrap();
    }
    std::os::unix::fs::chown(root.join("etc/motd"), Some(65_534), Some(42)).unwrap();
    let set = |path, mode| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set("bin/busybox", 0o4755);
    set("tmp", 0o1777);
    let set = |path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    set("etc/motd", "user.colour", b"blue");
    set("bin/busybox", "security.capability", &NET_RAW);
}

/// Checks what [`make_root`] made.
fn check_root(root: &Path) {
    let stat = |path: &str| std::fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(stat("bin/busybox").permissions().mode() & 0o7777, 0o4755);
    assert_eq!(stat("bin/busybox").ino(), stat("bin/true").ino());
    assert_eq!(std::fs::read_link(root.join("bin/sh")).unwrap(), Path::new("busybox"));
    let ids = |path: &str| (stat(path).uid(), stat(path).gid());
    assert_eq!(ids("bin/busybox"), (0, 0));
    assert_eq!(ids("home/user"), (1000, 1000));
    assert_eq!(ids("home/user/mine"), (1000, 1000));
    assert_eq!(ids("etc/motd"), (65_534, 42));
    assert_eq!(stat("tmp").permissions().mode() & 0o7777, 0o1777);
    assert_eq!(std::fs::read_to_string(root.join("etc/motd")).unwrap(), "welcome\n");
    let busybox = std::fs::read("/bin/busybox").unwrap();
    assert_eq!(std::fs::read(root.join("bin/busybox")).unwrap(), busybox);
}

/// An attribute's value.
fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 256];
    let n = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
    value.truncate(n);
    value
}

/// Makes an OCI layout `oci` with the image `bb` below `dir`, as umoci does it.
fn make_layout(dir: &Path) {
    run(dir, "umoci", &["init", "--layout", "oci"]);
    run(dir, "umoci", &["new", "--image", "oci:bb"]);
    run(dir, "umoci", &["unpack", "--image", "oci:bb", "u"]);
    make_root(&dir.join("u/rootfs"));
    run(dir, "umoci", &["repack", "--image", "oci:bb", "u"]);
    let config = ["config", "--image", "oci:bb", "--config.cmd", "/bin/sh"];
    run(dir, "umoci", &[&config[..], &["--config.env", "A=b", "--config.user", "1000"]].concat());
    run(dir, "umoci", &["config", "--image", "oci:bb", "--config.stopsignal", "SIGTERM"]);
}

fn check_config(config: &model::spec::ImageConfig) {
    assert_eq!(config.cmd, ["/bin/sh"]);
    assert!(config.env.contains(&"A=b".to_owned()), "{:?}", config.env);
    assert_eq!(config.user, "1000");
    assert_eq!(config.stop_signal, Some(15));
}

#[test]
fn oci_layout_is_imported_as_directory_and_as_tarball() {
    let bench = Bench::new();
    make_layout(bench.dir.path());
    let first = bench.import(&bench.path("oci")).unwrap();
    assert!(first.is_new);
    check_config(&first.config);
    bench.view(&first.image_ref.digest, |root| {
        check_root(root);
        assert_eq!(attribute(&root.join("etc/motd"), "user.colour"), b"blue");
        assert_eq!(attribute(&root.join("bin/busybox"), "security.capability"), NET_RAW);
    });
    run(bench.dir.path(), "tar", &["-C", "oci", "-czf", "oci.tar.gz", "."]);
    let again = bench.import(&bench.path("oci.tar.gz")).unwrap();
    assert!(!again.is_new);
    assert_eq!(again.image_ref, first.image_ref);
    bench.store.verify(&first.image_ref.digest).unwrap();
}

#[test]
fn docker_save_is_named_by_its_config() {
    let bench = Bench::new();
    make_layout(bench.dir.path());
    let copy = ["--insecure-policy", "copy", "-q", "oci:oci:bb", "docker-archive:saved.tar:bb:1"];
    run(bench.dir.path(), "skopeo", &copy);
    let imported = bench.import(&bench.path("saved.tar")).unwrap();
    check_config(&imported.config);
    bench.view(&imported.image_ref.digest, check_root);
    run(bench.dir.path(), "tar", &["-xf", "saved.tar", "manifest.json"]);
    let manifest = std::fs::read_to_string(bench.path("manifest.json")).unwrap();
    assert!(manifest.contains(imported.image_ref.digest.hex()), "{manifest}");
}

#[test]
fn root_tarball_is_named_by_its_content_however_compressed() {
    let bench = Bench::new();
    make_root(&bench.path(""));
    let members = ["--xattrs", "-cf", "root.tar", "bin", "etc", "home", "tmp"];
    run(bench.dir.path(), "tar", &members);
    let plain = std::fs::read(bench.path("root.tar")).unwrap();
    let first = bench.import(&bench.path("root.tar")).unwrap();
    assert_eq!(first.image_ref.digest.hex(), hex_digest(&plain));
    assert_eq!(first.image_ref.repository, "test");
    bench.view(&first.image_ref.digest, check_root);
    for compressed in [gzip(&plain), zstd(&plain)] {
        let again = bench.import_bytes(&compressed).unwrap();
        assert!(!again.is_new);
        assert_eq!(again.image_ref, first.image_ref);
        assert_eq!(again.size_bytes, first.size_bytes);
    }
}

#[test]
fn equal_trees_make_equal_images() {
    let tar = Archive::new().dir("etc").file("etc/a", b"a").file("implied/b", b"b").finish();
    let measure = || {
        let bench = Bench::new();
        let digest = bench.import_bytes(&tar).unwrap().image_ref.digest;
        bench.store.meta(&digest).unwrap().erofs_digest
    };
    assert_eq!(measure(), measure());
}

#[test]
fn times_and_large_names_survive() {
    let long = format!("deep/{}", "n".repeat(200));
    let tar = Archive::new()
        .pax(&[("path", long.as_bytes()), ("mtime", b"981173106.25")])
        .file("short", b"x")
        .finish();
    Bench::new().view_of(&tar, |root| {
        let stat = std::fs::metadata(root.join(&long)).unwrap();
        assert_eq!(stat.mtime(), 981_173_106);
    });
}

#[test]
fn progress_is_told() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<Step>>);
    impl Progress for Heard {
        fn report(&self, step: Step) {
            self.0.lock().unwrap().push(step);
        }
    }
    let bench = Bench::new();
    let tar = Archive::new().file("big", &vec![7; 40 << 20]).finish();
    let heard = Heard::default();
    let source = image::ImportSource::Reader(Box::new(tar.as_slice()));
    bench.store.import(source, "big", &heard).unwrap();
    let heard = heard.0.into_inner().unwrap();
    let has = |wanted: fn(&Step) -> bool| heard.iter().any(wanted);
    assert!(has(|step| matches!(step, Step::Reading { n_bytes } if *n_bytes > 0)), "{heard:?}");
    assert!(has(|step| matches!(step, Step::Unpacking { n_bytes } if *n_bytes > 0)), "{heard:?}");
    assert_eq!(heard.last(), Some(&Step::Publishing));
}
