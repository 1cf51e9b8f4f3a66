//! Names of requests, to find one in the logs of everybody it passed.

use hyper::header::HeaderValue;
use model::ids::EventId;

/// `<ULID>-<region>`. Source: machines-api 4.7.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// A new one. Without randomness it is only less unique.
    pub(crate) fn draw(region: &str) -> Self {
        let mut chance = [0; 10];
        if let Err(error) = getrandom::fill(&mut chance) {
            tracing::debug!(%error, "no randomness for a request id");
        }
        let text = format!("{}-{region}", EventId::new(model::clock::now(), chance));
        Self(
            HeaderValue::try_from(text).unwrap_or_else(|_odd_region| HeaderValue::from_static("-")),
        )
    }

    /// As a header's value.
    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}
