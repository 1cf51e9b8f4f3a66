//! Keys that work for an app without ever leaving.

use super::body::JsonBody;
use super::extract::{OperateApp, ReadApp};
use super::query::Params;
use super::secrets::expect_version;
use super::{Answer, reply};
use crate::contract::bytes::Bytes;
use crate::contract::moment::rfc3339;
use crate::contract::secret_keys::{
    SecretKey, SecretKeyCiphertext, SecretKeyList, SecretKeyPlaintext, SecretKeySet,
    SecretKeySignature, SetSecretKey, UseSecretKey,
};
use crate::contract::secrets::SecretsVersion;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{Control, ControlError, KeyKind};
use model::AppName;

/// Name of a key; the app is read by the extractor of the app.
type KeyPath = Path<(String, String)>;

/// `GET /v1/apps/{app}/secretkeys?types=&min_version=`.
pub(super) async fn list(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    params: Params,
) -> Answer {
    let (keys, version) = control.secret_keys(&app).map_err(of_control)?;
    expect_version(&params, version)?;
    let types: Vec<&str> = params.list("types").collect();
    let shown = keys.into_iter().map(view);
    let shown = shown.filter(|key| types.is_empty() || types.contains(&key.r#type.as_str()));
    reply::ok(&SecretKeyList { secret_keys: shown.collect() })
}

/// `GET /v1/apps/{app}/secretkeys/{name}`.
pub(super) async fn show(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    Path((_, name)): KeyPath,
    params: Params,
) -> Answer {
    let (keys, version) = control.secret_keys(&app).map_err(of_control)?;
    expect_version(&params, version)?;
    let key = keys.into_iter().find(|key| key.name == name);
    let key = key.ok_or_else(|| of_control(ControlError::NotFound { what: "secret key" }))?;
    reply::ok(&view(key))
}

/// `POST /v1/apps/{app}/secretkeys/{name}`.
pub(super) async fn set(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: SetSecretKey = body.to()?;
    let Some(value) = wish.value.clone() else {
        return Err(missing("value", "or draw a key with `…/generate`"));
    };
    put(&control, &app, &name, &wish, Some(value.0)).await
}

/// `POST /v1/apps/{app}/secretkeys/{name}/generate`.
pub(super) async fn generate(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    put(&control, &app, &name, &body.to()?, None).await
}

async fn put(
    control: &Control,
    app: &AppName,
    name: &str,
    wish: &SetSecretKey,
    value: Option<Vec<u8>>,
) -> Answer {
    let kind = wish.r#type.as_deref().filter(|word| !word.is_empty());
    let kind = kind.ok_or_else(|| missing("type", "e.g. `hs256`"))?;
    let kind: KeyKind = kind.parse().map_err(of_control)?;
    let set = control.set_secret_key(app, name, kind, value).await.map_err(of_control)?;
    let (key, version) = set;
    let answer = SecretKeySet { key: view(key), version: version.into() };
    reply::json(StatusCode::CREATED, &answer)
}

/// `DELETE /v1/apps/{app}/secretkeys/{name}`.
pub(super) async fn remove(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
) -> Answer {
    let version = control.remove_secret_key(&app, &name).await.map_err(of_control)?;
    reply::ok(&SecretsVersion::from(version))
}

/// `POST /v1/apps/{app}/secretkeys/{name}/sign`.
pub(super) async fn sign(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: UseSecretKey = body.to()?;
    let message = wish.plaintext.ok_or_else(|| missing("plaintext", "as base64"))?;
    let signature = control.sign(&app, &name, &message.0).map_err(of_control)?;
    reply::ok(&SecretKeySignature { signature: Bytes(signature) })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/verify`: 204, or 400 when the signature is another.
pub(super) async fn verify(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: UseSecretKey = body.to()?;
    let message = wish.plaintext.ok_or_else(|| missing("plaintext", "as base64"))?;
    let signature = wish.signature.ok_or_else(|| missing("signature", "as base64"))?;
    let is_right = control.verifies(&app, &name, &message.0, &signature.0).map_err(of_control)?;
    if is_right {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    Err(Problem::invalid("wrong_signature", "the signature is not this key's of this text")
        .hint("sign the same bytes with the same key; base64 must be that of the bytes"))
}

/// `POST /v1/apps/{app}/secretkeys/{name}/encrypt`.
pub(super) async fn encrypt(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: UseSecretKey = body.to()?;
    let plain = wish.plaintext.ok_or_else(|| missing("plaintext", "as base64"))?;
    let associated = wish.associated_data.unwrap_or_default();
    let text = control.encrypt(&app, &name, &plain.0, &associated.0).map_err(of_control)?;
    reply::ok(&SecretKeyCiphertext { ciphertext: Bytes(text) })
}

/// `POST /v1/apps/{app}/secretkeys/{name}/decrypt`: 400 when the key has not encrypted this.
pub(super) async fn decrypt(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: UseSecretKey = body.to()?;
    let text = wish.ciphertext.ok_or_else(|| missing("ciphertext", "as base64"))?;
    let associated = wish.associated_data.unwrap_or_default();
    let plain = control.decrypt(&app, &name, &text.0, &associated.0).map_err(of_control)?;
    let plain = plain.ok_or_else(|| {
        Problem::invalid("wrong_ciphertext", "the key did not encrypt this")
            .hint("send what `encrypt` answered, with the same `associated_data`, to the same key")
    })?;
    reply::ok(&SecretKeyPlaintext { plaintext: Bytes(plain) })
}

fn view(key: control::SecretKey) -> SecretKey {
    SecretKey {
        name: key.name,
        r#type: key.kind.to_string(),
        public_key: key.public_key.map(Bytes),
        created_at: rfc3339(key.created_at),
        updated_at: rfc3339(key.updated_at),
    }
}

fn missing(field: &str, hint: &str) -> Problem {
    Problem::invalid("value_missing", format!("{field} is required"))
        .hint(format!("send `{field}`, {hint}"))
}

fn of_control(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}
