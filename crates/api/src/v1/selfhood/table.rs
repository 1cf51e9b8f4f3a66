//! What machines remember: `…/self` from outside, `/v1/self` and `/v1/peers` from inside.
//!
//! The same calls twice, told apart by `Door`: a machine names itself by calling.

use super::{
    alarms, dry_run, holds, inbox, memory, moving, outbox, peers, policy, rest, trace, whole,
};
use crate::contract::selfhood::{
    Acked, AlarmPut, Alarms, DeadLetters, DryRun, DryRunRequest, Explanation, FactReply,
    HoldDownPut, HoldDownReply, HoldPut, Holds, IDEMPOTENCY_HEADER, InboxPage, IntentChange,
    IntentReply, Lint, Memory, MemoryPatch, MessagesAck, MessagesTake, NoticeReply, Outbox,
    PeerMemory, PeerState, Policy, PolicySet, Posted, Replays, RestAsked, RestPut, SignalsNow,
    Taken, TraceCheck, TracePage, WakeReply, Whole, Written,
};
use crate::contract::shapes::{Export, Post};
use crate::contract::{Ok, StopRequest};
use crate::v1::life;
use crate::v1::operation::{
    Kind, Operation, Parameter, Right, delete, get, header, patch, post, put, query,
};
use crate::v1::table::machines::{NONCE, on};
use serde_json::Value;

const IF_MATCH: Parameter =
    header("if-match", Kind::Text, "Only at this revision of the machine's self.");

const IDEMPOTENCY_KEY: Parameter = header(
    IDEMPOTENCY_HEADER,
    Kind::Text,
    "Names the message: posting it twice is posting it once.",
);

const TIMEOUT: Parameter = query("timeout", Kind::Seconds, "Longest wait: at most 60 s.");

const AFTER: Parameter = query("after", Kind::Count, "Only after this number.");

const LIMIT: Parameter = query("limit", Kind::Count, "How many: 100 by default.");

/// What may stand beside a message that is sent as text.
const OF_TEXT: [Parameter; 3] = [
    query("id", Kind::Text, "Id of a message that is sent as text."),
    query("wake", Kind::Flag, "It wakes the machine by itself."),
    query("hops", Kind::Count, "Machines that it has passed."),
];

/// From where a self is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// By somebody who names the machine.
    Outside,
    /// By the machine.
    Inside,
}

impl Door {
    fn at(self, rest: &str) -> String {
        match self {
            Self::Outside => on(&format!("/self{rest}")),
            Self::Inside => format!("/v1/self{rest}"),
        }
    }

    fn named(self, operations: Vec<Operation>) -> Vec<Operation> {
        let prefix = match self {
            Self::Outside => "Self",
            Self::Inside => "Own",
        };
        let named = |operation: Operation| {
            let id = format!("{prefix}_{}", operation.id);
            let is_look = operation.right == Right::Read;
            // A change that cannot be, or is too large for what is remembered.
            let operation = if is_look { operation } else { operation.refuses(&[413, 422]) };
            let right = match self {
                Self::Inside => Right::Machine,
                Self::Outside if is_look => Right::Read,
                Self::Outside => Right::SelfWrite,
            };
            Operation { id, right, ..operation }
        };
        operations.into_iter().map(named).collect()
    }
}

/// From outside.
pub(in crate::v1) fn outside() -> Vec<Operation> {
    of_self(Door::Outside)
}

/// From inside.
pub(in crate::v1) fn inside() -> Vec<Operation> {
    let mut all = of_self(Door::Inside);
    all.extend(of_peers());
    all
}

fn of_self(door: Door) -> Vec<Operation> {
    let mut all = facts(door);
    all.extend(messages(door));
    all.extend(reasons_to_be_up(door));
    all.extend(rests(door));
    all.extend(policies(door));
    all.extend(reasons(door));
    door.named(all)
}

