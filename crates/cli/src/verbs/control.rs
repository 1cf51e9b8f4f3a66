//! `dormouse control`: the control process, started by `up`.

use crate::args::Global;
use crate::failure;
use crate::verbs::up::UpArgs;
use daemon::control_process::{self, EXIT_FOR_GOOD};
use std::process::ExitCode;

pub(super) fn control(global: &Global, args: &UpArgs) -> anyhow::Result<ExitCode> {
    let Err(error) = control_process::run(&args.options(global)) else {
        return Ok(ExitCode::SUCCESS);
    };
    let code = failure::report(&error, false);
    if control_process::is_for_good(&error) { Ok(ExitCode::from(EXIT_FOR_GOOD)) } else { Ok(code) }
}
