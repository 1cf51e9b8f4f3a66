//! Images as answers show them.

use super::reference;
use crate::contract::image::{ImageConfig, ImageLayer};
use crate::contract::moment::rfc3339;
use crate::contract::{
    ImageDetail, ImageInfo, LayerProgress, PrunedImages, PullLine, PullProgress, Pulled,
};
use control::PullStage;

pub(in crate::v1) fn image(info: &control::ImageInfo) -> ImageInfo {
    let image = &info.image;
    ImageInfo {
        name: reference(image),
        tags: info.tags.clone(),
        digest: image.digest.to_string(),
        registry: image.registry.clone(),
        repository: image.repository.clone(),
        tag: image.tag.clone(),
        size_bytes: info.size_bytes,
        shared_bytes: info.shared_bytes,
        created_at: rfc3339(info.created_at),
        last_used_at: rfc3339(info.last_used_at),
        machine_count: info.n_machines,
        is_private: info.is_private,
        source: info.source.clone(),
    }
}

pub(in crate::v1) fn image_detail(detail: &control::ImageDetail) -> ImageDetail {
    let layer = |(digest, size_bytes): &(model::Digest, u64)| ImageLayer {
        digest: digest.to_string(),
        size_bytes: *size_bytes,
    };
    let config = &detail.config;
    ImageDetail {
        info: image(&detail.info),
        config: ImageConfig {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config.env.clone(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            stop_signal: config.stop_signal,
            labels: config.labels.clone(),
        },
        layers: detail.layers.iter().map(layer).collect(),
        machines: detail.machines.iter().map(ToString::to_string).collect(),
    }
}

pub(in crate::v1) fn pruned(pruned: &control::PrunedImages, dry_run: bool) -> PrunedImages {
    PrunedImages {
        removed: pruned.removed.iter().map(image).collect(),
        freed_bytes: pruned.freed_bytes,
        dry_run,
    }
}

pub(in crate::v1) fn pulled(pulled: &control::PulledImage) -> Pulled {
    Pulled {
        image: image(&pulled.info),
        is_new: pulled.is_new,
        cached_because: pulled.cached_because.clone(),
    }
}

/// The line of a pull that goes on; none of one that is done.
pub(in crate::v1) fn pull_line(
    progress: &control::PullProgress,
    bytes_per_s: u64,
) -> Option<PullLine> {
    let shown = || PullProgress {
        digest: progress.digest.as_ref().map(ToString::to_string),
        layers: progress.layers.iter().map(layer).collect(),
        done_bytes: progress.done_bytes,
        total_bytes: progress.total_bytes,
        bytes_per_s,
    };
    match progress.stage {
        PullStage::Resolving => Some(PullLine::Resolving),
        PullStage::Downloading => Some(PullLine::Downloading(shown())),
        PullStage::Unpacking => Some(PullLine::Unpacking(shown())),
        PullStage::Packing => Some(PullLine::Packing(shown())),
        PullStage::Done => None,
    }
}

fn layer(layer: &control::LayerProgress) -> LayerProgress {
    let status = match layer.done_bytes {
        done if done >= layer.total_bytes => "done",
        0 => "waiting",
        _ => "downloading",
    };
    LayerProgress {
        digest: layer.digest.to_string(),
        done_bytes: layer.done_bytes,
        total_bytes: layer.total_bytes,
        status: status.to_owned(),
    }
}
