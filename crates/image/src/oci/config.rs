//! Image configs: what a program needs, and what the image was made for.

use super::signal::signal_number;
use super::{FoundLayer, pair_layers};
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
pub(super) struct ConfigFile {
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

impl ConfigFile {
    /// The layers of these names and digests, with the diff ids of this config; refuses an image
    /// made for another platform.
    pub(super) fn into_parts(
        self,
        layers: Vec<(String, Option<Digest>)>,
    ) -> Result<(ImageConfig, Vec<FoundLayer>), ImageError> {
        let host = Platform::host();
        if self.platform != host {
            let (host, offered) = (host.to_string(), self.platform.to_string());
            return Err(ImageError::NoVariant { host, offered });
        }
        let layers = pair_layers(layers, self.rootfs.diff_ids.unwrap_or_default())?;
        Ok((self.config.unwrap_or_default().into(), layers))
    }
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
        let file: ConfigFile = serde_json::from_str(&text).unwrap();
        let (config, layers) = file.into_parts(vec![("a".to_owned(), None)]).unwrap();
        let expected = ImageConfig {
            cmd: vec!["sh".to_owned()],
            stop_signal: Some(3),
            ..ImageConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(layers[0].diff_id.as_str(), diff_id);
    }

    #[test]
    fn other_platforms_and_wrong_counts_are_refused() {
        let parts =
            |text: &str| serde_json::from_str::<ConfigFile>(text).unwrap().into_parts(vec![]);
        let other = r#"{"os":"linux","architecture":"s390x","rootfs":{"diff_ids":[]}}"#;
        assert!(matches!(parts(other), Err(ImageError::NoVariant { .. })));
        let host = Platform::host();
        let digest = format!("sha256:{}", "0".repeat(64));
        let more = format!(
            r#"{{"os":"linux","architecture":"{}","rootfs":{{"diff_ids":["{digest}"]}}}}"#,
            host.architecture
        );
        assert!(matches!(parts(&more), Err(ImageError::NotAnImage { .. })));
    }
}
