//! Our own calls about images: pull, import, list, show, prune.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the answer to a create says that the registry was not asked: `cached; reason=…`.
pub const IMAGE_HEADER: &str = "dormouse-image";

/// Body of `POST /v1/images/pull`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullImage {
    /// Reference, as Docker writes it: `debian:12`, `registry.example.com/team/web@sha256:…`.
    #[serde(default)]
    pub image: String,
}

/// A line of the answer to a pull. The last one is [`PullLine::Done`] or [`PullLine::Error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum PullLine {
    /// The registry is asked what the reference means.
    Resolving,
    /// Layers are on their way.
    Downloading(PullProgress),
    /// The layers that are here become files.
    Unpacking(PullProgress),
    /// The files become one read-only file system.
    Packing(PullProgress),
    /// The image is here.
    Done(Box<Pulled>),
    /// It cannot be had.
    Error(super::ErrorBody),
}

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PullProgress {
    /// Digest of the image's manifest, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its layers, in order.
    pub layers: Vec<LayerProgress>,
    /// Compressed bytes that are here.
    pub done_bytes: u64,
    /// Compressed bytes of all layers.
    pub total_bytes: u64,
    /// Speed of the last seconds.
    pub bytes_per_s: u64,
}

/// How far a layer is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LayerProgress {
    /// Its digest.
    pub digest: String,
    /// Compressed bytes that are here.
    pub done_bytes: u64,
    /// Its compressed size.
    pub total_bytes: u64,
    /// `waiting`, `downloading` or `done`.
    pub status: String,
}

/// What came of a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Pulled {
    /// The image.
    pub image: ImageInfo,
    /// Whether this pull brought it.
    pub is_new: bool,
    /// Why the registry was not asked: what was here is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_because: Option<String>,
}

/// Body of `POST /v1/images/import`, unless it is the archive itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportImage {
    /// Absolute path on the host: root file system tarball, OCI layout or `docker save` file.
    #[serde(default)]
    pub path: String,
    /// Reference under which machines find it, e.g. `demo` or `demo:1`.
    #[serde(default)]
    pub name: String,
}

/// An image of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageInfo {
    /// Reference that it came by first.
    pub name: String,
    /// All names that lead to it now, `registry/repository:tag`, in order.
    pub tags: Vec<String>,
    /// Digest.
    pub digest: String,
    /// Host of the registry, or `local` for an imported file.
    pub registry: String,
    /// Repository.
    pub repository: String,
    /// Tag; empty when it was asked for by its digest.
    pub tag: String,
    /// Size of its file system image in bytes.
    pub size_bytes: u64,
    /// How much of it other images share.
    pub shared_bytes: u64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: when a machine or a pull asked for it last.
    pub last_used_at: String,
    /// Machines made from it.
    pub machine_count: u32,
    /// Whether its registry wanted credentials: then others need some too.
    pub is_private: bool,
    /// Where it came from.
    pub source: String,
}

/// Answer to `GET /v1/images/{digest}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageDetail {
    /// As in the list.
    #[serde(flatten)]
    pub info: ImageInfo,
    /// What its programs get.
    pub config: ImageConfig,
    /// The layers it was made from, in order.
    pub layers: Vec<ImageLayer>,
    /// Ids of the machines made from it.
    pub machines: Vec<String>,
}

/// The image's part of a machine's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, in order, `NAME=value`.
    pub env: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `StopSignal`, as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<i32>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// A layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageLayer {
    /// Its digest.
    pub digest: String,
    /// Its compressed size.
    pub size_bytes: u64,
}

/// Body of `POST /v1/images/prune`: of the images that nobody needs, which go. All of them without
/// any limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PruneImages {
    /// All but so many, those used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Those not used for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_s: Option<u64>,
    /// As many as it takes for all images to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Only say which would go.
    pub dry_run: bool,
}

/// Answer to a prune.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PrunedImages {
    /// What is gone, or would go.
    pub removed: Vec<ImageInfo>,
    /// The room of these.
    pub freed_bytes: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(line: &PullLine, expected: serde_json::Value) {
        assert_eq!(serde_json::to_value(line).expect("plain fields"), expected);
        let back: PullLine = serde_json::from_value(expected).expect("the same form");
        assert_eq!(&back, line);
    }

    #[test]
    fn lines_of_a_pull_tell_their_status() {
        check(&PullLine::Resolving, json!({"status": "resolving"}));
        let layer = LayerProgress {
            digest: "sha256:a".to_owned(),
            done_bytes: 1,
            total_bytes: 2,
            status: "downloading".to_owned(),
        };
        let progress = PullProgress {
            digest: Some("sha256:b".to_owned()),
            layers: vec![layer],
            done_bytes: 1,
            total_bytes: 2,
            bytes_per_s: 3,
        };
        check(
            &PullLine::Downloading(progress),
            json!({
                "status": "downloading", "digest": "sha256:b", "done_bytes": 1, "total_bytes": 2,
                "bytes_per_s": 3, "layers": [{"digest": "sha256:a", "done_bytes": 1,
                "total_bytes": 2, "status": "downloading"}]
            }),
        );
    }

    #[test]
    fn a_failed_pull_ends_with_a_whole_error() {
        let body = crate::Problem::internal("x").body;
        let line = serde_json::to_value(PullLine::Error(*body)).expect("plain fields");
        assert_eq!((&line["status"], &line["code"]), (&json!("error"), &json!("internal")));
        assert_eq!(line["retryable"], json!(false));
    }
}
