//! Certificates that are made here, by an authority of this host alone.
//!
//! Nobody outside trusts it. Whoever is given its certificate can: on a private network that is as
//! good as a public one, and better than a certificate that is new at each start.

use super::chain::unix_ms;
use super::{CertificateSource, Hostname};
use crate::error::ControlError;
use model::{DurationMs, UnixMs};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use store::{AuthorityRecord, CertificateRecord};
use x509_parser::time::ASN1Time;

const DAY: DurationMs = DurationMs::from_secs(86_400);

/// How long the authority signs.
const AUTHORITY_LIFE: DurationMs = days(3_650);

/// How long what it signs is taken: not longer than most programs take any certificate for.
/// Source: CA/Browser Forum baseline requirements, 6.3.2 (398 days).
const CERTIFICATE_LIFE: DurationMs = days(365);

/// A certificate that ends sooner is made anew.
pub(crate) const RENEW_BEFORE: DurationMs = days(30);

/// Certificates count from some time ago: the clocks of visitors may be late.
const CLOCK_SKEW: DurationMs = DAY;

/// Digits of the host's id in the authority's name.
const HOST_DIGITS: usize = 8;

const fn days(n: u64) -> DurationMs {
    DurationMs(DAY.0 * n)
}

/// Makes an authority for the host with this id.
pub(crate) fn found(host_id: &str, now: UnixMs) -> Result<AuthorityRecord, ControlError> {
    let host = host_id.get(..HOST_DIGITS).unwrap_or(host_id);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Dormouse authority {host}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let expires_at = now.plus(AUTHORITY_LIFE);
    set_time(&mut params, now, expires_at)?;
    let key = KeyPair::generate().map_err(of_rcgen)?;
    let certificate = params.self_signed(&key).map_err(of_rcgen)?;
    Ok(AuthorityRecord {
        certificate: certificate.pem(),
        private_key: key.serialize_pem(),
        expires_at,
    })
}

/// Whether what it signs now has its whole life before it.
pub(crate) fn is_lasting(authority: &AuthorityRecord, now: UnixMs) -> bool {
    now.plus(CERTIFICATE_LIFE) <= authority.expires_at
}

/// Makes a certificate for a host name.
pub(crate) fn issue(
    authority: &AuthorityRecord,
    hostname: &Hostname,
    now: UnixMs,
) -> Result<CertificateRecord, ControlError> {
    let signer = KeyPair::from_pem(&authority.private_key).map_err(of_rcgen)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signer).map_err(of_rcgen)?;
    let mut params = CertificateParams::new(vec![hostname.to_string()]).map_err(of_rcgen)?;
    params.distinguished_name.push(DnType::CommonName, "Dormouse");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let expires_at = now.plus(CERTIFICATE_LIFE).min(authority.expires_at);
    set_time(&mut params, now, expires_at)?;
    let key = KeyPair::generate().map_err(of_rcgen)?;
    let certificate = params.signed_by(&key, &issuer).map_err(of_rcgen)?;
    Ok(CertificateRecord {
        hostname: hostname.to_string(),
        source: CertificateSource::Local,
        issuer: name_of(&authority.certificate)?,
        key_kind: "ecdsa".to_owned(),
        created_at: now,
        expires_at,
        chain: certificate.pem(),
        private_key: key.serialize_pem(),
    })
}

/// The authority's name, in one line.
fn name_of(certificate: &str) -> Result<String, ControlError> {
    use x509_parser::pem::parse_x509_pem;
    let bug = |error: &dyn std::fmt::Display| ControlError::Bug { message: error.to_string() };
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|error| bug(&error))?;
    let parsed = pem.parse_x509().map_err(|error| bug(&error))?;
    Ok(super::chain::shown_name(parsed.subject()))
}

/// Certificates count whole seconds.
fn set_time(
    params: &mut CertificateParams,
    now: UnixMs,
    expires_at: UnixMs,
) -> Result<(), ControlError> {
    let begin = UnixMs(now.0.saturating_sub(CLOCK_SKEW.0));
    let moment = |at: UnixMs| -> Result<_, ControlError> {
        let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
        let time = ASN1Time::from_timestamp(seconds).map_err(|_far| ControlError::Bug {
            message: format!("no certificate can say {} ms", unix_ms(seconds).0),
        })?;
        Ok(time.to_datetime())
    };
    (params.not_before, params.not_after) = (moment(begin)?, moment(expires_at)?);
    Ok(())
}

fn of_rcgen(error: rcgen::Error) -> ControlError {
    ControlError::Bug { message: format!("no certificate can be made: {error}") }
}

#[cfg(test)]
mod tests {
    use super::{RENEW_BEFORE, found, is_lasting, issue};
    use crate::hostnames::Hostname;
    use crate::hostnames::chain::fit;
    use model::{DurationMs, UnixMs};

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    fn name(text: &str) -> Hostname {
        text.parse().expect("a name")
    }

    #[test]
    fn what_the_authority_signs_is_fit_to_be_served() {
        let authority = found("0123456789abcdef", NOW).expect("made");
        for hostname in ["www.example.com", "*.example.com"] {
            let made = issue(&authority, &name(hostname), NOW).expect("made");
            // The authority's own certificate after it makes the chain whole.
            let chain = format!("{}{}", made.chain, authority.certificate);
            let fit = fit(&name(hostname), &chain, &made.private_key, NOW).expect("fit");
            assert_eq!((fit.issuer.as_str(), fit.key_kind), (made.issuer.as_str(), "ecdsa"));
            assert_eq!(fit.expires_at, UnixMs(made.expires_at.0 / 1000 * 1000));
            assert_eq!(made.issuer, "CN=Dormouse authority 01234567");
        }
    }

    #[test]
    fn an_authority_that_ends_is_replaced_in_time() {
        let authority = found("0123456789abcdef", NOW).expect("made");
        assert!(is_lasting(&authority, NOW));
        let late = UnixMs(authority.expires_at.0 - RENEW_BEFORE.0);
        assert!(!is_lasting(&authority, late));
        let made = issue(&authority, &name("www.example.com"), late).expect("made");
        assert!(made.expires_at <= authority.expires_at);
        assert!(made.expires_at > late.plus(DurationMs(1)));
    }

    #[test]
    fn keys_are_not_shown() {
        let authority = found("0123456789abcdef", NOW).expect("made");
        let made = issue(&authority, &name("www.example.com"), NOW).expect("made");
        assert!(!format!("{authority:?} {made:?}").contains("PRIVATE"));
    }
}
