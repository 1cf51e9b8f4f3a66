//! What does a program say to the host of its machine?
//!
//! `dm` is for programs and scripts in machines: a verb, a call over the socket `/.fly/api`, an
//! answer in plain lines or as JSON. Whatever it does, a few lines of HTTP do as well; it has no
//! secrets and no state, and decides nothing. It is mounted into machines of every image, so it needs
//! nothing from them.
//!
//! * [`verbs`]: what words mean. [`help`]: which words there are. [`when`]: moments and spans.
//! * [`http`]: one call. [`errand`]: calls that belong together, and long waits.
//! * [`show`]: answers for people and scripts. [`failure`]: what went wrong, and the exit code.

pub mod errand;
pub mod failure;
pub mod help;
pub mod http;
pub mod show;
pub mod verbs;
pub mod when;
mod words;

use failure::Failure;
use std::io::{self, Write as _};
use std::path::Path;
use verbs::Wish;

/// Does what `words` say, over `socket`; returns the exit code.
#[must_use]
pub fn run(words: Vec<String>, socket: &Path) -> u8 {
    let is_json = verbs::wants_json(&words);
    let done = verbs::parse(words).and_then(|wish| match wish {
        Wish::Help(text) => say(&text),
        Wish::Errand(errand) => errand.run(socket, is_json, &mut say),
    });
    match done {
        Ok(()) => 0,
        Err(failure) => {
            // Nobody may be there to read it; the exit code says enough.
            writeln!(io::stderr().lock(), "{}", failure.text(is_json)).unwrap_or_default();
            failure.exit_code()
        }
    }
}

/// Writes a text to standard output; an empty one is none.
fn say(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}
