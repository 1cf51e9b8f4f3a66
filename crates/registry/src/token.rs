//! Access tokens: asked for at the token server that a challenge names, and kept while they live.
//!
//! A token belongs to the registry, the repository and the very credentials that it was given for,
//! so nobody profits from another's.
//!
//! Source: Docker Registry v2 token authentication ("Token Authentication Specification", "OAuth2
//! Token Authentication").

use crate::credentials::{Authorization, Credentials, Fingerprint, Secret};
use crate::error::RegistryError;
use crate::http::{Ask, Http, Refused};
use crate::url::{Origin, encode};
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Largest answer of a token server, in bytes: tokens list rights, and take up to 16 KiB.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;
/// Longest scope that is asked for, in bytes.
const SCOPE_MAX_BYTES: usize = 2 * 1024;
/// How long a token lives that does not say so. Source: the specification above.
const LIFE: Duration = Duration::from_secs(60);
/// How long a token is used at most, so that withdrawn credentials end soon.
const LIFE_MAX: Duration = Duration::from_secs(300);
/// A token is not used so shortly before its end: the request still has to arrive.
const MARGIN: Duration = Duration::from_secs(10);
/// Tokens that are kept: one for each pull of the last minutes.
const TOKENS_MAX: usize = 256;
/// Name of this client to token servers.
const CLIENT_ID: &str = "dormouse";
/// Characters of a foreign URL that are shown.
const SHOWN_CHARS: usize = 100;

/// Who may use a token, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) registry: String,
    pub(crate) repository: String,
    pub(crate) credentials: Fingerprint,
}

/// The tokens of all pulls.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    kept: Mutex<HashMap<TokenKey, Kept>>,
}

#[derive(Debug)]
struct Kept {
    authorization: Authorization,
    ends_at: Instant,
}

/// What a token server gave.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) authorization: Authorization,
    pub(crate) life: Duration,
}

impl Tokens {
    pub(crate) fn get(&self, key: &TokenKey, now: Instant) -> Option<Authorization> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|kept| kept.ends_at > now).map(|kept| kept.authorization.clone())
    }

    pub(crate) fn put(&self, key: TokenKey, granted: Granted, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.ends_at > now);
        if kept.len() >= TOKENS_MAX {
            let soonest = kept.iter().min_by_key(|(_, kept)| kept.ends_at);
            if let Some(key) = soonest.map(|(key, _)| key.clone()) {
                kept.remove(&key);
            }
        }
        let ends_at = now + granted.life;
        kept.insert(key, Kept { authorization: granted.authorization, ends_at });
    }
}

/// What a token is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// URL of the token server, from the challenge.
    pub(crate) realm: &'a str,
    /// What it calls the registry.
    pub(crate) service: Option<&'a str>,
    /// What the registry wants the token to allow.
    pub(crate) scope: Option<&'a str>,
    /// Where the challenge came from.
    pub(crate) registry: &'a Origin,
    /// What is to be pulled.
    pub(crate) repository: &'a str,
    /// Who wants it.
    pub(crate) credentials: &'a Credentials,
}

/// Asks the token server.
pub(crate) async fn ask(http: &Http, wanted: &Wanted<'_>) -> Result<Granted, RegistryError> {
    let realm = safe_realm(http, wanted)?;
    let answer = http.send(request(realm, wanted)?).await?;
    if answer.status() == StatusCode::OK {
        let host = answer.origin().to_string();
        let read = answer.read("the token", ANSWER_MAX_BYTES, http.timeouts().document).await?;
        return parse(&read)
            .ok_or_else(|| RegistryError::BadAnswer { host, why: "it holds no token".to_owned() });
    }
    let has_credentials = *wanted.credentials != Credentials::Anonymous;
    let refused = Refused { repository: wanted.repository, what: "its token", has_credentials };
    Err(answer.into_error(refused).await)
}

/// The token server's URL, if credentials may go there: by TLS to whomever the registry names, or
/// without it when the registry itself is spoken to without.
fn safe_realm(http: &Http, wanted: &Wanted<'_>) -> Result<Uri, RegistryError> {
    let uri: Option<Uri> = wanted.realm.parse().ok();
    let is_safe = |uri: &Uri| {
        Origin::of(uri).is_some_and(|origin| {
            origin.is_tls || (!wanted.registry.is_tls && http.config().may_be_plain(&origin))
        })
    };
    uri.filter(is_safe).ok_or_else(|| RegistryError::UnsafeRealm {
        host: wanted.registry.to_string(),
        realm: wanted.realm.chars().take(SHOWN_CHARS).collect(),
    })
}

