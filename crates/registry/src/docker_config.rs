//! Docker's `config.json` (and `auth.json` of podman and skopeo): who the user is at which registry.
//!
//! Pure: bytes in, credentials out. Programs that keep credentials elsewhere (`credHelpers`,
//! `credsStore`) are not run; a registry that needs one is refused with the way around it, all
//! others work.
//!
//! Source: `docker/cli`, `cli/config`; `containers-auth.json(5)`.

use crate::credentials::{Credentials, Secret};
use crate::reference::{Reference, RegistryName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest file that is read, in bytes: thousands of registries.
pub const CONFIG_MAX_BYTES: u64 = 1 << 20;

/// A parsed `config.json`.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// Why a file or an entry of it cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadDockerConfig {
    /// Larger than [`CONFIG_MAX_BYTES`].
    #[error("it is larger than {CONFIG_MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or not of this form. The cause shows no values of the file.
    #[error("it does not have the form of Docker's `config.json`")]
    Form(#[source] Arc<serde_json::Error>),
    /// `auth` is not base64 of `user:password`.
    #[error("its `auth` for `{registry}` is not base64 of `user:password`")]
    Auth {
        /// The key of the entry.
        registry: String,
    },
    /// The credentials are kept by a program.
    #[error(
        "it leaves the credentials for `{registry}` to the program `docker-credential-{helper}`"
    )]
    Helper {
        /// Which registry.
        registry: String,
        /// Which program.
        helper: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    #[serde(default)]
    auths: Option<BTreeMap<String, Auth>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<SecretText>,
    username: Option<String>,
    password: Option<SecretText>,
    identitytoken: Option<SecretText>,
    registrytoken: Option<SecretText>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
struct SecretText(#[serde(deserialize_with = "secret")] Secret);

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

impl DockerConfig {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// [`BadDockerConfig`]; single entries are only read when they are asked for.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDockerConfig> {
        if u64::try_from(bytes.len()).map_or(true, |n| n > CONFIG_MAX_BYTES) {
            return Err(BadDockerConfig::TooLarge);
        }
        let raw: RawConfig = serde_json::from_slice(bytes)
            .map_err(|source| BadDockerConfig::Form(Arc::new(without_values(&source))))?;
        Ok(Self {
            auths: raw.auths.unwrap_or_default(),
            helpers: raw.cred_helpers.unwrap_or_default(),
            store: raw.creds_store.filter(|name| !name.is_empty()),
        })
    }

    /// The credentials for a reference: of its repository before its registry; anonymous when the
    /// user has not logged in there.
    ///
    /// # Errors
    /// [`BadDockerConfig::Auth`] and [`BadDockerConfig::Helper`].
    pub fn credentials_for(&self, reference: &Reference) -> Result<Credentials, BadDockerConfig> {
        let registry = reference.registry();
        let helper =
            self.helpers.iter().find(|(key, _)| registry_of(key).as_ref() == Some(registry));
        if let Some((_, helper)) = helper {
            return Err(helped(registry, helper));
        }
        let Some((key, auth)) = self.entry(reference) else { return Ok(Credentials::Anonymous) };
        match (auth.credentials(key)?, &self.store) {
            // `docker login` leaves an empty entry behind when a program keeps the rest.
            (Credentials::Anonymous, Some(helper)) => Err(helped(registry, helper)),
            (credentials, _) => Ok(credentials),
        }
    }

    /// The longest key that covers the reference: `host/team/web`, `host/team`, `host`.
    fn entry(&self, reference: &Reference) -> Option<(&str, &Auth)> {
        let covering = self.auths.iter().filter_map(|(key, auth)| {
            let prefix_bytes = covered_bytes(key, reference)?;
            Some((prefix_bytes, key.as_str(), auth))
        });
        let longest = covering.max_by_key(|(prefix_bytes, ..)| *prefix_bytes);
        longest.map(|(_, key, auth)| (key, auth))
    }
}

fn helped(registry: &RegistryName, helper: &str) -> BadDockerConfig {
    BadDockerConfig::Helper { registry: registry.to_string(), helper: helper.to_owned() }
}

/// The registry of a key: `https://index.docker.io/v1/`, `r.example.com:5000`, `r.example.com/team`.
fn registry_of(key: &str) -> Option<RegistryName> {
    split_key(key).0.parse().ok()
}

/// A key's server and the path behind it. The paths of old keys (`/v1/`, `/v2/`) are no repositories.
fn split_key(key: &str) -> (&str, &str) {
    let (key, is_url) = match key.split_once("://") {
        Some((_, rest)) => (rest, true),
        None => (key, false),
    };
    let (server, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_end_matches('/');
    (server, if is_url || matches!(path, "v1" | "v2") { "" } else { path })
}

/// How much of the reference's repository a key covers, in bytes, if it covers it.
fn covered_bytes(key: &str, reference: &Reference) -> Option<usize> {
    let (_, path) = split_key(key);
    if registry_of(key).as_ref() != Some(reference.registry()) {
        return None;
    }
    let rest = reference.repository().strip_prefix(path)?;
    (path.is_empty() || rest.is_empty() || rest.starts_with('/')).then_some(path.len())
}

impl Auth {
    fn credentials(&self, key: &str) -> Result<Credentials, BadDockerConfig> {
        let given = |text: &Option<SecretText>| {
            text.as_ref().map(|text| text.0.clone()).filter(|text| !text.expose().is_empty())
        };
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Credentials::Identity { token });
        }
        if let Some(token) = given(&self.registrytoken) {
            return Ok(Credentials::Bearer { token });
        }
        if let Some(auth) = given(&self.auth) {
            let invalid = || BadDockerConfig::Auth { registry: key.to_owned() };
            return decode(&auth).ok_or_else(invalid);
        }
        match (&self.username, given(&self.password)) {
            (Some(username), Some(password)) => {
                Ok(Credentials::Password { username: username.clone(), password })
            }
            (_, _) => Ok(Credentials::Anonymous),
        }
    }
}

