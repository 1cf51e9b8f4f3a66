//! Images that want to be mounted over the host.

use crate::WAIT;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use testkit::{Instance, image};
use tests::fixture;
use tests::host::Canary;

/// A root file system whose every special place leads to `outside`.
fn write_root(root: &Path, outside: &Path) {
    fs::create_dir_all(root.join("bin")).expect("a directory");
    fs::copy(image::BUSYBOX, root.join("bin/busybox")).expect("busybox");
    for applet in ["sh", "sleep", "cat", "ls", "mount", "find", "stat", "grep", "true"] {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    let above = Path::new("../../../../../../../..");
    for place in ["dev", "proc", "sys", ".fly", ".dormouse", "run", "tmp"] {
        symlink(outside, root.join(place)).expect("a link");
    }
    fs::create_dir(root.join("etc")).expect("a directory");
    for file in ["hosts", "hostname", "resolv.conf", "passwd", "group"] {
        let relative = above.join(outside.join(file).strip_prefix("/").expect("an absolute path"));
        symlink(relative, root.join("etc").join(file)).expect("a link");
    }
}

fn import(instance: &Instance, root: &Path, name: &str) {
    let tarball = instance.dir().join(format!("{name}.tar"));
    let tar = Command::new("tar").arg("-cf").arg(&tarball).arg("-C").arg(root).arg(".").status();
    assert!(tar.is_ok_and(|status| status.success()), "tar");
    let body = json!({"path": tarball, "name": name});
    let reply = instance.post("/v1/images/import", &body);
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text);
}

#[test]
fn an_image_of_links_to_the_host_changes_nothing_there() {
    let instance = Instance::start();
    let canary = Canary::new(instance.dir());
    let outside = instance.dir().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("passwd"), "root:x:0:0::/:/bin/sh\n").expect("a file");
    let listing = || {
        let mut names: Vec<_> =
            fs::read_dir(&outside).expect("a directory").flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    };
    let before = (canary.fact(), listing(), mounts_below(&outside));

    let root = instance.dir().join("links");
    write_root(&root, &outside);
    import(&instance, &root, "links");
    let id = fixture::started(&instance, WAIT, &json!({"image": "links"}));
    assert_eq!((canary.fact(), listing(), mounts_below(&outside)), before);
    assert_eq!(instance.sh(&id, "stat -c %F /dev/null"), "character special file\n");
    assert!(instance.sh(&id, "mount").contains("/dev"));
    drop(instance.sh(&id, "! cat /tmp/../canary"));
    instance.stop_machine(&id);
    instance.start_machine(&id);
    // `/tmp` leads nowhere inside: what shall be written there cannot be, and says so.
    let files = json!([{"guest_path": "/tmp/written", "raw_value": "eA=="}]);
    let config = fixture::config(WAIT, &json!({"image": "links", "files": files}));
    let id = instance.create_with(&json!({ "config": config }));
    instance.wait_for(&id, "failed");
    let failure = instance.get(&Instance::path(&id)).expect(200)["failure"].clone();
    assert_eq!(failure["code"], "files", "{failure}");
    assert_eq!((canary.fact(), listing(), mounts_below(&outside)), before);
}

fn mounts_below(dir: &Path) -> usize {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a table");
    table.lines().filter(|line| line.contains(&dir.display().to_string())).count()
}

#[test]
fn an_image_whose_etc_is_a_link_still_finds_itself() {
    let instance = Instance::start();
    let outside = instance.dir().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let root = instance.dir().join("etc-link");
    fs::create_dir_all(root.join("bin")).expect("a directory");
    fs::copy(image::BUSYBOX, root.join("bin/busybox")).expect("busybox");
    symlink("busybox", root.join("bin/sh")).expect("a link");
    symlink("busybox", root.join("bin/sleep")).expect("a link");
    symlink(&outside, root.join("etc")).expect("a link");
    import(&instance, &root, "etc-link");
    let id = fixture::started(&instance, WAIT, &json!({"image": "etc-link"}));
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
    assert_eq!(instance.state(&id), "started");
}
