//! The host as a test sees it: processes of machines, and things that no machine may touch.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::Instance;

/// A process of a machine, by its pid on the host.
#[derive(Clone, Debug)]
pub struct Process {
    /// Pid on the host.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

/// The processes of a machine.
#[must_use]
pub fn processes(instance: &Instance, id: &str) -> Vec<Process> {
    let cgroup = format!("/dormouse-{}/{id}", instance.tag());
    pids()
        .filter(|pid| of(*pid, "cgroup").contains(&cgroup))
        .map(|pid| Process { pid, comm: of(pid, "comm").trim_end().to_owned() })
        .collect()
}

/// The machine's process named `comm`.
///
/// # Panics
/// There is none.
#[must_use]
#[track_caller]
pub fn process(instance: &Instance, id: &str, comm: &str) -> Process {
    let all = processes(instance, id);
    let found = all.iter().find(|process| process.comm == comm);
    found.unwrap_or_else(|| panic!("no `{comm}` among {all:?}")).clone()
}

/// A file of a process below `/proc`; empty when the process or the file is gone.
#[must_use]
pub fn of(pid: u32, file: &str) -> String {
    let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a control group holds the process.
#[must_use]
pub fn is_frozen(pid: u32) -> bool {
    let trees = testkit::place::cgroup_trees();
    let groups = of(pid, "cgroup");
    let groups = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix('/'));
    groups.flat_map(|group| trees.iter().map(move |tree| tree.join(group))).any(|dir| {
        let says = |file: &str, word: &str| {
            fs::read_to_string(dir.join(file)).is_ok_and(|text| text.contains(word))
        };
        says("freezer.state", "FROZEN") || says("cgroup.events", "frozen 1")
    })
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Things of the host that a machine goes for; what it finds or changes, a test sees.
#[derive(Debug)]
pub struct Canary {
    file: PathBuf,
    process: Child,
    _listener: UnixListener,
}

/// What the canary's file holds.
pub const SECRET: &str = "nothing of this is for machines\n";

impl Canary {
    /// A file in `dir`, a process, and a listener at the abstract socket `dormouse-escape-<pid>`.
    ///
    /// # Panics
    /// They cannot be made.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let file = dir.join("canary");
        fs::write(&file, SECRET).expect("the canary can be written");
        let process = Command::new(testkit::image::BUSYBOX)
            .args(["sleep", "600"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("busybox can be run");
        let name = format!("dormouse-escape-{}", process.id());
        let listener = SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixListener::bind_addr(&address))
            .expect("the name is free");
        Self { file, process, _listener: listener }
    }

    /// Path of the file on the host.
    ///
    /// # Panics
    /// The path is no text.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file.to_str().expect("a plain path")
    }

    /// Pid of the process on the host.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What is left of it, as text that must not change.
    #[must_use]
    pub fn fact(&self) -> String {
        let state = of(self.process.id(), "stat");
        let is_alive = state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'));
        format!("{:?}, alive: {is_alive}", fs::read_to_string(&self.file))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // It may have been killed; that is for the test to see, not for the clean-up.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
