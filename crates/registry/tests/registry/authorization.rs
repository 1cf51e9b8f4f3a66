//! Who is shown which secret.

use crate::layout::{Image, OCI_MANIFEST, noise};
use crate::server::{Reply, Seen, Server};
use crate::support::{anonymous, client, config, password, reference, resolve, trusting, with};
use registry::{Credentials, RegistryError, Secret};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `Basic` of `me:p`.
const BASIC: &str = "Basic bWU6cA==";

fn me() -> Credentials {
    password("me", "p")
}

fn manifest() -> Vec<u8> {
    Image::new(vec![noise(10, 1)]).manifest
}

/// A token server that gives out `token-1`, `token-2`, … and a registry that wants `wanted` of them.
async fn with_tokens(wanted: &'static str, more: &'static str) -> (Server, Server) {
    let n = AtomicUsize::new(0);
    let tokens = Server::start(move |_| {
        let n = n.fetch_add(1, Ordering::Relaxed) + 1;
        Reply::ok("application/json", format!(r#"{{"token":"token-{n}"}}"#))
    })
    .await;
    let realm = format!("http://{}/token", tokens.address());
    let registry = Server::start(move |seen| {
        if seen.header("authorization") == Some(wanted) {
            return Reply::ok(OCI_MANIFEST, manifest());
        }
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"{more}");
        Reply::new(401, &[&challenge], "")
    })
    .await;
    (tokens, registry)
}

fn name(registry: &Server) -> String {
    format!("{}/team/web", registry.address())
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_and_only_the_token_goes_to_the_registry() {
    let (tokens, registry) = with_tokens("Bearer token-1", "").await;
    resolve(&with(config(), &name(&registry), me())).await.expect("let in");
    let [asked] = &tokens.seen()[..] else { panic!("one request for a token") };
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.header("authorization"), Some(BASIC));
    assert!(asked.target.contains("scope=repository%3Ateam%2Fweb%3Apull"), "{}", asked.target);
    assert!(asked.target.contains("service=s"), "{}", asked.target);
    assert!(asked.target.contains("account=me"), "{}", asked.target);
    assert!(registry.seen().iter().all(|seen| seen.header("authorization") != Some(BASIC)));
}

#[tokio::test]
async fn anybody_may_fetch_a_token_without_a_password() {
    let (tokens, registry) = with_tokens("Bearer token-1", "").await;
    resolve(&anonymous(config(), &name(&registry))).await.expect("let in");
    assert_eq!(tokens.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn only_rights_to_pull_are_asked_for() {
    let scope = r#",scope="repository:mirror/web:pull,push""#;
    let (tokens, registry) = with_tokens("Bearer token-1", scope).await;
    resolve(&with(config(), &name(&registry), me())).await.expect("let in");
    let target = &tokens.seen()[0].target;
    assert!(target.contains("scope=repository%3Amirror%2Fweb%3Apull&"), "{target}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_in_a_form() {
    let (tokens, registry) = with_tokens("Bearer token-1", "").await;
    let identity = Credentials::Identity { token: Secret::new("refresh&me") };
    resolve(&with(config(), &name(&registry), identity)).await.expect("let in");
    let [asked] = &tokens.seen()[..] else { panic!("one request for a token") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    assert!(asked.body.contains("grant_type=refresh_token"), "{}", asked.body);
    assert!(asked.body.contains("refresh_token=refresh%26me"), "{}", asked.body);
}

#[tokio::test]
async fn an_access_token_is_shown_as_it_is_and_never_exchanged() {
    let (tokens, registry) = with_tokens("Bearer mine", "").await;
    let mine = Credentials::Bearer { token: Secret::new("mine") };
    resolve(&with(config(), &name(&registry), mine)).await.expect("let in");
    let other = Credentials::Bearer { token: Secret::new("other") };
    let error = resolve(&with(config(), &name(&registry), other)).await.expect_err("refused");
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn a_token_serves_all_pulls_of_its_owner_and_nobody_else() {
    let (tokens, registry) = with_tokens("Bearer token-1", "").await;
    let client = client(config());
    let name = reference(&name(&registry));
    let pull = |credentials| {
        let repository = client.repository(&name, credentials).expect("allowed");
        async move { resolve(&repository).await }
    };
    pull(me()).await.expect("let in");
    pull(me()).await.expect("let in");
    assert_eq!(tokens.seen().len(), 1);
    let error = pull(Credentials::Anonymous).await.expect_err("got another token");
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert_eq!(tokens.seen().len(), 2);
}

#[tokio::test]
async fn a_token_that_has_ended_is_replaced() {
    let n_accepted = Arc::new(AtomicUsize::new(1));
    let accepted = Arc::clone(&n_accepted);
    let n_given = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        if seen.target.starts_with("/token") {
            let n = n_given.fetch_add(1, Ordering::Relaxed) + 1;
            return Reply::ok("application/json", format!(r#"{{"access_token":"{n}"}}"#));
        }
        let wanted = format!("Bearer {}", accepted.load(Ordering::Relaxed));
        if seen.header("authorization") == Some(&wanted) {
            return Reply::ok(OCI_MANIFEST, manifest());
        }
        let host = seen.header("host").unwrap_or_default();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
        Reply::new(401, &[&challenge], "")
    })
    .await;
    let repository = with(config(), &name(&server), me());
    resolve(&repository).await.expect("let in");
    n_accepted.store(2, Ordering::Relaxed);
    resolve(&repository).await.expect("let in with the next");
    assert_eq!(server.seen_at("/token").len(), 2);
}

#[tokio::test]
async fn a_refusal_of_the_token_server_is_told() {
    for (status, retryable) in [(401, false), (403, false), (500, true)] {
        let server = Server::start(move |seen| {
            if seen.target.starts_with("/token") {
                return Reply::new(status, &[], r#"{"errors":[{"message":"no"}]}"#);
            }
            let host = seen.header("host").unwrap_or_default();
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
            Reply::new(401, &[&challenge], "")
        })
        .await;
        let error = with(config(), &name(&server), me()).head().await.expect_err("refused");
        assert_eq!(error.is_retryable(), retryable, "{error}");
        assert!(error.to_string().ends_with(": no"), "{error}");
    }
}

#[tokio::test]
async fn a_token_server_that_sends_us_on_is_not_followed() {
    let elsewhere = Server::start(|_| Reply::ok("application/json", r#"{"token":"t"}"#)).await;
    let location = format!("Location: http://{}/token", elsewhere.address());
    let server = Server::start(move |seen| {
        if seen.target.starts_with("/token") {
            return Reply::new(302, &[&location], "");
        }
        let host = seen.header("host").unwrap_or_default();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
        Reply::new(401, &[&challenge], "")
    })
    .await;
    with(config(), &name(&server), me()).head().await.expect_err("not followed");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_realm_without_tls_gets_nothing_from_a_registry_with_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    testkit::registry::make_certificates(dir.path());
    let tokens = Server::start(|_| Reply::ok("application/json", r#"{"token":"t"}"#)).await;
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{}/\"", tokens.address());
    let registry = Server::start_tls(dir.path(), move |_| Reply::new(401, &[&realm], "")).await;
    let repository = with(trusting(&dir.path().join("ca.crt")), &name(&registry), me());
    let error = repository.head().await.expect_err("refused");
    assert!(matches!(error, RegistryError::UnsafeRealm { .. }), "{error}");
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn a_realm_that_is_no_url_gets_nothing() {
    for realm in
        ["file:///etc/passwd", "http://user:pw@127.0.0.1/", "http://example.com/", "/token", ""]
    {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"");
        let registry = Server::start(move |_| Reply::new(401, &[&challenge], "")).await;
        let error = with(config(), &name(&registry), me()).head().await.expect_err("refused");
        let is_refused =
            matches!(error, RegistryError::UnsafeRealm { .. } | RegistryError::Unauthorized { .. });
        assert!(is_refused, "{realm}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_secret_to_another_server() {
    let content = manifest();
    let elsewhere = Server::start(move |_| Reply::ok(OCI_MANIFEST, content.clone())).await;
    let location = format!("Location: http://{}/store?signature=1", elsewhere.address());
    let registry = Server::start(move |seen: &Seen| match seen.header("authorization") {
        Some(BASIC) => Reply::new(307, &[&location], ""),
        _ => Reply::new(401, &["WWW-Authenticate: Basic realm=\"x\""], ""),
    })
    .await;
    resolve(&with(config(), &name(&registry), me())).await.expect("there");
    let [asked] = &elsewhere.seen()[..] else { panic!("asked once") };
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_server_reached_by_redirect_is_shown_no_secret_even_if_it_asks() {
    let elsewhere =
        Server::start(|_| Reply::new(401, &["WWW-Authenticate: Basic realm=\"x\""], "")).await;
    let location = format!("Location: http://{}/", elsewhere.address());
    let registry = Server::start(move |_| Reply::new(307, &[&location], "")).await;
    let error = with(config(), &name(&registry), me()).head().await.expect_err("refused");
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert!(elsewhere.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn a_redirect_back_shows_the_secret_no_more() {
    let registry = Server::start(|seen: &Seen| {
        let host = seen.header("host").unwrap_or_default().replace("127.0.0.1", "localhost");
        match (seen.target.as_str(), seen.header("authorization")) {
            ("/away", _) => Reply::ok(OCI_MANIFEST, manifest()),
            (_, Some(BASIC)) => Reply::new(302, &[&format!("Location: http://{host}/away")], ""),
            _ => Reply::new(401, &["WWW-Authenticate: Basic realm=\"x\""], ""),
        }
    })
    .await;
    resolve(&with(config(), &name(&registry), me())).await.expect("there");
    assert_eq!(registry.seen_at("/away")[0].header("authorization"), None);
}
