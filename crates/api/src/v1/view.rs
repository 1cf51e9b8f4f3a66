//! Records as answers show them.

mod checks;
mod images;

pub(super) use checks::{checks, checks_of_summary};
pub(super) use images::{image, image_detail, pruned, pull_line, pulled};

use crate::contract::moment::rfc3339;
use crate::contract::{
    App, Event, ImageRef, Lease, Machine, MachineVersion, OrgMachine, Organization, Sleep,
    TokenInfo, Usage, machine::Failure,
};
use crate::spec::{Echo, echoed};
use control::{Accel, MeteredUse};
use model::effect::{ExitNews, NewsKind, NewsSource};
use model::spec::EngineKind;
use model::{Depth, Fault, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{
    AppRecord, EventRecord, LeaseRecord, MachineListing, MachineRecord, MachineSummary, TokenReach,
    TokenRecord, TokenRight, VersionRecord,
};

pub(super) fn app(record: &AppRecord, machine_count: u64) -> App {
    App {
        id: record.id.clone(),
        name: record.name.to_string(),
        status: if machine_count == 0 { "pending" } else { "deployed" }.to_owned(),
        network: record.network.to_string(),
        machine_count,
        volume_count: 0,
        organization: Organization { name: record.org.clone(), slug: record.org.clone() },
    }
}

/// Without events and checks. `accel` is what runs the code of virtual machines here.
pub(super) fn machine(record: &MachineRecord, accel: Option<Accel>) -> Machine {
    let version = record.version.to_string();
    Machine {
        id: record.id.to_string(),
        name: record.name.clone(),
        state: record.machine.state.api_name().to_owned(),
        region: record.region.clone(),
        instance_id: version.clone(),
        version,
        private_ip: record.v6.to_string(),
        image_ref: Some(image_ref(&record.image, &record.image_config.labels)),
        config: Some(echoed(&record.config, &record.spec.metadata)),
        events: None,
        checks: None,
        host_status: "ok".to_owned(),
        cordoned: record.cordoned,
        nonce: None,
        lease: None,
        created_at: rfc3339(record.created_at),
        updated_at: rfc3339(record.updated_at),
        app_name: record.app.to_string(),
        engine: engine(record.spec.engine).to_owned(),
        accel: accel_of(record.spec.engine, accel),
        private_ipv4: Some(record.v4.to_string()),
        sleep: sleep(&record.machine.state),
        failure: failure(&record.machine.state),
    }
}

const fn engine(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Container => "container",
        EngineKind::Microvm => "microvm",
        EngineKind::Fake => "fake",
    }
}

/// What runs the code of a machine with this engine, if that is not the host's processor as such.
fn accel_of(kind: EngineKind, accel: Option<Accel>) -> Option<String> {
    accel.filter(|_| kind == EngineKind::Microvm).map(|accel| accel.word().to_owned())
}

fn image_ref(image: &model::spec::ImageRef, labels: &BTreeMap<String, String>) -> ImageRef {
    ImageRef {
        registry: image.registry.clone(),
        repository: image.repository.clone(),
        tag: image.tag.clone(),
        digest: image.digest.to_string(),
        labels: labels.clone(),
    }
}

/// The reference as a user writes it.
pub(super) fn reference(image: &model::spec::ImageRef) -> String {
    let local = match image.tag.as_str() {
        "" => format!("{}@{}", image.repository, image.digest),
        tag => format!("{}:{tag}", image.repository),
    };
    match image.registry.as_str() {
        "local" => local,
        registry => format!("{registry}/{local}"),
    }
}

fn sleep(state: &State) -> Option<Sleep> {
    let State::Suspended { depth, since, ram_bytes, .. } = state else { return None };
    let depth = match depth {
        Depth::Freeze => "freeze",
        Depth::Suspend => "suspend",
        Depth::Stop => "stop",
    };
    Some(Sleep { depth: depth.to_owned(), since: rfc3339(*since), ram_bytes: *ram_bytes })
}

fn failure(state: &State) -> Option<Failure> {
    let State::Failed { code, message, .. } = state else { return None };
    Some(Failure { code: code.clone(), message: message.clone() })
}

/// What `summary=true` shows: without configuration and events.
pub(super) fn summary(record: &MachineSummary, accel: Option<Accel>) -> Machine {
    shown(record, &BTreeMap::new(), accel)
}

/// What a list of whole machines shows: without events and checks.
pub(super) fn listed(listing: &MachineListing, accel: Option<Accel>) -> Machine<Echo<'_>> {
    let state = listing.machine.as_ref().map(|machine| &machine.state);
    Machine {
        config: Some(Echo::of(&listing.config, &listing.summary.metadata)),
        sleep: state.and_then(sleep),
        failure: state.and_then(failure),
        ..shown(&listing.summary, &listing.image_labels, accel)
    }
}

