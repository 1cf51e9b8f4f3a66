//! Addresses of apps: the one on which the host's proxy awaits visitors, which all apps share.
//!
//! Nothing can be allocated: who asks for what there is gets it, for anything else a word of why not.

use super::body::JsonBody;
use super::extract::{OperateApp, ReadApp};
use super::{Answer, reply};
use crate::contract::addresses::{AddressAssignment, AddressAssignments, AssignAddress};
use crate::contract::moment::rfc3339;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::Control;
use model::AppName;
use std::net::IpAddr;

/// `GET /v1/apps/{app}/ip_assignments`.
pub(super) async fn list(State(control): State<Control>, ReadApp(app, _who): ReadApp) -> Answer {
    let ips = assignment(&control, &app)?.into_iter().collect();
    reply::ok(&AddressAssignments { ips })
}

/// `POST /v1/apps/{app}/ip_assignments`.
pub(super) async fn assign(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    body: JsonBody,
) -> Answer {
    let wish: AssignAddress = body.to()?;
    let kind = wish.kind.unwrap_or_default();
    let Some(shared) = assignment(&control, &app)? else {
        return Err(refused(&kind, "this host opens no ports: start it without `--no-proxy`"));
    };
    let is_v4 = control.door_address().is_some_and(|address| address.is_ipv4());
    match kind.as_str() {
        "shared_v4" if is_v4 => reply::ok(&shared),
        "shared_v6" | "v6" if !is_v4 => reply::ok(&shared),
        "shared_v4" | "v4" | "shared_v6" | "v6" => Err(refused(
            &kind,
            "all apps share the address of the host's proxy: ask for `shared_v4`, or choose another \
             address with `dormouse up --proxy-listen`",
        )),
        "private_v6" => Err(refused(
            &kind,
            "machines of one network reach each other by `<app>.internal` and by `private_ip`",
        )),
        "egress_v4" | "egress_v6" | "egress_pair" => {
            Err(refused(&kind, "machines leave by the host's own address (`dormouse up --egress`)"))
        }
        other => Err(Problem::invalid("invalid_parameter", format!("type `{other}` is unknown"))
            .hint("ask for `shared_v4`")),
    }
}

/// `DELETE /v1/apps/{app}/ip_assignments/{ip}`.
pub(super) async fn release(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, ip)): Path<(String, String)>,
) -> Answer {
    let has_it = assignment(&control, &app)?.is_some_and(|shared| shared.ip == ip);
    if has_it {
        let hint = "to be reached by nobody, remove `config.services` of the app's machines";
        return Err(Problem::unsupported("ip_assignments", hint));
    }
    let text = "not_found: IP address not found";
    Err(Problem::new(StatusCode::NOT_FOUND, "address_not_found", text)
        .hint("`GET …/ip_assignments` lists what the app has"))
}

/// The one address, with the app's beginning as its own; `None` without a proxy.
fn assignment(control: &Control, app: &AppName) -> Result<Option<AddressAssignment>, Problem> {
    let record = control.app(app).map_err(|e| Problem::from_control(&e, None))?;
    Ok(control.door_address().map(|ip: IpAddr| AddressAssignment {
        ip: ip.to_string(),
        region: "global".to_owned(),
        service_name: String::new(),
        shared: true,
        created_at: rfc3339(record.created_at),
    }))
}

fn refused(kind: &str, hint: &str) -> Problem {
    Problem::unsupported(&format!("type: {kind}"), hint)
}
