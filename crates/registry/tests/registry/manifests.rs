//! Documents that lie, never end, or lead round in circles.

use crate::layout::{Image, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, noise};
use crate::server::{Reply, Server, in_turn};
use crate::support::{anonymous, config, resolve};
use registry::manifest::BadManifest;
use registry::{Compression, RegistryError};
use serde_json::json;
use std::time::Duration;

fn image() -> Image {
    Image::new(vec![noise(100, 1)])
}

/// Resolves `a:latest` at a server that answers every request for a manifest with `reply`.
async fn outcome(reply: Reply) -> Result<registry::Resolved, RegistryError> {
    let server = Server::start(move |_| reply.clone()).await;
    resolve(&anonymous(config(), &format!("{}/a", server.address()))).await
}

#[tokio::test]
async fn a_good_manifest_is_read() {
    let image = image();
    let resolved = outcome(Reply::ok(OCI_MANIFEST, image.manifest.clone())).await.expect("good");
    assert_eq!(resolved.layers[0].compression, Compression::None);
    assert_eq!(resolved.tag_digest, image.digest());
    assert_eq!(resolved.total_bytes(), 100 + image.config.len() as u64);
}

#[tokio::test]
async fn a_manifest_that_is_not_what_the_digest_says_is_refused() {
    let manifest = image().manifest;
    let server = Server::start(move |_| Reply::ok(OCI_MANIFEST, manifest.clone())).await;
    let pinned = format!("{}/a@{}", server.address(), digest_of(b"something else"));
    let error = resolve(&anonymous(config(), &pinned)).await.expect_err("another");
    assert!(matches!(error, RegistryError::DigestDiffers { .. }), "{error}");
}

#[tokio::test]
async fn a_digest_in_the_head_must_be_that_of_the_body() {
    let claim = format!("Docker-Content-Digest: {}", digest_of(b"something else"));
    let media_type = format!("Content-Type: {OCI_MANIFEST}");
    let error = outcome(Reply::new(200, &[&media_type, &claim], image().manifest)).await;
    assert!(matches!(error, Err(RegistryError::DigestDiffers { .. })), "{error:?}");
}

#[tokio::test]
async fn the_media_type_in_the_head_must_be_that_of_the_body() {
    let error = outcome(Reply::ok(OCI_INDEX, image().manifest)).await.expect_err("confused");
    let RegistryError::Manifest { source: BadManifest::Ambiguous(_), .. } = error else {
        panic!("{error}")
    };
}

#[tokio::test]
async fn a_size_in_an_index_must_be_that_of_the_manifest() {
    let image = image();
    let architecture = registry::Platform::host().architecture;
    let mut entry = image.entry(&architecture);
    entry["size"] = json!(image.manifest.len() - 1);
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let replies = [Reply::ok(OCI_INDEX, index), Reply::ok(OCI_MANIFEST, image.manifest)];
    let next = in_turn(replies.to_vec());
    let server =
        Server::start(
            move |seen| {
                if seen.target == "/v2/" { Reply::new(200, &[], "") } else { next() }
            },
        )
        .await;
    let error = resolve(&anonymous(config(), &format!("{}/a", server.address()))).await;
    assert!(matches!(error, Err(RegistryError::SizeDiffers { .. })), "{error:?}");
}