/// `auth` is base64 of `user:password`; some programs fill the password up with zero bytes.
fn decode(auth: &Secret) -> Option<Credentials> {
    let text = String::from_utf8(STANDARD.decode(auth.expose().trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    let password = Secret::new(password.trim_matches('\0'));
    (!username.is_empty())
        .then(|| Credentials::Password { username: username.to_owned(), password })
}

/// The same error without the offending value, which may be a password.
fn without_values(error: &serde_json::Error) -> serde_json::Error {
    use serde::de::Error as _;
    let place = format!("line {} column {}", error.line(), error.column());
    serde_json::Error::custom(format!("unexpected {:?} error at {place}", error.classify()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn password(username: &str, password: &str) -> Credentials {
        Credentials::Password { username: username.into(), password: Secret::new(password) }
    }

    fn find(config: &Value, reference: &str) -> Result<Credentials, BadDockerConfig> {
        let config = DockerConfig::parse(config.to_string().as_bytes())?;
        config.credentials_for(&reference.parse().expect("a reference"))
    }

    #[track_caller]
    fn check(config: &Value, reference: &str, expected: &Credentials) {
        assert_eq!(&find(config, reference).expect("found"), expected, "{reference}");
    }

    #[test]
    fn entries_are_found_under_every_form_of_their_key() {
        let auth = json!({"auth": STANDARD.encode("me:a:b")});
        for key in
            ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://docker.io"]
        {
            check(&json!({"auths": {key: auth}}), "alpine", &password("me", "a:b"));
            check(&json!({"auths": {key: auth}}), "r.io/alpine", &Credentials::Anonymous);
        }
        for key in ["r.io:5000", "https://r.io:5000/v2/", "http://r.io:5000"] {
            check(&json!({"auths": {key: auth}}), "r.io:5000/a", &password("me", "a:b"));
            check(&json!({"auths": {key: auth}}), "r.io/a", &Credentials::Anonymous);
        }
    }

    #[test]
    fn the_longest_key_counts() {
        let auth = |name: &str| json!({"username": name, "password": "p"});
        let config = json!({"auths": {
            "r.io": auth("all"), "r.io/team": auth("team"), "r.io/team/web": auth("web"),
        }});
        check(&config, "r.io/other/web", &password("all", "p"));
        check(&config, "r.io/team2/web", &password("all", "p"));
        check(&config, "r.io/team/api", &password("team", "p"));
        check(&config, "r.io/team/web", &password("web", "p"));
    }

    #[test]
    fn tokens_come_before_passwords() {
        let auth = STANDARD.encode("<token>:x\0\0");
        let identity = json!({"auths": {"r.io": {"auth": auth, "identitytoken": "t"}}});
        check(&identity, "r.io/a", &Credentials::Identity { token: Secret::new("t") });
        let registry = json!({"auths": {"r.io": {"registrytoken": "t"}}});
        check(&registry, "r.io/a", &Credentials::Bearer { token: Secret::new("t") });
        check(&json!({"auths": {"r.io": {"auth": auth}}}), "r.io/a", &password("<token>", "x"));
    }

    #[test]
    fn a_helper_is_refused_only_where_it_would_be_asked() {
        let config = json!({
            "auths": {"store.io": {}, "file.io": {"auth": STANDARD.encode("me:p")}},
            "credHelpers": {"helped.io": "gcloud"},
            "credsStore": "desktop",
        });
        check(&config, "file.io/a", &password("me", "p"));
        check(&config, "other.io/a", &Credentials::Anonymous);
        let helper = |reference| match find(&config, reference) {
            Err(BadDockerConfig::Helper { helper, .. }) => helper,
            other => panic!("{other:?}"),
        };
        assert_eq!(helper("helped.io/a"), "gcloud");
        assert_eq!(helper("store.io/a"), "desktop");
    }

    #[test]
    fn a_wrong_entry_hurts_only_its_registry() {
        for auth in [
            "%%%",
            &STANDARD.encode("nocolon"),
            &STANDARD.encode(":p"),
            &STANDARD.encode([0xff, b':']),
        ] {
            let config = json!({"auths": {"r.io": {"auth": auth}}});
            assert!(matches!(find(&config, "r.io/a"), Err(BadDockerConfig::Auth { .. })), "{auth}");
            check(&config, "other.io/a", &Credentials::Anonymous);
        }
        for nothing in
            [json!({}), json!({"auths": null}), json!({"auths": {"r.io": {"auth": null}}})]
        {
            check(&nothing, "r.io/a", &Credentials::Anonymous);
        }
    }

    #[test]
    fn errors_and_debug_show_no_secret() {
        let error = DockerConfig::parse(br#"{"auths": {"r.io": {"password": ["hunter2"]}}}"#);
        let error = error.expect_err("not of this form");
        let source = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(!format!("{error:?} {source}").contains("hunter2"), "{source}");
        let error = DockerConfig::parse(br#"{"auths": "hunter2"}"#).expect_err("not of this form");
        assert!(!format!("{error:?}").contains("hunter2"));
        let config = json!({"auths": {"r.io": {"username": "me", "password": "hunter2"}}});
        let config = DockerConfig::parse(config.to_string().as_bytes()).expect("parsed");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(DockerConfig::parse(&vec![b' '; (1 << 20) + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "\\PC{0,200}", key in "\\PC{0,40}", auth in "\\PC{0,40}") {
            drop(DockerConfig::parse(text.as_bytes()));
            drop(find(&json!({"auths": {key: {"auth": auth}}}), "r.io/a"));
        }
    }
}
