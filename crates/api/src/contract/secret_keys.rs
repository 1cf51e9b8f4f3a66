//! Keys that work for an app without ever leaving. Source: machines-api 1.9.

use super::bytes::Bytes;
use super::secrets::SecretsVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key, without what is secret of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKey {
    /// Its name.
    pub name: String,
    /// Signing: `hs256`, `hs384`, `hs512`, `es256`, `nacl_auth`, `nacl_sign`; encrypting:
    /// `xaes256gcm`, `nacl_box`, `nacl_secretbox`.
    pub r#type: String,
    /// Its public half, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Bytes>,
    /// When a key of this name was first set, RFC 3339.
    pub created_at: String,
    /// When this one was set.
    pub updated_at: String,
}

/// Answer to `GET /v1/apps/{app}/secretkeys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKeyList {
    /// By name.
    pub secret_keys: Vec<SecretKey>,
}

/// Body of `POST /v1/apps/{app}/secretkeys/{name}` and of its `/generate`, which takes no value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetSecretKey {
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Bytes>,
}

/// Answer to both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKeySet {
    /// The key.
    #[serde(flatten)]
    pub key: SecretKey,
    /// What the change is known by.
    #[serde(flatten)]
    pub version: SecretsVersion,
}

/// Body of `/sign`, `/verify`, `/encrypt` and `/decrypt`, each of which takes a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UseSecretKey {
    /// What is signed or encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<Bytes>,
    /// What a signature is held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Bytes>,
    /// What is decrypted: an answer of `/encrypt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<Bytes>,
    /// What has to be the same when it is decrypted; for `xaes256gcm` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<Bytes>,
}

/// Answer to `/sign`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKeySignature {
    /// The signature.
    pub signature: Bytes,
}

/// Answer to `/encrypt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKeyCiphertext {
    /// The nonce and what is encrypted; for a `nacl_box`, a sealed box.
    pub ciphertext: Bytes,
}

/// Answer to `/decrypt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretKeyPlaintext {
    /// What was encrypted.
    pub plaintext: Bytes,
}
