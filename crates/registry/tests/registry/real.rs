//! Debian's `docker-registry`: open, with a password, behind TLS by a private authority.

use crate::layout::{Image, noise, write_index};
use crate::support::{anonymous, config, config_with, password, read, resolve, trusting, with};
use registry::{Compression, Credentials, Fault, RegistryError, Trust};
use testkit::registry::{Access, PASSWORD, Registry, USERNAME};

/// Keeps `skopeo` from packing layers, so that digests stay.
const AS_IT_IS: &[&str] = &["--preserve-digests"];

fn push(registry: &Registry, image: &Image, name: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    image.write(dir.path());
    registry.push(&format!("oci:{}:latest", dir.path().display()), name, AS_IT_IS);
}

fn two_layers() -> Image {
    Image::new(vec![noise(3 << 20, 1), noise(1_000, 2)])
}

/// Pulls everything and compares it.
async fn check_pull(repository: &registry::Repository, image: &Image) {
    let resolved = resolve(repository).await.expect("resolved");
    assert_eq!(resolved.manifest_digest, image.digest());
    assert_eq!(resolved.manifest, image.manifest);
    assert_eq!(resolved.image_ref.digest, image.digest());
    let config = repository.small_blob(&resolved.config).await.expect("the config");
    assert_eq!(config, image.config);
    assert_eq!(resolved.layers.len(), image.layers.len());
    for (layer, expected) in resolved.layers.iter().zip(&image.layers) {
        assert_eq!(layer.compression, Compression::None);
        assert!(read(repository, &layer.blob).await.expect("the layer") == *expected);
    }
}

#[tokio::test]
async fn an_open_registry_serves_what_was_pushed() {
    let registry = Registry::start(Access::Open);
    let image = two_layers();
    push(&registry, &image, "team/web:1");
    check_pull(&anonymous(config(), &registry.reference("team/web:1")), &image).await;
    let pinned = registry.reference(&format!("team/web@{}", image.digest()));
    check_pull(&anonymous(config(), &pinned), &image).await;
}

