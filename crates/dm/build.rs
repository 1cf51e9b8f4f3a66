//! Leaves symbols and debug information out of the program: it lies in RAM, once for each instance.

fn main() {
    use std::io::Write as _;
    writeln!(
        std::io::stdout(),
        "cargo::rerun-if-changed=build.rs\ncargo::rustc-link-arg-bins=-Wl,--strip-all"
    )
    .expect("cargo listens");
}
