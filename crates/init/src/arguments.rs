//! What the launcher says on the command line.
//!
//! ```text
//! dormouse-init [--pid1-fd N]     be the machine's init
//! dormouse-init pid1              wait on fd 3 to become a program
//! dormouse-init machine           be the first process of a guest kernel
//! dormouse-init rehearsal         be a program that has nothing to do
//! ```

use std::ffi::OsString;

/// What to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The init of a machine.
    Init(Options),
    /// The process that becomes a program which wants to be PID 1 (see [`crate::pid1`]).
    Pid1,
    /// The first process of a guest kernel (see [`crate::machine`]).
    Machine,
    /// The program of a rehearsal: starts, says a word, ends.
    Rehearsal,
}

/// Options of the init of a machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Socket to the process that becomes PID 1 of a child namespace.
    pub(crate) pid1_fd: Option<i32>,
}

/// The arguments make no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongArguments;

/// File descriptor of the channel, in both modes.
pub(crate) const CHANNEL_FD: i32 = 3;

/// Reads the arguments behind the program's name.
pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Mode, WrongArguments> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("pid1") if options == Options::default() && words.next().is_none() => {
                return Ok(Mode::Pid1);
            }
            Some("machine") if options == Options::default() && words.next().is_none() => {
                return Ok(Mode::Machine);
            }
            Some("rehearsal") if options == Options::default() && words.next().is_none() => {
                return Ok(Mode::Rehearsal);
            }
            Some("--pid1-fd") => {
                let number = words.next().and_then(|word| word.to_str()?.parse().ok());
                options.pid1_fd = Some(number.filter(|fd| *fd > CHANNEL_FD).ok_or(WrongArguments)?);
            }
            _ => return Err(WrongArguments),
        }
    }
    Ok(Mode::Init(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], expected: Result<Mode, WrongArguments>) {
        assert_eq!(parse(words.iter().map(OsString::from)), expected);
    }

    #[test]
    fn arguments() {
        check(&[], Ok(Mode::Init(Options { pid1_fd: None })));
        check(&["--pid1-fd", "4"], Ok(Mode::Init(Options { pid1_fd: Some(4) })));
        check(&["pid1"], Ok(Mode::Pid1));
        check(&["machine"], Ok(Mode::Machine));
        check(&["rehearsal"], Ok(Mode::Rehearsal));
        check(&["machine", "pid1"], Err(WrongArguments));
        check(&["--pid1-fd", "3"], Err(WrongArguments));
        check(&["--pid1-fd", "four"], Err(WrongArguments));
        check(&["--pid1-fd"], Err(WrongArguments));
        check(&["pid1", "more"], Err(WrongArguments));
        check(&["something"], Err(WrongArguments));
    }
}
