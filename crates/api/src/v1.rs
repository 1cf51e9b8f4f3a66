//! The routes under `/v1`.
//!
//! One file for each kind of thing. A handler reads its arguments through the extractors of
//! `extract` (which also ask [`crate::auth`]), makes one call of [`Control`], and shows the outcome
//! through `view`.

mod addresses;
mod apps;
mod attach;
pub(crate) mod body;
mod certificates;
mod description;
mod events;
mod extract;
mod hooks;
mod host;
mod images;
mod index;
mod inside;
mod leases;
mod life;
mod logs;
mod machines;
mod memory;
mod metadata;
mod metrics;
pub(crate) mod operation;
mod page;
mod platform;
mod query;
mod registry_auth;
mod reply;
mod secret_keys;
mod secrets;
mod selfhood;
pub(crate) mod table;
mod tokens;
mod usage;
mod view;
mod volumes;
mod wait;

use crate::problem::Problem;
use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use control::Control;
use index::unknown_route;
use operation::Operation;

/// What every handler answers.
type Answer = Result<Response, Problem>;

/// The routes, without trailing slashes: [`crate::Server`] strips them before.
///
/// They are the rows of `table`: a new operation is a handler and a row there.
pub fn router(control: Control) -> Router {
    let served = |routes: Router<Control>, operation: Operation| {
        routes.route(&operation.path, operation.handler)
    };
    let routes = table::operations().into_iter().fold(Router::new(), served);
    // Clients know this path from `GET` alone, and look for a 404.
    let routes = routes.route("/v1/apps/{app}/certificates", post(unknown_route));
    with_fallbacks(routes).with_state(control)
}

/// Answers for paths and methods that `routes` does not have.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.fallback(unknown_route).method_not_allowed_fallback(unknown_method)
}

async fn unknown_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has no such method",
    )
    .hint("the `Allow` header lists the methods it has")
}
