//! Image configs: what a program needs, and what the image was made for.

use super::parse;
use super::signal::signal_number;
use crate::error::ImageError;
use model::ids::Digest;
use model::spec::ImageConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Platform {
    /// This host's, in the words of image configs (those of Go).
    pub(crate) fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// The document; absent and null mean the same everywhere in it.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<Defaults>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Defaults {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// Reads a config: what programs need, and the digests of the decompressed layers; refuses an
/// image made for another platform.
pub(crate) fn read_config(
    name: &str,
    bytes: &[u8],
) -> Result<(ImageConfig, Vec<Digest>), ImageError> {
    let file: ConfigFile = parse(name, bytes)?;
    let host = Platform::host();
    if file.platform != host {
        let (host, offered) = (host.to_string(), file.platform.to_string());
        return Err(ImageError::NoVariant { host, offered });
    }
    let diff_ids = file.rootfs.diff_ids.unwrap_or_default();
    Ok((file.config.unwrap_or_default().into(), diff_ids))
}

impl From<Defaults> for ImageConfig {
    fn from(defaults: Defaults) -> Self {
        Self {
            entrypoint: defaults.entrypoint.unwrap_or_default(),
            cmd: defaults.cmd.unwrap_or_default(),
            env: defaults.env.unwrap_or_default(),
            user: defaults.user.unwrap_or_default(),
            working_dir: defaults.working_dir.unwrap_or_default(),
            stop_signal: defaults.stop_signal.as_deref().and_then(signal_number),
            labels: defaults.labels.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_null_mean_the_same() {
        let diff_id = format!("sha256:{}", "0".repeat(64));
        let text = format!(
            r#"{{"os":"linux","architecture":"{}","config":{{"Cmd":["sh"],"Entrypoint":null,
            "StopSignal":"SIGQUIT","Labels":null}},"rootfs":{{"type":"layers",
            "diff_ids":["{diff_id}"]}},"history":[]}}"#,
            Platform::host().architecture
        );
        let (config, diff_ids) = read_config("config", text.as_bytes()).unwrap();
        let expected = ImageConfig {
            cmd: vec!["sh".to_owned()],
            stop_signal: Some(3),
            ..ImageConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(diff_ids[0].as_str(), diff_id);
    }

    #[test]
    fn other_platforms_are_refused() {
        let other = r#"{"os":"linux","architecture":"s390x","rootfs":{"diff_ids":[]}}"#;
        let refused = read_config("config", other.as_bytes()).unwrap_err();
        assert!(matches!(refused, ImageError::NoVariant { .. }), "{refused}");
    }

    #[test]
    fn labels_are_carried() {
        let text = format!(
            r#"{{"os":"linux","architecture":"{}","config":{{"Labels":{{"dev.dormouse.policy":
            "{{\"rules\":[]}}"}}}},"rootfs":{{"diff_ids":[]}}}}"#,
            Platform::host().architecture
        );
        let (config, _) = read_config("config", text.as_bytes()).unwrap();
        assert_eq!(config.labels["dev.dormouse.policy"], r#"{"rules":[]}"#);
    }
}
