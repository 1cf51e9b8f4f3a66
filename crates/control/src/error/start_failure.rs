//! Which failed starts trying again cannot help.

/// Codes of failed starts whose cause is the image, the configuration or the engine's reach. Every
/// other cause is the host's and may pass.
const PERMANENT: [&str; 7] = [
    "empty_argv",
    "not_found",
    "not_executable",
    "unknown_user",
    "working_dir",
    "files",
    "unsupported",
];

/// Whether a start that failed with `code` fails again however often it is tried.
pub(crate) fn is_permanent(code: &str) -> bool {
    PERMANENT.contains(&code)
}
