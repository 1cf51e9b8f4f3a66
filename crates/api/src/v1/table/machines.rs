//! Machines: what they are, and their lives.

use super::apps::{EVENT_STREAM, EVENTS};
use super::images::REGISTRY_AUTH;
use crate::contract::lease::NONCE_HEADER;
use crate::contract::memory::{Memory, ReclaimMemory, ReclaimedMemory, SetMemory};
use crate::contract::shapes::LeaseReleased;
use crate::contract::{
    CreateMachine, Event, LeaseReply, LeaseRequest, Machine, MachineConfig, MachineVersion,
    MetadataChange, MetadataValue, Ok, OrgMachines, SignalRequest, Started, StopRequest, Usage,
    WaitReply,
};
use crate::v1::operation::{
    Kind, Operation, Parameter, Right, delete, get, header, patch, post, put, query,
};
use crate::v1::{events, leases, life, machines, memory, metadata, wait};
use std::collections::BTreeMap;

const MACHINES: &str = "/v1/apps/{app}/machines";

const STATES: &[&str] = &[
    "created",
    "starting",
    "started",
    "stopping",
    "stopped",
    "suspending",
    "suspended",
    "replacing",
    "destroying",
    "destroyed",
    "failed",
];

const WAITED_FOR: &[&str] = &["started", "stopped", "suspended", "destroyed", "failed", "settled"];

/// What lists are narrowed by.
const FILTER: [Parameter; 4] = [
    query("include_deleted", Kind::Flag, "Destroyed machines too, as long as they are known."),
    query("region", Kind::Text, "Only in this region."),
    query("state", Kind::Words(STATES), "Only in these states."),
    query("summary", Kind::Flag, "Without configuration and checks."),
];

/// What answers say of leases.
const WITH_LEASES: Parameter =
    query("include_leases", Kind::Flag, "With leases, without their nonces.");

/// Whoever does not hold the lease of a machine that has one is refused.
pub(in crate::v1) const NONCE: Parameter =
    header(NONCE_HEADER, Kind::Text, "Proof of the lease, while the machine has one.");

/// Only for the owner.
const OVERRIDE: Parameter = query(
    "override",
    Kind::Flag,
    "Pass the deny rules of the machine's policy, and somebody else's lease; for the owner alone, and \
     traced.",
);

/// The path of a machine with `rest` after it.
pub(in crate::v1) fn on(rest: &str) -> String {
    format!("{MACHINES}/{{id}}{rest}")
}

pub(super) fn operations() -> Vec<Operation> {
    let mut all = whole();
    all.extend(life());
    all.extend(looking());
    all.extend(labels());
    all.extend(lease());
    all
}

fn whole() -> Vec<Operation> {
    vec![
        get("/v1/orgs/{org}/machines", machines::list_of_org)
            .is("Machines_org_list", "List the machines that the caller may see, in pages.")
            .needs(Right::Any)
            .takes(&FILTER)
            .takes(&[
                query("updated_after", Kind::Text, "Only changed since; RFC 3339 in UTC."),
                query("cursor", Kind::Text, "The page after this; from `next_cursor`."),
                query("limit", Kind::Count, "Machines of a page: at most 1,000."),
            ])
            .answers::<OrgMachines>(200),
        get(MACHINES, machines::list)
            .is("Machines_list", "List the machines of an app.")
            .takes(&FILTER)
            .takes(&[WITH_LEASES])
            .answers::<Vec<Machine<MachineConfig>>>(200),
        post(MACHINES, machines::create)
            .is("Machines_create", "Create a machine, and start it unless told otherwise.")
            .takes(&[REGISTRY_AUTH])
            .sends::<CreateMachine>()
            .answers::<Machine<MachineConfig>>(200)
            .refuses(&[409, 412, 422, 502, 504]),
        get(on(""), machines::show)
            .is("Machines_show", "Show a machine with its newest events.")
            .takes(&[WITH_LEASES])
            .answers::<Machine<MachineConfig>>(200),
        post(on(""), machines::update)
            .is(
                "Machines_update",
                "Put a new version in place; the configuration is replaced whole.",
            )
            .takes(&[NONCE, REGISTRY_AUTH])
            .sends::<CreateMachine>()
            .answers::<Machine<MachineConfig>>(200)
            .refuses(&[422, 502, 504]),
        delete(on(""), machines::destroy)
            .is("Machines_delete", "Destroy a machine with its disk.")
            .takes(&[
                NONCE,
                query("force", Kind::Flag, "Also when it is up."),
                query("kill", Kind::Flag, "Another name for `force`."),
            ])
            .answers::<Ok>(200),
    ]
}

