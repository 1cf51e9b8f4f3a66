//! Images by the names that people write.

use crate::docker;
use crate::failure::{Failure, NOT_FOUND};
use crate::pull::{self, Watcher};
use api::contract::ImageInfo;
use client::{Client, ClientError};
use registry::Reference;

/// Fewest hex digits of a digest that stand for an image.
const DIGEST_PREFIX_MIN: usize = 6;

/// The client for whoever makes a machine from `image`: with what the caller has to show to its
/// registry. The image is pulled first when it is not here, so that the wait has a face.
///
/// Callers without a right to the host's images leave both to the daemon.
pub(crate) async fn ready_for(
    client: &Client,
    image: &str,
    watcher: Watcher,
) -> anyhow::Result<Client> {
    let known = match client.images().await {
        Ok(images) => find(&images, image).cloned(),
        Err(error) if is_not_ours(&error) => return Ok(with_credentials(client, image)?),
        Err(error) => return Err(error.into()),
    };
    if known.as_ref().is_some_and(|known| known.registry == "local" || known.digest == image) {
        return Ok(client.clone());
    }
    let client = with_credentials(client, image)?;
    if known.is_none() {
        match pull::pull(&client, image, watcher).await {
            Err(error) if error.downcast_ref().is_some_and(is_not_ours) => {}
            pulled => drop(pulled?),
        }
    }
    Ok(client)
}

fn is_not_ours(error: &ClientError) -> bool {
    error.code() == Some("permission_denied")
}

/// The same client with the caller's credentials for the registry of `image`.
pub(crate) fn with_credentials(client: &Client, image: &str) -> Result<Client, Failure> {
    Ok(client.with_credentials(&docker::credentials_for(image)?))
}

/// The digest of the image with this name, digest or beginning of a digest.
pub(crate) async fn digest_of(client: &Client, image: &str) -> anyhow::Result<String> {
    if image.starts_with("sha256:") && image.len() == "sha256:".len() + 64 {
        return Ok(image.to_owned());
    }
    let images = client.images().await?;
    let missing = || {
        Failure::new(format!("no image `{image}`"), "`dormouse image list` shows names and digests")
            .with_code(NOT_FOUND)
    };
    let found = find(&images, image).or_else(|| by_digest(&images, image));
    Ok(found.ok_or_else(missing)?.digest.clone())
}

/// The image that a machine from `name` would get, if it is here: imported ones come first.
fn find<'a>(images: &'a [ImageInfo], name: &str) -> Option<&'a ImageInfo> {
    let with_tag = format!("{name}:latest");
    let is_local = |image: &&ImageInfo| {
        image.registry == "local" && (image.name == name || image.name == with_tag)
    };
    let is_digest = |image: &&ImageInfo| image.digest == name;
    images.iter().find(is_local).or_else(|| images.iter().find(is_digest)).or_else(|| {
        let reference: Reference = name.parse().ok()?;
        images.iter().find(|image| is_meant(image, &reference))
    })
}

fn is_meant(image: &ImageInfo, reference: &Reference) -> bool {
    image.registry == reference.registry().served_by()
        && image.repository == reference.repository()
        && match reference.digest() {
            Some(digest) => image.digest == digest.as_str(),
            None => reference.tag() == Some(&image.tag),
        }
}

/// The one image whose digest begins with these hex digits.
fn by_digest<'a>(images: &'a [ImageInfo], digits: &str) -> Option<&'a ImageInfo> {
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    let begins = |image: &&ImageInfo| {
        image.digest.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(digits))
    };
    let mut matches = images.iter().filter(begins);
    let first = matches.next().filter(|_| digits.len() >= DIGEST_PREFIX_MIN)?;
    matches.all(|other| other.digest == first.digest).then_some(first)
}

/// A digest as a table shows it.
pub(crate) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, parts: [&str; 3], hex: &str) -> ImageInfo {
        let [registry, repository, tag] = parts.map(str::to_owned);
        let (name, digest) = (name.to_owned(), format!("sha256:{hex:0<64}"));
        ImageInfo { name, digest, registry, repository, tag, ..ImageInfo::default() }
    }

    #[test]
    fn names_mean_what_a_create_would_take() {
        let hub = "registry-1.docker.io";
        let images = [
            image("alpine:3", [hub, "library/alpine", "3"], "aaaaaa1"),
            image("r.io/team/web:1", ["r.io", "team/web", "1"], "aaaaaa2"),
            image("busybox:latest", ["local", "busybox", "latest"], "b"),
        ];
        let check = |name: &str, expected: Option<usize>| {
            let found = find(&images, name).map(|image| &image.digest);
            assert_eq!(found, expected.map(|idx| &images[idx].digest), "{name}");
        };
        check("alpine:3", Some(0));
        check("docker.io/library/alpine:3", Some(0));
        check("alpine", None);
        check("r.io/team/web:1", Some(1));
        check(&format!("r.io/team/web@{}", images[1].digest), Some(1));
        check(&format!("r.io/team/web@{}", images[0].digest), None);
        check("busybox", Some(2));
        check(&images[1].digest, Some(1));
        check("Not A Reference", None);
        let by = |digits| by_digest(&images, digits).map(|image| image.tag.as_str());
        assert_eq!(
            [by("aaaaaa1"), by("sha256:b00000"), by("aaaaaa"), by("b")],
            [Some("3"), Some("latest"), None, None]
        );
        assert_eq!(short(&images[0].digest), "aaaaaa100000");
    }
}
