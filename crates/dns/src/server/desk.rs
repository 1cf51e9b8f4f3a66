//! One message: what is answered at once, and what must be asked of others first.

use crate::answer::{Answer, OwnAnswer, answer, minimal_any};
use crate::bounds::{Admission, Place, Scarce, Who};
use crate::forward::{Ask, Forward};
use crate::reply::{Way, write};
use crate::request::{Incoming, Request, read, turn_down};
use crate::rule::{OtherNames, Pin};
use crate::screen::Resolved;
use crate::server::Server;
use crate::server::counters::Counters;
use crate::zone::Machine;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Time that questions under way have to end when the server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Longest time that pinning may take: an asker that waits longer asks again.
const PIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a machine is told nothing of a name outside.
const NOT_FOR_IT: &str = "this machine may not speak to that name: its egress rules, or the host's";

/// What is to be done with a message.
pub(crate) enum First {
    /// Nothing.
    Silence,
    /// These bytes go back.
    Reply(Vec<u8>),
    /// Others must be asked: [`Server::finish`].
    Ask(Box<Job>),
}

/// A question whose answer is not known here.
pub(crate) struct Job {
    request: Request,
    asker: Arc<Machine>,
    /// Domains of the asker's rule to which the name belongs.
    domains: Vec<String>,
    ask: Ask,
    way: Way,
    /// Held while others are asked.
    _place: Place,
}

impl<F: Forward, P: Pin> Server<F, P> {
    /// Takes a message in, without waiting.
    pub(crate) fn first(&self, bytes: &[u8], source: IpAddr, way: Way, now: Instant) -> First {
        Counters::add(&self.counters.received);
        let asker = self.zone.read().asker(source);
        let who = asker.as_ref().map(|machine| machine.id.clone());
        match self.bounds.admit(&who, now) {
            Admission::Answer => self.answer(bytes, asker, &who, way, now),
            Admission::Refuse => {
                Counters::add(&self.counters.over_limit);
                turn_down(bytes, ResponseCode::Refused)
                    .map_or(First::Silence, |message| sent(&message, way))
            }
            Admission::Drop => {
                Counters::add(&self.counters.over_limit);
                First::Silence
            }
        }
    }

    fn answer(
        &self,
        bytes: &[u8],
        asker: Option<Arc<Machine>>,
        who: &Who,
        way: Way,
        now: Instant,
    ) -> First {
        let request = match read(bytes) {
            Incoming::Request(request) => *request,
            Incoming::Turned(message) => {
                Counters::add(&self.counters.turned_down);
                return sent(&message, way);
            }
            Incoming::Noise => {
                Counters::add(&self.counters.turned_down);
                return First::Silence;
            }
        };
        let Some(asker) = asker else {
            Counters::add(&self.counters.turned_down);
            return said(&request, ResponseCode::Refused, way);
        };
        let answer = answer(&request.query, &asker, &self.zone.read());
        match answer {
            Answer::Ours(own) => {
                Counters::add(&self.counters.own);
                First::Reply(finished(&request, &own_message(&request, own), way))
            }
            Answer::Elsewhere => self.elsewhere(request, asker, who, way, now),
        }
    }

    fn elsewhere(
        &self,
        request: Request,
        asker: Arc<Machine>,
        who: &Who,
        way: Way,
        now: Instant,
    ) -> First {
        let name = &request.query.name;
        let rule = asker.name_rule.as_ref();
        let domains: Vec<String> = rule
            .map(|rule| rule.domains_of(name).into_iter().map(str::to_owned).collect())
            .unwrap_or_default();
        let is_closed = rule.is_some_and(|rule| rule.others() == OtherNames::Refused);
        if is_closed && domains.is_empty() {
            Counters::add(&self.counters.refused_by_rule);
            return First::Reply(finished(&request, &request.blocked(NOT_FOR_IT), way));
        }
        if !request.metadata.recursion_desired {
            return said(&request, ResponseCode::Refused, way);
        }
        if request.query.query_type == RecordType::ANY {
            let mut message = request.reply(ResponseCode::NoError);
            message.add_answer(minimal_any(name));
            return First::Reply(finished(&request, &message, way));
        }
        let ask = Ask {
            query: request.query.clone(),
            dnssec_ok: request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: request.metadata.checking_disabled,
        };
        if domains.is_empty()
            && let Some(resolved) = self.resolver.remembered(&ask)
        {
            return First::Reply(finished(&request, &others_message(&request, resolved), way));
        }
        match self.bounds.take(who, Scarce::InFlight, now) {
            Some(place) => {
                First::Ask(Box::new(Job { request, asker, domains, ask, way, _place: place }))
            }
            None => {
                Counters::add(&self.counters.over_limit);
                said(&request, ResponseCode::Refused, way)
            }
        }
    }