/// `GET` with the user's password, or a `POST` that exchanges the identity token.
fn request(realm: Uri, wanted: &Wanted<'_>) -> Result<Ask, RegistryError> {
    let scope = pull_scope(wanted.scope, wanted.repository);
    let mut pairs = vec![("scope", scope.as_str())];
    pairs.extend(wanted.service.map(|service| ("service", service)));
    if let Credentials::Identity { token } = wanted.credentials {
        pairs.extend([("grant_type", "refresh_token"), ("client_id", CLIENT_ID)]);
        pairs.push(("refresh_token", token.expose()));
        let form = Some(encode(&pairs));
        return Ok(Ask { method: Method::POST, form, follows: false, ..Ask::get(realm) });
    }
    let mut ask = Ask { follows: false, ..Ask::get(realm) };
    if let Credentials::Password { username, password } = wanted.credentials {
        pairs.push(("account", username));
        ask.authorization = Authorization::basic(username, password);
    }
    let separator = if ask.uri.query().is_some() { '&' } else { '?' };
    let uri = format!("{}{separator}{}", ask.uri, encode(&pairs));
    ask.uri = uri.parse().map_err(|invalid: hyper::http::uri::InvalidUri| {
        let why = format!("its token server's URL cannot be used ({invalid})");
        RegistryError::BadAnswer { host: wanted.registry.to_string(), why }
    })?;
    Ok(ask)
}

/// What the registry asked for, but of repositories only, and only to pull; by default the
/// repository itself. A registry may know it by another name, so its word is used.
fn pull_scope(asked: Option<&str>, repository: &str) -> String {
    let asked = asked.filter(|scope| scope.len() <= SCOPE_MAX_BYTES).unwrap_or_default();
    let pulls: Vec<String> = asked
        .split(' ')
        .filter(|scope| scope.starts_with("repository:"))
        .filter_map(|scope| scope.rsplit_once(':'))
        .filter(|(name, _)| name.len() > "repository:".len())
        .map(|(name, _)| format!("{name}:pull"))
        .collect();
    if pulls.is_empty() { format!("repository:{repository}:pull") } else { pulls.join(" ") }
}

#[derive(Deserialize)]
struct RawToken {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

fn parse(bytes: &[u8]) -> Option<Granted> {
    let raw: RawToken = serde_json::from_slice(bytes).ok()?;
    let token = raw.token.or(raw.access_token).filter(|token| !token.is_empty())?;
    let authorization = Authorization::bearer(&Secret::new(token))?;
    let told = raw.expires_in.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    let life = told.unwrap_or(LIFE).clamp(LIFE, LIFE_MAX) - MARGIN;
    Some(Granted { authorization, life })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> TokenKey {
        TokenKey {
            registry: "r.io".into(),
            repository: n.to_string(),
            credentials: Credentials::Anonymous.fingerprint(),
        }
    }

    fn granted(secs: u64) -> Granted {
        let authorization = Authorization::bearer(&Secret::new("t")).expect("can be sent");
        Granted { authorization, life: Duration::from_secs(secs) }
    }

    #[test]
    fn tokens_end_and_make_room() {
        let tokens = Tokens::default();
        let now = Instant::now();
        tokens.put(key(0), granted(50), now);
        assert!(tokens.get(&key(0), now).is_some());
        assert!(tokens.get(&key(0), now + Duration::from_secs(50)).is_none());
        assert!(tokens.get(&key(1), now).is_none());
        for n in 1..=TOKENS_MAX {
            tokens.put(key(n), granted(60), now);
        }
        assert!(tokens.get(&key(0), now).is_none(), "the one that ends soonest makes room");
        assert!(tokens.get(&key(TOKENS_MAX), now).is_some());
    }

    #[test]
    fn a_token_belongs_to_its_credentials() {
        let tokens = Tokens::default();
        let now = Instant::now();
        tokens.put(key(0), granted(50), now);
        let password = Secret::new("p");
        let other = Credentials::Password { username: "u".into(), password }.fingerprint();
        assert!(tokens.get(&TokenKey { credentials: other, ..key(0) }, now).is_none());
    }

    #[test]
    fn only_pulling_is_asked_for() {
        let scope = |asked| pull_scope(asked, "a/b");
        assert_eq!(scope(None), "repository:a/b:pull");
        assert_eq!(scope(Some("repository:mirror/a/b:pull,push")), "repository:mirror/a/b:pull");
        assert_eq!(scope(Some("registry:catalog:*")), "repository:a/b:pull");
        assert_eq!(
            scope(Some("repository:x:pull repository:y:*")),
            "repository:x:pull repository:y:pull"
        );
        assert_eq!(scope(Some("repository:")), "repository:a/b:pull");
    }

    #[test]
    fn both_names_of_a_token_are_read_and_lives_are_bounded() {
        let life = |text: &str| parse(text.as_bytes()).map(|granted| granted.life.as_secs());
        assert_eq!(life(r#"{"token":"t"}"#), Some(50));
        assert_eq!(life(r#"{"access_token":"t","expires_in":120}"#), Some(110));
        assert_eq!(life(r#"{"token":"t","expires_in":1}"#), Some(50));
        assert_eq!(life(r#"{"token":"t","expires_in":1e300}"#), Some(50));
        assert_eq!(life(r#"{"token":"t","expires_in":86400}"#), Some(290));
        for none in [r#"{"token":""}"#, "{}", "x", r#"{"token":"a\nb"}"#] {
            assert_eq!(life(none), None, "{none}");
        }
    }
}
