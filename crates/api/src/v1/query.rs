//! Parameters of the query part, each with its error.

use crate::contract::GoDuration;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

/// The parameters of a request, in order.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| Problem::invalid("invalid_parameter", error.body_text()))
    }
}

impl Params {
    /// The value of `name`, unless it is empty.
    pub(super) fn text<'a>(&'a self, name: &str) -> Option<&'a str> {
        let is_set = |(key, value): &&(String, String)| key == name && !value.is_empty();
        self.0.iter().find(is_set).map(|(_, value)| value.as_str())
    }

    /// All values of `name`: it may repeat, and each may be a comma list.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name).flat_map(|value| value.split(',')).filter(|item| !item.is_empty())
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Parameters whose name begins with `prefix`, without it.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// Whether `name` is on: `true`, `1` or without a value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.values(name).next() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => Err(wrong(name, other, "true or false")),
        }
    }

    /// The number `name`.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|_not_a_number| wrong(name, text, "a whole number")))
            .transpose()
    }

    /// The length of time `name`: seconds, or a Go duration.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<GoDuration>, Problem> {
        let read = |text: &str| match text.parse::<u64>() {
            Ok(seconds) => Ok(GoDuration::from_ms(seconds.saturating_mul(1000))),
            Err(_not_a_number) => text
                .parse()
                .map_err(|_invalid| wrong(name, text, "seconds, or a duration like `1m30s`")),
        };
        self.text(name).map(read).transpose()
    }

    /// `name`, parsed.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|error: T::Err| invalid(name, text, &error)))
            .transpose()
    }
}

/// 400: the parameter is not what it must be.
pub(super) fn wrong(name: &str, value: &str, expected: &str) -> Problem {
    let message = format!("parameter `{name}` is `{value}`");
    Problem::invalid("invalid_parameter", message).hint(format!("expected {expected}"))
}

fn invalid(name: &str, value: &str, error: &dyn std::fmt::Display) -> Problem {
    let message = format!("parameter `{name}` is `{value}`");
    Problem::invalid("invalid_parameter", message).hint(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::Params;
    use axum::extract::FromRequestParts as _;

    async fn params(query: &str) -> Params {
        let request = axum::http::Request::get(format!("/x?{query}")).body(()).expect("a request");
        let (mut parts, ()) = request.into_parts();
        Params::from_request_parts(&mut parts, &()).await.expect("valid")
    }

    #[tokio::test]
    async fn parameters_are_read_by_kind() {
        let p = params("state=a,b&state=c&on&off=0&n=5&t=1m&s=30&metadata.k=v&empty=").await;
        assert_eq!(p.list("state").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(p.flag("on").expect("flag") && !p.flag("off").expect("flag"));
        assert!(!p.flag("absent").expect("flag"));
        assert!(p.flag("n").is_err());
        assert_eq!(p.number("n").expect("number"), Some(5));
        assert!(p.number("t").is_err());
        assert_eq!(p.number("empty").expect("absent"), None);
        assert_eq!(p.seconds("t").expect("duration").expect("set").to_ms().0, 60_000);
        assert_eq!(p.seconds("s").expect("duration").expect("set").to_ms().0, 30_000);
        assert!(p.seconds("state").is_err());
        assert_eq!(p.with_prefix("metadata.").collect::<Vec<_>>(), [("k", "v")]);
    }
}
