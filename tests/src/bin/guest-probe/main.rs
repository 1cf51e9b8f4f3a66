//! A program for inside machines: does what busybox cannot, and says how it went.
//!
//! One module for each subject; the first argument names the subcommand.

mod api;
mod calls;
mod hunger;
mod net;
mod port;
mod say;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"api", rest)) => api::run(rest),
        Some((&"syscall", rest)) => calls::syscall(rest),
        Some((&"int80", rest)) => calls::int80(rest),
        Some((&"setns", rest)) => calls::setns(rest),
        Some((&"real-time", _)) => calls::real_time(),
        Some((&"chroot-out", rest)) => calls::chroot_out(rest),
        Some((&"fork", rest)) => hunger::fork(rest),
        Some((&"eat-ram", _)) => hunger::eat_ram(),
        Some((&"clock", _)) => say::say(&model::clock::now().0.to_string()),
        Some((&"connect", rest)) => net::connect(rest),
        Some((&"serve", rest)) => net::serve(rest),
        Some((&"hear", rest)) => net::hear(rest),
        Some((&"tell", rest)) => net::tell(rest),
        Some((&"port", rest)) => port::run(rest),
        Some((&"spoof", rest)) => net::spoof(rest),
        Some((&"spoof-frame", rest)) => net::spoof_frame(rest),
        Some((&"abstract", rest)) => net::connect_abstract(rest),
        _ => say::usage("SUBCOMMAND [ARGUMENT…]"),
    }
}
