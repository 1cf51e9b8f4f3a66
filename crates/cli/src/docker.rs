//! Docker's `config.json` of the caller: what they have to show to a registry.
//!
//! The file stays here. Only what it has for the registry of one image goes to the daemon, with the
//! request that needs it.

use crate::failure::Failure;
use registry::docker_config::{BadDockerConfig, CONFIG_MAX_BYTES};
use registry::{Credentials, DockerConfig, Reference, RegistryError};
use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The caller's credentials for the registry of `image`; anonymous when they have not logged in
/// there, or when `image` names no registry's image.
pub(crate) fn credentials_for(image: &str) -> Result<Credentials, Failure> {
    let Some(path) = config_file() else { return Ok(Credentials::Anonymous) };
    let Ok(reference) = image.parse::<Reference>() else { return Ok(Credentials::Anonymous) };
    match read(&path) {
        Ok(bytes) => DockerConfig::parse(&bytes)
            .and_then(|config| config.credentials_for(&reference))
            .map_err(|bad| unusable(&path, bad)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Credentials::Anonymous),
        Err(error) => Err(Failure::new(
            format!("cannot read {}: {error}", path.display()),
            "make it readable, or set `DOCKER_CONFIG` to another directory",
        )),
    }
}

/// `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
fn config_file() -> Option<PathBuf> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = given("DOCKER_CONFIG").or_else(|| given("HOME").map(|home| home.join(".docker")))?;
    Some(dir.join("config.json"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than it may have, for the parser to see.
    File::open(path)?.take(CONFIG_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unusable(path: &Path, bad: BadDockerConfig) -> Failure {
    let message = format!("cannot use {}: {bad}", path.display());
    let hint = RegistryError::from(bad).hint().unwrap_or("log in again with `docker login`");
    Failure::new(message, hint)
}
