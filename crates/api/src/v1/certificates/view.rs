//! Host names as the API shows them.

use crate::contract::certificates::{
    CertificateDetail, CertificateEntry, CertificateSummary, CertificateValidation,
    CertificateValidationError, DnsRecords, DnsRequirements, IssuedCertificate,
};
use crate::contract::moment::rfc3339;
use control::{CertificateSource, CertificateView, HostnameView, LookedUp};
use model::{DurationMs, UnixMs};

/// A certificate that its owner brought, and that ends sooner, is said to.
const ENDS_SOON: DurationMs = DurationMs::from_secs(14 * 86_400);

/// How it is with the certificate that is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Expired,
    Missing,
}

/// In a list.
pub(super) fn summary(hostname: &HostnameView, now: UnixMs) -> CertificateSummary {
    let standing = standing(hostname, now);
    let status = match standing {
        Standing::Active => "Ready",
        Standing::Expired => "Expired",
        Standing::Missing => "Awaiting certificates",
    };
    let has_local = has(hostname, CertificateSource::Local);
    CertificateSummary {
        hostname: hostname.name.clone(),
        status: status.to_owned(),
        configured: standing == Standing::Active,
        acme_requested: has_local,
        has_custom_certificate: has(hostname, CertificateSource::Custom),
        has_fly_certificate: has_local,
        created_at: rfc3339(hostname.created_at),
        updated_at: rfc3339(hostname.updated_at),
        ..CertificateSummary::default()
    }
}

/// Alone.
pub(super) fn detail(hostname: &HostnameView, now: UnixMs) -> CertificateDetail {
    let standing = standing(hostname, now);
    let status = match standing {
        Standing::Active => "active",
        Standing::Expired => "expired",
        Standing::Missing => "no_certificate",
    };
    let is_here = hostname.looked_up.as_ref().is_some_and(|found| found.is_here);
    CertificateDetail {
        hostname: hostname.name.clone(),
        status: status.to_owned(),
        configured: standing == Standing::Active,
        acme_requested: has(hostname, CertificateSource::Local),
        certificates: hostname.certificates.iter().map(|one| entry(one, now)).collect(),
        dns_requirements: DnsRequirements::default(),
        validation: CertificateValidation { dns_configured: is_here, ..Default::default() },
        validation_errors: obstacles(hostname, now),
        dns_records: None,
        warning: None,
    }
}

/// What was found in the DNS.
pub(super) fn records(found: &LookedUp) -> DnsRecords {
    let of = |is_v4: bool| {
        let some = found.addresses.iter().filter(|address| address.is_ipv4() == is_v4);
        some.map(ToString::to_string).collect()
    };
    let resolved_addresses = found.addresses.iter().map(ToString::to_string).collect();
    DnsRecords { a: of(true), aaaa: of(false), resolved_addresses }
}

fn standing(hostname: &HostnameView, now: UnixMs) -> Standing {
    match hostname.certificates.first() {
        None => Standing::Missing,
        Some(served) if served.expires_at <= now => Standing::Expired,
        Some(_) => Standing::Active,
    }
}

fn has(hostname: &HostnameView, source: CertificateSource) -> bool {
    hostname.certificates.iter().any(|certificate| certificate.source == source)
}

fn entry(certificate: &CertificateView, now: UnixMs) -> CertificateEntry {
    let source = match certificate.source {
        CertificateSource::Custom => "custom",
        CertificateSource::Local => "fly",
    };
    let status = if certificate.expires_at <= now { "pending_validation" } else { "active" };
    let expires_at = rfc3339(certificate.expires_at);
    CertificateEntry {
        source: source.to_owned(),
        status: status.to_owned(),
        issuer: certificate.issuer.clone(),
        created_at: rfc3339(certificate.created_at),
        expires_at: expires_at.clone(),
        issued: vec![IssuedCertificate {
            kind: certificate.key_kind.clone(),
            expires_at,
            certificate_authority: certificate.issuer.clone(),
        }],
    }
}

/// What visitors may stumble over.
fn obstacles(hostname: &HostnameView, now: UnixMs) -> Vec<CertificateValidationError> {
    let served = hostname.certificates.first();
    let of_certificate = served.map_or_else(
        || Some(obstacle(NO_CERTIFICATE, now)),
        |served| of_served(served, now).map(|kind| obstacle(kind, now)),
    );
    let found = hostname.looked_up.as_ref();
    let of_dns = found.and_then(|found| Some(obstacle(of_dns(found)?, found.at)));
    of_certificate.into_iter().chain(of_dns).collect()
}

