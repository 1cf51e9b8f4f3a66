//! What the fuzz targets share.

mod pen;

pub use pen::{NOW, Pen};

use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

/// For what is written to wait, though here nothing makes it wait.
#[must_use]
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    &RUNTIME
}
