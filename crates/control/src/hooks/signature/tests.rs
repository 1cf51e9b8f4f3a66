//! Signatures with known answers, and everything that is none.

use super::*;
use SignatureScheme::{Github, HmacSha256Base64, HmacSha256Hex, StandardWebhooks};

fn post(headers: &[(&str, &str)], body: &str) -> HookPost {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    HookPost { headers: headers.iter().map(own).collect(), body: body.to_owned() }
}

fn by(scheme: SignatureScheme) -> HookSignature {
    let header = matches!(scheme, HmacSha256Hex | HmacSha256Base64).then_some("X-Signature");
    HookSignature::new(scheme, header, None, None).expect("a way of signing")
}

#[track_caller]
fn check(by: &HookSignature, secret: &str, headers: &[(&str, &str)], body: &str, is_right: bool) {
    let found = by.verify(secret, &post(headers, body), UnixMs(0));
    assert_eq!(found.is_ok(), is_right, "{headers:?}: {found:?}");
}

/// Source: GitHub, "Validating webhook deliveries", "Testing the webhook payload validation".
#[test]
fn the_example_of_github_is_right() {
    const SECRET: &str = "It's a Secret to Everybody";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let github = by(Github);
    check(&github, SECRET, &[(GITHUB_HEADER, SIGNATURE)], "Hello, World!", true);
    check(&github, SECRET, &[(GITHUB_HEADER, SIGNATURE)], "Hello, World", false);
    check(&github, "another", &[(GITHUB_HEADER, SIGNATURE)], "Hello, World!", false);
    check(&github, SECRET, &[(GITHUB_HEADER, &SIGNATURE[7..])], "Hello, World!", false);
    check(&github, SECRET, &[(GITHUB_HEADER, "sha256=")], "Hello, World!", false);
    check(&github, SECRET, &[], "Hello, World!", false);
}

/// Source: the usual example of HMAC-SHA256; `openssl dgst -sha256 -hmac key` says the same.
#[test]
fn a_body_is_signed_in_hex_or_base64() {
    const BODY: &str = "The quick brown fox jumps over the lazy dog";
    const HEX: &str = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    const BASE64: &str = "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg=";
    check(&by(HmacSha256Hex), "key", &[("x-signature", HEX)], BODY, true);
    check(&by(HmacSha256Hex), "key", &[("x-signature", &HEX.to_uppercase())], BODY, true);
    check(&by(HmacSha256Hex), "key", &[("x-signature", &HEX[1..])], BODY, false);
    check(&by(HmacSha256Hex), "key", &[("x-signature", BASE64)], BODY, false);
    check(&by(HmacSha256Base64), "key", &[("x-signature", BASE64)], BODY, true);
    check(&by(HmacSha256Base64), "key", &[("x-signature", HEX)], BODY, false);
    let prefixed = HookSignature::new(HmacSha256Hex, Some("S"), Some("v0="), None).unwrap();
    check(&prefixed, "key", &[("s", &format!("v0={HEX}"))], BODY, true);
    check(&prefixed, "key", &[("s", HEX)], BODY, false);
}

#[test]
fn a_standard_post_counts_only_around_its_moment() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let headers = [
        (ID_HEADER, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (TIMESTAMP_HEADER, "1614265330"),
        (SIGNATURE_HEADER, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let post = post(&headers, r#"{"test": 2432232314}"#);
    let at = |s: u64| by(StandardWebhooks).verify(SECRET, &post, UnixMs(s * 1000));
    assert_eq!(at(1_614_265_330), Ok(()));
    assert_eq!(at(1_614_265_330 + 300), Ok(()));
    assert_eq!(at(1_614_265_330 - 300), Ok(()));
    assert_eq!(at(1_614_265_330 + 301), Err(BadSignature::Moment));
    assert_eq!(at(1_614_265_330 - 301), Err(BadSignature::Moment));
    let mut without = post.clone();
    without.headers.remove(TIMESTAMP_HEADER);
    let missing = BadSignature::Missing { header: TIMESTAMP_HEADER.to_owned() };
    let found = by(StandardWebhooks).verify(SECRET, &without, UnixMs(1_614_265_330_000));
    assert_eq!(found, Err(missing));
}

#[track_caller]
fn check_new(
    scheme: SignatureScheme,
    header: Option<&str>,
    prefix: Option<&str>,
    tolerance_s: Option<u64>,
    expected: Result<&str, InvalidHookSignature>,
) {
    let made = HookSignature::new(scheme, header, prefix, tolerance_s.map(DurationMs::from_secs));
    let found = made.as_ref().map(|made| made.header.as_str()).map_err(|error| *error);
    assert_eq!(found, expected);
}

#[test]
fn a_way_of_signing_says_what_its_scheme_leaves_open() {
    use InvalidHookSignature::{NoHeader, NoMoment, OwnHeader, Tolerance, Word};
    check_new(HmacSha256Hex, Some("X-Sig"), Some("v0="), None, Ok("x-sig"));
    check_new(HmacSha256Hex, None, None, None, Err(NoHeader));
    check_new(HmacSha256Hex, Some("a b"), None, None, Err(Word));
    check_new(HmacSha256Base64, Some(""), None, None, Err(Word));
    check_new(HmacSha256Base64, Some("s"), None, Some(60), Err(NoMoment));
    check_new(Github, None, None, None, Ok("x-hub-signature-256"));
    check_new(Github, Some("s"), None, None, Err(OwnHeader));
    check_new(StandardWebhooks, None, None, Some(60), Ok("webhook-signature"));
    check_new(StandardWebhooks, None, Some("v1"), None, Err(OwnHeader));
    check_new(StandardWebhooks, None, None, Some(0), Err(Tolerance));
    check_new(StandardWebhooks, None, None, Some(3_601), Err(Tolerance));
}

#[test]
fn a_drawn_secret_suits_its_scheme() {
    for scheme in [HmacSha256Hex, HmacSha256Base64, Github, StandardWebhooks] {
        let by = by(scheme);
        assert!(by.takes(&by.secret_from([9; 32])), "{scheme:?}");
        assert!(!by.takes("short"), "{scheme:?}");
    }
}

#[test]
fn schemes_are_stored_by_their_names() {
    let names = [HmacSha256Hex, HmacSha256Base64, StandardWebhooks, Github]
        .map(|scheme| serde_json::to_value(scheme).unwrap());
    assert_eq!(
        names.map(|name| name.as_str().unwrap_or_default().to_owned()),
        ["hmac-sha256-hex", "hmac-sha256-base64", "standard-webhooks", "github"]
    );
}

#[test]
fn while_a_secret_is_changed_either_counts() {
    const BODY: &str = "hello";
    let github = by(Github);
    let signed = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hex_of(hmac::sign(&key, BODY.as_bytes()).as_ref());
        post(&[(GITHUB_HEADER, &format!("{GITHUB_PREFIX}{tag}"))], BODY)
    };
    let check = |secrets: &[&str], post: &HookPost| {
        github.verify_any(secrets.iter().copied(), post, UnixMs(0))
    };
    assert_eq!(check(&["new", "old"], &signed("new")), Ok(()));
    assert_eq!(check(&["new", "old"], &signed("old")), Ok(()));
    let wrong = Err(BadSignature::Wrong { header: GITHUB_HEADER.to_owned() });
    assert_eq!(check(&["new"], &signed("old")), wrong);
    assert_eq!(check(&["new", "old"], &signed("other")), wrong);
    let missing = Err(BadSignature::Missing { header: GITHUB_HEADER.to_owned() });
    assert_eq!(check(&["new", "old"], &post(&[], BODY)), missing);
}
