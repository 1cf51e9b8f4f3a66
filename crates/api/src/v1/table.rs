//! All operations: what the router serves and the description describes.
//!
//! One file for each chapter. A new operation is a handler and a row here; `docs/openapi.json` is then
//! written anew, as `docs/api-compat.md` says.

mod addresses;
mod apps;
mod certificates;
mod hooks;
mod host;
mod images;
mod index;
mod inside;
pub(super) mod machines;
mod secret_keys;
mod secrets;
mod tokens;

use super::operation::{Operation, chapter};
use super::selfhood::table as selfhood;

/// The operations, in the order of the description.
pub(crate) fn operations() -> Vec<Operation> {
    let chapters = [
        chapter("Index", index::operations()),
        chapter("Apps", apps::operations()),
        chapter("Apps", addresses::operations()),
        chapter("Machines", machines::operations()),
        chapter("Machines", inside::operations()),
        chapter("TLS Certificates", certificates::operations()),
        chapter("Secrets", secrets::operations()),
        chapter("Secrets", secret_keys::operations()),
        chapter("Tokens", tokens::operations()),
        chapter("Images", images::operations()),
        chapter("Hooks", hooks::operations()),
        chapter("Self", selfhood::outside()),
        chapter("Inside", selfhood::inside()),
        chapter("Host", host::operations()),
    ];
    chapters.into_iter().flatten().collect()
}
