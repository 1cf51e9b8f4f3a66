//! `bench-stamp` brings its own entry point, so that nothing runs before its clock is read.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=bench-stamp=-nostartfiles");
    // Nothing but its few instructions: what a runtime reads or copies is then not the point.
    for name in ["bench-stamp", "bench-web"] {
        println!("cargo::rustc-link-arg-bin={name}=-s");
    }
}
