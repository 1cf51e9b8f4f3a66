//! All operations: what the router serves and the description describes.
//!
//! One file for each chapter. A new operation is a handler and a row here; `docs/openapi.json` is then
//! written anew, as `docs/api-compat.md` says.

mod apps;
mod certificates;
mod hooks;
mod host;
mod images;
mod inside;
pub(super) mod machines;
mod tokens;

use super::operation::{Operation, chapter};
use super::selfhood::table as selfhood;

/// The operations, in the order of the description.
pub(crate) fn operations() -> Vec<Operation> {
    let chapters = [
        chapter("Apps", apps::operations()),
        chapter("Machines", machines::operations()),
        chapter("Machines", inside::operations()),
        chapter("TLS Certificates", certificates::operations()),
        chapter("Tokens", tokens::operations()),
        chapter("Images", images::operations()),
        chapter("Hooks", hooks::operations()),
        chapter("Self", selfhood::outside()),
        chapter("Inside", selfhood::inside()),
        chapter("Host", host::operations()),
    ];
    chapters.into_iter().flatten().collect()
}