fn life() -> Vec<Operation> {
    vec![
        post(on("/start"), life::start)
            .is("Machines_start", "Start a machine; answered when its program runs.")
            .takes(&[NONCE, OVERRIDE])
            .answers::<Started>(200),
        post(on("/stop"), life::stop)
            .is("Machines_stop", "Stop a machine.")
            .needs(Right::SelfWrite)
            .takes(&[NONCE, OVERRIDE])
            .may_send::<StopRequest>()
            .answers::<Ok>(200),
        post(on("/suspend"), life::suspend)
            .is("Machines_suspend", "Let a machine sleep with its RAM.")
            .needs(Right::SelfWrite)
            .takes(&[
                NONCE,
                query("depth", Kind::Word(&["freeze", "suspend"]), "How deep; as its engine can."),
            ])
            .answers::<Ok>(200),
        post(on("/restart"), life::restart)
            .is("Machines_restart", "Stop and start a machine.")
            .needs(Right::SelfWrite)
            .takes(&[
                NONCE,
                query("timeout", Kind::Seconds, "Time to obey."),
                query("signal", Kind::Text, "Signal, instead of the machine's own."),
                query("force_stop", Kind::Flag, "Kill it."),
            ])
            .answers::<Ok>(200),
        post(on("/signal"), life::signal)
            .is("Machines_signal", "Send a signal to a machine's program.")
            .takes(&[NONCE])
            .sends::<SignalRequest>()
            .answers::<Ok>(200),
        post(on("/cordon"), life::cordon)
            .is("Machines_cordon", "Have the proxy leave a machine out.")
            .takes(&[NONCE])
            .answers::<Ok>(200),
        post(on("/uncordon"), life::uncordon)
            .is("Machines_uncordon", "Have the proxy take a machine in again.")
            .takes(&[NONCE])
            .answers::<Ok>(200),
    ]
}

fn looking() -> Vec<Operation> {
    vec![
        get(on("/wait"), wait::wait)
            .is("Machines_wait", "Wait until a machine is in a state, at most a minute.")
            .takes(&[
                query("state", Kind::Words(WAITED_FOR), "Any of these; `started` by default."),
                query("timeout", Kind::Seconds, "Longest wait: 60 s by default and at most."),
                query("version", Kind::Text, "Only this version counts."),
                query("instance_id", Kind::Text, "Another name for `version`."),
                query("from_event_id", Kind::Text, "Only what happened after this event."),
            ])
            .answers::<WaitReply>(200)
            .refuses(&[408]),
        get(on("/events"), events::of_machine)
            .is("Machines_list_events", "What happened to a machine; each as it happens, too.")
            .takes(&EVENTS)
            .answers::<Vec<Event>>(200)
            .answers_raw(200, EVENT_STREAM),
        get(on("/versions"), machines::versions)
            .is("Machines_list_versions", "The versions of a machine, newest first.")
            .answers::<Vec<MachineVersion>>(200),
        get(on("/memory"), memory::show)
            .is("Machines_get_memory", "RAM of a machine: its limit, and what it does not use.")
            .answers::<Memory>(200),
        put(on("/memory"), memory::set)
            .is("Machines_set_memory_limit", "Change the limit of RAM: refused without a balloon.")
            .takes(&[NONCE])
            .sends::<SetMemory>()
            .answers::<Memory>(200)
            .refuses(&[422]),
        post(on("/memory/reclaim"), memory::reclaim)
            .is("Machines_reclaim_memory", "Take RAM back: nothing, without a balloon.")
            .takes(&[NONCE])
            .may_send::<ReclaimMemory>()
            .answers::<ReclaimedMemory>(200),
        get(on("/usage"), machines::usage)
            .is("Machines_usage", "Metered use of a machine.")
            .answers::<Usage>(200),
    ]
}

fn labels() -> Vec<Operation> {
    vec![
        get(on("/metadata"), metadata::all)
            .is("Machines_show_metadata", "The labels of a machine.")
            .answers::<BTreeMap<String, String>>(200),
        put(on("/metadata"), metadata::merge)
            .is("Machines_update_metadata", "Change labels; `null` or nothing removes one.")
            .takes(&[NONCE])
            .sends::<MetadataChange>()
            .answers_nothing(204),
        patch(on("/metadata"), metadata::merge)
            .is("Machines_patch_metadata", "Change labels; `null` or nothing removes one.")
            .takes(&[NONCE])
            .sends::<MetadataChange>()
            .answers_nothing(204),
        get(on("/metadata/{key}"), metadata::one)
            .is("Machines_get_metadata_key", "A label of a machine.")
            .answers::<MetadataValue>(200),
        post(on("/metadata/{key}"), metadata::set)
            .is("Machines_upsert_metadata", "Set a label.")
            .takes(&[NONCE])
            .sends::<MetadataValue>()
            .answers_nothing(204),
        delete(on("/metadata/{key}"), metadata::unset)
            .is("Machines_delete_metadata", "Remove a label.")
            .takes(&[NONCE])
            .answers_nothing(204),
    ]
}

fn lease() -> Vec<Operation> {
    vec![
        get(on("/lease"), leases::show)
            .is("Machines_show_lease", "The lease of a machine; its nonce for its holder alone.")
            .takes(&[NONCE])
            .answers::<LeaseReply>(200),
        post(on("/lease"), leases::take)
            .is("Machines_create_lease", "Take the lease of a machine, or extend it.")
            .takes(&[NONCE, query("ttl", Kind::Count, "Seconds: 120 by default, at most 3,600.")])
            .may_send::<LeaseRequest>()
            .answers::<LeaseReply>(201),
        delete(on("/lease"), leases::release)
            .is("Machines_release_lease", "Give the lease back.")
            .takes(&[NONCE])
            .answers::<LeaseReleased>(200),
    ]
}
