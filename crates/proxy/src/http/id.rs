//! Names of requests, to find one in the logs of everybody it passed.

use hyper::header::HeaderValue;
use model::ids::EventId;
use std::cell::RefCell;

/// Random bytes of an id.
const CHANCE_BYTES: usize = 10;

/// Ids whose random bytes are drawn at once.
const DRAWN_AT_ONCE: usize = 100;

/// `<ULID>-<region>`. Source: machines-api 4.7.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// A new one. Without randomness it is only less unique.
    pub(crate) fn draw(region: &str) -> Self {
        let text = format!("{}-{region}", EventId::new(model::clock::now(), chance()));
        Self(
            HeaderValue::try_from(text).unwrap_or_else(|_odd_region| HeaderValue::from_static("-")),
        )
    }

    /// As a header's value.
    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Drawn for many ids at a time: asking the kernel costs as much as passing a header on.
fn chance() -> [u8; CHANCE_BYTES] {
    thread_local! {
        static DRAWN: RefCell<Vec<[u8; CHANCE_BYTES]>> = const { RefCell::new(Vec::new()) };
    }
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.is_empty() {
            let mut bytes = [0; DRAWN_AT_ONCE * CHANCE_BYTES];
            if let Err(error) = getrandom::fill(&mut bytes) {
                tracing::debug!(%error, "no randomness for request ids");
            }
            drawn.extend_from_slice(bytes.as_chunks().0);
        }
        drawn.pop().unwrap_or_default()
    })
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}
