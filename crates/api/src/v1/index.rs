//! `GET /`: what there is, for whoever comes for the first time; and where to go from a path that is
//! not there.

use super::{Answer, reply, table};
use crate::contract::app::DEFAULT_ORG;
use crate::contract::index::{Index, Step};
use crate::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What clients of the Machines API expect where there is nothing. Source: machines-api 1.3.
const NOT_FOUND: &str = "404 page not found";

/// Where to begin, as a header.
const TO_INDEX: &str = "</>; rel=\"index\"";

/// Operations that a hint names at most.
const NEAR_MAX: usize = 3;

/// First segment of every path but that of the index.
const VERSION: &str = "v1";

/// What a segment counts that is the same in both paths.
const SAME_WORD: usize = 4;

/// `GET /` and `GET /v1`: without a token, as nothing of the host is told.
pub(super) async fn index() -> Answer {
    let apps = format!("/v1/apps?org_slug={DEFAULT_ORG}");
    let machines = format!("/v1/orgs/{DEFAULT_ORG}/machines");
    let links = [
        ("description", "/v1/openapi.json"),
        ("apps", apps.as_str()),
        ("machines", &machines),
        ("images", "/v1/images"),
        ("regions", "/v1/platform/regions"),
        ("token", "/v1/tokens/current"),
        ("usage", "/v1/usage"),
        ("doctor", "/v1/doctor"),
        ("health", "/healthz"),
        ("metrics", "/metrics"),
    ];
    let steps = [
        step(
            "Create an app.",
            "POST",
            "/v1/apps",
            json!({"name": "demo", "org_slug": DEFAULT_ORG}),
        ),
        step("Pull an image.", "POST", "/v1/images/pull", json!({"image": "nginx"})),
        step(
            "Create a machine in it; it starts by itself.",
            "POST",
            "/v1/apps/demo/machines",
            json!({"config": {"image": "nginx"}}),
        ),
        step(
            "Wait until it runs.",
            "GET",
            "/v1/apps/demo/machines/{id}/wait?state=started",
            json!(null),
        ),
        step(
            "Follow what happens, with `Accept: text/event-stream`.",
            "GET",
            "/v1/apps/demo/events",
            json!(null),
        ),
    ];
    reply::ok(&Index {
        name: "dormouse".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        about: "Machines that are made once and started in milliseconds, by the Machines API."
            .to_owned(),
        authentication: "`Authorization: Bearer <token>`; `dormouse token create` makes one, and \
                         the unix socket needs none."
            .to_owned(),
        links: links.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect(),
        steps: steps.into(),
        operations: operations()
            .iter()
            .map(|(path, methods)| (path.clone(), methods.iter().cloned().collect()))
            .collect(),
    })
}

fn step(about: &str, method: &str, path: &str, body: serde_json::Value) -> Step {
    Step { about: about.to_owned(), method: method.to_owned(), path: path.to_owned(), body }
}

/// A path that is not there: plain text, as clients know it, unless the caller asks for JSON.
pub(super) async fn unknown_route(request: Request) -> Response {
    let near = near(request.uri().path());
    let hint = match near.is_empty() {
        true => "`GET /` lists what there is".to_owned(),
        false => format!("did you mean {}? `GET /` lists what there is", near.join(" or ")),
    };
    let mut response = if accepts_json(request.headers()) {
        Problem::new(StatusCode::NOT_FOUND, "no_such_path", NOT_FOUND).hint(hint).into_response()
    } else {
        let text = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
        (StatusCode::NOT_FOUND, [text], NOT_FOUND).into_response()
    };
    response.headers_mut().insert(header::LINK, header::HeaderValue::from_static(TO_INDEX));
    response
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accepted.any(|value| value.contains("application/json"))
}

/// All paths with their methods.
fn operations() -> &'static BTreeMap<String, BTreeSet<String>> {
    static OPERATIONS: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    OPERATIONS.get_or_init(|| {
        let mut by_path: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for operation in table::operations() {
            by_path.entry(operation.path).or_default().insert(operation.method.to_string());
        }
        by_path
    })
}

/// The paths that agree with `asked` for longest, in words; none when not even their beginning does.
fn near(asked: &str) -> Vec<String> {
    // Whoever has another base URL forgets ours.
    let added = (segments(asked).next() != Some(VERSION)).then_some(VERSION);
    let asked: Vec<&str> = added.into_iter().chain(segments(asked)).collect();
    let of_itself = if added.is_some() { SAME_WORD } else { 0 };
    let likeness = |path: &str| likeness(&asked, &segments(path).collect::<Vec<_>>());
    let mut ranked: Vec<_> =
        operations().iter().map(|(path, methods)| (likeness(path), path, methods)).collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let best = ranked.first().map_or(0, |(likeness, ..)| *likeness);
    let ranked =
        ranked.into_iter().take_while(|(likeness, ..)| *likeness == best && best > of_itself + 1);
    ranked
        .take(NEAR_MAX)
        .map(|(_, path, methods)| {
            let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
            format!("`{} {path}`", methods.join("|"))
        })
        .collect()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// How much two paths agree, from their beginnings on: more for the same word than for a parameter,
/// less for every segment that only one of them has.
fn likeness(asked: &[&str], known: &[&str]) -> usize {
    let alike = asked.iter().zip(known).map(|(asked, known)| match known {
        known if known.eq_ignore_ascii_case(asked) => SAME_WORD,
        known if known.starts_with('{') => 3,
        known if is_slip(asked, known) => 3,
        _ => 0,
    });
    let score: usize = alike.take_while(|score| *score > 0).sum();
    score.saturating_sub(asked.len().abs_diff(known.len()))
}

/// Whether one is the other with a letter more or less at its end: `machine`, `machines`.
fn is_slip(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.len() - short.len() <= 2 && short.len() > 2 && long.starts_with(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &str, expected: &str) {
        let near = near(asked);
        assert!(near.iter().any(|hint| hint.contains(expected)), "{asked}: {near:?}");
    }

    #[test]
    fn a_path_that_is_nearly_right_leads_to_the_right_one() {
        check("/v1/app", "/v1/apps`");
        check("/apps/web/machines", "/v1");
        check("/v1/apps/web/machine", "GET|POST /v1/apps/{app}/machines`");
        check("/v1/apps/web/machines/0e286039a42d18/starts", "/start`");
        check("/v1/image", "/v1/images`");
    }

    #[test]
    fn a_path_that_is_far_from_everything_leads_nowhere() {
        assert_eq!(near("/favicon.ico"), Vec::<String>::new());
    }
}
