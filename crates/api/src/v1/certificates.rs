//! Host names of an app and their certificates.

mod view;

use super::body::JsonBody;
use super::extract::{Caller, OperateApp, ReadApp};
use super::query::{Params, wrong};
use super::{Answer, reply};
use crate::contract::certificates::{
    Authority, CertificateDetail, CertificateList, CreateAcmeCertificate, CreateCustomCertificate,
};
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{
    CertificateSource, Control, ControlError, HOSTNAME_MAX_BYTES, HOSTNAME_PAGE_MAX, OwnCertificate,
};

/// Host names in a page, unless another number is asked for. Source: machines-api, 1.11.
const PAGE: u32 = 25;

/// `GET /v1/apps/{app}/certificates?filter=&cursor=&limit=`.
pub(super) async fn list(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    params: Params,
) -> Answer {
    let filter = params.text("filter").unwrap_or_default().to_ascii_lowercase();
    let after = params.text("cursor").unwrap_or_default();
    if filter.len() > HOSTNAME_MAX_BYTES || after.len() > HOSTNAME_MAX_BYTES {
        return Err(Problem::invalid("invalid_parameter", "`filter` or `cursor` is too long")
            .hint("a host name has at most 253 bytes; take `cursor` from `next_cursor`"));
    }
    let page = control.hostnames(&app, &filter, after, limit(&params)?).map_err(of_control)?;
    let now = model::clock::now();
    reply::ok(&CertificateList {
        certificates: page.hostnames.iter().map(|one| view::summary(one, now)).collect(),
        next_cursor: page.next,
        total_count: page.n_all,
    })
}

/// `POST /v1/apps/{app}/certificates/acme`: nobody outside is asked, the host's own authority signs.
pub(super) async fn create_acme(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    body: JsonBody,
) -> Answer {
    let wish: CreateAcmeCertificate = body.to()?;
    let made = control.add_local_certificate(&app, &wish.hostname).await.map_err(of_control)?;
    reply::json(StatusCode::CREATED, &view::detail(&made, model::clock::now()))
}

/// `POST /v1/apps/{app}/certificates/custom`.
pub(super) async fn create_custom(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    body: JsonBody,
) -> Answer {
    let wish: CreateCustomCertificate = body.to()?;
    let CreateCustomCertificate { hostname, fullchain, private_key, replace } = wish;
    let own = OwnCertificate { chain: fullchain, private_key, replaces: replace };
    let made = control.add_own_certificate(&app, &hostname, own).await.map_err(of_control)?;
    reply::json(StatusCode::CREATED, &view::detail(&made, model::clock::now()))
}

/// `GET /v1/apps/{app}/certificates/{hostname}`.
pub(super) async fn show(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    Path((_, hostname)): Path<(String, String)>,
) -> Answer {
    let found = control.hostname(&app, &hostname).map_err(of_control)?;
    reply::ok(&view::detail(&found, model::clock::now()))
}

/// `DELETE /v1/apps/{app}/certificates/{hostname}`.
pub(super) async fn remove(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, hostname)): Path<(String, String)>,
) -> Answer {
    control.remove_hostname(&app, &hostname).await.map_err(of_control)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /v1/apps/{app}/certificates/{hostname}/acme`: the host name stays.
pub(super) async fn remove_acme(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, hostname)): Path<(String, String)>,
) -> Answer {
    remove_source(&control, &app, &hostname, CertificateSource::Local).await
}

/// `DELETE /v1/apps/{app}/certificates/{hostname}/custom`: the host name stays.
pub(super) async fn remove_custom(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, hostname)): Path<(String, String)>,
) -> Answer {
    remove_source(&control, &app, &hostname, CertificateSource::Custom).await
}

/// `POST /v1/apps/{app}/certificates/{hostname}/check`: a right to operate is needed, because what
/// is found is noted, and the host's resolver has work.
pub(super) async fn check(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, hostname)): Path<(String, String)>,
) -> Answer {
    let checked = control.check_hostname(&app, &hostname).await.map_err(of_control)?;
    let (hostname, found) = checked;
    let detail = view::detail(&hostname, model::clock::now());
    let dns_records = Some(view::records(&found));
    reply::ok(&CertificateDetail { dns_records, ..detail })
}

/// `GET /v1/certificates/authority`: for everybody with a token, as nothing in it is secret.
pub(super) async fn authority(State(control): State<Control>, _who: Caller) -> Answer {
    let certificate = control.authority_certificate().await.map_err(of_control)?;
    reply::ok(&Authority { certificate })
}

async fn remove_source(
    control: &Control,
    app: &model::AppName,
    hostname: &str,
    source: CertificateSource,
) -> Answer {
    let left = control.remove_certificate(app, hostname, source).await.map_err(of_control)?;
    let warning = left.certificates.is_empty().then(|| {
        "no certificate is left: visitors get one that the proxy makes and nobody trusts".to_owned()
    });
    let detail = view::detail(&left, model::clock::now());
    reply::ok(&CertificateDetail { warning, ..detail })
}

fn limit(params: &Params) -> Result<u32, Problem> {
    let Some(limit) = params.number("limit")? else { return Ok(PAGE) };
    let allowed = u32::try_from(limit).ok().filter(|n| (1..=HOSTNAME_PAGE_MAX).contains(n));
    allowed.ok_or_else(|| wrong("limit", &limit.to_string(), "1 to 500"))
}

fn of_control(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}
