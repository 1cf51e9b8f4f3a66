//! What is the answer to this question, for this asker?
//!
//! Pure. Which forms of names there are is read in [`crate::names`]; here they are looked up in
//! the asker's own network. A name exists when something of its app stands behind it, started or
//! not; only started machines are named, unless the name says `all`. An existing name without
//! records of the wanted type gets an empty answer, any other NXDOMAIN; both carry the zone's SOA,
//! which bounds how long they are remembered.

use crate::names::{Form, OfApp, Which, parse};
use crate::zone::{App, Machine, Network, Zone};
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{AAAA, HINFO, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::Ipv6Addr;

#[cfg(test)]
mod tests;

/// Time that an answer of ours may be remembered, in seconds; negative ones too.
///
/// Source: the platform's documentation of its private DNS.
pub const TTL_SECS: u32 = 5;

/// Most address records in one answer: with names of ordinary length they fit a message over TCP.
/// The writer shortens the first 120 names of a message only; what does not fit is cut off there.
pub const RECORDS_MAX: usize = 1_000;

/// Most bytes of text in one answer: the record must fit a message of 65,535 bytes.
const TEXT_MAX_BYTES: usize = 60_000;

/// Longest piece of a text record, in bytes.
const TEXT_PIECE_BYTES: usize = 255;

/// Zone of the private names.
const INTERNAL: &[&str] = &["internal"];

/// Zones that are ours and hold no names: app-wide addresses, which do not exist here, and the
/// names of private addresses (`fdaa::/16`), of which the outside must not be asked.
const EMPTY_ZONES: [&[&str]; 2] = [&["flycast"], &["a", "a", "d", "f", "ip6", "arpa"]];

/// What is known here about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name is in a zone of ours, and this is the whole answer.
    Ours(OwnAnswer),
    /// The name is somebody else's.
    Elsewhere,
}

/// A whole answer from a zone of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAnswer {
    /// `NoError` or `NXDomain`; `Refused` for classes other than `IN` and for zone transfers.
    pub code: ResponseCode,
    /// Records that answer the question, at most [`RECORDS_MAX`].
    pub answers: Vec<Record>,
    /// The first answers are the best; otherwise all are equally good.
    pub is_ranked: bool,
    /// The zone's SOA when there are no such records.
    pub soa: Option<Box<Record>>,
}

/// Answers `question` of `asker` from `zone`.
#[must_use]
pub fn answer(question: &Query, asker: &Machine, zone: &Zone) -> Answer {
    let labels = lower_labels(&question.name);
    let path = || labels.iter().map(|label| label.as_deref()).collect::<Vec<_>>();
    if let Some(inner) = below(&path(), INTERNAL) {
        let found = look_up(&inner, asker, zone);
        return Answer::Ours(own_answer(question, found, "internal."));
    }
    for empty in EMPTY_ZONES {
        if let Some(inner) = below(&path(), empty) {
            let found = if inner.is_empty() { Found::Nothing } else { Found::Unknown };
            return Answer::Ours(own_answer(question, found, &format!("{}.", empty.join("."))));
        }
    }
    Answer::Elsewhere
}

/// Labels in lower case; `None` for one that is no text, which no name of ours has.
fn lower_labels(name: &Name) -> Vec<Option<String>> {
    name.iter().map(|label| std::str::from_utf8(label).ok().map(str::to_ascii_lowercase)).collect()
}

/// Labels in front of `zone`, when `path` ends in it.
fn below<'a>(path: &[Option<&'a str>], zone: &[&str]) -> Option<Vec<Option<&'a str>>> {
    let at = path.len().checked_sub(zone.len())?;
    let (inner, end) = path.split_at(at);
    end.iter().zip(zone).all(|(label, wanted)| *label == Some(wanted)).then(|| inner.to_vec())
}

/// What stands behind a name.
enum Found {
    /// No such name.
    Unknown,
    /// The name is known and has no records.
    Nothing,
    Addresses(Vec<Ipv6Addr>),
    /// Addresses, the best first.
    Ranked(Vec<Ipv6Addr>),
    /// Text of one TXT record; empty when there is none.
    Text(String),
}

fn look_up(inner: &[Option<&str>], asker: &Machine, zone: &Zone) -> Found {
    let Some(labels) = inner.iter().copied().collect::<Option<Vec<&str>>>() else {
        return Found::Unknown;
    };
    let Some(form) = parse(&labels) else { return Found::Unknown };
    let network = zone.network(asker.network);
    match form {
        Form::Node => Found::Nothing,
        Form::Peers => Found::Text(String::new()),
        Form::Api => Found::Addresses(vec![zone.api()]),
        Form::Apps => Found::Text(join(network.into_iter().flat_map(Network::app_names), ",")),
        Form::Instances(which) => {
            let machines = network.into_iter().flat_map(Network::machines);
            Found::Text(join(in_list(machines, which).map(instance_entry), ";"))
        }
        Form::OfApp { app, what } => match network.and_then(|network| network.app(app)) {
            Some(app) => look_up_of_app(what, app, asker),
            None => Found::Unknown,
        },
    }
}

