//! The routes under `/v1`.
//!
//! One file for each kind of thing. A handler reads its arguments through the extractors of
//! `extract` (which also ask [`crate::auth`]), makes one call of [`Control`], and shows the outcome
//! through `view`.

mod apps;
mod attach;
pub(crate) mod body;
mod certificates;
mod extract;
mod hooks;
mod host;
mod images;
mod inside;
mod leases;
mod life;
mod logs;
mod machines;
mod metadata;
mod metrics;
mod query;
mod registry_auth;
mod reply;
mod selfhood;
mod tokens;
mod view;
mod wait;

use crate::problem::Problem;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use control::Control;

/// What every handler answers.
type Answer = Result<Response, Problem>;

/// The routes, without trailing slashes: [`crate::Server`] strips them before.
pub fn router(control: Control) -> Router {
    let of_host = host_routes().merge(certificate_routes());
    let routes = Router::new()
        .route("/healthz", get(host::healthz))
        .route("/metrics", get(metrics::metrics))
        .nest("/v1", of_host.merge(app_routes()).merge(selfhood::inside_routes()));
    with_fallbacks(routes).with_state(control)
}

/// Answers for paths and methods that `routes` does not have.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.fallback(unknown_route).method_not_allowed_fallback(unknown_method)
}

fn host_routes() -> Router<Control> {
    Router::new()
        .route("/policy/lint", post(selfhood::lint))
        .route("/platform/regions", get(host::regions))
        .route("/doctor", get(host::doctor))
        .route("/proxy", get(host::proxy))
        .route("/usage", get(host::usage))
        .route("/images", get(images::list))
        .route("/images/pull", post(images::pull::pull))
        .route("/images/import", post(images::import::import))
        .route("/images/prune", post(images::prune))
        .route("/images/{digest}", get(images::show).delete(images::remove))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/current", get(tokens::current))
        .route("/tokens/{token}", delete(tokens::revoke))
        .route("/orgs/{org}/machines", get(machines::list_of_org))
        .route("/apps", get(apps::list).post(apps::create))
        .route("/apps/{app}", get(apps::show).delete(apps::remove))
        .route("/apps/{app}/signing-secret", get(hooks::signing_secret))
        .route("/apps/{app}/signing-secret/rotate", post(hooks::rotate_signing_secret))
        .route("/apps/{app}/hooks", get(hooks::list))
        .route("/apps/{app}/hooks/{name}", get(hooks::show).put(hooks::put).delete(hooks::remove))
        .route("/apps/{app}/hooks/{name}/rotate", post(hooks::rotate))
        .route("/hooks/{app}/{name}", post(hooks::post))
}

fn certificate_routes() -> Router<Control> {
    let app = Router::new()
        // Clients know this path from `GET` alone.
        .route("/", get(certificates::list).post(unknown_route))
        .route("/acme", post(certificates::create_acme))
        .route("/custom", post(certificates::create_custom))
        .route("/{hostname}", get(certificates::show).delete(certificates::remove))
        .route("/{hostname}/check", post(certificates::check))
        .route("/{hostname}/acme", delete(certificates::remove_acme))
        .route("/{hostname}/custom", delete(certificates::remove_custom));
    Router::new()
        .route("/certificates/authority", get(certificates::authority))
        .nest("/apps/{app}/certificates", app)
}

fn app_routes() -> Router<Control> {
    let machine = Router::new()
        .route("/", get(machines::show).post(machines::update).delete(machines::destroy))
        .route("/start", post(life::start))
        .route("/stop", post(life::stop))
        .route("/suspend", post(life::suspend))
        .route("/restart", post(life::restart))
        .route("/signal", post(life::signal))
        .route("/cordon", post(life::cordon))
        .route("/uncordon", post(life::uncordon))
        .route("/wait", get(wait::wait))
        .route("/exec", post(inside::exec))
        .route("/exec/attach", post(attach::attach))
        .route("/ps", get(inside::processes))
        .route("/listening", get(inside::listening))
        .route("/stats", get(inside::stats))
        .route("/logs", get(logs::logs))
        .route("/events", get(machines::events))
        .route("/versions", get(machines::versions))
        .route("/usage", get(machines::usage))
        .route("/metadata", get(metadata::all).put(metadata::merge).patch(metadata::merge))
        .route("/metadata/{key}", get(metadata::one).post(metadata::set).delete(metadata::unset))
        .route("/lease", get(leases::show).post(leases::take).delete(leases::release))
        .nest("/self", selfhood::routes());
    Router::new()
        .route("/apps/{app}/machines", get(machines::list).post(machines::create))
        .nest("/apps/{app}/machines/{id}", machine)
}

async fn unknown_route() -> Response {
    let text = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    (StatusCode::NOT_FOUND, [text], "404 page not found").into_response()
}

async fn unknown_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has no such method",
    )
    .hint("the `Allow` header lists the methods it has")
}