#[tokio::test]
async fn documents_have_a_bound_whether_they_say_their_length_or_not() {
    for reply in [
        Reply::raw(200, &["Content-Length: 999999999"], "{").then_hang(),
        Reply::raw(200, &[], vec![b' '; 64 * 1024]).then_repeat(),
    ] {
        let error = outcome(reply).await.expect_err("too large");
        assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_document_that_never_ends_is_given_up() {
    let server =
        Server::start(|_| Reply::raw(200, &["Content-Length: 100"], "{").then_hang()).await;
    let mut config = config();
    config.timeouts.document = Duration::from_millis(50);
    let repository = anonymous(config, &format!("{}/a", server.address()));
    let error = resolve(&repository).await.expect_err("given up");
    assert!(matches!(error, RegistryError::Timeout { .. }), "{error}");
    assert_eq!(server.seen_at("/manifests/").len(), 5, "after as many tries as any");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start(|_| Reply::raw(200, &[], "").then_hang()).await;
    let silent = Server::start(|_| Reply::raw(100, &[], "").then_hang()).await;
    for address in [server.address(), silent.address()] {
        let mut config = config();
        config.timeouts.answer = Duration::from_millis(50);
        config.timeouts.document = Duration::from_millis(50);
        let error = anonymous(config, &format!("{address}/a")).head().await.expect_err("given up");
        assert!(matches!(error, RegistryError::Timeout { .. }), "{error}");
    }
}

#[tokio::test]
async fn heads_have_a_bound() {
    let huge = format!("X-Huge: {}", "x".repeat(300_000));
    let many: Vec<String> = (0..200).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for reply in [Reply::new(200, &[&huge], "{}"), Reply::new(200, &many, "{}")] {
        let error = outcome(reply).await.expect_err("refused");
        assert!(matches!(error, RegistryError::BadAnswer { .. }), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn an_index_that_leads_to_itself_ends() {
    // No document can hold its own digest; a chain that is long enough is as bad.
    let mut document = image().manifest;
    let mut media_type = OCI_MANIFEST;
    let mut chain = std::collections::HashMap::new();
    for _ in 0..10 {
        let entry = descriptor(media_type, &document);
        chain.insert(digest_of(&document).to_string(), (media_type, document));
        document = json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();
        media_type = OCI_INDEX;
    }
    let server = Server::start(move |seen| {
        let name = seen.target.rsplit('/').next().unwrap_or_default();
        let (media_type, found) = chain.get(name).cloned().unwrap_or((OCI_INDEX, document.clone()));
        Reply::ok(media_type, found)
    })
    .await;
    let error = resolve(&anonymous(config(), &format!("{}/a", server.address()))).await;
    let Err(RegistryError::Manifest { source: BadManifest::TooMany { .. }, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(server.seen_at("/manifests/").len(), 6);
}

#[tokio::test]
async fn an_old_manifest_is_refused_with_a_way_out() {
    let old = json!({"schemaVersion": 1, "name": "a", "fsLayers": []}).to_string();
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let error = outcome(Reply::ok(media_type, old)).await.expect_err("refused");
    assert!(error.hint().is_some_and(|hint| hint.contains("push the image again")), "{error:?}");
}

#[tokio::test]
async fn an_image_that_is_too_large_is_refused_before_it_is_fetched() {
    let manifest = image().manifest;
    let server = Server::start(move |_| Reply::ok(OCI_MANIFEST, manifest.clone())).await;
    let mut config = config();
    config.image_bytes_max = 99;
    let error = resolve(&anonymous(config, &format!("{}/a", server.address()))).await;
    assert!(matches!(error, Err(RegistryError::TooLarge { .. })), "{error:?}");
}

#[tokio::test]
async fn trouble_that_passes_is_waited_for() {
    let manifest = image().manifest;
    let next = in_turn(vec![
        Reply::new(503, &["Retry-After: 0"], ""),
        Reply::new(429, &["Retry-After: Fri, 01 Jan 2021 00:00:00 GMT"], ""),
        Reply::raw(200, &["Content-Length: 1000"], "{").then_cut(),
        Reply::ok(OCI_MANIFEST, manifest),
    ]);
    let server =
        Server::start(
            move |seen| {
                if seen.target == "/v2/" { Reply::new(200, &[], "") } else { next() }
            },
        )
        .await;
    resolve(&anonymous(config(), &format!("{}/a", server.address()))).await.expect("in the end");
    assert_eq!(server.seen_at("/manifests/").len(), 4);
}

#[tokio::test]
async fn trouble_that_stays_is_told_with_what_the_registry_said() {
    let said = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    let server = Server::start(move |_| Reply::new(429, &["Retry-After: 3600"], said)).await;
    let error = resolve(&anonymous(config(), &format!("{}/a", server.address()))).await;
    let Err(error @ RegistryError::RateLimited { .. }) = error else { panic!("{error:?}") };
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    assert!(error.to_string().ends_with("limits the rate of requests: slow down"), "{error}");
    assert_eq!(server.seen_at("/manifests/").len(), 1, "an hour is not waited for");
}

#[tokio::test]
async fn a_head_without_a_digest_is_made_up_for() {
    let image = image();
    let manifest = image.manifest.clone();
    let server = Server::start(move |_| Reply::ok(OCI_MANIFEST, manifest.clone())).await;
    let repository = anonymous(config(), &format!("{}/a", server.address()));
    assert_eq!(repository.head().await.expect("computed"), image.digest());
}
