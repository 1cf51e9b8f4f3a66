//! `dormouse-shim`: owns one run of one machine and outlives the daemon.
//!
//! Started without arguments it takes its orders from the socket at descriptor 0 and serves
//! [`shim_proto`]. One thread, no runtime, everything in one `poll` loop ([`shim::Shim`]).
//!
//! With an argument it does one thing for the daemon and ends: `slot` holds new namespaces while the
//! daemon pins them, `reap CGROUP` removes what a lost shim has left, `template` makes a template of
//! virtual machines as its standard input says in JSON ([`vmm::template::Order`]), `doctor` says in JSON
//! what the engines find on this host.

mod api_away;
mod daemon;
mod doctor;
mod ending;
mod guest;
mod log;
mod memory;
mod run;
mod shim;
mod signals;
mod streams;
mod suspend;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => serve(),
        Some(net::slot::HOLD_ARGUMENT) => net::slot::hold_main(),
        Some("reap") => reap(std::env::args().nth(2).as_deref()),
        Some("template") => make_template(),
        Some("doctor") => doctor::print(),
        Some(other) => {
            note(&format!("unknown argument `{other}`"));
            ExitCode::from(2)
        }
    }
}

fn serve() -> ExitCode {
    match shim::Shim::from_stdin().and_then(shim::Shim::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("ended by an error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Removes what a lost shim has left in a cgroup.
fn reap(cgroup: Option<&str>) -> ExitCode {
    match cgroup.map(engine::container::reap) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            note(&error.to_string());
            ExitCode::FAILURE
        }
        None => {
            note("`reap` needs the name of a cgroup");
            ExitCode::from(2)
        }
    }
}

/// Makes a template of virtual machines. What goes wrong is said on the standard error.
fn make_template() -> ExitCode {
    let order: vmm::template::Order = match serde_json::from_reader(std::io::stdin()) {
        Ok(order) => order,
        Err(error) => {
            note(&format!("`template` needs an order: {error}"));
            return ExitCode::from(2);
        }
    };
    match engine::microvm::build_template(&order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&error.sentence());
            ExitCode::FAILURE
        }
    }
}

/// Says something to whoever keeps the shim's standard error. Nobody may: then it is lost.
fn note(text: &str) {
    writeln!(std::io::stderr(), "dormouse-shim[{}]: {text}", std::process::id()).ok();
}