fn look_up_of_app(what: OfApp<'_>, app: &App, asker: &Machine) -> Found {
    let same = str::eq_ignore_ascii_case;
    let all = app.machines();
    match what {
        OfApp::Node => Found::Nothing,
        OfApp::Everyone => Found::Addresses(started(all)),
        OfApp::Nearest(most) => Found::Ranked(nearest(all, &asker.region, most)),
        OfApp::Region(region) => existing(all.filter(|m| same(&m.region, region))),
        OfApp::Machine(id) => existing(all.filter(|m| same(m.id.as_str(), id))),
        OfApp::Group(group) => {
            existing(all.filter(|m| m.process_group.as_ref().is_some_and(|g| same(g, group))))
        }
        OfApp::Labelled { key, value } => {
            existing(all.filter(|m| m.metadata.iter().any(|(k, v)| same(k, key) && same(v, value))))
        }
        OfApp::AnyLabelled { key } => {
            let mut keys = all.flat_map(|m| m.metadata.keys());
            if keys.any(|k| same(k, key)) { Found::Nothing } else { Found::Unknown }
        }
        OfApp::Vms(which) => {
            let entries = in_list(all, which).map(|m| format!("{} {}", m.id, m.region));
            Found::Text(join(entries, ","))
        }
        OfApp::Regions(which) => {
            let mut regions: Vec<&str> = in_list(all, which).map(|m| m.region.as_str()).collect();
            regions.sort_unstable();
            regions.dedup();
            Found::Text(join(regions, ","))
        }
    }
}

/// Addresses of the started ones; unknown when there are none at all.
fn existing<'a>(machines: impl Iterator<Item = &'a Machine>) -> Found {
    let mut machines = machines.peekable();
    if machines.peek().is_none() {
        return Found::Unknown;
    }
    Found::Addresses(started(machines))
}

fn started<'a>(machines: impl Iterator<Item = &'a Machine>) -> Vec<Ipv6Addr> {
    machines.filter(|machine| machine.is_up).map(|machine| machine.v6).take(RECORDS_MAX).collect()
}

/// The asker's own region first; further than that, all are equally far.
fn nearest<'a>(
    machines: impl Iterator<Item = &'a Machine>,
    region: &str,
    most: usize,
) -> Vec<Ipv6Addr> {
    let mut up: Vec<&Machine> = machines.filter(|machine| machine.is_up).collect();
    up.sort_by_key(|machine| !machine.region.eq_ignore_ascii_case(region));
    up.into_iter().map(|machine| machine.v6).take(most.min(RECORDS_MAX)).collect()
}

fn in_list<'a>(
    machines: impl Iterator<Item = &'a Machine>,
    which: Which,
) -> impl Iterator<Item = &'a Machine> {
    machines.filter(move |machine| which == Which::All || machine.is_up)
}

fn instance_entry(machine: &Machine) -> String {
    let Machine { id, app, v6, region, .. } = machine;
    format!("instance={id},app={app},ip={v6},region={region}")
}

/// Joins entries up to [`TEXT_MAX_BYTES`], whole ones only.
fn join<T: AsRef<str>>(entries: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut text = String::new();
    for entry in entries {
        let entry = entry.as_ref();
        if text.len() + between.len() + entry.len() > TEXT_MAX_BYTES {
            break;
        }
        if !text.is_empty() {
            text.push_str(between);
        }
        text.push_str(entry);
    }
    text
}

fn own_answer(question: &Query, found: Found, zone: &str) -> OwnAnswer {
    let is_transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    if question.query_class != DNSClass::IN || is_transfer {
        let code = ResponseCode::Refused;
        return OwnAnswer { code, answers: Vec::new(), is_ranked: false, soa: None };
    }
    let is_ranked = matches!(found, Found::Ranked(_));
    let code = match found {
        Found::Unknown => ResponseCode::NXDomain,
        _ => ResponseCode::NoError,
    };
    let answers = records(question, found, zone);
    let soa = answers.is_empty().then(|| Box::new(soa_of(zone)));
    OwnAnswer { code, answers, is_ranked, soa }
}

fn records(question: &Query, found: Found, zone: &str) -> Vec<Record> {
    let record = |data| Record::from_rdata(question.name.clone(), TTL_SECS, data);
    let is_apex = question.name.num_labels() == zone_name(zone).num_labels();
    match (question.query_type, found) {
        (_, Found::Unknown) => Vec::new(),
        (RecordType::AAAA, Found::Addresses(addresses) | Found::Ranked(addresses)) => {
            addresses.into_iter().map(|address| record(RData::AAAA(AAAA(address)))).collect()
        }
        (RecordType::TXT, Found::Text(text)) if !text.is_empty() => {
            let pieces = text.as_bytes().chunks(TEXT_PIECE_BYTES).collect();
            vec![record(RData::TXT(TXT::from_bytes(pieces)))]
        }
        (RecordType::SOA, _) if is_apex => vec![soa_of(zone)],
        (RecordType::ANY, _) => vec![minimal_any(&question.name)],
        _ => Vec::new(),
    }
}

/// The one record given for type `ANY`, so that no small question has a large answer (RFC 8482).
pub(crate) fn minimal_any(name: &Name) -> Record {
    let text = HINFO::new("RFC8482".to_owned(), String::new());
    Record::from_rdata(name.clone(), TTL_SECS, RData::HINFO(text))
}

fn soa_of(zone: &str) -> Record {
    let name = zone_name(zone);
    let ttl = i32::try_from(TTL_SECS).unwrap_or(i32::MAX);
    let mailbox = name.prepend_label("hostmaster").unwrap_or_else(|_| name.clone());
    // There are no zone transfers, so the serial never changes: one that grew would tell a network
    // how much happens in others.
    let soa = SOA::new(name.clone(), mailbox, 1, ttl, ttl, ttl, TTL_SECS);
    Record::from_rdata(name, TTL_SECS, RData::SOA(soa))
}

fn zone_name(zone: &str) -> Name {
    Name::from_ascii(zone).expect("our zones have valid names")
}
