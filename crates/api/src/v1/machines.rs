//! Machines: list, create, show, update, destroy, and what is remembered of them.

use super::body::JsonBody;
use super::events::LIMIT_DEFAULT;
use super::extract::{Caller, OnMachine, Operate, OperateApp, Read, ReadApp};
use super::page::Place;
use super::query::Params;
use super::registry_auth::RegistryAuth;
use super::{Answer, reply, view};
use crate::auth::{Identity, Need, Target};
use crate::contract::image::IMAGE_HEADER;
use crate::contract::moment::rfc3339;
use crate::contract::{CreateMachine, Event, Machine, OrgMachines, lease};
use crate::problem::Problem;
use crate::spec;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use control::{Control, LeaseWish, MachineFilter, UpdateMachine};
use model::spec::secrets::SecretsEnv;
use model::{DurationMs, MachineSpec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use store::MachineRecord;

/// Longest reason in a header: foreign text may be in it.
const REASON_MAX_CHARS: usize = 300;

/// Machines in one page of an organisation.
const PAGE_MAX: u64 = 1000;

/// `GET …/machines`.
pub(super) async fn list(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    params: Params,
) -> Answer {
    let filter = filter(&params)?;
    let app = Some(&app);
    let problem = |e| Problem::from_control(&e, None);
    let leases = match params.flag("include_leases")? {
        true => control.leases(app).map_err(problem)?,
        false => BTreeMap::new(),
    };
    let accel = control.vm_accel();
    let lease_of = |id| leases.get(id).map(|lease| view::lease(lease, false));
    if params.flag("summary")? {
        let found = control.machine_summaries(app, &filter).map_err(problem)?;
        let found = found.iter().filter(|machine| is_in_region(&machine.region, &params));
        let listed = found.map(|machine| Machine {
            lease: lease_of(&machine.id),
            ..view::summary(machine, accel)
        });
        reply::ok(&listed.collect::<Vec<_>>())
    } else {
        let found = control.machine_listings(app, &filter).map_err(problem)?;
        let found = found.iter().filter(|listing| is_in_region(&listing.summary.region, &params));
        let listed = found.map(|listing| Machine {
            checks: view::checks_of_summary(&listing.summary, control.checks(&listing.summary.id)),
            lease: lease_of(&listing.summary.id),
            ..view::listed(listing, accel)
        });
        reply::ok(&listed.collect::<Vec<_>>())
    }
}

fn filter(params: &Params) -> Result<MachineFilter, Problem> {
    Ok(MachineFilter {
        states: params.list("state").map(str::to_owned).collect(),
        with_destroyed: params.flag("include_deleted")?,
        metadata: params
            .with_prefix("metadata.")
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    })
}

fn is_in_region(region: &str, params: &Params) -> bool {
    let mut wanted = params.list("region").peekable();
    wanted.peek().is_none() || wanted.any(|wanted| wanted == region)
}

/// `GET /v1/orgs/{org}/machines`: in the order of their last change, in pages.
pub(super) async fn list_of_org(
    State(control): State<Control>,
    who: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Answer {
    let limit = params.number("limit")?.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let limit = usize::try_from(limit).expect("at most PAGE_MAX");
    let after = Place::after(&params)?;
    let apps = control.apps(Some(&org)).map_err(|e| Problem::from_control(&e, None))?;
    let apps: BTreeSet<_> = apps.into_iter().map(|(app, _)| app.name).collect();
    let mut records = control
        .machine_summaries(None, &filter(&params)?)
        .map_err(|e| Problem::from_control(&e, None))?;
    records.retain(|record| {
        apps.contains(&record.app)
            && who.0.check(Need::Read, Target::Machine(&record.app, &record.id)).is_ok()
            && is_in_region(&record.region, &params)
            && after.as_ref().is_none_or(|after| after.precedes(record))
    });
    records.sort_unstable_by(|a, b| (a.updated_at, &a.id).cmp(&(b.updated_at, &b.id)));
    let has_more = records.len() > limit;
    records.truncate(limit);
    let last = records.last();
    reply::ok(&OrgMachines {
        next_cursor: last.filter(|_| has_more).map(|last| Place::of(last).to_string()),
        last_machine_id: last.map(|machine| machine.id.to_string()),
        last_updated_at: last.map(|machine| rfc3339(machine.updated_at)),
        error_regions: Vec::new(),
        machines: records.iter().map(view::org_machine).collect(),
    })
}

/// `POST …/machines`.
pub(super) async fn create(
    State(control): State<Control>,
    OperateApp(app, who): OperateApp,
    auth: RegistryAuth,
    body: JsonBody,
) -> Answer {
    let wish: CreateMachine = body.to()?;
    let (spec, config) = checked(&wish, &body.0)?;
    let policy = spec::policy(&config)?;
    let leaves_engine_open = wish.config.as_ref().is_some_and(spec::leaves_engine_open);
    let access = auth.of(&who, &app);
    let created = control
        .create_machine(control::CreateMachine {
            app,
            name: name(&wish)?,
            region: wish.region.clone(),
            spec,
            leaves_engine_open,
            config,
            skip_launch: wish.skip_launch.unwrap_or(false),
            is_cordoned: wish.skip_service_registration.unwrap_or(false),
            lease: lease_wish(&wish, &who)?,
            policy,
            min_secrets_version: wish.min_secrets_version,
            actor: who.actor(),
            access,
        })
        .await
        .map_err(|e| Problem::from_control(&e, None))?;
    let record = created.record;
    let nonce = record.lease.as_ref().map(|lease| lease.nonce.clone());
    let mut answer = reply::ok(&Machine {
        nonce,
        events: Some(recent_events(&control, &record)?),
        ..view::machine(&record, control.vm_accel())
    })?;
    if let Some(why) = created.cached_because {
        answer.headers_mut().insert(IMAGE_HEADER, cached(&why));
    }
    Ok(answer)
}

/// Says that the image's registry did not confirm it, and why.
fn cached(why: &str) -> HeaderValue {
    let plain = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    let why: String = why.chars().take(REASON_MAX_CHARS).map(plain).collect();
    HeaderValue::try_from(format!("cached; reason={why}")).expect("printable ASCII")
}

/// The spec and the configuration to store.
fn checked(wish: &CreateMachine, raw: &Value) -> Result<(MachineSpec, Value), Problem> {
    let Some(config) = &wish.config else {
        return Err(Problem::invalid("config_missing", "config is required")
            .hint("send at least `{\"config\": {\"image\": \"…\"}}`"));
    };
    let mut spec = spec::to_spec(config)?;
    if wish.skip_secrets.unwrap_or(false) {
        spec.secrets.env = SecretsEnv::none();
    }
    Ok((spec, spec::normalised(&raw["config"])))
}

fn name(wish: &CreateMachine) -> Result<Option<String>, Problem> {
    let Some(name) = wish.name.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
    let is_valid = name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if is_valid {
        return Ok(Some(name.to_owned()));
    }
    Err(Problem::invalid("invalid_name", format!("machine name `{name}` is invalid"))
        .hint("use 1 to 63 letters, digits or dashes, starting with a letter or digit"))
}

fn lease_wish(wish: &CreateMachine, who: &Identity) -> Result<Option<LeaseWish>, Problem> {
    let Some(ttl_s) = wish.lease_ttl.filter(|ttl| *ttl > 0) else { return Ok(None) };
    if ttl_s > lease::TTL_MAX_S {
        return Err(super::leases::ttl_out_of_range(ttl_s));
    }
    Ok(Some(LeaseWish {
        ttl: DurationMs::from_secs(ttl_s),
        description: String::new(),
        owner: who.lease_owner(),
        nonce: None,
    }))
}

/// `GET …/machines/{id}?include_leases=`.
pub(super) async fn show(State(control): State<Control>, Read(on): Read, params: Params) -> Answer {
    let record = &on.record;
    let lease = match params.flag("include_leases")? {
        true => control.lease(&record.id).ok().map(|lease| view::lease(&lease, false)),
        false => None,
    };
    let events = Some(recent_events(&control, record)?);
    let checks = view::checks(record, control.checks(&record.id));
    reply::ok(&Machine { events, checks, lease, ..view::machine(record, control.vm_accel()) })
}

/// As many of its events as an answer shows that has other things to say, newest first.
fn recent_events(control: &Control, on: &MachineRecord) -> Result<Vec<Event>, Problem> {
    let limit = usize::try_from(LIMIT_DEFAULT).expect("a small number");
    let records =
        control.events(&on.id, limit).map_err(|e| Problem::from_control(&e, Some(&on.id)))?;
    Ok(records.iter().map(view::event).collect())
}

/// `POST …/machines/{id}`: a new version.
pub(super) async fn update(
    State(control): State<Control>,
    Operate(on): Operate,
    auth: RegistryAuth,
    body: JsonBody,
) -> Answer {
    let wish: CreateMachine = body.to()?;
    let (spec, config) = checked(&wish, &body.0)?;
    let OnMachine { record, cause, who, nonce } = on;
    let problem = |e| Problem::from_control(&e, Some(&record.id));
    let current_version = wish.current_version.as_deref().filter(|version| !version.is_empty());
    let current_version = match current_version.map(str::parse) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_never_was_a_version)) => {
            let current = record.version.to_string();
            return Err(problem(control::ControlError::StaleVersion { current }));
        }
    };
    // Only who says so gets a machine up that was down. Source: machines-api 3.4.
    let launch = wish.skip_launch == Some(false);
    let policy = spec::changed_policy(&record.config, &config)?;
    let access = auth.of(&who, &record.app);
    let min_secrets_version = wish.min_secrets_version;
    let update = UpdateMachine {
        spec,
        config,
        current_version,
        launch,
        policy,
        min_secrets_version,
        access,
    };
    let updated = control.update(&record.id, cause, update).await.map_err(problem)?;
    let taken = match lease_wish(&wish, &who)? {
        Some(lease) => {
            let lease = LeaseWish { nonce, ..lease };
            Some(control.take_lease(&record.id, lease).await.map_err(problem)?.nonce)
        }
        None => None,
    };
    let events = Some(recent_events(&control, &updated)?);
    reply::ok(&Machine { nonce: taken, events, ..view::machine(&updated, control.vm_accel()) })
}

/// `DELETE …/machines/{id}?force=`; `kill` is another name for `force`.
pub(super) async fn destroy(
    State(control): State<Control>,
    Operate(on): Operate,
    params: Params,
) -> Answer {
    let force = params.flag("force")? || params.flag("kill")?;
    let id = &on.record.id;
    control.destroy(id, on.cause, force).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::done()
}

/// `GET …/versions`.
pub(super) async fn versions(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let records = control.versions(id).map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&records.iter().map(view::version).collect::<Vec<_>>())
}

/// `GET …/usage` of one machine.
pub(super) async fn usage(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let metered = control
        .metered(Some(&on.record.app), Some(id))
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&view::usage(&metered))
}
