//! `POST /v1/images/pull`: an image comes from its registry, and tells how far it is.
//!
//! What is wrong before anything has come is an ordinary error with its status. After that the
//! status is 200 and each line of the answer is one JSON object; the last line says how it ended.
//! A caller who leaves does not end the pull: others may wait for it, and its bytes are kept.

use super::speed::Speed;
use crate::contract::{PullImage, PullLine};
use crate::problem::Problem;
use crate::v1::body::JsonBody;
use crate::v1::extract::Caller;
use crate::v1::registry_auth::RegistryAuth;
use crate::v1::{Answer, view};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use control::{Control, PullHandle};
use futures_util::stream;
use std::convert::Infallible;
use tokio::time::Instant;

/// `POST /v1/images/pull`.
pub(in crate::v1) async fn pull(
    State(control): State<Control>,
    who: Caller,
    auth: RegistryAuth,
    body: JsonBody,
) -> Answer {
    who.must_be_owner()?;
    let reference = body.to::<PullImage>()?.image;
    if reference.is_empty() {
        return Err(Problem::invalid("image_missing", "image is required")
            .hint("send `{\"image\": \"debian:12\"}`"));
    }
    let wish = control::PullImage { reference, access: auth.of_owner() };
    let lines = Lines::of(control.pull_image(wish).await.map_err(super::problem)?);
    let body = Body::from_stream(stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        Some((Ok::<_, Infallible>(json_line(&line)), lines))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The lines of one answer, as many as the pull reports.
#[derive(Debug)]
struct Lines {
    /// None once it has ended.
    pull: Option<PullHandle>,
    speed: Speed,
}

impl Lines {
    fn of(pull: PullHandle) -> Self {
        Self { pull: Some(pull), speed: Speed::default() }
    }

    async fn next(&mut self) -> Option<PullLine> {
        let Some(progress) = self.pull.as_mut()?.next().await else { return self.last().await };
        let bytes_per_s = self.speed.at(Instant::now(), progress.done_bytes);
        match view::pull_line(&progress, bytes_per_s) {
            Some(line) => Some(line),
            None => self.last().await,
        }
    }

    /// How it ended.
    async fn last(&mut self) -> Option<PullLine> {
        Some(match self.pull.take()?.finish().await {
            Ok(pulled) => PullLine::Done(Box::new(view::pulled(&pulled))),
            Err(error) => PullLine::Error(super::problem(error).body.without_word()),
        })
    }
}

fn json_line(line: &PullLine) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("a line has only plain fields");
    text.push(b'\n');
    Bytes::from(text)
}
