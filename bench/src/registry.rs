//! A registry of our own on loopback, and what it was asked for.

use crate::cleanup::Guard;
use crate::process::{self, Daemon};
use crate::scratch::Scratch;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for it to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks while it comes up; nothing is measured then.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How often each blob was asked for, by digest.
pub(crate) type Downloads = BTreeMap<String, u32>;

/// `docker-registry`, which serves plain HTTP.
#[derive(Debug)]
pub(crate) struct Registry {
    address: SocketAddr,
    log: PathBuf,
    /// Length of the log when it was last read.
    read_bytes: u64,
    _daemon: Guard,
}

impl Registry {
    /// Starts an empty one.
    pub(crate) fn up(scratch: &Scratch) -> anyhow::Result<Self> {
        let program =
            process::find("docker-registry").context("docker-registry is not installed")?;
        let config = scratch.path("registry.json");
        // The registry reads YAML, of which JSON is a part.
        let text = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": { "filesystem": { "rootdirectory": scratch.dir("registry")? } },
            "http": { "addr": "127.0.0.1:0" },
        });
        std::fs::write(&config, text.to_string())
            .with_context(|| format!("cannot write {}", config.display()))?;
        let log = scratch.path("registry.log");
        let mut command = Command::new(program);
        let end = |daemon: &Daemon| daemon.end(PATIENCE);
        let (daemon, guard) = Daemon::spawn(command.arg("serve").arg(config), &log, end)?;
        let address = wait_until_served(&daemon, &log)?;
        Ok(Self { address, log, read_bytes: 0, _daemon: guard })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The blobs that were asked for since the last call. A request counts when it has been
    /// answered.
    pub(crate) fn take_downloads(&mut self) -> anyhow::Result<Downloads> {
        let news = self
            .read_news()
            .with_context(|| format!("cannot read the log {}", self.log.display()))?;
        Ok(count_blobs(&news))
    }

    fn read_news(&mut self) -> std::io::Result<String> {
        let mut log = File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.read_bytes))?;
        let mut news = Vec::new();
        log.read_to_end(&mut news)?;
        self.read_bytes = log.stream_position()?;
        Ok(String::from_utf8_lossy(&news).into_owned())
    }
}

fn wait_until_served(daemon: &Daemon, log: &Path) -> anyhow::Result<SocketAddr> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !daemon.has_ended() {
        let text = std::fs::read_to_string(log)
            .with_context(|| format!("cannot read the log {}", log.display()))?;
        if let Some(address) = listening_on(&text) {
            return Ok(address);
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    bail!("docker-registry does not come up")
}

/// The address that the kernel chose.
fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, after) = log.split_once("listening on ")?;
    let (address, _) = after.split_once('"')?;
    address.parse().ok()
}

/// Counts downloads of blobs in lines of an access log.
fn count_blobs(log: &str) -> Downloads {
    let mut downloads = Downloads::new();
    for digest in log.lines().filter_map(downloaded_blob) {
        *downloads.entry(digest.to_owned()).or_default() += 1;
    }
    downloads
}

fn downloaded_blob(line: &str) -> Option<&str> {
    let (_, request) = line.split_once("\"GET /v2/")?;
    let (path, _) = request.split_once(' ')?;
    let (_, digest) = path.split_once("/blobs/")?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::{count_blobs, listening_on};

    const LOG: &str = r#"
time="2026-01-01T00:00:00Z" level=info msg="listening on 127.0.0.1:4711" version=2
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/manifests/1 HTTP/1.1" 200 700 "" "x"
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "HEAD /v2/a/blobs/sha256:1 HTTP/1.1" 200 700 "" "x"
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/blobs/sha256:1 HTTP/1.1" 200 700 "" "x"
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/blobs/sha256:2 HTTP/1.1" 206 700 "" "x"
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/blobs/sha256:2 HTTP/1.1" 206 700 "" "x"
"#;

    #[test]
    fn the_address_and_the_downloads_are_read_from_the_log() {
        assert_eq!(listening_on(LOG), "127.0.0.1:4711".parse().ok());
        assert_eq!(listening_on("level=info"), None);
        let expected = [("sha256:1".to_owned(), 1), ("sha256:2".to_owned(), 2)];
        assert_eq!(count_blobs(LOG), expected.into());
    }
}
