//! Work that blocks, and what becomes of it when it panics.

use crate::error::ControlError;

/// Runs `work` on a thread that may block.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(panicked(&panic)))
}

/// What a task's panic is to who waits for it.
pub(crate) fn panicked(panic: &tokio::task::JoinError) -> ControlError {
    ControlError::Bug { message: panic.to_string() }
}
