//! Against peers that misbehave; `tests/` has the real QEMU.

use super::{Event, Qmp, QmpError, RunState};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 19, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}"#;

/// Long enough for everything here.
const PATIENCE: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A peer that greets, agrees, and then says `words` to the first command.
fn peer(words: impl Into<Vec<u8>>) -> (Qmp, JoinHandle<()>) {
    let words = words.into();
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let peer = thread::spawn(move || {
        greet(&mut theirs);
        listen(&mut theirs);
        // The other end may have had enough before it has heard all.
        theirs.write_all(&words).ok();
        // Open until the other end closes.
        theirs.read_to_end(&mut Vec::new()).ok();
    });
    (Qmp::connect(ours, soon()).expect("a session"), peer)
}

/// Does what a QEMU does before the first command.
fn greet(stream: &mut UnixStream) {
    writeln!(stream, "{GREETING}").expect("sent");
    listen(stream);
    writeln!(stream, r#"{{"return": {{}}}}"#).expect("sent");
}

/// Reads a line.
fn listen(stream: &mut UnixStream) {
    let mut byte = [0];
    while stream.read(&mut byte).expect("read") == 1 && byte[0] != b'\n' {}
}

#[track_caller]
fn check_garbage(words: impl Into<Vec<u8>>, part: &str) {
    let (mut qmp, peer) = peer(words);
    let error = qmp.status(soon()).expect_err("garbage");
    assert!(matches!(error, QmpError::Garbage { .. }), "{error:?}");
    assert!(error.to_string().contains(part), "{error}");
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn the_greeting_tells_the_version() {
    let (qmp, peer) = peer("");
    let version = qmp.version();
    assert_eq!((version.major, version.minor, version.micro), (7, 2, 19));
    assert_eq!(version.package, "Debian");
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn events_between_a_command_and_its_answer_are_kept_in_order() {
    let words = concat!(
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#,
        "\r\n",
        r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
        "\r\n",
        r#"{"return": {"status": "shutdown", "running": false}}"#,
        "\r\n",
    );
    let (mut qmp, peer) = peer(words);
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Ended);
    let resumed = qmp.next_event().expect("open");
    assert_eq!(resumed.map(|Event { name, .. }| name).as_deref(), Some("RESUME"));
    let shut = qmp.wait_for("SHUTDOWN", soon()).expect("it has come");
    assert_eq!(shut.data["reason"], "guest-shutdown");
    assert_eq!(qmp.next_event().expect("open"), None);
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn a_refusal_has_the_words_of_qemu() {
    let words = r#"{"error": {"class": "GenericError", "desc": "not now"}}"#;
    let (mut qmp, peer) = peer(format!("{words}\n"));
    let error = qmp.cont(soon()).expect_err("refused");
    assert_eq!(error.to_string(), "QEMU refuses `cont`: not now (GenericError)");
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn no_answer_is_an_error_in_time_and_a_late_one_is_passed_over() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let peer = thread::spawn(move || {
        greet(&mut theirs);
        listen(&mut theirs);
        listen(&mut theirs);
        writeln!(theirs, r#"{{"return": {{}}}}"#).expect("sent");
        writeln!(theirs, r#"{{"return": {{"status": "running"}}}}"#).expect("sent");
        theirs.read_to_end(&mut Vec::new()).ok();
    });
    let mut qmp = Qmp::connect(ours, soon()).expect("a session");
    let error = qmp.stop(Instant::now() + Duration::from_millis(10)).expect_err("no answer");
    assert!(matches!(error, QmpError::Deadline { what: "stop" }), "{error:?}");
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Running);
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn an_end_is_told_as_one() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    drop(theirs);
    assert!(matches!(Qmp::connect(ours, soon()), Err(QmpError::Closed)));
}

#[test]
fn what_cannot_be_is_garbage() {
    check_garbage("}{\n", "none of QMP");
    check_garbage("\0\u{fffd}\n", "none of QMP");
    check_garbage(format!("{GREETING}\n"), "an answer to nothing");
    check_garbage("{\"return\": {\"status\": 3}}\n", "of another shape");
    check_garbage("{\"return\": {\"status\": \"odd\"}}\n", "the status `odd`");
}

#[test]
fn an_answer_that_nobody_waits_for_is_garbage() {
    let answer = "{\"return\": {\"status\": \"running\"}}\n";
    let (mut qmp, peer) = peer(answer.repeat(2));
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Running);
    let error = qmp.wait_for("STOP", soon()).expect_err("it is no event");
    assert!(error.to_string().contains("an answer to nothing"), "{error}");
    drop(qmp);
    peer.join().expect("the peer has ended");
}

#[test]
fn a_flood_has_an_end() {
    check_garbage("x".repeat(1024 * 1024), "a line of more than");
    check_garbage("{\"event\": \"RTC_CHANGE\"}\n".repeat(100_000), "more than 256 events");
}
