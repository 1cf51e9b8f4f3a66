//! Images from files, directories and streams.

use crate::{images, marker};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use testkit::{Instance, http, image, wait};

fn cli(instance: &Instance, args: &[&str], stdin: Stdio) -> Output {
    instance.command().args(args).stdin(stdin).output().expect("the CLI's binary can be run")
}

/// A busybox tarball with a marker.
fn tarball(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("content");
    fs::write(&file, text).expect("a file can be written");
    image::busybox_tarball(dir, &[("marker", &file)])
}

#[test]
fn the_same_image_comes_from_a_file_a_directory_and_stdin() {
    let instance = Instance::start();
    let tarball = tarball(instance.dir(), "imported");
    let layout = instance.dir().join("layout");
    let made = Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .arg(format!("tarball:{}", tarball.display()))
        .arg(format!("oci:{}:1", layout.display()))
        .output()
        .expect("`skopeo` is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let stdin = || Stdio::from(File::open(&tarball).expect("the tarball"));
    for (args, stdin) in [
        (["image", "import", &text(&tarball), "file:1"], Stdio::null()),
        (["image", "import", &text(&layout), "layout:1"], Stdio::null()),
        (["image", "import", "-", "stdin:1"], stdin()),
    ] {
        let output = cli(&instance, &args, stdin);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(marker(&instance, args[3]), "imported", "{args:?}");
    }
}

#[test]
fn a_stream_that_is_no_image_is_refused_and_leaves_nothing() {
    let instance = Instance::start();
    let endpoint = instance.endpoint().expect("it listens");
    let socket = Path::new(endpoint["unix"].as_str().expect("a path"));
    let headers = [("content-type", "application/x-tar")];
    let target = "/v1/images/import?name=noise";
    let reply = http::request(socket, "POST", target, &headers, &crate::noise(3 << 20));
    drop(crate::refused(reply.expect("an answer"), 422, "image_malformed"));
    assert!(images(&instance).is_empty());
}

#[test]
fn a_stream_that_breaks_off_leaves_nothing() {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    let instance = Instance::start();
    let bytes = fs::read(tarball(instance.dir(), "whole")).expect("the tarball");
    let endpoint = instance.endpoint().expect("it listens");
    let mut caller = UnixStream::connect(endpoint["unix"].as_str().expect("a path")).expect("open");
    let head = format!(
        "POST /v1/images/import?name=cut HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        bytes.len() + 1
    );
    // The archive itself is whole: only the body's end is missing.
    caller.write_all(head.as_bytes()).and_then(|()| caller.write_all(&bytes)).expect("sent");
    let workshop = instance.data_dir().join("tmp/image");
    let is_empty = || fs::read_dir(&workshop).map_or(true, |mut entries| entries.next().is_none());
    wait::eventually("the import has begun", || (!is_empty()).then_some(()));
    drop(caller);
    wait::eventually("the import is given up", || is_empty().then_some(()));
    assert!(images(&instance).is_empty());
}
