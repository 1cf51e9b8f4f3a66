//! `POST /v1/images/import`: an image from a file of the host, or from the body of the request.

use crate::contract::{ImageInfo, ImportImage};
use crate::problem::Problem;
use crate::v1::body::{DRAIN_MAX_BYTES, read_json};
use crate::v1::extract::Caller;
use crate::v1::query::Params;
use crate::v1::{Answer, reply, view};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use control::Control;
use futures_util::StreamExt as _;
use image::ImportSource;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Parts of a body between the connection and the importer: a few, so that a slow disk slows the
/// sender down. hyper's parts have at most some hundred KiB.
const PARTS_MAX: usize = 4;

/// Longest wait for the next part of an archive: `docker save` thinks for a while before it sends.
const STALL_MAX: Duration = Duration::from_secs(300);

/// `POST /v1/images/import` with `{"path", "name"}`, or `?name=` with the archive as body. The daemon
/// reads a file of the host, or fills its disk: only the owner may ask.
pub(in crate::v1) async fn import(
    State(control): State<Control>,
    who: Caller,
    params: Params,
    request: Request,
) -> Answer {
    who.must_be_owner()?;
    match params.text("name") {
        Some(name) if !is_json(&request) => {
            let (feed, archive) = pipe();
            let source = ImportSource::Reader(Box::new(archive));
            let importing = import_from(&control, source, name.to_owned());
            let (answer, ()) = tokio::join!(importing, send(request.into_body(), feed));
            answer
        }
        _ => {
            let wish: ImportImage = crate::spec::typed(&read_json(request).await?, "")?;
            let source = ImportSource::Path(place(&wish)?);
            import_from(&control, source, wish.name).await
        }
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"))
}

/// The file or directory that the caller names. What it is shows when it is read.
fn place(wish: &ImportImage) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(&wish.path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Problem::invalid("invalid_path", "path is not absolute").hint(
        "give the path on the host that runs the daemon, beginning with `/`, or send the archive as \
         the body with `?name=`",
    ))
}

async fn import_from(control: &Control, source: ImportSource<'static>, name: String) -> Answer {
    let record = control.import_image(source, name).await.map_err(super::problem)?;
    let detail = control.image(&record.image.digest).map_err(super::problem)?;
    let named = ImageInfo { name: view::reference(&record.image), ..view::image(&detail.info) };
    reply::json(StatusCode::CREATED, &named)
}

/// A part of an archive; `None` is its end, and an end without it is none.
type Part = Option<Bytes>;

fn pipe() -> (mpsc::Sender<Part>, Archive) {
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    (sender, Archive { parts, current: Bytes::new(), is_whole: false })
}

/// Sends the body on as fast as it is read. What nobody reads is thrown away, up to a bound, so that
/// the caller sees the answer and not a reset.
async fn send(body: Body, feed: mpsc::Sender<Part>) {
    let mut body = body.into_data_stream();
    loop {
        match next_part(&mut body).await {
            Ok(Some(part)) => {
                if feed.send(Some(part)).await.is_err() {
                    return drain(body).await;
                }
            }
            // Nobody listens any more when the importer has seen enough.
            Ok(None) => return drop(feed.send(None).await),
            // The importer sees an archive that ends without its end.
            Err(why) => return tracing::debug!(why, "the body of an import broke off"),
        }
    }
}

async fn next_part(body: &mut BodyDataStream) -> Result<Part, &'static str> {
    match tokio::time::timeout(STALL_MAX, body.next()).await {
        Ok(Some(Ok(part))) => Ok(Some(part)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err("the connection broke"),
        Err(_elapsed) => Err("nothing came for too long"),
    }
}

async fn drain(mut body: BodyDataStream) {
    let mut left = DRAIN_MAX_BYTES;
    while let Ok(Some(part)) = next_part(&mut body).await {
        let Some(less) = left.checked_sub(part.len()) else { return };
        left = less;
    }
}

/// The body of a request as its importer reads it, on a thread that may block.
#[derive(Debug)]
struct Archive {
    parts: mpsc::Receiver<Part>,
    current: Bytes,
    is_whole: bool,
}

impl Read for Archive {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.is_whole {
            match self.parts.blocking_recv() {
                Some(Some(part)) => self.current = part,
                Some(None) => self.is_whole = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let n = into.len().min(self.current.len());
        into[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    /// What the importer reads of `parts`, of at most so many bytes.
    async fn read(parts: Vec<&'static [u8]>, max: u64) -> io::Result<Vec<u8>> {
        let (feed, archive) = pipe();
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            archive.take(max).read_to_end(&mut read).map(|_| read)
        });
        let parts = parts.into_iter().map(|part| Ok::<_, Infallible>(Bytes::from_static(part)));
        send(Body::from_stream(stream::iter(parts)), feed).await;
        reading.await.expect("no panic")
    }

    #[tokio::test]
    async fn a_body_is_read_in_order_and_to_its_end() {
        let parts = vec![b"one ".as_slice(), b"", b"two ", b"three ", b"four ", b"five ", b"six"];
        let whole = read(parts, u64::MAX).await.expect("whole");
        assert_eq!(whole, b"one two three four five six");
        assert_eq!(read(Vec::new(), u64::MAX).await.expect("whole"), b"");
    }

    #[tokio::test]
    async fn an_importer_that_stops_reading_does_not_hold_the_sender_up() {
        let parts = vec![[7_u8; 1024].as_slice(); 100];
        assert_eq!(read(parts, 10).await.expect("the beginning"), [7; 10]);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_has_no_end() {
        let (feed, mut archive) = pipe();
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            let error = archive.read_to_end(&mut read).expect_err("no end");
            (read, error.kind())
        });
        let parts = [Ok(Bytes::from_static(b"half")), Err(io::Error::other("reset"))];
        send(Body::from_stream(stream::iter(parts)), feed).await;
        let (read, kind) = reading.await.expect("no panic");
        assert_eq!((read.as_slice(), kind), (b"half".as_slice(), io::ErrorKind::UnexpectedEof));
    }
}
