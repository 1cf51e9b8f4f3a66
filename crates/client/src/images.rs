//! Images of the host.

use crate::body::Upload;
use crate::lines::Lines;
use crate::path::encoded;
use crate::{Client, ClientError};
use api::contract::{
    ImageDetail, ImageInfo, ImportImage, Ok as Done, PruneImages, PrunedImages, PullImage, PullLine,
};
use bytes::Bytes;
use http_body_util::Either;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest import, from the first byte sent to the answer: 64 GiB at 20 MB a second.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(3600);

/// How far a pull is, line by line. Dropping it ends the call and not the pull.
#[derive(Debug)]
pub struct PullStream(Lines);

impl Client {
    /// Pulls an image; private ones need [`Client::with_credentials`]. Only the owner of the host
    /// may.
    ///
    /// # Errors
    /// [`ClientError`]; codes `invalid_image`, `image_…`, `registry_…`.
    pub async fn pull_image(&self, reference: &str) -> Result<PullStream, ClientError> {
        let path = "/v1/images/pull";
        let wish = PullImage { image: reference.to_owned() };
        let request = self.request(Method::POST, path, &wish, &[])?;
        Ok(PullStream(Lines::new(path.to_owned(), self.send(request).await?)))
    }

    /// Makes an image from a file or directory of the daemon's host.
    ///
    /// # Errors
    /// [`ClientError`]; codes `image_…`, `disk_full`.
    pub async fn import_image(&self, path: &str, name: &str) -> Result<ImageInfo, ClientError> {
        let wish = ImportImage { path: path.to_owned(), name: name.to_owned() };
        let request = self.request(Method::POST, "/v1/images/import", &wish, &[])?;
        Ok(self.exchange_within(IMPORT_TIMEOUT, request).await?.0)
    }

    /// Makes an image from an archive whose parts are sent as they come, as fast as the daemon reads.
    ///
    /// # Errors
    /// As [`Client::import_image`]; [`ClientError::Http`] also when a part is an error: then the
    /// daemon keeps nothing.
    pub async fn import_archive(
        &self,
        archive: mpsc::Receiver<io::Result<Bytes>>,
        name: &str,
    ) -> Result<ImageInfo, ClientError> {
        let path = format!("/v1/images/import?name={}", encoded(name));
        let (mut head, _no_body) = self.request(Method::POST, &path, &(), &[])?.into_parts();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let request = Request::from_parts(head, Either::Right(Upload(archive)));
        Ok(self.exchange_within(IMPORT_TIMEOUT, request).await?.0)
    }

    /// Images of the host.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn images(&self) -> Result<Vec<ImageInfo>, ClientError> {
        self.get("/v1/images").await
    }

    /// One image.
    ///
    /// # Errors
    /// [`ClientError`]; code `image_not_found`.
    pub async fn image(&self, digest: &str) -> Result<ImageDetail, ClientError> {
        self.get(&of_digest(digest)).await
    }

    /// Removes images that nobody needs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prune_images(&self, wish: &PruneImages) -> Result<PrunedImages, ClientError> {
        self.post("/v1/images/prune", wish).await
    }

    /// Removes an image that no machine needs.
    ///
    /// # Errors
    /// [`ClientError`]; codes `image_in_use`, `image_not_found`.
    pub async fn remove_image(&self, digest: &str) -> Result<(), ClientError> {
        self.delete::<Done>(&of_digest(digest)).await.map(|_| ())
    }
}

fn of_digest(digest: &str) -> String {
    format!("/v1/images/{}", encoded(digest))
}

impl PullStream {
    /// The next line; `None` at the end, which comes after [`PullLine::Done`] or
    /// [`PullLine::Error`] unless the daemon ended.
    ///
    /// # Errors
    /// [`ClientError`]: the stream is of no use after it.
    pub async fn next(&mut self) -> Result<Option<PullLine>, ClientError> {
        self.0.next().await
    }
}
