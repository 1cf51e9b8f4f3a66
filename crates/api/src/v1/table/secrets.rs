//! Secrets of apps.

use crate::contract::secrets::{
    AppSecret, AppSecretList, AppSecretSet, AppSecretsSet, SecretsVersion, SetAppSecret,
    SetAppSecrets,
};
use crate::v1::operation::{Kind, Operation, Parameter, delete, get, post, query};
use crate::v1::secrets;

/// What reads are told.
const READ: [Parameter; 3] = [
    query("min_version", Kind::Count, "Only if the app's secrets are at this version or later."),
    query("version", Kind::Count, "Another name for `min_version`."),
    query("show_secrets", Kind::Flag, "With values; needs a token that may operate."),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/apps/{app}/secrets", secrets::list)
            .is("Secrets_list", "List the secrets of an app.")
            .takes(&READ)
            .answers::<AppSecretList>(200)
            .refuses(&[412]),
        post("/v1/apps/{app}/secrets", secrets::set)
            .is("Secrets_update", "Set secrets of an app; `null` removes one.")
            .sends::<SetAppSecrets>()
            .answers::<AppSecretsSet>(200)
            .refuses(&[422]),
        get("/v1/apps/{app}/secrets/{name}", secrets::show)
            .is("Secret_get", "Show a secret of an app.")
            .takes(&READ)
            .answers::<AppSecret>(200)
            .refuses(&[412]),
        post("/v1/apps/{app}/secrets/{name}", secrets::set_one)
            .is("Secret_create", "Set a secret of an app.")
            .sends::<SetAppSecret>()
            .answers::<AppSecretSet>(201)
            .refuses(&[422]),
        delete("/v1/apps/{app}/secrets/{name}", secrets::remove)
            .is("Secret_delete", "Remove a secret of an app.")
            .answers::<SecretsVersion>(200),
    ]
}
