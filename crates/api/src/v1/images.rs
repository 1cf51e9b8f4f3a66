//! Images of this host (our addition): files are imported, machines are made from them.

use super::body::JsonBody;
use super::extract::Caller;
use super::{Answer, reply, view};
use crate::auth::{Need, Target};
use crate::contract::ImportImage;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::Control;
use model::Digest;
use std::path::PathBuf;

/// `GET /v1/images`.
pub(super) async fn list(State(control): State<Control>, who: Caller) -> Answer {
    who.0.check(Need::Read, Target::Host)?;
    let images = control.images().map_err(|e| Problem::from_control(&e, None))?;
    reply::ok(&images.iter().map(view::image).collect::<Vec<_>>())
}

/// `POST /v1/images/import`: the daemon reads a file of the host, so only the owner may ask.
pub(super) async fn import(State(control): State<Control>, who: Caller, body: JsonBody) -> Answer {
    who.must_be_owner()?;
    let wish: ImportImage = body.to()?;
    let source = PathBuf::from(&wish.path);
    if !source.is_absolute() {
        return Err(Problem::invalid("invalid_path", "path is not absolute")
            .hint("give the path on the host that runs the daemon, beginning with `/`"));
    }
    let image = control
        .import_image(source, wish.name)
        .await
        .map_err(|e| Problem::from_control(&e, None))?;
    reply::json(StatusCode::CREATED, &view::image(&image))
}

/// `DELETE /v1/images/{digest}`.
pub(super) async fn remove(
    State(control): State<Control>,
    who: Caller,
    Path(digest): Path<String>,
) -> Answer {
    who.must_be_owner()?;
    let digest: Digest = digest.parse().map_err(|error| {
        Problem::invalid("invalid_digest", format!("`{digest}` is not a digest: {error}"))
            .hint("`GET /v1/images` shows digests")
    })?;
    control.remove_image(&digest).await.map_err(|e| Problem::from_control(&e, None))?;
    reply::done()
}
