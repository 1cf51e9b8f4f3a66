//! Signatures by another hand: `openssl`.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// HMAC-SHA256 of `text`, in hex.
#[track_caller]
pub(crate) fn hex(key: &str, text: &str) -> String {
    run(&format!("openssl dgst -sha256 -hmac '{key}' -r | cut -d' ' -f1"), text)
}

/// The signature of a message by Standard Webhooks.
#[track_caller]
pub(crate) fn standard(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let key = secret.strip_prefix("whsec_").expect("a secret");
    let script = format!(
        "openssl dgst -sha256 -mac HMAC -binary \
         -macopt hexkey:$(echo {key} | base64 -d | od -An -v -tx1 | tr -d ' \\n') | base64"
    );
    format!("v1,{}", run(&script, &format!("{id}.{timestamp}.{body}")))
}

/// How many signatures a header has, and which of `secrets` have made one of them.
#[track_caller]
pub(crate) fn by_whom<const N: usize>(
    secrets: [&str; N],
    header: impl Fn(&str) -> String,
    body: &str,
) -> (usize, [bool; N]) {
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let shown = header("webhook-signature");
    let signatures: Vec<&str> = shown.split(' ').collect();
    let is_by = |secret: &str| signatures.contains(&&*standard(secret, &id, &at, body));
    (signatures.len(), secrets.map(is_by))
}

#[track_caller]
fn run(script: &str, input: &str) -> String {
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = shell.wait_with_output().expect("it ends");
    assert!(output.status.success(), "`openssl` is installed");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