fn shown<C>(
    record: &MachineSummary,
    image_labels: &BTreeMap<String, String>,
    accel: Option<Accel>,
) -> Machine<C> {
    let version = record.version.to_string();
    Machine {
        id: record.id.to_string(),
        name: record.name.clone(),
        state: record.state.clone(),
        region: record.region.clone(),
        instance_id: version.clone(),
        version,
        private_ip: record.v6.to_string(),
        image_ref: Some(image_ref(&record.image, image_labels)),
        config: None,
        events: None,
        checks: None,
        host_status: "ok".to_owned(),
        cordoned: record.cordoned,
        nonce: None,
        lease: None,
        created_at: rfc3339(record.created_at),
        updated_at: rfc3339(record.updated_at),
        app_name: record.app.to_string(),
        engine: engine(record.engine).to_owned(),
        accel: accel_of(record.engine, accel),
        private_ipv4: Some(record.v4.to_string()),
        sleep: None,
        failure: None,
    }
}

pub(super) fn org_machine(record: &MachineSummary) -> OrgMachine {
    let version = record.version.to_string();
    let config = json!({
        "image": reference(&record.image),
        "guest": {
            "cpu_kind": record.guest.cpu_kind,
            "cpus": record.guest.cpus,
            "memory_mb": record.guest.memory_mib,
        },
        "metadata": record.metadata,
    });
    OrgMachine {
        id: record.id.to_string(),
        name: record.name.clone(),
        app_name: record.app.to_string(),
        region: record.region.clone(),
        state: record.state.clone(),
        instance_id: version.clone(),
        version,
        private_ip: record.v6.to_string(),
        created_at: rfc3339(record.created_at),
        updated_at: rfc3339(record.updated_at),
        config,
    }
}

pub(super) fn event(record: &EventRecord) -> Event {
    let news = &record.news;
    let source = match news.source {
        NewsSource::User => "user",
        NewsSource::Flyd => "flyd",
    };
    Event {
        id: record.id.to_string(),
        r#type: event_type(news.kind).to_owned(),
        status: news.status.clone(),
        source: source.to_owned(),
        timestamp: record.at.0,
        request: news.exit.as_ref().map(exit_request),
        cause: news.cause.as_ref().and_then(|cause| serde_json::to_value(cause).ok()),
        message: news.message.clone(),
    }
}

const fn event_type(kind: NewsKind) -> &'static str {
    match kind {
        NewsKind::Launch => "launch",
        NewsKind::Start => "start",
        NewsKind::Exit => "exit",
        NewsKind::Stop => "stop",
        NewsKind::Suspend => "suspend",
        NewsKind::Resume => "resume",
        NewsKind::Restart => "restart",
        NewsKind::Update => "update",
        NewsKind::Destroy => "destroy",
        NewsKind::Failure => "failure",
    }
}

/// How a run ended, in the nesting that clients look for. Source: machines-api 3.5.
fn exit_request(news: &ExitNews) -> Value {
    let exit = &news.exit;
    let (guest_error, error) = match &exit.fault {
        _ if exit.shim_lost => ("", "the machine's supervisor was lost"),
        Some(Fault::Guest(sentence)) => (sentence.as_str(), ""),
        Some(Fault::Host(sentence)) => ("", sentence.as_str()),
        None => ("", ""),
    };
    json!({
        "exit_event": {
            "exit_code": exit.shell_code(),
            "guest_exit_code": exit.shell_code(),
            "guest_signal": exit.signal.unwrap_or(-1),
            "signal": -1,
            "oom_killed": exit.oom_killed,
            "requested_stop": exit.requested_stop,
            "restarting": news.restarting,
            "exited_at": rfc3339(exit.exited_at),
            "guest_error": guest_error,
            "error": error,
        },
        "restart_count": news.restart_count,
    })
}

pub(super) fn version(record: &VersionRecord) -> MachineVersion {
    MachineVersion {
        version: record.version.to_string(),
        user_config: echoed(&record.config, &record.spec.metadata),
    }
}

/// The lease, with its nonce only if `shows_nonce`.
pub(super) fn lease(record: &LeaseRecord, shows_nonce: bool) -> Lease {
    Lease {
        nonce: shows_nonce.then(|| record.nonce.clone()),
        expires_at: record.expires_at.0 / 1000,
        owner: record.owner.clone(),
        description: record.description.clone(),
        version: record.version.to_string(),
    }
}

pub(super) fn token(record: &TokenRecord) -> TokenInfo {
    let scope = match &record.scope.reach {
        TokenReach::All => "all".to_owned(),
        TokenReach::App(app) => format!("app:{app}"),
        TokenReach::Machine(machine) => format!("machine:{machine}"),
    };
    let rights = match record.scope.right {
        TokenRight::Read => "read",
        TokenRight::Operate => "operate",
        TokenRight::SelfWrite => "self-write",
    };
    TokenInfo {
        id: record.id.clone(),
        name: record.name.clone(),
        scope,
        rights: rights.to_owned(),
        created_at: rfc3339(record.created_at),
        expires_at: record.expires_at.map(rfc3339),
        parent: record.parent.clone(),
    }
}

pub(super) fn usage(metered: &MeteredUse) -> Usage {
    Usage {
        started_s: Duration::from_millis(metered.started_ms).as_secs_f64(),
        cpu_s: Duration::from_micros(metered.cpu_us).as_secs_f64(),
    }
}

#[cfg(test)]
mod tests;