    /// Asks others, opens the way to what they say, and gives the bytes that go back.
    pub(crate) async fn finish(&self, job: Job) -> Vec<u8> {
        let Job { request, asker, domains, ask, way, _place } = job;
        let resolved = match self.resolver.resolve(&ask).await {
            Some(resolved) => self.pinned(&asker, &domains, resolved).await,
            None => None,
        };
        let message = match resolved {
            Some(resolved) => others_message(&request, resolved),
            None => request.reply(ResponseCode::ServFail),
        };
        finished(&request, &message, way)
    }

    /// The answer as it may be remembered, once its addresses are let through.
    async fn pinned(
        &self,
        asker: &Machine,
        domains: &[String],
        mut resolved: Resolved,
    ) -> Option<Resolved> {
        let addresses = resolved.addresses();
        if domains.is_empty() || addresses.is_empty() {
            return Some(resolved);
        }
        let ttl = Duration::from_secs(resolved.ttl_secs.into());
        let pinned = timeout(PIN_TIMEOUT, self.pin.pin(asker, domains, &addresses, ttl)).await;
        let reason = match pinned {
            Ok(Ok(time)) => {
                resolved.cap_ttl(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
                return Some(resolved);
            }
            Ok(Err(error)) => format!("{error}: {}", error.0),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(machine = %asker.id, reason, "addresses of an answer were not let through");
        Counters::add(&self.counters.not_pinned);
        None
    }
}

fn own_message(request: &Request, own: OwnAnswer) -> Message {
    let mut message = request.reply(own.code);
    message.metadata.authoritative = own.code != ResponseCode::Refused;
    message.answers = own.answers;
    if !own.is_ranked && !message.answers.is_empty() {
        // Who takes the first of equals, or sees only those that fit, takes another one each time.
        let first = usize::from(request.metadata.id) % message.answers.len();
        message.answers.rotate_left(first);
    }
    message.authorities = own.soa.into_iter().map(|soa| *soa).collect();
    message
}

fn others_message(request: &Request, resolved: Resolved) -> Message {
    let asked_name = &request.query.name;
    let mut message = request.reply(resolved.code);
    message.metadata.authentic_data = resolved.is_authentic && wants_authenticity(request);
    message.answers = resolved.answers;
    message.authorities = resolved.authorities;
    for record in &mut message.answers {
        // In the asker's own case, not in that of who asked before or of our own question.
        if record.name == *asked_name {
            record.name.clone_from(asked_name);
        }
    }
    message
}

fn wants_authenticity(request: &Request) -> bool {
    request.metadata.authentic_data
        || request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
}

fn said(request: &Request, code: ResponseCode, way: Way) -> First {
    First::Reply(finished(request, &request.reply(code), way))
}

/// Bytes of a reply; when it cannot be written, those of a failure, which always can.
fn finished(request: &Request, message: &Message, way: Way) -> Vec<u8> {
    let room = request.room(way);
    write(message, room)
        .or_else(|| write(&request.reply(ResponseCode::ServFail), room))
        .unwrap_or_default()
}

/// A reply to what was not understood, as short as can be.
fn sent(message: &Message, way: Way) -> First {
    let room = match way {
        Way::Udp => crate::reply::UDP_MAX_BYTES,
        Way::Tcp => crate::reply::TCP_MAX_BYTES,
    };
    write(message, room).map_or(First::Silence, First::Reply)
}
