//! Other machines of the same network, as a machine inside sees them: `/v1/peers/{name}/…`.
//!
//! Who asks is known by its channel. What it may write is said by the facts' `writers`.

use super::inbox::{message, posted};
use super::on::shown;
use super::show;
use super::text::RawBody;
use super::whole::seconds_since;
use crate::contract::selfhood::{MemoryPatch, PeerMemory, PeerState, Written};
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use crate::v1::extract::{Key, OperateSelf};
use crate::v1::query::Params;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use control::{Control, ControlError, SelfWritten};
use govern::{Write, Writer};
use model::MachineId;
use store::MachineRecord;

/// A peer, and the machine that asks.
#[derive(Debug)]
pub(super) struct Peer {
    /// The peer.
    record: MachineRecord,
    /// Who asks.
    writer: Writer,
}

impl FromRequestParts<Control> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        let OperateSelf(on) = OperateSelf::from_request_parts(parts, state).await?;
        let Key(name) = Key::from_request_parts(parts, state).await?;
        let id = state.peer_by_name(&on.record.id, &name).map_err(|e| no_peer(&e, &name))?;
        let record = state.machine(None, &id).map_err(|e| no_peer(&e, &name))?;
        let writer = Writer::Peer(name_for(state, &record.id, &on.record)?);
        Ok(Self { record, writer })
    }
}

/// What `peer` calls the machine that asks: its name, where that name means this machine and no other
/// one of the network; else its id. So nobody takes another one's rights by taking its name.
fn name_for(
    control: &Control,
    peer: &MachineId,
    asking: &MachineRecord,
) -> Result<String, Problem> {
    match control.peer_by_name(peer, &asking.name) {
        Ok(id) if id == asking.id => Ok(asking.name.clone()),
        Ok(_) | Err(ControlError::NotFound { .. }) => Ok(asking.id.to_string()),
        Err(error) => Err(Problem::from_control(&error, Some(peer))),
    }
}

fn no_peer(error: &ControlError, name: &str) -> Problem {
    let problem = Problem::from_control(error, None);
    if !matches!(error, ControlError::NotFound { .. }) {
        return problem;
    }
    let text = format!("not_found: there is no machine `{name}` in this network");
    Problem::new(problem.status, "peer_not_found", text)
        .hint("a peer is named by its name or id, and is in the same network")
}

impl Peer {
    const fn id(&self) -> &MachineId {
        &self.record.id
    }

    fn problem(&self, error: &ControlError) -> Problem {
        Problem::from_control(error, Some(self.id()))
    }

    async fn write(&self, control: &Control, write: Write) -> Result<SelfWritten, Problem> {
        let written = control.self_write(self.id(), write, self.writer.clone()).await;
        written.map_err(|e| self.problem(&e))
    }
}

/// `GET /v1/peers/{name}/memory`: without secrets.
pub(super) async fn memory(State(control): State<Control>, peer: Peer) -> Answer {
    let record = control.self_record(peer.id()).map_err(|e| peer.problem(&e))?;
    let facts = record.selfhood.published(model::clock::now());
    let facts = facts.map(|(key, fact)| (key.to_owned(), show::fact(fact))).collect();
    let revision = record.selfhood.revision;
    shown(revision, &PeerMemory { machine: peer.id().to_string(), revision, facts })
}

/// `PATCH /v1/peers/{name}/memory`: facts that name this machine among their writers.
pub(super) async fn change(State(control): State<Control>, peer: Peer, body: JsonBody) -> Answer {
    let patch: MemoryPatch = body.to()?;
    let revision = peer.write(&control, Write::Memory { patch, if_match: None }).await?.revision;
    shown(revision, &Written { revision })
}

/// `POST /v1/peers/{name}/inbox`.
pub(super) async fn post(
    State(control): State<Control>,
    peer: Peer,
    headers: HeaderMap,
    params: Params,
    body: RawBody,
) -> Answer {
    let message = message(&headers, &params, body)?;
    posted(&peer.write(&control, Write::Post(message)).await?)
}

/// `GET /v1/peers/{name}/state`.
pub(super) async fn state(State(control): State<Control>, peer: Peer) -> Answer {
    let revision = control.self_record(peer.id()).map_err(|e| peer.problem(&e))?.selfhood.revision;
    let seen = control.self_signals(peer.id()).map_err(|e| peer.problem(&e))?;
    let now = model::clock::now();
    shown(
        revision,
        &PeerState {
            machine: peer.id().to_string(),
            name: peer.record.name.clone(),
            state: peer.record.machine.state.api_name().to_owned(),
            revision,
            age_s: seen.beat_at.map(|at| seconds_since(at, now)),
        },
    )
}
