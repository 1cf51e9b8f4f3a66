//! The header `X-Registry-Auth`: credentials for the registry of one request, as Docker's API has it.
//!
//! Its value is base64 (of the alphabet for URLs) of a JSON object with `username` and `password`,
//! with `identitytoken`, or with `registrytoken`. They are used for this request and kept nowhere.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use registry::{Credentials, Secret};
use serde::{Deserialize, Serialize};

/// Name of the header.
pub const REGISTRY_AUTH_HEADER: &str = "x-registry-auth";

/// Longest value: tokens of cloud providers have a few thousand bytes.
const VALUE_MAX_BYTES: usize = 32 * 1024;

/// Docker pads, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a value does not carry credentials. It never shows a part of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistryAuth {
    /// Longer than any credentials are.
    #[error("it is longer than {VALUE_MAX_BYTES} bytes")]
    TooLong,
    /// Not base64.
    #[error("it is not base64 of the alphabet for URLs")]
    Encoding,
    /// Not such an object.
    #[error("it is not a JSON object of texts")]
    Form,
    /// A name without a password, or the other way round.
    #[error("it has a user name or a password, but not both")]
    Half,
}

/// Everything else that Docker sends along (`email`, `serveraddress`) is ignored.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Auth {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrytoken: Option<String>,
}

/// The credentials in a header's value; none at all are anonymous.
///
/// # Errors
/// [`BadRegistryAuth`].
pub fn decode(value: &str) -> Result<Credentials, BadRegistryAuth> {
    if value.len() > VALUE_MAX_BYTES {
        return Err(BadRegistryAuth::TooLong);
    }
    if value.trim().is_empty() {
        return Ok(Credentials::Anonymous);
    }
    let json = BASE64.decode(value.trim()).map_err(|_shows_bytes| BadRegistryAuth::Encoding)?;
    let auth: Auth = serde_json::from_slice(&json).map_err(|_shows_text| BadRegistryAuth::Form)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = given(auth.identitytoken) {
        return Ok(Credentials::Identity { token: Secret::new(token) });
    }
    if let Some(token) = given(auth.registrytoken) {
        return Ok(Credentials::Bearer { token: Secret::new(token) });
    }
    match (given(auth.username), given(auth.password)) {
        (Some(username), Some(password)) => {
            Ok(Credentials::Password { username, password: Secret::new(password) })
        }
        (None, None) => Ok(Credentials::Anonymous),
        (Some(_), None) | (None, Some(_)) => Err(BadRegistryAuth::Half),
    }
}

/// The header's value for `credentials`; anonymous ones need none.
#[must_use]
pub fn encode(credentials: &Credentials) -> Option<String> {
    let secret = |secret: &Secret| Some(secret.expose().to_owned());
    let auth = match credentials {
        Credentials::Anonymous => return None,
        Credentials::Password { username, password } => {
            Auth { username: Some(username.clone()), password: secret(password), ..Auth::default() }
        }
        Credentials::Identity { token } => Auth { identitytoken: secret(token), ..Auth::default() },
        Credentials::Bearer { token } => Auth { registrytoken: secret(token), ..Auth::default() },
    };
    Some(BASE64.encode(serde_json::to_vec(&auth).expect("plain fields")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<Credentials, BadRegistryAuth>) {
        let padded = BASE64.encode(json);
        assert_eq!(decode(&padded), expected, "{json}");
        assert_eq!(decode(padded.trim_end_matches('=')), expected, "{json}");
    }

    fn password(username: &str, password: &str) -> Credentials {
        Credentials::Password { username: username.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn values_of_docker_are_read() {
        let token = || Secret::new("t");
        check(r#"{"username":"a","password":"b"}"#, Ok(password("a", "b")));
        check(
            r#"{"username":"ü?","password":">>>","email":"","serveraddress":"r.io"}"#,
            Ok(password("ü?", ">>>")),
        );
        check(r#"{"identitytoken":"t"}"#, Ok(Credentials::Identity { token: token() }));
        check(r#"{"registrytoken":"t"}"#, Ok(Credentials::Bearer { token: token() }));
        check(
            r#"{"username":"a","identitytoken":"t"}"#,
            Ok(Credentials::Identity { token: token() }),
        );
        check("{}", Ok(Credentials::Anonymous));
        check(r#"{"username":"","password":""}"#, Ok(Credentials::Anonymous));
        assert_eq!(decode(""), Ok(Credentials::Anonymous));
    }

    #[test]
    fn other_values_are_refused_without_showing_them() {
        check(r#"{"username":"a"}"#, Err(BadRegistryAuth::Half));
        check(r#"{"password":"b"}"#, Err(BadRegistryAuth::Half));
        check(r#"{"username":1}"#, Err(BadRegistryAuth::Form));
        check("hunter2", Err(BadRegistryAuth::Form));
        assert_eq!(decode("a+/b"), Err(BadRegistryAuth::Encoding));
        assert_eq!(decode(&"A".repeat(VALUE_MAX_BYTES + 1)), Err(BadRegistryAuth::TooLong));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let token = || Secret::new("t/+");
        for credentials in [
            password("mouse", "cheese"),
            Credentials::Identity { token: token() },
            Credentials::Bearer { token: token() },
        ] {
            let value = encode(&credentials).expect("they are some");
            assert_eq!(decode(&value), Ok(credentials));
        }
        assert_eq!(encode(&Credentials::Anonymous), None);
    }
}
