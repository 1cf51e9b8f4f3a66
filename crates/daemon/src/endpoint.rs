//! Where an instance can be reached: a small file in its data directory, for the CLI.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const FILE: &str = "endpoint.json";

/// How files of the daemon become visible.
const DOOR: durable::Door = durable::Door {
    write: "daemon.write",
    before_rename: "daemon.rename.before",
    after_rename: "daemon.rename.after",
};

/// File in the data directory with the owner's token.
pub const OWNER_TOKEN_FILE: &str = "owner.token";

/// Where an instance can be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Unix socket of the API.
    pub unix: PathBuf,
    /// TCP address of the API.
    pub tcp: SocketAddr,
    /// Runtime directory of the instance.
    pub runtime_dir: PathBuf,
    /// Instance tag.
    pub instance: String,
    /// Process that serves it.
    pub control_pid: u32,
    /// Process that keeps it running, when there is one.
    pub supervisor_pid: Option<u32>,
}

impl Endpoint {
    /// The endpoint of the instance in `data_dir`.
    ///
    /// # Errors
    /// There is none: nothing has ever been started there.
    pub fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self).context("cannot write the endpoint as JSON")?;
        write_private(&data_dir.join(FILE), &text)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    DOOR.replace(&path.with_extension("new"), path, text)
        .with_context(|| format!("cannot write {}", path.display()))
}
