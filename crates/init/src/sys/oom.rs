//! Who goes first when the RAM of the machine is used up.
//!
//! The kernel kills the process with the highest score: its share of the machine's RAM, plus an
//! adjustment that children inherit. Among the small processes of a fork bomb init would be the
//! largest, and the program may be; with either the machine ends. So the program begins with a higher
//! adjustment than init's, and commands with a higher one still. Raising it needs no right; root may
//! take it back, and harms only its own machine.

use crate::plan::Role;
use rustix::fs::{Mode, OFlags};
use std::io::Write as _;

/// How much more than init's, in thousandths of the machine's RAM. A step is several times what init
/// uses in the smallest machine, and small beside what a program that eats its RAM uses.
const fn raise_for(role: Role) -> i32 {
    match role {
        Role::Program => 100,
        Role::Command => 200,
    }
}

/// The kernel's largest adjustment (`OOM_SCORE_ADJ_MAX`).
const ADJUSTMENT_MAX: i32 = 1000;

/// Room for the digits, a sign and a line break.
const TEXT_BYTES: usize = 8;

/// Raises the adjustment of this process, which has not executed the program yet. Where `/proc` is
/// missing or cannot be written the program runs without.
///
/// System calls only: it runs in a child that shares init's memory. The kernel gives such a child
/// an adjustment of its own as long as init waits for it (`CLONE_VFORK`).
pub(super) fn raise(role: Role) {
    // Whatever lies in its place is not waited for.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) else {
        return;
    };
    let mut text = [0; TEXT_BYTES];
    let n_bytes = rustix::io::read(&file, &mut text).unwrap_or(0);
    if let Some((text, n_bytes)) = raised(&text[..n_bytes], role) {
        match rustix::io::write(&file, &text[..n_bytes]) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// The text to write for the text that was read, and its length.
fn raised(own: &[u8], role: Role) -> Option<([u8; TEXT_BYTES], usize)> {
    let own: i32 = std::str::from_utf8(own).ok()?.trim_ascii().parse().ok()?;
    let mut text = [0; TEXT_BYTES];
    let mut left = text.as_mut_slice();
    write!(left, "{}", own.saturating_add(raise_for(role)).min(ADJUSTMENT_MAX)).ok()?;
    let n_bytes = TEXT_BYTES - left.len();
    Some((text, n_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &str, role: Role, expected: Option<&str>) {
        let raised = raised(own.as_bytes(), role);
        let text = raised.as_ref().map(|(text, n_bytes)| &text[..*n_bytes]);
        assert_eq!(text, expected.map(str::as_bytes));
    }

    #[test]
    fn commands_go_before_the_program_before_init_whatever_the_launcher_had() {
        check("0\n", Role::Program, Some("100"));
        check("0\n", Role::Command, Some("200"));
        check("-998\n", Role::Program, Some("-898"));
        check("200\n", Role::Command, Some("400"));
        check("1000\n", Role::Program, Some("1000"));
        check("", Role::Program, None);
        check("a pipe", Role::Program, None);
    }
}
