//! The helper that new namespaces are born in.
//!
//! A user namespace can be made only by a process with one thread, which the daemon is not. The
//! helper makes both namespaces and waits while the daemon maps ids and pins them:
//!
//! ```text
//! helper                                 daemon
//! unshare user namespace     ── 'u' ──►  writes uid_map, gid_map
//! unshare network namespace  ◄── 'm' ──
//!                            ── 'n' ──►  pins both, closes the pipe
//! ends at end of file
//! ```

use crate::namespace;
use rustix::thread::UnshareFlags;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

/// First argument that makes the helper program call [`hold_main`].
pub const HOLD_ARGUMENT: &str = "slot";

/// "I am in my own user namespace."
pub(super) const USER_MADE: u8 = b'u';
/// "Your ids are mapped."
pub(super) const MAPPED: u8 = b'm';
/// "I am in my own network namespace."
pub(super) const NET_MADE: u8 = b'n';

/// Main function of the slot helper; speaks over standard input and output.
///
/// The daemon's end of the pipe is the helper's life: when it closes, the helper ends.
#[must_use]
pub fn hold_main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // The daemon shows what is written here; when even that fails, the exit code says it.
            match writeln!(io::stderr(), "{e}") {
                Ok(()) => ExitCode::FAILURE,
                Err(_unwritable) => ExitCode::from(2),
            }
        }
    }
}

fn hold() -> io::Result<()> {
    namespace::unshare(UnshareFlags::NEWUSER)?;
    say(USER_MADE)?;
    let mut reply = [0];
    io::stdin().read_exact(&mut reply)?;
    if reply != [MAPPED] {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    namespace::unshare(UnshareFlags::NEWNET)?;
    say(NET_MADE)?;
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

fn say(word: u8) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(&[word])?;
    out.flush()
}
