//! Chains and keys as people bring them.

use super::{CHAIN_MAX_BYTES, ChainRefused, Fit, KEY_MAX_BYTES, fit};
use model::UnixMs;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// 2026-11-17.
const NOW: UnixMs = UnixMs(1_795_000_000_000);

/// A certificate and its key, as PEM.
struct Made {
    certificate: String,
    key: String,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn alone(params: &CertificateParams) -> Made {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Made { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn good() -> Made {
    alone(&params(&["www.example.com"]))
}

fn look(hostname: &str, chain: &str, key: &str) -> Result<Fit, ChainRefused> {
    fit(&hostname.parse().expect("a host name"), chain, key, NOW)
}

#[track_caller]
fn refused(chain: &str, key: &str) -> ChainRefused {
    look("www.example.com", chain, key).expect_err("not fit")
}

#[track_caller]
fn refused_with(change: impl FnOnce(&mut CertificateParams)) -> ChainRefused {
    let mut params = params(&["www.example.com"]);
    change(&mut params);
    let made = alone(&params);
    refused(&made.certificate, &made.key)
}

#[test]
fn a_certificate_that_signs_itself_is_fit() {
    let made = good();
    let fit = look("www.example.com", &made.certificate, &made.key).expect("fit");
    assert_eq!(fit.key_kind, "ecdsa");
    assert_eq!(fit.expires_at, UnixMs(1_798_761_600_000));
    let again = look("www.example.com", &fit.chain, &fit.private_key).expect("fit as it is kept");
    assert_eq!(again, fit);
}

#[test]
fn text_around_the_blocks_is_left_out() {
    let made = good();
    let around = |pem: &str| format!("# from my authority\n{pem}\nthe end\n").replace('\n', "\r\n");
    let fit = look("www.example.com", &around(&made.certificate), &around(&made.key)).expect("fit");
    assert!(!format!("{}{}", fit.chain, fit.private_key).contains("the end"));
    assert!(!format!("{}{}", fit.chain, fit.private_key).contains('\r'));
}

#[test]
fn a_whole_chain_is_fit_and_its_first_end_counts() {
    let mut of_issuer = CertificateParams::default();
    of_issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    of_issuer.distinguished_name.push(DnType::CommonName, "an authority");
    of_issuer.not_after = date_time_ymd(2026, 12, 1);
    let issuer_key = KeyPair::generate().expect("a key");
    let root = of_issuer.self_signed(&issuer_key).expect("a root").pem();
    let issuer = Issuer::new(of_issuer, issuer_key);
    let key = KeyPair::generate().expect("a key");
    let own = params(&["*.example.com", "example.com"]).signed_by(&key, &issuer).expect("signed");
    let (own, key) = (own.pem(), key.serialize_pem());
    let chain = format!("{own}{root}");
    for name in ["www.example.com", "example.com", "*.example.com"] {
        let fit = look(name, &chain, &key).expect("fit");
        assert_eq!(fit.expires_at, UnixMs(1_796_083_200_000));
        assert_eq!(fit.issuer, "CN=an authority");
    }
    assert!(look("www.example.com", &own, &key).is_ok(), "the root may be left out");
    let mixed = format!("{own}{}", good().certificate);
    assert_eq!(refused(&mixed, &key), ChainRefused::BrokenChain { n: 1 });
    let upside_down = format!("{root}{own}");
    assert_eq!(refused(&upside_down, &key), ChainRefused::KeyMismatch);
}

#[test]
fn a_wildcard_covers_one_label() {
    let made = alone(&params(&["*.example.com"]));
    for name in ["www.example.com", "*.example.com"] {
        assert!(look(name, &made.certificate, &made.key).is_ok(), "{name}");
    }
    for name in ["example.com", "a.b.example.com", "*.b.example.com", "www.example.org"] {
        let error = look(name, &made.certificate, &made.key).expect_err("not covered");
        let names = vec!["*.example.com".to_owned()];
        assert_eq!(error, ChainRefused::NotCovered { hostname: name.to_owned(), names });
    }
    let single = alone(&params(&["www.example.com"]));
    let error = look("*.example.com", &single.certificate, &single.key).expect_err("not covered");
    assert!(matches!(error, ChainRefused::NotCovered { .. }), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (made, other) = (good(), good());
    assert_eq!(refused(&made.certificate, &other.key), ChainRefused::KeyMismatch);
}

#[test]
fn only_its_own_time_counts() {
    let expired = refused_with(|params| params.not_after = date_time_ymd(2026, 11, 1));
    assert_eq!(expired, ChainRefused::Expired { n: 1 });
    let early = refused_with(|params| params.not_before = date_time_ymd(2026, 12, 1));
    assert_eq!(early, ChainRefused::NotYetValid { n: 1 });
}

#[test]
fn a_certificate_for_clients_is_refused() {
    let client = refused_with(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(client, ChainRefused::WrongPurpose);
}

#[test]
fn what_is_no_pem_is_refused() {
    let made = good();
    assert_eq!(refused("", &made.key), ChainRefused::NoCertificate);
    assert_eq!(refused("hello", &made.key), ChainRefused::NoCertificate);
    assert_eq!(refused(&made.key, &made.key), ChainRefused::NoCertificate);
    assert_eq!(refused(&made.certificate, ""), ChainRefused::NoKey);
    assert_eq!(refused(&made.certificate, &made.certificate), ChainRefused::NoKey);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(garbage, &made.key), ChainRefused::Unreadable { n: 1, .. }));
    let second = format!("{}{garbage}", made.certificate);
    assert!(matches!(refused(&second, &made.key), ChainRefused::Unreadable { n: 2, .. }));
    let cut = &made.certificate[..made.certificate.len() / 2];
    let error = refused(cut, &made.key);
    assert!(
        matches!(error, ChainRefused::NoCertificate | ChainRefused::Unreadable { .. }),
        "{error}"
    );
    let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(refused(&made.certificate, damaged), ChainRefused::BadKey { .. }));
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(refused(&made.certificate, locked), ChainRefused::EncryptedKey);
}

#[test]
fn sizes_are_bounded() {
    let made = good();
    let long = format!("{}{}", made.certificate, " ".repeat(CHAIN_MAX_BYTES));
    assert!(matches!(refused(&long, &made.key), ChainRefused::TooLarge { what: "chain", .. }));
    let long = format!("{}{}", made.key, " ".repeat(KEY_MAX_BYTES));
    assert!(matches!(refused(&made.certificate, &long), ChainRefused::TooLarge { .. }));
    let many = made.certificate.repeat(9);
    assert_eq!(refused(&many, &made.key), ChainRefused::TooMany);
}

#[test]
fn no_error_repeats_a_key() {
    let (made, other) = (good(), good());
    let secret: String = other.key.lines().nth(1).expect("a line").to_owned();
    let half = &other.key[..other.key.len() / 2];
    for key in [other.key.as_str(), half, &other.key.replace("PRIVATE", "PUBLIC")] {
        let error = refused(&made.certificate, key);
        assert!(!format!("{error} {error:?}").contains(&secret), "{error:?}");
    }
    let fit = look("www.example.com", &made.certificate, &made.key).expect("fit");
    assert!(!format!("{fit:?}").contains("PRIVATE"));
}

#[test]
fn names_of_a_certificate_stay_in_one_line() {
    let error = ChainRefused::NotCovered {
        hostname: "www.example.com".to_owned(),
        names: ["a\nb", "c", "d", "e", "f", "g"].map(str::to_owned).to_vec(),
    };
    let text = error.to_string();
    assert!(text.ends_with("`a\\nb`, `c`, `d`, `e` and 2 more"), "{text}");
}