#[tokio::test]
async fn docker_media_types_and_gzip_layers_are_understood() {
    let registry = Registry::start(Access::Open);
    let dir = tempfile::tempdir().expect("a directory");
    let tarball = testkit::image::busybox_tarball(dir.path(), &[]);
    let source = format!("tarball:{}", tarball.display());
    registry.push(&source, "busybox", &["--format=v2s2"]);
    let repository = anonymous(config(), &registry.reference("busybox"));
    let resolved = resolve(&repository).await.expect("resolved");
    assert_eq!(resolved.config.media_type, "application/vnd.docker.container.image.v1+json");
    let [layer] = &resolved.layers[..] else { panic!("one layer") };
    assert_eq!(layer.compression, Compression::Gzip);
    let bytes = read(&repository, &layer.blob).await.expect("the layer");
    assert_eq!(bytes[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn a_moved_tag_is_seen_by_one_small_request() {
    let registry = Registry::start(Access::Open);
    let (old, new) = (two_layers(), Image::new(vec![noise(500, 3)]));
    push(&registry, &old, "web:1");
    let repository = anonymous(config(), &registry.reference("web:1"));
    assert_eq!(repository.head().await.expect("there"), old.digest());
    push(&registry, &new, "web:1");
    assert_eq!(repository.head().await.expect("there"), new.digest());
}

#[tokio::test]
async fn an_index_leads_to_the_image_for_this_host() {
    let registry = Registry::start(Access::Open);
    let architecture = registry::Platform::host().architecture;
    let (ours, other) = (two_layers(), Image::new(vec![noise(10, 9)]));
    let dir = tempfile::tempdir().expect("a directory");
    write_index(dir.path(), &[(&other, "s390x"), (&ours, &architecture)]);
    let source = format!("oci:{}:latest", dir.path().display());
    registry.push(&source, "multi", &["--all", "--preserve-digests"]);
    let repository = anonymous(config(), &registry.reference("multi"));
    check_pull(&repository, &ours).await;
    let resolved = resolve(&repository).await.expect("resolved");
    assert_ne!(resolved.tag_digest, resolved.manifest_digest);
    assert_eq!(repository.head().await.expect("there"), resolved.tag_digest);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let registry = Registry::start(Access::Open);
    push(&registry, &two_layers(), "web:1");
    for missing in ["web:2", "nobody/knows"] {
        let repository = anonymous(config(), &registry.reference(missing));
        let error = resolve(&repository).await.expect_err("not there");
        assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
        assert_eq!((error.fault(), error.is_retryable()), (Fault::Caller, false));
        assert!(repository.head().await.is_err());
    }
}

#[tokio::test]
async fn a_deleted_blob_is_not_found() {
    let registry = Registry::start(Access::Open);
    let image = two_layers();
    push(&registry, &image, "web");
    let repository = anonymous(config(), &registry.reference("web"));
    let resolved = resolve(&repository).await.expect("resolved");
    let blob = &resolved.layers[1].blob;
    std::fs::remove_file(registry.blob_file(blob.digest.hex())).expect("removed");
    let error = read(&repository, blob).await.expect_err("gone");
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_blob_is_noticed() {
    let registry = Registry::start(Access::Open);
    let image = two_layers();
    push(&registry, &image, "web");
    let repository = anonymous(config(), &registry.reference("web"));
    let resolved = resolve(&repository).await.expect("resolved");
    let blob = &resolved.layers[0].blob;
    std::fs::write(registry.blob_file(blob.digest.hex()), noise(3 << 20, 7)).expect("damaged");
    let error = read(&repository, blob).await.expect_err("another blob");
    assert!(matches!(error, RegistryError::DigestDiffers { .. }), "{error}");
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_blob_is_survived() {
    let mut registry = Registry::start(Access::Open);
    let image = Image::new(vec![noise(64 << 20, 4)]);
    push(&registry, &image, "big");
    let repository = anonymous(config(), &registry.reference("big"));
    let resolved = resolve(&repository).await.expect("resolved");
    let mut stream = repository.blob(registry::Verifier::new(&resolved.layers[0].blob));
    let mut all = stream.next().await.expect("bytes").expect("more").to_vec();
    registry.stop();
    registry.start_again();
    while let Some(bytes) = stream.next().await.expect("resumed") {
        all.extend_from_slice(&bytes);
    }
    assert!(all == image.layers[0]);
}

#[tokio::test]
async fn a_password_is_asked_for_and_checked() {
    let registry = Registry::start(Access::Password);
    let image = two_layers();
    push(&registry, &image, "private");
    let name = registry.reference("private");
    check_pull(&with(config(), &name, password(USERNAME, PASSWORD)), &image).await;
    for wrong in [Credentials::Anonymous, password(USERNAME, "wrong"), password("nobody", PASSWORD)]
    {
        let error = resolve(&with(config(), &name, wrong)).await.expect_err("refused");
        assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_private_authority_counts_once_it_is_named() {
    let registry = Registry::start(Access::Tls);
    let image = two_layers();
    push(&registry, &image, "web");
    let name = registry.reference("web");
    check_pull(&anonymous(trusting(&registry.authority()), &name), &image).await;
    let by_name = format!("localhost:{}/web", registry.port());
    check_pull(&anonymous(trusting(&registry.authority()), &by_name), &image).await;
    let error = resolve(&anonymous(config(), &name)).await.expect_err("not trusted");
    assert!(matches!(error, RegistryError::Tls { .. }), "never without TLS then: {error}");
    assert!(!error.is_retryable() && error.hint().is_some());
}

#[tokio::test]
async fn dockers_directory_of_certificates_counts_for_its_registry() {
    let registry = Registry::start(Access::Tls);
    let image = two_layers();
    push(&registry, &image, "web");
    let dir = tempfile::tempdir().expect("a directory");
    let own = dir.path().join(registry.address());
    std::fs::create_dir(&own).expect("made");
    std::fs::copy(registry.authority(), own.join("ca.crt")).expect("copied");
    let trust = || Trust::of_host(&[], Some(dir.path())).expect("trusts");
    check_pull(&anonymous(config_with(trust()), &registry.reference("web")), &image).await;
    let by_name = format!("localhost:{}/web", registry.port());
    let error = resolve(&anonymous(config_with(trust()), &by_name)).await.expect_err("not named");
    assert!(matches!(error, RegistryError::Tls { .. }), "{error}");
}