fn facts(door: Door) -> Vec<Operation> {
    vec![
        get(door.at(""), whole::show)
            .is("show", "All that the machine remembers.")
            .answers::<Whole>(200),
        get(door.at("/signals"), whole::signals)
            .is("signals", "What the host sees of the machine now.")
            .answers::<SignalsNow>(200),
        get(door.at("/memory"), memory::show)
            .is("memory", "The facts that count.")
            .takes(&[
                query("wait_revision", Kind::Count, "Wait until the revision is another one."),
                TIMEOUT,
            ])
            .answers::<Memory>(200),
        patch(door.at("/memory"), memory::change)
            .is("memory_change", "Change facts by a merge patch: all of it or nothing.")
            .takes(&[IF_MATCH])
            .sends::<MemoryPatch>()
            .answers::<Written>(200),
        get(door.at("/memory/{key}"), memory::one).is("fact", "A fact.").answers::<FactReply>(200),
        put(door.at("/memory/{key}"), memory::put)
            .is("fact_put", "Write a fact: `{\"value\": …}`, the value alone, or text.")
            .takes(&[IF_MATCH])
            .sends::<Value>()
            .may_send_raw("text/plain")
            .answers::<Written>(200),
        delete(door.at("/memory/{key}"), memory::remove)
            .is("fact_delete", "Forget a fact.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        get(door.at("/intent"), memory::intent)
            .is("intent", "What the machine is for.")
            .answers::<IntentReply>(200),
        patch(door.at("/intent"), memory::change_intent)
            .is("intent_change", "Say what the machine is for.")
            .takes(&[IF_MATCH])
            .sends::<IntentChange>()
            .answers::<Written>(200),
        get(door.at("/export"), moving::export)
            .is("export", "Everything that the machine remembers, to be kept or moved.")
            .answers::<Export>(200),
        post(door.at("/import"), moving::import)
            .is("import", "Put an export in the place of what the machine remembers.")
            .takes(&[IF_MATCH])
            .sends::<Export>()
            .answers::<Written>(200),
    ]
}

fn messages(door: Door) -> Vec<Operation> {
    vec![
        get(door.at("/inbox"), inbox::look)
            .is("inbox", "Look at messages; with `take`, deliver them.")
            .takes(&[
                AFTER,
                LIMIT,
                query("take", Kind::Count, "Deliver so many, as `POST …/take` does."),
                TIMEOUT,
            ])
            .answers::<InboxPage>(200),
        post(door.at("/inbox"), inbox::post)
            .is("inbox_post", "Post a message.")
            .takes(&[IDEMPOTENCY_KEY])
            .takes(&OF_TEXT)
            .sends::<Post>()
            .may_send_raw("text/plain")
            .answers::<Posted>(200)
            .answers::<Posted>(201),
        post(door.at("/inbox/take"), inbox::take)
            .is("inbox_take", "Deliver messages, to be acknowledged.")
            .may_send::<MessagesTake>()
            .answers::<Taken>(200),
        post(door.at("/inbox/ack"), inbox::ack)
            .is("inbox_ack", "Acknowledge messages.")
            .sends::<MessagesAck>()
            .answers::<Acked>(200),
        get(door.at("/inbox/dead"), inbox::dead)
            .is("inbox_dead", "Messages that were delivered in vain.")
            .takes(&[LIMIT])
            .answers::<DeadLetters>(200),
        get(door.at("/outbox"), outbox::list)
            .is("outbox", "Notifications that wait to be delivered.")
            .answers::<Outbox>(200),
    ]
}

fn reasons_to_be_up(door: Door) -> Vec<Operation> {
    vec![
        get(door.at("/holds"), holds::list)
            .is("holds", "What keeps the machine awake for a while.")
            .answers::<Holds>(200),
        put(door.at("/holds/{key}"), holds::put)
            .is("hold_put", "Put a hold, or renew it.")
            .takes(&[IF_MATCH])
            .sends::<HoldPut>()
            .answers::<Written>(200),
        delete(door.at("/holds/{key}"), holds::remove)
            .is("hold_delete", "Drop a hold.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        get(door.at("/alarms"), alarms::list)
            .is("alarms", "What wakes the machine by the clock.")
            .answers::<Alarms>(200),
        put(door.at("/alarms/{key}"), alarms::put)
            .is("alarm_put", "Set an alarm.")
            .takes(&[IF_MATCH])
            .sends::<AlarmPut>()
            .answers::<Written>(200),
        delete(door.at("/alarms/{key}"), alarms::remove)
            .is("alarm_delete", "Remove an alarm.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        post(door.at("/alarms/{key}/ack"), alarms::ack)
            .is("alarm_ack", "Acknowledge one firing of an alarm.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
    ]
}

fn rests(door: Door) -> Vec<Operation> {
    vec![
        post(door.at("/rest"), rest::ask)
            .is("rest", "Rest by the machine's own word; answered before the rest begins.")
            .takes(&[IF_MATCH])
            .may_send::<RestPut>()
            .answers::<RestAsked>(200),
        delete(door.at("/rest"), rest::clear)
            .is("rest_clear", "Take the word back.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        get(door.at("/wake"), rest::wake)
            .is("wake", "Why the machine was last woken, and what came of it.")
            .answers::<WakeReply>(200),
        post(door.at("/beat"), rest::beat)
            .is("beat", "Say that the machine is alive; nothing is stored.")
            .answers::<Ok>(200),
        get(door.at("/notices"), rest::notices)
            .is("notices", "Wait for a rest that is coming.")
            .takes(&[TIMEOUT])
            .answers::<NoticeReply>(200),
        post(door.at("/stop"), life::stop)
            .is("stop", "Stop the machine.")
            .takes(&[NONCE])
            .may_send::<StopRequest>()
            .answers::<Ok>(200),
        post(door.at("/suspend"), life::suspend)
            .is("suspend", "Let the machine sleep with its RAM.")
            .takes(&[
                NONCE,
                query("depth", Kind::Word(&["freeze", "suspend"]), "How deep; as its engine can."),
            ])
            .answers::<Ok>(200),
        get(door.at("/hold-down"), rest::held)
            .is("hold_down", "Whether nothing wakes the machine.")
            .answers::<HoldDownReply>(200),
        put(door.at("/hold-down"), rest::hold_down)
            .is("hold_down_put", "Have nothing wake the machine.")
            .takes(&[IF_MATCH])
            .may_send::<HoldDownPut>()
            .answers::<Written>(200),
        delete(door.at("/hold-down"), rest::let_go)
            .is("hold_down_release", "Let the machine be woken again.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        delete(door.at("/breaker"), rest::reset_breaker)
            .is("breaker_reset", "Close the circuit breaker.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
    ]
}

fn policies(door: Door) -> Vec<Operation> {
    vec![
        get(door.at("/policy"), policy::show)
            .is("policy", "The policy that governs the machine.")
            .answers::<Policy>(200),
        put(door.at("/policy"), policy::set)
            .is("policy_put", "Set the policy: the document itself.")
            .takes(&[
                IF_MATCH,
                query("hash", Kind::Text, "Name of its content: another document is refused."),
            ])
            .sends::<Value>()
            .answers::<PolicySet>(200),
        delete(door.at("/policy"), policy::remove)
            .is("policy_delete", "Take the policy away.")
            .takes(&[IF_MATCH])
            .answers::<Written>(200),
        Operation {
            // It changes nothing, so whoever may look at the machine may ask.
            right: Right::Read,
            ..post(door.at("/policy/lint"), policy::lint)
        }
        .is("policy_lint", "Say what is wrong with a policy, or worth a thought.")
        .sends::<Value>()
        .answers::<Lint>(200),
        post(door.at("/policy/dry-run"), dry_run::dry_run)
            .is("policy_dry_run", "Say what would be; nothing changes.")
            .may_send::<DryRunRequest>()
            .answers::<DryRun>(200),
    ]
}

fn reasons(door: Door) -> Vec<Operation> {
    vec![
        get(door.at("/explain"), trace::explain)
            .is("explain", "Why the machine is awake or asleep, and what comes next.")
            .answers::<Explanation>(200),
        get(door.at("/trace"), trace::page)
            .is("trace", "What was written, refused and decided.")
            .takes(&[
                AFTER,
                LIMIT,
                query("tail", Kind::Count, "Only the last entries."),
                query("follow", Kind::Flag, "The entries alone, one a line, without end."),
            ])
            .answers::<TracePage>(200),
        get(door.at("/trace/verify"), trace::verify)
            .is("trace_verify", "Check the chain of the trace.")
            .answers::<TraceCheck>(200),
        get(door.at("/trace/replay"), trace::replay)
            .is("trace_replay", "Make the decisions of the trace again.")
            .takes(&[query("seq", Kind::Count, "Only the one of this entry.")])
            .answers::<Replays>(200),
    ]
}

fn of_peers() -> Vec<Operation> {
    vec![
        get("/v1/peers/{key}/memory", peers::memory)
            .is("Peer_memory", "The facts of a peer, without the secret ones.")
            .needs(Right::Machine)
            .answers::<PeerMemory>(200),
        patch("/v1/peers/{key}/memory", peers::change)
            .is("Peer_memory_change", "Change facts of a peer that name this machine as a writer.")
            .needs(Right::Machine)
            .sends::<MemoryPatch>()
            .answers::<Written>(200),
        post("/v1/peers/{key}/inbox", peers::post)
            .is("Peer_inbox_post", "Post a message to a peer.")
            .needs(Right::Machine)
            .takes(&[IDEMPOTENCY_KEY])
            .takes(&OF_TEXT)
            .sends::<Post>()
            .may_send_raw("text/plain")
            .answers::<Posted>(200)
            .answers::<Posted>(201),
        get("/v1/peers/{key}/state", peers::state)
            .is("Peer_state", "The state of a peer.")
            .needs(Right::Machine)
            .answers::<PeerState>(200),
    ]
}
