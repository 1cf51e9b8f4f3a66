//! Running `nft` on JSON: every call is one atomic change of the calling thread's namespace.

use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Longest part of an error message of `nft` that is kept, in bytes.
const MESSAGE_MAX: usize = 2048;

/// Carries out `commands` in one transaction: all or nothing.
pub(crate) fn apply(doing: &'static str, commands: &[Value]) -> Result<()> {
    let text = json!({ "nftables": commands }).to_string();
    let output = run(&["-j", "-f", "-"], &text)?;
    if output.status.success() { Ok(()) } else { Err(refused(doing, &output)) }
}

/// Lists something that may be empty but cannot be missing, as JSON: the array of objects.
pub(crate) fn list(what: &[&str]) -> Result<Vec<Value>> {
    let arguments: Vec<&str> = ["-j", "list"].iter().chain(what).copied().collect();
    let output = run(&arguments, "")?;
    let listed: Option<Value> =
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten();
    let items = listed.as_ref().and_then(|listed| listed["nftables"].as_array());
    items.cloned().ok_or_else(|| refused("list chains", &output))
}

/// Commands that leave an empty `inet` table of this name, whatever was there.
pub(crate) fn fresh_table(name: &str) -> [Value; 3] {
    let table = json!({ "table": { "family": "inet", "name": name } });
    [json!({ "add": table }), json!({ "delete": table }), json!({ "add": table })]
}

/// Commands that leave no `inet` table of this name.
pub(crate) fn no_table(name: &str) -> [Value; 2] {
    let [add, delete, _] = fresh_table(name);
    [add, delete]
}

fn run(arguments: &[&str], input: &str) -> Result<Output> {
    let missing = |source| Error::NftMissing { source };
    let mut nft = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let stdin = nft.stdin.take();
    // `nft` reads all of its input before it writes anything, so this cannot block for ever.
    let written = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = nft.wait_with_output().map_err(missing)?;
    if output.status.success() {
        written.map_err(missing)?;
    }
    Ok(output)
}

fn refused(doing: &'static str, output: &Output) -> Error {
    let kept = &output.stderr[..output.stderr.len().min(MESSAGE_MAX)];
    Error::NftRefused { doing, message: String::from_utf8_lossy(kept).trim().to_owned() }
}
