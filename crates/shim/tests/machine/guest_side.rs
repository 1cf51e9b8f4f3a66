//! What busybox cannot do in a guest: this very test program, called from inside.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Calls [`call_the_api`] in a guest.
pub(crate) const CALL: &str =
    "DORMOUSE_TEST_IN_GUEST=1 /bin/tester --exact guest_side::call_the_api --nocapture";

/// Puts this program into the image.
pub(crate) fn dress(tree: &Path) {
    let this = std::env::current_exe().expect("a path");
    std::fs::copy(this, tree.join("bin/tester")).expect("copied");
}

#[test]
fn call_the_api() {
    if std::env::var_os("DORMOUSE_TEST_IN_GUEST").is_none() {
        println!("skipped: only meant to be called inside a guest");
        return;
    }
    let mut api = UnixStream::connect("/.fly/api").expect("init listens");
    api.write_all(b"GET /v1/self HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    api.read_to_string(&mut answer).expect("an answer");
    for line in answer.lines() {
        println!("\n{line}");
    }
}
