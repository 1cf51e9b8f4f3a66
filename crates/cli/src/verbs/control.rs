//! `dormouse control`: the control process, started by `up`.

use crate::args::Global;
use crate::failure;
use crate::verbs::up::UpArgs;
use daemon::supervisor::EXIT_FOR_GOOD;
use std::process::ExitCode;
use store::StoreError;

pub(super) fn control(global: &Global, args: &UpArgs) -> anyhow::Result<ExitCode> {
    daemon::logging::begin();
    let Err(error) = daemon::control_process::run(&args.options(global)) else {
        return Ok(ExitCode::SUCCESS);
    };
    let code = failure::report(&error, false);
    if is_for_good(&error) {
        return Ok(u8::try_from(EXIT_FOR_GOOD).map_or(code, ExitCode::from));
    }
    Ok(code)
}

/// Whether starting again cannot help: another daemon has the directory, or it is not ours to read.
fn is_for_good(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>()).any(|cause| {
        matches!(
            cause,
            StoreError::InUse { .. }
                | StoreError::NewerSchema { .. }
                | StoreError::NotAStore { .. }
        )
    })
}
