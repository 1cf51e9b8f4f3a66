//! What of an upstream's answer is passed on?
//!
//! Only what was asked for: the chain of aliases from the name that was asked and the wanted
//! records at its end, so an answer cannot bring along records of other names. Addresses of
//! private networks are left out: a name of the outside must not lead a machine's visitor, or the
//! machine itself, to what lies behind us (DNS rebinding).

use crate::forward::Ask;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SVCB;
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[cfg(test)]
mod tests;

/// Longest time an answer is remembered, in seconds.
pub(crate) const TTL_MAX_SECS: u32 = 3_600;

/// Longest time that a name is remembered not to exist, in seconds.
pub(crate) const NEGATIVE_TTL_MAX_SECS: u32 = 60;

/// Most aliases that are followed from one name to the next.
const ALIASES_MAX: usize = 16;

/// Whether addresses of private networks may come from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrivateAnswers {
    /// They are left out.
    Dropped,
    /// They are passed on.
    Allowed,
}

/// An answer of others as it is passed on and remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// `NoError` or `NXDomain`.
    pub(crate) code: ResponseCode,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// The upstream has checked the signatures.
    pub(crate) is_authentic: bool,
    /// How long it may be remembered, in seconds.
    pub(crate) ttl_secs: u32,
}

impl Resolved {
    /// The same after `secs`: its records may be remembered for less.
    pub(crate) fn aged(&self, secs: u32) -> Self {
        let mut aged = self.clone();
        aged.ttl_secs = aged.ttl_secs.saturating_sub(secs);
        for record in aged.answers.iter_mut().chain(&mut aged.authorities) {
            record.ttl = record.ttl.saturating_sub(secs);
        }
        aged
    }

    pub(crate) fn n_records(&self) -> usize {
        self.answers.len() + self.authorities.len()
    }

    /// Every address that the answer leads to.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.answers.iter().flat_map(|record| addresses(&record.data)).collect()
    }

    /// Bounds the time that the answers may be remembered.
    pub(crate) fn cap_ttl(&mut self, secs: u32) {
        self.ttl_secs = self.ttl_secs.min(secs);
        for record in &mut self.answers {
            record.ttl = record.ttl.min(secs);
        }
    }
}

/// Screens the answer to `ask`. `None`: the upstream could not or would not tell.
pub(crate) fn screen(ask: &Ask, message: Message, private: PrivateAnswers) -> Option<Resolved> {
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    let chain = chain(&ask.query.name, &message.answers);
    let mut answers = message.answers;
    answers.retain(|record| belongs(record, ask, &chain));
    if private == PrivateAnswers::Dropped {
        answers.retain(|record| !addresses(&record.data).into_iter().any(is_private));
    }
    let is_positive = answers.iter().any(|record| record.record_type() == ask.query.query_type);
    let end = chain.last().unwrap_or(&ask.query.name);
    let mut authorities = message.authorities;
    authorities.retain(|record| proves_absence(record, ask, end) && !is_positive);
    let mut resolved = Resolved {
        code,
        answers,
        authorities,
        is_authentic: message.metadata.authentic_data,
        ttl_secs: 0,
    };
    let most = if is_positive { TTL_MAX_SECS } else { NEGATIVE_TTL_MAX_SECS };
    resolved.bound_ttl(most);
    resolved.ttl_secs = resolved.lifetime(is_positive);
    Some(resolved)
}

impl Resolved {
    fn bound_ttl(&mut self, most: u32) {
        for record in self.answers.iter_mut().chain(&mut self.authorities) {
            record.ttl = record.ttl.min(most);
        }
    }

    /// The shortest of all times; a negative answer without an SOA allows none (RFC 2308, 5).
    fn lifetime(&self, is_positive: bool) -> u32 {
        let by_records = self.answers.iter().map(|record| record.ttl).min();
        let by_soa = self.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        match (is_positive, by_records, by_soa) {
            (true, by_records, _) => by_records.unwrap_or(0),
            (false, _, None) => 0,
            (false, by_records, Some(by_soa)) => by_records.unwrap_or(by_soa).min(by_soa),
        }
    }
}

/// The name that was asked and those it is an alias of, in order.
fn chain(asked: &Name, answers: &[Record]) -> Vec<Name> {
    let mut chain = vec![asked.clone()];
    while chain.len() <= ALIASES_MAX {
        let next = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if Some(&record.name) == chain.last() => Some(&target.0),
            _ => None,
        });
        match next {
            Some(name) if !chain.contains(name) => chain.push(name.clone()),
            _ => break,
        }
    }
    chain
}

fn belongs(record: &Record, ask: &Ask, chain: &[Name]) -> bool {
    let kind = record.record_type();
    let is_wanted = kind == ask.query.query_type
        || kind == RecordType::CNAME
        || (kind == RecordType::RRSIG && ask.dnssec_ok);
    is_wanted && record.dns_class == DNSClass::IN && chain.contains(&record.name)
}

fn proves_absence(record: &Record, ask: &Ask, end: &Name) -> bool {
    match record.record_type() {
        RecordType::SOA => record.name.zone_of(end),
        RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 => ask.dnssec_ok,
        _ => false,
    }
}

/// Addresses in one record, hints of `HTTPS` and `SVCB` records among them.
fn addresses(data: &RData) -> Vec<IpAddr> {
    match data {
        RData::A(a) => vec![a.0.into()],
        RData::AAAA(aaaa) => vec![aaaa.0.into()],
        RData::SVCB(svcb) => hints(svcb),
        RData::HTTPS(https) => hints(&https.0),
        _ => Vec::new(),
    }
}

fn hints(svcb: &SVCB) -> Vec<IpAddr> {
    let of = |value: &SvcParamValue| -> Vec<IpAddr> {
        match value {
            SvcParamValue::Ipv4Hint(hint) => hint.0.iter().map(|a| a.0.into()).collect(),
            SvcParamValue::Ipv6Hint(hint) => hint.0.iter().map(|aaaa| aaaa.0.into()).collect(),
            _ => Vec::new(),
        }
    };
    svcb.svc_params.iter().flat_map(|(_, value)| of(value)).collect()
}

/// Whether an address lies in no public network, also when it is wrapped in another.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => {
            let is_locally_translated = v6.segments()[..3] == [0x64, 0xff9b, 1];
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.segments()[0] & 0xffc0 == 0xfec0 // site-local, deprecated but routed by some
                || is_locally_translated
                || wrapped_v4(v6).is_some_and(is_private_v4)
        }
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64) // shared by carriers; machines have theirs there
}

/// The IPv4 address inside a mapped, compatible, translated or 6to4 address.
fn wrapped_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let o = v6.octets();
    match v6.segments() {
        [0x2002, ..] => Some(Ipv4Addr::new(o[2], o[3], o[4], o[5])),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(Ipv4Addr::new(o[12], o[13], o[14], o[15])),
        _ => v6.to_ipv4(),
    }
}
