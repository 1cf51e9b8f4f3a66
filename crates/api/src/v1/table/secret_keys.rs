//! Keys of apps that never leave.

use crate::contract::secret_keys::{
    SecretKey, SecretKeyCiphertext, SecretKeyList, SecretKeyPlaintext, SecretKeySet,
    SecretKeySignature, SetSecretKey, UseSecretKey,
};
use crate::contract::secrets::SecretsVersion;
use crate::v1::operation::{Kind, Operation, Parameter, delete, get, post, query};
use crate::v1::secret_keys;

const KEY: &str = "/v1/apps/{app}/secretkeys/{name}";

const LEAST: Parameter =
    query("min_version", Kind::Count, "Only if the app's secrets are at this version or later.");

pub(super) fn operations() -> Vec<Operation> {
    let of_key = |verb: &str| format!("{KEY}{verb}");
    vec![
        get("/v1/apps/{app}/secretkeys", secret_keys::list)
            .is("Secretkeys_list", "List the keys of an app.")
            .takes(&[LEAST, query("types", Kind::Text, "Only of these types, with commas.")])
            .answers::<SecretKeyList>(200)
            .refuses(&[412]),
        get(KEY, secret_keys::show)
            .is("Secretkey_get", "Show a key of an app, without what is secret of it.")
            .takes(&[LEAST])
            .answers::<SecretKey>(200)
            .refuses(&[412]),
        post(KEY, secret_keys::set)
            .is("Secretkey_set", "Bring a key.")
            .sends::<SetSecretKey>()
            .answers::<SecretKeySet>(201)
            .refuses(&[422]),
        delete(KEY, secret_keys::remove)
            .is("Secretkey_delete", "Remove a key.")
            .answers::<SecretsVersion>(200),
        post(of_key("/generate"), secret_keys::generate)
            .is("Secretkey_generate", "Have a key drawn.")
            .sends::<SetSecretKey>()
            .answers::<SecretKeySet>(201)
            .refuses(&[422]),
        post(of_key("/sign"), secret_keys::sign)
            .is("Secretkey_sign", "Sign with a key.")
            .takes(&[LEAST])
            .sends::<UseSecretKey>()
            .answers::<SecretKeySignature>(200)
            .refuses(&[412, 422]),
        post(of_key("/verify"), secret_keys::verify)
            .is("Secretkey_verify", "Hold a signature against a key.")
            .takes(&[LEAST])
            .sends::<UseSecretKey>()
            .answers_nothing(204)
            .refuses(&[412, 422]),
        post(of_key("/encrypt"), secret_keys::encrypt)
            .is("Secretkey_encrypt", "Encrypt with a key.")
            .takes(&[LEAST])
            .sends::<UseSecretKey>()
            .answers::<SecretKeyCiphertext>(200)
            .refuses(&[412, 422]),
        post(of_key("/decrypt"), secret_keys::decrypt)
            .is("Secretkey_decrypt", "Decrypt with the key that encrypted it.")
            .takes(&[LEAST])
            .sends::<UseSecretKey>()
            .answers::<SecretKeyPlaintext>(200)
            .refuses(&[412, 422]),
    ]
}
