//! A program ready to be started: everything looked up, nothing done yet.

use crate::identity::Identity;
use crate::start_error::{StartError, text};
use guest_proto::message::StartFailure;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// A program ready to be started. Strings become C strings only when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Paths to try in order.
    pub(crate) paths: Vec<String>,
    /// Arguments, the first as the user wrote it.
    pub(crate) argv: Vec<String>,
    /// Environment, `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Directory to start in.
    pub(crate) working_dir: String,
    /// Who it runs as.
    pub(crate) identity: Identity,
    /// Whether its standard input is a terminal that it shall control.
    pub(crate) has_terminal: bool,
    /// What it is to the machine.
    pub(crate) role: Role,
}

/// What a process is to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// With it the machine ends.
    Program,
    /// Somebody runs it beside the program.
    Command,
}

/// The step at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Making the process.
    Process,
    /// Session, terminal, standard streams.
    Stdio,
    /// Groups, group and user.
    Identity,
    /// Entering the working directory.
    WorkingDir,
    /// `execve`.
    Exec,
}

/// What the system said to a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The step.
    pub(crate) stage: Stage,
    /// The error number.
    pub(crate) errno: i32,
}

impl Plan {
    /// What a refusal means for the user.
    pub(crate) fn explain(&self, refusal: Refusal) -> StartError {
        let errno = Errno::from_raw_os_error(refusal.errno);
        match refusal.stage {
            Stage::Process => StartError::other("make a process", errno),
            Stage::Stdio => StartError::other("set up standard streams", errno),
            Stage::Identity => StartError::other("change user", errno),
            Stage::WorkingDir => StartError::new(
                StartFailure::WorkingDir,
                format!("cannot enter working directory `{}`: {}", self.working_dir, text(errno)),
            ),
            Stage::Exec => self.explain_exec(errno),
        }
    }

    fn explain_exec(&self, errno: Errno) -> StartError {
        let program = self.argv.first().map_or("", String::as_str);
        match errno {
            Errno::NOENT | Errno::NOTDIR => match self.paths.iter().find(|path| is_there(path)) {
                Some(path) => StartError::new(
                    StartFailure::NotExecutable,
                    format!(
                        "`{path}` is there, but the interpreter or loader it names is not in the \
                         image"
                    ),
                ),
                None => StartError::new(
                    StartFailure::NotFound,
                    format!("`{program}` was not found in the image"),
                ),
            },
            Errno::NOEXEC => StartError::new(
                StartFailure::NotExecutable,
                format!(
                    "`{program}` is no program this host can run: made for another processor, or a \
                     script without a `#!` line"
                ),
            ),
            Errno::ACCESS | Errno::PERM => StartError::new(
                StartFailure::NotExecutable,
                format!("`{program}` may not be executed: {}", text(errno)),
            ),
            Errno::TOOBIG => StartError::new(
                StartFailure::Other,
                "arguments and environment together are larger than the kernel allows",
            ),
            other => StartError::other(&format!("execute `{program}`"), other),
        }
    }
}

/// Paths to try for `program`: itself when it has a slash, else one in each directory of `path`.
pub(crate) fn search(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .take(PATH_DIRS_MAX)
        .map(|dir| match dir {
            "" => format!("./{program}"),
            dir => format!("{}/{program}", dir.trim_end_matches('/')),
        })
        .collect()
}

/// Directories of a `PATH` that are searched: far more than anybody writes.
const PATH_DIRS_MAX: usize = 256;

fn is_there(path: &str) -> bool {
    rustix::fs::stat(path)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_search(program: &str, path: &str, expected: &[&str]) {
        assert_eq!(search(program, path), expected);
    }

    #[test]
    fn programs_are_searched_as_a_shell_does() {
        check_search("/bin/sh", "/usr/bin", &["/bin/sh"]);
        check_search("./run", "/usr/bin", &["./run"]);
        check_search("sh", "/usr/bin:/bin/", &["/usr/bin/sh", "/bin/sh"]);
        check_search("sh", "/bin:", &["/bin/sh", "./sh"]);
        check_search("sh", "/", &["/sh"]);
    }

    #[test]
    fn a_long_path_is_bounded() {
        assert_eq!(search("sh", &"/d:".repeat(10_000)).len(), PATH_DIRS_MAX);
    }
}
