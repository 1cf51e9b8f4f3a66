//! `dm`: what a program says to the host of its machine.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The socket that the guest init listens on.
const SOCKET: &str = "/.fly/api";

/// Names another socket.
const SOCKET_VARIABLE: &str = "DORMOUSE_API";

fn main() -> ExitCode {
    let given = env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
    let socket = PathBuf::from(given.unwrap_or_else(|| OsString::from(SOCKET)));
    let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(dm::run(words, &socket))
}
