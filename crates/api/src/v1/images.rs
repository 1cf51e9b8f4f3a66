//! Images of this host (our addition): they are pulled or imported, and machines are made from them.
//!
//! Images belong to the host, so these calls are its owner's; a token of an app gets what it may
//! have by creating machines. A token that may read everything may look.

pub(super) mod import;
pub(super) mod pull;
mod speed;

use super::body::JsonBody;
use super::extract::Caller;
use super::{Answer, reply, view};
use crate::auth::{Need, Target};
use crate::contract::PruneImages;
use crate::problem::Problem;
use axum::extract::{Path, State};
use control::{Control, ControlError};
use model::{Digest, DurationMs};

fn problem(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}

/// `GET /v1/images`.
pub(super) async fn list(State(control): State<Control>, who: Caller) -> Answer {
    who.0.check(Need::Read, Target::Host)?;
    let images = control.images().map_err(problem)?;
    reply::ok(&images.iter().map(view::image).collect::<Vec<_>>())
}

/// `GET /v1/images/{digest}`.
pub(super) async fn show(
    State(control): State<Control>,
    who: Caller,
    Path(digest): Path<String>,
) -> Answer {
    who.0.check(Need::Read, Target::Host)?;
    let detail = control.image(&parsed(&digest)?).map_err(problem)?;
    reply::ok(&view::image_detail(&detail))
}

/// `DELETE /v1/images/{digest}`.
pub(super) async fn remove(
    State(control): State<Control>,
    who: Caller,
    Path(digest): Path<String>,
) -> Answer {
    who.must_be_owner()?;
    control.remove_image(&parsed(&digest)?).await.map_err(problem)?;
    reply::done()
}

/// `POST /v1/images/prune`.
pub(super) async fn prune(State(control): State<Control>, who: Caller, body: JsonBody) -> Answer {
    who.must_be_owner()?;
    let wish: PruneImages = body.to()?;
    let pruned = control
        .prune_images(control::PruneImages {
            keep_last: wish.keep,
            older_than: wish.older_than_s.map(DurationMs::from_secs),
            max_bytes: wish.max_bytes,
            dry_run: wish.dry_run,
        })
        .await
        .map_err(problem)?;
    reply::ok(&view::pruned(&pruned, wish.dry_run))
}

fn parsed(digest: &str) -> Result<Digest, Problem> {
    digest.parse().map_err(|error| {
        Problem::invalid("invalid_digest", format!("`{digest}` is not a digest: {error}"))
            .hint("`GET /v1/images` shows digests")
    })
}
