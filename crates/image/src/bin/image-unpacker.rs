//! The unpacking process on its own, so that this room can be tested without the daemon.

fn main() -> std::process::ExitCode {
    image::unpack::child_main()
}
