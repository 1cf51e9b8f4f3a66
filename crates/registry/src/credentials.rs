//! Who asks: credentials that never show themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: to be sent, never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a caller has to show to a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: public images only.
    #[default]
    Anonymous,
    /// A user's name and password (or access token in its place).
    Password {
        /// Name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// A refresh token that the token server exchanges for access tokens.
    Identity {
        /// The refresh token.
        token: Secret,
    },
    /// An access token, sent to the registry as it is.
    Bearer {
        /// The access token.
        token: Secret,
    },
}

/// Tells credentials apart without keeping them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Credentials {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let (kind, name, secret) = match self {
            Self::Anonymous => ("anonymous", "", ""),
            Self::Password { username, password } => {
                ("password", username.as_str(), password.expose())
            }
            Self::Identity { token } => ("identity", "", token.expose()),
            Self::Bearer { token } => ("bearer", "", token.expose()),
        };
        let mut hash = Sha256::new();
        for part in [kind, name, secret] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Fingerprint(hash.finalize().into())
    }
}

/// The value of an `Authorization` header; HTTP libraries do not print it either.
#[derive(Clone, Debug)]
pub(crate) struct Authorization(HeaderValue);

impl Authorization {
    /// `Basic`; nothing when name and password cannot be sent.
    pub(crate) fn basic(username: &str, password: &Secret) -> Option<Self> {
        Self::new(&format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{}", password.expose()))
        ))
    }

    /// `Bearer`; nothing when the token cannot be sent.
    pub(crate) fn bearer(token: &Secret) -> Option<Self> {
        Self::new(&format!("Bearer {}", token.expose()))
    }

    fn new(text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl PartialEq for Authorization {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let password = Secret::new("hunter2");
        let credentials =
            Credentials::Password { username: "me".into(), password: password.clone() };
        let basic = Authorization::basic("me", &password).expect("can be sent");
        let bearer = Authorization::bearer(&password).expect("can be sent");
        let shown = format!("{credentials:?} {basic:?} {bearer:?} {:?}", credentials.fingerprint());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains(&STANDARD.encode("me:hunter2")), "{shown}");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_not_sent() {
        assert_eq!(Authorization::bearer(&Secret::new("a\r\nHost: b")), None);
    }

    #[test]
    fn fingerprints_tell_credentials_apart() {
        let of = |username: &str, password| {
            let password = Secret::new(password);
            Credentials::Password { username: username.into(), password }.fingerprint()
        };
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(of("a", "b"), Credentials::Anonymous.fingerprint());
    }
}
