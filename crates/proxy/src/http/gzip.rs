//! Compressing answers on their way.
//!
//! Each piece is flushed, so that what the program sends at once arrives at once.

use super::flow::FlowError;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, VARY,
};
use hyper::{Method, Response, StatusCode};
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Smaller answers gain nothing.
const WORTH_BYTES: u64 = 512;

/// A body compressed with gzip.
#[derive(Debug)]
pub(crate) struct Gzip<B> {
    body: B,
    /// `None` behind the last byte.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// To follow the last byte.
    trailers: Option<HeaderMap>,
}

impl<B> Gzip<B> {
    /// Of `body`, at the speed that suits a proxy.
    pub(crate) fn new(body: B) -> Self {
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Self { body, encoder, trailers: None }
    }

    fn press(&mut self, data: &[u8]) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        encoder.write_all(data)?;
        encoder.flush()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }
}

impl<B: Body<Data = Bytes, Error = FlowError> + Unpin> Body for Gzip<B> {
    type Data = Bytes;
    type Error = FlowError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FlowError>>> {
        let this = self.get_mut();
        if this.encoder.is_none() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        while let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()? {
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    let pressed = this.press(&data).map_err(FlowError::Gzip)?;
                    return Poll::Ready(Some(Ok(Frame::data(pressed))));
                }
                Err(frame) => {
                    this.trailers = frame.into_trailers().ok();
                    break;
                }
            }
        }
        let last = this.encoder.take().map_or_else(|| Ok(Vec::new()), GzEncoder::finish);
        Poll::Ready(Some(last.map(|last| Frame::data(last.into())).map_err(FlowError::Gzip)))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

/// Whether the visitor takes gzip.
pub(crate) fn is_welcome(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_zero = quality.trim().strip_prefix("q=").is_some_and(is_zero_quality);
        name.trim().eq_ignore_ascii_case("gzip") && !is_zero
    })
}

/// `0`, `0.`, `0.0` …
fn is_zero_quality(quality: &str) -> bool {
    quality.starts_with('0') && quality.bytes().all(|b| matches!(b, b'0' | b'.'))
}

/// Whether an answer of a program, of `length` bytes if that is known, gains by it.
pub(crate) fn is_worth_it<B>(method: &Method, answer: &Response<B>, length: Option<u64>) -> bool {
    let headers = answer.headers();
    let has_whole_body = method != Method::HEAD
        && !matches!(
            answer.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
        )
        && !headers.contains_key(CONTENT_RANGE);
    let is_plain = !headers.contains_key(CONTENT_ENCODING);
    let may_change = !text_of(headers, &CACHE_CONTROL).contains("no-transform");
    let is_long = length.is_none_or(|length| length >= WORTH_BYTES);
    has_whole_body && is_plain && may_change && is_long && is_text(&text_of(headers, &CONTENT_TYPE))
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

/// Types that shrink. Events are left alone: they are small and must not be late.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_structured = ["+json", "+xml", "/json", "/xml", "/javascript", "/wasm"]
        .iter()
        .any(|ending| kind.ends_with(ending));
    (kind.starts_with("text/") && kind != "text/event-stream") || is_structured
}

/// Makes the headers say that the body is compressed.
pub(crate) fn mark(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
    let weak = etag.filter(|etag| !etag.starts_with("W/")).map(|etag| format!("W/{etag}"));
    if let Some(Ok(weak)) = weak.map(HeaderValue::try_from) {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests;