/// Code, sentence, what to do.
type Kind = (&'static str, &'static str, &'static str);

const NO_CERTIFICATE: Kind = (
    "no_certificate",
    "there is no certificate: visitors get one that the proxy makes and nobody trusts",
    "bring one, or have one made by the host's own authority",
);

fn of_served(served: &CertificateView, now: UnixMs) -> Option<Kind> {
    if served.expires_at <= now {
        return Some((
            "certificate_expired",
            "the certificate that is served has expired",
            "bring a new one with `\"replace\": true`",
        ));
    }
    match served.source {
        CertificateSource::Local => Some((
            "local_authority",
            "the certificate was made by this host's own authority, which only those trust who were \
             given its certificate",
            "give visitors `GET /v1/certificates/authority`, or bring a certificate of an authority \
             that they trust",
        )),
        CertificateSource::Custom if served.expires_at <= now.plus(ENDS_SOON) => Some((
            "certificate_expires_soon",
            "the certificate that is served expires within 14 days",
            "bring a new one with `\"replace\": true`",
        )),
        CertificateSource::Custom => None,
    }
}

fn of_dns(found: &LookedUp) -> Option<Kind> {
    if found.is_here {
        return None;
    }
    if found.problem.is_some() {
        return Some((
            "dns_unknown",
            "the host's resolver gave no answer",
            "check the host's `/etc/resolv.conf`, then check again",
        ));
    }
    if found.addresses.is_empty() {
        return Some((
            "dns_not_found",
            "nobody knows an address of this name",
            "point it to the address under which visitors reach this host",
        ));
    }
    Some((
        "dns_elsewhere",
        "the name does not lead to an address of this host",
        "point it here; behind a router or load balancer that leads here it is right as it is",
    ))
}

fn obstacle((code, message, remediation): Kind, at: UnixMs) -> CertificateValidationError {
    CertificateValidationError {
        code: code.to_owned(),
        message: message.to_owned(),
        remediation: remediation.to_owned(),
        timestamp: rfc3339(at),
    }
}

#[cfg(test)]
mod tests {
    use super::{detail, records, summary};
    use control::{CertificateSource, CertificateView, HostnameView, LookedUp};
    use model::{DurationMs, UnixMs};

    const NOW: UnixMs = UnixMs(1_795_255_200_000);
    const DAYS: u64 = 86_400;

    fn certificate(source: CertificateSource, left_secs: u64) -> CertificateView {
        CertificateView {
            source,
            issuer: "CN=an authority".to_owned(),
            key_kind: "ecdsa".to_owned(),
            created_at: NOW,
            expires_at: NOW.plus(DurationMs::from_secs(left_secs)),
        }
    }

    fn hostname(certificates: Vec<CertificateView>, looked_up: Option<LookedUp>) -> HostnameView {
        HostnameView {
            name: "www.example.com".to_owned(),
            created_at: NOW,
            updated_at: NOW,
            looked_up,
            certificates,
        }
    }

    fn found(addresses: &[&str], is_here: bool, problem: Option<&str>) -> LookedUp {
        LookedUp {
            at: NOW,
            addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
            is_here,
            problem: problem.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(hostname: &HostnameView, status: (&str, &str), codes: &[&str]) {
        let shown = detail(hostname, NOW);
        assert_eq!(shown.status, status.0);
        assert_eq!(summary(hostname, NOW).status, status.1);
        assert_eq!(shown.configured, status.0 == "active");
        let found: Vec<_> = shown.validation_errors.iter().map(|e| e.code.as_str()).collect();
        assert_eq!(found, codes);
    }

    #[test]
    fn the_certificate_that_is_served_says_how_it_is() {
        use CertificateSource::{Custom, Local};
        let ready = ("active", "Ready");
        check(
            &hostname(vec![], None),
            ("no_certificate", "Awaiting certificates"),
            &["no_certificate"],
        );
        check(&hostname(vec![certificate(Custom, 90 * DAYS)], None), ready, &[]);
        let soon = certificate(Custom, 3 * DAYS);
        check(&hostname(vec![soon], None), ready, &["certificate_expires_soon"]);
        let local = certificate(Local, 3 * DAYS);
        check(&hostname(vec![local.clone()], None), ready, &["local_authority"]);
        let expired = hostname(vec![certificate(Custom, 0), local], None);
        check(&expired, ("expired", "Expired"), &["certificate_expired"]);
        let shown = detail(&expired, NOW);
        assert_eq!(shown.certificates[0].status, "pending_validation");
        assert_eq!(shown.certificates[1].source, "fly");
        assert!(shown.acme_requested && summary(&expired, NOW).has_custom_certificate);
    }

    #[test]
    fn what_the_dns_says_is_told() {
        let own = || vec![certificate(CertificateSource::Custom, 90 * DAYS)];
        let ready = ("active", "Ready");
        let here = hostname(own(), Some(found(&["192.0.2.1"], true, None)));
        check(&here, ready, &[]);
        assert!(detail(&here, NOW).validation.dns_configured);
        check(&hostname(own(), Some(found(&[], false, None))), ready, &["dns_not_found"]);
        check(
            &hostname(own(), Some(found(&["192.0.2.1"], false, None))),
            ready,
            &["dns_elsewhere"],
        );
        check(&hostname(own(), Some(found(&[], false, Some("late")))), ready, &["dns_unknown"]);
        let shown = records(&found(&["2001:db8::1", "192.0.2.1"], false, None));
        assert_eq!((shown.a[0].as_str(), shown.aaaa[0].as_str()), ("192.0.2.1", "2001:db8::1"));
        assert_eq!(shown.resolved_addresses, ["2001:db8::1", "192.0.2.1"]);
    }
}
