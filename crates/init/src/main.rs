//! The guest init: PID 1 in every machine, on every engine.
//!
//! It holds one channel to the host ([`host`]), starts the program ([`boot`]), reaps what it leaves
//! behind, runs commands beside it ([`session`]), relays `/.fly/api` ([`api`]) and answers questions
//! ([`questions`]). One thread, one loop ([`supervisor`]), no waiting anywhere else.
//!
//! What the launcher owes it: PID 1 of the machine's pid namespace; mounts, capabilities,
//! `no_new_privs`, seccomp and cgroups in force; the channel (a stream socket) as file descriptor 3.
//! All further arguments are in [`arguments`]. In a virtual machine there is no launcher: there it is the
//! kernel's first process, and makes the machine itself ([`machine`]).
//!
//! Exit codes: 0 after the program's end (or failure to start) has been told, 64 for wrong
//! arguments, 71 when the channel is lost or broken, 70 for a failure of init itself.
//!
//! The C library calls `sys/entry.rs` directly: before `main` the standard library would look for
//! closed descriptors and read `/proc/self/maps` for its report of stack overflows, which nobody
//! needs and each start pays.

#![cfg_attr(not(test), no_main)]

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io::Write as _;

mod agent;
mod api;
mod arguments;
mod boot;
mod children;
mod environment;
mod etc;
mod files;
mod hand_over;
mod host;
mod identity;
mod inbox;
mod machine;
mod output;
mod pid1;
mod plan;
mod program;
mod questions;
mod session;
mod start_error;
mod stdio;
mod stop;
mod streams;
mod supervisor;
mod sys;

/// What to be, from the arguments; returns the exit code.
#[cfg_attr(test, expect(dead_code, reason = "the test runner has its own entry"))]
fn run() -> u8 {
    sys::ignore_broken_pipes();
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments::Mode::Init(options)) => {
            // The machine's root may trace its own programs, but not take over init and its channel.
            set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
            supervisor::run(&options)
        }
        Ok(arguments::Mode::Pid1) => pid1::become_program(),
        // Anywhere else it would take somebody's system down.
        Ok(arguments::Mode::Machine) if std::process::id() == 1 => machine::run(),
        Ok(arguments::Mode::Rehearsal) => {
            // That it ran is all that counts.
            writeln!(std::io::stdout(), "rehearsed").ok();
            0
        }
        Ok(arguments::Mode::Machine) | Err(_) => EXIT_USAGE,
    }
}

/// Exit code for wrong arguments (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Exit code for a failure of init itself (`EX_SOFTWARE`).
const EXIT_SOFTWARE: u8 = 70;

/// Exit code for a lost or broken channel (`EX_OSERR`).
const EXIT_CHANNEL: u8 = 71;
