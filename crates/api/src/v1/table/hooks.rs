//! Hooks, by which the outside posts to machines, and the secret that signs what machines send.

use crate::contract::Ok;
use crate::contract::hooks::{
    Hook, HookPosted, PutHook, RotateHook, RotateSigningSecret, SigningSecret,
};
use crate::v1::hooks;
use crate::v1::operation::{Operation, Right, delete, get, post, put};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/apps/{app}/hooks", hooks::list)
            .is("Hooks_list", "List the hooks of an app.")
            .answers::<Vec<Hook>>(200),
        get("/v1/apps/{app}/hooks/{name}", hooks::show)
            .is("Hooks_show", "Show a hook, without its secret.")
            .answers::<Hook>(200),
        put("/v1/apps/{app}/hooks/{name}", hooks::put)
            .is("Hooks_put", "Make a hook, or change it.")
            .sends::<PutHook>()
            .answers::<Hook>(200)
            .refuses(&[409, 422]),
        delete("/v1/apps/{app}/hooks/{name}", hooks::remove)
            .is("Hooks_delete", "Remove a hook.")
            .answers::<Ok>(200),
        post("/v1/apps/{app}/hooks/{name}/rotate", hooks::rotate)
            .is("Hooks_rotate", "Give a hook another secret.")
            .may_send::<RotateHook>()
            .answers::<Hook>(200)
            .refuses(&[412]),
        get("/v1/apps/{app}/signing-secret", hooks::signing_secret)
            .is("SigningSecret_show", "Show what notifications of the app are signed with.")
            .needs(Right::Operate)
            .answers::<SigningSecret>(200),
        post("/v1/apps/{app}/signing-secret/rotate", hooks::rotate_signing_secret)
            .is("SigningSecret_rotate", "Draw another secret for the app's notifications.")
            .may_send::<RotateSigningSecret>()
            .answers::<SigningSecret>(200)
            .refuses(&[412]),
        post("/v1/hooks/{app}/{name}", hooks::post)
            .is("Hooks_post", "Post a message to a hook; signed, if the hook wants that.")
            .needs(Right::Nobody)
            .may_send_raw("text/plain")
            .answers::<HookPosted>(202)
            .refuses(&[401, 409, 412, 413, 422, 429, 503, 507]),
    ]
}
