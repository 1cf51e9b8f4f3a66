//! Machines that would sleep with their RAM on a host that has little left.

use crate::house::House;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use testkit::Instance;
use testkit::place::run;

/// Where control reads how much RAM there is.
const MEMINFO: &str = "/proc/meminfo";

/// What control sees of the host's RAM, until this is dropped: one part in twenty is available.
///
/// In its mount namespace another file lies over the kernel's. No machine may begin meanwhile: below
/// such a mount the kernel lets nobody mount a `/proc` of its own.
struct ShortRam {
    namespace: String,
    _dir: TempDir,
}

impl ShortRam {
    fn of(instance: &Instance) -> Self {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("meminfo");
        fs::write(&file, short(&fs::read_to_string(MEMINFO).expect("every host tells it")))
            .expect("a file can be written");
        let endpoint = instance.endpoint().expect("it has listened");
        let control = endpoint["control_pid"].as_u64().expect("a process");
        let short = Self { namespace: format!("--mount=/proc/{control}/ns/mnt"), _dir: dir };
        run(short.inside(&["mount", "--bind"]).args([file, PathBuf::from(MEMINFO)]));
        short
    }

    fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(&self.namespace).args(words);
        command
    }
}

impl Drop for ShortRam {
    fn drop(&mut self) {
        run(&mut self.inside(&["umount", MEMINFO]));
    }
}

/// The same host with little RAM available.
fn short(meminfo: &str) -> String {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("a total");
    let total = total.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    let lines = meminfo.lines().map(|line| match line.starts_with("MemAvailable:") {
        true => format!("MemAvailable: {} kB\n", total / 20),
        false => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn where_ram_is_short_suspend_is_a_stop() {
    let house = House::new();
    let suspend = json!({"autostop": "suspend", "idle_timeout_s": 1});
    let web = house.awake("web", &suspend, &json!({}));
    let short = ShortRam::of(&house.instance);
    house.pass();
    house.wait_for(&web, "stopped");
    let stopped = house.cause_of(&web, "stop");
    assert_eq!(stopped["cause"], json!({"cause": "idle", "after": 1_000}), "{stopped}");

    drop(short);
    house.visit(&web);
    house.pass();
    house.wait_for(&web, "suspended");
}
